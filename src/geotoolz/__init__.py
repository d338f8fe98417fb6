"""geotoolz: operators over GeoTensors, and catalogs of rasters to run them over.

>>> import geotoolz as gz
>>> gz.Sequential([gz.cloud.MaskClouds(scl_idx=4), gz.indices.NDVI(red_idx=2, nir_idx=3)])
Sequential([MaskClouds(scl_idx=4), NDVI(red_idx=2, nir_idx=3)])
"""

import georeader.errors  # noqa: F401  (refuses georeader-spaceml, which may have replaced the first module)
from geotoolz import catalog_ops, cloud, indices, presets
from geotoolz.errors import BandError, RowError, WorkerError
from geotoolz.operator import Operator, Output, Sequential

__all__ = [
    "BandError",
    "Operator",
    "Output",
    "RowError",
    "Sequential",
    "WorkerError",
    "catalog_ops",
    "cloud",
    "indices",
    "presets",
]
