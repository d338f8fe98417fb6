"""`tile_codec`: the codec for tiles of one dtype and number of bands, by GDAL's name and options."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import imagecodecs
import numpy as np
import zstandard
from numpy.typing import DTypeLike, NDArray

from georeader._codecs.images import (
    LERC_VERSION,
    YCBCR,
    YCBCR_TAGS,
    JxlScheme,
    LercScheme,
    WebpScheme,
    jpeg_scheme,
)
from georeader._codecs.lzw import Lzw
from georeader._codecs.predictors import takes_predictor
from georeader._codecs.registry import CODECS, NO_PREDICTOR, CodecFacts, check_dtype, check_tile_bands, lower_names
from georeader._codecs.streams import Deflate, Lzma, Packbits, Stream, StreamScheme, Uncompressed, Zstd, deflated
from georeader._tiff.directories import TagNumber, TagType
from georeader.errors import OptionError, ReadError, ShapeError, WriteError

#: (tag number, `TagType`, values): numerator and denominator of each rational, or one bytes object.
TagEntry: TypeAlias = tuple[int, int, tuple[Any, ...]]

#: Errors of the libraries behind the codecs; imagecodecs' own are RuntimeErrors.
_LIBRARY_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, lzma.LZMAError, zlib.error, zstandard.ZstdError)


class Scheme(Protocol):
    """An encoding of the pixels of a tile as bytes. Several threads may use it at once."""

    def encode(self, tile: NDArray[Any], /) -> bytes:
        """Return the bytes of a tile (row, column, sample), which is not changed."""

    def decode(self, data: bytes, shape: tuple[int, int, int], /) -> NDArray[Any]:
        """Return the tile (row, column, sample) that a reader decodes from its bytes."""


@dataclass(frozen=True)
class TileCodec:
    """A codec with its options, for tiles of one dtype and number of samples; `tile_codec` makes it.

    Several threads may use it at once, and the libraries release the GIL while they work.

    Attributes:
        name: GDAL's name, in upper case.
        dtype: Of the samples, in native byte order.
        samples: Bands in one tile.
        compression_tag: Value of the tag Compression.
        scheme: The encoding.
        tags: Tags that the directory needs in addition.
        photometric: Required value of PhotometricInterpretation, or None: any.
        is_lossy: Whether pixels may change.
    """

    name: str
    dtype: np.dtype[Any]
    samples: int
    compression_tag: int
    scheme: Scheme
    tags: tuple[TagEntry, ...] = ()
    photometric: int | None = None
    is_lossy: bool = False

    def encode(self, tile: NDArray[Any]) -> bytes:
        """Return the bytes of a tile. The same tile gives the same bytes, in any thread.

        Args:
            tile: (row, column, sample) of the codec's dtype and samples, best C-contiguous; of one sample, it may as
                well be a slice of a larger array. Never changed.

        Returns:
            A new bytes object. Encoding takes up to three times the tile's bytes.

        Raises:
            ShapeError: The tile has another dtype or number of samples.
            WriteError: The encoder failed; its own error is the cause.

        Example:
            >>> from georeader._codecs.tile_codec import tile_codec
            >>> codec = tile_codec("PACKBITS", dtype="uint8")
            >>> codec.encode(np.zeros((1, 16, 1), dtype="uint8")).hex()
            'f100'
        """
        if tile.ndim != 3 or tile.shape[2] != self.samples or tile.dtype != self.dtype or not tile.size:
            raise ShapeError(
                f"a tile for {self._title} is (row, column, {self.samples}) of {self.dtype}, "
                f"not {tile.shape} of {tile.dtype}"
            )
        try:
            return self.scheme.encode(tile)
        except _LIBRARY_ERRORS as error:
            raise WriteError(f"{self._title} can't encode a tile of {tile.shape} {self.dtype}: {error}") from error

    def decode(self, data: bytes, shape: tuple[int, int, int]) -> NDArray[Any]:
        """Return the tile that a reader decodes from these bytes.

        Args:
            data: Result of `encode`.
            shape: (row, column, sample) of the tile.

        Returns:
            A new array of that shape and the codec's dtype.

        Raises:
            ReadError: The bytes are not such a tile; the decoder's own error is the cause.

        Example:
            >>> from georeader._codecs.tile_codec import tile_codec
            >>> codec = tile_codec("ZSTD", dtype="int16", predictor=2)
            >>> tile = np.array([[[-1], [300]]], dtype="int16")
            >>> codec.decode(codec.encode(tile), (1, 2, 1)).ravel().tolist()
            [-1, 300]
        """
        try:
            tile = self.scheme.decode(data, shape)
            if tile.dtype != self.dtype:
                raise ValueError(f"they are pixels of {tile.dtype}, not {self.dtype}")
            return tile.reshape(shape)
        except _LIBRARY_ERRORS as error:
            raise ReadError(f"{self._title} can't decode {len(data)} bytes as a tile of {shape}: {error}") from error

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

    @property
    def title(self) -> str:
        """The codec in messages."""
        return f"compress={self.facts.name.lower()!r}"


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
    max_z_error: float | None = 0.0,
    effort: int | None = None,
    distance: float | None = None,
    is_rgb: bool = False,
) -> TileCodec:
    """Return the codec of this name for tiles of this dtype.

    Options of other codecs are ignored; combinations of options are checked where profile_arg is parsed.

    Args:
        name: One of `CODECS`, in any case.
        dtype: Of the samples; `CODECS` lists which a codec takes.
        samples: Bands in one tile: all of them when pixels are interleaved, else 1.
        predictor: 1 none, 2 horizontal, 3 floating-point; with lzw, deflate and zstd.
        level: deflate, zstd, lzma, and those that follow lerc.
        quality: jpeg and webp, 1 to 100 (75).
        lossless: webp and jxl: keep every sample. None: webp does not, and jxl does unless it is given a distance.
        max_z_error: lerc: largest error of a value (0: none; None means that too).
        effort: jxl, 1 to 9 (5).
        distance: jxl: how far a lossy tile may be from the original, 0.01 to 25 (1).
        is_rgb: jpeg: the three samples are red, green and blue, to be stored as YCbCr with a quarter of the chroma.

    Raises:
        OptionError: There is no such codec, an option is out of range, or the codec does not take that dtype, number of
            samples or predictor.

    Example:
        >>> codec = tile_codec("lzw", dtype="uint16", samples=3, predictor=2)
        >>> codec.compression_tag, codec.tags, codec.is_lossy
        (5, ((317, 3, (2,)),), False)
    """
    known = name.upper() if isinstance(name, str) else name
    if known not in CODECS:
        raise OptionError(f"compress={name!r} is unknown; allowed: {lower_names(CODECS)}")
    facts = CODECS[known]
    params = CodecParams(
        facts=facts,
        dtype=np.dtype(dtype).newbyteorder("="),
        samples=samples,
        predictor=predictor,
        level=(facts.default_level or 0) if level is None else level,
        quality=75 if quality is None else quality,
        lossless=(facts.loss == "distance" and distance is None) if lossless is None else lossless,
        max_z_error=0.0 if max_z_error is None else max_z_error,
        effort=5 if effort is None else effort,
        distance=1.0 if distance is None else distance,
        is_rgb=is_rgb,
    )
    if known == "JXL" and lossless and distance is not None:
        raise OptionError(f"compress='jxl' has both JXL_LOSSLESS=YES and JXL_DISTANCE={distance:g}; keep one")
    check_dtype(known, params.dtype)
    check_tile_bands(known, samples)
    _check_options(params)
    scheme, tags, photometric, is_lossy = _PARTS[known](params)
    return TileCodec(known, params.dtype, samples, facts.compression, scheme, tags, photometric, is_lossy)


def _check_options(params: CodecParams) -> None:
    codec = params.title
    if params.predictor != NO_PREDICTOR and not params.facts.takes_predictor:
        raise OptionError(
            f"predictor={params.predictor} has no meaning with {codec}; it goes with lzw, deflate and zstd"
        )
    if not takes_predictor(params.dtype, params.predictor):
        raise OptionError(
            f"predictor={params.predictor} is not for {params.dtype}: 2 is for integers, float32 and float64, "
            "3 for float32 and float64; use 1 (none)"
        )
    if params.facts.levels is not None:
        _check_range(codec, "level", params.level, *params.facts.levels)
    _check_range(codec, "quality", params.quality, 1, 100)
    _check_range(codec, "effort", params.effort, 1, 9)
    _check_range(codec, "distance", params.distance, 0.01, 25)
    _check_range(codec, "max_z_error", params.max_z_error, 0, np.finfo(np.float64).max)


def _check_range(codec: str, option: str, given: float, low: float, high: float) -> None:
    if not low <= given <= high:
        raise OptionError(f"{option}={given} is invalid with {codec}; allowed: {low:g} to {high:g}")


def _stream_parts(make: Callable[[CodecParams], Stream]) -> Callable[[CodecParams], _Parts]:
    def parts(params: CodecParams) -> _Parts:
        tags: tuple[TagEntry, ...] = ()
        if params.predictor != NO_PREDICTOR:
            tags = ((int(TagNumber.PREDICTOR), int(TagType.SHORT), (params.predictor,)),)
        return StreamScheme(params.dtype, params.predictor, make(params)), tags, None, False

    return parts


def _lerc_parts(params: CodecParams) -> _Parts:
    around: dict[str, Any] = {}
    if params.facts.lerc_following == 1:
        around = {"compress": lambda blob: deflated(blob, params.level), "decompress": zlib.decompress}
    elif params.facts.lerc_following == 2:
        around = {
            "compress": lambda blob: bytes(imagecodecs.zstd_encode(blob, level=params.level)),
            "decompress": imagecodecs.zstd_decode,
        }
    tag = (int(TagNumber.LERC_PARAMETERS), int(TagType.LONG), (LERC_VERSION, params.facts.lerc_following))
    # Integers have no error below 1.
    is_lossy = params.max_z_error >= 1 if params.dtype.kind in "iu" else params.max_z_error > 0
    return LercScheme(params.max_z_error, **around), (tag,), None, is_lossy


def _jpeg_parts(params: CodecParams) -> _Parts:
    turns = params.is_rgb and params.samples == 3
    scheme = jpeg_scheme(quality=params.quality, is_rgb=turns, samples=params.samples)
    tables = (int(TagNumber.JPEG_TABLES), int(TagType.UNDEFINED), (scheme.tables,))
    return scheme, (tables, *(YCBCR_TAGS if turns else ())), YCBCR if turns else None, True


def _webp_parts(params: CodecParams) -> _Parts:
    return WebpScheme(100 if params.lossless else params.quality, params.lossless), (), None, not params.lossless


def _jxl_parts(params: CodecParams) -> _Parts:
    return JxlScheme(params.effort, None if params.lossless else params.distance), (), None, not params.lossless


_PARTS: Mapping[str, Callable[[CodecParams], _Parts]] = {
    "NONE": _stream_parts(lambda _: Uncompressed()),
    "LZW": _stream_parts(lambda _: Lzw()),
    "DEFLATE": _stream_parts(lambda params: Deflate(params.level)),
    "PACKBITS": _stream_parts(lambda _: Packbits()),
    "LZMA": _stream_parts(lambda params: Lzma(params.level, params.dtype.itemsize)),
    "ZSTD": _stream_parts(lambda params: Zstd(params.level)),
    "LERC": _lerc_parts,
    "LERC_DEFLATE": _lerc_parts,
    "LERC_ZSTD": _lerc_parts,
    "JPEG": _jpeg_parts,
    "WEBP": _webp_parts,
    "JXL": _jxl_parts,
}
