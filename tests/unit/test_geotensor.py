"""GeoTensor: what it holds, what it derives from that, and what copies and pickles keep."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from georeader import GeoData, GeoTensor
from georeader.errors import DtypeError, GeoreferenceError, LostPlaceError, ShapeError

NORTH_UP = Affine(10, 0, 500000, 0, -10, 4000000)
UTM = "EPSG:32630"

#: A CRS that is in no register.
HOUSE_GRID = (
    'PROJCS["House Grid",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Lambert_Azimuthal_Equal_Area"],'
    'PARAMETER["latitude_of_center",12],PARAMETER["longitude_of_center",34],PARAMETER["false_easting",0],'
    'PARAMETER["false_northing",0],UNIT["metre",1]]'
)

MakeTensor = Callable[..., GeoTensor]


def tensor_of(values: Any, fill: Any = None, **kwargs: Any) -> GeoTensor:
    return GeoTensor(np.asarray(values), NORTH_UP, UTM, fill, **kwargs)


# Construction.


@pytest.mark.parametrize(
    ("shape", "dims", "count"),
    [
        ((4, 5), ("y", "x"), 1),
        ((3, 4, 5), ("band", "y", "x"), 3),
        ((2, 3, 4, 5), ("time", "band", "y", "x"), 3),
    ],
)
def test_two_to_four_dimensions_end_in_row_and_column(
    shape: tuple[int, ...], dims: tuple[str, ...], count: int
) -> None:
    gt = tensor_of(np.zeros(shape))

    assert (gt.shape, gt.dims, gt.count, gt.height, gt.width) == (shape, dims, count, 4, 5)


@pytest.mark.parametrize("shape", [(), (5,), (1, 2, 3, 4, 5)])
def test_other_numbers_of_dimensions_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=rf"have {len(shape)} dimensions; a GeoTensor is \(row, column\)"):
        tensor_of(np.zeros(shape))


@pytest.mark.parametrize("transform", [None, "abc", (1, 2, 3), (10, 0, 0, 0, np.nan, 0), (0, 0, 0, 0, -10, 0)])
def test_an_unusable_transform_is_refused(transform: Any) -> None:
    with pytest.raises(GeoreferenceError, match=r"transform=.* (is not an affine transform|has pixels of no area)"):
        GeoTensor(np.zeros((2, 2)), transform, UTM)


def test_transform_is_accepted_as_six_numbers() -> None:
    assert GeoTensor(np.zeros((2, 2)), (10, 0, 500000, 0, -10, 4000000), UTM).transform == NORTH_UP


def test_the_tensor_is_a_view_of_the_callers_array() -> None:
    values = np.zeros((4, 5))
    gt = tensor_of(values)
    gt[:, 2:3] = 7

    assert np.shares_memory(gt, values)
    assert values[:, 2].tolist() == [7] * 4


def test_attrs_of_the_caller_are_not_changed() -> None:
    attrs = {"descriptions": ["a"]}
    gt = tensor_of(np.zeros((4, 5)), attrs=attrs)
    gt.attrs["mine"] = 1

    assert attrs == {"descriptions": ["a"]}


# The fill value.


def test_fill_value_is_zero_by_default() -> None:
    gt = GeoTensor(np.zeros((2, 2)), NORTH_UP, UTM)

    assert (gt.fill_value_default, type(gt.fill_value_default), gt.fill_value_is_explicit) == (0, int, False)


@pytest.mark.parametrize("fill", [0, 0.0, None, np.nan, -9999])
def test_fill_value_is_explicit_if_passed(fill: Any) -> None:
    assert GeoTensor(np.zeros((2, 2)), NORTH_UP, UTM, fill).fill_value_is_explicit is True


@pytest.mark.parametrize(
    ("before", "after", "explicit"),
    [
        ("uint8", "int16", True),
        ("uint8", "float32", False),
        ("bool", "float64", False),
        ("int16", "complex64", False),
        ("float32", "float64", True),
        ("float32", "uint8", True),
    ],
)
def test_fill_value_of_integers_is_not_explicit_for_floats(before: str, after: str, explicit: bool) -> None:
    gt = tensor_of(np.zeros((2, 2), before), fill=0)

    assert gt.astype(after).fill_value_is_explicit is explicit


def test_fill_value_is_not_explicit_after_true_division_of_integers() -> None:
    assert (tensor_of([[0, 2]], fill=0) / 2).fill_value_is_explicit is False


def test_fill_value_is_explicit_if_set_afterwards() -> None:
    gt = GeoTensor(np.zeros((2, 2)), NORTH_UP, UTM)
    gt.fill_value_default = 0

    assert gt.fill_value_is_explicit is True


@pytest.mark.parametrize(
    ("dtype", "values", "fill", "invalid"),
    [
        ("uint8", [0, 255, 7], 0, [True, False, False]),
        ("uint8", [0, 255, 7], 0.0, [True, False, False]),
        ("uint8", [0, 255, 7], 255.0, [False, True, False]),
        ("uint8", [0, 255, 7], np.float64(255), [False, True, False]),
        ("uint8", [0, 255, 7], None, [False, False, False]),
        ("uint8", [0, 1, 7], 256, [False, False, False]),
        ("uint8", [0, 1, 255], -1, [False, False, False]),
        ("uint8", [0, 1, 2], 0.5, [False, False, False]),
        ("uint8", [0, 1, 2], np.nan, [False, False, False]),
        ("uint8", [0, 1, 2], np.inf, [False, False, False]),
        ("bool", [True, False, True], False, [False, True, False]),
        ("bool", [True, False, True], 0.0, [False, True, False]),
        ("bool", [True, False, True], True, [True, False, True]),
        ("bool", [True, False, True], 255.0, [False, False, False]),
        ("bool", [True, False, True], np.nan, [False, False, False]),
        ("bool", [True, False, True], None, [False, False, False]),
        ("int64", [-(2**63), 2**53, 2**53 + 1], 2**53 + 1, [False, False, True]),
        ("int64", [-(2**63), 0, 1], float(-(2**63)), [True, False, False]),
        ("uint64", [2**64 - 1, 0, 1], 2**64 - 1, [True, False, False]),
        ("float32", [np.nan, 0, 1], np.nan, [True, False, False]),
        ("float32", [np.nan, 0, 1], np.float32("nan"), [True, False, False]),
        ("float32", [np.nan, 0, 1], 0, [False, True, False]),
        ("float32", [0.1, 0, 1], 0.1, [True, False, False]),
        ("float32", [np.finfo("float32").min, 0, 1], -3.4028235e38, [True, False, False]),
        ("float32", [np.inf, 0, 1], np.inf, [True, False, False]),
        ("float32", [np.inf, 0, 1], 1e300, [False, False, False]),
        ("complex64", [np.nan, 0, 1], np.nan, [True, False, False]),
        ("complex64", [1j, 0, 1], 1j, [True, False, False]),
        ("float64", [1, 0, 2], 1 + 0j, [True, False, False]),
        ("float64", [1, 0, 2], 1j, [False, False, False]),
    ],
)
def test_invalid_pixels_are_those_that_hold_the_fill_value(
    dtype: str, values: list[Any], fill: Any, invalid: list[bool]
) -> None:
    gt = tensor_of(np.array([values], dtype), fill)

    assert gt.invalidmask().values.tolist() == [invalid]
    assert gt.validmask().values.tolist() == [[not one for one in invalid]]


def test_masks_have_the_grid_of_their_tensor(make_tensor: MakeTensor) -> None:
    gt = make_tensor((3, 4, 5), fill_value_default=7)

    for mask in (gt.validmask(), gt.invalidmask()):
        assert (mask.dtype, mask.shape, mask.same_extent(gt)) == (np.dtype(bool), (3, 4, 5), True)


@pytest.mark.parametrize("method", ["invalidmask", "validmask"])
def test_a_mask_that_is_not_bool_is_refused(method: str, make_tensor: MakeTensor) -> None:
    """255 for valid is GDAL's convention, 1 for invalid that of others: the meaning must not be guessed."""
    gt = make_tensor((2, 4, 5), attrs={"mask": np.full((4, 5), 255, "uint8")})

    with pytest.raises(DtypeError, match=r"attrs\['mask'\] is uint8 \(4, 5\); pass a bool array"):
        getattr(gt, method)()


def test_masks_keep_band_names_and_lose_scales(make_tensor: MakeTensor) -> None:
    gt = make_tensor((2, 4, 5), attrs={"descriptions": ["a", "b"], "scales": [0.1, 0.1]})

    assert gt.validmask().attrs == {"descriptions": ["a", "b"]}


@pytest.mark.parametrize("fill", [None, 7, np.nan])
@pytest.mark.parametrize("method", ["validmask", "invalidmask"])
def test_a_validity_mask_fills_with_false_and_has_no_nodata(fill: Any, method: str) -> None:
    mask = getattr(tensor_of(np.zeros((2, 2)), fill), method)()

    assert (mask.fill_value_default, mask.nodata) == (False, None)


# Place.


@pytest.mark.parametrize(
    ("transform", "res", "bounds"),
    [
        (Affine(10, 0, 100, 0, -20, 200), (10.0, 20.0), (100.0, 120.0, 150.0, 200.0)),
        (Affine(10, 0, 100, 0, 20, 200), (10.0, 20.0), (100.0, 200.0, 150.0, 280.0)),
        (Affine(-10, 0, 100, 0, -20, 200), (10.0, 20.0), (50.0, 120.0, 100.0, 200.0)),
        (Affine(3, -8, 0, 4, 6, 0), (5.0, 10.0), (-32.0, 0.0, 15.0, 44.0)),
    ],
    ids=["north up", "south up", "mirrored", "rotated"],
)
def test_resolution_and_bounds_follow_the_transform(
    transform: Affine, res: tuple[float, float], bounds: tuple[float, ...]
) -> None:
    gt = GeoTensor(np.zeros((4, 5)), transform, UTM)

    assert gt.res == pytest.approx(res)
    assert gt.bounds == pytest.approx(bounds)


def test_the_footprint_is_the_outline_in_the_tensors_own_crs() -> None:
    footprint = tensor_of(np.zeros((4, 5))).footprint()

    assert footprint.bounds == (500000, 3999960, 500050, 4000000)
    assert footprint.area == 4 * 5 * 100


def test_the_footprint_of_a_rotated_raster_is_not_its_bounds() -> None:
    gt = GeoTensor(np.zeros((4, 5)), Affine(3, -8, 0, 4, 6, 0), UTM)

    assert gt.footprint().area == pytest.approx(4 * 5 * 50)


def test_footprint_is_reprojected_to_another_crs() -> None:
    # The left edge is the central meridian of UTM zone 30. At 36.14 degrees north, a degree of latitude is
    # 110.95 km and a degree of longitude 90.0 km; the grid's scale on the meridian is 0.9996.
    left, bottom, right, top = tensor_of(np.zeros((4, 5))).footprint("EPSG:4326").bounds

    assert left == pytest.approx(-3, abs=1e-9)
    assert bottom == pytest.approx(36.14436, abs=1e-5)
    assert top - bottom == pytest.approx(40 / 0.9996 / 110950, rel=1e-3)
    assert right - left == pytest.approx(50 / 0.9996 / 90000, rel=1e-3)


def test_footprint_in_another_crs_requires_a_crs() -> None:
    gt = GeoTensor(np.zeros((4, 5)), NORTH_UP, None)

    with pytest.raises(GeoreferenceError, match="needs a raster that has a CRS itself"):
        gt.footprint("EPSG:4326")


def test_geotensor_follows_the_geodata_protocol(make_tensor: MakeTensor) -> None:
    assert isinstance(make_tensor(), GeoData)


# Values.


def test_values_are_a_plain_view() -> None:
    gt = tensor_of(np.zeros((4, 5)))
    gt.values[0, 0] = 9

    assert type(gt.values) is np.ndarray
    assert gt.values[0, 0] == 9


def test_values_can_be_replaced_by_others_of_the_same_kind() -> None:
    gt = tensor_of(np.zeros((2, 2)))
    gt.values = np.array([[1.0, 2.0], [3.0, 4.0]])

    assert gt.values.tolist() == [[1, 2], [3, 4]]
    assert gt.transform == NORTH_UP


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.zeros((3, 2)), ShapeError),
        (np.zeros((3, 2), "float32"), ShapeError),
        (np.zeros((2, 2), "float32"), DtypeError),
        (np.zeros((2, 2), "int64"), DtypeError),
        (np.zeros((2, 2), bool), DtypeError),
    ],
)
def test_values_of_another_shape_or_dtype_are_refused(values: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"do not fit in place of float64 \(2, 2\); .*use gt\.like"):
        tensor_of(np.zeros((2, 2))).values = values


def test_load_returns_the_tensor_itself(make_tensor: MakeTensor) -> None:
    gt = make_tensor()

    assert gt.load() is gt


# like().


def test_like_keeps_the_georeference(make_tensor: MakeTensor) -> None:
    gt = make_tensor((2, 4, 5), fill_value_default=7, attrs={"mine": 1})
    other = gt.like(np.ones((4, 5)))

    assert (other.shape, other.transform, other.crs) == ((4, 5), gt.transform, gt.crs)
    assert (other.fill_value_default, other.attrs) == (7, {"mine": 1})


def test_like_copies_attrs(make_tensor: MakeTensor) -> None:
    attrs = {"mine": 1}
    other = make_tensor((4, 5)).like(np.ones((4, 5)), attrs=attrs)
    other.attrs["mine"] = 2

    assert attrs == {"mine": 1}


def test_like_makes_a_new_fill_value_explicit() -> None:
    gt = GeoTensor(np.zeros((4, 5)), NORTH_UP, UTM)

    assert gt.like(gt.values, fill_value_default=0).fill_value_is_explicit is True


def test_like_refuses_unknown_names(make_tensor: MakeTensor) -> None:
    with pytest.raises(TypeError, match="takes transform, crs, fill_value_default, nodata and attrs, not fill"):
        make_tensor((4, 5)).like(np.ones((4, 5)), fill=3)


def test_like_refuses_values_without_rows_and_columns(make_tensor: MakeTensor) -> None:
    with pytest.raises(ShapeError, match="have 1 dimensions; a GeoTensor is"):
        make_tensor((4, 5)).like(np.ones(5))


# Copies and pickles.


def sent_to_another_process(gt: GeoTensor) -> GeoTensor:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(copy.copy, gt).result()


COPIES: dict[str, Callable[[GeoTensor], GeoTensor]] = {
    "copy()": lambda gt: gt.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle, protocol 2": lambda gt: pickle.loads(pickle.dumps(gt, protocol=2)),
    "pickle, protocol 5": lambda gt: pickle.loads(pickle.dumps(gt, protocol=5)),
    "another process": sent_to_another_process,
    "astype to the same dtype": lambda gt: gt.astype(gt.dtype),
    "np.astype": lambda gt: getattr(np, "astype", np.ndarray.astype)(gt, gt.dtype),
    "np.array(subok=True)": lambda gt: np.array(gt, subok=True),
    "a copy of a view of a view": lambda gt: gt.view()[:].copy(),
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES.keys())
def test_copies_keep_pixels_and_metadata_and_share_neither(duplicate: Callable[[GeoTensor], GeoTensor]) -> None:
    gt = GeoTensor(np.arange(40).reshape(2, 4, 5), NORTH_UP, CRS.from_epsg(32630), attrs={"scales": [1.0, 2.0]})
    before = gt.values.copy()
    other = duplicate(gt)

    assert np.array_equal(other.values, before)
    assert (other.dtype, other.transform, other.crs) == (gt.dtype, gt.transform, gt.crs)
    assert (other.fill_value_default, other.fill_value_is_explicit) == (0, False)
    assert other.attrs == {"scales": [1.0, 2.0]}

    other[:] = 0
    other.attrs["mine"] = 1
    assert np.array_equal(gt.values, before)
    assert gt.attrs == {"scales": [1.0, 2.0]}


def test_a_deep_copy_shares_no_lists_in_attrs() -> None:
    gt = tensor_of(np.zeros((1, 2, 2)), attrs={"scales": [1.0]})
    copy.deepcopy(gt).attrs["scales"][0] = 5.0

    assert gt.attrs["scales"] == [1.0]


def test_copies_of_a_mirrored_view_hold_the_mirrored_pixels() -> None:
    gt = tensor_of(np.arange(6).reshape(2, 3))[::-1, ::-1]
    other = pickle.loads(pickle.dumps(gt))

    assert other.values.tolist() == [[5, 4, 3], [2, 1, 0]]
    assert other.transform == gt.transform


def test_astype_keeps_the_metadata_of_bands(make_tensor: MakeTensor) -> None:
    attrs = {"scales": [0.1, 0.2], "descriptions": ["a", "b"]}

    assert make_tensor((2, 4, 5), attrs=attrs).astype("float32").attrs == attrs


@pytest.mark.parametrize(
    "make",
    [
        lambda gt: gt.astype(bool),
        lambda gt: getattr(np, "astype", np.ndarray.astype)(gt, bool),
        lambda gt: gt > 3,
        lambda gt: np.isnan(gt),
        lambda gt: np.array(gt, bool, subok=True),
    ],
    ids=["astype", "np.astype", "a comparison", "isnan", "np.array"],
)
def test_a_mask_made_of_numbers_keeps_no_scale_offset_or_unit(make: Any, make_tensor: MakeTensor) -> None:
    attrs = {"scales": [0.1, 0.2], "offsets": [1.0, 2.0], "units": ["m", "m"], "descriptions": ["a", "b"]}
    gt = make_tensor((2, 4, 5), attrs=attrs)

    assert make(gt).attrs == {"descriptions": ["a", "b"]}
    assert gt.attrs == attrs


def test_saved_npy_holds_values_only() -> None:
    gt = tensor_of(np.arange(6.0).reshape(2, 3))
    file = io.BytesIO()
    np.save(file, gt)
    file.seek(0)
    loaded = np.load(file, allow_pickle=False)

    assert type(loaded) is np.ndarray
    assert np.array_equal(loaded, gt.values)


# Writing into a tensor.


@pytest.mark.parametrize(
    ("key", "written"),
    [
        (np.array([[True, False], [False, True]]), [[9, 2], [3, 9]]),
        ((slice(None), slice(0, 1)), [[9, 2], [9, 4]]),
        ((0, 1), [[1, 9], [3, 4]]),
        ((..., 0), [[9, 2], [9, 4]]),
        (1, [[1, 2], [9, 9]]),
        (([0, 1], [1, 0]), [[1, 9], [9, 4]]),
    ],
    ids=["mask", "slices", "pixel", "ellipsis", "row", "fancy"],
)
def test_any_numpy_index_can_be_written_to(key: Any, written: list[list[int]]) -> None:
    gt = tensor_of([[1, 2], [3, 4]])
    gt[key] = 9

    assert gt.values.tolist() == written
    assert gt.transform == NORTH_UP


def test_pixels_can_be_written_through_a_geotensor_mask() -> None:
    gt = tensor_of([[1, 2], [3, 4]])
    gt[gt > 2] = np.array([8, 9])

    assert gt.values.tolist() == [[1, 2], [8, 9]]


def test_pixels_can_be_written_through_a_mask_of_one_band() -> None:
    gt = tensor_of(np.ones((2, 1, 2)))
    gt[:, tensor_of([[True, False]])] = 0

    assert gt.values.tolist() == [[[0, 1]], [[0, 1]]]


def test_arithmetic_in_place_through_a_mask_changes_the_masked_pixels() -> None:
    gt = tensor_of([[1, 2], [3, 4]])
    gt[gt > 2] += 10

    assert gt.values.tolist() == [[1, 2], [13, 14]]


def test_flat_writes_into_the_tensor_and_reads_plain_numbers() -> None:
    gt = tensor_of(np.zeros((2, 2)))
    gt.flat[1:3] = 5
    assert gt.values.tolist() == [[0, 5], [5, 0]]
    assert type(gt.flat[1:3]) is np.ndarray

    gt.flat = [1, 2, 3, 4]
    assert gt.values.tolist() == [[1, 2], [3, 4]]


# How it introduces itself.


def test_repr_shows_shape_and_georeference() -> None:
    assert repr(tensor_of(np.zeros((1, 1, 2), "uint8"), fill=None)) == (
        "GeoTensor 1 x 1 x 2 (band, row, column) uint8\n"
        "  crs      EPSG:32630\n"
        "  pixel    10 x 10\n"
        "  bounds   (500000, 3999990, 500020, 4000000)\n"
        "  no data  none\n"
        "array([[[0, 0]]], dtype=uint8)"
    )


@pytest.mark.parametrize(
    ("crs", "line"),
    [
        (None, "crs      none"),
        (4326, "crs      EPSG:4326"),
        ("banana", "crs      'banana' (PROJ does not know it)"),
        (HOUSE_GRID, "crs      House Grid (no EPSG code)"),
    ],
)
def test_the_repr_names_any_crs_without_failing(crs: Any, line: str) -> None:
    assert line in repr(GeoTensor(np.zeros((1, 1)), NORTH_UP, crs)).splitlines()[1]


def test_the_repr_shows_the_fill_value() -> None:
    assert "  no data  -9999" in repr(tensor_of([[1]], fill=-9999)).splitlines()


def test_repr_of_an_empty_slice_shows_its_shape() -> None:
    assert repr(tensor_of(np.zeros((4, 5)))[2:2]).startswith("GeoTensor 0 x 5 (row, column) float64\n")


def test_str_is_the_repr() -> None:
    gt = tensor_of([[1]])

    assert str(gt) == f"{gt}" == repr(gt)


# Arrays that lost their place.


def lost() -> GeoTensor:
    return np.zeros((2, 3)).view(GeoTensor)


def test_array_without_georeference_raises_when_it_is_accessed() -> None:
    with pytest.raises(LostPlaceError, match=r"this array of shape \(2, 3\) has no transform.*np\.asarray"):
        _ = lost().transform


def test_array_without_georeference_has_its_values() -> None:
    gt = lost()

    assert repr(gt).startswith("GeoTensor without georeference\narray([[0., 0., 0.]")
    assert gt[0].tolist() == [0, 0, 0]
    assert [row.tolist() for row in gt] == [[0, 0, 0], [0, 0, 0]]
    assert (gt + 1).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert gt.copy().tolist() == [[0, 0, 0], [0, 0, 0]]


def test_unknown_attribute_is_named_in_the_error() -> None:
    with pytest.raises(AttributeError, match="'GeoTensor' object has no attribute 'banana'"):
        _ = tensor_of([[1]]).banana
