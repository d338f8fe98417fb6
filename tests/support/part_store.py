"""An in-memory store that takes parts."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from georeader.errors import WriteError

MIB = 2**20


class PartStore:
    """A store in memory that takes parts, also small ones, and fails on request."""

    name = "memstore://out.tif"
    max_parts = 10_000

    def __init__(self, min_part_bytes: int = 5 * MIB, fails_at: str = "", error: Exception | None = None) -> None:
        self.min_part_bytes = min_part_bytes
        self.fails_at, self.error = fails_at, error or WriteError("the store broke")
        self.content: bytes | None = None
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.asked: Counter[str] = Counter()
        self.numbers: list[int] = []
        self.at_once, self.most_at_once = 0, 0
        self.slow_seconds = 0.0
        self._lock = threading.Lock()

    def _note(self, what: str) -> None:
        with self._lock:
            self.asked[what] += 1
            if f"{what} {self.asked[what]}" == self.fails_at:
                raise self.error

    def check(self) -> None:
        self._note("check")

    def put(self, body: bytes) -> None:
        self._note("put")
        self.content = bytes(body)

    def begin(self) -> str:
        self._note("begin")
        self.uploads["upload"] = {}
        return "upload"

    def send(self, upload: str, number: int, body: bytes) -> int:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self._note("send")
            time.sleep(self.slow_seconds)
            with self._lock:
                self.numbers.append(number)
                if upload in self.uploads:
                    self.uploads[upload][number] = bytes(body)
        finally:
            with self._lock:
                self.at_once -= 1
        return len(body)

    def complete(self, upload: str, parts: Mapping[int, Any], size_bytes: int) -> None:
        self._note("complete")
        held = self.uploads.pop(upload)
        assert dict(parts) == {number: len(body) for number, body in held.items()}
        *full, _ = [held[number] for number in sorted(held)]
        assert all(len(body) >= self.min_part_bytes for body in full)
        assert max(held) <= self.max_parts
        self.content = b"".join(held[number] for number in sorted(held))
        assert len(self.content) == size_bytes

    def abort(self, upload: str) -> None:
        self._note("abort")
        self.uploads.pop(upload, None)
