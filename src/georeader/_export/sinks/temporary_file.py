"""Temporary files that have no name until they are finished, so that a process that is killed leaves nothing.

Linux opens a file that is in no folder (O_TMPFILE, open(2)) and later links it to its name (linkat(2)). Elsewhere, and
on file systems that cannot, it is a hidden file, removed on every exit but a kill, and then by the next save into the
folder. Its name has the number of its process and a checksum of its machine's name. The process holds a lock on the
file (flock(2)), which the system releases when the process ends, however it ends. Some network file systems keep such
locks within one machine, so that files of others are removed late.
"""

from __future__ import annotations

import base64
import errno
import functools
import hashlib
import os
import re
import secrets
import shutil
import socket
import stat
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from georeader.errors import WriteError

if os.name == "posix":
    import fcntl

#: A finished file is read in pieces of so many bytes.
PIECE_BYTES = 4 * 2**20

#: A file is copied to another in pieces of so many bytes, which stay in the processor's cache.
COPY_BYTES = 2**18

#: From this size on, room is reserved for what is copied.
LEAST_RESERVED_BYTES = 2**20

#: File systems share blocks of this size, or of one that divides it.
BLOCK_BYTES = 4096

#: Linux's number of the request that shares blocks of two files.
_FICLONERANGE = 0x4020940D

#: A file that is younger may belong to a process that has not locked it yet.
STALE_SECONDS = 60.0

#: As that, for files of other machines, whose processes and locks may be invisible here.
FOREIGN_STALE_SECONDS = 24 * 3600.0

#: Entries of a folder that are checked at most.
_MOST_ENTRIES = 10_000

_READ_WRITE = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

#: Pieces that pwritev(2) takes at once, at most (IOV_MAX).
_PIECES_PER_CALL = 1000

#: The system's errors for a file without room: a full disk, a quota, a limit of the process or file system.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: Bytes of the attempt to grow a file: about those of a tile, which another writer failed to write.
_ATTEMPT_BYTES = 4 * 2**20

#: What open(2) says where a file system has no unnamed files.
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)

#: And where it copies nothing by itself between these two files.
_NO_COPY_IN_SYSTEM = (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF)

_NAME = re.compile(r"\..{0,20}\.(?P<pid>[0-9a-f]{1,8})-(?P<host>[0-9a-f]{8})-[0-9a-f]{8}\.part", re.DOTALL)


class TemporaryFile:
    """A file open for writing at any offset; its methods raise WriteError."""

    def __init__(
        self,
        folder: Path,
        stem: str,
        scratch: Path | None = None,
        *,
        whose: str = "",
        is_spool: bool = False,
        is_shared: bool = False,
    ) -> None:
        """Open it in the folder of its destination, so that it only needs a name when it is finished.

        ``stem`` begins its name, where it needs one from the start, and ``whose`` its error messages. A spool will not
        be committed, and is gone with its process where the system has a way for that. A file that other processes
        write to has a name from the start.
        """
        self._folder = folder
        self._scratch = scratch
        self._whose = f"{whose}: " if whose else ""
        self._name: Path | None = None
        self._fd = -1 if is_shared else _open_unnamed(folder)
        if self._fd < 0:
            remove_abandoned(folder)
            self._name = folder / temporary_name(stem)
            flags = _READ_WRITE | os.O_CREAT | os.O_EXCL | (getattr(os, "O_TEMPORARY", 0) if is_spool else 0)
            self._fd = os.open(self._name, flags, 0o666)
        lock(self._fd)
        if is_spool and self._name is not None and os.name == "posix":
            name, self._name = self._name, None
            name.unlink()

    @property
    def size_bytes(self) -> int:
        """Length so far."""
        return os.fstat(self._fd).st_size

    @property
    def path(self) -> str:
        """A path by which this process can open it, whether it has a name or not."""
        return f"/proc/self/fd/{self._fd}" if self._name is None else str(self._name)

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write all pieces, one after the other."""
        for first in range(0, len(pieces), _PIECES_PER_CALL):
            batch = pieces[first : first + _PIECES_PER_CALL]
            total_bytes = sum(map(len, batch))
            try:
                _write_all(self._fd, batch, offset_bytes)
            except OSError as error:
                raise WriteError(
                    error.errno,
                    f"{self._whose}{total_bytes} bytes cannot be written at byte {offset_bytes}: {error.strerror}"
                    f"{self._room(error)}",
                ) from error
            offset_bytes += total_bytes

    def copy_from(self, source_fd: int, source_bytes: int, offset_bytes: int, length_bytes: int) -> None:
        """Copy bytes from another open file: by the system where it can, which may share blocks of both."""
        try:
            copy_range(source_fd, self._fd, source_bytes, offset_bytes, length_bytes)
        except OSError as error:
            raise WriteError(
                error.errno,
                f"{self._whose}{length_bytes} bytes cannot be copied to byte {offset_bytes}: {error.strerror}"
                f"{self._room(error)}",
            ) from error

    def room_error(self) -> WriteError | None:
        """Return why the file cannot grow, found by an attempt; None where it can. The file's content is lost.

        For writers that do not report the reason: GDAL has its own message for a full disk, or none.
        """
        try:
            self.write_at(self.size_bytes, bytes(_ATTEMPT_BYTES))
        except WriteError as error:
            return error
        return None

    def _room(self, error: OSError) -> str:
        """Return the end of a message that names the full disk, for errors that mean one."""
        if error.errno not in _NO_ROOM:
            return ""
        place = repr(str(self._folder))
        try:
            return f"; the disk of {place} has {shutil.disk_usage(self._folder).free} bytes free"
        except OSError:
            return f"; free the disk of {place}"

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Read bytes that were written."""
        parts: list[bytes] = []
        while size_bytes:
            try:
                part = _read_at(self._fd, size_bytes, offset_bytes)
            except OSError as error:
                raise WriteError(error.errno, f"{self._whose}cannot be read: {error.strerror}") from error
            if not part:
                raise WriteError(f"{self._whose}it ends at byte {offset_bytes}, {size_bytes} too early")
            parts.append(part)
            offset_bytes, size_bytes = offset_bytes + len(part), size_bytes - len(part)
        return b"".join(parts)

    def pieces(self, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
        """Iterate over the content."""
        size_bytes = self.size_bytes
        for offset_bytes in range(0, size_bytes, piece_bytes):
            yield self.read_at(offset_bytes, min(piece_bytes, size_bytes - offset_bytes))

    @functools.cached_property
    def md5(self) -> str:
        """MD5 of the finished file, which is read once for it, as Content-MD5 has it: in base64."""
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self.pieces():
            digest.update(piece)
        return base64.b64encode(digest.digest()).decode()

    def commit(self, path: Path, *, durable: bool, overwrite: bool = True) -> None:
        """Link the file to its name in one step; an earlier file is replaced, and its permissions are kept.

        Raises OSError, and leaves an earlier file as it was; FileExistsError if it may not be replaced, even if it
        appears at this very moment. If durable, the file is flushed to the disk before, and its folder after.
        """
        if overwrite:
            with suppress(FileNotFoundError):
                os.chmod(self._fd if os.chmod in os.supports_fd else self.path, path.stat().st_mode)  # noqa: PTH101
        if durable:
            os.fsync(self._fd)
        if self._name is None:
            try:
                self._link_as(path)
            except FileExistsError:
                if not overwrite:
                    raise
                self._replace(path)
        else:
            os.close(self._fd)  # some network file systems report a full disk here
            self._fd = -1
            _rename(self._name, path, overwrite)
            self._name = None
        if durable:
            _flush_folder(path.parent)

    def close(self) -> None:
        """Close the file; without a commit it is removed."""
        fd, self._fd = self._fd, -1  # first: a late thread must not write to a file that reuses the number
        if fd >= 0:
            os.close(fd)
        if self._name is not None:
            self._name.unlink(missing_ok=True)
            self._name = None

    def _link_as(self, path: Path) -> None:
        """Link the unnamed file; linkat(2) follows its source only with a folder, which an absolute path overrides."""
        os.link(f"/proc/self/fd/{self._fd}", path.absolute(), dst_dir_fd=self._fd, follow_symlinks=True)

    def _replace(self, path: Path) -> None:
        """Replace an earlier file by the unnamed one.

        linkat(2) replaces nothing, so it takes a link elsewhere and a rename. A process that is killed between the two
        calls leaves the link: in the folder for temporary files where that is on the same file system, so that the
        destination's folder never holds it; else beside the destination, where the next save removes it.
        """
        scratch = self._scratch or temporary_folder()
        link = scratch / temporary_name(path.stem)
        try:
            try:
                self._link_as(link)
            except OSError:  # on another file system, or there is no such folder
                link = _beside(path)
                self._link_as(link)
            link.rename(path)
        except BaseException:
            with suppress(OSError):
                if os.path.samestat(link.lstat(), os.fstat(self._fd)):
                    link.unlink()
            raise
        remove_abandoned(scratch)


def temporary_folder() -> Path:
    """Return the system's folder for temporary files, as `tempfile.gettempdir` does, but without a test file.

    That function writes a file to each folder that it tries, which a killed process leaves behind.
    """
    if os.name != "posix" or tempfile.tempdir is not None:
        return Path(os.fsdecode(tempfile.gettempdir()))
    named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
    for folder in (*filter(None, named), "/tmp", "/var/tmp", "/usr/tmp"):  # noqa: S108  (tempfile's own order)
        if Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return Path(folder).absolute()
    return Path.cwd()


# What the systems differ in.

#: Windows has neither pwrite nor pread: there a seek and what follows are one step for all threads.
_seeking = threading.Lock()


def _open_unnamed(folder: Path) -> int:
    """Open an unnamed file in a folder; -1 where the system cannot."""
    flag = getattr(os, "O_TMPFILE", 0)
    if not flag:
        return -1
    try:
        fd = os.open(folder, flag | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in _NO_UNNAMED_FILES:
            return -1
        raise
    if not Path("/proc/self/fd").is_dir():  # without it, the file cannot be linked later
        os.close(fd)
        return -1
    return fd


def _write_all(fd: int, pieces: Sequence[bytes | memoryview], offset_bytes: int) -> None:
    written_bytes = 0
    if len(pieces) > 1 and hasattr(os, "pwritev"):
        written_bytes = os.pwritev(fd, pieces, offset_bytes)
        if written_bytes == sum(map(len, pieces)):
            return
    rest = memoryview(b"".join(pieces))[written_bytes:]
    offset_bytes += written_bytes
    while rest:
        written_bytes = _write_at(fd, rest, offset_bytes)
        rest, offset_bytes = rest[written_bytes:], offset_bytes + written_bytes


def _write_at(fd: int, data: memoryview, offset_bytes: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(fd, data, offset_bytes)
    with _seeking:
        os.lseek(fd, offset_bytes, os.SEEK_SET)
        return os.write(fd, data)


def _read_at(fd: int, size_bytes: int, offset_bytes: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, size_bytes, offset_bytes)
    with _seeking:
        os.lseek(fd, offset_bytes, os.SEEK_SET)
        return os.read(fd, size_bytes)


def _rename(name: Path, path: Path, overwrite: bool) -> None:
    """Rename a file; without overwriting by a second link, which replaces nothing, where the system has links."""
    if overwrite:
        os.replace(name, path)
    elif os.name == "nt":
        name.rename(path)  # which replaces nothing there
    else:
        os.link(name, path)
        name.unlink()


def _flush_folder(folder: Path) -> None:
    """Flush the folder's list of names, on systems where a folder can be opened."""
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


# Names, and what killed processes left.


def temporary_name(stem: str) -> str:
    """Return a new name for a temporary file: hidden, with the number of this process and a checksum of its machine."""
    return f".{stem[:20]}.{os.getpid():x}-{host_checksum()}-{secrets.token_hex(4)}.part"


def host_checksum() -> str:
    """Return the CRC-32 of this machine's name, in eight hexadecimal digits."""
    return f"{zlib.crc32(os.fsencode(socket.gethostname())):08x}"


def _beside(path: Path) -> Path:
    """Return a path for the link beside the destination, the same each time, unless another save uses it right now."""
    link = path.with_name(f".{path.stem[:20]}.{zlib.crc32(os.fsencode(path.name)):08x}.part")
    _remove_if_abandoned(link, STALE_SECONDS)
    return path.with_name(temporary_name(path.stem)) if os.path.lexists(link) else link


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


@functools.lru_cache(maxsize=256)
def _remove_abandoned_once(folder: str, _period: int) -> None:
    """Check a folder; the period distinguishes calls whose result is remembered."""
    own_host = host_checksum()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in islice(entries, _MOST_ENTRIES):
            match = _NAME.fullmatch(entry.name)
            if match is None:
                continue
            if match["host"] != own_host:
                _remove_if_abandoned(Path(entry.path), FOREIGN_STALE_SECONDS)
            elif not _is_running(int(match["pid"], 16)):
                _remove_if_abandoned(Path(entry.path), STALE_SECONDS)


def _remove_if_abandoned(path: Path, stale_seconds: float) -> None:
    """Remove a temporary file if it is old, and no process has locked it."""
    with suppress(OSError):
        if os.name != "posix":  # Windows removes no file that is open
            if time.time() - path.lstat().st_mtime > stale_seconds:
                path.unlink()
            return
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            is_old = time.time() - max(status.st_mtime, status.st_ctime) > stale_seconds
            if is_old and stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(status, path.lstat()):
                    path.unlink()
        finally:
            os.close(fd)


def _is_running(pid: int) -> bool:
    """Return whether a process of this number runs; on Windows, where this cannot be asked, False."""
    if os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's
        pass
    return True


def copy_range(source_fd: int, target_fd: int, source_bytes: int, target_bytes: int, size_bytes: int) -> None:
    """Copy bytes from one open file to another.

    Whole blocks are shared where the file system can, and where they lie at the same place within a block. Raises
    OSError; EIO where the source ends too early.
    """
    before = min(size_bytes, -source_bytes % BLOCK_BYTES)
    shared = (size_bytes - before) // BLOCK_BYTES * BLOCK_BYTES
    if not _share_blocks(source_fd, target_fd, source_bytes + before, target_bytes + before, shared):
        before = shared = 0
        _reserve(target_fd, target_bytes, size_bytes)
    _copy(source_fd, target_fd, source_bytes, target_bytes, before)
    done = before + shared
    _copy(source_fd, target_fd, source_bytes + done, target_bytes + done, size_bytes - done)


def _share_blocks(source_fd: int, target_fd: int, source_bytes: int, target_bytes: int, size_bytes: int) -> bool:
    """Have a file share whole blocks with another (ioctl_ficlonerange(2)); return whether the file system did so."""
    if os.name != "posix" or not size_bytes or target_bytes % BLOCK_BYTES:
        return False
    try:
        fcntl.ioctl(target_fd, _FICLONERANGE, struct.pack("qQQQ", source_fd, source_bytes, size_bytes, target_bytes))
    except OSError:  # it cannot, or the files are on two file systems
        return False
    return True


def _reserve(fd: int, offset_bytes: int, size_bytes: int) -> None:
    """Reserve room on a disk (posix_fallocate(3)): a full one is noticed before anything is copied.

    ext4 would otherwise write all of a large file before it takes the place of another. A file system without a disk of
    its own may write zeros to reserve room.
    """
    if size_bytes >= LEAST_RESERVED_BYTES and hasattr(os, "posix_fallocate") and os.major(os.fstat(fd).st_dev):
        try:
            os.posix_fallocate(fd, offset_bytes, size_bytes)
        except OSError as error:  # some file systems cannot
            if error.errno in _NO_ROOM:
                raise


def _copy(source_fd: int, target_fd: int, source_bytes: int, target_bytes: int, size_bytes: int) -> None:
    """Copy bytes: by a file system without a disk of its own, such as that of a server; on a disk by reading them.

    There copy_file_range(2) takes longer than reading and writing by a buffer that stays in the processor's cache.
    """
    in_system = hasattr(os, "copy_file_range") and os.major(os.fstat(target_fd).st_dev) == 0
    buffer = memoryview(bytearray(min(COPY_BYTES, size_bytes)))
    while size_bytes:
        if in_system:
            try:
                copied_bytes = os.copy_file_range(source_fd, target_fd, size_bytes, source_bytes, target_bytes)
            except OSError as error:
                if error.errno not in _NO_COPY_IN_SYSTEM:
                    raise
                in_system = False
                continue
        else:
            piece = buffer[: _read_into(source_fd, buffer[:size_bytes], source_bytes)]
            _write_all(target_fd, [piece], target_bytes)
            copied_bytes = len(piece)
        if not copied_bytes:
            raise OSError(errno.EIO, f"the file ends {size_bytes} bytes too early")
        source_bytes, target_bytes = source_bytes + copied_bytes, target_bytes + copied_bytes
        size_bytes -= copied_bytes


def _read_into(fd: int, buffer: memoryview, offset_bytes: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(fd, [buffer], offset_bytes)
    piece = _read_at(fd, len(buffer), offset_bytes)
    buffer[: len(piece)] = piece
    return len(piece)
