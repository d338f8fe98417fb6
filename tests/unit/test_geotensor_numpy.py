"""numpy operations on GeoTensors: which keep the georeference, which return plain arrays, and which are refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.windows import Window

from georeader import GeoTensor
from georeader.errors import GeoreferenceError, IndexingError

NORTH_UP = Affine(10, 0, 500000, 0, -10, 4000000)
ELSEWHERE = Affine(10, 0, 500010, 0, -10, 4000000)
UTM = "EPSG:32630"
ENCODING = {"scales": [0.1] * 3, "offsets": [1.0] * 3, "units": ["m"] * 3, "colorinterp": ["gray"] * 3, "colormap": {}}
NAMES = {"descriptions": ["a", "b", "c"], "mine": 1}

MakeTensor = Callable[..., GeoTensor]
Operation = Callable[[Any], Any]


def tensor_of(values: Any, fill: Any = None, transform: Affine = NORTH_UP, **kwargs: Any) -> GeoTensor:
    return GeoTensor(np.asarray(values), transform, UTM, fill, **kwargs)


@pytest.fixture
def cube(make_tensor: MakeTensor) -> GeoTensor:
    """Three bands of 3 x 3 pixels: all axes have one length, so no result is right only by its shape."""
    return make_tensor((3, 3, 3), "float64", fill_value_default=-9, attrs=NAMES | ENCODING)


def assert_plain(result: Any, expected: Any) -> None:
    assert not isinstance(result, GeoTensor)
    np.testing.assert_array_equal(result, expected)


def assert_placed(result: Any, expected: Any, gt: GeoTensor) -> None:
    assert type(result) is GeoTensor
    np.testing.assert_array_equal(result.values, expected)
    assert (result.transform, result.crs) == (gt.transform, gt.crs)


# Elementwise operations keep the place.

ELEMENTWISE: dict[str, Operation] = {
    "a + number": lambda a: a + 1,
    "number / a": lambda a: 1 / a,
    "-a": lambda a: -a,
    "abs": abs,
    "a ** 2": lambda a: a**2,
    "a > number": lambda a: a > 0,
    "a == a": lambda a: a == a,
    "a == None": lambda a: a == None,  # noqa: E711 - numpy compares each element
    "~(a > number)": lambda a: ~(a > 0),
    "a + row": lambda a: a + np.arange(3),
    "list + a": lambda a: [1, 2, 3] + a,  # noqa: RUF005 - a sum, not a longer list
    "a + one number a band": lambda a: a + np.arange(3)[:, None, None],
    "a - its mean in each band": lambda a: a - a.mean(axis=(1, 2), keepdims=True),
    "a / sum of bands": lambda a: a / a.sum(axis=0),
    "band + a": lambda a: a[0] + a,
    "np.exp": np.exp,
    "np.isnan": np.isnan,
    "np.hypot": lambda a: np.hypot(a, a),
    "np.where": lambda a: np.where(a > 0, a, 0),
    "np.select": lambda a: np.select([a > 0], [a], 5),
    "np.clip": lambda a: np.clip(a, 0, 1),
    "clip": lambda a: a.clip(0, 1),
    "np.round": lambda a: np.round(a, 1),
    "np.around": lambda a: np.around(a, 1),
    "round": lambda a: a.round(1),
    "np.nan_to_num": np.nan_to_num,
    "np.real": lambda a: np.real(a * 1j),
    "imag": lambda a: (a * 1j).imag,
    "conj": lambda a: (a * 1j).conj(),
    "np.angle": lambda a: np.angle(a * 1j),
    "np.isclose": lambda a: np.isclose(a, a),
    "np.digitize": lambda a: np.digitize(a, [0, 1]),
    "np.interp": lambda a: np.interp(a, [0, 1], [0, 1]),
    "np.zeros_like": np.zeros_like,
    "np.full_like": lambda a: np.full_like(a, 3, dtype="uint8"),
    "np.vectorize": lambda a: np.vectorize(lambda value: value + 1)(a),
    "np.add.accumulate over bands": lambda a: np.add.accumulate(a, axis=0),
    "view as integers": lambda a: a.view("int64"),
}


@pytest.mark.parametrize("operation", ELEMENTWISE.values(), ids=ELEMENTWISE.keys())
def test_elementwise_operations_keep_the_georeference(operation: Operation, cube: GeoTensor) -> None:
    assert_placed(operation(cube), operation(cube.values), cube)


@pytest.mark.parametrize("operation", [divmod, np.divmod])
def test_each_of_two_results_keeps_the_georeference(operation: Any, cube: GeoTensor) -> None:
    for result, expected in zip(operation(cube, 2), operation(cube.values, 2), strict=True):
        assert_placed(result, expected, cube)


def test_arithmetic_keeps_names_and_the_fill_value_but_no_encoding(cube: GeoTensor) -> None:
    result = cube * 2

    assert (result.attrs, result.fill_value_default) == (NAMES, -9)
    assert cube.attrs == NAMES | ENCODING


def test_a_result_of_another_number_of_bands_loses_the_bands_names(cube: GeoTensor) -> None:
    assert (cube[0] + np.zeros((2, 1, 1))).attrs == {"mine": 1}


@pytest.mark.parametrize(
    "operation",
    [
        lambda mask, gt: np.where(mask, gt, 0),
        lambda mask, gt: mask * gt,
        lambda mask, gt: np.select([mask], [gt], 0),
        lambda mask, gt: np.where(mask, gt[1], 0),
    ],
    ids=["where", "multiplication", "select", "a mask of more bands"],
)
def test_metadata_come_from_the_pixels_and_not_from_the_mask(operation: Any) -> None:
    gt = tensor_of(np.ones((2, 3, 3)), fill=0.0, attrs={"mine": 1})
    mask = gt.like(gt.values > 0, fill_value_default=False, attrs={})
    result = operation(mask, gt)

    assert (result.fill_value_default, type(result.fill_value_default)) == (0.0, float)
    assert (result.fill_value_is_explicit, result.attrs) == (True, {"mine": 1})


def test_attrs_of_a_result_are_a_copy(cube: GeoTensor) -> None:
    for result in (cube + 1, cube.astype("float32"), cube.imag, np.zeros_like(cube), cube.sum(axis=0)):
        result.attrs["mine"] = 2

    assert cube.attrs["mine"] == 1


# Different grids.


@pytest.mark.parametrize(
    "operation",
    [
        lambda a, b: a + b,
        lambda a, b: a == b,
        lambda a, b: np.where(a > 0, a, b),
        lambda a, b: np.where(b > 0, a, 0),
        lambda a, b: np.clip(a, b, None),
        lambda a, b: np.add(a, 1, out=b),
        lambda a, b: np.add(a, 1, out=np.zeros((3, 3)), where=b > 0),
        lambda a, b: np.isclose(a, b),
        lambda a, b: np.sum(np.stack([a, a]), axis=0, where=a > 0, out=b),
    ],
)
@pytest.mark.parametrize(
    "other",
    [
        GeoTensor(np.ones((3, 3)), ELSEWHERE, UTM),
        GeoTensor(np.ones((3, 3)), NORTH_UP, "EPSG:32631"),
        GeoTensor(np.ones((3, 3)), NORTH_UP, None),
        GeoTensor(np.ones((2, 3)), NORTH_UP, UTM),
        GeoTensor(np.ones((3, 1)), NORTH_UP, UTM),
    ],
    ids=["shifted", "another zone", "no CRS", "another size", "a size that would broadcast"],
)
def test_operations_on_tensors_of_different_grids_are_refused(operation: Any, other: GeoTensor) -> None:
    with pytest.raises(GeoreferenceError, match=r"np\.\w+: the two GeoTensors lie on different grids .* use \.values"):
        operation(tensor_of(np.ones((3, 3))), other)


def test_arithmetic_in_place_that_is_refused_changes_nothing() -> None:
    gt = tensor_of([[1, 2]])

    with pytest.raises(GeoreferenceError, match="lie on different grids"):
        gt += tensor_of([[1, 1]], transform=ELSEWHERE)
    assert gt.values.tolist() == [[1, 2]]


def test_one_crs_written_in_two_ways_is_one_grid() -> None:
    other = GeoTensor(np.ones((1, 2)), NORTH_UP, 32630)

    assert (tensor_of([[1, 2]]) + other).values.tolist() == [[2, 3]]


def test_arithmetic_that_would_enlarge_the_grid_is_refused() -> None:
    with pytest.raises(GeoreferenceError, match=r"the result would be \(3, 2\) .* where the GeoTensor is \(1, 2\)"):
        tensor_of([[1, 2]]) + np.ones((3, 2))


# Reductions.

REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": lambda a, **k: a.sum(**k),
    "prod": lambda a, **k: a.prod(**k),
    "mean": lambda a, **k: a.mean(**k),
    "std": lambda a, **k: a.std(**k),
    "var": lambda a, **k: a.var(**k),
    "min": lambda a, **k: a.min(**k),
    "max": lambda a, **k: a.max(**k),
    "any": lambda a, **k: a.any(**k),
    "all": lambda a, **k: a.all(**k),
    "np.add.reduce": np.add.reduce,
    "np.logical_or.reduce": np.logical_or.reduce,
    "np.sum": np.sum,
    "np.mean": np.mean,
    "np.std": np.std,
    "np.var": np.var,
    "np.min": np.min,
    "np.max": np.max,
    "np.prod": np.prod,
    "np.ptp": np.ptp,
    "np.any": np.any,
    "np.all": np.all,
    "np.median": np.median,
    "np.percentile": lambda a, **k: np.percentile(a, 30, **k),
    "np.quantile": lambda a, **k: np.quantile(a, 0.3, **k),
    "np.count_nonzero": np.count_nonzero,
    "np.nansum": np.nansum,
    "np.nanmean": np.nanmean,
    "np.nanstd": np.nanstd,
    "np.nanmin": np.nanmin,
    "np.nanmax": np.nanmax,
    "np.nanmedian": np.nanmedian,
    "np.nanpercentile": lambda a, **k: np.nanpercentile(a, 30, **k),
    "np.nanquantile": lambda a, **k: np.nanquantile(a, 0.3, **k),
}
ARG_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "argmax": lambda a, **k: a.argmax(**k),
    "argmin": lambda a, **k: a.argmin(**k),
    "np.argmax": np.argmax,
    "np.nanargmin": np.nanargmin,
}
ALL_REDUCTIONS = REDUCTIONS | ARG_REDUCTIONS
BY_NAME = pytest.mark.parametrize("reduce", ALL_REDUCTIONS.values(), ids=ALL_REDUCTIONS.keys())


@BY_NAME
@pytest.mark.parametrize("axis", [None, 1, 2, -1, -2, np.int64(1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_over_rows_or_columns_are_plain(reduce: Any, axis: Any, keepdims: bool, cube: GeoTensor) -> None:
    kwargs = {"axis": axis, "keepdims": keepdims}

    assert_plain(reduce(cube, **kwargs), reduce(cube.values, **kwargs))


@BY_NAME
@pytest.mark.parametrize("axis", [0, -3])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_over_bands_keep_the_georeference(reduce: Any, axis: int, keepdims: bool, cube: GeoTensor) -> None:
    kwargs = {"axis": axis, "keepdims": keepdims}

    assert_placed(reduce(cube, **kwargs), reduce(cube.values, **kwargs), cube)


@pytest.mark.parametrize("reduce", REDUCTIONS.values(), ids=REDUCTIONS.keys())
@pytest.mark.parametrize(("axes", "placed"), [((1, 2), False), ((-1, 0), False), ((0, 1, 2), False), ((0,), True)])
def test_reductions_over_several_axes(reduce: Any, axes: tuple[int, ...], placed: bool, cube: GeoTensor) -> None:
    result = reduce(cube, axis=axes)

    assert isinstance(result, GeoTensor) is placed
    np.testing.assert_array_equal(np.asarray(result), reduce(cube.values, axis=axes))


@pytest.mark.parametrize("reduce", [np.median, np.percentile, np.quantile])
def test_axes_can_be_passed_by_position(reduce: Any, cube: GeoTensor) -> None:
    before = () if reduce is np.median else (0.5,)

    assert_placed(reduce(cube, *before, 0), reduce(cube.values, *before, 0), cube)
    assert_plain(reduce(cube, *before, 1), reduce(cube.values, *before, 1))


def test_axes_in_a_list_are_accepted_where_numpy_accepts_them(cube: GeoTensor) -> None:
    assert_plain(np.median(cube, axis=[1, 2]), np.median(cube.values, axis=[1, 2]))


def test_missing_axis_raises_numpys_axis_error(cube: GeoTensor) -> None:
    with pytest.raises(np.exceptions.AxisError, match="axis 3 is out of bounds"):
        np.median(cube, axis=3)


def test_several_percentiles_keep_the_georeference_and_drop_band_names(cube: GeoTensor) -> None:
    result = np.percentile(cube, [10, 50, 90], axis=0)

    assert_placed(result, np.percentile(cube.values, [10, 50, 90], axis=0), cube)
    assert result.attrs == {"mine": 1}


def test_several_percentiles_along_rows_are_plain(cube: GeoTensor) -> None:
    assert_plain(np.percentile(cube, [10, 50, 90], axis=1), np.percentile(cube.values, [10, 50, 90], axis=1))


def test_a_reduction_over_bands_has_no_bands_names(cube: GeoTensor) -> None:
    assert cube.sum(axis=0).attrs == {"mine": 1}
    assert cube[:1].sum(axis=0, keepdims=True).attrs == {"mine": 1}
    assert np.add.accumulate(cube, axis=0).attrs == {"mine": 1}


def test_a_reduction_over_times_keeps_the_bands_names(cube: GeoTensor) -> None:
    series = GeoTensor.stack([cube, cube])

    assert series.mean(axis=0).attrs == NAMES
    assert np.median(series, axis=0).attrs == NAMES
    assert series.mean(axis=1).attrs == {"mine": 1}


def test_a_reduction_of_rows_and_columns_alone_is_plain() -> None:
    assert_plain(tensor_of([[1, 2], [3, 4]]).sum(axis=0), [4, 6])


def test_a_full_reduction_is_a_number(cube: GeoTensor) -> None:
    assert isinstance(cube.sum(), np.float64)
    assert float(cube.max()) == cube.values.max()


# out=, where=, in place.


def test_arithmetic_in_place_keeps_the_tensor_and_drops_its_encoding(cube: GeoTensor) -> None:
    gt, values = cube, cube.values.copy()
    gt += 1
    gt *= gt

    assert gt is cube
    assert_placed(gt, (values + 1) ** 2, tensor_of(np.zeros((3, 3))))
    assert gt.attrs == NAMES


@pytest.mark.parametrize(
    "operation",
    [
        lambda a, out: np.add(a, 1, out=out),
        lambda a, out: np.add(a, 1, out=out, where=a > 0),
        lambda a, out: np.clip(a, 0, 1, out=out),
        lambda a, out: a.clip(0, 1, out=out),
        lambda a, out: np.round(a, 1, out=out),
        lambda a, out: a.round(1, out),
        lambda a, out: np.abs(a, out=out),
    ],
)
@pytest.mark.parametrize("wrap", [tensor_of, np.asarray], ids=["GeoTensor", "plain"])
def test_out_is_returned(operation: Any, wrap: Any, cube: GeoTensor) -> None:
    out, expected = wrap(np.zeros((3, 3, 3))), wrap(np.zeros((3, 3, 3)))
    result = operation(cube, out)
    operation(cube.values, expected)

    assert result is out
    np.testing.assert_array_equal(np.asarray(out), np.asarray(expected))


@pytest.mark.parametrize("reduce", [np.sum, np.median, np.add.reduce, lambda a, **k: a.mean(**k)])
@pytest.mark.parametrize("wrap", [tensor_of, np.asarray], ids=["GeoTensor", "plain"])
def test_a_reduction_over_bands_writes_into_out(reduce: Any, wrap: Any, cube: GeoTensor) -> None:
    out = wrap(np.zeros((3, 3)))

    assert reduce(cube, axis=0, out=out) is out
    np.testing.assert_array_equal(np.asarray(out), reduce(cube.values, axis=0))


@pytest.mark.parametrize(
    "operation",
    [
        lambda a, out: np.sum(a, axis=1, out=out),
        lambda a, out: a.sum(axis=1, out=out),
        lambda a, out: a.mean(axis=2, out=out),
        lambda a, out: np.median(a, axis=1, out=out),
        lambda a, out: a.argmax(axis=1, out=out),
        lambda a, out: np.add.reduce(a, axis=1, out=out),
        lambda a, out: np.matmul(a[0], a[0], out=out),
        lambda a, out: np.dot(a[0], a[0], out=out),
        lambda a, out: a[0].cumsum(axis=0, out=out),
        lambda a, out: np.take(a[0], [2, 1, 0], axis=1, out=out),
    ],
)
def test_result_without_georeference_is_not_written_into_a_tensor(operation: Any, cube: GeoTensor) -> None:
    out = tensor_of(np.zeros((3, 3)))

    with pytest.raises(GeoreferenceError, match="the result leaves the grid; pass a plain array as out="):
        operation(cube, out)
    assert not out.values.any()


def test_matrix_multiplication_in_place_is_refused() -> None:
    gt = tensor_of(np.eye(2))

    with pytest.raises(GeoreferenceError, match=r"np\.matmul: the result leaves the grid"):
        gt @= gt


def test_out_may_be_none_for_one_of_two_results(cube: GeoTensor) -> None:
    quotient = cube.copy()
    first, second = np.divmod(cube, 2, out=(quotient, None))

    assert first is quotient
    assert_placed(second, cube.values % 2, cube)


def test_add_at_changes_the_picked_pixels_and_drops_the_encoding(cube: GeoTensor) -> None:
    expected = cube.values.copy()
    expected[0, 0, 0] += 2
    np.add.at(cube, ([0, 0], [0, 0], [0, 0]), 1)

    assert_placed(cube, expected, tensor_of(np.zeros((3, 3))))
    assert cube.attrs == NAMES


@pytest.mark.parametrize("method", ["sort", "partition"])
@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_sorting_in_place_along_rows_or_columns_is_refused(method: str, axis: int, cube: GeoTensor) -> None:
    before = cube.values.copy()
    arguments = (1,) if method == "partition" else ()

    with pytest.raises(IndexingError, match=rf"{method}\(\) in place along rows or columns .* use np\.{method}"):
        getattr(cube, method)(*arguments, axis)
    assert np.array_equal(cube.values, before)


def test_sorting_in_place_along_bands_leaves_pixels_in_place_and_bands_without_names(cube: GeoTensor) -> None:
    expected = np.sort(cube.values, axis=0)
    cube.sort(axis=0)

    assert_placed(cube, expected, tensor_of(np.zeros((3, 3))))
    assert cube.attrs == {"mine": 1}


def test_resizing_in_place_is_refused(cube: GeoTensor) -> None:
    with pytest.raises(IndexingError, match=r"resize\(\) in place would move pixels on the grid"):
        cube.resize((3, 9))


def test_in_place_functions_write_into_the_tensor() -> None:
    gt = tensor_of([[1.0, np.nan], [3.0, 4.0]])
    np.copyto(gt, 0, where=np.isnan(gt))
    np.putmask(gt, gt == 3, 9)
    np.place(gt, gt == 4, [8])
    np.put(gt, [0], [7])

    assert_placed(gt, [[7, 0], [9, 8]], gt)


# What moves, merges or picks pixels is plain.

PLAIN: dict[str, Operation] = {
    "ravel": lambda a: a.ravel(),
    "flatten": lambda a: a.flatten(),
    "reshape": lambda a: a.reshape(3, 3, 3),
    "reshape to 2-d": lambda a: a.reshape(9, 3),
    "np.reshape": lambda a: np.reshape(a, (3, 3, 3)),
    "swapaxes": lambda a: a.swapaxes(1, 2),
    "np.swapaxes": lambda a: np.swapaxes(a, 1, 2),
    "np.moveaxis": lambda a: np.moveaxis(a, 0, 1),
    "mT": lambda a: a.mT,
    "take": lambda a: a.take([2, 1, 0], axis=1),
    "np.take": lambda a: np.take(a, [2, 1, 0], axis=1),
    "np.take_along_axis": lambda a: np.take_along_axis(a, np.argsort(a, axis=1), axis=1),
    "repeat": lambda a: a.repeat(1, axis=0),
    "compress": lambda a: a.compress([True, True, True], axis=1),
    "diagonal": lambda a: a.diagonal(),
    "trace": lambda a: a.trace(),
    "argsort": lambda a: a.argsort(),
    "np.argsort": lambda a: np.argsort(a, axis=0),
    "np.sort": np.sort,
    "np.partition": lambda a: np.partition(a, 1),
    "np.lexsort": lambda a: np.lexsort((a, a)),
    "cumsum": lambda a: a.cumsum(axis=1),
    "np.cumsum": lambda a: np.cumsum(a, axis=1),
    "np.add.accumulate over rows": lambda a: np.add.accumulate(a, axis=1),
    "np.add.reduceat": lambda a: np.add.reduceat(a, [0, 1, 2], axis=1),
    "np.add.outer": lambda a: np.add.outer(a[0], [1, 2, 3]),
    "a @ a": lambda a: a @ a,
    "np.matmul with a plain array": lambda a: np.matmul(np.eye(3), a),
    "np.matmul with a vector": lambda a: np.matmul(a, np.ones(3)),
    "np.dot": lambda a: np.dot(a, a),
    "dot": lambda a: a.dot(a),
    "np.einsum": lambda a: np.einsum("bij->bji", a),
    "np.linalg.inv": np.linalg.inv,
    "np.fft.fft2": np.fft.fft2,
    "np.flip": np.flip,
    "np.rot90": lambda a: np.rot90(a, axes=(1, 2)),
    "np.roll": lambda a: np.roll(a, 1, axis=1),
    "np.diff": lambda a: np.diff(a, axis=1),
    "np.pad": lambda a: np.pad(a, 1),
    "np.tile": lambda a: np.tile(a, 1),
    "np.broadcast_to": lambda a: np.broadcast_to(a[0], (3, 3, 3)),
    "np.concatenate": lambda a: np.concatenate([a, a], axis=1),
    "np.stack": lambda a: np.stack([a[0], a[0], a[0]], axis=1),
    "np.apply_along_axis": lambda a: np.apply_along_axis(lambda line: line[::-1], 1, a),
    "np.average": lambda a: np.average(a, axis=1, weights=[1, 2, 3]),
    "np.unique": np.unique,
    "np.histogram": lambda a: np.histogram(a)[0],
    "np.isin": lambda a: np.isin(a, [1, 2]),
    "np.asarray": np.asarray,
    "np.array of bands": lambda a: np.array([a[1], a[0]]),
    "view as ndarray": lambda a: a.view(np.ndarray),
    "view as half-width numbers": lambda a: a.view("float32"),
    "zeros_like without subclass": lambda a: np.zeros_like(a, subok=False),
    "zeros_like of another size": lambda a: np.zeros_like(a, shape=(2, 2)),
    "flat": lambda a: a.flat[2:5],
}


@pytest.mark.parametrize("operation", PLAIN.values(), ids=PLAIN.keys())
def test_results_off_the_grid_are_plain_arrays(operation: Operation, cube: GeoTensor) -> None:
    assert_plain(operation(cube), operation(cube.values))


def test_indices_of_true_pixels_are_plain_arrays(cube: GeoTensor) -> None:
    for found, expected in zip(np.where(cube > 0), np.where(cube.values > 0), strict=True):
        assert_plain(found, expected)
    for found, expected in zip(cube.nonzero(), cube.values.nonzero(), strict=True):
        assert_plain(found, expected)


def test_a_result_of_five_dimensions_is_plain(cube: GeoTensor) -> None:
    assert_plain(cube[0] + np.zeros((2, 2, 3, 1, 1)), cube.values[0] + np.zeros((2, 2, 3, 3, 3)))


def test_setting_another_shape_drops_the_georeference(cube: GeoTensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy 2.5 would rather have reshape
        cube.shape = (9, 3)

    with pytest.raises(GeoreferenceError, match=r"this array of shape \(9, 3\) has no transform"):
        _ = cube.transform


# Neighbours in the numpy world.


def test_numpys_own_test_helpers_work(cube: GeoTensor) -> None:
    np.testing.assert_array_equal(cube, cube.values)
    np.testing.assert_allclose(cube, cube + 1e-12)


def test_arithmetic_with_a_masked_array_gives_a_masked_array() -> None:
    gt, masked = tensor_of([[1, 2]]), np.ma.masked_array([[1, 2]], [[True, False]])

    assert (gt + masked).mask.tolist() == (masked + gt).mask.tolist() == [[True, False]]


def test_a_masked_array_can_be_made_of_a_tensor() -> None:
    masked = np.ma.masked_array(tensor_of([[1.0, 2.0], [3.0, 4.0]]), [[True, False], [False, False]])

    assert masked.mean() == 3
    assert masked.filled(0).tolist() == [[0, 2], [3, 4]]


def test_permutation_is_a_plain_array(cube: GeoTensor, rng: np.random.Generator) -> None:
    assert type(rng.permutation(cube)) is np.ndarray


def test_builtin_sum_over_bands_keeps_the_georeference(cube: GeoTensor) -> None:
    assert_placed(sum(cube), sum(cube.values), cube)


def test_array_ufunc_of_another_library_takes_precedence(cube: GeoTensor) -> None:
    class Other:
        def __array_ufunc__(self, *args: Any, **kwargs: Any) -> str:
            return "Other decides"

    assert cube + Other() == "Other decides"
    assert np.add(Other(), cube) == "Other decides"


def test_array_without_georeference_adds_as_plain_array(cube: GeoTensor) -> None:
    lost = np.ones((3, 3)).view(GeoTensor)

    assert_plain(lost + 1, np.full((3, 3), 2))
    assert_placed(cube + lost, cube.values + 1, cube)


# Names of bands.

NAMED = {"descriptions": ["B08"], "band_tags": [{"wavelength": "842"}], "band_namespaces": [{"CAL": {"gain": "2"}}]}
OTHER = {"descriptions": ["B04"], "band_tags": [{"wavelength": "665"}], "band_namespaces": [{"CAL": {"gain": "3"}}]}


def band(attrs: dict[str, Any], dtype: str = "float32") -> GeoTensor:
    return tensor_of(np.full((1, 2, 3), 2, dtype), attrs=attrs)


def in_place() -> GeoTensor:
    left = band(NAMED)
    left -= band(OTHER)
    return left


@pytest.mark.parametrize(
    "compute",
    [
        pytest.param(lambda: (band(NAMED) - band(OTHER)) / (band(NAMED) + band(OTHER)), id="NDVI"),
        pytest.param(lambda: band(NAMED) / (band(NAMED) + band(OTHER)), id="ratio to a sum"),
        pytest.param(lambda: np.maximum(band(NAMED), band(OTHER)), id="maximum"),
        pytest.param(lambda: band(NAMED) > band(OTHER), id="comparison"),
        pytest.param(lambda: (band(NAMED) > 0) & (band(OTHER) > 0), id="masks"),
        pytest.param(lambda: np.where(band(NAMED) > 0, band(NAMED), band(OTHER)), id="where"),
        pytest.param(in_place, id="in place"),
    ],
)
def test_a_band_computed_of_differently_named_bands_has_no_name(compute: Any) -> None:
    result = compute()

    assert result.attrs["descriptions"] == [None]
    assert result.attrs["band_tags"] == [{}]
    assert result.attrs["band_namespaces"] == [{}]


@pytest.mark.parametrize(
    "compute",
    [
        pytest.param(lambda: band(NAMED) * 0.5, id="number"),
        pytest.param(lambda: band(NAMED) - band(NAMED), id="same name"),
        pytest.param(lambda: band(NAMED) - band({}), id="without a name"),
        pytest.param(lambda: band(NAMED) * band(OTHER, "bool"), id="mask"),
        pytest.param(lambda: np.where(band(OTHER, "bool"), band(NAMED), 0), id="where"),
        pytest.param(lambda: band(NAMED) > 0, id="comparison"),
        pytest.param(lambda: -band(NAMED), id="negative"),
        pytest.param(lambda: np.subtract(band(OTHER), band(OTHER), out=band(NAMED)), id="out"),
    ],
)
def test_band_computed_of_equally_named_bands_keeps_its_name(compute: Any) -> None:
    assert compute().attrs["descriptions"] == ["B08"]


def test_each_band_of_a_stack_keeps_the_name_that_both_have() -> None:
    stack = tensor_of(np.ones((2, 2, 3)), attrs={"descriptions": ["B02", "B08"]})
    other = tensor_of(np.ones((2, 2, 3)), attrs={"descriptions": ["B02", "B04"]})

    assert (stack - other).attrs["descriptions"] == ["B02", None]
    assert (stack * band(OTHER)).attrs["descriptions"] == [None, None]


@pytest.mark.parametrize("fill", [None, 0, -9999, np.nan])
@pytest.mark.parametrize(
    "compare",
    [np.greater, np.less_equal, np.equal, np.not_equal, lambda gt, one: np.isnan(gt), lambda gt, one: gt > one],
)
def test_the_fill_value_of_a_comparison_is_false(fill: Any, compare: Any) -> None:
    answer = compare(tensor_of(np.ones((2, 3)), fill), 1)

    assert (answer.fill_value_default, answer.nodata) == (False, None)
    assert answer.read_from_window(Window(0, 0, 4, 4)).values[3].tolist() == [False] * 4
