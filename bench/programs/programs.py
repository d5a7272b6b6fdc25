"""The programs: what each needs, how it is called for so much RAM, and what comes out.

Most of them have about three times that RAM at their peak where nobody limits them.
"""

from __future__ import annotations

import importlib.util
import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_JOBS = Path(__file__).with_name("jobs.py")
_MIB = 1 << 20
_PEAK = 3


def _nothing(_directory: Path, _ram_bytes: int) -> None:
    pass


@dataclass(frozen=True)
class Program:
    """One program."""

    name: str
    executables: tuple[str, ...]
    command: Callable[[int], list[str]]
    """For so many bytes of RAM; it runs in the directory of its input."""
    prepare: Callable[[Path, int], None] = _nothing
    """Makes its input in a directory."""
    outputs: tuple[str, ...] = ()
    """Files that it writes, which must be the same; its stdout must be, too."""
    stdin: str | None = None
    modules: tuple[str, ...] = ()

    @property
    def short_name(self) -> str:
        """The first word of its name."""
        return self.name.split()[0]

    def why_not(self) -> str | None:
        """Why it cannot be run here; None if it can."""
        missing = [name for name in self.executables if not shutil.which(name)]
        missing += [name for name in self.modules if importlib.util.find_spec(name) is None]
        return f"{', '.join(missing)} is not installed" if missing else None


def _job(name: str, *modules: str) -> Program:
    def command(ram_bytes: int) -> list[str]:
        return [sys.executable, str(_JOBS), name, str(_PEAK * ram_bytes // _MIB)]

    return Program(f"{name} (Python)", (), command, modules=modules)


def _lines(directory: Path, ram_bytes: int) -> None:
    """A file of lines that are not in order. sort goes about at random through what it has in its buffer, the
    worst that can be for any swap: so this is only twice the RAM."""
    draw = random.Random(1)
    left = ram_bytes
    with (directory / "lines").open("w") as file:
        while left > 0:
            text = draw.randbytes(1 << 20).hex("\n", 20)
            left -= file.write(text + "\n")


def _source(directory: Path, ram_bytes: int) -> None:
    """Functions, and a table that takes gcc half more than the RAM to compile. Its collector goes over all of
    that again and again, as sort does."""
    draw = random.Random(1)
    functions = 50
    # A number takes gcc 12 about 200 bytes.
    numbers = ram_bytes * 5 // 4 // 200
    with (directory / "large.c").open("w") as file:
        file.write("#include <stddef.h>\n")
        for number in range(functions):
            a, b, c = (draw.randrange(3, 1000) for _ in range(3))
            file.write(
                f"static long table_{number}[{a}];\n"
                f"long f{number}(const long *in, size_t n) {{\n"
                f"  long sum = {b};\n"
                f"  for (size_t i = 0; i < n; i++) {{\n"
                f"    if (in[i] % {c} == {number % 7}) sum += in[i] * {a} ^ table_{number}[i % {a}];\n"
                f"    else table_{number}[i % {a}] = sum - in[i] / {b};\n"
                f"    switch (in[i] & 7) {{ case 1: sum ^= {c}; break; case 2: sum *= {a};\n"
                f"      case 5: sum -= i; break; case 6: sum += {b} * i; }}\n"
                f"  }}\n  return sum;\n}}\n"
            )
        file.write("long all(const long *in, size_t n) {\n  long sum = 0;\n")
        file.writelines(f"  sum += f{number}(in, n);\n" for number in range(functions))
        file.write("  return sum;\n}\nconst long numbers[] = {\n")
        for _ in range(0, numbers, 10):
            file.write("".join(f"{draw.randrange(10**9)}, " for _ in range(10)) + "\n")
        file.write("};\n")


def _script(directory: Path, ram_bytes: int) -> None:
    """SQL that fills a database of that size in memory."""
    rows = _PEAK * ram_bytes // 120
    (directory / "script.sql").write_text(
        f"""create table sale (number integer primary key, article integer, price real, note text);
with recursive count(n) as (select 1 union all select n + 1 from count where n < {rows})
insert into sale select n, n * 7919 % 100003, n % 10007 / 7.0,
  printf('%x-%x-%d', n * 2654435761 % 4294967296, n * n % 1000003, n) from count;
create index by_article on sale (article, price);
create index by_note on sale (note);
select count(*), sum(price), min(note), max(note) from sale;
select article, count(*), sum(price) from sale group by article order by 3 desc, 1 limit 20;
select note from sale where note >= '7' order by note limit 20;
"""
    )


PROGRAMS = (
    _job("pandas", "pandas"),
    _job("numpy"),
    _job("objects"),
    Program(
        "sqlite3 in memory", ("sqlite3",), lambda _: ["sqlite3", ":memory:"], _script, stdin="script.sql"
    ),
    Program(
        "sort",
        ("sort",),
        lambda ram: ["env", "LC_ALL=C", "sort", f"-S{2 * ram}b", "-o", "sorted", "lines"],
        _lines,
        outputs=("sorted",),
    ),
    Program(
        "gcc -O2",
        ("gcc",),
        lambda _: ["gcc", "-O2", "-S", "-o", "large.s", "large.c"],
        _source,
        outputs=("large.s",),
    ),
)
