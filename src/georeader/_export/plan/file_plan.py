"""Plan of a file: predictor, codecs, tiles, directories. Pure.

Directories stand as GDAL orders them: the full resolution, its mask, the overviews from large to small, their masks.

References:
    TIFF 6.0, sections 8 (baseline tags), 15 (tiles) and 18 (ExtraSamples); RFC 15 of GDAL (masks, NewSubfileType 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._codecs.predictors import predictor_candidates, smallest_predictor
from georeader._codecs.registry import CODECS, NO_PREDICTOR, PREDICTORS
from georeader._codecs.tile_codec import TileCodec, tile_codec
from georeader._codecs.tiles import TileEncoder, cut_tile, largest_tile_bytes
from georeader._core.windows import PixelWindow
from georeader._export.plan.encoding import Encoding
from georeader._export.plan.grid import Level
from georeader._export.plan.spec import ExportSpec
from georeader._resample.pyramid import Reduction
from georeader._tiff.cog_layout import FRAME_BYTES, Directory
from georeader._tiff.directories import Tag, TagNumber, TagType, make_tag, size_tag

#: To choose a predictor, tiles are tried at this many places along each axis ...
PLACES = 3
#: ... but at most one in this many of all tiles.
ONE_IN = 4

#: Returns the (band, row, column) pixels of a window and of some bands.
Peek = Callable[[PixelWindow, slice], NDArray[Any]]

#: Bits of NewSubfileType (TIFF 6.0, section 8).
_REDUCED, _IS_MASK = 1, 4

#: PhotometricInterpretation of a mask.
_PHOTOMETRIC_MASK = 4

#: Tags that overviews have, too: those that describe pixels.
_PIXEL_TAGS = frozenset({
    TagNumber.BITS_PER_SAMPLE, TagNumber.PHOTOMETRIC, TagNumber.SAMPLES_PER_PIXEL, TagNumber.COLOR_MAP,
    TagNumber.EXTRA_SAMPLES, TagNumber.SAMPLE_FORMAT, TagNumber.GDAL_NODATA,
})  # fmt: skip


@dataclass(frozen=True)
class FilePlan:
    """The plan of a file."""

    spec: ExportSpec
    encoders: tuple[TileEncoder, ...]  #: One for each level
    reduction: Reduction  #: Of one level to the next

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels from the full resolution to the smallest overview."""
        return self.spec.levels

    @property
    def masks_follow_tiles(self) -> bool:
        """Whether each tile is followed by that of its mask, rather than all tiles of a level by all masks."""
        return self.spec.mask is not None and self.spec.planes == 1

    @property
    def place_count(self) -> int:
        """Number of tile positions in the whole file."""
        return sum(map(self.positions, self.levels))

    @property
    def tile_counts(self) -> dict[tuple[int, bool], int]:
        """Number of tiles of each level, and (True) of its masks where it has some."""
        counts = {(level.number, False): level.tile_count for level in self.levels}
        if self.spec.mask is not None:
            counts |= {(level.number, True): level.plane_tiles for level in self.levels}
        return counts

    @property
    def least_base_bytes(self) -> int:
        """Lower bound of the bytes of the full resolution."""
        spec, level = self.spec, self.levels[0]
        if spec.reused is not None:
            return self.most_base_bytes
        if spec.encoding.codec != "NONE" or self.encoders[0].sparse_value is not None:
            return 0
        stored_bytes = spec.tile_bytes
        if spec.encoding.bits is not None:
            row_samples = level.tile_width_px * spec.count // level.planes
            # Each row ends at a whole byte (TIFF 6.0, section 3).
            stored_bytes = level.tile_height_px * -(-row_samples * spec.encoding.bits // 8)
        return level.tile_count * (stored_bytes + FRAME_BYTES * spec.has_cog_layout)

    @property
    def most_base_bytes(self) -> int:
        """Upper bound of the bytes of the full resolution."""
        reused = self.spec.reused
        if reused is not None:
            return reused.tiles_bytes + FRAME_BYTES * self.spec.has_cog_layout * reused.tile_count
        return self._most_bytes(self.levels[0])

    @property
    def most_head_bytes(self) -> int:
        """Approximate upper bound of the bytes of header and overviews."""
        header_bytes = 2**20 + 24 * self.place_count * (1 + self.masks_follow_tiles)
        return header_bytes + sum(map(self._most_bytes, self.levels[1:]))

    def most_tile_bytes(self, level: int) -> int:
        """Return an upper bound of the bytes of a tile, with that of its mask where it follows."""
        encoding = self.spec.encoding
        codec = _overview_encoding(encoding).codec if level else encoding.codec
        return largest_tile_bytes(codec, self.spec.tile_bytes) + self.masks_follow_tiles * self._most_mask_bytes

    @property
    def _most_mask_bytes(self) -> int:
        level = self.levels[0]
        return largest_tile_bytes("DEFLATE", level.tile_height_px * level.tile_width_px // 8)

    def _most_bytes(self, level: Level) -> int:
        has_mask_plane = self.spec.mask is not None and not self.masks_follow_tiles
        mask_bytes = has_mask_plane * level.plane_tiles * self._most_mask_bytes
        return level.tile_count * self.most_tile_bytes(level.number) + mask_bytes

    def positions(self, level: Level) -> int:
        """Return the number of tile positions in a level: those of its bands, and of its masks if they are separate."""
        has_mask_plane = self.spec.mask is not None and level.planes > 1
        return (level.planes + has_mask_plane) * level.plane_tiles

    def directories(self, described: Sequence[Tag]) -> tuple[Directory, ...]:
        """Return the directories of the file, of which `geotiff_tags.descriptive_tags` describes the first."""
        images = [
            Directory(level.number, False, _image_tags(level, encoder.codec, described), level.tile_count)
            for level, encoder in zip(self.levels, self.encoders, strict=True)
        ]
        reused, mask_codec = self.spec.reused, self.encoders[0].mask_codec
        if reused is not None:
            images[0] = replace(images[0], tags=reused.image_directory(images[0].tags))
        if mask_codec is None:
            return tuple(images)
        masks = [
            Directory(level.number, True, _mask_tags(level, mask_codec), level.plane_tiles) for level in self.levels
        ]
        if reused is not None:
            masks[0] = replace(masks[0], tags=reused.mask_directory(masks[0].tags))
        return images[0], masks[0], *images[1:], *masks[1:]


def choose_predictor(spec: ExportSpec, peek: Peek, *, only_first_row: bool = False) -> ExportSpec:
    """Return the spec with a predictor in place of "AUTO": the one that makes the same few tiles the smallest.

    They are spread over the raster, or over the first row of tiles, where others cannot be read yet.
    """
    encoding = spec.encoding
    if encoding.predictor != "AUTO":
        return spec
    candidates = predictor_candidates(encoding.codec, spec.dtype)
    chosen = smallest_predictor(
        _samples(spec, peek, only_first_row), lambda number: _codec_of(spec, encoding, number), candidates
    )
    name = next(name for name, number in PREDICTORS.items() if number == chosen)
    return replace(spec, encoding=replace(encoding, predictor=name))


def _samples(spec: ExportSpec, peek: Peek, only_first_row: bool) -> Iterator[NDArray[Any]]:
    level = spec.levels[0]
    places = sample_places(level)
    if only_first_row:
        places = list(dict.fromkeys((0, column) for _, column in places))
    planes = [slice(None)] if level.planes == 1 else [slice(band, band + 1) for band in range(level.planes)]
    for place, plane in zip(places, cycle(planes), strict=False):
        yield cut_tile(peek(level.tiles.window(place), plane), level.tile_height_px, level.tile_width_px)


def sample_places(level: Level) -> list[tuple[int, int]]:
    """Return (row, column) of the tiles to try: the middle first, then others spread over the level."""
    down, across = level.tiles_down, level.tiles_across
    spread = sorted(
        product(_spread(down), _spread(across)),
        key=lambda place: abs(place[0] - down // 2) + abs(place[1] - across // 2),
    )
    return list(dict.fromkeys(spread))[: max(1, down * across // ONE_IN)]


def _spread(count: int) -> list[int]:
    return [count * (2 * place + 1) // (2 * PLACES) for place in range(PLACES)] if count >= PLACES else [count // 2]


def plan_file(spec: ExportSpec, *, verify: bool = False) -> FilePlan:
    """Plan a file from its spec alone, whose predictor is chosen."""
    base = _encoder(spec, spec.encoding, verify)
    overview = _encoder(spec, _overview_encoding(spec.encoding), verify) if spec.overview_factors else base
    encoders = (base, *(overview for _ in spec.overview_factors))
    return FilePlan(spec, encoders, Reduction(spec.resamplings, spec.nodata, spec.alpha_band))


def _codec_of(spec: ExportSpec, encoding: Encoding, predictor: int) -> TileCodec:
    """Return the codec of a file's tiles."""
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
        is_big_endian=spec.is_big_endian,
    )


def _overview_encoding(encoding: Encoding) -> Encoding:
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


def _encoder(spec: ExportSpec, encoding: Encoding, verify: bool) -> TileEncoder:
    is_sparse = encoding.options.get("SPARSE_OK") == "YES"
    # Masks are bits in deflate, as GDAL writes them with any codec of the pixels.
    mask_codec = tile_codec("DEFLATE", dtype=np.dtype("uint8"), samples=1, predictor=NO_PREDICTOR)
    return TileEncoder(
        codec=_codec_of(spec, encoding, PREDICTORS[encoding.predictor]),
        mask_codec=mask_codec if spec.mask else None,
        tile_height_px=encoding.tile_height_px,
        tile_width_px=encoding.tile_width_px,
        sparse_value=(0 if spec.nodata is None else spec.nodata) if is_sparse else None,
        verify=verify,
        bits=encoding.bits,
        is_framed=spec.has_cog_layout,
    )


def _image_tags(level: Level, codec: TileCodec, described: Sequence[Tag]) -> tuple[Tag, ...]:
    tags = {tag.number: tag for tag in described if level.number == 0 or tag.number in _PIXEL_TAGS}
    subfile_type = _REDUCED if level.number else 0
    tags |= {tag.number: tag for tag in _tile_tags(level, codec, subfile_type)}
    planar = 2 if level.planes > 1 else 1
    tags[TagNumber.PLANAR_CONFIGURATION] = make_tag(TagNumber.PLANAR_CONFIGURATION, TagType.SHORT, planar)
    if codec.photometric is not None:
        tags[TagNumber.PHOTOMETRIC] = make_tag(TagNumber.PHOTOMETRIC, TagType.SHORT, codec.photometric)
    return tuple(tags[number] for number in sorted(tags))


def _mask_tags(level: Level, codec: TileCodec) -> tuple[Tag, ...]:
    ones = (TagNumber.BITS_PER_SAMPLE, TagNumber.SAMPLES_PER_PIXEL, TagNumber.PLANAR_CONFIGURATION)
    tags = [make_tag(number, TagType.SHORT, 1) for number in (*ones, TagNumber.SAMPLE_FORMAT)]
    tags.append(make_tag(TagNumber.PHOTOMETRIC, TagType.SHORT, _PHOTOMETRIC_MASK))
    tags += _tile_tags(level, codec, _IS_MASK | (_REDUCED if level.number else 0))
    return tuple(sorted(tags, key=lambda tag: tag.number))


def _tile_tags(level: Level, codec: TileCodec, subfile_type: int) -> list[Tag]:
    """Return the tags of the size of image and tiles, the compression, and those that the codec adds."""
    tags = [
        size_tag(TagNumber.IMAGE_WIDTH, level.width_px),
        size_tag(TagNumber.IMAGE_LENGTH, level.height_px),
        make_tag(TagNumber.COMPRESSION, TagType.SHORT, codec.compression_tag),
        size_tag(TagNumber.TILE_WIDTH, level.tile_width_px),
        size_tag(TagNumber.TILE_LENGTH, level.tile_height_px),
        *(make_tag(number, tag_type, *values) for number, tag_type, values in codec.tags),
    ]
    if subfile_type:
        tags.append(make_tag(TagNumber.NEW_SUBFILE_TYPE, TagType.LONG, subfile_type))
    return tags
