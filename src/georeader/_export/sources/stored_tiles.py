"""Encoded tiles of a raster file that a save takes over as they are, where the encoding of the file stays the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from georeader._codecs.registry import CODECS, PREDICTORS
from georeader._codecs.tiles import EncodedTiles, join_tiles
from georeader._core.threads import Task
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.reused import ENCODING_TAGS, ReusedTiles
from georeader._export.plan.spec import ExportSpec, SourceSpec
from georeader._export.sources.protocol import Source
from georeader._export.sources.raster_file import RasterSource
from georeader._export.sources.stored_file import StoredImage, read_tiles, stored_image
from georeader._readers.byte_source import ByteSource, open_bytes
from georeader._readers.measurement import (
    FaultLog,
    MeasuredDirectory,
    Measurement,
    overlapping,
    past_the_end,
    structure_of,
    tile_table,
    touching,
)
from georeader._readers.pixel_layout import SAMPLE_FORMATS, PixelLayout
from georeader._readers.structure import read_structure
from georeader._tiff.parser import ParsedDirectory, read_directories
from georeader.errors import GeoreaderError
from georeader.rasterio_reader import RasterioReader

#: Tiles are read in runs of so many bytes, or of so many tiles.
RUN_BYTES, RUN_TILES = 2 * 2**20, 1024

#: Options that ask for an encoding of their own; with one of them, tiles are encoded anew.
_EFFORT_FIELDS = frozenset({"level", "quality", "lossless", "max_z_error", "effort", "distance", "bits"})

#: The colour models of `ExportSpec.photometric` by the values of PhotometricInterpretation.
_PHOTOMETRICS = {0: "MINISWHITE", 1: "MINISBLACK", 2: "RGB", 3: "PALETTE", 6: "YCBCR"}

#: Value of PhotometricInterpretation of a mask.
_MASK = 4


@dataclass(frozen=True, eq=False)
class StoredTiles:
    """The full resolution of a tiled file, and its mask, as they are stored."""

    source: ByteSource
    image: StoredImage
    mask: StoredImage | None
    is_big_endian: bool

    @property
    def images(self) -> tuple[StoredImage, ...]:
        """The image, and its mask if it has one."""
        return (self.image,) if self.mask is None else (self.image, self.mask)

    def runs(self, *, is_framed: bool) -> Iterator[Task[tuple[int, list[EncodedTiles]]]]:
        """Iterate over tasks that read tiles, in the order of the file: each returns a plane and some of its tiles."""
        layout = self.image.layout
        plane_tiles = layout.tiles_across * layout.tiles_down
        for plane in range(layout.planes):
            images = self.images if layout.planes == 1 else (self.image,)
            tiles = range(plane * plane_tiles, (plane + 1) * plane_tiles)
            yield from _runs_of(self.source, images, plane, tiles, is_framed)
        if self.mask is not None and layout.planes > 1:
            yield from _runs_of(self.source, (self.mask,), layout.planes, range(plane_tiles), is_framed)


def _runs_of(
    source: ByteSource, images: tuple[StoredImage, ...], plane: int, tiles: range, is_framed: bool
) -> Iterator[Task[tuple[int, list[EncodedTiles]]]]:
    sizes = sum(image.sizes_bytes[tiles.start : tiles.stop] for image in images)
    ends = np.cumsum(sizes)
    start = 0
    while start < len(tiles):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + RUN_BYTES, side="right")))
        stop = min(stop, start + RUN_TILES, len(tiles))
        run = slice(tiles.start + start, tiles.start + stop)
        yield Task(partial(_read_run, source, images, plane, run, is_framed), int(ends[stop - 1]) - before)
        start = stop


def _read_run(
    source: ByteSource, images: tuple[StoredImage, ...], plane: int, run: slice, is_framed: bool
) -> tuple[int, list[EncodedTiles]]:
    """Read neighbouring tiles of a plane, each with that of its mask if it follows."""
    starts = np.concatenate([image.offsets_bytes[run] for image in images])
    sizes = np.concatenate([image.sizes_bytes[run] for image in images])
    found = read_tiles(source, starts, sizes)
    count = run.stop - run.start
    in_turn: list[list[bytes]] = [found[tile::count] for tile in range(count)]
    return plane, [join_tiles([(part, ()) for part in parts], is_framed=is_framed) for parts in in_turn]


@contextmanager
def open_stored(data: Any, source: Source, request: SaveRequest) -> Iterator[StoredTiles | None]:
    """Open the encoded tiles of a path or a reader of a whole file; None where there is nothing to take over.

    ``source`` is what the data were opened as.
    """
    is_tiled = isinstance(source, RasterSource) and source.is_tiled_geotiff
    place = _place_of(data) if is_tiled and _may_reuse(request) else None
    if place is None:
        yield None
        return
    try:
        opened = open_bytes(*place)
        stored = opened.__enter__()
    except GeoreaderError:  # GDAL reads it, by credentials or a package that only GDAL needs not
        yield None
        return
    try:
        yield _stored(stored)
    finally:
        opened.__exit__(None, None, None)


def _may_reuse(request: SaveRequest) -> bool:
    """Return whether the arguments of a save allow to take tiles over."""
    presets = request.options.preset, request.defaults.preset
    asks_for_another = presets != (None, None) or bool(_EFFORT_FIELDS & request.options.fields.keys())
    return request.reuse_tiles and not request.verify and request.engine != "gdal" and not asks_for_another


def _place_of(data: Any) -> tuple[str, Any] | None:
    """Return path and filesystem of data that are a whole file; None for anything else."""
    if isinstance(data, (str, os.PathLike)):
        return (os.fsdecode(data), None) if not hasattr(data, "fs") else None
    if type(data) is not RasterioReader or data.overview_level is not None:
        return None
    is_whole = data.window_focus == data._file_window() and data.indexes == list(range(1, data._file.info.count + 1))
    return (data.path, data.fs) if is_whole else None


def _stored(source: ByteSource) -> StoredTiles | None:
    """Return the tiles of a file without a fault; None for any other."""
    log = FaultLog()
    measurement = read_structure(source, log)
    if not measurement.images or log.faults() or not _is_sound(measurement):
        return None
    parsed = {one.number: one for one in read_directories(source)}
    mask = measurement.mask_of(0)
    image = _encoding_of(measurement.images[0], parsed)
    if image is None or _is_old_lzw(source, image):
        return None
    return StoredTiles(
        source, image, None if mask is None else _encoding_of(mask, parsed), measurement.byte_order == "big-endian"
    )


def _is_old_lzw(source: ByteSource, image: StoredImage) -> bool:
    """Return whether tiles are LZW with codes from the least significant bit on, of writers before TIFF 6.0.

    libtiff decodes them, but hardly another reader.
    """
    there = np.flatnonzero(image.sizes_bytes > 1)
    if image.layout.compression_name != "LZW" or not len(there):
        return False
    first, second = source.read_at(int(image.offsets_bytes[there[0]]), 2)
    return first == 0 and second & 1 == 1  # a Clear code in that order, as libtiff finds out


def _encoding_of(measured: MeasuredDirectory, parsed: Mapping[int, ParsedDirectory]) -> StoredImage | None:
    """Return an image with the tags of its encoding alone; None where they do not declare it."""
    if measured.layout is None:
        return None
    whole = stored_image(measured, measured.layout, parsed[measured.number])
    return replace(whole, tags=tuple(tag for tag in whole.tags if tag.number in ENCODING_TAGS))


def _is_sound(measurement: Measurement) -> bool:
    """Return whether all tiles lie inside the file, and overlap neither one another nor its structure."""
    if any(past_the_end(one, measurement.size_bytes).any() for one in measurement.directories):
        return False
    table = tile_table(measurement.directories, measurement.size_bytes)
    structure = structure_of(measurement, with_values=True)
    return not (overlapping(table) | touching(table.starts, table.ends, structure)).any()


def take_over(spec: ExportSpec, stored: StoredTiles | None, source: SourceSpec, request: SaveRequest) -> ExportSpec:
    """Return the spec of a file that takes over stored tiles; unchanged where its encoding is another one."""
    if stored is None:
        return spec
    encoding, layout = spec.encoding, stored.image.layout
    predictor = next(name for name, number in PREDICTORS.items() if number == layout.predictor)
    if "predictor" not in request.options.fields:
        encoding = replace(encoding, predictor=predictor if CODECS[encoding.codec].takes_predictor else "NO")
    if layout.compression_name == "JPEG" and _PHOTOMETRICS.get(layout.photometric or -1) == "RGB":
        encoding = replace(encoding, photometric="RGB")
    same = replace(spec, encoding=encoding)
    if spec.mask == "nodata" and stored.mask is None:  # a lossy codec has blurred it already
        same = replace(same, mask=None, nodata=spec.nodata_as_mask, nodata_as_mask=None)
    if not (_keeps_pixels(same, source) and _keeps_encoding(same, layout) and _keeps_mask(same, stored)):
        return spec
    sizes = np.concatenate([image.sizes_bytes for image in stored.images])
    reused = ReusedTiles(
        image_tags=stored.image.tags,
        mask_tags=() if stored.mask is None else stored.mask.tags,
        tile_count=int(np.count_nonzero(sizes)),
        tiles_bytes=int(sizes.sum()),
        is_big_endian=stored.is_big_endian,
    )
    return replace(same, reused=reused)


def _keeps_pixels(spec: ExportSpec, source: SourceSpec) -> bool:
    """Return whether each pixel is stored as the source has it."""
    return (
        spec.warp is None
        and not spec.encoding.warps
        and not spec.is_mirrored
        and not spec.encoding.nan_to_nodata
        and spec.encoding.bits is None
        and source.dtype == spec.dtype
        and source.count == spec.count
    )


def _keeps_encoding(spec: ExportSpec, layout: PixelLayout) -> bool:
    """Return whether tiles are stored as the file would have them."""
    encoding = spec.encoding
    kind = {"u": "uint", "i": "int", "f": "float", "c": "complex"}[spec.dtype.kind]
    return (
        layout.is_tiled
        and (layout.tile_width_px, layout.tile_height_px) == (encoding.tile_width_px, encoding.tile_height_px)
        and (layout.width_px, layout.height_px, layout.samples) == (spec.width_px, spec.height_px, spec.count)
        and layout.planes == spec.planes
        and layout.compression_name == encoding.codec
        and layout.predictor == PREDICTORS[encoding.predictor]
        and (SAMPLE_FORMATS.get(layout.sample_format), layout.bits) == (kind, 8 * spec.dtype.itemsize)
        and layout.fill_order == 1
        and _PHOTOMETRICS.get(-1 if layout.photometric is None else layout.photometric) == spec.photometric
    )


def _keeps_mask(spec: ExportSpec, stored: StoredTiles) -> bool:
    """Return whether the file has a mask exactly where the stored one has, in tiles of the same size."""
    if spec.mask is None or stored.mask is None:
        return spec.mask is None and stored.mask is None
    mask, image = stored.mask.layout, stored.image.layout
    same = ("width_px", "height_px", "tile_width_px", "tile_height_px", "is_tiled")
    return (
        spec.mask == "dataset"
        and all(getattr(mask, name) == getattr(image, name) for name in same)
        and mask.samples == 1
        and mask.photometric == _MASK
    )


def profile_of(measurement: Measurement) -> dict[str, Any]:
    """Return the creation options of a file's full resolution, as far as this project writes such files."""
    layout = measurement.images[0].layout if measurement.images else None
    if layout is None or layout.compression_name not in CODECS:
        return {}
    codec = CODECS[layout.compression_name]
    profile: dict[str, Any] = {"compress": codec.name, "interleave": layout.interleave}
    if codec.takes_predictor:
        profile["predictor"] = layout.predictor
    if layout.is_tiled:
        profile |= {"blockxsize": layout.tile_width_px, "blockysize": layout.tile_height_px}
    return profile
