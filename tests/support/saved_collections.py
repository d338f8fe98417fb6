"""A cube that `save_collection` saves, and what clients have to load of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import dask.array
import numpy as np
import xarray
from affine import Affine

from georeader import CollectionResult, save_collection

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
FIRST_DAY = datetime(2024, 5, 1)

#: dtype and nodata of the variables.
VARIABLES: dict[str, tuple[str, Any]] = {"B04": ("uint16", 0), "ndvi": ("float32", np.nan)}


class Cube:
    """Variables over (time, row, column), some pixels of which are nodata.

    ``missing`` names chunks (step, row, column) that cannot be computed: their items fail. With ``is_array``, it is a
    DataArray, whose files have the asset "data".
    """

    def __init__(
        self,
        variables: Sequence[str] = ("B04", "ndvi"),
        *,
        steps: int = 2,
        shape: tuple[int, int] = (90, 120),
        chunk: tuple[int, int] | None = None,
        missing: Sequence[tuple[int, int, int]] = (),
        is_array: bool = False,
    ) -> None:
        rng = np.random.default_rng(7)
        self.shape, self.chunk, self.missing, self.is_array = shape, chunk, set(missing), is_array
        self.times = [FIRST_DAY + timedelta(days=5 * step) for step in range(steps)]
        self.values = {name: rng.integers(1, 9000, (steps, *shape)).astype(VARIABLES[name][0]) for name in variables}
        for name, values in self.values.items():
            values[:, :4, :7] = VARIABLES[name][1]

    @cached_property
    def expected(self) -> dict[str, Any]:
        """The pixels that clients have to find."""
        found = {name: values.copy() for name, values in self.values.items()}
        rows, columns = self.chunk or self.shape
        for step, row, column in self.missing:
            for name, values in found.items():
                place = (slice(row * rows, (row + 1) * rows), slice(column * columns, (column + 1) * columns))
                values[(step, *place)] = VARIABLES[name][1]
        return found

    @property
    def data(self) -> Any:
        """The DataArray or Dataset."""
        height_px, width_px = self.shape
        coords = {
            "time": np.array(self.times, "datetime64[ns]"),
            "y": 4000000 - 10 * (np.arange(height_px) + 0.5),
            "x": 500000 + 10 * (np.arange(width_px) + 0.5),
        }
        arrays = {
            name: xarray.DataArray(
                self._computed(values), coords, name=name, attrs={"_FillValue": VARIABLES[name][1], "crs": "EPSG:32630"}
            )
            for name, values in self.values.items()
        }
        return next(iter(arrays.values())) if self.is_array else xarray.Dataset(arrays, attrs={"crs": "EPSG:32630"})

    def _computed(self, values: Any) -> Any:
        """Return an array of dask, some chunks of which fail."""
        chunks = (1, *(self.chunk or self.shape))

        def fail(block: Any, block_info: Any = None) -> Any:
            if tuple(block_info[0]["chunk-location"]) in self.missing:
                raise OSError("the cable was cut")
            return block

        return dask.array.from_array(values, chunks).map_blocks(fail, dtype=values.dtype, meta=values[:0])

    def save(self, root: str, **options: Any) -> CollectionResult:
        """Save it to a folder or URL."""
        template, dims = "{time:%Y%m%d}", ["time"]
        if self.chunk is not None:
            template, dims = f"{template}_{{row}}_{{column}}", [*dims, "chunk"]
        if not self.is_array:
            template, dims = f"{template}_{{variable}}", [*dims, "variable"]
        options = {"title": "A cube", "on_item_error": "log_and_continue", "profile_arg": {"blocksize": 64}} | options
        result = save_collection(self.data, f"{root}/{template}.tif", dim=dims, collection_id="cube", **options)
        assert len(result.errors) == len(self.missing)
        return result
