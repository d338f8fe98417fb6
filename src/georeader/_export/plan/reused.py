"""Tiles that a file takes over from another as they are encoded, as far as a plan depends on them. Pure.

References:
    TIFF 6.0, sections 8 (baseline tags), 14 (predictor), 15 (tiles), 21 (YCbCr) and 22 (JPEG).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from georeader._tiff.directories import Tag, TagNumber

#: Tags by which a tile is decoded. They go with the tiles; all others describe the raster.
ENCODING_TAGS = frozenset({
    TagNumber.BITS_PER_SAMPLE, TagNumber.COMPRESSION, TagNumber.PHOTOMETRIC, TagNumber.FILL_ORDER,
    TagNumber.SAMPLES_PER_PIXEL, TagNumber.PLANAR_CONFIGURATION, TagNumber.PREDICTOR, TagNumber.TILE_WIDTH,
    TagNumber.TILE_LENGTH, TagNumber.SAMPLE_FORMAT, TagNumber.JPEG_TABLES, TagNumber.YCBCR_COEFFICIENTS,
    TagNumber.YCBCR_SUBSAMPLING, TagNumber.YCBCR_POSITIONING, TagNumber.REFERENCE_BLACK_WHITE,
    TagNumber.LERC_PARAMETERS,
})  # fmt: skip


@dataclass(frozen=True)
class ReusedTiles:
    """The tiles of a file's full resolution, and of its masks, that are taken over."""

    image_tags: tuple[Tag, ...]  #: Of the directory that they come from.
    mask_tags: tuple[Tag, ...]  #: Of the directory of its masks; none where there are none.
    tile_count: int  #: Those that are not sparse.
    tiles_bytes: int  #: Their length, without leaders and trailers.
    is_big_endian: bool  #: Byte order of their samples, and so of the file.

    def image_directory(self, tags: Iterable[Tag]) -> tuple[Tag, ...]:
        """Return the tags of a directory with these tiles, of which ``tags`` describe the raster."""
        return _with_encoding(tags, self.image_tags)

    def mask_directory(self, tags: Iterable[Tag]) -> tuple[Tag, ...]:
        """Return the tags of the directory of the masks."""
        return _with_encoding(tags, self.mask_tags)


def _with_encoding(tags: Iterable[Tag], stored: Iterable[Tag]) -> tuple[Tag, ...]:
    own = {tag.number: tag for tag in tags if tag.number not in ENCODING_TAGS}
    own |= {tag.number: tag for tag in stored if tag.number in ENCODING_TAGS}
    return tuple(own[number] for number in sorted(own))
