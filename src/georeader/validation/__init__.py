"""Validation: whether a file is a good Cloud Optimized GeoTIFF, and what is in it.

`validate` measures a file (`measure`), judges the measurement (`judge`) and returns a `Report`; `info` returns layout,
pyramid and georeference as an `Info`.
"""

from __future__ import annotations

import os
from typing import Any

from georeader._readers.byte_source import open_bytes
from georeader._readers.measurement import Measurement
from georeader._storage.redaction import redact_url
from georeader.rasterio_reader import RasterioReader
from georeader.validation.histogram import BandHistogram
from georeader.validation.histogram_reader import read_histograms
from georeader.validation.judge import judge
from georeader.validation.judge_clients import judge_clients
from georeader.validation.measure import Tiles, measure
from georeader.validation.problems import Problem, Severity
from georeader.validation.reports import Info, RasterFacts, Report
from georeader.window_utils import describe_crs

__all__ = ["BandHistogram", "Info", "Measurement", "Problem", "Report", "Severity", "info", "validate"]


def validate(path: str | os.PathLike[str], *, fs: Any = None, strict: bool = False, decode: bool = True) -> Report:
    """Check whether a file is a good Cloud Optimized GeoTIFF (OGC 21-026).

    The checks are those of GDAL's and rio-cogeo's validators, and more: every tile decodes to as many pixels as it has,
    leaders and trailers match, no two tiles overlap, nothing lies past the end, overviews and masks go with the raster.
    The report also has the requests that a viewer makes to open the file, and notes on what no browser decodes, which
    have no effect on the verdict. Codes of problems and notes, and the rules: docs/validation.md.

    Args:
        path: Local path or URL, as `georeader.RasterioReader` takes them, but for GDAL's virtual filesystems.
        fs: A filesystem of fsspec or a store of obstore, used for any scheme of the path.
        strict: Warnings count as errors do.
        decode: Read and decode all tiles. False: only the header is read, and of a local file what stands around tiles.

    Returns:
        A report, which is true where the file is good. A malformed file, or one that is not a TIFF, is reported as
        not valid; no error is raised for it.

    Raises:
        ReadError: There is no such file, or it cannot be read.
        MissingExtraError: What the URL needs is not installed.

    Memory: some megabytes, 50 bytes a tile, and a few decoded tiles; half a gigabyte at most, for any file.
    Time: about that of decoding all tiles on all processors.

    Example:
        >>> import numpy as np
        >>> from georeader import GeoTensor, save_cog
        >>> _ = save_cog(GeoTensor(np.ones((600, 600), "uint8"), (10, 0, 0, 0, -10, 0), 3857, 0), "scene.tif")
        >>> report = validate("scene.tif")
        >>> report.is_valid, report.errors
        (True, ())
        >>> report.measurement.viewer
        ViewerCost(opens by 1 requests, 10068 bytes; thumbnail of 300 x 300 by 0, 0 bytes)
    """
    tiles = Tiles.DECODED if decode else Tiles.FRAMED
    with open_bytes(path, fs) as source:
        measurement = measure(source, tiles=tiles)
    return Report(
        redact_url(os.fsdecode(path)), measurement, judge(measurement), strict, notes=judge_clients(measurement)
    )


def info(path: str | os.PathLike[str], *, fs: Any = None, histogram: bool = False) -> Info:
    """Return layout, pyramid and georeferencing of a file. No tile is read, but for histograms.

    Args:
        path: Local path or URL, as `georeader.RasterioReader` takes them, but for GDAL's virtual filesystems.
        fs: A filesystem of fsspec or a store of obstore, used for any scheme of the path.
        histogram: Also read how often values occur in each of the first 8 bands: in the smallest overview whose longer
            side has 512 pixels or more, or in all of the raster if there is none.

    Returns:
        Facts that print as a table. A raster that is not a TIFF has no layout.

    Raises:
        ReadError: There is no such file, or it is not a raster.
        MissingExtraError: What the URL needs is not installed.

    Example:
        >>> import numpy as np
        >>> from georeader import GeoTensor, save_cog
        >>> ones = GeoTensor(np.ones((600, 500), "uint8"), (10, 0, 0, 0, -10, 0), 3857, fill_value_default=0)
        >>> _ = save_cog(ones, "scene.tif", profile_arg={"compress": "none"})
        >>> print(info("scene.tif"))
        scene.tif
          pixels   500 x 600, 1 band of uint8
          bands    1 gray
          validity nodata 0
          crs      EPSG:3857, WGS 84 / Pseudo-Mercator
          pixel    10 x 10
          bounds   (0, -6000, 5000, 0)
          tags     2
          layout   classic TIFF, little-endian, 577 KiB, GDAL's structural metadata
          level  pixels     tile       tiles  bytes    stored as
          0      500 x 600  256 x 256  6      384 KiB  none
          1      250 x 300  256 x 256  2      128 KiB  none
          2      125 x 150  256 x 256  1      64 KiB   none
    """
    with open_bytes(path, fs) as source:
        measurement = measure(source, tiles=Tiles.UNREAD)
    reader = RasterioReader(path, fs=fs)
    crs = reader.crs
    facts = RasterFacts(
        width_px=reader.width,
        height_px=reader.height,
        bands=reader.count,
        dtype=str(reader.dtype),
        crs=_name_of(crs) if crs is not None else None,
        epsg=crs.to_epsg() if crs is not None else None,
        pixel_size=reader.res,
        bounds=reader.bounds,
        nodata=reader.nodata,
        descriptions=tuple(reader.descriptions),
        colours=tuple(reader.attrs.get("colorinterp", ["undefined"] * reader.count)),
        tags=len(reader.tags()),
        has_mask=reader.has_mask,
    )
    histograms = read_histograms(reader) if histogram else ()
    return Info(redact_url(os.fsdecode(path)), facts, measurement, histograms)


def _name_of(crs: Any) -> str:
    """Return the name of a CRS, or the description of `describe_crs` if it has none."""
    wkt = crs.to_wkt()
    name = wkt.split('"')[1] if '"' in wkt else "unnamed"
    return describe_crs(crs) if name in ("unknown", "unnamed") else name
