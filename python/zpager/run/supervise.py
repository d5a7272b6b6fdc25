"""Running the program: its signals, its end, and its exit code, as if nobody stood between."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zpager.run.program import CannotStart

_SI_USER_MOST = 0  # what a process sends has a code of 0 or below; the terminal's has the kernel's
_LEFT_ALONE = {
    signal.SIGKILL,
    signal.SIGSTOP,
    # A job that is stopped and continued is so as a whole, by the terminal.
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGCONT,
    # Our own faults.
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
}
# A library's thread that was there before us, numpy's for one, does not block SIGCHLD, and gets it if it
# comes while we do not wait: then it is gone.
_LOOK_EVERY_SECONDS = 1.0
# What Python ignores, and a program expects to end by.
_AT_THEIR_DEFAULT = (signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(frozen=True)
class Ended:
    """How it ended."""

    code: int
    """As a shell has it: 128 and the signal's number for a signal."""
    wall_seconds: float
    user_seconds: float
    system_seconds: float
    max_rss_bytes: int
    """The most RAM that one of its processes had, as the kernel counts it."""


def run(
    path: str,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    *,
    every_seconds: float = 0,
    on_tick: Callable[[], None] = lambda: None,
    on_start: Callable[[int], None] = lambda process: None,
) -> Ended:
    """Run a program to its end. Signals that are sent to us are sent on to it; those that the terminal sends
    reach it anyway. `on_start` is told its process, `on_tick` called every so many seconds, if these are not
    0.

    Raises CannotStart where the system does not start it.
    """
    watched = signal.valid_signals() - _LEFT_ALONE
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        began = time.monotonic()
        try:
            process = os.posix_spawn(
                path, arguments, environment, setsigmask=mask, setsigdef=_AT_THEIR_DEFAULT
            )
        except OSError as error:
            code = 127 if isinstance(error, FileNotFoundError) else 126
            raise CannotStart(code, f"{path}: {error.strerror}") from None
        on_start(process)
        return _wait(process, began, watched, every_seconds, on_tick)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _wait(
    process: int,
    began: float,
    watched: set[signal.Signals],
    every_seconds: float,
    on_tick: Callable[[], None],
) -> Ended:
    next_tick = began + every_seconds
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        if ended:
            return Ended(
                code=_shells_code(status),
                wall_seconds=time.monotonic() - began,
                user_seconds=usage.ru_utime,
                system_seconds=usage.ru_stime,
                max_rss_bytes=usage.ru_maxrss << 10,
            )
        wait_seconds = _LOOK_EVERY_SECONDS
        if every_seconds:
            wait_seconds = min(wait_seconds, max(0.0, next_tick - time.monotonic()))
        information = signal.sigtimedwait(watched, wait_seconds)
        if every_seconds and time.monotonic() >= next_tick:
            next_tick += every_seconds
            on_tick()
        if information and information.si_signo != signal.SIGCHLD and information.si_code <= _SI_USER_MOST:
            os.kill(process, information.si_signo)


def _shells_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
