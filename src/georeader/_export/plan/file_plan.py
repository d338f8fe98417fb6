"""Plan of a file: levels, codecs, tiles, directories. Pure.

Directories stand as GDAL orders them: the full resolution, its mask, the overviews from large to small, their masks.

References:
    TIFF 6.0, sections 8 (baseline tags), 15 (tiles) and 18 (ExtraSamples); RFC 15 of GDAL (masks, NewSubfileType 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from georeader._codecs.registry import CODECS, NO_PREDICTOR, PREDICTORS
from georeader._codecs.tile_codec import TileCodec, tile_codec
from georeader._codecs.tiles import TileEncoder, largest_tile_bytes, packed_bytes
from georeader._export.plan.encoding import Encoding
from georeader._export.plan.grid import Level
from georeader._export.plan.spec import ExportSpec
from georeader._resample.pyramid import Reduction
from georeader._tiff import directories
from georeader._tiff.cog_layout import FRAME_BYTES, Directory
from georeader._tiff.directories import Tag, TagNumber, TagType

#: Bits of NewSubfileType (TIFF 6.0, section 8).
_REDUCED, _IS_MASK = 1, 4

#: PhotometricInterpretation of a mask.
_PHOTOMETRIC_MASK = 4

#: Tags that overviews have, too: those that describe pixels.
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


@dataclass(frozen=True)
class FilePlan:
    """The plan of a file.

    Attributes:
        spec: The file that is wanted.
        encoders: One for each level.
        mask_codec: Of the masks; None: there are none.
        reduction: Reduction of one level to the next.
        verify: Decode tiles again and compare.
    """

    spec: ExportSpec
    encoders: tuple[TileEncoder, ...]
    mask_codec: TileCodec | None
    reduction: Reduction
    verify: bool

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels from the full resolution to the smallest overview."""
        return self.spec.levels

    @property
    def masks_follow_tiles(self) -> bool:
        """Whether each tile is followed by that of its mask, rather than all tiles of a level by all masks."""
        return self.spec.mask is not None and self.levels[0].planes == 1

    @property
    def least_base_bytes(self) -> int:
        """Lower bound of the bytes of the full resolution."""
        is_sparse = self.encoders[0].sparse_value is not None
        if self.spec.encoding.codec != "NONE" or is_sparse:
            return 0
        stored_bytes = self.spec.tile_bytes
        if self.spec.encoding.bits is not None:
            level = self.levels[0]
            stored_bytes = level.tile_height_px * packed_bytes(
                level.tile_width_px * self.spec.count // level.planes, self.spec.encoding.bits
            )
        return self.levels[0].tile_count * (stored_bytes + FRAME_BYTES * self.spec.has_cog_layout)

    @property
    def most_base_bytes(self) -> int:
        """Upper bound of the bytes of the full resolution."""
        level = self.levels[0]
        most_bytes = level.tile_count * largest_tile_bytes(self.spec.encoding.codec, self.spec.tile_bytes)
        if self.spec.mask is None:
            return most_bytes
        mask_bytes = level.tile_height_px * level.tile_width_px // 8
        return most_bytes + level.tiles_down * level.tiles_across * largest_tile_bytes("DEFLATE", mask_bytes)

    @property
    def most_head_bytes(self) -> int:
        """Approximate upper bound of the bytes of header and overviews."""
        codec = overview_encoding(self.spec.encoding).codec
        most_bytes = 2**20 + 24 * self.place_count * self.parts
        for level in self.levels[1:]:
            most_bytes += level.tile_count * largest_tile_bytes(codec, self.spec.tile_bytes)
            if self.spec.mask is not None:
                mask_bytes = level.tile_height_px * level.tile_width_px // 8
                most_bytes += level.tiles_down * level.tiles_across * largest_tile_bytes("DEFLATE", mask_bytes)
        return most_bytes

    @property
    def tile_counts(self) -> dict[tuple[int, bool], int]:
        """Number of tiles of each level, and (True) of its masks where it has some."""
        counts = {(level.number, False): level.tile_count for level in self.levels}
        if self.spec.mask is not None:
            counts |= {(level.number, True): level.tiles_down * level.tiles_across for level in self.levels}
        return counts

    def tiles_per_run(self, run_bytes: int) -> int:
        """Return the number of neighbouring tiles in one task: 1 for a small file."""
        if self.levels[0].tile_count <= 64:
            return 1
        return max(1, run_bytes // self.spec.tile_bytes)

    @property
    def parts(self) -> int:
        """Tiles at one position: 2 where each tile is followed by that of its mask."""
        return 2 if self.masks_follow_tiles else 1

    def positions(self, level: Level) -> int:
        """Return the number of tile positions in a level: those of its bands, and of its masks if they are separate."""
        mask_planes = 1 if self.spec.mask is not None and level.planes > 1 else 0
        return (level.planes + mask_planes) * level.tiles_down * level.tiles_across

    @property
    def place_count(self) -> int:
        """Number of tile positions in the whole file."""
        return sum(map(self.positions, self.levels))

    def mask_turn(self, plane: int) -> bool | None:
        """Return whether the tiles of a plane are masks; None: tiles and masks in turn."""
        if self.masks_follow_tiles:
            return None
        return plane == self.levels[0].planes


def plan_file(spec: ExportSpec, *, verify: bool = False) -> FilePlan:
    """Plan a file from its spec alone.

    Args:
        spec: The file that is wanted; its predictor is resolved.
        verify: Decode each tile again and compare.

    Raises:
        OptionError: A codec does not take the pixels.
    """
    encoding = spec.encoding
    mask_codec = _mask_codec() if spec.mask else None
    base = _encoder(spec, encoding, mask_codec, verify)
    overview = _encoder(spec, overview_encoding(encoding), mask_codec, verify) if spec.overview_factors else base
    reduction = Reduction(spec.resamplings, spec.nodata, spec.alpha_band)
    encoders = (base, *(overview for _ in spec.overview_factors))
    return FilePlan(spec, encoders, mask_codec, reduction, verify)


def codec_of(spec: ExportSpec, encoding: Encoding, predictor: int) -> TileCodec:
    """Return the codec of a file's tiles.

    Args:
        spec: The file that is wanted.
        encoding: Its own, or that of its overviews.
        predictor: TIFF's number of it.
    """
    packs_bits = encoding.bits is not None  # into bytes, which are then compressed
    return tile_codec(
        encoding.codec,
        dtype=np.dtype("uint8") if packs_bits else spec.dtype,
        samples=1 if encoding.interleave == "BAND" or packs_bits else spec.count,
        predictor=predictor,
        level=encoding.level,
        quality=encoding.quality,
        lossless=encoding.is_lossless,
        max_z_error=encoding.max_z_error or 0.0,
        effort=encoding.effort,
        distance=encoding.distance,
        is_rgb=spec.turns_colours,
    )


def overview_encoding(encoding: Encoding) -> Encoding:
    """Return the encoding of the overviews: the file's own, changed by the options OVERVIEW_... and ..._OVERVIEW."""
    options = encoding.options
    changes: dict[str, Any] = {}
    codec = options.get("OVERVIEW_COMPRESS", encoding.codec)
    if codec != encoding.codec:
        changes |= {"codec": codec, "level": CODECS[codec].default_level, "quality": None, "lossless": None}
        if not CODECS[codec].takes_predictor:
            changes["predictor"] = "NO"
    if "OVERVIEW_QUALITY" in options:
        changes |= {"quality": int(options["OVERVIEW_QUALITY"]), "lossless": None}
    if "OVERVIEW_PREDICTOR" in options:
        changes["predictor"] = options["OVERVIEW_PREDICTOR"]
    if "MAX_Z_ERROR_OVERVIEW" in options:
        changes["max_z_error"] = float(options["MAX_Z_ERROR_OVERVIEW"])
    return replace(encoding, **changes)


def _encoder(spec: ExportSpec, encoding: Encoding, mask_codec: TileCodec | None, verify: bool) -> TileEncoder:
    is_sparse = encoding.options.get("SPARSE_OK") == "YES"
    return TileEncoder(
        codec=codec_of(spec, encoding, PREDICTORS[encoding.predictor]),
        mask_codec=mask_codec,
        tile_height_px=encoding.tile_height_px,
        tile_width_px=encoding.tile_width_px,
        sparse_value=(0 if spec.nodata is None else spec.nodata) if is_sparse else None,
        verify=verify,
        bits=encoding.bits,
        is_framed=spec.has_cog_layout,
    )


def _mask_codec() -> TileCodec:
    """Return the codec of masks: bits in deflate, as GDAL writes them with any codec of the pixels."""
    return tile_codec("DEFLATE", dtype=np.dtype("uint8"), samples=1, predictor=NO_PREDICTOR)


def make_directories(
    levels: Sequence[Level],
    codecs: Sequence[TileCodec],
    mask_codec: TileCodec | None,
    described: Sequence[Tag],
) -> tuple[Directory, ...]:
    """Return the directories of a file.

    Args:
        levels: From the full resolution to the smallest overview.
        codecs: One for each level.
        mask_codec: Of the masks; None: there are none.
        described: What `geotiff_tags.descriptive_tags` returns.
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
    """Return the tags of the size of image and tiles, the compression, and those that the codec adds."""
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
