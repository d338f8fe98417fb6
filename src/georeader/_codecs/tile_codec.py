"""`tile_codec`: the codec for tiles of one dtype and number of bands, by GDAL's name and options."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import imagecodecs
import numpy as np
import zstandard
from numpy.typing import DTypeLike, NDArray

from georeader._codecs import images
from georeader._codecs.predictors import takes_predictor
from georeader._codecs.registry import CODECS, NO_PREDICTOR, CodecFacts, check_dtype, check_tile_bands
from georeader._codecs.streams import STREAMS, StreamScheme, deflated
from georeader._tiff.directories import TagNumber, TagType
from georeader.errors import OptionError, ReadError, ShapeError, WriteError

#: (tag number, `TagType`, values): numerator and denominator of each rational, or one bytes object.
TagEntry: TypeAlias = tuple[int, int, tuple[Any, ...]]

#: Errors of the libraries behind the codecs; imagecodecs' own are RuntimeErrors.
LIBRARY_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, lzma.LZMAError, zlib.error, zstandard.ZstdError)


#: An encoding of a tile (row, column, sample), which is not changed, as bytes. Several threads may use it at once.
Scheme: TypeAlias = StreamScheme | images.JpegScheme | images.WebpScheme | images.JxlScheme | images.LercScheme


@dataclass(frozen=True)
class TileCodec:
    """A codec with its options, for tiles of one dtype and number of samples; `tile_codec` makes it.

    Several threads may use it at once, and the libraries release the GIL while they work.
    """

    name: str  #: GDAL's, in upper case.
    dtype: np.dtype[Any]  #: In native byte order.
    samples: int  #: Bands in one tile.
    compression_tag: int
    scheme: Scheme
    tags: tuple[TagEntry, ...] = ()  #: Those that the directory needs in addition.
    photometric: int | None = None  #: Required value of PhotometricInterpretation; None: any.
    is_lossy: bool = False

    def encode(self, tile: NDArray[Any]) -> bytes:
        """Return the bytes of a tile. The same tile gives the same bytes, in any thread.

        The tile is (row, column, sample), best C-contiguous, and is never changed; of one sample, it may as well be a
        slice of a larger array. Memory: encoding takes up to three times the tile's bytes.
        """
        if tile.ndim != 3 or tile.shape[2] != self.samples or tile.dtype != self.dtype or not tile.size:
            raise ShapeError(
                f"a tile for {self._title} is (row, column, {self.samples}) of {self.dtype}, "
                f"not {tile.shape} of {tile.dtype}"
            )
        try:
            return self.scheme.encode(tile)
        except LIBRARY_ERRORS as error:
            raise WriteError(f"{self._title} cannot encode a tile of {tile.shape} {self.dtype}: {error}") from error

    def decode(self, data: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        """Return the tile (row, column, sample) that a reader decodes from these bytes, as a new array."""
        try:
            tile = self.scheme.decode(data, shape)
            if tile.dtype != self.dtype:
                raise ValueError(f"they are pixels of {tile.dtype}, not {self.dtype}")
            return tile.reshape(shape)
        except LIBRARY_ERRORS as error:
            raise ReadError(f"{self._title} cannot decode {len(data)} bytes as a tile of {shape}: {error}") from error

    @property
    def _title(self) -> str:
        return f"compress={self.name.lower()!r}"


@dataclass(frozen=True)
class CodecParams:
    """The arguments of `tile_codec`, with defaults for None."""

    facts: CodecFacts
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
    is_big_endian: bool


#: Scheme, tags, photometric and loss of a `TileCodec`.
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
    max_z_error: float = 0.0,
    effort: int | None = None,
    distance: float | None = None,
    is_rgb: bool = False,
    is_big_endian: bool = False,
) -> TileCodec:
    """Return the codec of this name, in any case, for tiles of this dtype.

    Options of other codecs are ignored; combinations of options are checked where profile_arg is parsed. Ranges and
    defaults are those of `CODECS` and `_check_options`; JPEG XL is lossless by default unless it has a distance, and
    WebP is not. ``is_rgb`` stores three samples of JPEG as YCbCr with a quarter of the chroma. Big-endian samples are
    those of a file that begins with "MM".

    Example:
        >>> codec = tile_codec("lzw", dtype="uint16", samples=3, predictor=2)
        >>> codec.compression_tag, codec.tags, codec.is_lossy
        (5, ((317, 3, (2,)),), False)
    """
    facts = CODECS.get(name.upper())
    if facts is None:
        raise OptionError(f"compress={name!r} is unknown; allowed: {', '.join(CODECS).lower()}")
    if facts.name == "JXL" and lossless and distance is not None:
        raise OptionError(f"compress='jxl' has both JXL_LOSSLESS=YES and JXL_DISTANCE={distance:g}; keep one")
    params = CodecParams(
        facts=facts,
        dtype=np.dtype(dtype).newbyteorder("="),
        samples=samples,
        predictor=predictor,
        level=(facts.default_level or 0) if level is None else level,
        quality=75 if quality is None else quality,
        lossless=(facts.loss == "distance" and distance is None) if lossless is None else lossless,
        max_z_error=max_z_error,
        effort=5 if effort is None else effort,
        distance=1.0 if distance is None else distance,
        is_rgb=is_rgb,
        is_big_endian=is_big_endian,
    )
    check_dtype(facts.name, params.dtype)
    check_tile_bands(facts.name, samples)
    _check_options(params)
    return TileCodec(facts.name, params.dtype, samples, facts.compression, *_PARTS[facts.name](params))


def _check_options(params: CodecParams) -> None:
    facts, codec = params.facts, f"compress={params.facts.name.lower()!r}"
    if params.predictor != NO_PREDICTOR and not facts.takes_predictor:
        raise OptionError(
            f"predictor={params.predictor} has no meaning with {codec}; it goes with lzw, deflate and zstd"
        )
    if not takes_predictor(params.dtype, params.predictor):
        raise OptionError(
            f"predictor={params.predictor} is not for {params.dtype}: 2 is for integers, float32 and float64, "
            "3 for float32 and float64; use 1 (none)"
        )
    ranges: dict[str, tuple[float, float]] = {
        "level": facts.levels or (params.level, params.level),
        "quality": (1, 100),
        "effort": (1, 9),
        "distance": (0.01, 25),
        "max_z_error": (0, np.finfo(np.float64).max),
    }
    for option, (low, high) in ranges.items():
        value = getattr(params, option)
        if not low <= value <= high:
            raise OptionError(f"{option}={value} is invalid with {codec}; allowed: {low:g} to {high:g}")


def _stream_parts(params: CodecParams) -> _Parts:
    tag = (int(TagNumber.PREDICTOR), int(TagType.SHORT), (params.predictor,))
    stream = STREAMS[params.facts.name](params.level, params.dtype.itemsize)
    scheme = StreamScheme(params.dtype, params.predictor, stream, params.is_big_endian)
    return scheme, () if params.predictor == NO_PREDICTOR else (tag,), None, False


def _lerc_parts(params: CodecParams) -> _Parts:
    around: dict[str, Any] = {}
    if params.facts.lerc_following == 1:
        around = {"compress": lambda blob: deflated(blob, params.level), "decompress": zlib.decompress}
    elif params.facts.lerc_following == 2:
        around = {
            "compress": lambda blob: bytes(imagecodecs.zstd_encode(blob, level=params.level)),
            "decompress": imagecodecs.zstd_decode,
        }
    tag = (int(TagNumber.LERC_PARAMETERS), int(TagType.LONG), (images.LERC_VERSION, params.facts.lerc_following))
    # Integers have no error below 1.
    is_lossy = params.max_z_error >= 1 if params.dtype.kind in "iu" else params.max_z_error > 0
    return images.LercScheme(params.max_z_error, **around), (tag,), None, is_lossy


def _jpeg_parts(params: CodecParams) -> _Parts:
    is_ycbcr = params.is_rgb and params.samples == 3
    scheme = images.jpeg_scheme(quality=params.quality, is_rgb=is_ycbcr, samples=params.samples)
    tables = (int(TagNumber.JPEG_TABLES), int(TagType.UNDEFINED), (scheme.tables,))
    if not is_ycbcr:
        return scheme, (tables,), None, True
    return scheme, (tables, *images.YCBCR_TAGS), images.YCBCR, True


def _webp_parts(params: CodecParams) -> _Parts:
    return images.WebpScheme(100 if params.lossless else params.quality, params.lossless), (), None, not params.lossless


def _jxl_parts(params: CodecParams) -> _Parts:
    return images.JxlScheme(params.effort, None if params.lossless else params.distance), (), None, not params.lossless


_PARTS: Mapping[str, Callable[[CodecParams], _Parts]] = {
    **dict.fromkeys(STREAMS, _stream_parts),
    **dict.fromkeys(("LERC", "LERC_DEFLATE", "LERC_ZSTD"), _lerc_parts),
    "JPEG": _jpeg_parts,
    "WEBP": _webp_parts,
    "JXL": _jxl_parts,
}
