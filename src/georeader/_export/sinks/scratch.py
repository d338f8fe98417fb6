"""Temporary files of an export to a remote destination."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from georeader._export.sinks.temporary_file import TemporaryFile, temporary_folder
from georeader.errors import DestinationError


class Scratch:
    """Temporary files of one export, removed when it is closed; those without a name also when the process ends."""

    def __init__(self, name: str, dir_tmpfiles: Path | None) -> None:
        """Keep the arguments; no file is made yet.

        Args:
            name: Of the destination, in messages.
            dir_tmpfiles: Their folder; the system's folder for temporary files by default.
        """
        self._name = name
        self._dir = dir_tmpfiles or temporary_folder()
        self._files: list[TemporaryFile] = []

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
