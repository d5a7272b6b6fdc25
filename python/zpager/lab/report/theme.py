"""How pictures look, on a page that may be light or dark, and as PNG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Final, TypeAlias

import matplotlib as mpl
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Draw: TypeAlias = Callable[[Figure], None]

COLOURS: Final = ("#3b82c4", "#d0702a", "#2b9a68", "#c8508c", "#8b6fd0", "#7d8590")
"""Each has a contrast of 3 to 1 and more with white and with near-black."""
DASHES: Final = ("solid", "dashed", "dashdot", "dotted")
"""Lines differ in these, too: not everybody sees colours."""

_WIDTH_INCHES = 6.4
_PNG_DOTS_PER_INCH = 160
# Stands in the SVG for whatever colour the page's text has.
_TEXT = "#010203"


def svg(name: str, title: str, height_inches: float, draw: Draw) -> str:
    """The picture as an `<svg>` for an HTML page; `name` makes its identifiers its own, `title` is what it
    shows in words."""
    with _style(_TEXT, "none"):
        figure = _figure(height_inches, draw)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    picture = text.getvalue()
    picture = picture[picture.index("<svg") :].replace(_TEXT, "currentColor")
    picture = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", picture)
    # Links are for people, and the metadata hold some that nobody can follow.
    picture = re.sub(r"<metadata>.*?</metadata>", "", picture, flags=re.DOTALL)
    picture = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", picture, count=1)
    picture = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", picture, count=1)
    return picture.replace("<svg ", f'<svg role="img" aria-labelledby="{name}-title" ', 1).replace(
        ">", f'><title id="{name}-title">{escape(title)}</title>', 1
    )


def save(path: Path, height_inches: float, draw: Draw) -> None:
    """The picture as a file, PNG or SVG by its name, dark on white.

    Raises OSError where it cannot be written.
    """
    with _style("#1b1f24", "white"):
        figure = _figure(height_inches, draw)
        if path.suffix == ".svg":
            figure.savefig(path, metadata={"Date": None})
        else:
            FigureCanvasAgg(figure)
            figure.savefig(path, dpi=_PNG_DOTS_PER_INCH, metadata={"Software": None})


def _figure(height_inches: float, draw: Draw) -> Figure:
    figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
    draw(figure)
    return figure


@contextmanager
def _style(text: str, background: str) -> Iterator[None]:
    with mpl.rc_context(
        {
            # Text as text, and no identifiers by chance: a small file, the same from the same figures.
            "svg.fonttype": "none",
            "svg.hashsalt": "zpager",
            "font.size": 10,
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.facecolor": "none",
            "figure.facecolor": background,
            "savefig.facecolor": background,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.6,
            **dict.fromkeys(
                ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), text
            ),
            "grid.color": text,
            "grid.alpha": 0.15,
        }
    ):
        yield
