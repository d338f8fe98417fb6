"""Catalogue of codecs and their options: converts GDAL's names to a `TileCodec`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import imagecodecs
import numpy as np
from numpy.typing import DTypeLike

from georeader._codecs.interface import Scheme, TagEntry, TileCodec
from georeader._codecs.jpeg import YCBCR, YCBCR_TAGS, jpeg_scheme
from georeader._codecs.jxl import JxlScheme
from georeader._codecs.lerc import FOLLOWING_CODECS, VERSION, LercScheme
from georeader._codecs.lzw import Lzw
from georeader._codecs.predictors import NO_PREDICTOR, takes_predictor
from georeader._codecs.streams import Deflate, Lzma, Packbits, Stream, StreamScheme, Uncompressed, deflated
from georeader._codecs.webp import WebpScheme
from georeader._codecs.zstd import Zstd
from georeader._tiff.directories import TagNumber, TagType
from georeader.errors import OptionError

#: Codecs by GDAL's names, and their values of the tag Compression (TIFF 6.0; libtiff and GDAL for the later ones).
CODECS: Mapping[str, int] = {
    "NONE": 1,
    "LZW": 5,
    "DEFLATE": 8,
    "PACKBITS": 32773,
    "LZMA": 34925,
    "ZSTD": 50000,
    "LERC": 34887,
    "LERC_DEFLATE": 34887,
    "LERC_ZSTD": 34887,
    "JPEG": 7,
    "WEBP": 50001,
    "JXL": 50002,
}

#: Codecs that a predictor can stand before (GDAL's GTiff driver).
PREDICTED_CODECS = ("LZW", "DEFLATE", "ZSTD")

#: (lowest, highest, default) level.
_LEVELS = {
    "DEFLATE": (1, 12, 6),
    "LERC_DEFLATE": (1, 12, 6),
    "ZSTD": (1, 22, 3),
    "LERC_ZSTD": (1, 22, 3),
    "LZMA": (0, 9, 6),
}

_LERC_DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")

#: Dtypes and numbers of samples that a codec for images takes; None: any.
_TAKES: Mapping[str, tuple[tuple[str, ...], tuple[int, ...] | None]] = {
    "LERC": (_LERC_DTYPES, None),
    "LERC_DEFLATE": (_LERC_DTYPES, None),
    "LERC_ZSTD": (_LERC_DTYPES, None),
    "JPEG": (("uint8",), (1, 3)),
    "WEBP": (("uint8",), (3, 4)),
    # libjxl 0.12 gives up on some float32 pixels that it should keep.
    "JXL": (("uint8", "uint16"), (1, 2, 3, 4)),
}

_INSTEAD = "use lzw, deflate or zstd"


@dataclass(frozen=True)
class CodecParams:
    """The arguments of `tile_codec`, with defaults for None."""

    name: str
    dtype: np.dtype[Any]
    samples: int
    predictor: int
    level: int
    quality: int
    lossless: bool
    max_z_error: float
    effort: int
    distance: float
    is_rgb: bool


#: What a codec adds to a `TileCodec`: its scheme, tags, photometric and whether it is lossy.
_Parts: TypeAlias = tuple[Scheme, tuple[TagEntry, ...], int | None, bool]


def tile_codec(  # noqa: PLR0913
    name: str,
    *,
    dtype: DTypeLike,
    samples: int = 1,
    predictor: int = NO_PREDICTOR,
    level: int | None = None,
    quality: int | None = None,
    lossless: bool | None = None,
    max_z_error: float | None = 0.0,
    effort: int | None = None,
    distance: float | None = None,
    is_rgb: bool = False,
) -> TileCodec:
    """Return the codec of this name for tiles of this dtype.

    Options of other codecs are left aside; whether a user may combine them is checked where they are read.

    Args:
        name: One of `CODECS`, in any case.
        dtype: Of the samples. Codecs for bytes take any number; jpeg and webp uint8; jxl uint8 and uint16; lerc 8 to
            32-bit integers, float32 and float64.
        samples: Bands in one tile: all of them when pixels are interleaved, else 1. jpeg takes 1 or 3, webp 3 or 4,
            jxl 1 to 4.
        predictor: 1 none, 2 horizontal, 3 floating-point; with lzw, deflate and zstd.
        level: deflate 1 to 12 (default 6), zstd 1 to 22 (3), lzma 0 to 9 (6), and those that follow lerc.
        quality: jpeg and webp, 1 to 100 (75).
        lossless: webp and jxl: keep every sample. None: webp does not, and jxl does unless it is given a distance.
        max_z_error: lerc: largest error of a value (0: none; None means that too).
        effort: jxl, 1 to 9 (5).
        distance: jxl: how far a lossy tile may be from the original, 0.01 to 25 (1).
        is_rgb: jpeg: the three samples are red, green and blue, to be stored as YCbCr with a quarter of the chroma.

    Raises:
        OptionError: There is no such codec, an option is out of range, or it does not take that dtype, number of
            samples or predictor; the message says what would work.

    Example:
        >>> codec = tile_codec("lzw", dtype="uint16", samples=3, predictor=2)
        >>> codec.compression_tag, codec.tags, codec.is_lossy
        (5, ((317, 3, (2,)),), False)
    """
    known = name.upper() if isinstance(name, str) else name
    if known not in CODECS:
        raise OptionError(f"compress={name!r} is unknown; allowed: {', '.join(codec.lower() for codec in CODECS)}")
    wish = CodecParams(
        name=known,
        dtype=np.dtype(dtype).newbyteorder("="),
        samples=samples,
        predictor=predictor,
        level=_LEVELS.get(known, (0, 0, 0))[2] if level is None else level,
        quality=75 if quality is None else quality,
        lossless=(known == "JXL" and distance is None) if lossless is None else lossless,
        max_z_error=0.0 if max_z_error is None else max_z_error,
        effort=5 if effort is None else effort,
        distance=1.0 if distance is None else distance,
        is_rgb=is_rgb,
    )
    if known == "JXL" and lossless and distance is not None:
        raise OptionError(f"compress='jxl' has both JXL_LOSSLESS=YES and JXL_DISTANCE={distance:g}; keep one")
    check_pixels(known, wish.dtype, samples)
    _check_options(wish)
    scheme, tags, photometric, is_lossy = _PARTS[known](wish)
    return TileCodec(known, wish.dtype, samples, CODECS[known], scheme, tags, photometric, is_lossy)


def check_pixels(name: str, dtype: np.dtype[Any], samples: int) -> None:
    """Check that a codec takes the pixels of a tile.

    Args:
        name: One of `CODECS`.
        dtype: Of the pixels.
        samples: Bands in one tile.

    Raises:
        OptionError: It does not.
    """
    codec = f"compress={name.lower()!r}"
    if dtype.kind not in "iufc":
        raise OptionError(f"{codec} can't hold {dtype}; cast to a number type, such as uint8")
    if samples < 1:
        raise OptionError(f"{codec} needs at least one band in a tile, not {samples}")
    dtypes, counts = _TAKES.get(name, ((), None))
    if dtypes and dtype.name not in dtypes:
        raise OptionError(f"{codec} takes {', '.join(dtypes)}, not {dtype}; {_INSTEAD}")
    if counts and samples not in counts:
        single = "save with INTERLEAVE=BAND, or " if 1 in counts else ""
        raise OptionError(
            f"{codec} takes {' or '.join(map(str, counts))} bands in one tile, not {samples}; {single}{_INSTEAD}"
        )


def _check_options(wish: CodecParams) -> None:
    codec = f"compress={wish.name.lower()!r}"
    if wish.predictor != NO_PREDICTOR and wish.name not in PREDICTED_CODECS:
        raise OptionError(f"predictor={wish.predictor} has no meaning with {codec}; it goes with lzw, deflate and zstd")
    if not takes_predictor(wish.dtype, wish.predictor):
        raise OptionError(
            f"predictor={wish.predictor} is not for {wish.dtype}: 2 is for integers, float32 and float64, "
            "3 for float32 and float64; use 1 (none)"
        )
    low, high, _ = _LEVELS.get(wish.name, (0, 0, 0))
    _check_range(codec, "level", wish.level if wish.name in _LEVELS else 0, low, high)
    _check_range(codec, "quality", wish.quality, 1, 100)
    _check_range(codec, "effort", wish.effort, 1, 9)
    _check_range(codec, "distance", wish.distance, 0.01, 25)
    _check_range(codec, "max_z_error", wish.max_z_error, 0, np.finfo(np.float64).max)


def _check_range(codec: str, option: str, given: float, low: float, high: float) -> None:
    if not low <= given <= high:
        raise OptionError(f"{option}={given} makes no sense with {codec}; allowed: {low:g} to {high:g}")


def _stream_parts(make: Callable[[CodecParams], Stream]) -> Callable[[CodecParams], _Parts]:
    def parts(wish: CodecParams) -> _Parts:
        tags: tuple[TagEntry, ...] = ()
        if wish.predictor != NO_PREDICTOR:
            tags = ((int(TagNumber.PREDICTOR), int(TagType.SHORT), (wish.predictor,)),)
        return StreamScheme(wish.dtype, wish.predictor, make(wish)), tags, None, False

    return parts


def _lerc_parts(wish: CodecParams) -> _Parts:
    around: dict[str, Any] = {}
    if wish.name == "LERC_DEFLATE":
        around = {"compress": lambda blob: deflated(blob, wish.level), "decompress": zlib.decompress}
    elif wish.name == "LERC_ZSTD":
        around = {
            "compress": lambda blob: bytes(imagecodecs.zstd_encode(blob, level=wish.level)),
            "decompress": imagecodecs.zstd_decode,
        }
    tag = (int(TagNumber.LERC_PARAMETERS), int(TagType.LONG), (VERSION, FOLLOWING_CODECS[wish.name]))
    # Integers have no error below 1.
    is_lossy = wish.max_z_error >= 1 if wish.dtype.kind in "iu" else wish.max_z_error > 0
    return LercScheme(wish.max_z_error, **around), (tag,), None, is_lossy


def _jpeg_parts(wish: CodecParams) -> _Parts:
    turns = wish.is_rgb and wish.samples == 3
    scheme = jpeg_scheme(quality=wish.quality, is_rgb=turns, samples=wish.samples)
    tables = (int(TagNumber.JPEG_TABLES), int(TagType.UNDEFINED), (scheme.tables,))
    return scheme, (tables, *(YCBCR_TAGS if turns else ())), YCBCR if turns else None, True


def _webp_parts(wish: CodecParams) -> _Parts:
    return WebpScheme(100 if wish.lossless else wish.quality, wish.lossless), (), None, not wish.lossless


def _jxl_parts(wish: CodecParams) -> _Parts:
    return JxlScheme(wish.effort, None if wish.lossless else wish.distance), (), None, not wish.lossless


_PARTS: Mapping[str, Callable[[CodecParams], _Parts]] = {
    "NONE": _stream_parts(lambda _: Uncompressed()),
    "LZW": _stream_parts(lambda _: Lzw()),
    "DEFLATE": _stream_parts(lambda wish: Deflate(wish.level)),
    "PACKBITS": _stream_parts(lambda _: Packbits()),
    "LZMA": _stream_parts(lambda wish: Lzma(wish.level, wish.dtype.itemsize)),
    "ZSTD": _stream_parts(lambda wish: Zstd(wish.level)),
    "LERC": _lerc_parts,
    "LERC_DEFLATE": _lerc_parts,
    "LERC_ZSTD": _lerc_parts,
    "JPEG": _jpeg_parts,
    "WEBP": _webp_parts,
    "JXL": _jxl_parts,
}
