"""Coordinates that are pixel corners, as stackstac writes them, beside those that are centres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from by_rioxarray import BY_RIOXARRAY
from conftest import CRS, TRANSFORM
from data_arrays import a_file, centres, data_array, ramp, read_summary, saved
from georeader import CogWriter, save_cog, save_tiled_geotiff
from georeader._export.sources.xarray_georeference import Axis, Registration, registration_of

#: Rows from south to north are meant here.
pytestmark = pytest.mark.filterwarnings("ignore::georeader.errors.LayoutWarning")

xarray = pytest.importorskip("xarray", reason="xarray is not installed")

#: Degrees, whose tenths are not floating-point numbers.
DEGREES = Affine(0.1, 0, -3.3, 0, -0.1, 41.7)


@dataclass(frozen=True)
class RasterSpec:
    """What stackstac keeps under attrs["spec"]."""

    transform: Affine


def corners(transform: Affine, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return coordinates as stackstac makes them: the upper left corners of pixels."""
    height, width = shape[-2:]
    right, bottom = transform.c + width * transform.a, transform.f + height * transform.e
    return {
        "y": np.linspace(transform.f, bottom, height, endpoint=False),
        "x": np.linspace(transform.c, right, width, endpoint=False),
    }


def of_stackstac(places: Callable[..., Any] = corners, transform: Affine = TRANSFORM) -> Any:
    """Return a DataArray with the coordinates and attributes of stackstac."""
    pixels = ramp()
    attrs = {"spec": RasterSpec(transform), "crs": CRS.lower(), "transform": transform, "resolution": transform.a}
    coords = {"band": ["B04", "B08"], "epsg": 32630} | places(transform, pixels.shape)
    return xarray.DataArray(pixels, dims=("band", "y", "x"), coords=coords, attrs=attrs)


def with_geotransform(places: Callable[..., Any] = corners, transform: Affine = TRANSFORM) -> Any:
    """Return a DataArray with a GeoTransform, and coordinates of its centres or corners."""
    return data_array(ramp(), transform).assign_coords(places(transform, ramp().shape))


MAKERS = {"stackstac": of_stackstac, "GeoTransform": with_geotransform}
POINTS = {"corners": corners, "centres": centres}

#: Selections, and the column and row where they begin, in pixels, and their steps.
PARTS: dict[str, tuple[dict[str, Any], tuple[int, int], tuple[int, int]]] = {
    "all": ({}, (0, 0), (1, 1)),
    "a slice": ({"x": slice(10, 40), "y": slice(3, 50)}, (10, 3), (1, 1)),
    "steps": ({"x": slice(1, None, 3), "y": slice(None, None, 5)}, (1, 0), (3, 5)),
    "even steps": ({"x": slice(None, None, 2), "y": slice(4, None, 4)}, (0, 4), (2, 4)),
    "an even and an odd step": ({"x": slice(1, None, 2), "y": slice(None, None, 3)}, (1, 0), (2, 3)),
    "reversed": ({"x": slice(None, None, -1), "y": slice(None, None, -1)}, (49, 59), (-1, -1)),
    "a row": ({"x": slice(2, 9), "y": [7]}, (2, 7), (1, 1)),
    "a column": ({"x": [7], "y": slice(2, 9)}, (7, 2), (1, 1)),
}


def at(transform: Affine, start: tuple[int, int], steps: tuple[int, int]) -> Affine:
    """Return the transform of pixels centred on every so many pixels, from one on."""
    column, row = (first + 0.5 - step / 2 for first, step in zip(start, steps, strict=True))
    a, _, c, _, e, f = transform[:6]
    return Affine(a * steps[0], 0, c + column * a, 0, e * steps[1], f + row * e)


@pytest.mark.parametrize(("part", "start", "steps"), PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("places", POINTS.values(), ids=POINTS)
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("transform", [TRANSFORM, DEGREES], ids=["metres", "degrees"])
def test_corners_and_centres_of_a_stored_transform_are_distinguished(
    make: Any, places: Any, transform: Affine, part: Any, start: Any, steps: Any, tmp_path: Path
) -> None:
    array = make(places, transform).isel(part)

    save_tiled_geotiff(array, tmp_path / "out.tif")

    found, expected = read_summary(tmp_path / "out.tif").transform, at(transform, start, steps)
    assert found.almost_equals(expected, 1e-9 * abs(transform.c))
    if part == {}:
        assert found == transform


@pytest.mark.parametrize("step", [2, 4])
@pytest.mark.parametrize("part", [slice(None), slice(1, None), slice(4, 40)], ids=str)
def test_centres_of_averaged_pixels_are_not_corners(step: int, part: slice, tmp_path: Path) -> None:
    part = slice(part.start and part.start // step * step, part.stop)
    array = with_geotransform(centres).isel(x=part, y=part).coarsen(x=step, y=step, boundary="trim").mean()

    first = part.start or 0
    expected = Affine(10 * step, 0, 500000 + 10 * first, 0, -10 * step, 4000000 - 10 * first)
    assert saved(array, tmp_path).transform == expected


@pytest.mark.parametrize(
    ("columns", "rows"), [(slice(1, None, 2), slice(None)), (slice(1, None, 2), slice(1, None, 2))]
)
def test_every_second_corner_of_stackstac_is_a_corner(columns: slice, rows: slice, tmp_path: Path) -> None:
    found = saved(of_stackstac().isel(x=columns, y=rows), tmp_path).transform

    assert found == at(TRANSFORM, (1, rows.start or 0), (2, rows.step or 1))


def test_coordinates_elsewhere_are_centres(tmp_path: Path) -> None:
    array = with_geotransform(corners)

    found = saved(array.assign_coords(x=array.x + 2.0, y=array.y + 2.0), tmp_path).transform

    assert found == Affine(10, 0, 499997, 0, -10, 4000007)


def test_coordinates_without_a_stored_transform_are_centres(tmp_path: Path) -> None:
    array = of_stackstac()
    array.attrs = {"crs": CRS}

    assert saved(array, tmp_path).transform == Affine(10, 0, 499995, 0, -10, 4000005)


def test_coordinates_of_single_precision_may_be_corners(tmp_path: Path) -> None:
    array = with_geotransform(corners, DEGREES)
    array = array.assign_coords(x=array.x.astype("float32"), y=array.y.astype("float32"))

    assert saved(array, tmp_path).transform == DEGREES


def test_the_grid_attributes_of_stackstac_are_not_tags(tmp_path: Path) -> None:
    array = of_stackstac().assign_attrs(mission="S2")

    receipt = save_cog(array, tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.tags() == {"AREA_OR_POINT": "Area", "mission": "S2"}
        assert dataset.descriptions == ("B04", "B08")
        assert dataset.crs == rasterio.CRS.from_user_input(CRS)
    assert receipt.crs == CRS


def test_a_writer_like_corners_has_their_grid(tmp_path: Path) -> None:
    with CogWriter(tmp_path / "out.tif", like=of_stackstac()) as writer:
        writer.write(ramp())

    assert read_summary(tmp_path / "out.tif").transform == TRANSFORM


# After rioxarray has written a transform of its own.


@BY_RIOXARRAY
def test_corners_stay_corners_where_rioxarray_took_them_for_centres(tmp_path: Path) -> None:
    pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    array = of_stackstac().rio.write_crs(CRS)

    part = array.rio.isel_window(Window(10, 3, 30, 47))

    assert saved(part, tmp_path).transform == at(TRANSFORM, (10, 3), (1, 1))


@BY_RIOXARRAY
def test_corners_are_corners_of_a_transform_that_was_written(tmp_path: Path) -> None:
    pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    array = of_stackstac().rio.write_crs(CRS).rio.write_transform(TRANSFORM)

    assert saved(array, tmp_path).transform == TRANSFORM


@BY_RIOXARRAY
@pytest.mark.parametrize("size", [20, 40, 30])
def test_a_resampled_raster_has_centres_despite_stackstacs_attributes(size: int, tmp_path: Path) -> None:
    pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    array = of_stackstac(centres).rio.write_crs(CRS)
    resampled = array.rio.reproject(CRS, resolution=size)

    found = saved(resampled, tmp_path).transform

    assert found.almost_equals(resampled.rio.transform(recalc=True))


@BY_RIOXARRAY
def test_an_opened_file_has_centres(tmp_path: Path) -> None:
    rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")
    array = rioxarray.open_rasterio(a_file(tmp_path / "in.tif"))

    assert saved(array.isel(x=slice(None, None, 2), y=slice(None, None, 2)), tmp_path).transform == at(
        TRANSFORM, (0, 0), (2, 2)
    )


@pytest.mark.filterwarnings("ignore:Use `@` matmul instead:PendingDeprecationWarning")  # of affine, by stackstac
@pytest.mark.parametrize("places", POINTS.values(), ids=POINTS)
def test_real_stack_has_the_georeference_of_its_items(places: Any, tmp_path: Path) -> None:
    stackstac = pytest.importorskip("stackstac", reason="stackstac is not installed")
    path = a_file(tmp_path / "in.tif", ramp((1, 60, 50)))
    item = {
        "id": "scene", "collection": "c", "bbox": None, "geometry": None,
        "properties": {
            "datetime": "2024-01-01T10:30:00Z", "proj:epsg": 32630, "proj:shape": [60, 50],
            "proj:transform": list(TRANSFORM)[:6],
        },
        "assets": {"B04": {"href": str(path), "type": "image/tiff"}},
    }  # fmt: skip
    kind = "topleft" if places is corners else "center"

    stack = stackstac.stack([item], xy_coords=kind, rescale=False, dtype="int16", fill_value=np.int16(-1))
    found = saved(stack, tmp_path)

    np.testing.assert_array_equal(found.pixels[0], ramp((60, 50)))
    assert (found.transform, found.descriptions) == (TRANSFORM, ("B04",))


# The arithmetic.


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([0.0, 10.0, 20.0], ("corner", 1)),
        ([5.0, 15.0, 25.0], ("centre", 1)),
        ([20.0, 10.0, 0.0], ("corner", 1)),
        ([-30.0, -10.0], ("either", 2)),
        ([0.0, 20.0, 40.0], ("corner", 2)),
        ([10.0, 30.0, 50.0], ("either", 2)),
        ([20.0, 60.0], ("either", 4)),
        ([10.0, 50.0], ("corner", 4)),
        ([5.0, 35.0], ("centre", 3)),
        ([15.0], ("centre", 1)),
        ([20], ("corner", 1)),
        ([0.0, 15.0], None),
        ([2.0, 12.0], None),
        ([0.0, np.nan], None),
        ([], None),
    ],
    ids=str,
)
@pytest.mark.parametrize("step", [10.0, -10.0])
def test_a_registration_is_that_of_all_coordinates(places: list[float], expected: Any, step: float) -> None:
    found = registration_of(np.array(places), Axis(0.0, step))

    assert found == (None if expected is None else Registration(*expected))
