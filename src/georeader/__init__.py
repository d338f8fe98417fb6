"""georeader: writes georeferenced arrays as Cloud Optimized GeoTIFFs, and reads them back.

>>> from georeader import GeoTensor, RasterioReader, save_cog
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from georeader._installation import check_import_name

if TYPE_CHECKING:
    from georeader._readers.raster_file import files_kept_open
    from georeader.abstract_reader import AbstractGeoData, FakeGeoData, GeoData, GeoDataBase
    from georeader.cog_writer import CogWriter
    from georeader.collection import CollectionResult, ItemResult, save_collection
    from georeader.edit import EditPlan, edit_cog, plan_edit, repack
    from georeader.errors import GeoreaderError
    from georeader.geotensor import GeoTensor
    from georeader.ground_control import GroundControlPoints
    from georeader.planning import ExportPlan, plan_export
    from georeader.profile_options import ProfileOptions
    from georeader.rasterio_reader import RasterioReader
    from georeader.save import profile_from_dtype, save_cog, save_tiled_geotiff
    from georeader.view import view
    from georeader.window_utils import WindowPair, compare_crs, iter_windows, rasterio_crs, res

check_import_name()

__version__ = "0.2.0"

__all__ = [
    "AbstractGeoData", "CogWriter", "CollectionResult", "EditPlan", "ExportPlan", "FakeGeoData", "GeoData",
    "GeoDataBase", "GeoTensor", "GeoreaderError", "GroundControlPoints", "ItemResult", "ProfileOptions",
    "RasterioReader", "WindowPair", "compare_crs", "edit_cog", "files_kept_open", "iter_windows", "plan_edit",
    "plan_export", "profile_from_dtype", "rasterio_crs", "repack", "res", "save_cog", "save_collection",
    "save_tiled_geotiff", "view",
]  # fmt: skip

#: Modules of the names above. They are imported at the first access: ``georeader --help`` does not wait for GDAL.
_HOMES = {
    **dict.fromkeys(("AbstractGeoData", "FakeGeoData", "GeoData", "GeoDataBase"), "abstract_reader"),
    "CogWriter": "cog_writer",
    **dict.fromkeys(("CollectionResult", "ItemResult", "save_collection"), "collection"),
    **dict.fromkeys(("EditPlan", "edit_cog", "plan_edit", "repack"), "edit"),
    "GeoTensor": "geotensor",
    "GeoreaderError": "errors",
    "GroundControlPoints": "ground_control",
    **dict.fromkeys(("ExportPlan", "plan_export"), "planning"),
    "ProfileOptions": "profile_options",
    "RasterioReader": "rasterio_reader",
    "files_kept_open": "_readers.raster_file",
    **dict.fromkeys(("profile_from_dtype", "save_cog", "save_tiled_geotiff"), "save"),
    "view": "view",
    **dict.fromkeys(("WindowPair", "compare_crs", "iter_windows", "rasterio_crs", "res"), "window_utils"),
}


def __getattr__(name: str) -> Any:
    """Import a public name, or a module that holds one."""
    if name in _HOMES:
        found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found
        return found
    if name in _HOMES.values():
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps ``save_cog`` and ``view`` functions: importing the submodules of these names would replace them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("save_cog", "view") and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
