"""A file on a local disk: written beside its destination, then put there in one step."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from types import TracebackType

from georeader.errors import DestinationError, WriteError

#: Files that GDAL keeps beside a raster and would read together with its successor.
SIDECAR_SUFFIXES = (".aux.xml", ".ovr", ".msk", ".msk.ovr")


class LocalSink:
    """A local destination, as a context manager.

    A hidden folder beside the destination holds everything until `commit` moves the finished file to its
    place by `os.replace`, which POSIX makes atomic: a reader sees the earlier file or the whole new one.
    Leaving the block without a commit, by whatever exception, removes the folder; the earlier file is then
    as it was. Sidecar files that GDAL made for the earlier file (``.aux.xml``, ``.ovr``, ``.msk``) go with
    it, as they do when GDAL overwrites a file. A symbolic link stays one: its target is replaced. Only a process
    that is killed leaves the hidden folder, ``.<name>.<random>.part``, behind.

    Attributes:
        path: The destination, links resolved.
        staging_path: Where to write the file; exists between ``__enter__`` and the end of the block.

    Example:
        >>> with LocalSink("out.bin") as sink:
        ...     _ = sink.staging_path.write_bytes(b"whole")
        ...     sink.commit()
        >>> Path("out.bin").read_bytes()
        b'whole'
    """

    random_access = True
    out_of_order_parts = True
    min_part_bytes = 1
    max_parts: int | None = None

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Look at the destination; nothing is written yet.

        Raises:
            DestinationError: It is a folder or no regular file, or its folder is missing.
        """
        self.given = os.fspath(path)
        try:
            self.path = Path(os.path.realpath(self.given))
            self._check()
        except (OSError, ValueError) as error:
            if isinstance(error, DestinationError):
                raise
            raise DestinationError(f"{self.given!r} can't be a path here: {error}") from error
        self._folder: Path | None = None

    def _check(self) -> None:
        if not self.given or self.given.endswith(("/", os.sep)) or self.path.is_dir():
            raise DestinationError(f"{self.given!r} is a folder; name a file in it, such as 'out.tif'")
        if not self.path.parent.is_dir():
            raise DestinationError(f"{self.given!r}: the folder {str(self.path.parent)!r} is missing; create it first")
        if self.path.exists() and not self.path.is_file():
            raise DestinationError(f"{self.given!r} is no regular file; name another destination")

    def __enter__(self) -> LocalSink:
        try:
            self._folder = Path(
                tempfile.mkdtemp(prefix=f".{self.path.stem[:20]}.", suffix=".part", dir=self.path.parent)
            )
        except OSError as error:
            raise DestinationError(
                f"{self.given!r}: can't write in {str(self.path.parent)!r}: {error.strerror}"
            ) from error
        return self

    @property
    def folder(self) -> Path:
        """The hidden folder: scratch files may lie in it too."""
        if self._folder is None:
            raise WriteError(f"{self.given!r}: the sink is not open; use it in a with block")
        return self._folder

    @property
    def staging_path(self) -> Path:
        """Where to write the file."""
        return self.folder / "raster.tif"

    def commit(self) -> None:
        """Put the file in its place and remove everything else.

        Raises:
            WriteError: The file could not be moved; the earlier one is as it was.
        """
        try:
            if self.path.exists():
                shutil.copymode(self.path, self.staging_path)
            os.replace(self.staging_path, self.path)
        except OSError as error:
            raise WriteError(f"{self.given!r}: the finished file can't be put in place: {error}") from error
        self._remove_sidecars()
        self.abort()

    def abort(self) -> None:
        """Remove the hidden folder and all in it; after a commit there is nothing of value there."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _remove_sidecars(self) -> None:
        for suffix in SIDECAR_SUFFIXES:
            sidecar = self.path.with_name(self.path.name + suffix)
            try:
                sidecar.unlink(missing_ok=True)
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    continue  # so there is none
                warnings.warn(f"{sidecar} belongs to the earlier file and can't be removed: {error}", stacklevel=2)
