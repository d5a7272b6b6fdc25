"""Where the swap file goes: a writable directory on a real disk.

A swap file on tmpfs or ramfs would sit in the very RAM that it is to relieve, so such a directory is refused.
So is one that somebody else could choose for us: a link of another user's, or a directory where others may
remove files, if the swap file needed a name there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from zpager.errors import ConfigurationError
from zpager.machine import Mount, file_system_type

ENVIRONMENT_VARIABLE = "ZPAGER_SWAP_DIR"
RAM_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})


def choose_swap_directory(
    requested: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    mounts: list[Mount] | None = None,
) -> str:
    """The directory for the swap file, as an absolute path.

    That is `requested`, else `$ZPAGER_SWAP_DIR`, else the first that will do of `/var/tmp`, `$TMPDIR`,
    `/tmp`, the user's cache directory, the home directory, and the current directory. A link is followed:
    the path is that of the directory itself.

    Raises ConfigurationError if the directory that was asked for cannot be used, or if none can.
    """
    if requested is None and environment.get(ENVIRONMENT_VARIABLE):
        requested, origin = environment[ENVIRONMENT_VARIABLE], f"${ENVIRONMENT_VARIABLE}"
    else:
        origin = "swap_dir"
    if requested is not None:
        if not requested or not isinstance(requested, str | os.PathLike):
            raise ConfigurationError(
                f"{origin}={requested!r}: give the path of a directory on a disk, for example '/var/tmp'"
            )
        directory = os.path.abspath(os.path.expanduser(requested))
        objection = objection_to(directory, mounts)
        if objection:
            raise ConfigurationError(
                f"{origin}={directory!r} {objection}; name a writable directory on a disk, for example "
                "swap_dir='/var/tmp'"
            )
        return _followed(directory)
    candidates = _candidates(environment)
    for directory in candidates:
        if not objection_to(directory, mounts):
            return _followed(directory)
    tried = "; ".join(f"{directory} {objection_to(directory, mounts)}" for directory in candidates)
    raise ConfigurationError(
        f"no directory for the swap file: {tried}; name one on a disk by swap_dir= or ${ENVIRONMENT_VARIABLE}"
    )


def objection_to(directory: str, mounts: list[Mount] | None = None) -> str | None:
    """Why a swap file cannot lie in `directory`, put so that it follows the directory's name; None if it
    can."""
    if not os.path.exists(directory):
        return "does not exist"
    if not os.path.isdir(directory):
        return "is not a directory"
    file_system = file_system_type(directory, mounts)
    if file_system in RAM_FILE_SYSTEMS:
        return f"is on {file_system}, which is itself in RAM, so swapping there would free nothing"
    if not os.access(directory, os.W_OK | os.X_OK):
        return "is not writable for this user"
    return _objection_to_others_in(directory)


def doubt_about(directory: str) -> str | None:
    """What is not as it should be about a directory that will do, put so that it follows its name; None if
    all is."""
    if _others_may_remove(directory):
        return (
            "is writable by every user without the sticky bit; the swap file has no name there, so nobody "
            "can reach it, but a directory of your own is better"
        )
    return None


def free_bytes(directory: str) -> int:
    """The room that the file system of `directory` has left for this user, in bytes."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def _objection_to_others_in(directory: str) -> str | None:
    """Why another user could choose or reach the swap file, put as in `objection_to`."""
    owner = os.lstat(directory).st_uid
    if os.path.islink(directory) and owner not in {0, os.geteuid()}:
        return (
            f"is a symbolic link of another user's (user id {owner}), who could point it anywhere at any "
            "moment"
        )
    if _others_may_remove(directory) and not _has_unnamed_files(directory):
        return (
            "is writable by every user without the sticky bit, and its file system has no files without a "
            "name (O_TMPFILE), so that others could tamper with the swap file while it is made"
        )
    return None


def _followed(directory: str) -> str:
    return os.path.realpath(directory) if os.path.islink(directory) else directory


def _others_may_remove(directory: str) -> bool:
    mode = os.stat(directory).st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def _has_unnamed_files(directory: str) -> bool:
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError:
        return False
    return True


def _candidates(environment: Mapping[str, str]) -> list[str]:
    home = os.path.expanduser("~")
    candidates = [
        "/var/tmp",
        environment.get("TMPDIR") or "/tmp",
        "/tmp",
        environment.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"),
        home,
        os.getcwd(),
    ]
    return list(dict.fromkeys(candidates))
