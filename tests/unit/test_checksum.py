"""CRC-32 of what is written in any order: always that of the whole file, by zlib."""

from __future__ import annotations

import random
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from georeader._tiff import checksum
from georeader._tiff.checksum import ChecksummedFile, crc32, crc32_combine, crc32_zeros
from georeader.errors import WriteError


class Memory:
    """A file in memory, whose gaps are zeros; it may fail at one offset."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.content = bytearray()
        self.fails_at = fails_at

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        if offset_bytes == self.fails_at:
            raise WriteError("the disk is full")
        data = b"".join(pieces)
        self.content.extend(bytes(max(0, offset_bytes + len(data) - len(self.content))))
        self.content[offset_bytes : offset_bytes + len(data)] = data


def cut(data: bytes, cuts: list[int]) -> list[tuple[int, bytes]]:
    """Cut data into (offset, piece)."""
    edges = sorted({0, len(data), *(edge % (len(data) + 1) for edge in cuts)})
    return [(start, data[start:stop]) for start, stop in pairwise(edges)]


@given(st.binary(), st.integers(0, 2**32 - 1))
def test_crc32_equals_zlibs(data: bytes, value: int) -> None:
    assert crc32(data, value) == zlib.crc32(data, value)
    assert crc32(memoryview(data), value) == zlib.crc32(data, value)


def test_crc32_equals_zlibs_without_zlib_ng(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum, "imagecodecs", SimpleNamespace(ZLIBNG=SimpleNamespace(available=False)))

    assert crc32(b"a file", 7) == zlib.crc32(b"a file", 7)


@given(st.binary(), st.binary())
def test_combined_crc32_is_that_of_both_runs(first: bytes, second: bytes) -> None:
    assert crc32_combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


@given(st.integers(0, 100_000))
def test_crc32_of_zeros_is_computed_from_their_number(count: int) -> None:
    assert crc32_zeros(count) == zlib.crc32(bytes(count))


@given(st.integers(0, 2**50), st.integers(0, 2**50))
def test_crc32_of_files_of_any_length_combine(first_bytes: int, second_bytes: int) -> None:
    both = crc32_combine(crc32_zeros(first_bytes), crc32_zeros(second_bytes), second_bytes)

    assert both == crc32_zeros(first_bytes + second_bytes)


@given(st.binary(min_size=1), st.lists(st.integers(0, 1000)), st.randoms())
def test_crc32_is_that_of_the_file_for_any_order_of_writes(data: bytes, cuts: list[int], chance: random.Random) -> None:
    pieces = cut(data, cuts)
    chance.shuffle(pieces)
    memory = Memory()
    file = ChecksummedFile(memory.write_at)

    for offset_bytes, piece in pieces:
        file.write_at(offset_bytes, piece[:1], memoryview(piece)[1:])

    assert memory.content == data
    assert file.crc32(len(data)) == zlib.crc32(data)


@given(st.binary(min_size=1), st.lists(st.integers(0, 1000)), st.randoms())
def test_unwritten_bytes_count_as_zeros(data: bytes, cuts: list[int], chance: random.Random) -> None:
    memory = Memory()
    file = ChecksummedFile(memory.write_at)

    for offset_bytes, piece in chance.sample(pieces := cut(data, cuts), len(pieces) // 2):
        file.write_at(offset_bytes, piece)

    whole = memory.content.ljust(len(data), b"\0")
    assert file.crc32(len(data)) == zlib.crc32(whole)


def test_concurrent_writes_give_the_crc32_of_the_file() -> None:
    data = random.Random(0).randbytes(2**20)
    pieces = cut(data, list(range(0, len(data), 997)))
    random.Random(1).shuffle(pieces)
    file = ChecksummedFile(lambda *_: None)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda piece: file.write_at(*piece), pieces))

    assert file.crc32(len(data)) == zlib.crc32(data)


def test_writes_in_the_order_of_the_file_keep_one_sum() -> None:
    file = ChecksummedFile(Memory().write_at)

    for offset_bytes in range(0, 1000, 2):
        file.write_at(offset_bytes, b"x", b"y")

    assert len(file._runs) == 1


def test_failing_write_raises_write_error() -> None:
    file = ChecksummedFile(Memory(fails_at=3).write_at)
    file.write_at(0, b"abc")

    with pytest.raises(WriteError, match="the disk is full"):
        file.write_at(3, b"def")


@pytest.mark.parametrize("size_bytes", [4, 6])
@pytest.mark.parametrize(("offset_bytes", "again"), [(0, b"xy"), (2, b"xy"), (4, b"xy"), (0, b"uvwxyz"), (5, b"x")])
def test_crc32_is_none_if_bytes_are_written_twice_or_beyond_the_end(
    size_bytes: int, offset_bytes: int, again: bytes
) -> None:
    file = ChecksummedFile(Memory().write_at)
    file.write_at(0, b"abcdef")
    file.write_at(offset_bytes, again)

    with pytest.raises(WriteError):
        file.crc32(size_bytes)
