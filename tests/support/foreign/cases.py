"""Files for every foreign reader: one row per layout of a COG."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from georeader import GeoTensor, save_cog

#: Odd, so that tiles at the edges are cut and overviews are rounded up.
SHAPE = (139, 205)

#: With SHAPE, 12 tiles and two overviews.
TILE_SIDE_PX = 64

#: Part of the full resolution that each reader is asked for, as (first, end) of rows and of columns: it crosses tiles
#: both ways and reaches the tiles that are cut.
WINDOW = ((60, 139), (50, 180))

#: Rows and columns of the pixels that are missing, where some are.
HOLE = np.s_[40:110, 60:150]

PLACE = (Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")

#: Which engines write the files.
ENGINES = ("stream", "gdal")

_BAND = {"interleave": "BAND"}


@dataclass(frozen=True, eq=False)
class Case:
    """One file.

    Attributes:
        dtype: Of its pixels.
        bands: How many.
        options: profile_arg, beyond the tile size.
        holes: Which pixels are missing: "" none; "nodata" some, by a value; "NaN" some; "empty tiles" all but one
            corner, by a nodata value; "alpha" some, by a last band of 0 and 255; "mask" some, by a mask. Not about
            holes is "runs": noise and then a run of one value in each tile of 128 x 128 pixels, such that LZW's table
            fills up within the run. That is where a stream has its highest codes, and readers differ in how large a
            table they keep.
    """

    dtype: str
    bands: int
    options: Mapping[str, Any] = field(default_factory=dict)
    holes: str = ""

    @property
    def name(self) -> str:
        """What pytest and the file are called by."""
        options = " ".join(f"{key.lower()}={value}" for key, value in self.options.items())
        words = (options.replace("compress=", "", 1), f"{self.bands}x{self.dtype}", self.holes)
        return re.sub(r"[^\w=.]+", "-", " ".join(word for word in words if word))

    @property
    def codec(self) -> str:
        """Name of the codec, in lower case."""
        return str(self.options["compress"])

    @property
    def is_lossy(self) -> bool:
        """Whether the file's pixels may differ from those that were saved."""
        return self.codec == "jpeg" or (self.codec == "webp" and "WEBP_LOSSLESS" not in self.options)

    def pixels(self) -> np.ndarray[Any, Any]:
        """(band, row, column): slopes, which a predictor shortens and JPEG keeps, and a little noise."""
        if self.holes == "runs":
            return self._runs()
        rng = np.random.default_rng(len(self.name))
        rows, columns = np.indices(SHAPE)
        slopes = np.stack([rows * (band + 1) + columns * 2 for band in range(self.bands)]) / 8
        values = slopes + rng.normal(size=slopes.shape) + 20
        kind = np.dtype(self.dtype).kind
        values = values * {"i": -1}.get(kind, 1) if self.dtype != "int8" else values - 100
        scale = {1: 1, 2: 100, 4: 1e5, 8: 1e11}[np.dtype(self.dtype).itemsize] if kind in "iu" else 1
        pixels = np.ascontiguousarray(values * scale).astype(self.dtype)
        return self._with_holes(pixels)

    def _runs(self) -> np.ndarray[Any, Any]:
        """LZW of 3,800 random bytes takes about 3,700 codes of the table's 3,838, the run over 100."""
        rng = np.random.default_rng(3)
        pixels = rng.integers(0, 256, (self.bands, *SHAPE)).astype(self.dtype)
        rows, columns = np.indices(SHAPE) % 128
        pixels[:, rows * 128 + columns >= 3800] = 7
        return pixels

    def _with_holes(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if self.holes == "NaN":
            pixels[:, *HOLE] = np.nan
        elif self.holes == "nodata":
            pixels[:, *HOLE] = self.nodata
        elif self.holes == "empty tiles":
            kept = pixels[:, 70:120, 80:190].copy()
            pixels[:] = self.nodata
            pixels[:, 70:120, 80:190] = kept
        elif self.holes == "alpha":
            pixels[-1] = 255
            pixels[-1][HOLE] = 0
        return pixels

    def _attrs(self) -> dict[str, Any]:
        if self.holes == "alpha":
            return {"colorinterp": ["red", "green", "blue", "alpha"]}
        if self.holes == "mask":
            mask = np.full(SHAPE, True)
            mask[HOLE] = False
            return {"mask": mask}
        return {}

    @property
    def nodata(self) -> float | None:
        """The value of missing pixels, if there is one."""
        return {"nodata": 7, "empty tiles": 7, "NaN": np.nan}.get(self.holes)

    def save(self, folder: Path, engine: str) -> Path:
        """Write the file into a folder; return its path."""
        path = folder / f"{self.name}.tif"
        tensor = GeoTensor(self.pixels(), *PLACE, fill_value_default=self.nodata, attrs=self._attrs())
        tiles = {"BLOCKXSIZE": TILE_SIDE_PX, "BLOCKYSIZE": TILE_SIDE_PX}
        save_cog(tensor, path, profile_arg={**tiles, **self.options}, engine=engine)
        return path


def _codecs() -> list[Case]:
    """Each codec with the dtypes, bands and interleaves that most rasters have."""
    found = []
    for codec in ("none", "lzw", "deflate", "zstd", "lzma", "packbits", "lerc"):
        options = {"compress": codec}
        unpredicted = {"predictor": "NO"} if codec in ("lzw", "deflate", "zstd") else {}
        found += [
            Case("uint8", 1, options),
            Case("uint8", 3, options),
            Case("int16", 3, options | _BAND | unpredicted, "nodata"),
            Case("uint16", 4, options),
            Case("float32", 1, options, "NaN"),
        ]
    found += [Case("int16", 3, {"compress": codec}) for codec in ("lerc_deflate", "lerc_zstd")]
    found.append(Case("float32", 3, {"compress": "lerc"}, "NaN"))
    return found


def _predictors() -> list[Case]:
    """Each predictor at each width, for pixel and for band interleave."""
    found = []
    for codec in ("lzw", "deflate", "zstd"):
        two, three = {"compress": codec, "predictor": 2}, {"compress": codec, "predictor": 3}
        found += [Case("uint8", 3, two), Case("int16", 1, two), Case("uint16", 3, two | _BAND), Case("uint16", 4, two)]
        found += [Case("float32", 1, three, "NaN"), Case("float32", 3, three), Case("float64", 3, three | _BAND)]
    zstd = {"compress": "zstd", "predictor": 2}
    found += [Case(dtype, 3, zstd) for dtype in ("int32", "uint32", "float32", "int64", "uint64", "float64")]
    return found


def _others() -> list[Case]:
    """Wide and narrow dtypes; pictures; layouts."""
    zstd, lzw = {"compress": "zstd"}, {"compress": "lzw", "predictor": "NO"}
    sparse, big, oblong = {"SPARSE_OK": "YES"}, {"BIGTIFF": "YES"}, {"BLOCKXSIZE": 128, "BLOCKYSIZE": 32}
    return [
        *(Case(dtype, 2, zstd) for dtype in ("int8", "uint32", "int64", "uint64", "float64")),
        *(Case("uint8", bands, {"compress": "jpeg", "QUALITY": 90}) for bands in (1, 3)),
        Case("uint8", 4, {"compress": "jpeg", "QUALITY": 90}, "alpha"),
        Case("uint8", 3, {"compress": "jpeg", "QUALITY": 90}, "mask"),
        Case("uint16", 1, zstd, "mask"),
        Case("uint8", 3, lzw | _BAND, "mask"),
        *(Case("uint8", bands, {"compress": "webp", "QUALITY": 90}) for bands in (3, 4)),
        *(Case("uint8", bands, {"compress": "webp", "WEBP_LOSSLESS": True}) for bands in (3, 4)),
        Case("uint16", 1, zstd | sparse, "empty tiles"),
        Case("uint8", 3, lzw | sparse | _BAND, "empty tiles"),
        Case("uint16", 1, lzw | big),
        Case("uint16", 3, zstd | big | sparse | _BAND | {"predictor": 2}, "empty tiles"),
        Case("uint16", 1, lzw | {"BLOCKXSIZE": 16, "BLOCKYSIZE": 16}),
        Case("uint8", 3, lzw | oblong),
        Case("float32", 3, {"compress": "deflate", "predictor": 3} | oblong | _BAND),
        Case("uint8", 3, lzw | {"OVERVIEWS": "NONE"}),
        Case("uint8", 1, lzw | {"BLOCKXSIZE": 128, "BLOCKYSIZE": 128}, "runs"),
    ]


CASES = [*_codecs(), *_predictors(), *_others()]

#: Files that few readers can open at all.
JPEG_XL = [
    Case(dtype, bands, {"compress": "jxl", "JXL_LOSSLESS": True}) for dtype, bands in (("uint8", 3), ("uint16", 1))
]
