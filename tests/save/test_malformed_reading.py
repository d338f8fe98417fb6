"""Malformed files and unusual names in every function that reads: a result, or an error of the project."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner
from rasterio.windows import Window

import malformed
from georeader import CogWriter, GeoTensor, RasterioReader, save_cog
from georeader.cli import main
from georeader.errors import GeoreaderError, ReadError
from georeader.preview import preview
from georeader.validation import info, validate

pytestmark = pytest.mark.fuzz

PIXEL_SCALE = 33550


def as_json(value: Any) -> str:
    """Write JSON as its standard has it: neither NaN nor infinity."""
    return json.dumps(value, allow_nan=False)


def _save(path: Path) -> None:
    receipt = save_cog(path, path.parent / "copy.tif")
    as_json(receipt.to_dict())
    as_json(receipt.to_stac(datetime=datetime(2024, 1, 1, tzinfo=UTC)).to_dict())


def _preview_of_dataset(path: Path) -> None:
    with contextlib.suppress(rasterio.errors.RasterioError), rasterio.open(path) as dataset:
        preview(dataset, max_side_px=64)


#: Everything that reads a file.
READERS: dict[str, Callable[[Path], Any]] = {
    "validate": lambda path: (str(validate(path)), as_json(validate(path).to_dict())),
    "info": lambda path: (str(info(path)), as_json(info(path).to_dict())),
    "preview": lambda path: preview(path, max_side_px=64),
    "preview of a dataset": _preview_of_dataset,
    "html": lambda path: RasterioReader(path)._repr_html_(),
    "footprint": lambda path: RasterioReader(path).footprint(),
    "save": _save,
}


def edited(file: malformed.Good, tag: int, number: int, directory: int = 0) -> bytes:
    """Return the file with one number for each value of a tag."""
    entry = file.entry(tag, directory)
    return file.put(entry.values_at, number.to_bytes(entry.width, "little") * entry.count)


def scaled(file: malformed.Good, position: int, number: float) -> bytes:
    """Return the file with another pixel size."""
    return file.put(file.entry(PIXEL_SCALE).values_at + 8 * position, struct.pack("<d", number))


MALFORMED: dict[str, Callable[[malformed.Good], bytes]] = {
    "width 1": lambda file: edited(file, malformed.WIDTH, 1),
    "width 2": lambda file: edited(file, malformed.WIDTH, 2),
    "height 1": lambda file: edited(file, malformed.HEIGHT, 1),
    "width 20000": lambda file: edited(file, malformed.WIDTH, 20000),
    "overview of width 0": lambda file: edited(file, malformed.WIDTH, 0, 1),
    "overview of width 251": lambda file: edited(file, malformed.WIDTH, 251, 1),
    "overview of width 65535": lambda file: edited(file, malformed.WIDTH, 65535, 1),
    "overview of height 65535": lambda file: edited(file, malformed.HEIGHT, 65535, 1),
    "overview of 128 bits": lambda file: edited(file, malformed.BITS, 128, 1),
    "overview of planar configuration 9": lambda file: edited(file, malformed.PLANAR, 9, 1),
    "overview of sample format 9": lambda file: edited(file, malformed.SAMPLE_FORMAT, 9, 1),
    "pixel size NaN": lambda file: scaled(file, 0, float("nan")),
    "pixel size infinite": lambda file: scaled(file, 1, float("inf")),
    "pixel size that overflows": lambda file: scaled(file, 0, 1e308),
    "pixel size that underflows": lambda file: scaled(file, 0, 5e-324),
    "pixel size 0": lambda file: scaled(file, 0, 0.0),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> malformed.Good:
    return malformed.good(tmp_path_factory.mktemp("good"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("damage", MALFORMED)
def test_malformed_file_gives_a_result_or_a_georeader_error(
    damage: str, reader: str, good: malformed.Good, tmp_path: Path
) -> None:
    path = tmp_path / "bad.tif"
    path.write_bytes(MALFORMED[damage](good))

    with contextlib.suppress(GeoreaderError):
        READERS[reader](path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("damage", ["overview of width 65535", "overview of height 65535", "overview of width 251"])
def test_preview_skips_overviews_larger_than_the_raster(damage: str, good: malformed.Good, tmp_path: Path) -> None:
    (tmp_path / "good.tif").write_bytes(good.content)
    (tmp_path / "bad.tif").write_bytes(MALFORMED[damage](good))
    wanted = preview(tmp_path / "good.tif", max_side_px=250)

    tracemalloc.start()
    with contextlib.suppress(GeoreaderError):
        preview(tmp_path / "bad.tif", max_side_px=32)
    assert preview(tmp_path / "bad.tif", max_side_px=250) == wanted
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most_bytes < 8 * 2**20


def test_numbers_of_info_that_json_does_not_have_are_text(good: malformed.Good, tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_bytes(scaled(good, 0, float("nan")))

    found = json.loads(as_json(info(tmp_path / "bad.tif").to_dict()))

    assert "nan" in found["bounds"]
    assert "nan" in found["pixel_size"]


def tensor() -> GeoTensor:
    values = np.arange(300 * 300, dtype="uint16").reshape(1, 300, 300)
    return GeoTensor(values, Affine(10, 0, 0, 0, -10, 0), "EPSG:3857", fill_value_default=None)


def write_window(path: Path) -> None:
    with CogWriter(path.parent / "copy.tif", like=path) as writer:
        writer.write(tensor().values)


#: Everything that reads a file, by a name of any kind.
BY_NAME: dict[str, Callable[[Path], Any]] = {
    **{name: reader for name, reader in READERS.items() if name != "preview of a dataset"},
    "reader": lambda path: RasterioReader(path).load(),
    "overview": lambda path: RasterioReader(path, overview_level=0).load(),
    "text": lambda path: RasterioReader(str(path)).load(),
    "bytes": lambda path: (RasterioReader(os.fsencode(path)).load(), validate(os.fsencode(path))),  # type: ignore[arg-type]
    "load_file": lambda path: GeoTensor.load_file(path),
    "save by GDAL": lambda path: save_cog(path, path.parent / "copy.tif", engine="gdal"),
    "CogWriter": write_window,
    "messages": lambda path: print(RasterioReader(path), validate(path), info(path)),
}


@pytest.mark.skipif(sys.platform != "linux", reason="file systems differ in what a name may be")
@pytest.mark.parametrize("reader", BY_NAME)
@pytest.mark.parametrize(
    "name",
    [b"a" * 248 + b".tif", "é".encode() * 125 + b"a.tif", b"caf\xe9.tif"],
    ids=["252 bytes", "255 bytes of 130 characters", "Latin-1"],
)
def test_file_with_any_name_is_read(name: bytes, reader: str, tmp_path: Path) -> None:
    save_cog(tensor(), tmp_path / "out.tif", profile_arg={"BLOCKSIZE": 128})
    path = tmp_path / os.fsdecode(name)
    (tmp_path / "out.tif").rename(path)

    BY_NAME[reader](path)

    assert np.array_equal(RasterioReader(path).load().values, tensor().values)


@pytest.mark.skipif(sys.platform != "linux", reason="file systems differ in what a name may be")
@pytest.mark.parametrize("name", ["a" * 248 + ".tif", os.fsdecode(b"caf\xe9.tif")], ids=["252 bytes", "Latin-1"])
@pytest.mark.parametrize("command", [["validate"], ["info"], ["preview", "-o", "out.png"], ["cog", "out.tif"]])
def test_command_line_reads_a_file_with_any_name(
    name: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_cog(tensor(), "in.tif")
    Path("in.tif").rename(name)

    done = CliRunner().invoke(main, [command[0], name, *command[1:]])

    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("reader", ["info", "preview", "reader", "save", "validate", "load_file"])
def test_a_missing_file_whose_name_is_not_utf8_is_a_read_error(reader: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"caf\\udce9"):
        BY_NAME[reader](tmp_path / os.fsdecode(b"caf\xe9.tif"))


def vrt_of(width_px: int, height_px: int, dtype: str, bands: int) -> str:
    """A raster without sources, which has pixels of any number in a file of a few bytes."""
    listed = "".join(f'<VRTRasterBand dataType="{dtype}" band="{band + 1}"/>' for band in range(bands))
    return f'<VRTDataset rasterXSize="{width_px}" rasterYSize="{height_px}">{listed}</VRTDataset>'


#: Rasters that no memory holds: 2^51 bytes, which cannot be allocated, and more than addresses have bits for.
TOO_LARGE = {
    "2^51 bytes": vrt_of(2**31 - 1, 2**20, "Byte", 1),
    "2^68 bytes": vrt_of(2**31 - 1, 2**31 - 1, "Float64", 8),
}

#: Everything that reads a whole raster into memory.
WHOLE: dict[str, Callable[[Path], Any]] = {
    "load": lambda path: RasterioReader(path).load(),
    "read": lambda path: RasterioReader(path).read(),
    "values": lambda path: RasterioReader(path).values,
    "one band": lambda path: RasterioReader(path).read(indexes=[1]),
    "boundless": lambda path: RasterioReader(path).read_from_window(Window(-1, -1, 2**31 - 1, 2**20)).load(),
    "load_file": lambda path: GeoTensor.load_file(path),
}


@pytest.mark.parametrize("reader", WHOLE)
@pytest.mark.parametrize("size", TOO_LARGE)
def test_a_raster_that_does_not_fit_into_memory_is_a_read_error(size: str, reader: str, tmp_path: Path) -> None:
    path = tmp_path / "huge.vrt"
    path.write_text(TOO_LARGE[size])

    with pytest.raises(ReadError, match=r"huge\.vrt: .*window"):
        WHOLE[reader](path)


@pytest.mark.parametrize("bands", [3, 4])
def test_the_metadata_of_a_webp_file_without_its_tile_arrays_is_read(bands: int, tmp_path: Path) -> None:
    """GDAL looks for the first tile, and rasterio raises what that reports in a later call."""
    pixels = np.random.default_rng(0).integers(0, 255, (bands, 1000, 1000), dtype="uint8")
    tensor = GeoTensor(pixels, Affine(10, 0, 0, 0, -10, 0), "EPSG:32630", fill_value_default=None)
    save_cog(tensor, tmp_path / "a.tif", profile_arg={"compress": "webp", "BLOCKSIZE": 64})
    content = (tmp_path / "a.tif").read_bytes()

    for size_bytes in range(600, 3000, 300):
        (tmp_path / f"{size_bytes}.tif").write_bytes(content[:size_bytes])
        assert RasterioReader(tmp_path / f"{size_bytes}.tif").shape == (bands, 1000, 1000)
