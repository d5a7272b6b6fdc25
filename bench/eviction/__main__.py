"""`python -m bench.eviction`: measure, draw, and write it all into docs/eviction.md."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.eviction import tables
from bench.eviction.document import RESULTS_NAME, MarkerMissing, figures_directory, update
from bench.eviction.measure import Results, Settings, measure
from bench.eviction.questions import QUESTIONS, cells_of
from zpager import ConfigurationError, parse_size

_DOCUMENT = Path(__file__).parents[2] / "docs" / "eviction.md"
_QUICK_RAM = "8MiB"
_EXIT_INTERRUPTED = 130


@click.command()
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="For each setting.")
@click.option(
    "--quick", is_flag=True, help=f"One round in {_QUICK_RAM}: to see that it runs. Prints tables only."
)
@click.option(
    "--only",
    type=click.Choice([str(question) for question in QUESTIONS]),
    multiple=True,
    help="The question to measure; may be given several times. Default: all.",
)
@click.option("--ram", default="64MiB", show_default=True, help="All other sizes go with it.")
@click.option(
    "--faults",
    type=click.Choice(["signal", "thread"]),
    default="signal",
    show_default=True,
    help="How faults are delivered.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=2012, show_default=True, help="For data and accesses."
)
@click.option(
    "--document",
    type=click.Path(exists=True, dir_okay=False, writable=True, path_type=Path),
    help="What to put tables and pictures into. Default: docs/eviction.md, unless --quick.",
)
@click.option("--render", is_flag=True, help="Measure nothing: take the results that the document has.")
def main(  # noqa: PLR0917
    rounds: int,
    quick: bool,
    only: tuple[str, ...],
    ram: str,
    faults: str,
    seed: int,
    document: Path | None,
    render: bool,
) -> None:
    """Measure policies, shares of the pool, reserves and mechanisms of eviction.

    Results are saved after every round, beside the document. The exit code is 1 if a byte was wrong or a run
    failed; a setting that this zpager does not know is skipped.
    """
    questions = sorted(int(number) for number in only) or list(QUESTIONS)
    if document is None and not quick:
        document = _DOCUMENT
    results_path = figures_directory(document) / RESULTS_NAME if document else None
    if render:
        if results_path is None or not results_path.exists():
            raise click.ClickException("there are no results to take; measure first")
        results = Results.from_json(results_path.read_text("utf-8"))
    else:
        try:
            ram_bytes = parse_size(_QUICK_RAM if quick else ram)
        except ConfigurationError as error:
            raise click.BadParameter(str(error), param_hint="--ram") from None
        results = Results(Settings.here(ram_bytes, faults, 1 if quick else rounds, seed))
        _measure(results, questions, results_path)

    for question in questions:
        click.echo(f"\nQuestion {question}\n\n{tables.markdown(question, results)}")
    if document:
        try:
            update(document, questions, results)
        except MarkerMissing as error:
            raise click.ClickException(f"{error}; add them and take --render") from None
    if results.failed or any(
        outcome.wrong_words for outcomes in results.outcomes.values() for outcome in outcomes
    ):
        sys.exit(1)


def _measure(results: Results, questions: list[int], path: Path | None) -> None:
    """Do all rounds, and save after each what there is, with the results of other questions so far."""
    cells = cells_of(questions)
    if path:
        path.parent.mkdir(exist_ok=True)
        if path.exists():
            earlier = Results.from_json(path.read_text("utf-8"))
            if earlier.settings == results.settings:
                results.keep_others(earlier, cells)
            elif set(questions) != set(QUESTIONS):
                raise click.ClickException(
                    f"{path} was measured with other settings, {earlier.settings}: remove it, or measure all"
                )

    def save() -> None:
        if path:
            path.write_text(results.as_json(), "utf-8")

    click.echo(f"{len(cells)} settings, {results.settings.rounds} rounds; {tables.settings_line(results)}")
    try:
        measure(results, cells, click.echo, save)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.exit(_EXIT_INTERRUPTED)


if __name__ == "__main__":
    main(prog_name="python -m bench.eviction")
