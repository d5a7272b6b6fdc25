"""Puts tables and pictures between their markers in the document; the text around them is written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.eviction import plots, tables
from bench.eviction.measure import Results

RESULTS_NAME = "results.json"


class MarkerMissing(Exception):
    """The document has no place for a part."""


def figures_directory(document: Path) -> Path:
    """Where the results and pictures of a document are: beside it, by its name."""
    return document.with_suffix("")


def update(document: Path, questions: Sequence[int], results: Results) -> None:
    """Write the pictures of `questions`, and put their tables into the document.

    Raises MarkerMissing, and then leaves the document as it was.
    """
    directory = figures_directory(document)
    text = replace_part(document.read_text("utf-8"), "settings", tables.settings_line(results))
    text = replace_part(text, "workloads", tables.workloads())
    for question in questions:
        picture = directory / f"question-{question}.svg"
        plots.save(question, results, picture)
        link = f"![The figures of question {question}]({directory.name}/{picture.name})"
        text = replace_part(text, f"question {question}", f"{tables.markdown(question, results)}\n\n{link}")
    document.write_text(text, "utf-8")


def replace_part(text: str, name: str, content: str) -> str:
    """`text` with `content` between the markers of part `name`."""
    begin, end = f"<!-- figures: {name} -->\n", f"<!-- end of figures: {name} -->"
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise MarkerMissing(f"the document lacks the lines '{begin.strip()}' and '{end}'")
    return f"{before}{begin}{content}\n{end}{after}"
