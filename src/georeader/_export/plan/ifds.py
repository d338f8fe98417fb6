"""The directories of a file: which tags each level and its mask has. Pure.

Directories stand as GDAL orders them: the full resolution, its mask, the overviews from large to small, their masks.

References:
    TIFF 6.0, sections 8 (baseline tags), 15 (tiles) and 18 (ExtraSamples); RFC 15 of GDAL (masks, NewSubfileType 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from georeader._codecs import TileCodec
from georeader._export.plan.grid import Level
from georeader._tiff import directories
from georeader._tiff.cog_layout import Directory
from georeader._tiff.directories import Tag, TagNumber, TagType

#: Bits of NewSubfileType (TIFF 6.0, section 8).
_REDUCED, _IS_MASK = 1, 4

#: PhotometricInterpretation of a mask.
_PHOTOMETRIC_MASK = 4

#: What an overview says of its pixels: as much as it takes to read them.
_PIXEL_TAGS = frozenset(
    {
        TagNumber.BITS_PER_SAMPLE,
        TagNumber.PHOTOMETRIC,
        TagNumber.SAMPLES_PER_PIXEL,
        TagNumber.COLOR_MAP,
        TagNumber.EXTRA_SAMPLES,
        TagNumber.SAMPLE_FORMAT,
        TagNumber.GDAL_NODATA,
    }
)


def make_directories(
    levels: Sequence[Level],
    codecs: Sequence[TileCodec],
    mask_codec: TileCodec | None,
    described: Sequence[Tag],
) -> tuple[Directory, ...]:
    """Give the directories of a file.

    Args:
        levels: From the full resolution to the smallest overview.
        codecs: One for each level.
        mask_codec: Of the masks; None: there are none.
        described: What `geotags.descriptive_tags` gives.
    """
    images = [
        Directory(level.number, False, _image_tags(level, codec, described), level.tile_count)
        for level, codec in zip(levels, codecs, strict=True)
    ]
    if mask_codec is None:
        return tuple(images)
    masks = [
        Directory(level.number, True, _mask_tags(level, mask_codec), level.tiles_down * level.tiles_across)
        for level in levels
    ]
    return images[0], masks[0], *images[1:], *masks[1:]


def _image_tags(level: Level, codec: TileCodec, described: Sequence[Tag]) -> tuple[Tag, ...]:
    tags = {tag.number: tag for tag in described if level.number == 0 or tag.number in _PIXEL_TAGS}
    subfile_type = _REDUCED if level.number else 0
    tags |= {tag.number: tag for tag in _tile_tags(level, codec, subfile_type)}
    planar = 2 if level.planes > 1 else 1
    tags[TagNumber.PLANAR_CONFIGURATION] = directories.make_tag(TagNumber.PLANAR_CONFIGURATION, TagType.SHORT, planar)
    if codec.photometric is not None:
        tags[TagNumber.PHOTOMETRIC] = directories.make_tag(TagNumber.PHOTOMETRIC, TagType.SHORT, codec.photometric)
    return tuple(tags[number] for number in sorted(tags))


def _mask_tags(level: Level, codec: TileCodec) -> tuple[Tag, ...]:
    ones = (TagNumber.BITS_PER_SAMPLE, TagNumber.SAMPLES_PER_PIXEL, TagNumber.PLANAR_CONFIGURATION)
    tags = [directories.make_tag(number, TagType.SHORT, 1) for number in (*ones, TagNumber.SAMPLE_FORMAT)]
    tags.append(directories.make_tag(TagNumber.PHOTOMETRIC, TagType.SHORT, _PHOTOMETRIC_MASK))
    tags += _tile_tags(level, codec, _IS_MASK | (_REDUCED if level.number else 0))
    return tuple(sorted(tags, key=lambda tag: tag.number))


def _tile_tags(level: Level, codec: TileCodec, subfile_type: int) -> list[Tag]:
    """Size of image and tiles, compression, and what the codec adds."""
    tags = [
        directories.size_tag(TagNumber.IMAGE_WIDTH, level.width_px),
        directories.size_tag(TagNumber.IMAGE_LENGTH, level.height_px),
        directories.make_tag(TagNumber.COMPRESSION, TagType.SHORT, codec.compression_tag),
        directories.size_tag(TagNumber.TILE_WIDTH, level.tile_width_px),
        directories.size_tag(TagNumber.TILE_LENGTH, level.tile_height_px),
        *(directories.make_tag(number, tag_type, *values) for number, tag_type, values in codec.tags),
    ]
    if subfile_type:
        tags.append(directories.make_tag(TagNumber.NEW_SUBFILE_TYPE, TagType.LONG, subfile_type))
    return tags
