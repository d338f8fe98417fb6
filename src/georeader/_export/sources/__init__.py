"""Where pixels come from: one module for each kind of source, and `open_source`, which selects it for an object."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any

import numpy as np
from rasterio.io import BufferedDatasetWriter, DatasetReader, DatasetWriter
from rasterio.vrt import WarpedVRT

from georeader._core.reporting import import_extra
from georeader._core.sentinels import UNSET
from georeader._export.sources.geodata import check_place, open_array, open_windowed
from georeader._export.sources.protocol import Source
from georeader._export.spool import OpenSpool
from georeader.errors import GeoreferenceError
from georeader.geotensor import GeoTensor
from georeader.rasterio_reader import RasterioReader


def open_source(
    data: Any, missing: Any = UNSET, *, may_read: bool = True, open_spool: OpenSpool | None = None
) -> Source:
    """Open an object as a source; pixels are read only of one without a dtype, or of a packed DataArray.

    ``missing`` is the value of missing pixels in the file, where the caller passes one: for sources that have NaN in
    place of it. Unless ``may_read``, a packed DataArray is read only if it is in memory. Computed pixels that have no
    room in memory wait in a spool, if there is one; its owner closes it.
    """
    if isinstance(data, (str, bytes, os.PathLike)):
        data = RasterioReader(os.fsdecode(data) if isinstance(data, bytes) else data)
    if type(data) is RasterioReader:
        from georeader._export.sources.raster_file import open_reader

        return open_reader(data)
    if isinstance(data, (DatasetReader, DatasetWriter, BufferedDatasetWriter, WarpedVRT)):
        from georeader._export.sources.raster_file import open_dataset_source

        return open_dataset_source(data)
    xarray = sys.modules.get("xarray")
    if xarray is None or not isinstance(data, (xarray.DataArray, xarray.Dataset)):
        return _open_geodata(data, open_spool)
    import_extra("rioxarray", extra="xarray", purpose=f"the georeference of an xarray.{type(data).__name__}")
    from georeader._export.sources import xarray_source

    is_dataset = isinstance(data, xarray.Dataset)
    open_it = xarray_source.open_dataset if is_dataset else xarray_source.open_data_array
    return open_it(data, missing, may_read=may_read, open_spool=open_spool)


def _open_geodata(data: Any, open_spool: OpenSpool | None) -> Source:
    """Open an object of the GeoData protocol."""
    check_place(data)
    held = data if isinstance(data, GeoTensor) else inspect.getattr_static(data, "values", None)
    if hasattr(type(held), "__get__"):  # a property, or another descriptor, which might read the pixels
        held = None
    if isinstance(held, np.ndarray):
        return open_array(data, held)
    # Something that is cut by slices like an array: of dask, zarr or h5py.
    if held is not None and all(hasattr(type(held), name) for name in ("shape", "dtype", "__getitem__")):
        from georeader._export.sources.sliced import open_sliced

        return open_sliced(data, held, open_spool)
    if callable(inspect.getattr_static(data, "read_from_window", None)):
        return open_windowed(data)
    # The class first: the values of a lazy reader are read when the attribute is accessed.
    if not hasattr(type(data), "values") and not hasattr(data, "load") and not hasattr(data, "values"):
        raise GeoreferenceError(
            f"data_save is a {type(data).__name__} without pixels: it has neither 'values' nor 'load()'"
        )
    return open_array(data)
