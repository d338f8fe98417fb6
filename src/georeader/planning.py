"""plan_export: what a save would write, how, and what that takes, without a pixel of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from georeader import save
from georeader._export.plan.export_plan import ExportPlan, PlannedCluster, PlannedLevel
from georeader._storage.urls import Destination
from georeader.errors import OptionError

if TYPE_CHECKING:
    from georeader.profile_options import Engine, ProfileArg

__all__ = ["ExportPlan", "PlannedCluster", "PlannedLevel", "plan_export"]


def plan_export(  # noqa: PLR0913
    data_save: save.Raster,
    path_tiff_save: save.DestinationArg,
    *,
    kind: str = "cog",
    descriptions: Sequence[str | None] | None = None,
    tags: Mapping[str, Any] | None = None,
    profile_arg: ProfileArg | None = None,
    fs: Any = None,
    nodata: float | None = None,
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
    reuse_tiles: bool = True,
    workers: int | None = None,
) -> ExportPlan:
    """Return what `save_cog` or `save_tiled_geotiff` would do with these arguments: a dry run.

    No pixel is computed, no task is submitted and nothing is written. Invalid input is refused with the errors and
    warnings of a save, as far as they are known before pixels are.

    The destination is checked, but no store and no server is asked, so that credentials are not needed: a local folder
    must exist, a local file may be replaced, a URL is valid, and the client of its store is installed. Whether a bucket
    exists, whether credentials are accepted, and whether an object is there with ``overwrite=False`` is not. The
    endpoint of S3 is that of ``fs`` or of AWS_ENDPOINT_URL. A blob of Azure is planned as blocks that workers send;
    where its URL cannot be signed, a save has one process send it.

    An object that declares no dtype is read as far as a save reads it to learn its dtype. A packed DataArray is planned
    in the dtype of its encoding.

    Args:
        data_save: As in `save_cog`.
        path_tiff_save: As in `save_cog`; it is not written.
        kind: "cog" for `save_cog`, or "tiled" for `save_tiled_geotiff`.
        descriptions: As in `save_cog`, as the following ones.
        tags: File-level metadata.
        profile_arg: Creation options.
        fs: A filesystem of fsspec or a store of obstore.
        nodata: Value of missing pixels.
        dir_tmpfiles: Folder for temporary files.
        profile: Another name of ``profile_arg``.
        blocksize: As in `save_tiled_geotiff`, with kind="tiled".
        engine: "auto", "stream" or "gdal".
        verify: No effect on the plan, but GDAL's engine refuses it.
        durable: No effect on the plan.
        overwrite: False: an existing local file is an error.
        http_headers: Headers of requests to http(s)://.
        max_memory: Memory that the save may hold beyond its source.
        progress: No effect on the plan.
        client: As in `save_cog`: the workers of a distributed.Client are counted. None: the current client, for
            dask-backed rasters. False: none.
        reuse_tiles: No effect on the plan, whose bounds hold for encoded tiles.
        workers: Number of workers of a cluster to plan for, without a client.

    Returns:
        An `ExportPlan`, frozen. ``print(plan)`` shows a few lines.

    Raises:
        GeoreaderError: One of its kinds, as from a save.

    Example:
        >>> import numpy as np
        >>> from affine import Affine
        >>> from georeader import GeoTensor, plan_export
        >>> gt = GeoTensor(np.zeros((1, 700, 600), "uint8"), Affine(10, 0, 0, 0, -10, 0), "EPSG:32630", nodata=255)
        >>> plan = plan_export(gt, "classes.tif", profile_arg={"compress": "none"})
        >>> [(level.height_px, level.width_px, level.tile_count) for level in plan.levels]
        [(700, 600, 9), (350, 300, 4), (175, 150, 1)]
        >>> plan
        <ExportPlan 'classes.tif': 1 x 700 x 600 uint8 by stream, at most 1.9 MiB>

        The same raster as chunks of dask, on a cluster of two workers:

        >>> import dask.array as da
        >>> import rioxarray, xarray
        >>> array = xarray.DataArray(da.zeros((50_000, 50_000), chunks=4096, dtype="uint16"), dims=("y", "x"))
        >>> array = array.rio.write_crs("EPSG:32630").rio.write_transform(gt.transform).rio.write_nodata(0)
        >>> plan = plan_export(array, "s3://bucket/scene.tif", profile_arg={"compress": "zstd"}, workers=2)
        >>> if plan.cluster:
        ...     print(plan.cluster.block_count, plan.cluster.source_chunk_count, plan.cluster.route)
        169 169 parts
    """
    if kind not in ("cog", "tiled"):
        raise OptionError(f"kind={kind!r} is unknown; allowed: cog, tiled")
    from georeader._export import dry_run  # codecs and engines take time to import

    request = save._parse_request(
        kind,
        Destination(path_tiff_save, fs, dir_tmpfiles, durable, overwrite, http_headers),
        profile_arg=profile_arg,
        profile=profile,
        blocksize=blocksize,
        descriptions=descriptions,
        tags=tags,
        nodata=nodata,
        engine=engine,
        verify=verify,
        max_memory=max_memory,
        progress=progress,
        client=client,
        reuse_tiles=reuse_tiles,
    )
    return dry_run.plan(data_save, request, workers)
