"""Programs under `zpager run` whose large memory is first wanted while the loader holds its lock."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from test_run import run

pytestmark = [
    pytest.mark.userfaultfd,
    pytest.mark.skipif(shutil.which("cc") is None, reason="a C compiler is needed"),
]

LIBRARY = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
char *blocks[64];
__attribute__((constructor)) static void begin(void) {
    for (int number = 0; number < 64; number++) {
        blocks[number] = malloc(1 << 20);
        memset(blocks[number], number, 1 << 20);
    }
    for (int number = 0; number < 64; number++)
        if (blocks[number][12345] != number) abort();
    puts("constructed");
}
"""
PROGRAM = r"""
#include <dlfcn.h>
int main(int count, char **arguments) { return dlopen(arguments[1], RTLD_NOW) ? 0 : 1; }
"""


def test_a_constructor_may_use_more_memory_than_ram(tmp_path: Path) -> None:
    for name, source, flags in (("library", LIBRARY, ["-shared", "-fPIC"]), ("program", PROGRAM, [])):
        (tmp_path / f"{name}.c").write_text(source)
        subprocess.run(
            ["cc", *flags, "-o", str(tmp_path / name), str(tmp_path / f"{name}.c"), "-ldl"], check=True
        )
    # No thread of the pager may need the loader's lock to begin.
    done = run(str(tmp_path / "program"), str(tmp_path / "library"), options=("--ram=16MiB", "--swap=128MiB"))
    assert (done.returncode, done.stdout) == (0, "constructed\n"), done.stderr
