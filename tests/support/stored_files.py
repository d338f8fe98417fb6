"""Tiled GeoTIFFs by many writers, and what other readers find in them: tiles as they are stored, pixels, metadata."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import tifffile
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rio_cogeo.cogeo import cog_translate
from rio_cogeo.profiles import cog_profiles

from foreign.processes import need
from georeader import GeoTensor, save_cog

HEIGHT_PX, WIDTH_PX = 620, 530
TRANSFORM, CRS = Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630"


def pixels(count: int = 3, dtype: str = "uint8") -> np.ndarray[Any, Any]:
    """Return smooth pixels, different in each band, with zeros in a corner."""
    rows, columns = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    bands = np.stack([(rows // (band + 2) + columns) % 250 + 1 for band in range(count)]).astype(dtype)
    bands[:, :200, :300] = 0
    return bands


def tensor(count: int = 3, dtype: str = "uint8", **keywords: Any) -> GeoTensor:
    """Return `pixels` with a place."""
    return GeoTensor(pixels(count, dtype), TRANSFORM, CRS, **{"fill_value_default": 0, **keywords})


def _ours(path: Path, count: int = 3, dtype: str = "uint8", **profile: Any) -> None:
    save_cog(
        tensor(count, dtype), path, tags={"model": "v1", "TIFFTAG_ARTIST": "M. Merian"}, profile_arg=profile,
        descriptions=[f"band {number}" for number in range(count)],
    )  # fmt: skip


def by_gdal_driver(
    path: Path, driver: str, *, count: int = 3, dtype: str = "uint8", mask: bool = False, nodata: Any = None,
    overviews: bool = True, **options: Any
) -> None:  # fmt: skip
    profile = {"count": count, "dtype": dtype, "height": HEIGHT_PX, "width": WIDTH_PX, "crs": CRS, "nodata": nodata}
    staged = path if driver == "GTiff" else path.with_name("staged.tif")
    tiled = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    own = options if driver == "GTiff" else {}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(staged, "w", driver="GTiff", transform=TRANSFORM, **profile, **tiled, **own) as dataset,
    ):
        dataset.write(pixels(count, dtype))
        dataset.update_tags(model="v1", TIFFTAG_ARTIST="M. Merian")
        dataset.update_tags(1, of="band")
        dataset.set_band_description(1, "first")
        dataset.scales, dataset.offsets = (0.5,) * count, (1.0,) * count
        if mask:
            dataset.write_mask(pixels(count)[0] != 0)
    if driver == "GTiff":
        if overviews:
            with rasterio.open(path, "r+") as dataset:
                dataset.build_overviews([2, 4], Resampling.nearest)
        return
    rasterio.shutil.copy(staged, path, driver="COG", BLOCKSIZE=256, **options)
    staged.unlink()


def _by_rio_cogeo(path: Path) -> None:
    staged = path.with_name("staged.tif")
    by_gdal_driver(staged, "GTiff", overviews=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cog_translate(staged, path, cog_profiles.get("deflate"), nodata=0, add_mask=True, quiet=True)
    staged.unlink()


def _by_odc_geo(path: Path) -> None:
    import odc.geo.cog
    import odc.geo.xr
    import xarray

    assert odc.geo.xr  # registers its accessor
    y, x = 4000000 - 10 * (np.arange(HEIGHT_PX) + 0.5), 500000 + 10 * (np.arange(WIDTH_PX) + 0.5)
    array = xarray.DataArray(pixels(1)[0], dims=("y", "x"), coords={"y": y, "x": x})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chunked = array.odc.assign_crs(CRS).chunk({"y": 256, "x": 256})
        odc.geo.cog.save_cog_with_dask(chunked, str(path), compression="deflate", blocksize=256).compute()


def _by_tifffile(path: Path, **options: Any) -> None:
    base = pixels(1)[0]
    with tifffile.TiffWriter(path, **options) as file:
        for level in range(3):
            step = 2**level
            file.write(
                np.ascontiguousarray(base[::step, ::step]), tile=(256, 256), compression="zlib", metadata=None,
                subfiletype=1 if level else 0, photometric="minisblack",
            )  # fmt: skip


def _by_tiffcp(path: Path) -> None:
    need("tiffinfo")
    staged = path.with_name("staged.tif")
    with rasterio.open(
        staged, "w", driver="GTiff", count=1, dtype="uint8", height=HEIGHT_PX, width=WIDTH_PX
    ) as dataset:
        dataset.write(pixels(1))
    subprocess.run(
        [str(shutil.which("tiffcp")), "-t", "-w", "256", "-l", "256", "-c", "lzw:2", staged, path], check=True
    )
    staged.unlink()


#: Tiled files by other programs and by this project, by their names.
FILES: dict[str, Callable[[Path], None]] = {
    "ours": lambda path: _ours(path, compress="zstd"),
    "ours, float32": lambda path: _ours(path, 1, "float32"),
    "ours, jpeg": lambda path: _ours(path, compress="jpeg"),
    "ours, bands": lambda path: _ours(path, 2, "int16", interleave="band", compress="deflate"),
    "ours, sparse": lambda path: _ours(path, SPARSE_OK="YES"),
    "ours, BigTIFF": lambda path: _ours(path, BIGTIFF="YES"),
    "COG driver": lambda path: by_gdal_driver(path, "COG", COMPRESS="DEFLATE", PREDICTOR="YES"),
    "COG driver, mask": lambda path: by_gdal_driver(path, "COG", mask=True, COMPRESS="LZW"),
    "COG driver, jpeg": lambda path: by_gdal_driver(path, "COG", mask=True, COMPRESS="JPEG"),
    "COG driver, BigTIFF": lambda path: by_gdal_driver(path, "COG", BIGTIFF="YES", COMPRESS="ZSTD"),
    "GTiff driver": lambda path: by_gdal_driver(path, "GTiff", compress="lzw"),
    "GTiff driver, mask": lambda path: by_gdal_driver(path, "GTiff", mask=True, compress="deflate"),
    "GTiff driver, jpeg": lambda path: by_gdal_driver(path, "GTiff", mask=True, compress="jpeg", photometric="ycbcr"),
    "GTiff driver, bands": lambda path: by_gdal_driver(path, "GTiff", interleave="band", compress="zstd", nodata=0),
    "GTiff driver, sparse": lambda path: by_gdal_driver(path, "GTiff", nodata=0, compress="lzw", SPARSE_OK="TRUE"),
    "GTiff driver, big-endian": lambda path: by_gdal_driver(
        path, "GTiff", count=2, dtype="uint16", compress="deflate", predictor=2, ENDIANNESS="BIG"
    ),
    "GTiff driver, big-endian BigTIFF": lambda path: by_gdal_driver(
        path, "GTiff", count=1, dtype="float32", compress="lzw", predictor=3, ENDIANNESS="BIG", BIGTIFF="YES"
    ),
    "GTiff driver, no overviews": lambda path: by_gdal_driver(path, "GTiff", overviews=False, compress="packbits"),
    "rio-cogeo": _by_rio_cogeo,
    "odc-geo": _by_odc_geo,
    "tifffile": _by_tifffile,
    "tifffile, big-endian": lambda path: _by_tifffile(path, byteorder=">"),
    "libtiff": _by_tiffcp,
}


def tile_digests(path: Path) -> dict[tuple[int, bool], list[str | None]]:
    """Return the SHA-256 of each tile as tifffile finds it, None for a sparse one, by (width, whether it is a mask)."""
    digests: dict[tuple[int, bool], list[str | None]] = {}
    with tifffile.TiffFile(path) as file, path.open("rb") as raw:
        for page in file.pages:
            found: list[str | None] = []
            for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
                raw.seek(offset)
                found.append(hashlib.sha256(raw.read(size)).hexdigest() if size else None)
            digests[page.imagewidth, bool(page.subfiletype & 4)] = found
    return digests


def facts_by_gdal(path: Path) -> dict[str, Any]:
    """Return what GDAL reads: pixels and masks of all levels, georeference, metadata of the file and its bands."""
    facts: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as dataset:
            overviews = dataset.overviews(1)
            facts |= {
                "crs": dataset.crs, "transform": dataset.transform, "nodata": dataset.nodata,
                "dtypes": dataset.dtypes, "tags": dataset.tags(), "descriptions": dataset.descriptions,
                "scales": dataset.scales, "offsets": dataset.offsets, "units": dataset.units,
                "colorinterp": dataset.colorinterp, "overviews": overviews,
                "band tags": [dataset.tags(band) for band in dataset.indexes], "gcps": dataset.gcps[0],
                "colormap": dataset.colormap(1) if dataset.colorinterp[0] is ColorInterp.palette else None,
            }  # fmt: skip
        for level in range(-1, len(overviews)):
            options = {} if level < 0 else {"OVERVIEW_LEVEL": level}
            with rasterio.open(path, **options) as dataset:
                facts[f"pixels {level}"] = dataset.read().tobytes()
                facts[f"mask {level}"] = dataset.dataset_mask().tobytes()
    return facts
