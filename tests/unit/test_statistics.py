"""Statistics gathered block by block are those of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from georeader._export.statistics import BandStatistics, band_statistics, statistics_tags

DTYPES = ["uint8", "int16", "int64", "float32", "float64"]


@given(st.data(), st.sampled_from(DTYPES))
def test_sum_of_tile_statistics_equals_that_of_the_whole(data: st.DataObject, dtype: str) -> None:
    limits = {"min_value": -1e6, "max_value": 1e6, "width": 32} if dtype.startswith("f") else {}
    numbers = st.floats(**limits) if limits else hnp.from_dtype(np.dtype(dtype))
    values = data.draw(hnp.arrays(dtype, st.tuples(st.integers(2, 9), st.integers(1, 9)), elements=numbers))
    is_valid = data.draw(hnp.arrays(bool, values.shape))
    cut = data.draw(st.integers(1, len(values) - 1))

    joined = band_statistics(values[:cut], is_valid[:cut]) + band_statistics(values[cut:], is_valid[cut:])

    valid = values[is_valid]
    assert (joined.valid_count, joined.count) == (valid.size, values.size)
    if valid.size:
        scale = float(np.abs(valid.astype(float)).max()) or 1.0
        assert (joined.minimum, joined.maximum) == (valid.min(), valid.max())
        assert joined.mean == pytest.approx(valid.mean(dtype=float), rel=1e-12, abs=1e-12 * scale)
        deviation = np.sqrt(joined.squares / joined.valid_count)
        assert deviation == pytest.approx(valid.astype(float).std(), rel=1e-6, abs=1e-9 * scale)


def test_deviation_is_exact_with_a_large_offset() -> None:
    values = 1e9 + np.arange(10_000, dtype="float64").reshape(100, 100) % 7

    joined = band_statistics(values[:37], None) + band_statistics(values[37:], None)

    assert np.sqrt(joined.squares / joined.count) == pytest.approx((np.arange(10_000) % 7).std(), rel=1e-9)


def test_extremes_are_exact_for_64_bit_integers() -> None:
    tags = statistics_tags(band_statistics(np.array([[-(2**63), 2**63 - 1]]), None))

    assert (tags["STATISTICS_MINIMUM"], tags["STATISTICS_MAXIMUM"]) == (str(-(2**63)), str(2**63 - 1))


def test_numbers_are_none_without_a_valid_pixel() -> None:
    nothing = band_statistics(np.zeros((2, 3)), np.zeros((2, 3), bool))

    assert statistics_tags(nothing) == {"STATISTICS_VALID_PERCENT": "0"}
    assert (nothing + band_statistics(np.ones((1, 1)), None)).mean == 1.0
    assert nothing + BandStatistics() == nothing


@pytest.mark.parametrize(("valid", "percent"), [(100_000, "100"), (99_999, "99.99"), (12_340, "12.34"), (1, "0.001")])
def test_valid_percentage_is_100_only_if_every_pixel_is_valid(valid: int, percent: str) -> None:
    is_valid = (np.arange(100_000) < valid).reshape(100, 1000)

    tags = statistics_tags(band_statistics(np.ones((100, 1000), "uint8"), is_valid))

    assert tags["STATISTICS_VALID_PERCENT"] == percent
