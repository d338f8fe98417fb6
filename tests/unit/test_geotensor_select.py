"""Selections and joins of GeoTensors: each pixel keeps its coordinates, each band its metadata."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from georeader import GeoTensor
from georeader.errors import GeoreferenceError, IndexingError, MetadataError, NodataError, ShapeError
from georeader.window_utils import res

NORTH_UP = Affine(10, 0, 500000, 0, -10, 4000000)
UTM = "EPSG:32630"
NAMES = {"descriptions": ["red", "green", "blue"], "scales": [0.1, 0.2, 0.3], "mine": 1}

MakeTensor = Callable[..., GeoTensor]


@pytest.fixture
def image(make_tensor: MakeTensor) -> GeoTensor:
    """Three named bands of 4 x 5 pixels."""
    return make_tensor((3, 4, 5), attrs=NAMES)


@pytest.fixture
def series(make_tensor: MakeTensor) -> GeoTensor:
    """Two times of three named bands of 4 x 5 pixels."""
    return make_tensor((2, 3, 4, 5), attrs=NAMES)


def located(shape: tuple[int, int], transform: Affine) -> GeoTensor:
    """Return a tensor of two bands that hold the x and the y of each pixel's centre."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    a, b, c, d, e, f = transform[:6]
    return GeoTensor(np.stack([a * columns + b * rows + c, d * columns + e * rows + f]), transform, UTM, None)


def assert_pixels_are_where_they_say(gt: GeoTensor) -> None:
    """Compare the coordinates stored in the pixels of `located` with those of the transform."""
    expected = located(gt.shape[-2:], gt.transform)
    np.testing.assert_allclose(gt.values, expected.values, rtol=0, atol=1e-6)


# Slices: the property.

TRANSFORMS = st.sampled_from(
    [
        NORTH_UP,
        Affine(10, 0, 500000, 0, 10, 4000000),
        Affine(0.5, 0, -180, 0, -0.25, 90),
        Affine(3, -8, 100, 4, 6, 200),
        Affine(-7, 0.5, 100, 0.25, -3, 200),
    ]
)
BOUND = st.none() | st.integers(-12, 12)
UNIT_SLICES = st.builds(slice, BOUND, BOUND, st.sampled_from([None, 1, -1]))
SLICES = st.builds(slice, BOUND, BOUND, st.none() | st.integers(-4, 4).filter(bool))
FORWARD_SLICES = st.builds(slice, BOUND, BOUND, st.none() | st.integers(1, 4))


@given(TRANSFORMS, UNIT_SLICES, UNIT_SLICES)
def test_slices_and_mirrors_keep_each_pixel_at_its_coordinates(transform: Affine, rows: slice, columns: slice) -> None:
    gt = located((7, 9), transform)
    part = gt[:, rows, columns]

    assert np.array_equal(part.values, gt.values[:, rows, columns])
    assert_pixels_are_where_they_say(part)


def assert_pixels_begin_where_they_say(part: GeoTensor, whole: Affine, mirrored: tuple[bool, bool]) -> None:
    """Compare each pixel's first corner with that of the pixel which was picked for it; see `numbered`."""
    rows, columns = part.values + np.reshape(mirrored, (2, 1, 1))
    a, b, c, d, e, f = whole[:6]
    picked = np.stack([a * columns + b * rows + c, d * columns + e * rows + f])
    y, x = np.mgrid[: part.height, : part.width]
    a, b, c, d, e, f = part.transform[:6]
    np.testing.assert_allclose(np.stack([a * x + b * y + c, d * x + e * y + f]), picked, rtol=0, atol=1e-6)


def numbered(shape: tuple[int, int], transform: Affine) -> GeoTensor:
    """Return a tensor of two bands that hold the row and the column of each pixel."""
    return GeoTensor(np.mgrid[: shape[0], : shape[1]], transform, UTM, None)


@given(TRANSFORMS, SLICES, SLICES)
def test_step_keeps_the_upper_left_corner_of_picked_pixels(transform: Affine, rows: slice, columns: slice) -> None:
    """As published by georeader, and as GDAL decimates: a step of n makes pixels n times as large."""
    part = numbered((7, 9), transform)[:, rows, columns]

    assert_pixels_begin_where_they_say(part, transform, ((rows.step or 1) < 0, (columns.step or 1) < 0))
    expected = [abs(one.step or 1) * size for one, size in zip((columns, rows), res(transform), strict=True)]
    assert part.res == pytest.approx(expected)


@given(TRANSFORMS, FORWARD_SLICES, FORWARD_SLICES, FORWARD_SLICES, FORWARD_SLICES)
def test_slice_of_a_slice_keeps_the_upper_left_corner_of_picked_pixels(
    transform: Affine, rows: slice, columns: slice, more_rows: slice, more_columns: slice
) -> None:
    part = numbered((7, 9), transform)[:, rows, columns][:, more_rows, more_columns]

    assert_pixels_begin_where_they_say(part, transform, (False, False))


@settings(deadline=None)
@given(TRANSFORMS, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 12), st.integers(1, 12))
def test_any_window_keeps_each_pixel_at_its_coordinates(
    transform: Affine, column: int, row: int, width: int, height: int
) -> None:
    gt = located((7, 9), transform)
    part = gt.read_from_window(Window(column, row, width, height), boundless=True)
    inside = np.zeros((height, width), bool)
    for i, j in np.ndindex(height, width):
        inside[i, j] = 0 <= row + i < 7 and 0 <= column + j < 9

    assert part.shape == (2, height, width)
    expected = np.where(inside, located((height, width), part.transform).values, 0)
    np.testing.assert_allclose(part.values, expected, rtol=0, atol=1e-6)


@settings(deadline=None)
@given(TRANSFORMS, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 12), st.integers(1, 12))
def test_a_window_cut_at_the_edge_keeps_each_pixel_at_its_coordinates(
    transform: Affine, column: int, row: int, width: int, height: int
) -> None:
    assume(column < 9 and row < 7 and column + width > 0 and row + height > 0)
    part = located((7, 9), transform).read_from_window(Window(column, row, width, height), boundless=False)

    assert part.height == min(row + height, 7) - max(row, 0)
    assert part.width == min(column + width, 9) - max(column, 0)
    assert_pixels_are_where_they_say(part)


# Slices: examples.


@pytest.mark.parametrize(
    ("rows", "columns", "transform"),
    [
        (slice(None), slice(None), (10, 0, 500000, 0, -10, 4000000)),
        (slice(1, 3), slice(2, 4), (10, 0, 500020, 0, -10, 3999990)),
        (slice(-1, None), slice(-2, None), (10, 0, 500030, 0, -10, 3999970)),
        (slice(None, None, 2), slice(1, None, 3), (30, 0, 500010, 0, -20, 4000000)),
        (slice(None, None, -1), slice(None), (10, 0, 500000, 0, 10, 3999960)),
        (slice(None), slice(None, None, -2), (-20, 0, 500050, 0, -10, 4000000)),
    ],
    ids=["whole", "window", "from the end", "steps", "upside down", "mirrored with a step"],
)
def test_the_transform_follows_the_slice(
    image: GeoTensor, rows: slice, columns: slice, transform: tuple[float, ...]
) -> None:
    # A step of n makes pixels n times as large; each begins where the picked one does.
    assert tuple(image[:, rows, columns].transform[:6]) == transform


@pytest.mark.parametrize("key", [np.s_[:, 2:2], np.s_[:, 3:1], np.s_[:, 9:], np.s_[:, :, 5:5]])
def test_an_empty_slice_is_an_empty_tensor_on_the_grid(image: GeoTensor, key: Any) -> None:
    part = image[key]

    assert part.values.shape == image.values[key].shape
    assert part.values.size == 0
    assert image.bounds[0] <= part.bounds[0] <= image.bounds[2]


def test_a_slice_is_a_view(image: GeoTensor) -> None:
    image[:, 1:3, 1:3] = 0
    image[:, 1:3, 1:3][:, :1] += 1

    assert image.values[0, 1:3, 1:3].tolist() == [[1, 1], [0, 0]]


def test_attrs_of_a_selection_are_a_copy(image: GeoTensor) -> None:
    for part in (image[:], image[:, 1:3], image.isel({}), image.read_from_window(Window(0, 0, 2, 2)), image.T):
        part.attrs["mine"] = 2

    assert image.attrs == NAMES


@pytest.mark.parametrize("key", [(), (slice(None),), slice(None), (slice(None), slice(None), slice(None))])
def test_keys_may_be_shorter_than_the_axes(image: GeoTensor, key: Any) -> None:
    assert np.array_equal(image[key].values, image.values)
    assert image[key].transform == image.transform


# Bands and times.


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (1, ["green"]),
        (-1, ["blue"]),
        (np.int64(0), ["red"]),
        (np.array(2), ["blue"]),
        (slice(1, None), ["green", "blue"]),
        (slice(None, None, -1), ["blue", "green", "red"]),
        ([2, 0], ["blue", "red"]),
        (np.array([1, 1]), ["green", "green"]),
        ([True, False, True], ["red", "blue"]),
        (np.array([False, True, False]), ["green"]),
        ([], []),
        (slice(3, None), []),
    ],
)
def test_bands_are_selected_with_their_names(image: GeoTensor, key: Any, names: list[str]) -> None:
    part = image[key]
    plain_key = slice(0) if isinstance(key, list) and not key else key

    assert np.array_equal(part.values, image.values[plain_key])
    assert part.attrs["descriptions"] == names
    assert part.attrs["mine"] == 1
    assert part.transform == image.transform


def test_integer_band_selects_a_row_column_tensor(image: GeoTensor) -> None:
    assert (image[1].shape, image[1].dims) == ((4, 5), ("y", "x"))


@pytest.mark.parametrize(
    ("key", "shape", "names"),
    [
        (0, (3, 4, 5), ["red", "green", "blue"]),
        (np.s_[:, 0], (2, 4, 5), ["red", "red"]),
        (np.s_[:, [2, 1]], (2, 2, 4, 5), ["blue", "green"]),
        (np.s_[1, 2], (4, 5), ["blue"]),
        (np.s_[0, [0, 2]], (2, 4, 5), ["red", "blue"]),
        (np.s_[[0, 1], 1], (2, 4, 5), ["green", "green"]),
        (np.s_[[0, 1, 0], [0, 1, 2]], (3, 4, 5), ["red", "green", "blue"]),
        (np.s_[1:, 1:], (1, 2, 4, 5), ["green", "blue"]),
    ],
)
def test_series_keeps_the_names_of_selected_bands(
    series: GeoTensor, key: Any, shape: tuple[int, ...], names: list[str]
) -> None:
    part = series[key]

    assert part.shape == shape
    assert np.array_equal(part.values, series.values[key])
    assert part.attrs["descriptions"] == names


def test_iteration_yields_bands_with_their_names(image: GeoTensor) -> None:
    assert [(band.shape, band.attrs["descriptions"]) for band in image] == [
        ((4, 5), ["red"]),
        ((4, 5), ["green"]),
        ((4, 5), ["blue"]),
    ]


def test_iteration_over_rows_yields_plain_arrays(image: GeoTensor) -> None:
    rows = list(image[0])

    assert [type(row) for row in rows] == [np.ndarray] * 4
    assert np.array_equal(rows, image.values[0])


# isel.


def test_isel_selects_by_axis_name(series: GeoTensor) -> None:
    part = series.isel({"x": slice(1, 3), "band": [0, 2], "time": 1, "y": slice(None, None, 2)})

    assert np.array_equal(part.values, series.values[1][[0, 2]][:, ::2, 1:3])
    assert part.attrs["descriptions"] == ["red", "blue"]
    assert tuple(part.transform[:6]) == (10, 0, 500010, 0, -20, 4000000)


@pytest.mark.parametrize(
    ("sel", "message"),
    [
        ({"z": 0}, "axis 'z' does not exist; this GeoTensor has band, y, x"),
        ({"time": 0}, "axis 'time' does not exist"),
        ({"x": 3}, r"axis 'x' takes slices only \(got 3\)"),
        ({"y": [1, 2]}, r"axis 'y' takes slices only \(got \[1, 2\]\)"),
        ({"y": np.arange(3)}, r"axis 'y' takes slices only \(got an array of shape \(3,\)\)"),
        ({"band": True}, "axis 'band' takes an integer, a slice or a flat list .* not True"),
        ({"band": [[0, 1]]}, r"axis 'band' takes .* not \[\[0, 1\]\]"),
    ],
)
def test_isel_refuses_indices_without_georeference(image: GeoTensor, sel: dict[str, Any], message: str) -> None:
    with pytest.raises(IndexingError, match=message):
        image.isel(sel)


@pytest.mark.parametrize(
    ("sel", "message"),
    [({"band": 3}, "index 3 is out of bounds"), ({"band": [0, 9]}, "index 9 is out"), ({"band": 1.5}, "not 1.5")],
)
def test_isel_names_a_missing_band(image: GeoTensor, sel: dict[str, Any], message: str) -> None:
    with pytest.raises(IndexError, match=message):
        image.isel(sel)


# Keys that lose the place.


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ((..., 0), r"'\.\.\.' is not possible in a GeoTensor"),
        (..., r"'\.\.\.' is not possible"),
        (None, r"None is not possible in a GeoTensor; use expand_dims"),
        (np.s_[:, None], r"use expand_dims\(axis\)"),
        (np.s_[:, 0], r"axis 'y' takes slices only \(got 0\)"),
        (np.s_[0, 1, 2], r"axis 'y' takes slices only \(got 1\)"),
        (np.s_[:, :, [0, 1]], r"axis 'x' takes slices only"),
        (np.s_[:, np.ones((4, 5), bool)], r"axis 'y' takes slices only \(got an array of shape \(4, 5\)\)"),
        (np.s_[:, :, :, :], r"4 indices for 3 axes \(band, y, x\)"),
        (np.ones((4, 5), bool), r"a mask of shape \(4, 5\) does not fit .* \(3, 4, 5\); use \.values\[\.\.\., mask\]"),
        (True, r"axis 'band' takes .* not True"),
        (np.array([[0, 1]]), r"axis 'band' takes .* not an array of shape \(1, 2\)"),
        (np.ix_([0], [0], [0]), r"axis 'y' takes slices only"),
    ],
)
def test_keys_without_georeference_are_refused(image: GeoTensor, key: Any, message: str) -> None:
    with pytest.raises(IndexingError, match=message) as caught:
        image[key]
    assert isinstance(caught.value, NotImplementedError)


# Masks.


@pytest.mark.parametrize("wrap", [lambda mask: mask, lambda mask: mask.values, lambda mask: (mask,)])
def test_a_mask_of_the_full_shape_picks_plain_numbers(image: GeoTensor, wrap: Any) -> None:
    picked = image[wrap(image > 50)]

    assert type(picked) is np.ndarray
    assert picked.tolist() == [value for value in image.values.ravel().tolist() if value > 50]


def test_mask_on_another_grid_is_refused(image: GeoTensor) -> None:
    mask = (image > 50).like(image.values > 50, transform=Affine(10, 0, 0, 0, -10, 0))

    with pytest.raises(GeoreferenceError, match=r"gt\[mask\]: the two GeoTensors lie on different grids"):
        image[mask]


# read_from_window.


def test_window_inside_is_a_view_with_all_metadata(image: GeoTensor) -> None:
    part = image.read_from_window(Window(1, 2, 3, 2))

    assert np.shares_memory(part, image)
    assert np.array_equal(part.values, image.values[:, 2:4, 1:4])
    assert (part.bounds, part.attrs) == ((500010, 3999960, 500040, 3999980), NAMES)


@pytest.mark.parametrize(
    ("dtype", "fill", "outside"),
    [("uint8", None, 0), ("uint8", 255.0, 255), ("int16", -9999, -9999), ("bool", True, True), ("float32", 1.5, 1.5)],
)
def test_a_boundless_window_is_filled_outside_the_raster(dtype: str, fill: Any, outside: Any) -> None:
    gt = GeoTensor(np.zeros((2, 2), dtype), NORTH_UP, UTM, fill)
    part = gt.read_from_window(Window(-1, 1, 2, 2))

    assert part.values.tolist() == [[outside, 0], [outside, outside]]
    assert (part.dtype, part.bounds) == (np.dtype(dtype), (499990, 3999970, 500010, 3999990))


def test_a_nan_fill_value_is_nan_outside_the_raster() -> None:
    gt = GeoTensor(np.zeros((2, 2)), NORTH_UP, UTM, np.nan)

    assert gt.read_from_window(Window(1, 0, 2, 1)).invalidmask().values.tolist() == [[False, True]]


@pytest.mark.parametrize(("dtype", "fill"), [("uint8", -9999), ("int16", np.nan), ("bool", 255), ("float32", 1e300)])
def test_a_fill_value_that_the_dtype_cannot_hold_is_refused_outside_the_raster(dtype: str, fill: Any) -> None:
    gt = GeoTensor(np.zeros((2, 2), dtype), NORTH_UP, UTM, fill)

    with pytest.raises(
        NodataError, match=rf"fill_value_default={re.escape(str(fill))}, which {dtype} cannot hold.*boundless=False"
    ):
        gt.read_from_window(Window(-1, 0, 2, 2))


def test_boundless_window_wholly_outside_is_filled() -> None:
    gt = GeoTensor(np.ones((2, 2)), NORTH_UP, UTM, 7)
    part = gt.read_from_window(Window(10, 10, 1, 2))

    assert (part.values.tolist(), part.bounds) == ([[7], [7]], (500100, 3999880, 500110, 3999900))


def test_a_cut_window_that_lies_outside_is_refused(image: GeoTensor) -> None:
    with pytest.raises(IndexingError, match="lies outside the raster of 4 x 5 pixels"):
        image.read_from_window(Window(5, 0, 2, 2), boundless=False)


def test_a_window_between_pixels_is_refused(image: GeoTensor) -> None:
    with pytest.raises(IndexingError, match="does not lie on whole pixels; round it first"):
        image.read_from_window(Window(0.5, 0, 2, 2))


# squeeze, expand_dims, transpose.


def test_squeeze_drops_axes_of_length_one_but_no_spatial_one(make_tensor: MakeTensor) -> None:
    gt = make_tensor((1, 1, 1, 5))

    assert [gt.squeeze().shape, gt.squeeze(0).shape, np.squeeze(gt, axis=(0, 1)).shape] == [(1, 5), (1, 1, 5), (1, 5)]
    assert gt.squeeze().transform == gt.transform


def test_squeezing_the_band_axis_names_each_time_after_its_band(make_tensor: MakeTensor) -> None:
    gt = make_tensor((2, 1, 4, 5), attrs={"descriptions": ["red"], "scales": [0.1]})

    assert gt.squeeze().attrs == {"descriptions": ["red", "red"], "scales": [0.1, 0.1]}


def test_expand_dims_adds_axes_before_the_spatial_ones(image: GeoTensor) -> None:
    assert image.expand_dims().shape == (1, 3, 4, 5)
    assert np.expand_dims(image[0], (0, 1)).shape == (1, 1, 4, 5)
    assert image.expand_dims(0).attrs == NAMES
    assert image[0].expand_dims().attrs == image[0].attrs


def test_bands_that_become_times_lose_their_metadata(image: GeoTensor) -> None:
    assert image.expand_dims(1).shape == (3, 1, 4, 5)
    assert image.expand_dims(1).attrs == {"mine": 1}


def test_transpose_swaps_times_and_bands_and_leaves_pixels_in_place(series: GeoTensor) -> None:
    for swapped in (series.T, series.transpose(), np.transpose(series), series.transpose(1, 0, 2, 3)):
        assert np.array_equal(swapped.values, series.values.swapaxes(0, 1))
        assert (swapped.transform, swapped.attrs) == (series.transform, {"mine": 1})


@pytest.mark.parametrize("axes", [(0, 1, 2), ([0, 1, 2],), (0, -2, -1)])
def test_a_transpose_that_moves_nothing_keeps_everything(image: GeoTensor, axes: Any) -> None:
    assert image.transpose(*axes).attrs == NAMES
    assert image.T.attrs == NAMES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda gt: gt.squeeze(1), "squeeze: axis 1 is spatial or does not exist"),
        (lambda gt: gt.squeeze(-1), "squeeze: axis -1 is spatial"),
        (lambda gt: gt.expand_dims(-1), "expand_dims: axis -1 is spatial"),
        (lambda gt: gt.expand_dims(2), "expand_dims: axis 2 is spatial"),
        (lambda gt: gt.transpose(0, 2, 1), r"transpose\(0, 2, 1\): the last two axes stay \(row, column\)"),
        (lambda gt: gt.transpose(2, 0, 1), r"transpose\(2, 0, 1\): the last two axes stay"),
        (lambda gt: np.permute_dims(gt, (0, 2, 1)) if hasattr(np, "permute_dims") else gt.transpose(0, 2, 1), "stay"),
    ],
)
def test_moving_spatial_axes_is_refused(image: GeoTensor, change: Any, message: str) -> None:
    with pytest.raises(IndexingError, match=message):
        change(image)


def test_a_fifth_dimension_is_refused(series: GeoTensor) -> None:
    with pytest.raises(ShapeError, match="would have 5 dimensions; 2 to 4 are possible"):
        series.expand_dims()
    with pytest.raises(ShapeError, match="have 5 dimensions; a GeoTensor is"):
        GeoTensor.stack([series, series])


# stack and concatenate.


def test_stacking_images_of_rows_and_columns_makes_bands(image: GeoTensor) -> None:
    stacked = GeoTensor.stack([image[2], image[0]])

    assert np.array_equal(stacked.values, image.values[[2, 0]])
    assert stacked.attrs == {"descriptions": ["blue", "red"], "scales": [0.3, 0.1], "mine": 1}
    assert stacked.transform == image.transform


def test_stacking_bands_makes_times(image: GeoTensor) -> None:
    stacked = GeoTensor.stack([image, image.like(image.values + 1)])

    assert (stacked.shape, stacked.dims[0], stacked.attrs) == ((2, 3, 4, 5), "time", NAMES)
    assert np.array_equal(stacked.values[1], image.values + 1)


def test_an_iterator_can_be_stacked(image: GeoTensor) -> None:
    assert np.array_equal(GeoTensor.stack(iter(image)).values, image.values)
    assert np.array_equal(GeoTensor.concatenate(iter([image, image])).values, np.concatenate([image.values] * 2))


def test_concatenating_joins_bands_in_order(image: GeoTensor) -> None:
    joined = GeoTensor.concatenate([image, image[:1]])

    assert np.array_equal(joined.values, image.values[[0, 1, 2, 0]])
    assert joined.attrs["descriptions"] == ["red", "green", "blue", "red"]


@pytest.mark.parametrize(
    ("axis", "shape", "names"), [(0, (4, 3, 4, 5), 3), (1, (2, 6, 4, 5), 6), (-3, (2, 6, 4, 5), 6)]
)
def test_concatenating_series_joins_times_or_bands(
    series: GeoTensor, axis: int, shape: tuple[int, ...], names: int
) -> None:
    joined = GeoTensor.concatenate([series, series], axis=axis)

    assert (joined.shape, len(joined.attrs["descriptions"])) == (shape, names)


def test_joining_changes_none_of_the_parts(image: GeoTensor) -> None:
    joined = GeoTensor.stack([image, image])
    joined.attrs["mine"] = 2
    joined[:] = 0

    assert image.attrs == NAMES
    assert image.values.any()


@pytest.mark.parametrize("join", [GeoTensor.stack, GeoTensor.concatenate])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"transform": Affine(10, 0, 500010, 0, -10, 4000000)}, GeoreferenceError, "element 1 lies on another grid"),
        ({"crs": "EPSG:32631"}, GeoreferenceError, "element 1 lies on another grid .* in EPSG:32631, not"),
        ({"fill_value_default": 9}, GeoreferenceError, "element 1 has fill_value_default 9, element 0 has None"),
    ],
)
def test_joining_different_grids_or_fill_values_is_refused(
    image: GeoTensor, join: Any, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        join([image, image.like(image.values, **change)])


def test_nan_fill_values_are_equal_when_joining(make_tensor: MakeTensor) -> None:
    gt = make_tensor((4, 5), "float32", fill_value_default=np.nan)

    assert np.isnan(GeoTensor.stack([gt, gt.copy()]).fill_value_default)


def test_joining_times_with_different_scales_is_refused(image: GeoTensor) -> None:
    other = image.like(image.values, attrs=NAMES | {"scales": [1.0, 1.0, 1.0]})

    with pytest.raises(MetadataError, match="scales of element 1 are .* convert the numbers to one scale"):
        GeoTensor.stack([image, other])


@pytest.mark.parametrize(
    ("join", "message"),
    [
        (lambda gt: GeoTensor.stack([]), "stack: the list of GeoTensors is empty"),
        (lambda gt: GeoTensor.concatenate([]), "concatenate: the list of GeoTensors is empty"),
        (
            lambda gt: GeoTensor.stack([gt, gt[:2]]),
            r"stack: the GeoTensors differ in shape: \[\(2, 4, 5\), \(3, 4, 5\)\]",
        ),
        (lambda gt: GeoTensor.concatenate([gt, gt[0]]), "concatenate: the GeoTensors differ in shape beyond axis 0"),
    ],
)
def test_joining_parts_of_different_shapes_is_refused(image: GeoTensor, join: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        join(image)


@pytest.mark.parametrize("axis", [1, 2, -1, -2, 3])
def test_tensors_are_not_joined_along_rows_or_columns(image: GeoTensor, axis: int) -> None:
    with pytest.raises(IndexingError, match=rf"concatenate: axis {axis} is spatial or does not exist"):
        GeoTensor.concatenate([image, image], axis=axis)
