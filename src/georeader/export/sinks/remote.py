"""What all sinks have in common whose destination is not on this machine's disks."""

from __future__ import annotations

from pathlib import Path

from georeader.errors import WriteError
from georeader.export.sinks.scratch import Scratch
from georeader.export.sinks.temporary_file import TemporaryFile


class RemoteSink:
    """Temporary files, and whether the sink is open.

    Attributes:
        given: The destination, without secrets.
    """

    def __init__(self, name: str, dir_tmpfiles: Path | None) -> None:
        """Begin closed.

        Args:
            name: Of the destination.
            dir_tmpfiles: Folder for temporary files; the system's by default.
        """
        self.given = name
        self._is_open = False
        self._scratch = Scratch(name, dir_tmpfiles)

    def open_spool(self) -> TemporaryFile:
        """Open an unnamed file in ``dir_tmpfiles``; it is gone when the sink is committed or aborted.

        Raises:
            DestinationError: The folder takes no files.
        """
        self._check_open()
        return self._scratch.open_spool()

    @property
    def folder(self) -> Path:
        """A hidden folder among temporary files, made when it is first asked for."""
        self._check_open()
        return self._scratch.folder

    @property
    def staging_path(self) -> Path:
        """Where a writer that needs a path writes the file."""
        self._check_open()
        return self._scratch.staging_path

    def _check_open(self) -> None:
        if not self._is_open:
            raise WriteError(f"{self.given!r}: the sink is not open; use it in a with block")
