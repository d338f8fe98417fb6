"""The kinds of file that clients open: one row each, written by save_cog, and by GDAL beside it as control."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from georeader import GeoTensor, save_cog
from georeader._export.receipt.receipt import Receipt

#: Three by two tiles of 256 pixels and two overviews; two tiles of 512 and one.
SHAPE = (420, 600)

#: Patches of one value (and a little noise), so that pixels at their centres are the same in every codec.
PATCH_PX = 60

#: Rows and columns of pixels that are missing: they cross tiles of every size.
HOLE = np.s_[120:300, 180:360]

#: Web Mercator at zoom 14 on its own grid of pixels: a web map shows a pixel of the file as a pixel of the screen.
ZOOM = 14
PIXEL_M = 2 * 20037508.342789244 / 256 / 2**ZOOM
TILE_X, TILE_Y = 8192, 5461
WEB_MERCATOR = (
    Affine(PIXEL_M, 0, 0.0, 0, -PIXEL_M, 20037508.342789244 - TILE_Y * 256 * PIXEL_M),
    "EPSG:3857",
)
UTM = (Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")

_COLORMAP = {value: (value, 255 - value, value // 2, 255) for value in range(256)}


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of file.

    Attributes:
        codec: In lower case.
        dtype: Of its pixels.
        bands: How many.
        options: Further options of profile_arg; by default no predictor.
        holes: How pixels are missing: "" none; a number or "nan" by that nodata value; "mask"; "alpha".
        colours: "grey", "RGB", "white" (MINISWHITE), "palette", or "bands" without meaning.
        is_sparse: Whether all but one tile is missing.
        place: Transform and CRS.
        scale: Factor and summand of physical values, where there are some.
    """

    codec: str
    dtype: str
    bands: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    holes: str = ""
    colours: str = "grey"
    is_sparse: bool = False
    place: tuple[Affine, str] = WEB_MERCATOR
    scale: tuple[float, float] | None = None

    @cached_property
    def name(self) -> str:
        """Short description: what the table and pytest call it."""
        predictor = self.options.get("predictor", "NO")
        words = [self.codec, f"predictor {predictor}" if predictor != "NO" else "", f"{self.bands} x {self.dtype}"]
        words += [self.colours if self.colours not in ("grey", "bands") else ""]
        words += ["lossless"] if "WEBP_LOSSLESS" in self.options else []
        words += ["stored as RGB"] if "photometric" in self.options and self.codec == "jpeg" else []
        words += ["by band"] if self.options.get("interleave") == "BAND" else []
        words += [f"tiles of {self.tile_side_px}"] if self.tile_side_px != 256 else []
        words += ["BigTIFF"] if "BIGTIFF" in self.options else []
        words += ["sparse"] if self.is_sparse else []
        words += ["no overviews"] if "OVERVIEWS" in self.options else []
        words += [f"nodata {self.holes}" if self.nodata is not None else self.holes]
        words += ["UTM"] if self.place is UTM else []
        words += ["scale, offset"] if self.scale else []
        return ", ".join(word for word in words if word)

    @property
    def file_name(self) -> str:
        return re.sub(r"[^\w.-]+", "-", self.name) + ".tif"

    @property
    def tile_side_px(self) -> int:
        return int(self.options.get("BLOCKSIZE", 256))

    @property
    def nodata(self) -> float | None:
        return None if self.holes in ("", "mask", "alpha") else float(self.holes)

    @property
    def is_lossy(self) -> bool:
        """Whether the file's pixels may differ from those that were saved."""
        return self.codec == "jpeg" or (self.codec == "webp" and "WEBP_LOSSLESS" not in self.options)

    @property
    def value_range(self) -> tuple[float, float]:
        """Return the values that a viewer is told to draw black and white."""
        if self.dtype == "uint8":
            return 0, 255
        top = {"int8": 120, "uint16": 60000, "int16": 30000}.get(self.dtype, 100000)
        return (-top if self.dtype.startswith("int") else 0), top

    @cached_property
    def pixels(self) -> np.ndarray[Any, Any]:
        """(band, row, column): patches of random values with noise, none of them nodata but in the holes."""
        rng = np.random.default_rng(len(self.name))
        low, high = self.value_range
        span = high - low
        size = (self.bands, SHAPE[0] // PATCH_PX, SHAPE[1] // PATCH_PX)
        patches = rng.uniform(low + 0.1 * span, high - 0.1 * span, size).repeat(PATCH_PX, 1).repeat(PATCH_PX, 2)
        values = patches + rng.normal(size=patches.shape) * span / 400
        is_complex = np.dtype(self.dtype).kind == "c"
        pixels = (values + 1j * values[:, ::-1] if is_complex else values).astype(self.dtype)
        if self.nodata is not None:
            pixels[:, ~self.seen] = self.nodata
        elif self.holes == "alpha":
            pixels[-1] = np.where(self.seen, 255, 0)
        return pixels

    @cached_property
    def seen(self) -> np.ndarray[Any, Any]:
        """(row, column): True where pixels are not missing."""
        seen = np.full(SHAPE, not self.is_sparse)
        if self.is_sparse:
            seen[:256, :256] = True
        if self.holes:
            seen[HOLE] = False
        return seen

    @property
    def _interpretation(self) -> list[str]:
        names = {"RGB": ["red", "green", "blue"], "palette": ["palette"]}.get(self.colours, ["gray"])
        names = names if self.colours != "bands" else ["undefined"] * self.bands
        return [*names, "alpha"] if self.holes == "alpha" else names

    def save(self, path: Path) -> Receipt:
        """Write the file by save_cog."""
        attrs: dict[str, Any] = {"colorinterp": self._interpretation}
        attrs |= {"colormap": _COLORMAP} if self.colours == "palette" else {}
        attrs |= {"photometric": "MINISWHITE"} if self.colours == "white" else {}
        attrs |= {"mask": self.seen} if self.holes == "mask" else {}
        attrs |= {"scales": [self.scale[0]], "offsets": [self.scale[1]]} if self.scale else {}
        tensor = GeoTensor(self.pixels, *self.place, fill_value_default=self.nodata, attrs=attrs)
        options = {"compress": self.codec, **self.options}
        options |= {"predictor": "NO"} if self.has_predictors and "predictor" not in options else {}
        descriptions = [f"b{number + 1}" for number in range(self.bands)]
        return save_cog(tensor, path, descriptions, profile_arg=options)

    @property
    def has_predictors(self) -> bool:
        return self.codec in ("lzw", "deflate", "zstd")

    def save_by_gdal(self, path: Path) -> bool:
        """Have GDAL write the same: by its COG driver, or where that cannot by its GTiff driver in COG order.

        Returns:
            False: This GDAL has neither, such as a build without JPEG XL.
        """
        photometric = {"photometric": "MINISWHITE"} if self.colours == "white" else {}
        profile = {"driver": "GTiff", "dtype": self.dtype, "count": self.bands, "height": SHAPE[0], "width": SHAPE[1]}
        profile |= {"transform": self.place[0], "crs": self.place[1], "nodata": self.nodata, **photometric}
        options = {key: value for key, value in self.options.items() if key not in ("BLOCKSIZE", "photometric")}
        if self.has_predictors:
            words = {"NO": 1, 2: 2, 3: 3} if self._needs_gtiff else {"NO": "NO", 2: "STANDARD", 3: "FLOATING_POINT"}
            options["predictor"] = words[options.get("predictor", "NO")]
        if self.is_sparse:
            options |= {"SPARSE_OK": "YES"}
        with MemoryFile() as memory, rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            with memory.open(**profile) as source:
                if self.colours == "palette":
                    source.write_colormap(1, _COLORMAP)
                source.colorinterp = [ColorInterp[name] for name in self._interpretation]
                if self.scale:
                    source.scales, source.offsets = [self.scale[0]], [self.scale[1]]
                source.write(self.pixels)
                if self.holes == "mask":
                    source.write_mask(self.seen)
                if self._needs_gtiff and "OVERVIEWS" not in options:
                    source.build_overviews([2, 4] if self.tile_side_px <= 256 else [2], Resampling.nearest)
            try:
                if self._needs_gtiff:
                    sides = {"BLOCKXSIZE": self.tile_side_px, "BLOCKYSIZE": self.tile_side_px}
                    options |= {"driver": "GTiff", "TILED": "YES", "COPY_SRC_OVERVIEWS": "YES", **sides, **photometric}
                else:
                    options |= {"driver": "COG", "BLOCKSIZE": self.tile_side_px, "RESAMPLING": "NEAREST"}
                    options |= {"OVERVIEW_RESAMPLING": "NEAREST"}
                    options = self._in_words_of_the_cog_driver(options)
                rasterio.shutil.copy(memory.name, path, COMPRESS=self.codec, **options)
            except (RasterioError, CPLE_BaseError):
                return False
        return True

    @staticmethod
    def _in_words_of_the_cog_driver(options: dict[str, Any]) -> dict[str, Any]:
        if "WEBP_LOSSLESS" in options or "JXL_LOSSLESS" in options:
            options = {k: v for k, v in options.items() if k not in ("WEBP_LOSSLESS",)} | {"QUALITY": 100}
        return options

    @property
    def _needs_gtiff(self) -> bool:
        """Whether the COG driver of all versions of GDAL lacks an option."""
        return "interleave" in self.options or "photometric" in self.options or self.colours == "white"


def _codecs() -> list[Kind]:
    """Each codec, with the predictors that suit it, on a picture, on counts with nodata, and on floats with NaN."""
    two, three = {"predictor": 2}, {"predictor": 3}
    found = []
    for codec in ("lzw", "deflate", "zstd"):
        found += [
            Kind(codec, "uint8", 3, colours="RGB"),
            Kind(codec, "uint16", 1, two, holes="0"),
            Kind(codec, "float32", 1, three, holes="nan"),
        ]
    return [
        *found,
        Kind("deflate", "float32", 1, two, holes="nan"),
        Kind("deflate", "float32", 1, holes="-9999"),
        Kind("none", "uint8", 3, colours="RGB"),
        Kind("packbits", "uint8", 1, holes="0"),
        Kind("lzma", "uint16", 1, holes="0"),
        Kind("lerc", "uint16", 1, holes="0"),
        Kind("lerc", "float32", 1, holes="nan"),
        Kind("lerc_deflate", "uint8", 3, colours="RGB"),
        Kind("lerc_zstd", "float32", 1, holes="nan"),
        Kind("jpeg", "uint8", 1),
        Kind("jpeg", "uint8", 3, colours="RGB"),
        Kind("jpeg", "uint8", 3, {"photometric": "RGB"}, colours="RGB"),
        Kind("jpeg", "uint8", 3, colours="RGB", holes="mask"),
        Kind("webp", "uint8", 3, colours="RGB"),
        Kind("webp", "uint8", 4, {"WEBP_LOSSLESS": "YES"}, colours="RGB", holes="alpha"),
        Kind("jxl", "uint8", 3, colours="RGB"),
        Kind("jxl", "uint16", 1, holes="0"),
    ]


def _dtypes() -> list[Kind]:
    return [
        Kind("deflate", "int8", 1, holes="-128"),
        Kind("deflate", "int16", 1, {"predictor": 2}, holes="-32768"),
        Kind("deflate", "int16", 1, holes="-32768", scale=(0.0001, -0.1)),
        Kind("deflate", "uint32", 1, holes="0"),
        Kind("deflate", "int32", 1, {"predictor": 2}, holes="-999999"),
        Kind("deflate", "float64", 1, {"predictor": 3}, holes="nan"),
        Kind("deflate", "int64", 1, holes="-999999"),
        Kind("deflate", "uint64", 1, holes="0"),
        Kind("deflate", "complex64", 1),
    ]


def _layouts() -> list[Kind]:
    """Interleave, colours, masks, missing tiles, sizes of tiles and of offsets."""
    band = {"interleave": "BAND"}
    return [
        Kind("lzw", "uint8", 3, band, colours="RGB"),
        Kind("deflate", "uint16", 3, band | {"predictor": 2}, colours="bands", holes="0"),
        Kind("deflate", "uint16", 4, {"predictor": 2}, colours="bands", holes="0"),
        Kind("lzw", "uint8", 1, colours="palette"),
        Kind("lzw", "uint8", 1, colours="white"),
        Kind("lzw", "uint8", 4, colours="RGB", holes="alpha"),
        Kind("deflate", "uint8", 2, holes="alpha"),
        Kind("deflate", "uint8", 3, colours="RGB", holes="mask"),
        Kind("deflate", "uint16", 1, holes="mask"),
        Kind("deflate", "uint16", 1, {"SPARSE_OK": "YES"}, holes="0", is_sparse=True),
        Kind("lzw", "uint8", 3, band | {"SPARSE_OK": "YES"}, colours="RGB", holes="0", is_sparse=True),
        Kind("lzw", "uint8", 3, {"BLOCKSIZE": 128}, colours="RGB", holes="0"),
        Kind("lzw", "uint8", 3, {"BLOCKSIZE": 512}, colours="RGB", holes="0"),
        Kind("deflate", "uint16", 1, {"BLOCKSIZE": 512}, holes="0"),
        Kind("deflate", "uint8", 3, {"BIGTIFF": "YES"}, colours="RGB"),
        Kind("deflate", "uint16", 1, {"OVERVIEWS": "NONE"}, holes="0"),
        Kind("deflate", "uint16", 1, holes="0", place=UTM),
    ]


KINDS = [*_codecs(), *_dtypes(), *_layouts()]
