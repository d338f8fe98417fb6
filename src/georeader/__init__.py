"""georeader: the export side. Pixels with a place on Earth in, a Cloud Optimized GeoTIFF out.

>>> from georeader import GeoTensor, RasterioReader, save_cog
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from georeader.abstract_reader import AbstractGeoData, FakeGeoData, GeoData, GeoDataBase
from georeader.cog_writer import CogWriter
from georeader.errors import GeoreaderError
from georeader.geotensor import GeoTensor
from georeader.ground_control import GroundControlPoints
from georeader.rasterio_reader import RasterioReader
from georeader.save import profile_from_dtype, save_cog, save_tiled_geotiff

__version__ = "0.1.0"

__all__ = [
    "AbstractGeoData",
    "CogWriter",
    "FakeGeoData",
    "GeoData",
    "GeoDataBase",
    "GeoTensor",
    "GeoreaderError",
    "GroundControlPoints",
    "RasterioReader",
    "profile_from_dtype",
    "save_cog",
    "save_tiled_geotiff",
]


class _Package(ModuleType):
    """Keeps ``georeader.save_cog`` the function: importing the submodule of that name would replace it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "save_cog" and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
