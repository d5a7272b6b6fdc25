"""`zpager lab report`: results as one page and its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from zpager.errors import ConfigurationError

DEFAULT_OUTPUT: Final = "report.html"
SUFFIX: Final = ".html"


@click.command()
@click.argument("results", type=click.Path(exists=True))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    default=DEFAULT_OUTPUT,
    show_default=True,
    help="The page; its pictures go into a directory beside it, by its name.",
)
@click.option("--title", default="zpager lab", show_default=True, help="The page's heading.")
@click.option("--png/--no-png", default=True, show_default=True, help="Whether to write the pictures as PNG.")
def report(*, results: str, output: str, title: str, png: bool) -> None:
    """Show the results of `zpager lab run`: one HTML page that needs nothing else.

    RESULTS is the directory that was written, or a single file of it.
    """
    # matplotlib takes a while, and `zpager lab --help` imports this module.
    from zpager.lab.report import page, theme  # noqa: PLC0415
    from zpager.lab.report.group import groups  # noqa: PLC0415
    from zpager.lab.results import read  # noqa: PLC0415

    path = Path(output)
    if path.suffix != SUFFIX:
        raise ConfigurationError(f"output={output!r}: the page's name has to end in {SUFFIX}")
    found = groups(read(results))
    pictures = page.pictures_of(found)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.html(found, pictures, title), "utf-8")
        if png:
            directory = path.with_suffix("")
            directory.mkdir(exist_ok=True)
            for picture in (one for its_own in pictures for one in its_own):
                theme.save(directory / f"{picture.name}.png", picture.height_inches, picture.draw)
            click.echo(f"pictures: {directory}")
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: {error.strerror}") from None
    click.echo(f"report: {path}")
