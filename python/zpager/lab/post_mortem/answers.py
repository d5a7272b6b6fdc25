"""The post-mortem's tables in Markdown, its pictures, and the single figures that its text uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zpager.lab.post_mortem import experiments, measures
from zpager.lab.post_mortem.experiments import (
    CASES,
    DEVICES,
    LIMIT_PER_CENT,
    MECHANISM_DEVICES,
    MECHANISMS,
    POLICIES,
    RESERVE_PER_MILLE,
    RFC,
    Plan,
)
from zpager.lab.report.figures import Picture
from zpager.lab.report.theme import COLOURS, DASHES
from zpager.lab.results import Outcome
from zpager.lab.trace import Trace

NOTHING: Final = "–"
_MEANT = "unuse as it was meant"
_NEW = DEVICES[-1]


@dataclass(frozen=True)
class Answers:
    """What the replays of a plan came to."""

    plan: Plan
    outcomes: Mapping[str, Outcome]
    """By key."""
    traces: Mapping[str, Trace]

    def defect(self, case: str, device: str) -> Outcome | None:
        """The outcome of a case; None where it was not replayed on that device."""
        task = self.plan.defects.get((case, device))
        return None if task is None else self.outcomes[task.key]

    def slow_down(self, outcome: Outcome) -> float:
        """That of its busy threads."""
        return measures.slow_down(outcome, self.traces[outcome.trace])

    def tables(self) -> dict[str, str]:
        """By name."""
        return {
            "defects": "\n\n".join(
                f"On {device}:\n\n{self._defects(device)}" for device in reversed(DEVICES)
            ),
            "policies": self._policies(),
            "limits": self._limits(),
            "reserves": self._reserves(),
            "mechanisms": self._mechanisms(),
        }

    def pictures(self) -> list[Picture]:
        """All of them."""
        return [
            Picture("slow-down", "B's slow-down", "", 4.6, self._draw_slow_down),
            Picture("unuse-to-write", "From unuse to the swap write", "", 3.4, self._draw_unuse_to_write),
            Picture("limits", "Time lost by pool limit", "", 3.2, self._draw_limits),
            Picture("mechanisms", "Time lost by mechanism", "", 4.6, self._draw_mechanisms),
        ]

    def figures(self) -> dict[str, str]:
        """Single figures, by the names that the text uses."""
        meant = self._require(_MEANT)
        none, all_five = self._require("no eviction"), self._require("the patch as it was: all five")
        head, sign = self._require("head-of-list alone"), self._require("target-sign alone")
        stale = self._require("stale-denial alone")
        leak = self._require("leaked-reference alone")
        three = self._require("all but guard and leak")
        leaked = leak.require()
        by_policy = [
            self._spread([self.outcomes[self.plan.policies[name, policy].key] for policy in POLICIES])
            for name in self.traces
        ]
        reserve = [self.outcomes[self.plan.reserves[RFC, share].key] for share in RESERVE_PER_MILLE]
        limits = {
            share: measures.waited_seconds(self.outcomes[self.plan.limits[RFC, share].key])
            for share in LIMIT_PER_CENT
        }
        fixed = {share: waited for share, waited in limits.items() if share is not None}
        best = min(fixed, key=lambda share: fixed[share])
        return {
            "slow_down_none": f"{self.slow_down(none):.0f}",
            "slow_down_all_five": f"{self.slow_down(all_five):.0f}",
            "slow_down_meant": f"{self.slow_down(meant):.1f}",
            "slow_down_none_disk": f"{self._disk('no eviction'):,.0f}",
            "slow_down_meant_disk": f"{self._disk(_MEANT):,.0f}",
            "guard_closed": f"{all_five.require().counters['guard_closed']:,}",
            "guard_opened": f"{all_five.require().counters['guard_opened']:,}",
            "leaked_pages": f"{leaked.counters['leaked_pages']:,}",
            "gave_up_s": NOTHING if leaked.gave_up_ns is None else f"{leaked.gave_up_ns / 1e9:.1f}",
            "head_half_ms": _ms(measures.within(head, "unuse_to_write_us", 0.5)),
            "head_99_ms": _ms(measures.within(head, "unuse_to_write_us", 0.99)),
            "meant_half_ms": _ms(measures.within(meant, "unuse_to_write_us", 0.5)),
            "three_half_ms": _ms(measures.within(three, "unuse_to_write_us", 0.5)),
            "sign_slow_down": f"{self.slow_down(sign):.1f}",
            "sign_evicted": f"{sign.require().counters['zswpwb'] / meant.require().counters['zswpwb']:.1f}",
            "stale_denials": f"{stale.require().counters['stale_denials']:,}",
            "stale_slow_down": f"{self.slow_down(stale):.1f}",
            "policy_spread": f"{max(by_policy):.0%}",
            "reserve_spread": f"{self._spread(reserve):.0%}",
            "best_limit": f"{best}%",
            "auto_against_best": f"{limits[None] / fixed[best]:.2f}",
            "worst_against_best": f"{max(fixed.values()) / fixed[best]:.1f}",
        }

    def _require(self, case: str) -> Outcome:
        outcome = self.defect(case, _NEW)
        assert outcome is not None, case
        return outcome

    def _disk(self, case: str) -> float:
        outcome = self.defect(case, DEVICES[0])
        assert outcome is not None, case
        return self.slow_down(outcome)

    def _spread(self, outcomes: Sequence[Outcome]) -> float:
        """How much longer the slowest waits than the fastest."""
        waited = [measures.waited_seconds(outcome) for outcome in outcomes]
        return max(waited) / min(waited) - 1

    def _defects(self, device: str) -> str:
        rows = [
            (
                "",
                "B waits, s",
                "slow-down",
                "unuse to write, half",
                "99%",
                "frames freed a second",
                "read from the device",
                "pages stuck",
                "remarks",
            )
        ]
        for case in CASES:
            outcome = self.defect(case.name, device)
            if outcome is None:
                continue
            result = outcome.require()
            stuck = result.counters.get("leaked_pages", 0)
            ended = result.gave_up_ns is not None
            rows.append(
                (
                    case.name,
                    "never ends" if ended else f"{measures.waited_seconds(outcome):,.2f}",
                    NOTHING if ended else f"{self.slow_down(outcome):,.1f}",
                    _time(measures.within(outcome, "unuse_to_write_us", 0.5)),
                    _time(measures.within(outcome, "unuse_to_write_us", 0.99)),
                    NOTHING if ended else f"{measures.freed_per_second(outcome):,.0f}",
                    f"{measures.device_misses(outcome):,}",
                    f"{stuck:,}",
                    _remarks(outcome),
                )
            )
        return _table(rows)

    def _policies(self) -> str:
        names = experiments.scenarios(self.plan.policies)
        rows = [("scenario", *POLICIES, "optimum")]
        for name in names:
            found = [self.outcomes[self.plan.policies[name, policy].key] for policy in POLICIES]
            bounds = found[0].bounds
            rows.append(
                (
                    name,
                    *(
                        f"{measures.waited_seconds(outcome):,.2f} s, {measures.device_misses(outcome):,}"
                        for outcome in found
                    ),
                    f"{bounds.compressed_misses - found[0].page_count:,}",
                )
            )
        return _table(rows)

    def _limits(self) -> str:
        rows = [("scenario", *map(_per_cent, LIMIT_PER_CENT))]
        for name in experiments.scenarios(self.plan.limits):
            found = [self.outcomes[self.plan.limits[name, share].key] for share in LIMIT_PER_CENT]
            rows.append((name, *(f"{measures.waited_seconds(outcome):,.2f}" for outcome in found)))
        return _table(rows)

    def _reserves(self) -> str:
        rows = [
            (
                "scenario",
                "reserve",
                "busy tasks wait, s",
                "99% of evictions",
                "direct reclaims",
                "read from device",
            )
        ]
        for name in experiments.scenarios(self.plan.reserves):
            for share in RESERVE_PER_MILLE:
                outcome = self.outcomes[self.plan.reserves[name, share].key]
                if outcome.result is None:
                    continue
                rows.append(
                    (
                        name,
                        "the smallest" if share is None else f"{share / 10:g}%",
                        f"{measures.waited_seconds(outcome):,.3f}",
                        _time(measures.within(outcome, "eviction_us", 0.99)),
                        f"{outcome.require().counters['direct_reclaims']:,}",
                        f"{measures.device_misses(outcome):,}",
                    )
                )
        return _table(rows)

    def _mechanisms(self) -> str:
        rows = [("device", "scenario", *MECHANISMS)]
        for device in MECHANISM_DEVICES:
            for name in sorted(self.traces, key=lambda name: (name != RFC, name)):
                found = [self.outcomes[self.plan.mechanisms[device, name, one].key] for one in MECHANISMS]
                rows.append(
                    (
                        device,
                        name,
                        *(
                            f"{measures.waited_seconds(outcome):,.2f} s, "
                            f"{outcome.require().counters['pswpout']:,} written"
                            for outcome in found
                        ),
                    )
                )
        return _table(rows)

    def _draw_slow_down(self, figure: Figure) -> None:
        axes = figure.subplots()
        height = 0.8 / len(DEVICES)
        for number, device in enumerate(DEVICES):
            measured = [
                (place, self.slow_down(outcome))
                for place, case in enumerate(CASES)
                if (outcome := self.defect(case.name, device)) is not None
                and outcome.require().gave_up_ns is None
            ]
            axes.barh(
                [place + (number - 0.5) * height for place, _ in measured],
                [slow_down for _, slow_down in measured],
                height=height,
                label=device,
            )
        for place, case in enumerate(CASES):
            if case.fills_ram:
                axes.text(1.1, place, "ends: no frame for 30 s", va="center", fontsize=8)
        axes.set_yticks(range(len(CASES)), [case.name for case in CASES])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlim(left=1)
        axes.set_xlabel("B's time, as a multiple of that without waiting")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)

    def _draw_unuse_to_write(self, figure: Figure) -> None:
        axes = figure.subplots()
        for number, case in enumerate(CASES):
            outcome = self.defect(case.name, _NEW)
            buckets = outcome.require().histograms["unuse_to_write_us"] if outcome is not None else ()
            count = sum(count for _, count in buckets)
            # Intact unuses a unit now and then; that is not how it evicts.
            if not count or case.eviction not in ("unuse", "rfc"):
                continue
            seen = 0
            shares = [
                (below_us / 1000, (seen := seen + count_here) / count) for below_us, count_here in buckets
            ]
            axes.step(
                *zip(*shares, strict=True),
                where="post",
                label=case.name,
                color=COLOURS[number % len(COLOURS)],
                linestyle=DASHES[number % len(DASHES)],
            )
        axes.set_xscale("log")
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("milliseconds")
        axes.set_ylabel("share of pages written")
        axes.grid()
        axes.legend()

    def _draw_limits(self, figure: Figure) -> None:
        axes = figure.subplots()
        for number, name in enumerate(experiments.scenarios(self.plan.limits)):
            found = [self.outcomes[self.plan.limits[name, share].key] for share in LIMIT_PER_CENT]
            waited = [measures.waited_seconds(outcome) for outcome in found]
            best = min(waited[:-1])
            axes.plot([one / best for one in waited[:-1]], marker=".", linestyle=DASHES[number], label=name)
            axes.plot(len(waited) - 1, waited[-1] / best, marker="D", color=COLOURS[number])
        axes.set_xticks(range(len(LIMIT_PER_CENT)), [_per_cent(share) for share in LIMIT_PER_CENT])
        axes.set_xlabel("pool limit")
        axes.set_ylabel("time lost, the best fixed share is 1")
        axes.set_ylim(bottom=0)
        axes.legend()

    def _draw_mechanisms(self, figure: Figure) -> None:
        panels = figure.subplots(len(self.traces), 1, sharex=True)
        names = sorted(self.traces, key=lambda name: (name != RFC, name))
        for panel, name in zip(panels, names, strict=True):
            self._draw_mechanisms_of(panel, name)
        handles = panels[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=len(MECHANISMS))

    def _draw_mechanisms_of(self, axes: Axes, name: str) -> None:
        width = 0.8 / len(MECHANISMS)
        for number, mechanism in enumerate(MECHANISMS):
            waited = [
                measures.waited_seconds(self.outcomes[self.plan.mechanisms[device, name, mechanism].key])
                for device in MECHANISM_DEVICES
            ]
            places = [place + (number - 1.5) * width for place in range(len(MECHANISM_DEVICES))]
            axes.bar(places, waited, width=width, label=mechanism)
        axes.set_yscale("log")
        axes.set_ylabel(f"{name}, s")
        axes.set_xticks(range(len(MECHANISM_DEVICES)), MECHANISM_DEVICES)


def _remarks(outcome: Outcome) -> str:
    result = outcome.require()
    counters = result.counters
    told: list[tuple[int, Callable[[int], str]]] = [
        (counters.get("guard_closed", 0), lambda count: f"the guard ended {count:,} calls"),
        (counters.get("stale_denials", 0), lambda count: f"{count:,} stale bits"),
    ]
    remarks = [words(count) for count, words in told if count]
    if result.gave_up_ns is not None:
        remarks.append(f"no frame for 30 s, at {result.gave_up_ns / 1e9:.1f} s")
    return "; ".join(remarks)


def _per_cent(share: int | None) -> str:
    return "auto" if share is None else f"{share}%"


def _ms(below_us: int | None) -> str:
    return NOTHING if below_us is None else f"{below_us / 1000:,.3g}"


def _time(below_us: int | None) -> str:
    """Below so long."""
    if below_us is None:
        return NOTHING
    return f"{below_us} µs" if below_us < 10_000 else f"{below_us / 1000:,.0f} ms"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
