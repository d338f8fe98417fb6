"""Metadata that rasterio has no call for, as GDAL's XML: raster attribute tables, and the nodata of 64-bit integers.

They are read from GDAL's description of a dataset as a virtual raster (VRT). Category names become an attribute table,
since a GeoTIFF cannot hold them: GDAL from 3.12 on reads and writes attribute tables inside a GeoTIFF, earlier
releases in ``.aux.xml``. rasterio passes nodata as a double, which rounds 64-bit integers.
"""

from __future__ import annotations

import html
import mmap
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from georeader._core.reporting import warn_at_caller
from georeader._tiff.directories import TagNumber
from georeader._tiff.parser import BytesInMemory, read_directories
from georeader.errors import MetadataWarning

_BAND = re.compile(r'<VRTRasterBand [^>]*\bband="(\d+)"[^>]*>(.*?)(?=<VRTRasterBand [^>]*\bband="|\Z)', re.DOTALL)
_TABLE = re.compile(r"<GDALRasterAttributeTable\b.*?</GDALRasterAttributeTable>", re.DOTALL)
_CATEGORIES = re.compile(r"<CategoryNames>(.*?)</CategoryNames>", re.DOTALL)
_CATEGORY = re.compile(r"<Category>(.*?)</Category>|<Category\s*/>", re.DOTALL)
_ITEM = re.compile(r'<Item\b[^>]*\bsample="(\d+)"[^>]*\brole="rat"[^>]*>(.*?)</Item>', re.DOTALL)

_NODATA = re.compile(rb"<NoDataValue>\s*(-?\d+)\s*</NoDataValue>")

#: GDAL from this release on reads attribute tables inside a GeoTIFF.
_GDAL_READS_TABLES = (3, 12)

#: GDAL's numbers of a column's type and usage.
_INTEGER, _STRING, _NAME, _MIN_MAX = 0, 2, 2, 5


def read_attribute_tables(dataset: Any) -> tuple[str | None, ...]:
    """Return the attribute table of each band as GDAL's XML, None where there is none.

    Args:
        dataset: Open in rasterio.
    """
    tables: dict[int, str] = {}
    is_local = os.path.exists(dataset.name)  # noqa: PTH110
    if dataset.driver == "GTiff" and "?" in dataset.name and not is_local:
        # To list the files of a dataset, GDAL derives the name of a sidecar, which fails for a signed URL.
        return (None,) * len(dataset.indexes)
    is_described = dataset.driver != "GTiff" or any(name.endswith(".aux.xml") for name in dataset.files)
    if not is_described:
        tables = _tables_in_file(dataset.name)
        gdal = tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])
        is_described = gdal >= _GDAL_READS_TABLES and not is_local
    if is_described:
        tables = _tables_by_gdal(dataset)
    return tuple(tables.get(band) for band in dataset.indexes)


def table_of_categories(names: Sequence[str]) -> str:
    """Return the attribute table that names the values 0, 1, 2, ...

    Example:
        >>> "<F>1</F><F>water</F>" in table_of_categories(["none", "water"])
        True
    """
    columns = (("Value", _INTEGER, _MIN_MAX), ("Class", _STRING, _NAME))
    fields = "".join(
        f'<FieldDefn index="{number}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage></FieldDefn>'
        for number, (name, kind, usage) in enumerate(columns)
    )
    rows = "".join(
        f'<Row index="{value}"><F>{value}</F><F>{escape(name)}</F></Row>' for value, name in enumerate(names)
    )
    return f'<GDALRasterAttributeTable tableType="thematic">{fields}{rows}</GDALRasterAttributeTable>'


def _tables_by_gdal(dataset: Any) -> dict[int, str]:
    """Read the tables in GDAL's description of the dataset as a virtual raster."""
    try:
        with MemoryFile(ext=".vrt") as description:
            rasterio.shutil.copy(dataset, description.name, driver="VRT")
            text = description.read().decode("utf-8", "replace")
    except (RasterioError, CPLE_BaseError, SystemError):
        return {}
    found = {int(band): _table_of(int(band), content) for band, content in _BAND.findall(text)}
    return {band: table for band, table in found.items() if table is not None}


def _table_of(band: int, described: str) -> str | None:
    table, categories = _TABLE.search(described), _CATEGORIES.search(described)
    names = [html.unescape(name) for name in _CATEGORY.findall(categories[1])] if categories else []
    if table is None:
        return table_of_categories(names) if any(names) else None
    lost = [name for name in names if name and f">{escape(name)}<" not in table[0]]
    if lost:
        warn_at_caller(
            f"category names of band {band} are left out, since it has an attribute table without them: "
            f"{', '.join(lost[:3])}",
            MetadataWarning,
        )
    return table[0]


def _tables_in_file(path: str) -> dict[int, str]:
    """Read the tables in the first directory of a local GeoTIFF, which GDAL before 3.12 ignores."""
    text = _metadata_text(Path(path))
    return {int(sample) + 1: table[0] for sample, item in _ITEM.findall(text) if (table := _TABLE.search(item))}


def _metadata_text(path: Path) -> str:
    """Return GDAL's metadata in the first directory of a TIFF; empty if there are none, or no such file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            first = next(read_directories(BytesInMemory(data)))
            entry = first.entries.get(TagNumber.GDAL_METADATA)
            return "" if entry is None else entry.data().rstrip(b"\0").decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def nodata_sidecar(nodata: str, count: int) -> bytes:
    """Return the content of an ``.aux.xml`` file that declares ``nodata`` for all bands."""
    bands = "".join(
        f'<PAMRasterBand band="{band}"><NoDataValue>{nodata}</NoDataValue></PAMRasterBand>'
        for band in range(1, count + 1)
    )
    return f"<PAMDataset>{bands}</PAMDataset>".encode()


def read_int64_nodata(dataset: Any) -> int | None:
    """Return the first band's nodata of an open rasterio dataset of 64-bit integers, or None."""
    with MemoryFile(ext=".vrt") as description:
        rasterio.shutil.copy(dataset, description.name, driver="VRT")
        found = _NODATA.search(description.read())
    return int(found.group(1)) if found else None
