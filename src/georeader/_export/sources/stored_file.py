"""A tiled GeoTIFF as it is stored: tags and places of the tiles of each image, and their order in a COG.

Overviews and masks may lie in files beside it (.ovr, .msk).

References:
    TIFF 6.0, sections 8 (NewSubfileType and PhotometricInterpretation of masks) and 15 (tiles); GDAL's COG driver page,
    "Header ghost area" and "Tile data leader and trailer"; GDAL's raster data model, "Mask bands" (.msk).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from georeader._export.receipt.receipt import LevelReceipt, level_receipt
from georeader._readers.byte_source import ByteSource
from georeader._readers.measurement import MeasuredDirectory, Measurement, RoleKind
from georeader._readers.pixel_layout import PixelLayout
from georeader._readers.structure import MASK, REDUCED
from georeader._tiff.cog_layout import FRAME_BYTES, LEADER_BYTES, TRAILER_BYTES
from georeader._tiff.directories import BIG, Tag, TagNumber, TagType, make_tag
from georeader._tiff.parser import ParsedDirectory, read_directories
from georeader.errors import NotSupportedError, ReadError

#: Tags whose values are offsets of further directories.
_POINTERS = {330: "SubIFDs", 34665: "Exif IFD", 34853: "GPS IFD", 40965: "Interoperability IFD"}

_ARRAYS = (TagNumber.TILE_OFFSETS, TagNumber.TILE_BYTE_COUNTS)

#: Tags that describe a raster: place, GDAL's metadata and nodata. Masks have none of them.
_OF_RASTERS = frozenset({
    TagNumber.MODEL_PIXEL_SCALE, TagNumber.MODEL_TIEPOINT, TagNumber.MODEL_TRANSFORMATION,
    TagNumber.GEO_KEY_DIRECTORY, TagNumber.GEO_DOUBLE_PARAMS, TagNumber.GEO_ASCII_PARAMS,
    TagNumber.GDAL_METADATA, TagNumber.GDAL_NODATA,
})  # fmt: skip

#: Tags of colours, and values of PhotometricInterpretation: of a mask, and of JPEG's own colour model.
_COLOURS = frozenset({TagNumber.PHOTOMETRIC, TagNumber.COLOR_MAP, TagNumber.EXTRA_SAMPLES})
_PHOTOMETRIC_MASK, _YCBCR = 4, 6

#: In what overviews are as the raster, and masks as their image.
_KINDS, _TILE_SIDES = ("samples", "bits", "sample_format", "planes"), ("tile_width_px", "tile_height_px")

#: What to do with a file that an edit does not take over.
ANEW = "save_cog(path, out) takes it into one file"

#: Tiles are read at once where the gaps between them are no larger than this.
GAP_BYTES = 2**16

#: GDAL's structural metadata of a file in whose layout each tile has a leader and a trailer. All must hold.
_FRAMED = {
    "LAYOUT": "IFDS_BEFORE_DATA",
    "BLOCK_ORDER": "ROW_MAJOR",
    "BLOCK_LEADER": "SIZE_AS_UINT4",
    "BLOCK_TRAILER": "LAST_4_BYTES_REPEATED",
    "KNOWN_INCOMPATIBLE_EDITION": "NO",
}


@dataclass(frozen=True, eq=False)
class StoredImage:
    """The raster, an overview of it, or the mask of either."""

    level: int
    is_mask: bool
    layout: PixelLayout
    tags: tuple[Tag, ...]  #: All but the tile arrays.
    offsets_bytes: NDArray[np.int64]  #: Of the tiles, plane by plane and row by row; 0 for a sparse tile.
    sizes_bytes: NDArray[np.int64]  #: Of them, without leaders and trailers; 0 for a sparse tile.
    file: int = 0  #: Position of the file that has them: the raster's own, or one beside it.

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height)."""
        return self.layout.width_px, self.layout.height_px

    def tag(self, number: int) -> Tag | None:
        """Return a tag, or None."""
        return next((tag for tag in self.tags if tag.number == number), None)


@dataclass(frozen=True, eq=False)
class TileOrder:
    """The tiles of a file that are not sparse, in the order in which a COG holds them."""

    images: NDArray[np.intp]  #: Position of each tile's image among those of the file.
    tiles: NDArray[np.intp]  #: Number of the tile in its image.
    files: NDArray[np.intp]  #: Position of the file that has it.
    starts_bytes: NDArray[np.int64]  #: Where its bytes begin in that file.
    sizes_bytes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.tiles)


@dataclass(frozen=True, eq=False)
class StoredFile:
    """A tiled GeoTIFF; its images stand as in the header of a COG."""

    size_bytes: int
    is_bigtiff: bool
    is_big_endian: bool
    structure: Mapping[str, str]  #: GDAL's structural metadata, by their names; empty where there are none.
    images: tuple[StoredImage, ...]

    @property
    def planes(self) -> int:
        """Sets of tiles of the raster: one for each band, or one for all."""
        return self.images[0].layout.planes

    @property
    def masks_follow_tiles(self) -> bool:
        """Whether each tile is followed by that of its mask, rather than all tiles of a level by all masks."""
        return self.planes == 1 and any(image.is_mask for image in self.images)

    @property
    def overview_count(self) -> int:
        """Number of overviews."""
        return max(image.level for image in self.images)

    @cached_property
    def order(self) -> TileOrder:
        """The tiles, those of the smallest overview first."""
        images, tiles = [], []
        for level in range(self.overview_count, -1, -1):
            for group in self._groups(level):
                count = len(self.images[group[0]].sizes_bytes)
                images.append(np.tile(np.array(group, np.intp), count))
                tiles.append(np.repeat(np.arange(count, dtype=np.intp), len(group)))
        image, tile = np.concatenate(images), np.concatenate(tiles)
        starts, sizes = np.empty(len(tile), np.int64), np.empty(len(tile), np.int64)
        for number, stored in enumerate(self.images):
            own = image == number
            starts[own], sizes[own] = stored.offsets_bytes[tile[own]], stored.sizes_bytes[tile[own]]
        there = sizes > 0
        files = np.array([one.file for one in self.images], np.intp)[image]
        return TileOrder(image[there], tile[there], files[there], starts[there], sizes[there])

    def _groups(self, level: int) -> Sequence[tuple[int, ...]]:
        """Return the images of a level whose tiles come in turn, group by group."""
        own = [number for number, image in enumerate(self.images) if image.level == level]
        pixels = [number for number in own if not self.images[number].is_mask]
        masks = [number for number in own if self.images[number].is_mask]
        return [(*pixels, *masks)] if self.masks_follow_tiles and masks else [(number,) for number in pixels + masks]

    @cached_property
    def data_range_bytes(self) -> tuple[int, int] | None:
        """Where the tiles begin and end if they stand as in a COG, leaders and trailers included; else None."""
        order = self.order
        is_framed = all(self.structure.get(name) == value for name, value in _FRAMED.items())
        declares_masks = self.structure.get("MASK_INTERLEAVED_WITH_IMAGERY") == "YES"
        if not len(order) or order.files.any() or not is_framed or declares_masks != self.masks_follow_tiles:
            return None
        ends = order.starts_bytes + order.sizes_bytes
        if not np.array_equal(order.starts_bytes[1:], ends[:-1] + FRAME_BYTES):
            return None
        return int(order.starts_bytes[0]) - LEADER_BYTES, int(ends[-1]) + TRAILER_BYTES

    def with_images(self, images: Iterable[StoredImage]) -> StoredFile:
        """Return the file with further images."""
        return replace(self, images=tuple(sorted((*self.images, *images), key=_place_in_header)))

    def levels(self) -> tuple[LevelReceipt, ...]:
        """Return what a receipt states of each level."""
        found = []
        for level in range(self.overview_count + 1):
            own = [image for image in self.images if image.level == level]
            base, layout = self.images[0].layout, own[0].layout
            factor = round(max(base.width_px, base.height_px) / max(layout.width_px, layout.height_px))
            sizes = [image.sizes_bytes for image in own]
            found.append(level_receipt(factor, layout.width_px, layout.height_px, sizes))
        return tuple(found)


def stored_file(source: ByteSource, measurement: Measurement) -> StoredFile:
    """Return a tiled file with everything in it; raise NotSupportedError if it holds more than a `StoredFile` does."""
    return StoredFile(
        size_bytes=source.size_bytes,
        is_bigtiff=measurement.version == BIG.name,
        is_big_endian=measurement.byte_order == "big-endian",
        structure={} if measurement.ghost is None else measurement.ghost.items,
        images=tuple(sorted(images_of(source, measurement), key=_place_in_header)),
    )


def _place_in_header(image: StoredImage) -> tuple[bool, bool, int]:
    return image.level > 0, image.is_mask, image.level


def images_of(source: ByteSource, measurement: Measurement) -> tuple[StoredImage, ...]:
    """Return all images of a file; raise NotSupportedError for anything else in it, or without tiles."""
    parsed = {one.number: one for one in read_directories(source, report=lambda _: None)}
    found = []
    for one in measurement.directories:
        layout = _tiled_layout(source.name, one)
        _check_pointers(source.name, one, parsed[one.number])
        found.append(stored_image(one, layout, parsed[one.number]))
    return tuple(found)


def with_overviews(stored: StoredFile, images: Sequence[StoredImage], file: int, name: str) -> StoredFile:
    """Return a stored file with the overviews, and their masks, of a file beside it; none where it has its own."""
    if stored.overview_count:
        return stored
    base = stored.images[0].layout
    added = []
    for image in images:
        layout = image.layout
        if not image.is_mask and any(getattr(layout, kind) != getattr(base, kind) for kind in _KINDS):
            raise NotSupportedError(f"{name}: its bands, or their interleave, are not those of the raster; {ANEW}")
        tags = image.tags if image.is_mask else _coloured_as(stored.images[0], image)
        tags = _with_subfile_type(tags, REDUCED | MASK * image.is_mask)
        added.append(replace(image, level=image.level + 1, tags=tags, file=file))
    return stored.with_images(added)


def _coloured_as(base: StoredImage, image: StoredImage) -> tuple[Tag, ...]:
    """Return the tags of an overview with the colours of the raster, unless tiles of one are encoded as YCbCr.

    GDAL declares any three bands of external overviews red, green and blue.
    """
    if _YCBCR in (base.layout.photometric, image.layout.photometric):
        return image.tags
    colours = (tag for tag in base.tags if tag.number in _COLOURS)
    return (*colours, *(tag for tag in image.tags if tag.number not in _COLOURS))


def with_masks(stored: StoredFile, images: Sequence[StoredImage], file: int, name: str) -> StoredFile:
    """Return a stored file with the masks of a file beside it, by the sizes of images; none where it has its own."""
    if any(image.is_mask and image.level == image.file == 0 for image in stored.images):
        return stored
    unmasked = {image.size_px: image for image in stored.images}
    for image in stored.images:
        if image.is_mask:
            unmasked.pop(image.size_px, None)
    masks = []
    for image in images:
        masked = unmasked.get(image.size_px)
        if image.is_mask or image.layout.samples != 1:
            raise NotSupportedError(f"{name} has a mask for each band, and a GeoTIFF has one for all")
        if masked is None:
            continue
        if any(getattr(image.layout, side) != getattr(masked.layout, side) for side in _TILE_SIDES):
            raise NotSupportedError(f"{name}: its tiles are not of the size that those of the raster have; {ANEW}")
        masks.append(replace(image, level=masked.level, is_mask=True, tags=_tags_of_mask(image, masked), file=file))
    return stored.with_images(masks)


def _tags_of_mask(image: StoredImage, masked: StoredImage) -> tuple[Tag, ...]:
    """Return the tags of a mask in the file of its image, without what describes it as a raster."""
    kept = [tag for tag in image.tags if tag.number not in {*_OF_RASTERS, TagNumber.PHOTOMETRIC}]
    kept.append(make_tag(TagNumber.PHOTOMETRIC, TagType.SHORT, _PHOTOMETRIC_MASK))
    return _with_subfile_type(kept, MASK | REDUCED * (masked.level > 0))


def _with_subfile_type(tags: Iterable[Tag], subfile_type: int) -> tuple[Tag, ...]:
    others = (tag for tag in tags if tag.number != TagNumber.NEW_SUBFILE_TYPE)
    own = make_tag(TagNumber.NEW_SUBFILE_TYPE, TagType.LONG, subfile_type)
    return tuple(sorted((own, *others), key=lambda tag: tag.number))


def _tiled_layout(name: str, directory: MeasuredDirectory) -> PixelLayout:
    """Return the layout of the raster, an overview or a mask; raises NotSupportedError for anything else."""
    if directory.role.kind is RoleKind.OTHER or directory.role.level is None or directory.layout is None:
        raise NotSupportedError(
            f"{name}: IFD {directory.number} is neither the raster, an overview nor a mask; an edit would lose it"
        )
    if not directory.layout.is_tiled:
        raise NotSupportedError(f"{name}: {directory.title} is stored in strips; save_cog(path, out) writes tiles")
    return directory.layout


def _check_pointers(name: str, measured: MeasuredDirectory, parsed: ParsedDirectory) -> None:
    for entry in parsed.entries.values():
        if entry.number in _POINTERS or entry.type in (TagType.IFD, TagType.IFD8):
            title = _POINTERS.get(entry.number, f"tag {entry.number}")
            raise NotSupportedError(f"{name}: {measured.title} has {title}, which an edit would lose")


def stored_image(measured: MeasuredDirectory, layout: PixelLayout, parsed: ParsedDirectory) -> StoredImage:
    """Return an image with its tags and the places of its tiles."""
    entries = parsed.entries.values()
    tags = [entry.tag() for entry in entries if entry.number not in _ARRAYS and entry.is_readable]
    return StoredImage(
        level=measured.role.level or 0,
        is_mask=measured.role.kind is RoleKind.MASK,
        layout=layout,
        tags=tuple(tags),
        offsets_bytes=measured.tile_offsets_bytes.astype(np.int64),
        sizes_bytes=np.where(measured.present, measured.tile_sizes_bytes, 0).astype(np.int64),
    )


def check_frames(source: ByteSource, stored: StoredFile) -> None:
    """Check leaders and trailers that are copied with the tiles; of a remote file, reading them would take requests."""
    if not source.is_local or stored.data_range_bytes is None:
        return
    start_bytes, _ = stored.data_range_bytes
    leader = source.read_at(start_bytes, LEADER_BYTES)
    sizes = stored.order.sizes_bytes.tolist()
    ends = (stored.order.starts_bytes + stored.order.sizes_bytes).tolist()
    for end, size, following in zip(ends, sizes, [*sizes[1:], 0], strict=True):
        kept = min(size, TRAILER_BYTES)
        around = source.read_at(end - kept, kept + TRAILER_BYTES + LEADER_BYTES * bool(following))
        last, trailer = around[:kept], around[kept : kept + TRAILER_BYTES]
        if int.from_bytes(leader, "little") != size or (kept == TRAILER_BYTES and trailer != last):
            raise ReadError(
                f"{source.name} cannot be edited: the bytes around the tile that ends at byte {end} are not its size "
                "and its last bytes; GDAL reads tiles by them; save_cog(path, out) writes the file anew"
            )
        leader = around[kept + TRAILER_BYTES :]


def read_tiles(source: ByteSource, starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[bytes]:
    """Return the bytes of tiles, none of a sparse one; those that lie together are read at once."""
    tiles = [b""] * len(sizes)
    for together in _runs(starts, sizes):
        begin, end = int(starts[together[0]]), max(int(starts[tile] + sizes[tile]) for tile in together)
        data = source.read_at(begin, end - begin)
        for tile in together:
            offset = int(starts[tile]) - begin
            tiles[tile] = data[offset : offset + int(sizes[tile])]
    return tiles


def _runs(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> Iterator[list[int]]:
    """Iterate over groups of tiles that lie together in the file."""
    there = np.flatnonzero(sizes)
    by_place = there[np.argsort(starts[there], kind="stable")]
    if not len(by_place):
        return
    gaps = starts[by_place[1:]] - (starts + sizes)[by_place[:-1]]
    for run in np.split(by_place, np.flatnonzero(gaps > GAP_BYTES) + 1):
        yield run.tolist()
