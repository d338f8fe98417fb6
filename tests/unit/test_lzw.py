"""LZW streams: the compiled encoder and imagecodecs, which encodes where no C compiler was at hand.

geotiff.js has no room for the last codes that imagecodecs uses.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from effort import often
from foreign.processes import need, read_by_geotiff_js
from foreign.readers import read_by_async_tiff
from georeader._codecs import lzw
from georeader._codecs.lzw import CODES_PER_TABLE, FIRST_UNSAFE_CODE, unsafe_tables
from georeader._codecs.tile_codec import tile_codec
from one_tile import read_by_gdal, read_by_tifffile, tiff_of_one_tile

Encode = Callable[[bytes], bytes]

SOURCE = Path(lzw.__file__).with_name("_lzw.c")

#: Lengths of noise whose codes end on both sides of each change of width, and of the Clear code.
LENGTHS = [*range(6), *range(250, 260), *range(762, 772), *range(1786, 1796), *range(3828, 3842), *range(7660, 7680)]


def needs_extension() -> None:
    if lzw.lzw_encode is None:
        pytest.skip("installed without the C extension")


@pytest.fixture(params=["native", "imagecodecs"])
def encode(request: pytest.FixtureRequest) -> Encode:
    """Each encoder."""
    if request.param == "imagecodecs":
        return lzw.encode_by_imagecodecs
    needs_extension()
    return lzw.lzw_encode


def noise(length: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).bytes(length)


#: Contents that fill tables in different ways.
CONTENTS: dict[str, Callable[[], bytes]] = {
    "zeros": lambda: bytes(65536),
    "ramp": lambda: bytes(range(256)) * 256,
    "noise": lambda: noise(65536),
    "few values": lambda: np.random.default_rng(1).integers(0, 5, 65536, dtype="uint8").tobytes(),
    "noise, then zeros": lambda: noise(3700) + bytes(61836),
    "zeros, then noise": lambda: bytes(61836) + noise(3700),
}


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


@pytest.mark.parametrize("length", LENGTHS)
def test_noise_of_any_length_is_decoded(length: int, encode: Encode) -> None:
    data = noise(length)

    encoded = encode(data)

    assert codes_of(encoded)[-1] == 257
    assert bytes(imagecodecs.lzw_decode(encoded, out=length)) == data


@given(data=st.binary(max_size=5000), repeats=st.integers(1, 4), run_bytes=st.integers(0, 4000))
def test_any_bytes_are_decoded(data: bytes, repeats: int, run_bytes: int) -> None:
    content = (data + bytes(run_bytes)) * repeats

    for one in filter(None, (lzw.lzw_encode, lzw.encode_by_imagecodecs)):
        encoded = one(content)
        assert bytes(imagecodecs.lzw_decode(encoded, out=len(content))) == content
        assert max(codes_of(encoded)) < FIRST_UNSAFE_CODE


@given(
    data=st.binary(max_size=5000), repeats=st.integers(1, 4), run_bytes=st.integers(0, 4000), less=st.integers(0, 40)
)
def test_streams_of_other_encoders_are_decoded(data: bytes, repeats: int, run_bytes: int, less: int) -> None:
    content = (data + bytes(run_bytes)) * repeats
    size = max(0, len(content) - less)

    for one in filter(None, (lzw.lzw_encode, imagecodecs.lzw_encode)):
        assert lzw.decode(bytes(one(content)), size) == content[:size]


@pytest.mark.parametrize("content", CONTENTS)
def test_a_stream_of_libtiff_is_decoded(content: str) -> None:
    data = CONTENTS[content]()
    pixels = np.frombuffer(data, "uint8").reshape(1, 256, 256)

    assert lzw.decode(stream_of_gdal(pixels), len(data)) == data


@pytest.mark.parametrize("encoded", [b"\x80\x7f\xff", b"\x80\x40\xa0", b"\xff" * 9])
def test_a_code_that_was_not_entered_is_refused(encoded: bytes) -> None:
    needs_extension()
    with pytest.raises(ValueError, match="has not entered"):
        lzw.decode(encoded, 100)


@pytest.mark.parametrize("encoded", [b"", b"\x80", b"\x80\x40\x40"])
def test_a_stream_that_is_cut_short_gives_what_it_has(encoded: bytes) -> None:
    needs_extension()
    assert lzw.decode(encoded, 100) == b""


@pytest.mark.parametrize("content", CONTENTS)
def test_every_reader_decodes_a_stream(content: str, encode: Encode, tmp_path: Path) -> None:
    need("geotiff.js")
    data, shape = CONTENTS[content](), (256, 256, 1)
    file = tiff_of_one_tile(encode(data), shape, tile_codec("lzw", dtype="uint8", samples=1, predictor=1))
    (tmp_path / "a.tif").write_bytes(file)
    expected = np.frombuffer(data, "uint8").reshape(shape)

    np.testing.assert_array_equal(read_by_gdal(file), expected)
    np.testing.assert_array_equal(read_by_tifffile(file, shape), expected)
    for reading in (read_by_async_tiff(tmp_path / "a.tif"), read_by_geotiff_js([tmp_path / "a.tif"], tmp_path)[0]):
        assert not isinstance(reading, str), reading
        np.testing.assert_array_equal(reading["full"][0], expected[..., 0])


def test_sixteen_mebibytes_are_decoded(encode: Encode) -> None:
    data = (np.random.default_rng(3).integers(0, 50, 2**24, dtype="uint8")).tobytes()

    assert bytes(imagecodecs.lzw_decode(encode(data), out=2**24)) == data


@pytest.mark.parametrize("content", CONTENTS)
def test_the_native_stream_equals_that_of_libtiff(content: str) -> None:
    needs_extension()
    pixels = np.frombuffer(CONTENTS[content](), "uint8").reshape(1, 256, 256)

    assert lzw.lzw_encode(pixels) == stream_of_gdal(pixels)


def stream_of_gdal(pixels: np.ndarray) -> bytes:
    profile = {"driver": "GTiff", "height": 256, "width": 256, "count": 1, "dtype": "uint8", "tiled": True,
               "blockxsize": 256, "blockysize": 256, "compress": "lzw"}  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(pixels)
        memory.seek(0)
        file = memory.read()
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        page = tiff.pages[0]
        return file[page.dataoffsets[0] : page.dataoffsets[0] + page.databytecounts[0]]


def test_native_encoder_takes_any_contiguous_buffer() -> None:
    needs_extension()
    pixels = np.arange(60_000, dtype="uint16").reshape(200, 300)

    assert lzw.lzw_encode(pixels) == lzw.lzw_encode(memoryview(pixels)) == lzw.lzw_encode(pixels.tobytes())


@pytest.mark.parametrize("content", [np.zeros((8, 8))[:, ::2], "text", None], ids=["strided", "str", "None"])
def test_native_encoder_refuses_what_is_not_a_contiguous_buffer(content: object) -> None:
    needs_extension()
    with pytest.raises((TypeError, ValueError, BufferError)):
        lzw.lzw_encode(content)


def test_threads_encode_at_the_same_time_as_one_after_another() -> None:
    """Without global state: each call has its own table."""
    needs_extension()
    from concurrent.futures import ThreadPoolExecutor

    contents = [noise(50_000, seed) for seed in range(16)]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lzw.lzw_encode, contents)) == [lzw.lzw_encode(content) for content in contents]


def test_the_extension_is_compiled_where_a_compiler_is() -> None:
    """As in CI, which runs one Python without it (``CC=false``)."""
    compiler = shutil.which(os.environ.get("CC") or "cc")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if compiler is None or Path(compiler).name == "false" or not headers.exists():
        pytest.skip("no C compiler, or no headers of this Python")

    assert lzw.encoder_name() == "native"


# Sanitizers.

#: Reads streams of the instrumented extension back: prints how many were right.
FUZZ = textwrap.dedent("""
    import importlib.machinery, importlib.util, random, sys
    import imagecodecs

    loader = importlib.machinery.ExtensionFileLoader("_lzw", sys.argv[1])
    native = importlib.util.module_from_spec(importlib.util.spec_from_loader("_lzw", loader))
    loader.exec_module(native)
    chance, right = random.Random(int(sys.argv[3])), 0
    for _ in range(int(sys.argv[2])):
        noise = chance.randbytes(chance.choice((0, 1, 40, 256, 800, 1800, 3840)) + chance.randrange(9))
        content = (noise + bytes(chance.choice((0, 0, 3, 700)))) * chance.choice((1, 1, 1, 2, 3))
        encoded = bytearray(native.lzw_encode(content))
        right += bytes(imagecodecs.lzw_decode(bytes(encoded), out=len(content))) == content
        right -= native.lzw_decode(encoded, len(content)) != content
        encoded[chance.randrange(len(encoded))] ^= chance.randrange(256)
        try:
            right -= len(native.lzw_decode(encoded[: chance.randrange(9999)], size := chance.randrange(5000))) > size
        except ValueError:
            pass
    print(right)
""")


@cache
def sanitizer_libraries() -> str | None:
    """Return gcc's runtime libraries of the sanitizers, to be loaded first; None where there are none."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        return None
    names = ("libasan.so", "libubsan.so")
    found = [subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip() for name in names]
    return ":".join(found) if all(Path(path).is_absolute() for path in found) else None


@pytest.mark.fuzz
def test_sanitizers_find_nothing_in_the_encoder(tmp_path: Path) -> None:
    libraries, include = sanitizer_libraries(), sysconfig.get_path("include")
    if libraries is None or not Path(include, "Python.h").exists():
        pytest.skip("no gcc with sanitizers, or no headers of this Python")
    extension, inputs = tmp_path / "_lzw.so", often(1_000_000, usually=50_000)
    subprocess.run(
        ["gcc", "-O1", "-g", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=all", f"-I{include}", str(SOURCE), "-o", str(extension)],
        check=True,
    )  # fmt: skip
    # Python itself leaves memory to the system at its end; a debug allocator shows reads beyond small buffers, too.
    variables = {"LD_PRELOAD": libraries, "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc"}

    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(extension), str(inputs), "1"],
        env=os.environ | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) == inputs


# imagecodecs.


def noise_and_runs(seed: int, noise_bytes: int, run_bytes: int, repeats: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    noise = chance.integers(0, 256, (repeats, noise_bytes), dtype="uint8")
    return np.hstack([noise, np.zeros((repeats, run_bytes), "uint8")]).reshape(1, -1)


def compress(data: np.ndarray) -> bytes:
    return lzw.encode_by_imagecodecs(np.ascontiguousarray(data).data.cast("B"))


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
