"""Whether a program can be run under zpager here."""

from __future__ import annotations

from zpager.doctor import examine
from zpager.options import Options
from zpager.run import preload, program


def find_possible(name: str, options: Options) -> str:
    """The path of a program that can be run with these options.

    Raises CannotStart with the exit code of `zpager run` where there is none.
    """
    path = program.find(name)
    program.require_preloadable(path)
    if not preload.LIBRARY.exists():
        raise program.CannotStart(program.OWN_FAILURE, f"{preload.LIBRARY} is missing; install zpager anew")
    problems = [finding for finding in examine(options.swap_directory) if finding.status == "problem"]
    if problems:
        told = "; ".join(f"{one.subject}: {one.found}; {one.remedy}" for one in problems)
        raise program.CannotStart(program.OWN_FAILURE, told)
    return path
