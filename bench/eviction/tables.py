"""The results as tables in Markdown: medians over the rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from bench.eviction import questions
from bench.eviction.measure import Results
from bench.eviction.questions import QUESTIONS, Cell, Matrix, Setting
from bench.eviction.run import Outcome
from bench.eviction.workloads import WORKLOADS
from zpager import format_size

NOTHING = "–"
AUTO_TOLERANCE = 1.1
"""How much slower than the best fixed share "auto" may be and still count as good."""

_Row: TypeAlias = Sequence[str]
_THOUSAND = 1000


def operation_us(outcome: Outcome) -> float:
    """What settings are compared by."""
    return outcome.operation_us


def best_fixed(results: Results, workload: str) -> Setting | None:
    """The fastest of the fixed shares, if any was measured."""
    measured = [
        setting for setting in questions.FIXED_SHARES.settings if results.has(Cell(workload, setting.options))
    ]
    return min(
        measured,
        key=lambda setting: results.median(Cell(workload, setting.options), operation_us),
        default=None,
    )


def markdown(question: int, results: Results) -> str:
    """All that the figures have to say to a question: tables, and remarks about what is missing."""
    parts = {1: _policies, 2: _shares, 3: _reserves, 5: _mechanisms}[question](results)
    return "\n\n".join([*parts, *_remarks(question, results)])


def workloads() -> str:
    """What each of them does."""
    return _table([("workload", "what it does"), *((name, it.title) for name, it in WORKLOADS.items())])


def settings_line(results: Results) -> str:
    """What was measured, and where."""
    settings = results.settings
    return (
        f"`ram={format_size(settings.ram_bytes)}` (eight times that for the big ones), "
        f"`faults={settings.faults}`, {settings.rounds} rounds (one for the big ones), seed {settings.seed}; "
        f"{settings.machine}. Medians."
    )


def _policies(results: Results) -> list[str]:
    matrix = questions.POLICIES
    return [
        "Time per operation, as a multiple of frame-lru's:",
        _relative(results, matrix, matrix.settings[0]),
        "Pages read from the device, in thousands:",
        _absolute(results, matrix, lambda outcome: outcome.pswpin / _THOUSAND),
        "Microseconds an operation that 99% of the chunks keep to:",
        _absolute(results, matrix, lambda outcome: outcome.chunk_us_p99),
    ]


def _shares(results: Results) -> list[str]:
    settings = [*questions.FIXED_SHARES.settings, *questions.AUTOMATIC_SHARE.settings]
    rows: list[_Row] = [
        ("workload", *(setting.name for setting in settings), "best", "spread", "auto within 10%")
    ]
    for workload in questions.FIXED_SHARES.workloads:
        best = best_fixed(results, workload)
        if best is None:
            continue
        best_us = results.median(Cell(workload, best.options), operation_us)
        cells = [Cell(workload, setting.options) for setting in settings]
        auto = cells[-1]
        verdict = NOTHING
        if results.has(auto):
            verdict = "yes" if results.median(auto, operation_us) <= AUTO_TOLERANCE * best_us else "**no**"
        rows.append(
            (
                workload,
                *(_multiple(results, cell, best_us) for cell in cells),
                f"{best.name}: {best_us:.1f} µs",
                _spread(results, cells),
                verdict,
            )
        )
    both = Matrix(questions.FIXED_SHARES.workloads, settings)
    return [
        "Time per operation, as a multiple of the best fixed share's:",
        _table(rows),
        "Pages read from the device, in thousands:",
        _absolute(results, both, lambda outcome: outcome.pswpin / _THOUSAND),
    ]


def _reserves(results: Results) -> list[str]:
    rows: list[_Row] = [
        (
            "workload",
            "reserve",
            "µs an operation",
            "99% of chunks",
            "spread",
            "99% of evictions, µs",
            "direct reclaims",
            "pages read",
            "slots written",
        )
    ]
    for workload in questions.RESERVES.workloads:
        for setting in questions.RESERVES.settings:
            cell = Cell(workload, setting.options)
            if not results.has(cell):
                continue
            rows.append(
                (
                    workload,
                    setting.name,
                    _shown(results, cell, operation_us),
                    _shown(results, cell, lambda outcome: outcome.chunk_us_p99),
                    _spread(results, [cell]),
                    _shown(results, cell, lambda outcome: outcome.eviction_us_p99 or 0, 0),
                    _shown(results, cell, lambda outcome: outcome.direct_reclaims, 0),
                    _shown(results, cell, lambda outcome: outcome.pswpin, 0),
                    _shown(results, cell, lambda outcome: outcome.pswpout, 0),
                )
            )
    return ["Evicting by unuse:", _table(rows)]


def _mechanisms(results: Results) -> list[str]:
    matrix = questions.MECHANISMS
    return [
        "Time per operation, as a multiple of that without eviction:",
        _relative(results, matrix, matrix.settings[0]),
        "Pages read from the device / slots of it written, in thousands:",
        _traffic(results, matrix),
        "Microseconds an operation that 99% of the chunks keep to:",
        _absolute(results, matrix, lambda outcome: outcome.chunk_us_p99),
        "Much data: 6 × `ram`, written in order and read in order:",
        _big(results),
        "What encryption costs: microseconds an operation, and of processor time:",
        _encryption(results),
    ]


def _big(results: Results) -> str:
    rows: list[_Row] = [
        (
            "workload",
            "eviction",
            "fill, µs a page",
            "read, µs a page",
            "processor, µs",
            "pages read, thousands",
            "slots written, thousands",
        )
    ]
    for workload in questions.BIG.workloads:
        for setting in questions.BIG.settings:
            cell = Cell(workload, setting.options)
            if results.has(cell):
                rows.append(
                    (
                        workload,
                        setting.name,
                        _shown(results, cell, lambda outcome: outcome.phase_us["fill"]),
                        _shown(results, cell, lambda outcome: outcome.phase_us["read"]),
                        _shown(results, cell, lambda outcome: outcome.cpu_us),
                        _shown(results, cell, lambda outcome: outcome.pswpin / _THOUSAND, 1),
                        _shown(results, cell, lambda outcome: outcome.pswpout / _THOUSAND, 1),
                    )
                )
    return _table(rows)


def _encryption(results: Results) -> str:
    rows: list[_Row] = [("workload", "eviction", "encrypted", "plain", "processor, encrypted", "plain")]
    for workload in questions.PLAIN.workloads:
        for encrypted, plain in zip(questions.ENCRYPTED.settings, questions.PLAIN.settings, strict=True):
            cells = Cell(workload, encrypted.options), Cell(workload, plain.options)
            if any(results.has(cell) for cell in cells):
                rows.append(
                    (
                        workload,
                        plain.name,
                        *(_shown(results, cell, operation_us) for cell in cells),
                        *(_shown(results, cell, lambda outcome: outcome.cpu_us) for cell in cells),
                    )
                )
    return _table(rows)


def _relative(results: Results, matrix: Matrix, base: Setting) -> str:
    """Times as multiples of `base`'s, which is given in microseconds."""
    rows: list[_Row] = [("workload", *(setting.name for setting in matrix.settings), "spread")]
    for workload in matrix.workloads:
        base_cell = Cell(workload, base.options)
        if not results.has(base_cell):
            continue
        base_us = results.median(base_cell, operation_us)
        cells = [Cell(workload, setting.options) for setting in matrix.settings]
        shown = [_multiple(results, cell, base_us) for cell in cells]
        shown[cells.index(base_cell)] = f"1 = {base_us:.1f} µs"
        rows.append((workload, *shown, _spread(results, cells)))
    return _table(rows)


def _absolute(results: Results, matrix: Matrix, value: Callable[[Outcome], float]) -> str:
    return _by_setting(results, matrix, lambda cell: _shown(results, cell, value, 1))


def _traffic(results: Results, matrix: Matrix) -> str:
    def both(cell: Cell) -> str:
        read = _shown(results, cell, lambda outcome: outcome.pswpin / _THOUSAND, 1)
        written = _shown(results, cell, lambda outcome: outcome.pswpout / _THOUSAND, 1)
        return f"{read} / {written}"

    return _by_setting(results, matrix, both)


def _by_setting(results: Results, matrix: Matrix, show: Callable[[Cell], str]) -> str:
    rows: list[_Row] = [("workload", *(setting.name for setting in matrix.settings))]
    for workload in matrix.workloads:
        cells = [Cell(workload, setting.options) for setting in matrix.settings]
        if any(results.has(cell) for cell in cells):
            rows.append((workload, *(show(cell) for cell in cells)))
    return _table(rows)


def _shown(results: Results, cell: Cell, value: Callable[[Outcome], float], decimals: int = 2) -> str:
    return f"{results.median(cell, value):,.{decimals}f}" if results.has(cell) else NOTHING


def _multiple(results: Results, cell: Cell, base_us: float) -> str:
    return _shown(results, cell, lambda outcome: outcome.operation_us / base_us)


def _spread(results: Results, cells: Sequence[Cell]) -> str:
    """By how much rounds that should be the same differ, at the worst."""
    spreads = [
        results.spread(cell, operation_us) for cell in cells if len(results.outcomes.get(cell, ())) > 1
    ]
    return f"{max(spreads):.0%}" if spreads else NOTHING


def _table(rows: Sequence[_Row]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _remarks(question: int, results: Results) -> list[str]:
    """What must be known of these figures: settings that were skipped, wrong bytes, failures."""
    remarks: dict[str, None] = {}
    for matrix in QUESTIONS[question]:
        for setting in matrix.settings:
            for workload in matrix.workloads:
                cell = Cell(workload, setting.options)
                if cell in results.refused:
                    remarks[
                        f"Skipped: {setting.name}, since this zpager refuses it: {results.refused[cell]}"
                    ] = None
                if cell in results.failed:
                    remarks[f"FAILED: {workload}, {setting.name}: {results.failed[cell]}"] = None
                wrong = sum(outcome.wrong_words for outcome in results.outcomes.get(cell, []))
                if wrong:
                    remarks[f"WRONG BYTES: {workload}, {setting.name}: {wrong:,} words"] = None
    return list(remarks)
