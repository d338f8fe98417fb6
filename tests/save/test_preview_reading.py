"""Source of a picture's pixels: the smallest sufficient overview, for every type of raster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
from affine import Affine
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from by_rioxarray import BY_RIOXARRAY
from georeader import GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader._render import picture
from georeader.errors import ReadError
from georeader.preview import preview
from pictures import read_png, read_rgba
from range_server import Server

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
CRS = "EPSG:32630"

#: Sides of the levels of a file whose levels have a colour each.
COLOUR_OF_SIDE_PX = {800: (255, 0, 0), 400: (0, 255, 0), 200: (0, 0, 255), 100: (255, 255, 0)}


def tensor(values: Any, *, nodata: Any = None, **attrs: Any) -> GeoTensor:
    return GeoTensor(np.asarray(values), TRANSFORM, CRS, nodata, attrs=attrs)


@pytest.fixture
def painted(tmp_path: Path) -> Path:
    """A VRT of 800 x 800 pixels, whose overviews (of 400, 200 and 100) are not what they should be, so that one sees
    where pixels come from: each level has a colour of its own."""
    for side_px, colour in COLOUR_OF_SIDE_PX.items():
        pixels = np.broadcast_to(np.array(colour, "uint8")[:, None, None], (3, side_px, side_px))
        save_tiled_geotiff(tensor(pixels), tmp_path / f"{side_px}.tif")
    bands = []
    for band, name in enumerate(("Red", "Green", "Blue"), start=1):
        overviews = "".join(
            f'<Overview><SourceFilename relativeToVRT="1">{side_px}.tif</SourceFilename>'
            f"<SourceBand>{band}</SourceBand></Overview>"
            for side_px in (400, 200, 100)
        )
        bands.append(
            f'<VRTRasterBand dataType="Byte" band="{band}"><ColorInterp>{name}</ColorInterp>{overviews}<SimpleSource>'
            f'<SourceFilename relativeToVRT="1">800.tif</SourceFilename><SourceBand>{band}</SourceBand>'
            "</SimpleSource></VRTRasterBand>"
        )
    transform = ", ".join(map(str, TRANSFORM.to_gdal()))
    path = tmp_path / "painted.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="800" rasterYSize="800"><SRS>{CRS}</SRS><GeoTransform>{transform}</GeoTransform>'
        f"{''.join(bands)}</VRTDataset>"
    )
    return path


@pytest.mark.parametrize(
    ("max_side_px", "side_px"),
    [(2000, 800), (800, 800), (401, 800), (400, 400), (201, 400), (200, 200), (150, 200), (100, 100), (10, 100)],
)
def test_the_smallest_overview_that_is_not_smaller_than_the_picture_is_read(
    max_side_px: int, side_px: int, painted: Path
) -> None:
    expected = np.broadcast_to(np.array(COLOUR_OF_SIDE_PX[side_px]), (min(800, max_side_px),) * 2 + (3,))

    np.testing.assert_array_equal(read_png(preview(painted, max_side_px=max_side_px)), expected)
    np.testing.assert_array_equal(read_png(preview(RasterioReader(painted), max_side_px=max_side_px)), expected)
    with rasterio.open(painted) as dataset:
        np.testing.assert_array_equal(read_png(preview(dataset, max_side_px=max_side_px)), expected)


def test_window_is_read_from_the_smallest_sufficient_overview(painted: Path) -> None:
    part = RasterioReader(painted, window_focus=Window(100, 200, 400, 600))

    assert read_png(preview(part, max_side_px=300))[0, 0].tolist() == [0, 255, 0]
    assert read_png(preview(part, max_side_px=300)).shape == (300, 200, 3)
    assert read_png(preview(part, max_side_px=301))[0, 0].tolist() == [255, 0, 0]


def test_overview_is_read_from_smaller_overviews(painted: Path) -> None:
    overview = RasterioReader(painted, overview_level=0)

    assert read_png(preview(overview, max_side_px=100))[0, 0].tolist() == [255, 255, 0]


def test_a_window_beyond_the_edge_is_transparent_there(tmp_path: Path) -> None:
    save_cog(tensor(np.full((1024, 1024), 5, "uint8"), nodata=0), tmp_path / "out.tif")

    around = RasterioReader(tmp_path / "out.tif", window_focus=Window(-512, -512, 2048, 2048))

    alpha = read_rgba(preview(around, max_side_px=256))[..., 3]
    inside = np.zeros((256, 256), bool)
    inside[64:192, 64:192] = True
    np.testing.assert_array_equal(alpha > 0, inside)


# Over the network.


def test_only_the_overview_is_fetched(server: Server, tmp_path: Path, rng: np.random.Generator) -> None:
    values = rng.integers(0, 2**16, (3, 2048, 2048)).astype("uint16")
    save_cog(tensor(values, descriptions=["B04", "B03", "B02"]), tmp_path / "out.tif", profile_arg={"compress": "zstd"})
    content = (tmp_path / "out.tif").read_bytes()
    with rasterio.open(tmp_path / "out.tif") as dataset:
        # In a COG the smallest overview lies first, here that of 256 pixels.
        starts = [int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=level)) for level in (2, 1)]
    url = server.put("scene.tif", content)

    png = preview(url, max_side_px=256)

    asked = [one for one in server.requests() if one["method"] == "GET"]
    assert read_png(png).shape == (256, 256, 3)
    assert len(asked) == 2
    # GDAL asks for whole pieces of 16 KB.
    assert server.bytes_sent() <= starts[1] - starts[0] + 2 * 16384
    assert max(one["last_byte"] for one in asked) < starts[1] + 16384 < len(content) / 10


def test_html_of_a_file_without_overviews_fetches_no_pixels(
    server: Server, tmp_path: Path, rng: np.random.Generator
) -> None:
    values = rng.integers(0, 2**16, (1, 4200, 4200)).astype("uint16")
    save_tiled_geotiff(tensor(values), tmp_path / "flat.tif", profile_arg={"compress": "none"})
    reader = RasterioReader(server.put("flat.tif", (tmp_path / "flat.tif").read_bytes()))
    before = server.bytes_sent()

    shown = reader._repr_html_()

    assert "no overview" in shown
    assert "<img" not in shown
    assert server.bytes_sent() - before <= 64 * 1024


# One raster, one picture.


def scene(rng: np.random.Generator, dtype: str) -> np.ndarray[Any, Any]:
    """(3, 700, 1100): slopes and noise, the corner missing (0)."""
    slopes = np.add.outer(np.arange(700.0), np.arange(1100.0)) / 10 + 20
    values = (slopes + rng.normal(0, 5, (3, 700, 1100))).clip(1, 250).astype(dtype)
    values[:, :150, :333] = 0
    return values


def case(name: str, rng: np.random.Generator) -> GeoTensor:
    values = scene(rng, "uint8" if name in ("colours", "classes", "alpha", "bool") else "float32")
    mask = rng.random((700, 1100)) > 0.5
    match name:
        case "classes":
            colours = {value: (value, 255 - value, 7, 255) for value in range(256)}
            return tensor(values[0], colormap=colours)
        case "alpha":
            alpha = rng.integers(0, 256, (1, 700, 1100)).astype("uint8")
            return tensor(np.concatenate([values, alpha]), colorinterp=["red", "green", "blue", "alpha"])
        case "mask":
            return tensor(values[:1], mask=mask)
        case "nodata and mask":
            return tensor(values, nodata=0, mask=mask, descriptions=["red", "green", "blue"])
        case "NaN":
            return tensor(np.where(values == 0, np.nan, values)[:2])
        case "complex":
            return tensor((values[0] + 1j * values[1]).astype("complex64"))
        case _:
            return tensor(values, nodata=0)


NAMES = ["colours", "numbers", "classes", "alpha", "mask", "nodata and mask", "NaN", "complex"]


@pytest.mark.covering(columns=lambda name, max_side_px: (name, max_side_px))
@pytest.mark.parametrize("max_side_px", [64, 300, 2000])
@pytest.mark.parametrize("name", NAMES)
def test_tensor_and_its_file_have_the_same_picture(
    name: str, max_side_px: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    data = case(name, rng)
    save_cog(data, tmp_path / "cog.tif", profile_arg={"BLOCKSIZE": 64, "compress": "zstd"})
    save_tiled_geotiff(data, tmp_path / "flat.tif", profile_arg={"compress": "zstd"})

    expected = preview(data, max_side_px=max_side_px)

    assert preview(tmp_path / "cog.tif", max_side_px=max_side_px) == expected
    assert preview(tmp_path / "flat.tif", max_side_px=max_side_px) == expected
    assert preview(RasterioReader(tmp_path / "cog.tif").load(), max_side_px=max_side_px) == expected


@pytest.mark.parametrize("name", NAMES)
def test_picture_does_not_depend_on_the_size_of_reads(
    name: str, rng: np.random.Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = case(name, rng)
    save_tiled_geotiff(data, tmp_path / "flat.tif", profile_arg={"BLOCKSIZE": 64, "compress": "zstd"})
    expected = preview(data, max_side_px=99)

    monkeypatch.setattr(picture, "READ_BYTES", 100_000)

    assert preview(data, max_side_px=99) == expected
    assert preview(tmp_path / "flat.tif", max_side_px=99) == expected


def as_dataset(data: GeoTensor, path: Path) -> Any:
    save_cog(data, path, profile_arg={"BLOCKSIZE": 64})
    return rasterio.open(path)


def as_xarray(data: GeoTensor, path: Path, *, chunks: Any = None) -> Any:
    save_cog(data, path)
    return rioxarray.open_rasterio(path, chunks=chunks)


def as_windows(data: GeoTensor, path: Path) -> Any:
    return SimpleNamespace(
        shape=data.shape,
        dtype=data.dtype,
        transform=data.transform,
        crs=data.crs,
        fill_value_default=data.fill_value_default,
        read_from_window=data.read_from_window,
    )


@BY_RIOXARRAY
@pytest.mark.parametrize(
    "as_other",
    [as_dataset, as_xarray, lambda *args: as_xarray(*args, chunks={"x": 300, "y": 200}), as_windows],
    ids=["dataset", "DataArray", "DataArray of dask", "windows"],
)
def test_any_kind_of_source_can_be_shown(
    as_other: Callable[..., Any], tmp_path: Path, rng: np.random.Generator
) -> None:
    data = case("numbers", rng)

    assert preview(as_other(data, tmp_path / "out.tif"), max_side_px=200, bands=[1, 3, 2]) == preview(
        data, max_side_px=200, bands=[1, 3, 2]
    )


def test_a_warped_view_is_read_at_the_size_of_an_overview(painted: Path) -> None:
    with rasterio.open(painted) as dataset, WarpedVRT(dataset, crs=CRS) as warped:
        assert read_png(preview(warped, max_side_px=90))[45, 45].tolist() == [255, 255, 0]


def test_dataset_with_a_mask_has_the_picture_of_its_file(tmp_path: Path, rng: np.random.Generator) -> None:
    save_cog(case("nodata and mask", rng), tmp_path / "out.tif", profile_arg={"BLOCKSIZE": 64})

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert preview(dataset, max_side_px=150) == preview(tmp_path / "out.tif", max_side_px=150)


def test_bands_of_several_dtypes_are_read_from_an_overview_too(painted: Path) -> None:
    text = painted.read_text().replace('dataType="Byte" band="2"', 'dataType="Float32" band="2"')
    painted.write_text(text)

    with rasterio.open(painted) as dataset:
        assert read_png(preview(dataset, max_side_px=300, bands=2)).tolist() == [[[128]] * 300] * 300
        assert preview(dataset, max_side_px=300) == preview(painted, max_side_px=300)


def test_missing_levels_of_a_pyramid_are_halved(tmp_path: Path, rng: np.random.Generator) -> None:
    data, path = case("numbers", rng), tmp_path / "out.tif"
    profile = {"driver": "GTiff", "count": 3, "height": 700, "width": 1100, "dtype": "float32", "nodata": 0}
    with rasterio.open(path, "w", **profile, crs=CRS, transform=TRANSFORM) as dataset:
        dataset.write(data.values)
        dataset.build_overviews([8], Resampling.average)

    assert preview(path, max_side_px=200) == preview(data, max_side_px=200)
    assert read_png(preview(path, max_side_px=34)).shape == (22, 34, 4)


def test_oblong_pixels_keep_their_proportions() -> None:
    values = np.array([[0, 1], [2, 3]], "uint8")
    wide = GeoTensor(values, Affine(20, 0, 0, 0, -10, 0), CRS, None)

    np.testing.assert_array_equal(read_png(preview(wide))[..., 0], [[0, 0, 85, 85], [170, 170, 255, 255]])


def test_error_of_a_source_becomes_a_read_error_that_names_it() -> None:
    def fail(window: Any) -> Any:
        raise ValueError("no disk")

    data = as_windows(tensor(np.zeros((5, 5))), Path())
    data.read_from_window = fail

    with pytest.raises(ReadError, match="SimpleNamespace: cannot be read: no disk") as caught:
        preview(data)
    assert isinstance(caught.value.__cause__, ValueError)


# The real rasters.


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("landsat7_rgb_uint8", 4),
        ("hillshade_uint8", 2),
        ("landcover_palette_uint8", 3),
        ("elevation_float64", 2),
        ("reflectance_scaled_int16", 2),
        ("rgb_alpha_uint8", 3),
    ],
)
def test_real_raster_is_transparent_where_gdal_masks_it(name: str, channels: int, shared_data: Path) -> None:
    with rasterio.open(shared_data / f"{name}.tif") as dataset:
        valid = (dataset.dataset_mask() > 0) & ~np.isnan(dataset.read(1))
        longer_px, pixels, colours = max(dataset.shape), dataset.read(), dataset.photometric
        colormap = dataset.colormap(1) if "palette" in dataset.colorinterp[0].name else None

    png = preview(shared_data / f"{name}.tif", max_side_px=longer_px)

    stored = read_png(png)
    assert stored.shape == (*valid.shape, channels)
    np.testing.assert_array_equal(read_rgba(png)[..., 3] > 0, valid)
    if colormap is not None:
        table = np.array([colormap[value][:3] for value in range(256)])
        np.testing.assert_array_equal(stored, table[pixels[0]])
    elif colours is not None and colours.name == "rgb":
        np.testing.assert_array_equal(stored[valid][:, :3], np.moveaxis(pixels[:3], 0, -1)[valid])
