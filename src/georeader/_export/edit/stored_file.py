"""A tiled GeoTIFF as it is stored: tags and places of the tiles of each image, and their order in a COG. Pure.

References:
    TIFF 6.0, section 15 (tiles); GDAL's COG driver page, "Header ghost area" and "Tile data leader and trailer".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from georeader._export.receipt.receipt import LevelReceipt, level_receipt
from georeader._tiff.cog_layout import FRAME_BYTES, LEADER_BYTES, TRAILER_BYTES
from georeader._tiff.directories import Tag

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
    width_px: int
    height_px: int
    planes: int  #: Sets of tiles: one for each band, or one for all.
    tags: tuple[Tag, ...]  #: All but the tile arrays.
    offsets_bytes: NDArray[np.int64]  #: Of the tiles, plane by plane and row by row; 0 for a sparse tile.
    sizes_bytes: NDArray[np.int64]  #: Of them, without leaders and trailers; 0 for a sparse tile.

    def tag(self, number: int) -> Tag | None:
        """Return a tag, or None."""
        return next((tag for tag in self.tags if tag.number == number), None)


@dataclass(frozen=True, eq=False)
class TileOrder:
    """The tiles of a file that are not sparse, in the order in which a COG holds them."""

    images: NDArray[np.intp]  #: Position of each tile's image among those of the file.
    tiles: NDArray[np.intp]  #: Number of the tile in its image.
    starts_bytes: NDArray[np.int64]  #: Where its bytes begin in the stored file.
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
        return self.images[0].planes

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
        return TileOrder(image[there], tile[there], starts[there], sizes[there])

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
        if not len(order) or not is_framed or declares_masks != self.masks_follow_tiles:
            return None
        ends = order.starts_bytes + order.sizes_bytes
        if not np.array_equal(order.starts_bytes[1:], ends[:-1] + FRAME_BYTES):
            return None
        return int(order.starts_bytes[0]) - LEADER_BYTES, int(ends[-1]) + TRAILER_BYTES

    def levels(self) -> tuple[LevelReceipt, ...]:
        """Return what a receipt states of each level."""
        found = []
        for level in range(self.overview_count + 1):
            own = [image for image in self.images if image.level == level]
            longest_px = max(own[0].width_px, own[0].height_px)
            factor = round(max(self.images[0].width_px, self.images[0].height_px) / longest_px)
            sizes = [image.sizes_bytes for image in own]
            found.append(level_receipt(factor, own[0].width_px, own[0].height_px, sizes))
        return tuple(found)
