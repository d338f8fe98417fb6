"""What the tests share: a small georeferenced world, the real rasters, and a watch on folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from georeader import GeoTensor

#: A grid of 10 m pixels in UTM zone 30N.
TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
CRS = "EPSG:32630"

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240601)


@pytest.fixture
def make_tensor(rng: np.random.Generator) -> Callable[..., GeoTensor]:
    """Give a function (shape, dtype, **GeoTensor arguments) -> GeoTensor of random pixels."""

    def make(shape: tuple[int, ...] = (2, 40, 50), dtype: str = "uint16", **kwargs: object) -> GeoTensor:
        kind = np.dtype(dtype).kind
        if kind == "b":
            values = rng.random(shape) > 0.5
        elif kind == "f":
            values = rng.normal(size=shape).astype(dtype)
        elif kind == "c":
            values = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)
        else:
            values = rng.integers(1, 100, shape).astype(dtype)
        arguments = {"transform": TRANSFORM, "crs": CRS, "fill_value_default": None} | kwargs
        return GeoTensor(values, **arguments)

    return make


@pytest.fixture
def shared_data() -> Path:
    """The folder of real rasters beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real rasters (../shared/data) are not on this machine")
    return SHARED_DATA
