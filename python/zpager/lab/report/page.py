"""The report as one HTML page: no script, no font, no picture from anywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from zpager import format_size
from zpager.lab.report import figures, tables, theme
from zpager.lab.report.figures import Picture
from zpager.lab.report.group import Group, why_not
from zpager.lab.report.tables import Rows
from zpager.sizes import PAGE_BYTES

# Nothing may be loaded from anywhere: a browser that sees an attempt says so.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_STYLE: Final = """
:root { color-scheme: light dark; --text: #1b1f24; --paper: #ffffff; --soft: #57606a; --line: #d0d7de;
  --raised: #f6f8fa; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --paper: #0f1216; --soft: #9aa4ae;
  --line: #30363d; --raised: #171b21; --link: #74b3ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; color: var(--text); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
a { color: var(--link); }
p, figcaption { max-width: 60rem; }
figcaption, .soft { color: var(--soft); font-size: .9rem; }
figure { margin: 0; min-width: 0; }
figure svg { display: block; width: 100%; height: auto; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 2rem; }
.scrolls { overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; }
.scrolls:focus-visible, a:focus-visible, summary:focus-visible { outline: 3px solid var(--link); }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; width: 100%; }
caption { text-align: left; padding: .5rem .7rem; font-weight: 600; }
th, td { padding: .35rem .7rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
th { background: var(--raised); font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
tbody th { background: none; font-weight: 400; }
details { margin: 1rem 0; }
summary { cursor: pointer; font-weight: 600; padding: .4rem 0; }
"""


def html(groups: Sequence[Group], pictures: Sequence[Sequence[Picture]], title: str) -> str:
    """The whole page; `pictures` are those of each group."""
    names = [f"g{number}" for number in range(1, len(groups) + 1)]
    links = "".join(
        f'<li><a href="#{name}">{escape(_heading(group))}</a></li>'
        for name, group in zip(names, groups, strict=True)
    )
    sections = "\n".join(
        _section(name, group, its_pictures)
        for name, group, its_pictures in zip(names, groups, pictures, strict=True)
    )
    count = sum(len(group.outcomes) for group in groups)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{count} replays on zpager's engine, in virtual time: the same accesses under each configuration. A
task waits from a fault to its end; what it computes is not counted.</p>
<nav aria-label="Traces"><ul>{links}</ul></nav>
</header>
<main>
{sections}
</main>
</body>
</html>
"""


def pictures_of(groups: Sequence[Group]) -> list[list[Picture]]:
    """The pictures of each group."""
    return [figures.of_group(group, f"g{number}") for number, group in enumerate(groups, start=1)]


def _heading(group: Group) -> str:
    return f"{group.trace}, on {group.costs}"


def _section(name: str, group: Group, pictures: Sequence[Picture]) -> str:
    parts = [f'<section id="{name}" aria-labelledby="{name}-heading">']
    parts.append(f'<h2 id="{name}-heading">{escape(_heading(group))}</h2>')
    if group.outcomes:
        best, worst = group.outcomes[0], group.outcomes[-1]
        parts.append(
            f"<p>{len(group.outcomes)} configurations, {format_size(best.page_count * PAGE_BYTES)} of pages. "
            f"The fastest, <strong>{escape(group.label(best))}</strong>, waits {best.lost_ns / 1e9:,.3f} s; "
            f"the slowest, {escape(group.label(worst))}, {worst.lost_ns / 1e9:,.3f} s.</p>"
        )
        if best.lacks:
            lacks = "".join(f"<li>{escape(lack)}</li>" for lack in best.lacks)
            parts.append(f"<p>What this trace does not show:</p><ul>{lacks}</ul>")
        parts.append(_table("The fastest configuration for a given RAM", tables.fastest(group)))
        general = [one for one in pictures if one.name.count("-") == 1]
        parts.append(_figures(general))
        parts.append("<h3>What happens when</h3>")
        for number, outcome in enumerate(group.shown_in_time(), start=1):
            its_own = [one for one in pictures if one.name.startswith(f"{name}-{number}-")]
            parts.append(
                f"<details{' open' if number == 1 else ''}><summary>{escape(group.label(outcome))}</summary>"
                + _table("Tasks", tables.tasks(group, outcome))
                + _figures(its_own)
                + "</details>"
            )
        parts.append(_table("All configurations, the fastest first", tables.comparison(group)))
        parts.append(
            '<p class="soft">The optimum is Bélády’s, for who keeps uncompressed pages in all of the RAM, '
            "and for who keeps nothing but zpages there; first touches are left out, as in the misses. A "
            "pager that compresses comes between the two, and reads less often where it reads ahead.</p>"
        )
    if group.impossible:
        items = "".join(
            f"<li>{escape(group.label(outcome))}: {escape(why_not(outcome))}</li>"
            for outcome in group.impossible
        )
        parts.append(f"<h3>What did not come to its end</h3><ul>{items}</ul>")
    parts.append("</section>")
    return "\n".join(parts)


def _figures(pictures: Sequence[Picture]) -> str:
    return '<div class="figures">' + "\n".join(map(_figure, pictures)) + "</div>"


def _figure(picture: Picture) -> str:
    drawn = theme.svg(
        picture.name, f"{picture.title}. {picture.caption}", picture.height_inches, picture.draw
    )
    return (
        f'<figure id="{picture.name}"><h3>{escape(picture.title)}</h3>{drawn}'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _table(caption: str, rows: Rows) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in rows[0])
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{escape(cell)}</th>' if number == 0 else f"<td>{escape(cell)}</td>"
            for number, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows[1:]
    )
    return (
        f'<div class="scrolls" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
