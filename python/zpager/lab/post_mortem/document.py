"""The post-mortem as a page: the words of `page.md`, and the figures of the replays."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from zpager.lab.post_mortem.answers import Answers
from zpager.lab.report import theme

SUFFIX = ".md"


def write(answers: Answers, path: Path, seed: int) -> None:
    """Write the page, and its pictures into a directory beside it, by its name.

    Raises OSError where that cannot be.
    """
    directory = path.with_suffix("")
    directory.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for picture in answers.pictures():
        name = f"{picture.name}.svg"
        theme.save(directory / name, picture.height_inches, picture.draw)
        pictures[f"picture_{picture.name.replace('-', '_')}"] = f"![{picture.title}]({directory.name}/{name})"
    tables = {f"table_{name}": table for name, table in answers.tables().items()}
    text = Template(files("zpager.lab.post_mortem").joinpath("page.md").read_text("utf-8"))
    # A name without a figure is an error, not a gap.
    path.write_text(
        text.substitute(
            pictures, **tables, **answers.figures(), seed=str(seed), replays=str(len(answers.outcomes))
        ),
        "utf-8",
    )
