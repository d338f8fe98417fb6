"""Base of the sinks whose destination is not on a local disk."""

from __future__ import annotations

from pathlib import Path

from georeader._export.sinks.scratch import Scratch
from georeader._export.sinks.temporary_file import TemporaryFile
from georeader.errors import WriteError


class RemoteSink:
    """Temporary files, and whether the sink is open.

    Attributes:
        given: The destination, without secrets.
    """

    def __init__(self, name: str, dir_tmpfiles: Path | None) -> None:
        """Keep the arguments; the sink is closed.

        Args:
            name: Of the destination.
            dir_tmpfiles: Folder for temporary files; the system's by default.
        """
        self.given = name
        self._is_open = False
        self._scratch = Scratch(name, dir_tmpfiles)
        self._staged: TemporaryFile | None = None

    def open_spool(self) -> TemporaryFile:
        """Open an unnamed file in ``dir_tmpfiles``; it is gone when the sink is committed or aborted.

        Raises:
            DestinationError: The folder takes no files.
        """
        self._check_open()
        return self._scratch.open_spool()

    @property
    def staging_path(self) -> Path:
        """A path of the temporary file, for a writer that needs one; the file may have no name."""
        return Path(self._staging().path)

    def room_error(self) -> WriteError | None:
        """Return why the temporary file cannot grow, or None; see `TemporaryFile.room_error`."""
        return None if self._staged is None else self._staged.room_error()

    def _staging(self) -> TemporaryFile:
        """Open the temporary file, if it is not open yet."""
        self._check_open()
        if self._staged is None:
            self._staged = self._scratch.open_file()
        return self._staged

    def _close_files(self) -> None:
        self._staged = None
        self._scratch.close()

    def _check_open(self) -> None:
        if not self._is_open:
            raise WriteError(f"{self.given!r}: the sink is not open; use it in a with block")
