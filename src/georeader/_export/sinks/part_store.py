"""Protocol of a store that takes multipart uploads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class PartStore(Protocol):
    """One object to be written to a store in numbered parts.

    Its methods raise errors of the project's own tree, without secrets, after retries of transient errors.

    Attributes:
        name: Of the destination, without secrets.
        min_part_bytes: Of every part but the last.
        max_parts: Highest number of a part.
    """

    name: str
    min_part_bytes: int
    max_parts: int

    def check(self) -> None:
        """Refuse, before anything is made, what is sure to be refused in the end; raises DestinationError."""
        ...

    def put(self, body: bytes) -> None:
        """Make the object of one piece."""
        ...

    def begin(self) -> str:
        """Begin an upload in parts; give its name."""
        ...

    def send(self, upload: str, number: int, body: bytes) -> Any:
        """Send a part, on any thread; return what `complete` needs of it."""
        ...

    def complete(self, upload: str, parts: Mapping[int, Any], size_bytes: int) -> None:
        """Make the object of the parts, in the order of their numbers, and see that it has its size."""
        ...

    def abort(self, upload: str) -> None:
        """Forget the upload and its parts; raises WriteError."""
        ...
