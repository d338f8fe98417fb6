"""Rasters whose smallest value is white: pixels and appearance are kept for any number of bits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from affine import Affine
from rasterio.vrt import WarpedVRT

from foreign.processes import need, view_by_imagemagick
from foreign.readers import view_by_pillow
from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import DtypeError, MetadataWarning, OptionError
from georeader.preview import preview
from georeader.validation import validate
from pictures import read_png

PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}

#: dtype, and bits of a sample.
BITS = [
    ("uint8", 1),
    ("uint8", 2),
    ("uint8", 4),
    ("uint8", 7),
    ("uint8", 8),
    ("uint16", 9),
    ("uint16", 12),
    ("uint16", 15),
    ("uint16", 16),
]

every_depth = pytest.mark.parametrize(("dtype", "bits"), BITS)
every_engine = pytest.mark.parametrize("engine", ["stream", "gdal"])


def source(
    path: Path, dtype: str = "uint8", bits: int = 8, count: int = 1, shape: tuple[int, int] = (139, 205)
) -> Path:
    """Have GDAL write a MINISWHITE file with all values that so many bits can hold, in blocks that overviews keep."""
    rows, columns = np.indices(shape) // 8
    values = (rows * 37 + columns * 101) * (2**bits // 16 + 1) % 2**bits
    packed = {} if bits in (8, 16) else {"NBITS": bits}
    profile = {"driver": "GTiff", "height": shape[0], "width": shape[1], "count": count, "dtype": dtype, "ALPHA": "NO"}
    with rasterio.open(path, "w", photometric="MINISWHITE", **profile, **PLACE, **packed) as dataset:
        dataset.write(np.stack([values + 0 * band for band in range(count)]).astype(dtype))
    return path


def declared(path: Path) -> set[tuple[int, int, tuple[int, ...]]]:
    """Return PhotometricInterpretation, BitsPerSample and ExtraSamples of the raster and its overviews."""
    with tifffile.TiffFile(path) as file:
        return {(int(page.photometric), page.bitspersample, tuple(map(int, page.extrasamples))) for page in file.pages}


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with rasterio.open(path) as dataset:
        return dataset.read()


def interpretations(path: Path) -> tuple[Any, ...]:
    with rasterio.open(path) as dataset:
        return dataset.colorinterp


@every_depth
@every_engine
@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
@pytest.mark.parametrize("options", [{}, {"compress": "none"}, {"compress": "zstd", "interleave": "band"}], ids=str)
def test_photometric_bits_and_pixels_survive(
    dtype: str, bits: int, options: dict[str, Any], save: Callable[..., Any], engine: str, tmp_path: Path
) -> None:
    path = source(tmp_path / "source.tif", dtype, bits)

    save(path, tmp_path / "out.tif", profile_arg={"blocksize": 64} | options, engine=engine, verify=engine == "stream")

    assert declared(tmp_path / "out.tif") == {(0, bits, ())}
    np.testing.assert_array_equal(pixels(tmp_path / "out.tif"), pixels(path))
    assert interpretations(tmp_path / "out.tif") == interpretations(path)
    if save is save_cog:
        assert validate(tmp_path / "out.tif", strict=True).is_valid


@every_engine
@every_depth
def test_overviews_average_the_source(dtype: str, bits: int, engine: str, tmp_path: Path) -> None:
    path = source(tmp_path / "source.tif", dtype, bits, shape=(128, 192))
    save_cog(path, tmp_path / "out.tif", profile_arg={"blocksize": 64}, engine=engine)

    with rasterio.open(tmp_path / "out.tif", overview_level=0) as overview:
        found = overview.read()

    np.testing.assert_array_equal(found, pixels(path)[:, ::2, ::2])  # each block of 8 x 8 has one value


def kinds(path: Path) -> dict[str, Callable[[], Any]]:
    return {
        "path": lambda: path,
        "reader": lambda: RasterioReader(path),
        "tensor": lambda: RasterioReader(path).load(),
        "dataset": lambda: rasterio.open(path),
        "window": lambda: RasterioReader(path).isel({"y": slice(0, 100), "x": slice(8, 100)}),
    }


@pytest.mark.parametrize("kind", ["path", "reader", "tensor", "dataset", "window"])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_every_source_declares_miniswhite(bits: int, kind: str, tmp_path: Path) -> None:
    path = source(tmp_path / "source.tif", bits=bits)

    save_cog(kinds(path)[kind](), tmp_path / "out.tif")

    assert declared(tmp_path / "out.tif") == {(0, bits, ())}


@pytest.mark.parametrize(("dtype", "bits"), [("uint8", 1), ("uint8", 4), ("uint8", 8), ("uint16", 16)])
def test_warp_declares_miniswhite(dtype: str, bits: int, tmp_path: Path) -> None:
    """GDAL does not report it for a WarpedVRT."""
    with rasterio.open(source(tmp_path / "source.tif", dtype, bits)) as dataset, WarpedVRT(dataset) as warped:
        save_cog(warped, tmp_path / "out.tif")

    assert declared(tmp_path / "out.tif") == {(0, bits, ())}


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_vrt_keeps_the_appearance_by_gdals_colour_table(bits: int, tmp_path: Path) -> None:
    rasterio.shutil.copy(source(tmp_path / "source.tif", bits=bits), tmp_path / "source.vrt", driver="VRT")
    save_cog(tmp_path / "source.vrt", tmp_path / "out.tif")

    ((photometric, _, _),) = declared(tmp_path / "out.tif")
    assert photometric == 3
    np.testing.assert_array_equal(view_by_pillow(tmp_path / "out.tif"), view_by_pillow(tmp_path / "source.tif"))


@every_depth
def test_a_copy_of_a_copy_is_the_same(dtype: str, bits: int, tmp_path: Path) -> None:
    save_cog(source(tmp_path / "source.tif", dtype, bits), tmp_path / "a.tif")
    save_cog(tmp_path / "a.tif", tmp_path / "b.tif")

    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert RasterioReader(tmp_path / "b.tif").attrs == RasterioReader(tmp_path / "a.tif").attrs


@every_engine
@pytest.mark.parametrize(("dtype", "bits"), [("uint8", 1), ("uint8", 2), ("uint8", 4), ("uint8", 8), ("uint16", 16)])
def test_pillow_shows_the_copy_as_it_shows_the_source(dtype: str, bits: int, engine: str, tmp_path: Path) -> None:
    need("Pillow")
    path = source(tmp_path / "source.tif", dtype, bits)
    save_cog(path, tmp_path / "out.tif", engine=engine)

    found = view_by_pillow(tmp_path / "out.tif")

    np.testing.assert_array_equal(found, view_by_pillow(path))
    if bits <= 8:
        expected = 255 - np.round(pixels(path)[0] * (255 / (2**bits - 1)))
        np.testing.assert_array_equal(found[..., 0], expected)


@every_engine
def test_imagemagick_shows_the_copies_as_it_shows_the_sources(engine: str, tmp_path: Path) -> None:
    need("ImageMagick")
    sources, copies = [], []
    for dtype, bits in BITS:
        sources.append(source(tmp_path / f"{bits}.tif", dtype, bits))
        copies.append(tmp_path / f"{bits}-copy.tif")
        save_cog(sources[-1], copies[-1], engine=engine)

    shown = view_by_imagemagick([*sources, *copies], tmp_path / "shown")

    for before, after in zip(shown[: len(sources)], shown[len(sources) :], strict=True):
        assert not isinstance(before, str), before
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(("dtype", "bits"), [("uint8", 1), ("uint8", 4), ("uint8", 8), ("uint16", 12), ("uint16", 16)])
def test_preview_draws_the_smallest_value_white(dtype: str, bits: int, tmp_path: Path) -> None:
    path = source(tmp_path / "source.tif", dtype, bits, shape=(64, 64))
    values = pixels(path)[0]
    save_cog(path, tmp_path / "out.tif")
    for raster in (path, tmp_path / "out.tif", RasterioReader(path).load()):
        picture = read_png(preview(raster))

        greys = picture if picture.ndim == 2 else picture[..., 0]
        assert set(greys[values == 0]) == {255}
        assert set(greys[values == values.max()]) == {0}


def test_preview_inverts_the_first_band_only(tmp_path: Path) -> None:
    values = np.stack([np.arange(64).reshape(8, 8)] * 3).astype("uint8")
    tensor = GeoTensor(values, *PLACE.values(), None, attrs={"photometric": "MINISWHITE"})

    first, second = (read_png(preview(tensor, bands=band)) for band in (1, 2))

    np.testing.assert_array_equal(first, 255 - second)
    colours = read_png(preview(tensor, bands=[2, 1, 3]))
    np.testing.assert_array_equal(colours[..., 1], 255 - colours[..., 0])


@every_engine
def test_single_bits_are_picked_in_overviews(engine: str, tmp_path: Path) -> None:
    path = source(tmp_path / "source.tif", bits=1)
    with rasterio.open(path, "r+") as dataset:
        dataset.write((np.random.default_rng(0).random((1, 139, 205)) < 0.2).astype("uint8"))
    save_cog(path, tmp_path / "out.tif", profile_arg={"blocksize": 64}, engine=engine)

    with rasterio.open(tmp_path / "out.tif", overview_level=0) as overview:
        assert 0.15 < overview.read().mean() < 0.25  # of averages, rounded, it would be 0.03


@every_engine
@pytest.mark.parametrize("options", [{"compress": "packbits"}, {"dtype": "uint16"}, {"predictor": 2}], ids=str)
def test_bits_that_a_codec_cannot_keep_are_warned_of(options: dict[str, Any], engine: str, tmp_path: Path) -> None:
    path = source(tmp_path / "source.tif", bits=4)
    with pytest.warns(MetadataWarning, match="the 4 bits of the MINISWHITE source are stored as (8|16), in which they"):
        save_cog(path, tmp_path / "out.tif", profile_arg=options, engine=engine)

    ((photometric, _, _),) = declared(tmp_path / "out.tif")
    assert photometric == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out.tif"), pixels(path))


@every_engine
def test_single_bits_that_a_codec_cannot_keep_become_a_palette(engine: str, tmp_path: Path) -> None:
    path = source(tmp_path / "source.tif", bits=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_cog(path, tmp_path / "out.tif", profile_arg={"compress": "packbits"}, engine=engine)

    assert declared(tmp_path / "out.tif") == {(3, 8, ())}
    assert RasterioReader(tmp_path / "out.tif").attrs["colormap"][0][:3] == (255, 255, 255)


@pytest.mark.parametrize("asked", ["MINISBLACK", "MINISWHITE"])
@every_engine
def test_option_overrides_the_source(asked: str, engine: str, tmp_path: Path) -> None:
    path = source(tmp_path / "source.tif")
    save_cog(path, tmp_path / "out.tif", profile_arg={"photometric": asked}, engine=engine)

    assert declared(tmp_path / "out.tif") == {({"MINISBLACK": 1, "MINISWHITE": 0}[asked], 8, ())}


@pytest.mark.parametrize(("engine", "kind"), [("stream", DtypeError), ("gdal", OptionError)])
def test_values_beyond_the_bits_are_refused_and_nothing_is_written(
    engine: str, kind: type[Exception], tmp_path: Path
) -> None:
    tensor = RasterioReader(source(tmp_path / "source.tif", bits=4)).load()
    tensor.values[0, 5, 5] = 16
    with pytest.raises(kind, match=r"hold.* values up to 15"):
        save_cog(tensor, tmp_path / "out.tif", engine=engine)

    assert not (tmp_path / "out.tif").exists()
    del tensor.attrs["nbits"]
    save_cog(tensor, tmp_path / "out.tif", engine=engine)
    assert declared(tmp_path / "out.tif") == {(0, 8, ())}


def test_nbits_of_a_template_are_dropped_for_other_values(tmp_path: Path) -> None:
    path = source(tmp_path / "source.tif", bits=4)
    with CogWriter(tmp_path / "out.tif", like=path) as writer:
        writer.write(np.full((139, 205), 200, "uint8"), rasterio.windows.Window(0, 0, 205, 139))

    assert pixels(tmp_path / "out.tif").max() == 200


def test_arithmetic_and_other_bands_drop_miniswhite(tmp_path: Path) -> None:
    two = RasterioReader(source(tmp_path / "source.tif", bits=7, count=2)).load()

    assert {"photometric", "nbits"} <= two.attrs.keys()
    assert not {"photometric", "nbits"} & (two * 2).attrs.keys()
    assert not {"photometric", "nbits"} & two.isel({"band": [1]}).attrs.keys()
    assert {"photometric", "nbits"} <= two.isel({"band": [0]}).attrs.keys()
    assert RasterioReader(tmp_path / "source.tif", indexes=[2]).attrs.get("photometric") is None


@every_engine
@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_alpha_beside_miniswhite_is_kept(save: Callable[..., Any], engine: str, tmp_path: Path) -> None:
    values = np.stack([np.full((139, 205), 40), np.indices((139, 205))[0] % 2 * 255]).astype("uint8")
    attrs = {"photometric": "MINISWHITE", "colorinterp": ["gray", "alpha"]}
    save(GeoTensor(values, *PLACE.values(), None, attrs=attrs), tmp_path / "out.tif", engine=engine)

    assert declared(tmp_path / "out.tif") == {(0, 8, (2,))}
    assert [interp.name for interp in interpretations(tmp_path / "out.tif")] == ["gray", "alpha"]
    np.testing.assert_array_equal(pixels(tmp_path / "out.tif"), values)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("bits", [4, 8])
def test_more_bands_are_refused_by_gdals_engine(bits: int, count: int, tmp_path: Path) -> None:
    """GDAL's driver takes a second band for alpha, and declares overviews of three bands palettes."""
    path = source(tmp_path / "source.tif", bits=bits, count=count)
    with pytest.raises(OptionError, match="has MINISWHITE for one band, with alpha or without; use engine='stream'"):
        save_cog(path, tmp_path / "out.tif", engine="gdal")

    for options in ({}, {"compress": "none"}, {"interleave": "band"}):
        save_cog(path, tmp_path / "out.tif", profile_arg={"blocksize": 64} | options, verify=True)
        assert declared(tmp_path / "out.tif") == {(0, bits, (0,) * (count - 1))}
        np.testing.assert_array_equal(pixels(tmp_path / "out.tif"), pixels(path))
        assert interpretations(tmp_path / "out.tif") == interpretations(path)
        assert validate(tmp_path / "out.tif", strict=True).is_valid
