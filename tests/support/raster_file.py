"""A raster written by GDAL alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio

from source_contract import a_raster


def in_file(folder: Path, **profile_arg: Any) -> Path:
    """Write the raster with GDAL's own writer, tiled or in strips."""
    path, raster = folder / "in.tif", a_raster()
    profile = {"driver": "GTiff", "count": 3, "height": 413, "width": 350, "dtype": "uint16", "nodata": 0}
    with rasterio.open(path, "w", **profile, **profile_arg, crs=raster.crs, transform=raster.transform) as dataset:
        dataset.write(raster.values)
        dataset.descriptions = raster.attrs["descriptions"]
        dataset.update_tags(**raster.attrs["tags"])
    return path
