"""Properties: for any raster and profile, the file is read back unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from rio_cogeo import cog_validate

from georeader import GeoTensor, RasterioReader, profile_from_dtype, save_cog, save_tiled_geotiff
from georeader._export.plan.grid import overview_factors, overview_shape
from georeader._export.plan.metadata import tag_problem
from georeader._export.plan.options import OPTIONS
from georeader.errors import DtypeError, GeoreaderError, NodataError, OptionError

DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "int64", "uint64", "float16", "float32",
          "float64", "complex64", "complex128"]  # fmt: skip

#: Random bytes as floating-point numbers are NaN at times, beside a nodata of 0.
pytestmark = pytest.mark.filterwarnings("ignore:.*NaN pixels in:georeader.errors.FillValueWarning")

files = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.tif"


@st.composite
def rasters(draw: st.DrawFn) -> GeoTensor:
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    sides = st.one_of(st.integers(1, 40), st.integers(200, 620))
    shape = (draw(st.integers(1, 4)), draw(sides), draw(sides))
    seed = draw(st.integers(0, 2**32 - 1))
    raw = np.random.default_rng(seed).integers(0, 256, (*shape, dtype.itemsize), dtype="uint8")
    values = (raw[..., 0] > 127) if dtype.kind == "b" else raw.view(dtype)[..., 0]
    if draw(st.booleans()):
        values = values[..., ::-1, :]
    size = st.floats(1e-3, 1e4)
    transform = Affine(draw(size), 0, draw(st.floats(-1e7, 1e7)), 0, -draw(size), draw(st.floats(-1e7, 1e7)))
    fill = draw(st.sampled_from([None, 0, 1] + ([np.nan] if dtype.kind == "f" else [])))
    return GeoTensor(values, transform, "EPSG:3857", fill_value_default=fill)


@st.composite
def profiles(draw: st.DrawFn) -> dict[str, Any]:
    profile: dict[str, Any] = {"compress": draw(st.sampled_from(["lzw", "deflate", "zstd", "lzma", "none"]))}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "BLOCKSIZE": st.sampled_from([16, 64, 128, 256, 512]),
        "interleave": st.sampled_from(["pixel", "BAND"]),
        "BIGTIFF": st.sampled_from(["YES", "no", "IF_SAFER", "IF_NEEDED"]),
        "resampling": st.sampled_from(["nearest", "AVERAGE", "mode"]),
        "num_threads": st.sampled_from([1, "ALL_CPUS"]),
    }
    if profile["compress"] in ("deflate", "zstd"):
        optional["LEVEL"] = st.integers(1, 9)
    for key, values in optional.items():
        if draw(st.booleans()):
            profile[key] = draw(values)
    return profile


@files
@given(raster=rasters(), profile=profiles())
@example(GeoTensor(np.ones((1, 513, 256), "uint8"), (1, 0, 0, 0, -1, 0), "EPSG:3857", None), {"compress": "lzw"})
@example(GeoTensor(np.ones((1, 513, 1), "uint8"), (1, 0, 0, 0, -1, 0), "EPSG:3857", None), {"compress": "lzw"})
def test_any_raster_with_any_lossless_profile_is_read_back(
    path: Path, raster: GeoTensor, profile: dict[str, Any]
) -> None:
    save_cog(raster, path, profile_arg=profile, nodata=0 if raster.fill_value_default == 0 else None)

    with rasterio.open(path) as dataset:
        expected = raster.values.astype(dataset.dtypes[0])
        np.testing.assert_array_equal(dataset.read(), expected)
        assert dataset.crs.to_epsg() == 3857
        tile_width = dataset.block_shapes[0][1]
        np.testing.assert_allclose(dataset.transform[:6], raster.transform[:6], rtol=1e-14, atol=1e-9)
    _, errors, warnings = cog_validate(path, strict=True, quiet=True)
    if raster.width == 1:
        # rasterio takes the decimation from the width alone, and a column cannot get narrower.
        errors = [error for error in errors if not error.startswith("Invalid Decimation 1 ")]
    if raster.width == tile_width:
        # rasterio takes tiles that are exactly as wide as the raster for strips; tifffile knows better.
        with tifffile.TiffFile(path) as tiff:
            assert all(page.is_tiled for page in tiff.pages)
        errors = [error for error in errors if not error.endswith("but is not tiled")]
    assert (errors, warnings) == ([], [])


@files
@given(raster=rasters(), profile=profiles())
def test_a_tiled_geotiff_has_the_same_pixels_and_no_overviews(
    path: Path, raster: GeoTensor, profile: dict[str, Any]
) -> None:
    save_tiled_geotiff(raster, path, profile_arg=profile, nodata=0 if raster.fill_value_default == 0 else None)

    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(), raster.values.astype(dataset.dtypes[0]))
        assert dataset.overviews(1) == []


text = st.text(st.characters(codec="utf-8"), max_size=30)


@files
@given(tags=st.dictionaries(text, text, max_size=5))
@example(tags={"a:b": "c"})
@example(tags={"a": "\x85"})
@example(tags={"a": "]]>"})
@example(tags={"ﬀ": "&#10;"})
def test_any_tag_is_refused_or_read_back(path: Path, tags: dict[str, str]) -> None:
    own = ("TIFFTAG_", "AREA_OR_POINT", "OVERVIEW_RESAMPLING")  # they have a meaning, or describe the file itself
    assume(not any(key.upper().startswith(own) for key in tags))
    raster = GeoTensor(np.zeros((1, 4, 4), "uint8"), Affine(1, 0, 0, 0, -1, 0), "EPSG:3857", 0)
    survivors = {key: value for key, value in tags.items() if tag_problem(key, value) is None}
    assume(len({key.lower() for key in survivors}) == len(survivors))

    save_cog(raster, path, tags=survivors)

    assert {key: RasterioReader(path).tags().get(key) for key in survivors} == survivors


@files
@given(names=st.lists(st.one_of(st.none(), text), min_size=1, max_size=4))
def test_any_description_is_refused_or_read_back(path: Path, names: list[str | None]) -> None:
    assume(all(name is None or name == "" or tag_problem("name", name) is None for name in names))
    raster = GeoTensor(np.zeros((len(names), 4, 4), "uint16"), Affine(1, 0, 0, 0, -1, 0), "EPSG:3857", 0)

    save_cog(raster, path, descriptions=names)

    assert RasterioReader(path).descriptions == [name or None for name in names]


values = st.one_of(st.none(), st.booleans(), st.integers(-10, 1000), st.floats(), st.text(max_size=8), st.just("lzw"))


@files
@given(profile=st.dictionaries(st.one_of(st.sampled_from(sorted(OPTIONS)), st.text(max_size=10)), values, max_size=4))
@example(profile={"CRS": False})
@example(profile={"transform": "x"})
@example(profile={"dtype": None})
@example(profile={"nodata": 300})
def test_any_mapping_is_a_profile_or_an_error_without_a_file(path: Path, profile: dict[str, Any]) -> None:
    raster = GeoTensor(np.zeros((1, 20, 20), "uint8"), Affine(1, 0, 0, 0, -1, 0), "EPSG:3857", 0)
    before = dict(profile)

    try:
        save_cog(raster, path, profile_arg=profile)
    except GeoreaderError as error:
        assert isinstance(error, (OptionError, DtypeError, NodataError)) or "GDAL" in str(error)
        assert not list(path.parent.iterdir())
    else:
        assert [found.name for found in path.parent.iterdir()] == [path.name]
        path.unlink()
    assert repr(profile) == repr(before)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.sampled_from([16, 128, 256, 512]))
def test_the_pyramid_ends_with_the_first_level_that_fits(height_px: int, width_px: int, tile_px: int) -> None:
    levels = [(height_px, width_px)]
    levels += [overview_shape(height_px, width_px, f) for f in overview_factors(height_px, width_px, tile_px, tile_px)]

    assert max(levels[-1]) <= tile_px
    assert all(max(level) > tile_px for level in levels[:-1])


@given(npst.scalar_dtypes())
def test_every_dtype_has_a_profile_or_an_error_with_advice(dtype: np.dtype[Any]) -> None:
    try:
        profile = profile_from_dtype(dtype)
    except TypeError as error:
        assert str(dtype) in str(error)
        assert any(word in str(error) for word in ("cast", "encode", "stack"))
        assert dtype.kind not in "biu"
    else:
        assert np.can_cast(dtype, profile["dtype"], "safe")
