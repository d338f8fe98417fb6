"""Files for viewers: one row per photometric interpretation, codec and interleave, with the expected picture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp

from foreign.cases import HOLE, PLACE, SHAPE, TILE_SIDE_PX
from georeader import GeoTensor, save_cog

#: Colour interpretations of the bands of each kind of picture.
KINDS = {
    "grey": "gray",
    "grey+alpha": "gray alpha",
    "white": "gray",
    "white+alpha": "gray alpha",
    "palette": "palette",
    "RGB": "red green blue",
    "RGBA": "red green blue alpha",
    "RGB+other": "red green blue undefined",
}

_COLORMAP = {value: (value, 255 - value, value // 2, 255) for value in range(256)}


@dataclass(frozen=True)
class Picture:
    """One file.

    Attributes:
        kind: One of `KINDS`.
        dtype: uint8 or uint16.
        codec: In lower case.
        interleave: "pixel" or "band".
    """

    kind: str
    dtype: str
    codec: str
    interleave: str = "pixel"

    @property
    def name(self) -> str:
        """What pytest and the file are called by."""
        return re.sub(r"\W+", "-", f"{self.kind} {self.dtype} {self.codec} {self.interleave}")

    @property
    def is_lossy(self) -> bool:
        """Whether pixels may differ from those that were saved."""
        return self.codec in ("jpeg", "webp")

    def raster(self) -> GeoTensor:
        """Return slopes that every codec keeps; alpha is 0 in a hole. No value is 0, which geotiff.js shows black."""
        names = KINDS[self.kind].split()
        rows, columns = np.indices(SHAPE)
        values = np.stack([(rows * (band + 1) + columns * 2) // 8 % 120 * 2 + 17 for band in range(len(names))])
        if names[-1] == "alpha":
            values[-1] = 255
            values[-1][HOLE] = 0
        attrs: dict[str, Any] = {"colorinterp": names}
        attrs |= {"photometric": "MINISWHITE"} if "white" in self.kind else {}
        attrs |= {"colormap": _COLORMAP} if self.kind == "palette" else {}
        values = (values * (257 if self.dtype == "uint16" and self.kind != "palette" else 1)).astype(self.dtype)
        return GeoTensor(values, *PLACE, None, attrs=attrs)

    def seen(self) -> np.ndarray[Any, Any]:
        """Return the expected picture, (row, column, channel) of 8-bit red, green, blue and alpha."""
        raster = self.raster()
        bands = raster.values // (257 if self.dtype == "uint16" and self.kind != "palette" else 1)
        if self.kind == "palette":
            return np.array([_COLORMAP[value] for value in range(256)], "uint8")[bands[0]]
        if "white" in self.kind:
            bands = np.concatenate([255 - bands[:1], bands[1:]])
        colours = bands[:3] if "RGB" in self.kind else bands[[0, 0, 0]]
        alpha = bands[-1] if "alpha" in KINDS[self.kind] else np.full(SHAPE, 255)
        return np.moveaxis(np.concatenate([colours, alpha[np.newaxis]]), 0, -1).astype("uint8")

    def save(self, path: Path, engine: str) -> Path:
        """Write the file by `save_cog`."""
        options = {"compress": self.codec, "interleave": self.interleave, "BLOCKSIZE": TILE_SIDE_PX}
        save_cog(self.raster(), path, profile_arg=options, engine=engine)
        return path

    def save_by_gdal(self, path: Path) -> Path:
        """Have GDAL's own driver write the same: COG, where it can, else GTiff, which takes the photometric."""
        raster = self.raster()
        source = f"/vsimem/{self.name}.tif"
        photometric = "MINISWHITE" if "white" in self.kind else "MINISBLACK"
        profile: dict[str, Any] = {"driver": "GTiff", "photometric": photometric, "ALPHA": "NO", "dtype": self.dtype}
        profile |= {"count": raster.count, "height": SHAPE[0], "width": SHAPE[1]}
        profile |= {"transform": PLACE[0], "crs": PLACE[1]}
        with rasterio.open(source, "w", **profile) as file:
            if self.kind == "palette":
                file.write_colormap(1, _COLORMAP)
            else:
                file.colorinterp = [ColorInterp[name] for name in raster.attrs["colorinterp"]]
            file.write(raster.values)
        if self.interleave == "pixel" and "white" not in self.kind:
            options = {"driver": "COG", "BLOCKSIZE": 128, "OVERVIEWS": "NONE"}
        else:
            options = {"driver": "GTiff", "TILED": "YES", "INTERLEAVE": self.interleave}
            options |= {"PHOTOMETRIC": photometric} if "white" in self.kind else {}
        rasterio.shutil.copy(source, path, COMPRESS=self.codec, **options)
        rasterio.shutil.delete(source)
        return path


def _pictures() -> list[Picture]:
    codecs = ("none", "lzw", "deflate", "zstd", "lzma", "packbits", "lerc")
    found = [
        Picture(kind, dtype, codec, interleave)
        for kind in KINDS
        for dtype in ("uint8", "uint16")
        for codec in codecs
        for interleave in (("pixel", "band") if " " in KINDS[kind] else ("pixel",))
    ]
    found += [Picture(kind, "uint8", "jpeg") for kind in ("grey", "white", "RGB", "RGBA")]
    found += [Picture(kind, "uint8", "webp") for kind in ("RGB", "RGBA", "RGB+other")]
    return found


PICTURES = _pictures()
