"""Reducing by two: what counts, what is missing, and that cutting a raster into blocks changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from georeader._resample.block import Margins, halve_mask
from georeader._resample.methods import METHODS
from georeader._resample.pyramid import halve, margin_px

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES = [*INTEGERS, "float32", "float64", "complex64", "complex128"]
KERNELS = ["BILINEAR", "CUBIC", "CUBICSPLINE", "LANCZOS", "GAUSS"]

Array = np.ndarray[Any, Any]


def has_a_meaning(method: str, dtype: str) -> bool:
    kind = np.dtype(dtype).kind
    return not (method == "OR" and kind in "fc") and not (method in ("MIN", "MAX", "MED") and kind == "c")


MEANINGFUL = [(method, dtype) for method in METHODS for dtype in DTYPES if has_a_meaning(method, dtype)]


def blocks(values: Array, is_valid: Array) -> list[tuple[tuple[int, int], list[Any]]]:
    """Position and valid numbers, row by row, of each 2x2 block."""
    rows, columns = values.shape
    found = []
    for row, column in np.ndindex((rows + 1) // 2, (columns + 1) // 2):
        block = np.s_[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        found.append(((row, column), values[block][is_valid[block]].tolist()))
    return found


def half_away(number: Fraction) -> int:
    return int(abs(number) + Fraction(1, 2)) * (1 if number >= 0 else -1)


def first_most_frequent(numbers: list[int]) -> int:
    """The one that reaches the highest count first."""
    counts: Counter[int] = Counter()
    best = numbers[0]
    for number in numbers:
        counts[number] += 1
        if counts[number] > counts[best]:
            best = number
    return best


def union(numbers: list[int]) -> int:
    return int(np.bitwise_or.reduce(np.array(numbers, object)))


EXPECTED: dict[str, Callable[[list[int]], int]] = {
    "AVERAGE": lambda numbers: half_away(Fraction(sum(numbers), len(numbers))),
    "MODE": first_most_frequent,
    "MIN": min,
    "MAX": max,
    "MED": lambda numbers: sorted(numbers)[ceil(len(numbers) / 2) - 1],
    "OR": union,
}


def small_integers(dtype: str) -> st.SearchStrategy[Array]:
    """Few rows and columns, odd ones too, of numbers that meet often and of extreme ones."""
    limits = np.iinfo(dtype)
    often = st.integers(max(limits.min, -3), 3)
    extreme = st.sampled_from([limits.min, limits.min + 1, limits.max - 1, limits.max])
    elements = often | extreme | st.integers(int(limits.min), int(limits.max))
    return npst.arrays(dtype, npst.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=elements)


@given(st.data(), st.sampled_from(INTEGERS), st.sampled_from(list(EXPECTED)))
def test_integers_are_exact_for_any_mask(data: st.DataObject, dtype: str, method: str) -> None:
    values = data.draw(small_integers(dtype))
    is_valid = data.draw(npst.arrays(bool, values.shape))

    found = halve(values, method, is_valid=is_valid)

    assert found.dtype == values.dtype
    assert halve_mask(is_valid).shape == found.shape
    for place, numbers in blocks(values, is_valid):
        assert halve_mask(is_valid)[place] == bool(numbers)
        assert int(found[place]) == (EXPECTED[method](numbers) if numbers else 0)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
@given(st.lists(st.integers(2**40, 2**63 - 1), min_size=4, max_size=4))
@example([1_399_640_888_095, 3_178_232_576_057, 9_118_431_007_222, 94_777_899_636_026_834])  # just below a half
def test_root_mean_squares_of_wide_integers_are_the_nearest_integer(dtype: str, numbers: list[int]) -> None:
    found = int(halve(np.array(numbers, dtype).reshape(2, 2), "RMS")[0, 0])

    mean_square = Fraction(sum(number**2 for number in numbers), 4)
    assert (found - Fraction(1, 2)) ** 2 <= mean_square < (found + Fraction(1, 2)) ** 2


@given(st.data(), st.sampled_from(["int64", "uint64"]))
def test_root_mean_squares_of_equal_numbers_are_that_number(data: st.DataObject, dtype: str) -> None:
    number = data.draw(st.integers(0, int(np.iinfo(dtype).max)))
    values = np.full((2, 2), number, dtype)

    assert int(halve(values, "RMS")[0, 0]) == number


FLOATS = st.floats(allow_nan=True, allow_infinity=False, width=32)


@given(
    npst.arrays("float32", npst.array_shapes(min_dims=2, max_dims=2, max_side=5), elements=FLOATS),
    st.sampled_from([None, 0.0, -9999.0]),
)
def test_averages_of_floats_leave_out_nodata_and_nan_and_never_overflow(values: Array, nodata: float | None) -> None:
    is_valid = ~np.isnan(values) & (values != nodata if nodata is not None else True)

    found = halve(values, "AVERAGE", nodata=nodata)

    for place, numbers in blocks(values, is_valid):
        if numbers:
            scale = max(abs(number) for number in numbers)
            assert found[place] == pytest.approx(float(np.mean(numbers)), rel=1e-6, abs=1e-6 * scale + 1e-44)
            assert found[place] != nodata
        else:
            np.testing.assert_equal(found[place], np.float32(np.nan if nodata is None else nodata))


@pytest.mark.parametrize(("method", "dtype"), [pair for pair in MEANINGFUL if pair[0] != "NEAREST"])
@pytest.mark.parametrize("nodata", [None, 7])
def test_pixel_is_missing_only_if_its_whole_block_is(
    method: str, dtype: str, nodata: int | None, rng: np.random.Generator
) -> None:
    values = rng.integers(0, 15, (63, 81)).astype(dtype)
    is_valid = rng.random(values.shape) < 0.3
    if np.dtype(dtype).kind in "fc":
        values[rng.random(values.shape) < 0.1] = np.nan
    really_valid = is_valid & ~np.isnan(values) & ((values != nodata) if nodata is not None else True)

    found = halve(values, method, nodata=nodata, is_valid=is_valid)

    missing = nodata if nodata is not None else (np.nan if np.dtype(dtype).kind in "fc" else 0)
    is_missing = np.isnan(found) if missing != missing else found == missing
    expected = ~halve_mask(really_valid)
    np.testing.assert_array_equal(is_missing[expected], np.ones(expected.sum(), bool))
    if nodata is not None or missing != missing:
        np.testing.assert_array_equal(is_missing, expected)


@pytest.mark.parametrize(("method", "dtype"), MEANINGFUL)
def test_input_is_not_changed_and_may_be_a_view(method: str, dtype: str, rng: np.random.Generator) -> None:
    pixel_interleaved = rng.integers(0, 100, (40, 50, 3)).astype(dtype)
    pixel_interleaved.flags.writeable = False
    values = pixel_interleaved[::-1, 3:, 1]
    is_valid = np.broadcast_to(np.arange(47) % 5 > 0, values.shape)

    found = halve(values, method, nodata=3, is_valid=is_valid)

    np.testing.assert_array_equal(found, halve(values.copy(), method, nodata=3, is_valid=is_valid.copy()))
    assert not np.shares_memory(found, values)


def test_nearest_picks_the_top_left_pixel_even_if_it_is_missing() -> None:
    values = np.array([[0, 1, np.nan], [2, 3, 4], [5, 6, 7]])

    found = halve(values, "NEAREST", nodata=0, is_valid=np.zeros((3, 3), bool))

    np.testing.assert_array_equal(found, [[0, np.nan], [5, 7]])


@pytest.mark.parametrize("method", ["AVERAGE", "RMS", "MODE", *KERNELS])
def test_a_constant_raster_stays_constant(method: str, rng: np.random.Generator) -> None:
    values = np.full((37, 52), 1000, "uint16")
    is_valid = rng.random(values.shape) < 0.6

    assert set(halve(values, method).flat) == {1000}
    assert set(halve(values, method, nodata=9, is_valid=is_valid)[halve_mask(is_valid)].flat) == {1000}


@pytest.mark.parametrize("method", KERNELS)
def test_kernels_preserve_a_linear_ramp(method: str) -> None:
    """Symmetric ones between two pixels; GAUSS on the one to the right."""
    values = np.add.outer(np.zeros(64), np.arange(64.0))

    expected = np.arange(0, 64, 2) + (1 if method == "GAUSS" else 0.5)
    np.testing.assert_allclose(halve(values, method)[8, 4:-4], expected[4:-4])


@pytest.mark.parametrize("method", KERNELS)
def test_kernels_leave_out_missing_pixels(method: str) -> None:
    """Seen from the valid side, missing pixels are as if the raster ended there."""
    values = np.arange(40.0 * 40).reshape(40, 40) % 37
    values[:, 20:] = np.nan

    np.testing.assert_allclose(halve(values, method)[:, :10], halve(values[:, :20], method), rtol=1e-12)


@pytest.mark.parametrize("method", ["CUBIC", "LANCZOS"])
def test_a_sharpening_kernel_with_little_valid_weight_gives_the_average(method: str) -> None:
    values = np.full((32, 32), 1e6)
    is_valid = np.zeros((32, 32), bool)
    is_valid[::8] = True  # rows that the kernel weighs below zero for some blocks
    is_valid[16, 16] = True
    values[16, 16] = 5

    found = halve(values, method, is_valid=is_valid)

    assert np.nanmin(found) >= 5
    assert np.nanmax(found) <= 1.5e6
    alone = np.zeros((32, 32), bool)
    alone[16, 16] = True
    assert halve(values, method, is_valid=alone)[8, 8] == 5


@pytest.mark.parametrize("method", KERNELS)
def test_kernels_accept_infinite_and_huge_numbers(method: str) -> None:
    huge = np.full((16, 16), np.finfo("float32").max, "float32")
    huge[:, ::3] *= -0.5
    infinite = np.ones((16, 16))
    infinite[8, 8] = np.inf

    assert np.isfinite(halve(huge, method)).all()
    assert not np.isnan(halve(infinite, method)).any()


class TestDifferencesFromGdal:
    """The differences that docs/decisions/overview-rules.md lists."""

    @pytest.mark.parametrize("method", [method for method in METHODS if method not in ("NEAREST", "OR")])
    def test_nan_is_missing_for_any_nodata(self, method: str) -> None:
        values = np.full((8, 8), 3.0)
        values[::2, ::2] = np.nan

        for nodata in (None, -1, np.nan):
            np.testing.assert_allclose(halve(values, method, nodata=nodata), 3.0, rtol=1e-14)

    @pytest.mark.parametrize("missing", [complex(np.nan, 1), complex(1, np.nan), 0])
    def test_complex_numbers_have_missing_pixels(self, missing: complex) -> None:
        values = np.array([[1 + 1j, 3 + 5j], [missing, missing]], "complex64")

        assert halve(values, "AVERAGE", nodata=0)[0, 0] == 2 + 3j

    def test_complex_numbers_keep_double_precision(self) -> None:
        values = np.array([[1 + 1e-12j, 1 + 3e-12j]])

        assert halve(values, "AVERAGE")[0, 0].imag == pytest.approx(2e-12, rel=1e-9)

    @pytest.mark.parametrize("method", ["AVERAGE", "MODE", "MIN", "MAX", "MED", "RMS", *KERNELS])
    def test_64_bit_integers_keep_all_digits(self, method: str) -> None:
        if method in ("RMS", *KERNELS) and np.finfo(np.longdouble).nmant < 63:
            pytest.skip("no extended precision on this platform")
        values = np.full((16, 16), 2**60 + 1)

        assert set(halve(values, method).flat) == {2**60 + 1}

    def test_a_mean_of_finite_numbers_is_finite(self) -> None:
        for dtype in ("float32", "float64", "complex64"):
            values = np.full((2, 2), np.finfo(dtype).max, dtype)
            not_all = np.array([[True, True], [True, False]])
            assert halve(values, "AVERAGE", is_valid=not_all)[0, 0] == np.finfo(dtype).max
            assert halve(values, "AVERAGE")[0, 0] == np.finfo(dtype).max
            assert halve(values, "RMS")[0, 0].real == pytest.approx(np.finfo(dtype).max, rel=1e-6)

    @pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
    def test_root_mean_square_includes_all_four_pixels(self, dtype: str) -> None:
        values = np.tile(np.array([[0, 0], [0, 8]], dtype), (4, 16))

        assert set(halve(values, "RMS").flat) == {4}

    @pytest.mark.parametrize(
        ("dtype", "block", "nodata", "expected"),
        [
            ("int16", [-1, 0, 2, 0], 0, 1),
            ("int32", [1, 3, 3, 0], 2, 3),
            ("uint8", [254, 254, 255, 254], 254, 255),
            ("uint64", [2**64 - 2, 2**64 - 2, 2**64 - 3, 2**64 - 3], 2**64 - 2, 2**64 - 3),
            ("int8", [126, 127, 126, 126], 126, 127),
            ("float32", [-1, 1, -1, 1], 0, np.nextafter(np.float32(0), np.float32(1))),
        ],
    )
    def test_result_equal_to_nodata_is_replaced_by_its_neighbour(
        self, dtype: str, block: list[int], nodata: int, expected: float
    ) -> None:
        values = np.array(block, dtype).reshape(2, 2)

        assert halve(values, "AVERAGE", nodata=nodata)[0, 0] == expected


@st.composite
def rasters(draw: st.DrawFn) -> tuple[Array, Array | None, Any]:
    """(row, column) pixels, a mask or none, and a nodata or none."""
    dtype = draw(st.sampled_from(DTYPES))
    rows, columns = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    largest = draw(st.sampled_from([3, 100]))
    values = rng.integers(0, largest, (rows, columns)).astype(dtype) * (1 if dtype in INTEGERS else 1.1)
    values = values.astype(dtype)
    hole = rng.random(values.shape) < draw(st.sampled_from([0, 0.01, 0.5]))
    if dtype not in INTEGERS and draw(st.booleans()):
        values[hole] = np.nan
    return values, ~hole if draw(st.booleans()) else None, draw(st.sampled_from([None, 0, 1]))


@given(rasters(), st.sampled_from(list(METHODS)), st.integers(0, 20), st.integers(0, 20), st.integers(0, 2))
def test_blocks_with_margins_equal_the_whole(
    raster: tuple[Array, Array | None, Any], method: str, row: int, column: int, more: int
) -> None:
    values, is_valid, nodata = raster
    if not has_a_meaning(method, values.dtype.name):
        return
    rows, columns = values.shape
    reach = margin_px(method) + 2 * more
    whole = halve(values, method, nodata=nodata, is_valid=is_valid)
    found = np.empty_like(whole)
    for top, bottom in _ranges(rows, 2 * row):
        for left, right in _ranges(columns, 2 * column):
            around = np.s_[max(0, top - reach) : bottom + reach, max(0, left - reach) : right + reach]
            margins = Margins(
                min(top, reach),
                min(bottom + reach, rows) - bottom,
                min(left, reach),
                min(right + reach, columns) - right,
            )
            found[top // 2 : (bottom + 1) // 2, left // 2 : (right + 1) // 2] = halve(
                values[around], method, nodata=nodata, margins=margins,
                is_valid=None if is_valid is None else is_valid[around],
            )  # fmt: skip

    np.testing.assert_array_equal(found.view(np.uint8), whole.view(np.uint8))


def _ranges(side: int, cut: int) -> list[tuple[int, int]]:
    return [(0, side)] if not 0 < cut < side else [(0, cut), (cut, side)]


def test_strips_of_large_rasters_equal_the_whole(rng: np.random.Generator) -> None:
    values = rng.integers(0, 60000, (1501, 1400)).astype("uint16")
    for method in ("AVERAGE", "LANCZOS", "GAUSS"):
        top = halve(values[:510], method, margins=Margins(0, 10, 0, 0))
        middle = halve(values[490:1010], method, margins=Margins(10, 10, 0, 0))
        bottom = halve(values[990:], method, margins=Margins(10, 0, 0, 0))

        np.testing.assert_array_equal(halve(values, method), np.vstack([top, middle, bottom]))


@pytest.mark.parametrize(
    ("method", "expected"), [("AVERAGE", 0), ("OR", 0), ("GAUSS", 2), ("BILINEAR", 2), ("CUBIC", 4), ("LANCZOS", 6)]
)
def test_margins_are_even_and_as_wide_as_the_kernel(method: str, expected: int) -> None:
    assert margin_px(method) == expected
