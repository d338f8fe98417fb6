"""A file on a local disk: written without a name, then linked to its destination in one step."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from georeader._core.reporting import warn_at_caller
from georeader._export.plan.traits import SinkTraits
from georeader._export.sinks.base import RandomAccessSink, Scratch
from georeader._export.sinks.sidecars import KEPT, SHARED, names_read_beside, remove_sidecars, warn_of
from georeader._export.sinks.temporary_file import TemporaryFile
from georeader._readers.byte_source import ByteSource
from georeader._storage.folders import make_folders, remove_empty_folders
from georeader._storage.remote_errors import ADVICE
from georeader.errors import DestinationError, ExistsError, MetadataWarning, WriteError


class LocalSink(RandomAccessSink):
    """A local destination, as a context manager.

    What is written goes to a file without a name; `commit` puts it at the destination in one step: a reader sees the
    earlier file or the whole new one. Without a commit the earlier file stays, and nothing else. Sidecars of the
    earlier file, which GDAL would read as part of the new one, are removed with it; one that another raster needs
    stays, and a `MetadataWarning` names it. A symbolic link stays one: its target is replaced.
    """

    traits = SinkTraits(is_shared_file=True)

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durable: bool = False,
        overwrite: bool = True,
        dir_tmpfiles: Path | None = None,
        makes_folders: bool = False,
        is_raster: bool = True,
    ) -> None:
        """Check the destination; nothing is written yet.

        An earlier file that may not be overwritten is refused now and by `commit`, which also flushes the file to the
        disk if it is durable, and makes missing folders if it may.
        """
        self.given = os.fspath(path)
        self.durable = durable
        self._overwrite = overwrite
        self._dir_tmpfiles = dir_tmpfiles
        self._makes_folders = makes_folders
        self._is_raster = is_raster
        self._is_shared = False
        try:
            self.path = Path(os.path.realpath(self.given))
            self._names = [self.path]
            if os.path.islink(self.given):  # GDAL looks for sidecars beside the link  # noqa: PTH114
                self._names.append(Path(os.path.abspath(self.given)))  # noqa: PTH100
            self._check()
        except (OSError, ValueError) as error:
            if isinstance(error, DestinationError):
                raise
            raise DestinationError(f"{self.given!r} cannot be a path here: {error}") from error
        super().__init__(self.given, Scratch(self.given, dir_tmpfiles or self._folder, self.path.stem))

    def _check(self) -> None:
        mode = None
        with suppress(FileNotFoundError, NotADirectoryError):
            mode = self.path.stat().st_mode
        if not self.given or self.given.endswith(("/", os.sep)) or (mode is not None and stat.S_ISDIR(mode)):
            raise DestinationError(f"{self.given!r} is a folder; name a file in it, such as 'out.tif'")
        if mode is None:
            if self._makes_folders and not self._folder.is_dir():
                raise DestinationError(f"{self.given!r}: its folder cannot be made: {str(self._folder)!r} is a file")
            if not self._makes_folders and not self.path.parent.is_dir():
                folder = str(self.path.parent)
                raise DestinationError(f"{self.given!r}: the folder {folder!r} is missing; create it first")
            return
        if not stat.S_ISREG(mode):
            raise DestinationError(f"{self.given!r} is not a regular file; name another destination")
        if not self._overwrite:
            raise self._exists()

    def share(self) -> Path:
        """Return the path of the file, which other processes may write to before it is committed."""
        self._is_shared = True
        return Path(self._staging().path).absolute()

    def write_shared(self, offset_bytes: int, data: bytes) -> int:
        """Write bytes to a place in the whole file, and return where they end."""
        self._staging().write_at(offset_bytes, data)
        return offset_bytes + len(data)

    def write_copy(self, header: bytes, source: ByteSource, start_bytes: int, length_bytes: int) -> int | None:
        """Write a header, and behind it a range of another file: of a local one within the system."""
        if source.descriptor is None:
            return super().write_copy(header, source, start_bytes, length_bytes)
        staged = self._staging()
        staged.write_at(0, header)
        staged.copy_from(source.descriptor, start_bytes, len(header), length_bytes)
        return None

    def _open_staged(self) -> TemporaryFile:
        folder, stem, whose = self._folder, self.path.stem, repr(self.given)
        try:
            return TemporaryFile(folder, stem, self._dir_tmpfiles, whose=whose, is_shared=self._is_shared)
        except OSError as error:
            raise DestinationError(f"{self.given!r}: cannot write in {str(folder)!r}: {error.strerror}") from error

    @property
    def _folder(self) -> Path:
        """The destination's folder, or the nearest one above that is there: on the same file system."""
        return next(one for one in self.path.parents if one.exists())

    def commit(self) -> None:
        """Link the file to its destination, and remove temporary files and sidecars."""
        self._check_open()
        if self._staged is None:
            raise WriteError(f"{self.given!r}: the finished file cannot be put in place: there is none")
        try:
            made = make_folders(str(self.path)) if self._makes_folders else []
            try:
                self._staged.commit(self.path, durable=self.durable, overwrite=self._overwrite)
            except BaseException:
                remove_empty_folders(made)
                raise
        except OSError as error:
            if isinstance(error, FileExistsError) and not self._overwrite:
                raise self._exists() from error
            raise WriteError(f"{self.given!r}: the finished file cannot be put in place: {error}") from error
        if self._is_raster:
            self._remove_sidecars()
        self._close()

    def _exists(self) -> ExistsError:
        return ExistsError(f"{self.given!r} {ADVICE['exists']}")

    def _remove_sidecars(self) -> None:
        """Remove the sidecars of the earlier file, and name those that stay although GDAL reads them."""
        for path in self._names:
            try:
                if self._overwrite:
                    warn_of(self.given, remove_sidecars(path), SHARED)
                else:
                    warn_of(self.given, names_read_beside(path), KEPT)
            except OSError as error:
                warn_at_caller(
                    f"{self.given!r}: sidecars of the earlier file cannot be removed: {error}", MetadataWarning
                )
