"""Pictures read by GDAL's PNG driver."""

from __future__ import annotations

from typing import Any

import numpy as np
from rasterio.io import MemoryFile

#: Colour interpretations of a PNG by its number of channels.
_KINDS = {1: "gray", 2: "gray alpha", 3: "red green blue", 4: "red green blue alpha"}


def read_png(content: bytes) -> np.ndarray[Any, Any]:
    """Return the (row, column, channel) of a PNG, as it is stored."""
    with MemoryFile(content, ext=".png") as file, file.open() as dataset:
        assert dataset.driver == "PNG"
        assert set(dataset.dtypes) == {"uint8"}
        assert " ".join(interp.name for interp in dataset.colorinterp) == _KINDS[dataset.count]
        return np.moveaxis(dataset.read(), 0, -1)


def read_rgba(content: bytes) -> np.ndarray[Any, Any]:
    """Return the (row, column, 4) of a PNG: red, green, blue and alpha, for any stored colour type."""
    stored = read_png(content)
    count = stored.shape[2]
    colours = stored[..., :3] if count > 2 else np.repeat(stored[..., :1], 3, axis=2)
    alpha = stored[..., -1:] if count in (2, 4) else np.full((*stored.shape[:2], 1), 255, "uint8")
    return np.concatenate([colours, alpha], axis=2)
