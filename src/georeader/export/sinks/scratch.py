"""What is temporary while a file is on its way to another place: unnamed files, and a folder for who needs paths."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from georeader.errors import DestinationError
from georeader.export.sinks.temporary_file import TemporaryFile, temporary_folder


class Scratch:
    """Temporary files of one export, gone when it is closed; those without a name also with the process."""

    def __init__(self, name: str, dir_tmpfiles: Path | None) -> None:
        """Make nothing yet.

        Args:
            name: Of the destination, in messages.
            dir_tmpfiles: Where; the system's folder for temporary files by default.
        """
        self._name = name
        self._dir = dir_tmpfiles or temporary_folder()
        self._files: list[TemporaryFile] = []
        self._folder: Path | None = None

    def open_spool(self) -> TemporaryFile:
        """Open a file that will never have a name.

        Raises:
            DestinationError: The folder takes no files.
        """
        with self._named_errors():
            return self._keep(TemporaryFile.nameless(self._dir, "georeader", whose=self._whose))

    def open_file(self) -> TemporaryFile:
        """Open a file that can be opened again by its ``path``.

        Raises:
            DestinationError: The folder takes no files.
        """
        with self._named_errors():
            return self._keep(TemporaryFile(self._dir, "georeader", whose=self._whose))

    def adopt_staged(self) -> TemporaryFile | None:
        """Take over the file that another writer made at `staging_path`; None where there is none."""
        if self._folder is None or not self.staging_path.is_file():
            return None
        return self._keep(TemporaryFile.from_path(self.staging_path))

    @property
    def folder(self) -> Path:
        """A hidden folder, made when it is first asked for.

        Raises:
            DestinationError: It can't be made.
        """
        if self._folder is None:
            with self._named_errors():
                self._folder = Path(tempfile.mkdtemp(prefix=".georeader-", dir=self._dir))
        return self._folder

    @property
    def staging_path(self) -> Path:
        """Where a writer that needs a path writes the file."""
        return self.folder / "raster.tif"

    def staged_bytes(self) -> int:
        """Length of what is at `staging_path`, 0 where nothing is."""
        is_there = self._folder is not None and self.staging_path.is_file()
        return self.staging_path.stat().st_size if is_there else 0

    def close_files(self) -> None:
        """Remove the files; the folder stays."""
        while self._files:
            self._files.pop().close()

    def close(self) -> None:
        """Remove everything."""
        self.close_files()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

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
