"""`zpager lab rfc`: the post-mortem of the RFC, from the replays to the page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from zpager.errors import ConfigurationError
from zpager.lab.run_command import DEFAULT_SEED

DEFAULT_RESULTS: Final = "lab-rfc"
PAGE: Final = "rfc.md"
REPORT: Final = "report.html"


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False),
    default=DEFAULT_RESULTS,
    show_default=True,
    help="The directory of everything: the results, the page rfc.md, the report.",
)
@click.option(
    "--page", type=click.Path(dir_okay=False), help="Write the page here instead; its name has to end in .md."
)
@click.option(
    "--seed", type=click.IntRange(0), default=DEFAULT_SEED, show_default=True, help="For the scenarios."
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    help="How many replays at the same time.  [default: one for each CPU]",
)
def rfc(*, output: str, page: str | None, seed: int, processes: int | None) -> None:
    """What was wrong with the RFC's patch of 2012, and what it left open.

    Replays the RFC's contest with the patch as it was, with each of its five defects alone, with the
    mechanism as it was meant, and with others; and what answers its five questions. All figures of the page
    come of the replays. What is already in the results is not computed again.
    """
    # matplotlib and pyarrow take a while, and `zpager lab --help` imports this module.
    from zpager.lab import execute, results  # noqa: PLC0415
    from zpager.lab.post_mortem import document, experiments  # noqa: PLC0415
    from zpager.lab.post_mortem.answers import Answers  # noqa: PLC0415
    from zpager.lab.progress import progress, usable_cpus  # noqa: PLC0415
    from zpager.lab.report import page as html_page  # noqa: PLC0415
    from zpager.lab.report.group import groups  # noqa: PLC0415

    directory = Path(output)
    page_path = directory / PAGE if page is None else Path(page)
    if page_path.suffix != document.SUFFIX:
        raise ConfigurationError(f"page={page!r}: its name has to end in {document.SUFFIX}")
    traces = experiments.traces(seed)
    plan = experiments.plan(traces)
    tasks = plan.tasks()
    missing = execute.missing(tasks, directory)
    keys = {task.key for task in tasks}
    click.echo(f"{len(missing)} to replay, {len(keys) - len(missing)} already in {directory}")
    with progress(len(missing)) as advance:
        execute.run(
            missing,
            traces,
            directory,
            processes=processes or usable_cpus(),
            on_done=lambda outcome: advance(),
        )
    outcomes = {outcome.key: outcome for outcome in results.read_keys(directory, sorted(keys))}
    try:
        page_path.parent.mkdir(parents=True, exist_ok=True)
        document.write(Answers(plan, outcomes, traces), page_path, seed)
        click.echo(f"page: {page_path}")
        # Those of the patch: the page has the others in its tables.
        shown = {task.key for task in plan.defects.values()}
        found = groups(outcome for outcome in outcomes.values() if outcome.key in shown)
        report_path = directory / REPORT
        report_path.write_text(
            html_page.html(found, html_page.pictures_of(found), "The RFC, post mortem"), "utf-8"
        )
    except OSError as error:
        raise ConfigurationError(f"{error.filename}: {error.strerror}") from None
    click.echo(f"report: {report_path.resolve().as_uri()}")
