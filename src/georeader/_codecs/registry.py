"""Table of codecs, with every fact about each of them. It imports nothing large, so that ``--help`` is fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from georeader.errors import OptionError

if TYPE_CHECKING:
    import numpy as np

#: Values of the TIFF tag Predictor.
NO_PREDICTOR, HORIZONTAL, FLOATING_POINT = 1, 2, 3

#: GDAL's names of predictors, and their values of the tag.
PREDICTORS: Mapping[str, int] = {"NO": NO_PREDICTOR, "STANDARD": HORIZONTAL, "FLOATING_POINT": FLOATING_POINT}

#: Values of PREDICTOR: YES is the predictor for the dtype.
PREDICTOR_CHOICES = ("NO", "YES", "STANDARD", "FLOATING_POINT")

#: Advice in messages.
_INSTEAD = "use lzw, deflate or zstd"


@dataclass(frozen=True)
class CodecFacts:
    """Facts about a codec. Where it has no such thing, they are None; dtypes and bands are empty where it takes any."""

    name: str  #: GDAL's, the value of COMPRESS.
    compression: int  #: Value of the TIFF tag Compression.
    lerc_following: int | None = None  #: The codec that follows LERC, as the tag LercParameters has it.
    levels: tuple[int, int] | None = None  #: Lowest and highest.
    #: GDAL's, but for zstd. There 3 is zstd's own default, and GDAL's 9 takes two to five times the time for a few
    #: percent of the bytes (docs/codecs.md has the measurements).
    default_level: int | None = None
    level_option: str | None = None  #: The GTiff driver's name.
    quality_option: str | None = None  #: The GTiff driver's name of the quality, 1 to 100.
    options: tuple[str, ...] = ()  #: Further ones that only this codec has.
    #: What makes pixels change: "never", "always", "quality" (unless lossless, or the quality is 100), "distance" (only
    #: if not lossless), or "error" (a maximum error above 0).
    loss: str = "never"
    takes_predictor: bool = False  #: Predictors 2 and 3 can precede it (TIFF 6.0, section 14, and GDAL's GTiff driver).
    packs_bits: bool = False  #: It takes samples of fewer bits than their dtype has (NBITS).
    dtypes: tuple[str, ...] = ()
    tile_bands: tuple[int, ...] = ()  #: Numbers of bands in one tile.
    raster_bands: tuple[int, ...] = ()  #: Numbers of bands of a raster.
    is_pixel_interleaved: bool = False  #: All bands of a raster are in one tile.
    alpha_is_mask: bool = False  #: The alpha of red, green, blue and alpha becomes the mask.
    is_in_gdal: bool = True  #: GDAL as rasterio's wheels bring it has the codec.
    worst_expansion: float = 2.0  #: Upper limit of encoded bytes for each byte of pixels.
    largest_ratio: int | None = None  #: Upper limit of bytes of pixels for each encoded byte.

    @property
    def blurs(self) -> bool:
        """Whether losses have no bound, so that nodata spreads into its neighbours."""
        return self.loss in ("always", "quality", "distance")

    def has_option(self, option: str) -> bool:
        """Return whether an option of profile_arg has a meaning with the codec."""
        of_level = ("LEVEL", self.level_option) if self.levels else ()
        of_quality = ("QUALITY", self.quality_option) if self.quality_option else ()
        return option in (*of_level, *of_quality, *self.options)


_LERC = CodecFacts(
    "LERC", 34887, lerc_following=0, options=("MAX_Z_ERROR", "MAX_Z_ERROR_OVERVIEW"), loss="error",
    dtypes=("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"),
)  # fmt: skip

#: Codecs by GDAL's names (TIFF 6.0; libtiff and GDAL for the later ones).
CODECS: Mapping[str, CodecFacts] = {codec.name: codec for codec in (
    CodecFacts(
        "LZW", 5, takes_predictor=True, packs_bits=True, worst_expansion=1.51, largest_ratio=2560,
    ),
    CodecFacts(
        "DEFLATE", 8, levels=(1, 12), default_level=6, level_option="ZLEVEL",
        takes_predictor=True, packs_bits=True, worst_expansion=1.01, largest_ratio=1040,
    ),
    CodecFacts(
        "ZSTD", 50000, levels=(1, 22), default_level=3, level_option="ZSTD_LEVEL",
        takes_predictor=True, packs_bits=True, worst_expansion=1.01,
    ),
    CodecFacts(
        "LZMA", 34925, levels=(0, 9), default_level=6, level_option="LZMA_PRESET",
        packs_bits=True, worst_expansion=1.01,
    ),
    CodecFacts("PACKBITS", 32773, worst_expansion=1.01, largest_ratio=64),
    CodecFacts(
        "JPEG", 7, quality_option="JPEG_QUALITY", loss="always", dtypes=("uint8",),
        tile_bands=(1, 3), raster_bands=(1, 3, 4), is_pixel_interleaved=True, alpha_is_mask=True,
    ),
    CodecFacts(
        "WEBP", 50001, quality_option="WEBP_LEVEL", options=("WEBP_LOSSLESS",), loss="quality", dtypes=("uint8",),
        tile_bands=(3, 4), raster_bands=(3, 4), is_pixel_interleaved=True,
    ),
    # libjxl 0.12 fails on some float32 pixels that it should keep.
    CodecFacts(
        "JXL", 50002, options=("JXL_LOSSLESS", "JXL_EFFORT", "JXL_DISTANCE"), loss="distance",
        dtypes=("uint8", "uint16"), tile_bands=(1, 2, 3, 4), is_in_gdal=False,
    ),
    _LERC,
    replace(_LERC, name="LERC_DEFLATE", lerc_following=1, levels=(1, 12), default_level=6, level_option="ZLEVEL"),
    replace(_LERC, name="LERC_ZSTD", lerc_following=2, levels=(1, 22), default_level=3, level_option="ZSTD_LEVEL"),
    CodecFacts("NONE", 1, packs_bits=True, worst_expansion=1.0, largest_ratio=1),
)}  # fmt: skip


def check_dtype(name: str, dtype: np.dtype[Any]) -> None:
    """Raise OptionError if a codec does not take pixels of a dtype."""
    dtypes = CODECS[name].dtypes
    if dtype.kind not in "iufc":
        raise OptionError(f"compress={name.lower()!r} cannot hold {dtype}; cast to a number type, such as uint8")
    if dtypes and dtype.name not in dtypes:
        raise OptionError(f"compress={name.lower()!r} takes {', '.join(dtypes)} only, not {dtype}; {_INSTEAD}")


def check_tile_bands(name: str, bands: int) -> None:
    """Raise OptionError if a codec does not take so many bands in one tile."""
    codec, counts = f"compress={name.lower()!r}", CODECS[name].tile_bands
    if bands < 1:
        raise OptionError(f"{codec} needs at least one band in a tile, not {bands}")
    if counts and bands not in counts:
        single = "save with INTERLEAVE=BAND, or " if 1 in counts else ""
        raise OptionError(
            f"{codec} takes {' or '.join(map(str, counts))} bands in one tile, not {bands}; {single}{_INSTEAD}"
        )
