"""Copies of a range from one file to another: by shared blocks, by the file system, or by reading and writing."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from georeader._export.sinks import temporary_file
from georeader._export.sinks.temporary_file import BLOCK_BYTES, COPY_BYTES, copy_range

CONTENT = os.urandom(COPY_BYTES + 3 * BLOCK_BYTES + 77)

#: (offset in the source, offset in the target, length).
RANGES = [
    (0, 0, len(CONTENT)), (0, BLOCK_BYTES, 2 * BLOCK_BYTES), (100, 100 + BLOCK_BYTES, 5 * BLOCK_BYTES),
    (100, 300, 5 * BLOCK_BYTES), (BLOCK_BYTES - 1, 2 * BLOCK_BYTES - 1, 2), (7, 7, 0), (7, BLOCK_BYTES, COPY_BYTES + 9),
]  # fmt: skip


class Copy:
    """Two files, and a copy between them."""

    def __init__(self, folder: Path) -> None:
        self.source, self.target = folder / "source", folder / "target"
        self.source.write_bytes(CONTENT)
        self.target.touch()

    def __call__(self, source_bytes: int, target_bytes: int, size_bytes: int) -> bytes:
        with self.source.open("rb") as source, self.target.open("r+b") as target:
            copy_range(source.fileno(), target.fileno(), source_bytes, target_bytes, size_bytes)
        return self.target.read_bytes()[target_bytes : target_bytes + size_bytes]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


@pytest.mark.parametrize(("source", "target", "size"), RANGES)
def test_a_range_is_copied_by_reading(copy: Copy, source: int, target: int, size: int) -> None:
    assert copy(source, target, size) == CONTENT[source : source + size]


@pytest.mark.parametrize(("source", "target", "size"), RANGES)
def test_a_range_is_copied_by_a_file_system_without_a_disk(
    copy: Copy, source: int, target: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary_file.os, "major", lambda _: 0)

    assert copy(source, target, size) == CONTENT[source : source + size]


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL])
def test_what_a_file_system_does_not_copy_is_read(copy: Copy, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(temporary_file.os, "major", lambda _: 0)
    monkeypatch.setattr(temporary_file.os, "copy_file_range", refuse, raising=False)

    assert copy(0, 0, 5000) == CONTENT[:5000]


@pytest.mark.parametrize(("source", "target", "size"), RANGES)
def test_whole_blocks_are_shared_where_a_file_system_can(
    copy: Copy, source: int, target: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: list[tuple[int, int, int]] = []

    def share(fd: int, request: int, argument: bytes) -> int:
        """Do as btrfs and XFS: refuse what is not aligned, else give the target the blocks."""
        source_fd, start, length, to = struct.unpack("qQQQ", argument)
        if start % BLOCK_BYTES or length % BLOCK_BYTES or to % BLOCK_BYTES:
            raise OSError(errno.EINVAL, "not aligned")
        os.pwrite(fd, os.pread(source_fd, length, start), to)
        shared.append((start, to, length))
        return 0

    monkeypatch.setattr(temporary_file.fcntl, "ioctl", share)

    assert copy(source, target, size) == CONTENT[source : source + size]
    is_alike = (source - target) % BLOCK_BYTES == 0 and size > 2 * BLOCK_BYTES - 2
    assert bool(shared) == is_alike
    assert sum(length for *_, length in shared) > size - 2 * BLOCK_BYTES or not is_alike


def test_a_source_that_ends_too_early_is_an_error(copy: Copy) -> None:
    with pytest.raises(OSError, match="too early"):
        copy(len(CONTENT) - 10, 0, 20)


def test_a_range_is_copied_where_no_room_can_be_reserved(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(temporary_file, "LEAST_RESERVED_BYTES", 1000)
    monkeypatch.setattr(temporary_file.os, "major", lambda _: 8)
    monkeypatch.setattr(temporary_file.os, "posix_fallocate", refuse)

    assert copy(0, 0, 2000) == CONTENT[:2000]


def test_room_is_reserved_before_a_long_copy(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(temporary_file, "LEAST_RESERVED_BYTES", 1000)
    monkeypatch.setattr(temporary_file.os, "major", lambda _: 8)
    monkeypatch.setattr(temporary_file.os, "posix_fallocate", full)

    with pytest.raises(OSError, match="No space"):
        copy(0, 0, 2000)
    assert copy.target.read_bytes() == b""
