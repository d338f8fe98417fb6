"""The accessor ``georeader`` of xarray's DataArrays and Datasets: saves them as GeoTIFFs, and draws them.

``import georeader.xarray`` registers it. docs/xarray.md describes what becomes of coordinates, attributes and
encodings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from georeader import save
from georeader._core.reporting import import_extra
from georeader._render.bands import BandSelector
from georeader.collection import RAISE, CollectionResult, SaveOptions, save_collection
from georeader.preview import MAX_SIDE_DEFAULT_PX, Png, preview

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

    from georeader._export.receipt.receipt import Receipt
    from georeader.profile_options import Engine, ProfileArg


class RasterAccessor:
    """The accessor ``georeader`` of a DataArray or a Dataset, registered by ``import georeader.xarray``.

    Example:
        >>> import numpy as np
        >>> import xarray
        >>> import georeader.xarray
        >>> from georeader import RasterioReader
        >>> places = {"y": 3999995 - 10 * np.arange(60.0), "x": 500005 + 10 * np.arange(50.0)}
        >>> ndvi = xarray.DataArray(np.zeros((60, 50), "float32"), places, name="NDVI", attrs={"crs": "EPSG:32630"})
        >>> _ = ndvi.georeader.to_cog("ndvi.tif", profile_arg={"compress": "zstd"})
        >>> RasterioReader("ndvi.tif").descriptions
        ['NDVI']
    """

    def __init__(self, data: DataArray | Dataset) -> None:
        self._data = data

    def to_cog(  # noqa: PLR0913
        self,
        path: save.DestinationArg,
        descriptions: Sequence[str | None] | None = None,
        tags: Mapping[str, Any] | None = None,
        profile_arg: ProfileArg | None = None,
        fs: Any = None,
        nodata: float | None = None,
        *,
        dir_tmpfiles: str | os.PathLike[str] | None = None,
        profile: ProfileArg | None = None,
        engine: Engine = "auto",
        verify: bool = False,
        durable: bool = False,
        overwrite: bool = True,
        http_headers: Mapping[str, str] | None = None,
        max_memory: int | str = save._MAX_MEMORY_UNSET,
        progress: bool | Callable[[int, int], Any] = False,
        client: Any = None,
        compute: bool = True,
        reuse_tiles: bool = True,
    ) -> Receipt:
        """Save as a Cloud Optimized GeoTIFF, by `georeader.save_cog`, whose arguments, receipt and errors these are.

        With ``compute=False``, as in xarray, nothing is computed yet, and a `dask.delayed.Delayed` of the receipt is
        returned.
        """
        return save.save_cog(
            self._data,
            path,
            descriptions,
            tags,
            profile_arg,
            fs,
            nodata,
            dir_tmpfiles=dir_tmpfiles,
            profile=profile,
            engine=engine,
            verify=verify,
            durable=durable,
            overwrite=overwrite,
            http_headers=http_headers,
            max_memory=max_memory,
            progress=progress,
            client=client,
            compute=compute,
            reuse_tiles=reuse_tiles,
        )

    def to_tiled_geotiff(  # noqa: PLR0913
        self,
        path: save.DestinationArg,
        descriptions: Sequence[str | None] | None = None,
        tags: Mapping[str, Any] | None = None,
        profile_arg: ProfileArg | None = None,
        fs: Any = None,
        nodata: float | None = None,
        *,
        dir_tmpfiles: str | os.PathLike[str] | None = None,
        profile: ProfileArg | None = None,
        blocksize: int = save._BLOCKSIZE_UNSET,
        engine: Engine = "auto",
        verify: bool = False,
        durable: bool = False,
        overwrite: bool = True,
        http_headers: Mapping[str, str] | None = None,
        max_memory: int | str = save._MAX_MEMORY_UNSET,
        progress: bool | Callable[[int, int], Any] = False,
        client: Any = None,
        compute: bool = True,
        reuse_tiles: bool = True,
    ) -> Receipt:
        """Save as a tiled GeoTIFF without overviews, by `georeader.save_tiled_geotiff`, with its arguments.

        ``compute=False`` is that of `to_cog`.
        """
        return save.save_tiled_geotiff(
            self._data,
            path,
            descriptions,
            tags,
            profile_arg,
            fs,
            nodata,
            dir_tmpfiles=dir_tmpfiles,
            profile=profile,
            blocksize=blocksize,
            engine=engine,
            verify=verify,
            durable=durable,
            overwrite=overwrite,
            http_headers=http_headers,
            max_memory=max_memory,
            progress=progress,
            client=client,
            compute=compute,
            reuse_tiles=reuse_tiles,
        )

    def to_collection(  # noqa: PLR0913
        self,
        path_template: str | os.PathLike[str],
        *,
        dim: str | Sequence[str],
        chunk_px: int | tuple[int, int] | None = None,
        n_workers: int | None = None,
        executor: Any = "thread",
        on_item_error: str = RAISE,
        skip_existing: bool = False,
        progress: bool | Callable[[int, int], Any] = False,
        stac: bool = True,
        index: bool = True,
        collection_id: str | None = None,
        title: str | None = None,
        description: str | None = None,
        license: str = "other",  # noqa: A002  (as STAC calls it)
        properties: Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        **save_options: Unpack[SaveOptions],
    ) -> CollectionResult:
        """Save each step of an axis, variable or chunk, by `georeader.save_collection`, with its arguments."""
        return save_collection(
            self._data,
            path_template,
            dim=dim,
            chunk_px=chunk_px,
            n_workers=n_workers,
            executor=executor,
            on_item_error=on_item_error,
            skip_existing=skip_existing,
            progress=progress,
            stac=stac,
            index=index,
            collection_id=collection_id,
            title=title,
            description=description,
            license=license,
            properties=properties,
            **save_options,
        )

    def preview(
        self,
        *,
        max_side_px: int = MAX_SIDE_DEFAULT_PX,
        bands: BandSelector | None = None,
        percentiles: tuple[float, float] | None = None,
        colormap: str | None = None,
        legend: bool = False,
        class_names: Mapping[int, str] | None = None,
    ) -> Png:
        """Return a picture as a PNG, by `georeader.preview.preview`, with its arguments and errors."""
        return preview(
            self._data,
            max_side_px=max_side_px,
            bands=bands,
            percentiles=percentiles,
            colormap=colormap,
            legend=legend,
            class_names=class_names,
        )


_xarray = import_extra("xarray", extra="xarray", purpose="georeader.xarray")
for _register in (_xarray.register_dataarray_accessor, _xarray.register_dataset_accessor):
    _register("georeader")(RasterAccessor)
