"""The post-mortem's tables in Markdown, its pictures, and the single figures that its text uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zpager.lab.execute import Task
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
OLD, NEW = DEVICES
_NONE = "no eviction"
_ALL_FIVE = "the patch as it was: all five"
_THREE = "all but guard and leak"
_MEANT = "unuse as it was meant"


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
        return None if task is None else self._outcome(task)

    def _outcome(self, task: Task) -> Outcome:
        return self.outcomes[task.key]

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
        new = {case.name: outcome for case in CASES if (outcome := self.defect(case.name, NEW)) is not None}
        old = {case.name: outcome for case in CASES if (outcome := self.defect(case.name, OLD)) is not None}
        none, meant, all_five = new[_NONE], new[_MEANT], new[_ALL_FIVE]
        head, sign, leak = new["head-of-list alone"], new["target-sign alone"], new["leaked-reference alone"]
        gave_up_ns = leak.require().gave_up_ns
        reserves = [measures.waited_seconds(outcome) for _, outcome in self._possible_reserves(RFC)]
        limits = {
            share: measures.waited_seconds(self._outcome(self.plan.limits[RFC, share]))
            for share in LIMIT_PER_CENT
        }
        fixed = {share: waited for share, waited in limits.items() if share is not None}
        best = min(fixed, key=lambda share: fixed[share])
        spreads = [
            self._spread([self._outcome(self.plan.policies[name, policy]) for policy in POLICIES])
            for name in self.traces
        ]
        within = partial(measures.within, histogram="unuse_to_write_us")
        half, most = partial(within, share=0.5), partial(within, share=0.99)
        return {
            "slow_down_none": f"{self.slow_down(none):.0f}",
            "slow_down_all_five": f"{self.slow_down(all_five):.0f}",
            "slow_down_meant": f"{self.slow_down(meant):.1f}",
            "slow_down_none_disk": f"{self.slow_down(old[_NONE]):,.0f}",
            "slow_down_all_five_disk": f"{self.slow_down(old[_ALL_FIVE]):,.0f}",
            "slow_down_meant_disk": f"{self.slow_down(old[_MEANT]):,.0f}",
            "guard_closed": f"{all_five.require().counters['guard_closed']:,}",
            "guard_opened": f"{all_five.require().counters['guard_opened']:,}",
            "head_half": _time(half(head)),
            "head_half_disk": _time(half(old["head-of-list alone"])),
            "head_most_disk": _time(most(old["head-of-list alone"])),
            "head_slow_down": f"{self.slow_down(head):.1f}",
            "head_slow_down_disk": f"{self.slow_down(old['head-of-list alone']):.0f}",
            "meant_half": _time(half(meant)),
            "meant_half_disk": _time(half(old[_MEANT])),
            "meant_most_disk": _time(most(old[_MEANT])),
            "three_half": _time(half(new[_THREE])),
            "three_half_disk": _time(half(old[_THREE])),
            "three_most_disk": _time(most(old[_THREE])),
            "leaked_pages": f"{leak.require().counters['leaked_pages']:,}",
            "gave_up": NOTHING if gave_up_ns is None else f"{gave_up_ns / 1e9:.1f} s",
            "sign_slow_down": f"{self.slow_down(sign):.1f}",
            "sign_slow_down_disk": f"{self.slow_down(old['target-sign alone']):,.0f}",
            "sign_evicted": f"{sign.require().counters['zswpwb'] / meant.require().counters['zswpwb']:.1f}",
            "stale_denials": f"{new['stale-denial alone'].require().counters['stale_denials']:,}",
            "stale_denials_full": f"{new['all but the guard'].require().counters['stale_denials']:,}",
            "stale_slow_down": f"{self.slow_down(new['stale-denial alone']):.1f}",
            "policy_spread": f"{max(spreads):.0%}",
            "policy_spread_rfc": f"{spreads[list(self.traces).index(RFC)]:.0%}",
            "reserve_cost": f"{max(reserves) / reserves[0] - 1:.0%}",
            "best_limit": f"{best}%",
            "auto_against_best": f"{limits[None] / fixed[best]:.2f}",
            "worst_against_best": f"{max(fixed.values()) / fixed[best]:.1f}",
            **{
                f"gain_{name}": f"{self._waited(NEW, name, 'none') / self._waited(NEW, name, 'intact'):.1f}"
                for name in self.traces
            },
            **{
                f"written_{name}": f"{self._written(name, 'writeback') / self._written(name, 'intact'):.1f}"
                for name in self.traces
            },
        }

    def _waited(self, device: str, name: str, mechanism: str) -> float:
        return measures.waited_seconds(self._outcome(self.plan.mechanisms[device, name, mechanism]))

    def _written(self, name: str, mechanism: str) -> int:
        outcome = self._outcome(self.plan.mechanisms[NEW, name, mechanism])
        return max(outcome.require().counters["pswpout"], 1)

    def _possible_reserves(self, name: str) -> list[tuple[int | None, Outcome]]:
        """Those that are not below the smallest."""
        found = [(share, self._outcome(self.plan.reserves[name, share])) for share in RESERVE_PER_MILLE]
        return [(share, outcome) for share, outcome in found if outcome.result is not None]

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
            found = [self._outcome(self.plan.policies[name, policy]) for policy in POLICIES]
            bounds = found[0].bounds
            rows.append(
                (
                    name,
                    *(
                        f"{measures.waited_seconds(outcome):,.2f} s, {outcome.require().counters['pswpin']:,}"
                        for outcome in found
                    ),
                    f"{bounds.compressed_misses - found[0].page_count:,}",
                )
            )
        return _table(rows)

    def _limits(self) -> str:
        rows = [("scenario", *map(_per_cent, LIMIT_PER_CENT))]
        for name in experiments.scenarios(self.plan.limits):
            found = [self._outcome(self.plan.limits[name, share]) for share in LIMIT_PER_CENT]
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
            for share, outcome in self._possible_reserves(name):
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
                found = [self._outcome(self.plan.mechanisms[device, name, one]) for one in MECHANISMS]
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
            outcome = self.defect(case.name, NEW)
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
            found = [self._outcome(self.plan.limits[name, share]) for share in LIMIT_PER_CENT]
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
                measures.waited_seconds(self._outcome(self.plan.mechanisms[device, name, mechanism]))
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


def _time(below_us: int | None) -> str:
    """Below so long."""
    if below_us is None:
        return NOTHING
    if below_us < 1000:
        return f"{below_us} µs"
    return f"{below_us / 1000:,.1f} ms" if below_us < 10_000 else f"{below_us / 1000:,.0f} ms"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
