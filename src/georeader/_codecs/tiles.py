"""Tiles: cut from pixels, encoded and framed in file order. Pure: arrays in, bytes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.registry import CODECS
from georeader._codecs.tile_codec import TileCodec
from georeader._tiff.cog_layout import FRAME_BYTES, framed
from georeader.errors import DtypeError, WriteError

#: Allowance for a codec's own header in a tile of any size.
_WORST_OVERHEAD_BYTES = 4096

#: Side of the blocks that lossy codecs transform: JPEG's with halved chroma, WebP's macroblocks.
LOSSY_BLOCK_PX = 16


@dataclass(frozen=True)
class EncodedTiles:
    """Tiles in file order. Where masks follow tiles, the mask's tile is an item of its own after each tile."""

    pieces: tuple[bytes, ...]  #: Leader, tile and trailer of each tile; none of a sparse tile.
    sizes_bytes: tuple[int, ...]  #: Of each tile without its frame; 0 for a sparse tile.
    largest_errors: tuple[float, ...] = ()  #: Of a decoded pixel, of each band; empty if tiles are not verified.

    @property
    def total_bytes(self) -> int:
        """Length of all pieces."""
        return sum(map(len, self.pieces))

    def compact(self) -> EncodedTiles:
        """Return the same in one piece, for tiles that are buffered.

        Encoders allocate the largest possible size and shrink it; the rest is not available to others.
        """
        return replace(self, pieces=(b"".join(self.pieces),)) if self.pieces else self


@dataclass(frozen=True)
class TileEncoder:
    """Encoder of pixels to tiles."""

    codec: TileCodec
    mask_codec: TileCodec | None  #: Of packed validity bits; None where the file has no masks.
    tile_height_px: int
    tile_width_px: int
    sparse_value: int | float | None = None  #: Tiles with this value only take no bytes; None: every tile is written.
    verify: bool = False  #: Decode each tile again and compare.
    is_framed: bool = True  #: Each tile has a leader and a trailer.
    bits: int | None = None  #: Of a sample, where they are fewer than the dtype's; the codec then gets packed bytes.

    def encode_tile(self, pixels: NDArray[Any]) -> tuple[bytes, tuple[float, ...]]:
        """Encode one tile of (band, row, column) pixels, smaller at the raster's edge; nothing where it is sparse.

        With it, the largest error of each band is returned where tiles are verified.
        """
        if self.sparse_value is not None and _holds_only(pixels, self.sparse_value):
            return b"", (0.0,) * (len(pixels) if self.verify else 0)
        tile = cut_tile(pixels, self.tile_height_px, self.tile_width_px, spread=self.codec.is_lossy)
        packed = tile if self.bits is None else pack_bits(tile, self.bits)
        encoded = self.codec.encode(packed)
        if not self.verify:
            return encoded, ()
        decoded = self.codec.decode(encoded, packed.shape)
        if self.bits is not None:
            decoded = unpack_bits(decoded, self.bits, tile)
        height_px, width_px = pixels.shape[1:]
        return encoded, compare(tile[:height_px, :width_px], decoded[:height_px, :width_px], self.codec.is_lossy)

    def encode_mask(self, is_valid: NDArray[np.bool_]) -> bytes:
        """Encode the validity (row, column) of a tile's pixels: one bit each, rows padded with invalid pixels."""
        if self.mask_codec is None:
            raise WriteError("this file has no masks")
        if self.sparse_value is not None and not is_valid.any():
            return b""
        bits = np.zeros((self.tile_height_px, self.tile_width_px), bool)
        bits[: is_valid.shape[0], : is_valid.shape[1]] = is_valid
        return self.mask_codec.encode(np.packbits(bits, axis=1)[:, :, np.newaxis])


def largest_tile_bytes(codec: str, raw_bytes: int) -> int:
    """Return a size that no encoded tile of ``raw_bytes`` bytes of pixels exceeds, frame included."""
    if codec == "NONE":
        return raw_bytes + FRAME_BYTES
    return int(raw_bytes * CODECS[codec].worst_expansion) + _WORST_OVERHEAD_BYTES


def pack_bits(tile: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Return a tile (row, column, band) with so many bits a sample, the most significant first, as (row, byte, 1).

    Example:
        >>> pack_bits(np.array([[[1], [15], [8]]], dtype="uint8"), 4).ravel().tolist()
        [31, 128]
    """
    largest = int(tile.max(initial=0))
    if largest >> bits:
        raise DtypeError(
            f"samples of {bits} bits hold values up to {2**bits - 1}, got {largest}; remove attrs['nbits'], which says "
            "that the raster has so few"
        )
    samples = np.ascontiguousarray(tile, tile.dtype.newbyteorder(">")).reshape(len(tile), -1, 1)
    single = np.unpackbits(samples.view(np.uint8), axis=2)[:, :, -bits:]
    return np.packbits(single.reshape(len(tile), -1), axis=1)[:, :, np.newaxis]


def unpack_bits(packed: NDArray[np.uint8], bits: int, like: NDArray[Any]) -> NDArray[Any]:
    """Return the inverse of `pack_bits`, in the shape and dtype of ``like``."""
    samples = like[0].size
    single = np.unpackbits(packed[:, :, 0], axis=1)[:, : samples * bits].reshape(len(packed), samples, bits)
    whole = np.zeros((len(packed), samples, 8 * like.dtype.itemsize), np.uint8)
    whole[:, :, -bits:] = single
    wide = np.packbits(whole, axis=2).view(like.dtype.newbyteorder(">"))
    return wide.reshape(like.shape).astype(like.dtype)


def cut_tile(pixels: NDArray[Any], tile_height_px: int, tile_width_px: int, *, spread: bool = False) -> NDArray[Any]:
    """Return pixels (band, row, column) as a tile (row, column, band), contiguous, or of one band a view.

    A tile beyond the raster's edge is padded with zeros, which compress well. For a lossy codec, ``spread`` first
    repeats the last row and column to the end of the codec's block, which prevents ringing (TIFF 6.0, section 15, on
    padding).
    """
    count, height_px, width_px = pixels.shape
    is_whole = (height_px, width_px) == (tile_height_px, tile_width_px)
    if is_whole and count == 1:
        return pixels[0, :, :, np.newaxis]
    tile = (np.empty if is_whole else np.zeros)((tile_height_px, tile_width_px, count), pixels.dtype)
    for band in range(count):
        tile[:height_px, :width_px, band] = pixels[band]
    if spread and not is_whole:
        right_px, bottom_px = (-(-side_px // LOSSY_BLOCK_PX) * LOSSY_BLOCK_PX for side_px in (width_px, height_px))
        tile[:height_px, width_px:right_px] = tile[:height_px, width_px - 1 : width_px]
        tile[height_px:bottom_px, :right_px] = tile[height_px - 1 : height_px, :right_px]
    return tile


def join_tiles(parts: list[tuple[bytes, tuple[float, ...]]], *, is_framed: bool) -> EncodedTiles:
    """Concatenate tiles with their largest errors, in the order of the file."""
    pieces: list[bytes] = []
    errors: tuple[float, ...] = ()
    for tile, tile_errors in parts:
        if tile:
            pieces += framed(tile) if is_framed else (tile,)
        if tile_errors:
            errors = tuple(map(max, errors, tile_errors)) if errors else tile_errors
    return EncodedTiles(tuple(pieces), tuple(len(tile) for tile, _ in parts), errors)


def compare(tile: NDArray[Any], decoded: NDArray[Any], is_lossy: bool) -> tuple[float, ...]:
    """Return the largest absolute difference of each band between a tile (row, column, band) and its decoded form.

    A lossless codec that changed a bit, or a lossy one that turned a number into NaN or the reverse, is a WriteError.
    """
    if tile.shape != decoded.shape or tile.dtype != decoded.dtype:
        raise WriteError(f"comes back as {decoded.dtype} {decoded.shape}, not as {tile.dtype} {tile.shape}")
    count: int = tile.shape[2]
    if np.ascontiguousarray(tile).tobytes() == np.ascontiguousarray(decoded).tobytes():
        return (0.0,) * count
    # A codec for numbers keeps values, but neither the sign of zero nor the bits of NaN.
    same = (tile == decoded) | ((tile != tile) & (decoded != decoded))
    if not is_lossy and not same.all():
        raise WriteError(f"{int((~same).any(axis=2).sum())} of its pixels come back changed from a lossless codec")
    with np.errstate(invalid="ignore"):
        wide = np.result_type(tile.dtype, np.float64)
        differences = np.abs(tile.astype(wide) - decoded.astype(wide))
    if np.isnan(differences[~same]).any():
        raise WriteError("numbers come back as NaN, or NaN as numbers")
    largest = np.max(differences, axis=(0, 1), where=~same, initial=0.0)
    return tuple(float(error) for error in largest)


def _holds_only(pixels: NDArray[Any], value: int | float) -> bool:
    if value != value:
        return bool(np.isnan(pixels).all())
    # Most tiles differ in their first row.
    return bool((pixels[:, :1] == value).all()) and bool((pixels == value).all())
