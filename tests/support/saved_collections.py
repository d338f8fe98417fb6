"""Collections of COGs that a loop saves, with the documents beside them: what `save_collection` is to make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import pystac
from affine import Affine

from georeader import GeoTensor, save_cog
from georeader._collection.documents import collection_documents, item_document, read_item
from georeader.stac import collection_of, item_of
from georeader.storage import read_bytes, write_bytes

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
FIRST_DAY = datetime(2024, 5, 1, tzinfo=UTC)

#: dtype and nodata of the variables.
VARIABLES: dict[str, tuple[str, Any]] = {"B04": ("uint16", 0), "ndvi": ("float32", np.nan)}


class Cube:
    """Variables over (time, row, column), some pixels of which are nodata; chunks that are not saved are so, too."""

    def __init__(
        self,
        variables: Sequence[str] = ("B04", "ndvi"),
        *,
        steps: int = 3,
        shape: tuple[int, int] = (90, 120),
        chunk: tuple[int, int] | None = None,
        missing: Sequence[tuple[int, int, int]] = (),
    ) -> None:
        rng = np.random.default_rng(7)
        self.shape, self.chunk, self.missing = shape, chunk or shape, set(missing)
        self.times = [FIRST_DAY + timedelta(days=5 * step) for step in range(steps)]
        self.values = {name: rng.integers(1, 9000, (steps, *shape)).astype(VARIABLES[name][0]) for name in variables}
        for name, values in self.values.items():
            values[:, :4, :7] = VARIABLES[name][1]

    @cached_property
    def expected(self) -> dict[str, Any]:
        """The pixels that clients have to find."""
        found = {name: values.copy() for name, values in self.values.items()}
        for step, row, column in self.missing:
            for name, values in found.items():
                values[step][self._slices(row, column)] = VARIABLES[name][1]
        return found

    def _slices(self, row: int, column: int) -> tuple[slice, slice]:
        (height, width), (rows, columns) = self.chunk, self.shape
        return slice(row * height, min(rows, (row + 1) * height)), slice(
            column * width, min(columns, (column + 1) * width)
        )

    def save(self, root: str, fs: Any = None, **options: Any) -> dict[str, pystac.Item]:
        """Save files, items and documents to a folder or URL; return the items by the paths of their JSON files."""
        items: dict[str, pystac.Item] = {}
        rows, columns = (-(-side // part) for side, part in zip(self.shape, self.chunk, strict=True))
        for step, row, column in np.ndindex(len(self.times), rows, columns):
            if (step, row, column) in self.missing:
                continue
            stem = f"{self.times[step]:%Y%m%d}" + (f"_{row}_{column}" if self.chunk != self.shape else "")
            path = f"{root}/{stem}.json"
            item = item_of(self._save_files(root, stem, (step, row, column), fs), id=stem)
            write_bytes(path, item_document(item, path, root, collection_id="cube"), fs)
            items[path] = read_item(read_bytes(path, fs), path)
        self.write_documents(items, root, fs, **options)
        return items

    def write_documents(self, items: Mapping[str, pystac.Item], root: str, fs: Any = None, **options: Any) -> None:
        collection = collection_of(items.values(), id="cube", title="A cube")
        for name, content in collection_documents(items, root, collection=collection, **options).items():
            write_bytes(f"{root}/{name}", content, fs)

    def _save_files(self, root: str, stem: str, place: tuple[int, int, int], fs: Any) -> dict[str, Any]:
        step, row, column = place
        rows, columns = self._slices(row, column)
        receipts = {}
        for name, values in self.values.items():
            tensor = GeoTensor(
                values[step, rows, columns],
                TRANSFORM @ Affine.translation(columns.start, rows.start),
                "EPSG:32630",
                fill_value_default=VARIABLES[name][1],
                attrs={"acquired": self.times[step]},
            )
            receipts[name] = save_cog(tensor, f"{root}/{stem}_{name}.tif", [name], fs=fs, profile_arg={"blocksize": 64})
        return receipts
