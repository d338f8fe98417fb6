"""Names of temporary files, and removal of those that a killed process left.

A temporary file has a name only where the system requires one. The name has the number of its process, and that
process holds a lock on the file (flock(2)) which the system releases when the process ends, however it ends.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path

if os.name == "posix":
    import fcntl

#: A file that is younger may belong to a process that has not locked it yet.
STALE_SECONDS = 60.0

#: Entries of a folder that are checked at most.
_MOST_ENTRIES = 10_000

_NAME = re.compile(r"\..{0,20}\.(?P<pid>[0-9a-f]{1,8})-[0-9a-f]{8}\.part", re.DOTALL)


def temporary_name(stem: str) -> str:
    """Return a new name for a temporary file: hidden, with this process's number.

    Example:
        >>> bool(_NAME.fullmatch(temporary_name("scene")))
        True
    """
    return f".{stem[:20]}.{os.getpid():x}-{secrets.token_hex(4)}.part"


def lock(fd: int) -> None:
    """Lock a file for as long as it is open; some file systems have no locks."""
    if os.name == "posix":
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)


def remove_abandoned(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files of processes that have ended.

    Removed are regular files of this user whose names are of `temporary_name`, whose process is not running, that no
    process has locked, and that are older than `STALE_SECONDS`. Links are not followed.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in islice(entries, _MOST_ENTRIES):
            match = _NAME.fullmatch(entry.name)
            if match and not _is_running(int(match["pid"], 16)):
                remove_if_abandoned(entry.path)


def remove_if_abandoned(path: str | os.PathLike[str]) -> None:
    """Remove a temporary file if it is old, and no process has it open."""
    if os.name != "posix":
        with suppress(OSError):  # Windows removes no file that is open
            if time.time() - Path(path).lstat().st_mtime > STALE_SECONDS:
                Path(path).unlink()
        return
    with suppress(OSError):
        _remove_if_unlocked(Path(path))


def _remove_if_unlocked(path: Path) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if _is_abandoned(os.fstat(fd)):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), path.lstat()):
                path.unlink()
    finally:
        os.close(fd)


def _is_abandoned(status: os.stat_result) -> bool:
    is_old = time.time() - max(status.st_mtime, status.st_ctime) > STALE_SECONDS
    return is_old and stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _is_running(pid: int) -> bool:
    """Return whether a process of this number runs; on Windows, where this cannot be asked, False."""
    if os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
