"""Destinations that take a file as a whole: it is written to a temporary file without a name, then sent."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from georeader._export.sinks.base import RandomAccessSink, Scratch
from georeader._export.sinks.sidecars import KEPT, STUCK, sidecars_among, warn_of
from georeader._export.sinks.temporary_file import TemporaryFile
from georeader._storage.remote_errors import RemoteErrors
from georeader._storage.urls import CONTENT_TYPE
from georeader.errors import DestinationError, WriteError


class Target(Protocol):
    """A destination that takes a file as a whole; its methods raise DestinationError or WriteError."""

    @property
    def name(self) -> str:
        """The destination, without secrets."""
        ...

    def check(self) -> None:
        """Raise an error, before anything is written, if `send` is sure to fail."""
        ...

    def send(self, file: TemporaryFile) -> None:
        """Send the file, so that it appears whole or not at all."""
        ...


@dataclass(repr=False, eq=False)
class RemoteObject:
    """An object to be written to a store; without ``overwrite``, one that is there already is an error.

    With ``if_match``, the ETag of an earlier object, any other one is, where the store has such a condition. An edit
    is of the raster that was there: only sidecars with its whole name, whose content was taken over, are removed.
    """

    errors: RemoteErrors
    overwrite: bool = field(default=True, kw_only=True)
    if_match: str | None = field(default=None, kw_only=True)
    is_edit: bool = field(default=False, kw_only=True)
    is_raster: bool = field(default=True, kw_only=True)
    content_type: str = field(default=CONTENT_TYPE, kw_only=True)

    @property
    def name(self) -> str:
        """The object, without secrets."""
        return self.errors.name

    def check_md5(self, reported: str | None, file: TemporaryFile) -> None:
        """Compare the MD5 that the store reports, if it does, with that of what was sent."""
        if reported is not None and reported != file.md5:
            raise WriteError(f"{self.name!r}: it did not arrive as it was sent: the store reports the MD5 {reported}")

    def remove_sidecars(
        self, path: str, paths_beside: Callable[[str, str], Iterable[str]], remove: Callable[[str], object]
    ) -> None:
        """Remove the sidecars of an earlier object, as far as their names identify them, once this one is saved.

        ``paths_beside`` returns the paths in the object's folder: those that begin with a prefix, the folder with its
        slash, and the object's name without its extension; or all. A store that does not list its objects for these
        credentials keeps the sidecars. One that cannot be removed is named in a `MetadataWarning`.
        """
        if not self.is_raster:
            return
        folder, slash, name = path.rpartition("/")
        prefix = folder + slash
        try:
            names = [str(one).rpartition("/")[2] for one in paths_beside(prefix, name.rpartition(".")[0] or name)]
        except Exception:  # noqa: BLE001  (clients raise anything, and credentials may be for writing alone)
            return
        own = [one for one in sidecars_among(names, name).own if one.startswith(name) or not self.is_edit]
        if not self.overwrite:
            warn_of(self.name, own, KEPT)
            return
        stuck = []
        for sidecar in own:
            try:
                remove(prefix + sidecar)
            except Exception:  # noqa: BLE001  (as above; it is named below)
                stuck.append(sidecar)
        warn_of(self.name, stuck, STUCK)


class SpooledSink(RandomAccessSink):
    """A sink that sends to a `Target`, as a context manager.

    The temporary file lies in ``dir_tmpfiles``, by default the system's folder. It has no name where the system
    supports that, and then disappears with the process. Elsewhere it is removed on every exit but a kill, or by the
    next save.
    """

    def __init__(self, target: Target, *, dir_tmpfiles: Path | None = None, checks: bool = True) -> None:
        """Check whether the target can be written to, unless it is not to be asked; nothing is written yet."""
        super().__init__(target.name, Scratch(target.name, dir_tmpfiles))
        self._target = target
        if checks:
            target.check()

    def commit(self) -> None:
        """Send the file, and remove the temporary files; after an error the destination is as it was."""
        self._check_open()
        if self._staged is None:
            raise WriteError(f"{self.given!r}: there is no file to send")
        self._target.send(self._staged)
        self._close()


class FileObject:
    """A `Target`: an object open for binary writing, such as `io.BytesIO`, from its position on.

    Nothing is written before the file is whole. If writing then fails, the object is cut back to where it was, where it
    can be; what it overwrote of an earlier content is lost. It is neither flushed to the disk nor closed.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        name = getattr(file, "name", None)
        self.name = name if isinstance(name, str) else f"<{type(file).__name__}>"

    def check(self) -> None:
        """Check that it is open for binary writing."""
        file = self._file
        if getattr(file, "closed", False) is True:
            raise DestinationError(f"{self.name!r} is closed; pass it while it is open")
        if isinstance(file, io.TextIOBase) or isinstance(getattr(file, "encoding", None), str):
            raise DestinationError(f"{self.name!r} is open for text; open it with mode 'wb'")
        writable = getattr(file, "writable", None)
        if callable(writable) and not writable():
            raise DestinationError(f"{self.name!r} is not open for writing; open it with mode 'wb'")

    def send(self, file: TemporaryFile) -> None:
        """Write the file."""
        start = self._position()
        try:
            for piece in file.pieces():
                self._write_all(piece)
            if start is not None and hasattr(self._file, "truncate"):
                with contextlib.suppress(io.UnsupportedOperation):  # a stream that is encoded, gzip's for one
                    self._file.truncate()  # of a longer content that was there
        except BaseException as error:
            if start is not None:
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    self._file.seek(start)
                    self._file.truncate()
            if isinstance(error, (OSError, ValueError)) and not isinstance(error, WriteError):
                raise WriteError(f"{self.name!r}: it cannot be written: {error}") from error
            raise

    def _write_all(self, piece: bytes) -> None:
        """Write a piece, of which an unbuffered object may take only a part at once."""
        view = memoryview(piece)
        while view:
            written = self._file.write(view if isinstance(self._file, io.IOBase) else bytes(view))
            if written is not None and not isinstance(written, int):
                raise WriteError(f"{self.name!r}: write() must return a number of bytes, got {written!r}")
            if written == 0:
                raise WriteError(f"{self.name!r}: it takes no more bytes")
            if written is not None and not 0 < written <= len(view):
                raise WriteError(f"{self.name!r}: write() returned {written} for {len(view)} bytes")
            view = view[len(view) if written is None else written :]

    def _position(self) -> int | None:
        """Return its position; None where it cannot seek."""
        try:
            return int(self._file.tell()) if self._file.seekable() else None
        except (AttributeError, OSError, ValueError):
            return None
