"""A file that has no name until it is finished, so that a process that is killed leaves nothing.

Linux opens a file that is in no folder (O_TMPFILE, open(2)) and later links it to its name (linkat(2)). Elsewhere, and
on file systems that cannot, it is a hidden file beside the destination, removed on every exit but a kill; what a killed
process left is removed by the next save into the folder (`leftovers`).
"""

from __future__ import annotations

import errno
import functools
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from georeader._export.sinks.leftovers import lock, remove_abandoned, remove_if_abandoned, temporary_name
from georeader.errors import DestinationError, WriteError

_READ_WRITE = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

#: Pieces that pwritev(2) takes at once, at most (IOV_MAX).
_PIECES_PER_CALL = 1000

#: The system's errors for a file without room: a full disk, a quota, a limit of the process or file system.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

#: Bytes of the attempt to grow a file: about those of a tile, which another writer failed to write.
_ATTEMPT_BYTES = 4 * 2**20

#: What open(2) says where a file system has no unnamed files.
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)


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


class TemporaryFile:
    """A file open for writing at any offset."""

    def __init__(
        self,
        folder: Path,
        stem: str,
        scratch: Path | None = None,
        *,
        whose: str = "",
        is_deleted_on_close: bool = False,
    ) -> None:
        """Open it.

        Args:
            folder: Of the destination, so that the finished file only needs a name.
            stem: Beginning of the name, where the file needs one from the start.
            scratch: Folder for temporary files; the system's by default.
            whose: Beginning of error messages: the destination, and the file's purpose.
            is_deleted_on_close: It will not be committed; Windows then removes it with its process.

        Raises:
            OSError: The folder takes no files.
        """
        self._folder = folder
        self._scratch = scratch
        self._whose = f"{whose}: " if whose else ""
        self._name: Path | None = None
        self._fd = _open_unnamed(folder)
        if self._fd < 0:
            remove_abandoned(folder)
            self._name = folder / temporary_name(stem)
            temporary = getattr(os, "O_TEMPORARY", 0) if is_deleted_on_close else 0
            self._fd = os.open(self._name, _READ_WRITE | os.O_CREAT | os.O_EXCL | temporary, 0o666)
        lock(self._fd)

    @classmethod
    def nameless(cls, folder: Path, stem: str, *, whose: str = "") -> TemporaryFile:
        """Open a file that will never get a name: gone when it is closed, or with the process.

        Args:
            folder: Where its bytes lie.
            stem: Begins the name that it has for a moment on systems without unnamed files.
            whose: As for any other.

        Raises:
            OSError: The folder takes no files.
        """
        file = cls(folder, stem, whose=whose, is_deleted_on_close=True)
        if file._name is not None and os.name == "posix":
            name, file._name = file._name, None
            name.unlink()
        return file

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        """Write all pieces, one after the other.

        Raises:
            WriteError: The disk is full, or the system reports another error.
        """
        for first in range(0, len(pieces), _PIECES_PER_CALL):
            batch = pieces[first : first + _PIECES_PER_CALL]
            total_bytes = sum(map(len, batch))
            try:
                _write_all(self._fd, batch, offset_bytes)
            except OSError as error:
                raise WriteError(
                    error.errno,
                    f"{self._whose}{total_bytes} bytes can't be written at byte {offset_bytes}: {error.strerror}"
                    f"{self._room(error)}",
                ) from error
            offset_bytes += total_bytes

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
        try:
            free_bytes = shutil.disk_usage(self._folder).free
        except OSError:
            return f"; free the disk of {str(self._folder)!r}"
        return f"; the disk of {str(self._folder)!r} has {free_bytes} bytes free"

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Read bytes that were written.

        Raises:
            WriteError: The system can't give them back.
        """
        parts: list[bytes] = []
        try:
            while size_bytes:
                parts.append(_read_at(self._fd, size_bytes, offset_bytes))
                if not parts[-1]:
                    raise WriteError(f"{self._whose}it ends at byte {offset_bytes}, {size_bytes} too early")
                offset_bytes, size_bytes = offset_bytes + len(parts[-1]), size_bytes - len(parts[-1])
        except OSError as error:
            if isinstance(error, WriteError):
                raise
            raise WriteError(error.errno, f"{self._whose}can't be read: {error.strerror}") from error
        return b"".join(parts)

    @property
    def size_bytes(self) -> int:
        """Length so far."""
        return os.fstat(self._fd).st_size

    @property
    def path(self) -> str:
        """A path by which this process can open it, whether it has a name or not."""
        return f"/proc/self/fd/{self._fd}" if self._name is None else str(self._name)

    def commit(self, path: Path, *, durable: bool, overwrite: bool = True) -> None:
        """Link the file to its name in one step; an earlier file is replaced, and its permissions are kept.

        Args:
            path: Where; on the same file system.
            durable: Flush the file to the disk before, and its folder after.
            overwrite: False: an earlier file is an error, even one that appears at this very moment.

        Raises:
            FileExistsError: There is an earlier file, and it may not be replaced.
            OSError: The system refuses; an earlier file is as it was.
        """
        if overwrite:
            with suppress(FileNotFoundError):
                self._chmod(path.stat().st_mode)
        if durable:
            os.fsync(self._fd)
        if self._name is None:
            self._link(path, overwrite)
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

    def _chmod(self, mode: int) -> None:
        if self._name is None:
            os.fchmod(self._fd, mode)
        else:
            self._name.chmod(mode)

    def _link(self, path: Path, overwrite: bool) -> None:
        folder_fd = os.open(path.parent, os.O_RDONLY)
        try:
            try:
                self._link_as(path.name, folder_fd)
            except FileExistsError:
                if not overwrite:
                    raise
                self._replace(path, folder_fd)
        finally:
            os.close(folder_fd)

    def _replace(self, path: Path, folder_fd: int) -> None:
        """Replace an earlier file by the unnamed one.

        linkat(2) replaces nothing, so it takes a link elsewhere and a rename. A process that is killed between the two
        calls leaves the link: in the folder for temporary files where that is on the same file system, so that the
        destination's folder never holds it; else beside the destination, where the next save removes it.
        """
        scratch = self._scratch or temporary_folder()
        try:
            scratch_fd = os.open(scratch, os.O_RDONLY)
        except OSError:  # there is none
            return self._replace_by(_beside(path), folder_fd, path.name, folder_fd)
        try:
            self._replace_by(temporary_name(path.stem), scratch_fd, path.name, folder_fd)
            remove_abandoned(scratch)
        except _NotLinkedError:
            self._replace_by(_beside(path), folder_fd, path.name, folder_fd)
        finally:
            os.close(scratch_fd)

    def _replace_by(self, link: str, link_fd: int, name: str, folder_fd: int) -> None:
        try:
            try:
                self._link_as(link, link_fd)
            except OSError as error:
                raise _NotLinkedError(error.errno, error.strerror) from error
            os.rename(link, name, src_dir_fd=link_fd, dst_dir_fd=folder_fd)
        except BaseException:
            if _inode(link, link_fd) == os.fstat(self._fd).st_ino:
                os.unlink(link, dir_fd=link_fd)
            raise

    def _link_as(self, name: str, folder_fd: int) -> None:
        os.link(f"/proc/self/fd/{self._fd}", name, dst_dir_fd=folder_fd, follow_symlinks=True)


class Scratch:
    """Temporary files of one export, removed when it is closed; those without a name also when the process ends."""

    def __init__(self, name: str, dir_tmpfiles: Path | None, stem: str = "georeader") -> None:
        """Keep the arguments; no file is made yet.

        Args:
            name: Of the destination, in messages.
            dir_tmpfiles: Their folder; the system's folder for temporary files by default.
            stem: Beginning of their names, where they need one.
        """
        self._name = name
        self._dir = dir_tmpfiles or temporary_folder()
        self._stem = stem
        self._files: list[TemporaryFile] = []

    def open_spool(self) -> TemporaryFile:
        """Open a file that will never have a name.

        Raises:
            DestinationError: The folder takes no files.
        """
        with self._named_errors():
            return self._keep(TemporaryFile.nameless(self._dir, self._stem, whose=self._whose))

    def open_file(self) -> TemporaryFile:
        """Open a file that can be opened again by its ``path``.

        Raises:
            DestinationError: The folder takes no files.
        """
        with self._named_errors():
            return self._keep(TemporaryFile(self._dir, self._stem, whose=self._whose))

    def close(self) -> None:
        """Remove all files."""
        while self._files:
            self._files.pop().close()

    def _keep(self, file: TemporaryFile) -> TemporaryFile:
        self._files.append(file)
        return file

    @property
    def _whose(self) -> str:
        return f"{self._name!r}: a temporary file in {str(self._dir)!r}"

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DestinationError(
                f"{self._name!r}: no temporary file can be made in {str(self._dir)!r}: {error.strerror}; name another "
                "folder by dir_tmpfiles"
            ) from error


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
    if not _has_proc():  # without it, the file cannot be linked later
        os.close(fd)
        return -1
    return fd


@functools.cache
def _has_proc() -> bool:
    return Path("/proc/self/fd").is_dir()


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
    os.lseek(fd, offset_bytes, os.SEEK_SET)  # Windows has no pwrite
    return os.write(fd, data)


def _read_at(fd: int, size_bytes: int, offset_bytes: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, size_bytes, offset_bytes)
    os.lseek(fd, offset_bytes, os.SEEK_SET)
    return os.read(fd, size_bytes)


def _rename(name: Path, path: Path, overwrite: bool) -> None:
    """Rename a file; without overwriting by a second link, which replaces nothing, where the system has links."""
    if overwrite:
        os.replace(name, path)
        return
    if os.name == "nt":
        name.rename(path)  # which replaces nothing there
        return
    os.link(name, path)
    name.unlink()


class _NotLinkedError(OSError):
    """A folder takes no link of the file."""


def _beside(path: Path) -> str:
    """Return a name for the link beside the destination, the same each time, unless another save uses it right now."""
    name = f".{path.stem[:20]}.{zlib.crc32(os.fsencode(path.name)):08x}.part"
    link = path.with_name(name)
    remove_if_abandoned(link)
    return temporary_name(path.stem) if os.path.lexists(link) else name


def _inode(name: str, folder_fd: int) -> int | None:
    try:
        return os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return None


def _flush_folder(folder: Path) -> None:
    """Flush the folder's list of names, on systems where a folder can be opened."""
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
