"""Names of temporary files, and removal of those that a killed process left.

A temporary file has a name only where the system requires one. The name has the number of its process and a checksum of
its machine's name. That process holds a lock on the file (flock(2)), which the system releases when the process ends,
however it ends. Some network file systems keep such locks within one machine, so that files of others are removed late.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import stat
import time
import zlib
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path

if os.name == "posix":
    import fcntl

#: A file that is younger may belong to a process that has not locked it yet.
STALE_SECONDS = 60.0

#: As that, for files of other machines, whose processes and locks may be invisible here.
FOREIGN_STALE_SECONDS = 24 * 3600.0

#: Entries of a folder that are checked at most.
_MOST_ENTRIES = 10_000

#: Folders that a process remembers to have checked.
_FOLDERS_REMEMBERED = 256

_NAME = re.compile(r"\..{0,20}\.(?P<pid>[0-9a-f]{1,8})-(?P<host>[0-9a-f]{8})-[0-9a-f]{8}\.part", re.DOTALL)


def temporary_name(stem: str) -> str:
    """Return a new name for a temporary file: hidden, with the number of this process and a checksum of its machine.

    Example:
        >>> bool(_NAME.fullmatch(temporary_name("scene")))
        True
    """
    return f".{stem[:20]}.{os.getpid():x}-{host_checksum()}-{secrets.token_hex(4)}.part"


def host_checksum() -> str:
    """Return the CRC-32 of this machine's name, in hexadecimal digits.

    Example:
        >>> len(host_checksum())
        8
    """
    return f"{zlib.crc32(os.fsencode(socket.gethostname())):08x}"


def lock(fd: int) -> None:
    """Lock a file for as long as it is open; some file systems have no locks."""
    if os.name == "posix":
        with suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)


def remove_abandoned(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files of processes that have ended.

    Removed are regular files of this user whose names are of `temporary_name`, whose process is not running, that no
    process has locked, and that are older than `STALE_SECONDS`, or `FOREIGN_STALE_SECONDS` if another machine made
    them. Links are not followed. A process checks a folder at most once in `STALE_SECONDS`.
    """
    period = int(time.monotonic() / STALE_SECONDS) if STALE_SECONDS else time.monotonic_ns()
    _remove_abandoned_once(os.path.abspath(folder), period)  # noqa: PTH100


@lru_cache(maxsize=_FOLDERS_REMEMBERED)
def _remove_abandoned_once(folder: str, _period: int) -> None:
    """Check a folder; the period distinguishes calls whose result is remembered."""
    own_host = host_checksum()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in islice(entries, _MOST_ENTRIES):
            match = _NAME.fullmatch(entry.name)
            if match is None:
                continue
            if match["host"] != own_host:
                remove_if_abandoned(entry.path, FOREIGN_STALE_SECONDS)
            elif not _is_running(int(match["pid"], 16)):
                remove_if_abandoned(entry.path)


def remove_if_abandoned(path: str | os.PathLike[str], stale_seconds: float | None = None) -> None:
    """Remove a temporary file if it is old, and no process has locked it.

    Args:
        path: The file.
        stale_seconds: Age from which it is old; `STALE_SECONDS` by default.
    """
    stale_seconds = STALE_SECONDS if stale_seconds is None else stale_seconds
    if os.name != "posix":
        with suppress(OSError):  # Windows removes no file that is open
            if time.time() - Path(path).lstat().st_mtime > stale_seconds:
                Path(path).unlink()
        return
    with suppress(OSError):
        _remove_if_unlocked(Path(path), stale_seconds)


def _remove_if_unlocked(path: Path, stale_seconds: float) -> None:
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if _is_old(os.fstat(fd), stale_seconds):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), path.lstat()):
                path.unlink()
    finally:
        os.close(fd)


def _is_old(status: os.stat_result, stale_seconds: float) -> bool:
    """Return whether a file is an old regular one of this user."""
    is_old = time.time() - max(status.st_mtime, status.st_ctime) > stale_seconds
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
