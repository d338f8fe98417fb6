"""Saves of tiled files whose encoding stays: base tiles are taken over, and only overviews are computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile

from georeader import RasterioReader, repack, save_cog
from georeader._codecs.tile_codec import TileCodec
from georeader.errors import ReadError
from georeader.validation import validate
from stored_files import FILES, facts_by_gdal, pixels, tensor, tile_digests

#: Options by which the encoding of each file stays what it is; None: another tile size or a mask prevents it.
SAME: dict[str, dict[str, Any]] = {
    "ours": {"compress": "zstd"},
    "ours, float32": {},
    "ours, jpeg": {"compress": "jpeg"},
    "ours, bands": {"compress": "deflate", "interleave": "band"},
    "ours, sparse": {},
    "ours, BigTIFF": {},
    "COG driver": {"compress": "deflate"},
    "COG driver, mask": {},
    "COG driver, jpeg": {"compress": "jpeg"},
    "COG driver, BigTIFF": {"compress": "zstd"},
    "GTiff driver": {},
    "GTiff driver, mask": {"compress": "deflate"},
    "GTiff driver, jpeg": {"compress": "jpeg"},
    "GTiff driver, bands": {"compress": "zstd", "interleave": "band"},
    "GTiff driver, sparse": {},
    "GTiff driver, big-endian": {"compress": "deflate"},
    "GTiff driver, big-endian BigTIFF": {},
    "GTiff driver, no overviews": {"compress": "packbits"},
    "rio-cogeo": {"compress": "deflate", "blocksize": 512},
    "odc-geo": {"compress": "deflate"},
    "tifffile": {"compress": "deflate"},
    "tifffile, big-endian": {"compress": "deflate"},
    "libtiff": {},
}


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        path = tmp_path / "scene.tif"
        FILES[name](path)
        return path

    return make


pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning", "ignore::georeader.errors.FillValueWarning"
)


@pytest.mark.parametrize("name", SAME)
def test_tiles_of_the_full_resolution_are_taken_over(make: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    path, out = make(name), tmp_path / "out.tif"
    base = _base_of(path)

    receipt = save_cog(path, out, profile_arg=SAME[name])

    assert _base_of(out) == base
    assert receipt.tiles_reused == sum(digest is not None for tiles in base.values() for digest in tiles)
    assert validate(out).is_valid, validate(out)


def _base_of(path: Path) -> dict[tuple[int, bool], list[str | None]]:
    digests = tile_digests(path)
    return {key: tiles for key, tiles in digests.items() if key[0] == max(digests)[0]}


@pytest.mark.parametrize("name", SAME)
def test_pixels_and_overviews_are_those_of_a_save_that_encodes_anew(
    make: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    path, out, anew = make(name), tmp_path / "out.tif", tmp_path / "anew.tif"

    save_cog(path, out, profile_arg=SAME[name])
    receipt = save_cog(path, anew, profile_arg=SAME[name], reuse_tiles=False)

    assert receipt.tiles_reused == 0
    found, expected = facts_by_gdal(out), facts_by_gdal(anew)
    if "jpeg" in name:  # pixels that are encoded anew are changed anew
        expected |= {key: found[key] for key in expected if key.startswith("pixels")}
    assert found == expected
    assert np.array_equal(rasterio.open(out).read(), rasterio.open(path).read())


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "deflate"}, {"blocksize": 128}, {"predictor": 1}, {"interleave": "band"}, {"dtype": "uint16"},
        {"preset": "web"},
    ],
)  # fmt: skip
def test_another_encoding_is_encoded_anew(make: Callable[[str], Path], tmp_path: Path, options: dict[str, Any]) -> None:
    path, out = make("ours, sparse"), tmp_path / "out.tif"
    save_cog(path, path, profile_arg={"predictor": 2}, reuse_tiles=False)

    assert save_cog(path, out, profile_arg=options).tiles_reused == 0


def test_a_level_asks_for_an_encoding_of_its_own(make: Callable[[str], Path], tmp_path: Path) -> None:
    receipt = save_cog(make("ours"), tmp_path / "out.tif", profile_arg={"compress": "zstd", "level": 9})

    assert receipt.tiles_reused == 0


def test_a_window_is_encoded_anew(make: Callable[[str], Path], tmp_path: Path) -> None:
    reader = RasterioReader(make("ours, sparse"))
    part = reader.read_from_window(rasterio.windows.Window(0, 0, 256, 256))

    assert save_cog(part, tmp_path / "out.tif").tiles_reused == 0


def test_overviews_and_metadata_change_without_encoding_the_base(make: Callable[[str], Path], tmp_path: Path) -> None:
    path, out = make("ours, sparse"), tmp_path / "out.tif"

    receipt = save_cog(
        path, out, tags={"checked": "yes"}, descriptions=["a", "b", "c"],
        profile_arg={"RESAMPLING": "nearest", "OVERVIEW_COUNT": 1, "BIGTIFF": "YES", "STATISTICS": "YES"},
    )  # fmt: skip

    assert receipt.tiles_reused
    with rasterio.open(out) as dataset:
        assert dataset.overviews(1) == [2]
        assert dataset.descriptions == ("a", "b", "c")
        assert dataset.tags()["OVERVIEW_RESAMPLING"] == "NEAREST"
        assert "STATISTICS_MEAN" in dataset.tags(1)
    assert validate(out).measurement.version == "BigTIFF"


# repack.


@pytest.mark.parametrize("name", FILES)
def test_repack_keeps_the_encoding_of_a_file_and_makes_overviews(
    make: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    path, out = make(name), tmp_path / "out.tif"
    base = _base_of(path)

    receipt = repack(path, out, profile_arg={"RESAMPLING": "nearest"})

    assert _base_of(out) == base
    assert receipt.tiles_reused
    report = validate(out)
    assert report.is_valid, report
    assert report.measurement.byte_order == ("big-endian" if "big-endian" in name else "little-endian")
    with rasterio.open(path) as before, rasterio.open(out) as after:
        assert np.array_equal(after.read(), before.read())
        assert after.overviews(1)
        assert after.profile["compress"] == before.profile["compress"]


def test_repack_encodes_strips_in_their_codec(tmp_path: Path) -> None:
    path, out = tmp_path / "strips.tif", tmp_path / "out.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="uint8", height=600, width=500, compress="zstd", crs=3857,
        transform=rasterio.Affine(1, 0, 5, 0, -1, 7),
    ) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 600, 500), "uint8"))

    receipt = repack(path, out)

    assert receipt.tiles_reused == 0
    assert validate(out, strict=True).is_valid
    assert rasterio.open(out).profile["compress"] == "zstd"


def test_repack_takes_a_reader_and_options_of_a_save(make: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "out.tif"

    receipt = repack(RasterioReader(make("ours")), out, tags={"checked": "yes"}, profile_arg={"BIGTIFF": "YES"})

    assert receipt.tiles_reused
    assert RasterioReader(out).tags()["checked"] == "yes"
    assert validate(out).measurement.version == "BigTIFF"


@pytest.mark.parametrize("compress", ["lzw", "deflate", "zstd", "lzma"])
def test_a_tile_that_cannot_be_decoded_is_named_and_nothing_is_written(tmp_path: Path, compress: str) -> None:
    path, out = tmp_path / "scene.tif", tmp_path / "out.tif"
    save_cog(tensor(1, "uint16"), path, profile_arg={"compress": compress})
    with tifffile.TiffFile(path) as file:
        offset, size = file.pages[0].dataoffsets[4], file.pages[0].databytecounts[4]
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = bytes(255 - byte for byte in content[offset : offset + size])
    path.write_bytes(content)

    with pytest.raises(ReadError, match=r"scene\.tif.*row 1 column 1"):
        save_cog(path, out, profile_arg={"compress": compress})

    assert not out.exists()


#: (codec, dtype, bands, further options) of files whose tiles are taken over, beside those of `SAME`.
CODECS = [
    ("none", "float64", 1, {}), ("packbits", "uint8", 4, {}), ("lzma", "int32", 2, {}), ("webp", "uint8", 3, {}),
    ("webp", "uint8", 4, {}), ("lerc", "float32", 1, {}), ("lerc_deflate", "uint16", 2, {}),
    ("lerc_zstd", "float32", 1, {}), ("jpeg", "uint8", 1, {}), ("none", "complex64", 1, {}),
    ("deflate", "int64", 1, {}), ("lzw", "int8", 1, {}), ("zstd", "float32", 3, {"interleave": "band"}),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "dtype", "count", "options"), CODECS)
def test_tiles_of_every_codec_are_taken_over(
    tmp_path: Path, codec: str, dtype: str, count: int, options: dict[str, Any]
) -> None:
    path, out = tmp_path / "scene.tif", tmp_path / "out.tif"
    save_cog(tensor(count, dtype, fill_value_default=None), path, profile_arg={"compress": codec, **options})

    receipt = repack(path, out, profile_arg={"OVERVIEW_COUNT": 1})

    assert receipt.tiles_reused == receipt.levels[0].tile_count
    assert _base_of(out) == _base_of(path)
    assert validate(out).is_valid, validate(out)


@pytest.mark.parametrize("compress", ["none", "lzw", "deflate", "zstd", "packbits"])
@pytest.mark.parametrize(("dtype", "predictor"), [("uint16", 1), ("int32", 2), ("float64", 3), ("complex64", 1)])
def test_overviews_of_a_big_endian_file_have_its_byte_order(
    tmp_path: Path, compress: str, dtype: str, predictor: int
) -> None:
    path, out, anew = tmp_path / "scene.tif", tmp_path / "out.tif", tmp_path / "anew.tif"
    predicted = {"predictor": predictor} if compress in ("lzw", "deflate", "zstd") else {}
    with rasterio.open(
        path, "w", driver="GTiff", tiled=True, blockxsize=256, blockysize=256, count=2, dtype=dtype, height=620,
        width=530, compress=compress, ENDIANNESS="BIG", crs=3857, transform=rasterio.Affine(1, 0, 5, 0, -1, 7),
        **predicted,
    ) as dataset:  # fmt: skip
        dataset.write(pixels(2, dtype))

    receipt = repack(path, out)
    save_cog(path, anew, reuse_tiles=False)

    assert receipt.tiles_reused
    assert out.read_bytes()[:2] == b"MM"
    assert {key: value for key, value in facts_by_gdal(out).items() if "pixels" in key} == {
        key: value for key, value in facts_by_gdal(anew).items() if "pixels" in key
    }


def test_each_tile_is_decoded_once(
    make: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, decoded = make("ours"), []
    decode = TileCodec.decode

    def counting(self: TileCodec, data: bytes, shape: tuple[int, int, int]) -> Any:
        decoded.append(len(data))
        return decode(self, data, shape)

    monkeypatch.setattr(TileCodec, "decode", counting)

    receipt = repack(path, tmp_path / "out.tif")

    assert len(decoded) == receipt.tiles_reused == receipt.levels[0].tile_count


def test_validate_names_repack_where_it_mends_a_file(make: Callable[[str], Path], tmp_path: Path) -> None:
    path, out = make("GTiff driver"), tmp_path / "out.tif"
    before = validate(path)
    assert not before.is_valid

    repack(path, out)

    assert before.advice is not None
    assert "georeader.repack(" in str(before)
    assert validate(out).is_valid
    assert validate(out).advice is None


def test_validate_names_no_repack_for_strips(tmp_path: Path) -> None:
    path = tmp_path / "strips.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, dtype="uint8", height=600, width=600, crs=3857) as dataset:
        dataset.write(np.ones((1, 600, 600), "uint8"))

    report = validate(path)

    assert not report.is_valid
    assert report.advice is None


def old_lzw(content: bytes) -> bytes:
    """Encode bytes as LZW of writers before TIFF 6.0: codes of 9 bits from the least significant bit on."""
    codes: list[int] = []
    for start in range(0, len(content), 200):  # cleared before codes grow
        codes += [256, *content[start : start + 200]]
    bits = sum(code << 9 * place for place, code in enumerate([*codes, 257]))
    return bits.to_bytes(-(-9 * (len(codes) + 1) // 8), "little")


def test_tiles_of_old_lzw_are_encoded_anew(tmp_path: Path) -> None:
    path, out = tmp_path / "old.tif", tmp_path / "out.tif"
    expected = np.arange(32 * 32, dtype="uint8").reshape(1, 32, 32)
    with tifffile.TiffWriter(path) as file:
        tile = old_lzw(expected.tobytes())
        file.write(
            iter([tile]), shape=(32, 32), dtype="uint8", tile=(32, 32), compression="lzw", photometric="minisblack"
        )
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), expected)

    receipt = save_cog(path, out, profile_arg={"blocksize": 32, "OVERVIEW_COUNT": 1})

    assert receipt.tiles_reused == 0
    with rasterio.open(out) as dataset:
        assert np.array_equal(dataset.read(), expected)
