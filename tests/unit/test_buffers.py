"""Buffers of pixels and tiles in memory and on disk; parsing of memory limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from georeader._core.windows import PixelWindow
from georeader._export.engine.buffers import PixelBuffer, WindowPixels
from georeader._export.plan.request import memory_bytes
from georeader._export.spool import SpoolPlaces
from georeader.errors import OptionError

WINDOW = PixelWindow(0, 10, 0, 10)


class Disk:
    """A spool in memory that counts bytes."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.written_bytes = 0

    def write_at(self, offset_bytes: int, *pieces: bytes | memoryview) -> None:
        data = b"".join(pieces)
        self.content.extend(bytes(max(0, offset_bytes + len(data) - len(self.content))))
        self.content[offset_bytes : offset_bytes + len(data)] = data
        self.written_bytes += len(data)

    def read_at(self, offset_bytes: int, size_bytes: int) -> bytes:
        return bytes(self.content[offset_bytes : offset_bytes + size_bytes])


def block(number: int, *, has_mask: bool = False) -> WindowPixels:
    """Build a block of 400 bytes, or 500 with its mask."""
    mask = np.arange(100).reshape(10, 10) % 3 == number % 3 if has_mask else None
    return WindowPixels(WINDOW, np.full((1, 10, 10), number, "float32"), mask)


class TestPixelBuffer:
    @pytest.mark.parametrize("has_mask", [False, True])
    @pytest.mark.parametrize("limit_bytes", [0, 900, 10**6])
    def test_blocks_are_returned_unchanged(self, limit_bytes: int, has_mask: bool) -> None:
        store = PixelBuffer(limit_bytes, Disk)
        for number in range(8):
            store.put(number, block(number, has_mask=has_mask))

        for number in (5, 0, 7, 1, 6, 2, 4, 3):
            found, expected = store.pop(number), block(number, has_mask=has_mask)
            np.testing.assert_array_equal(found.pixels, expected.pixels)
            assert (found.mask is None) == (expected.mask is None)
            assert found.mask is None or (found.mask == expected.mask).all()
            assert found.window == WINDOW
            assert number not in store
        assert store.held_bytes == 0

    def test_least_recently_used_blocks_are_spooled_beyond_the_limit(self) -> None:
        disk = Disk()
        store = PixelBuffer(1200, lambda: disk)
        for number in range(5):
            store.put(number, block(number))

        assert store.held_bytes == 1200
        assert np.frombuffer(disk.content, "float32")[::100].tolist() == [0, 1]

    def test_no_spool_is_opened_if_blocks_fit(self) -> None:
        def refuse() -> Any:
            raise AssertionError("a spool was opened")

        store = PixelBuffer(2000, refuse)
        for number in range(5):
            store.put(number, block(number))

        assert store.held_bytes == 2000

    def test_changes_of_an_unspooled_block_are_kept(self) -> None:
        store = PixelBuffer(400, Disk)
        for number in range(4):
            store.put(number, block(number))
        store.get(0).pixels[0, 3, 3] = 99
        for number in range(1, 4):
            store.get(number)

        assert store.look(0).pixels[0, 3, 3] == 99

    def test_space_in_the_spool_is_reused(self) -> None:
        disk = Disk()
        store = PixelBuffer(400, lambda: disk)
        for number in range(100):
            store.put(number, block(number))
            if number:
                store.pop(number - 1)

        assert len(disk.content) <= 2 * 400
        assert disk.written_bytes > 50 * 400

    @given(st.lists(st.tuples(st.sampled_from("ptg"), st.integers(0, 9)), max_size=60), st.integers(0, 3000))
    def test_blocks_are_returned_unchanged_for_any_order_of_calls(
        self, calls: list[tuple[str, int]], limit_bytes: int
    ) -> None:
        store, expected = PixelBuffer(limit_bytes, Disk), {}
        for call, key in calls:
            if call == "p" and key not in expected:
                store.put(key, block(key))
                expected[key] = key
            elif key in expected:
                assert (store.get(key) if call == "g" else store.pop(key)).pixels[0, 0, 0] == key
                if call != "g":
                    del expected[key]
        assert {key for key in range(10) if key in store} == set(expected)
        assert store.held_bytes <= max(limit_bytes, 400)


def test_released_space_is_reused_for_the_same_length() -> None:
    places = SpoolPlaces(Disk)
    first, second = places.take(10), places.take(20)
    places.give_back(first, 10)

    assert (places.take(20), places.take(10), places.take(10)) == (30, first, 50)
    assert second == 10


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        (1, 1),
        (np.int64(4096), 4096),
        ("512MiB", 512 * 2**20),
        ("512 mib", 512 * 2**20),
        ("2GB", 2 * 10**9),
        ("1.5GiB", 3 * 2**29),
        ("64k", 64_000),
        ("1000", 1000),
        (" 3 T ", 3 * 10**12),
    ],
    ids=repr,
)
def test_memory_size_is_parsed(text: Any, size_bytes: int) -> None:
    assert memory_bytes(text) == size_bytes


@pytest.mark.parametrize(
    "text", [0, -1, "0", "0.2", "-5MB", "lots", "", "5 PB", "1e9", 2.5, None, True, [512], "5 MB x"], ids=repr
)
def test_memory_size_is_refused_if_invalid(text: Any) -> None:
    with pytest.raises(OptionError, match="max_memory"):
        memory_bytes(text)
