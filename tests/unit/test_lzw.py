"""LZW streams that every reader takes: geotiff.js has no room for the last codes that imagecodecs uses."""

from __future__ import annotations

import time

import imagecodecs
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from georeader._codecs import lzw
from georeader._codecs.lzw import CODES_PER_TABLE, FIRST_UNSAFE_CODE, unsafe_tables


def codes_of(encoded: bytes) -> list[int]:
    """Read a stream code by code, by the rules of TIFF 6.0, section 13."""
    bits = int.from_bytes(encoded, "big")
    position = 8 * len(encoded)
    codes: list[int] = []
    since_clear = 0
    while not codes or codes[-1] != 257:
        entries = 258 + max(since_clear - 1, 0)
        width = 9 + sum(entries >= limit for limit in (511, 1023, 2047)) if codes else 9
        position -= width
        codes.append(bits >> position & (2**width - 1))
        since_clear = 0 if codes[-1] == 256 else since_clear + 1
    return codes


def noise_and_runs(seed: int, noise_bytes: int, run_bytes: int, repeats: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    noise = chance.integers(0, 256, (repeats, noise_bytes), dtype="uint8")
    return np.hstack([noise, np.zeros((repeats, run_bytes), "uint8")]).reshape(1, -1)


def compress(data: np.ndarray) -> bytes:
    return lzw.encode(np.ascontiguousarray(data).data.cast("B"))


def test_imagecodecs_writes_codes_that_some_readers_reject() -> None:
    """Once it no longer does, this file and its subject can go."""
    found = [
        codes_of(bytes(imagecodecs.lzw_encode(noise_and_runs(0, size, 4000, 1)))) for size in range(3600, 3900, 20)
    ]

    assert any(max(codes) >= FIRST_UNSAFE_CODE for codes in found)


@given(st.integers(0, 9), st.integers(1, 4000), st.integers(1, 6000), st.integers(1, 6))
@example(0, 3700, 6000, 3)
def test_streams_are_decoded_and_have_no_unsafe_codes(seed: int, noise: int, run: int, repeats: int) -> None:
    data = noise_and_runs(seed, noise, run, repeats)

    encoded = compress(data)

    assert bytes(imagecodecs.lzw_decode(encoded, out=data.nbytes)) == data.tobytes()
    assert max(codes_of(encoded)) < FIRST_UNSAFE_CODE


@pytest.mark.parametrize("noise_bytes", range(3600, 3900, 20))
def test_search_finds_the_same_tables_as_reading_every_code(noise_bytes: int) -> None:
    encoded = bytes(imagecodecs.lzw_encode(noise_and_runs(1, noise_bytes, 3000, 4)))

    tables = "".join("!" if code >= FIRST_UNSAFE_CODE else "|" if code == 256 else "" for code in codes_of(encoded))

    unsafe = [number for number, table in enumerate(tables.split("|")[1:]) if table]
    assert unsafe_tables(encoded) == unsafe


@pytest.mark.parametrize("size", [*range(2, 40), 254, 255, 256, 767, 768, 1790, 1791, 1792, *range(3830, 3850), 9000])
def test_the_length_of_a_stream_is_known_without_reading_its_codes(size: int) -> None:
    """Bytes of noise take about one code each, so the sizes are on both sides of each change of width."""
    for seed in range(4):
        noise = np.random.default_rng(seed).integers(0, 256, size, dtype="uint8")
        encoded = bytes(imagecodecs.lzw_encode(noise))

        assert lzw._length_bits(encoded) == length_bits(codes_of(encoded))


def length_bits(codes: list[int]) -> int:
    total, since_clear = 0, 0
    for position, code in enumerate(codes):
        entries = 258 + max(since_clear - 1, 0)
        total += 9 + sum(entries >= limit for limit in (511, 1023, 2047)) if position else 9
        since_clear = 0 if code == 256 else since_clear + 1
    return total


def test_a_large_tile_is_repaired_in_little_time() -> None:
    data = noise_and_runs(0, 3700, 6000, 300)
    plain = bytes(imagecodecs.lzw_encode(data))
    assert len(unsafe_tables(plain)) > 2
    begun = time.process_time()
    imagecodecs.lzw_encode(data)
    alone = time.process_time() - begun

    begun = time.process_time()
    encoded = compress(data)
    taken = time.process_time() - begun

    assert bytes(imagecodecs.lzw_decode(encoded, out=data.nbytes)) == data.tobytes()
    assert taken < 2 * alone + 0.1


def test_safe_stream_is_not_changed() -> None:
    data = np.random.default_rng(0).integers(0, 256, (1, 100_000), dtype="uint8")
    assert unsafe_tables(bytes(imagecodecs.lzw_encode(data))) == []

    assert compress(data) == bytes(imagecodecs.lzw_encode(data))


def test_removing_unsafe_codes_adds_few_bytes() -> None:
    data = noise_and_runs(0, 3700, 60_000, 2)
    plain = bytes(imagecodecs.lzw_encode(data))
    assert unsafe_tables(plain)

    assert len(compress(data)) < len(plain) + 1500


def test_table_length_equals_the_constants() -> None:
    codes = codes_of(bytes(imagecodecs.lzw_encode(np.random.default_rng(0).integers(0, 256, 20_000, dtype="uint8"))))
    clears = [position for position, code in enumerate(codes) if code == 256]

    assert set(np.diff(clears)) == {CODES_PER_TABLE + 1}
    assert lzw.TABLE_BITS == 254 * 9 + 512 * 10 + 1024 * 11 + 2048 * 12 + 12
