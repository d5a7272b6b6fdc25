"""The exceptions and the warnings of zpager, each saying when it comes and what to do.

Every exception is a `zpager.Error` and also the built-in class that fits, so that code which knows nothing of
zpager handles it rightly: `except MemoryError` catches a request that is too large, `except OSError` a
failing disk. The extension module `zpager._core` imports this module by name and raises these classes with
one message.
"""

from __future__ import annotations


class Error(Exception):
    """The base of every exception that zpager raises."""


class OutOfSwap(Error, MemoryError):
    """More memory was asked for than `ram` + `swap` can hold.

    It comes when memory is *asked for* (`empty`, `zeros`, `array`, `allocate`), never when it is touched.
    Free an array that is no longer needed, or make the pager with a larger `swap`.
    """


class DeviceError(Error, OSError):
    """The swap file could not be created, written, or read.

    Typical causes: the file system is full (swap is reserved when the pager is made, so this shows at the
    start), or the disk reports an error. Choose another directory (`swap_dir=` or `$ZPAGER_SWAP_DIR`), a
    smaller `swap`, or replace the disk. A page whose write failed stays in RAM; nothing is lost by this error
    alone.
    """


class PageLost(Error, OSError):
    """The only copy of a page could not be read back, or its checksum is wrong: its contents are gone.

    The message names the array and the offset. Contents that are wrong are never handed out. Treat the array
    as damaged: compute it anew or load it from its source, and check the disk under `swap_dir`.

    It comes from `Pager.verify`, `Pager.populate` and `Pager.array`. A lost page that is simply touched can
    raise nothing: there the process ends in SIGBUS, with a line on stderr that says the same.
    """


class UserfaultfdUnavailable(Error, OSError):
    """This machine does not let the process use userfaultfd, without which nothing can be paged.

    The message says why. `zpager doctor` tells in full what is missing and the command that remedies it, for
    example `sysctl vm.unprivileged_userfaultfd=1`, or a seccomp profile for a container.
    """


class ConfigurationError(Error, ValueError):
    """An argument makes no sense here; the message shows the value and what would be accepted."""


class ClosedError(Error, ValueError):
    """The pager cannot be used (any more): it was closed, or this is a forked child of the process that made
    it.

    A `ValueError` as with a closed file. Make a new `Pager`; a forked child needs one of its own, because the
    memory of a pager stays in the process that made it.
    """


class LiveArraysWarning(UserWarning):
    """A pager was closed while some of its arrays were alive; the message names them.

    Nothing is pulled away: they stay valid, and the pager gives its RAM and its swap file back when the last
    of them goes. To be rid of the warning, `del` the arrays (and the views of them) before the end of the
    `with` block. It is a `UserWarning` and no `ResourceWarning`, because Python hides the latter by default.
    """


class SwapDirectoryWarning(UserWarning):
    """The swap directory will do, but something about it is not as it should be; the message says what.

    It comes for a directory in which every user may remove the files of others. The swap file has no name
    there, so nobody can reach it, but a directory of one's own is better: name one by `swap_dir=` or
    `$ZPAGER_SWAP_DIR`, or give it the sticky bit as /tmp has it (`chmod +t`).
    """
