"""The nodata of 64-bit integers to the last digit, which rasterio passes as a double.

Writing: a GDAL sidecar file (PAM) takes the number as text. Reading: GDAL's description of a dataset as a
virtual raster (VRT) gives it as text.
"""

from __future__ import annotations

import re
from typing import Any

import rasterio.shutil
from rasterio.io import MemoryFile

_NODATA = re.compile(rb"<NoDataValue>\s*(-?\d+)\s*</NoDataValue>")


def nodata_sidecar(nodata: str, count: int) -> bytes:
    """Return the content of an ``.aux.xml`` file that declares ``nodata`` for all bands."""
    bands = "".join(
        f'<PAMRasterBand band="{band}"><NoDataValue>{nodata}</NoDataValue></PAMRasterBand>'
        for band in range(1, count + 1)
    )
    return f"<PAMDataset>{bands}</PAMDataset>".encode()


def read_wide_nodata(dataset: Any) -> int | None:
    """Give the first band's nodata of an open rasterio dataset of 64-bit integers, or None."""
    with MemoryFile(ext=".vrt") as description:
        rasterio.shutil.copy(dataset, description.name, driver="VRT")
        found = _NODATA.search(description.read())
    return int(found.group(1)) if found else None
