"""An in-memory filesystem that counts reads and can fail."""

from __future__ import annotations

from typing import Any, ClassVar

from fsspec.implementations.memory import MemoryFileSystem


class RecordingFilesystem(MemoryFileSystem):
    """Memory that records reads, and fails on request."""

    protocol = "recording"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    cachable = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.reads = 0
        self.fails_after = 10**9
        self.error: BaseException = ConnectionResetError("the cable was cut")

    def cat_file(self, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        self.reads += 1
        if self.reads > self.fails_after:
            raise self.error
        content: bytes = super().cat_file(path, start=start, end=end, **options)
        return content
