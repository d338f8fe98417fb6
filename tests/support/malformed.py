"""Makes malformed files out of valid ones, each with one detectable fault.

Where things stand in a good file is asked of tifffile, which is not ours.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import imagecodecs
import numpy as np
import rasterio
import tifffile
from affine import Affine

from effort import often
from georeader import GeoTensor, save_cog

OFFSETS, SIZES, WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES = 324, 325, 256, 257, 258, 259, 277
TILE_WIDTH, TILE_HEIGHT, SUBFILE, PLANAR, SAMPLE_FORMAT = 322, 323, 254, 284, 339


@dataclass(frozen=True)
class Entry:
    """An entry of a directory: its offset, and that of its values."""

    at: int
    values_at: int
    count: int
    width: int


@dataclass(frozen=True)
class Good:
    """A valid little-endian COG, and offsets in it."""

    content: bytes = field(repr=False)

    @property
    def is_big(self) -> bool:
        return self.content[2] == 43

    @property
    def first_at(self) -> int:
        """The position of the first directory's offset."""
        return 8 if self.is_big else 4

    @cached_property
    def directories(self) -> list[tuple[int, dict[int, Entry]]]:
        """Offset and entries of each directory."""
        with tifffile.TiffFile(io.BytesIO(self.content)) as file:
            return [
                (page.offset, {tag.code: Entry(tag.offset, tag.valueoffset, tag.count, struct.calcsize(tag.dataformat))
                               for tag in page.tags})
                for page in file.pages
            ]  # fmt: skip

    def entry(self, tag: int, directory: int = 0) -> Entry:
        return self.directories[directory][1][tag]

    def offset(self, directory: int) -> int:
        return self.directories[directory][0]

    def next_at(self, directory: int) -> int:
        """The position of the next directory's offset."""
        offset, entries = self.directories[directory]
        return offset + (8 + 20 * len(entries) if self.is_big else 2 + 12 * len(entries))

    def values(self, tag: int, directory: int = 0) -> list[int]:
        entry = self.entry(tag, directory)
        data = self.content[entry.values_at : entry.values_at + entry.count * entry.width]
        return np.frombuffer(data, f"<u{entry.width}").tolist()

    def tile(self, number: int = 0, directory: int = 0) -> tuple[int, int]:
        """Offset and size of a tile."""
        return self.values(OFFSETS, directory)[number], self.values(SIZES, directory)[number]

    # Editing.

    def put(self, at: int, data: bytes) -> bytes:
        return self.content[:at] + data + self.content[at + len(data) :]

    def flip(self, at: int, mask: int = 0xFF) -> bytes:
        return self.put(at, bytes([self.content[at] ^ mask]))

    def pointer(self, at: int, value: int) -> bytes:
        return self.put(at, struct.pack("<Q" if self.is_big else "<I", value % 2 ** (64 if self.is_big else 32)))

    def set_value(self, tag: int, value: int, number: int = 0, directory: int = 0) -> bytes:
        entry = self.entry(tag, directory)
        data = (value % 2 ** (8 * entry.width)).to_bytes(entry.width, "little")
        return self.put(entry.values_at + number * entry.width, data)

    def set_count(self, tag: int, value: int, directory: int = 0) -> bytes:
        return self.pointer(self.entry(tag, directory).at + 4, value)

    def set_type(self, tag: int, value: int) -> bytes:
        return self.put(self.entry(tag).at + 2, struct.pack("<H", value))

    def set_tile(self, data: bytes, number: int = 0) -> bytes:
        """Replace a tile by other bytes: after the last one, framed as GDAL frames them."""
        at = len(self.content) + 4
        moved = Good(self.set_value(OFFSETS, at, number)).set_value(SIZES, len(data), number)
        return moved + struct.pack("<I", len(data)) + data + data[-4:]


# Good files.


def pixels(bands: int = 3, height: int = 200, width: int = 250, dtype: str = "uint8") -> np.ndarray:
    steps = np.random.default_rng(5).integers(0, 4, (bands, height, width))
    return (np.cumsum(steps, axis=2) % 200 + 1).astype(dtype)


def good(folder: Path, *, has_mask: bool = False, engine: str = "stream", **profile: object) -> Good:
    """A COG of three levels, in tiles of 64 x 64 pixels."""
    attrs = {"mask": np.random.default_rng(6).random((200, 250)) > 0.3} if has_mask else {}
    tensor = GeoTensor(pixels(), Affine(10, 0, 5e5, 0, -10, 4e6), "EPSG:32630", None, attrs=attrs)
    path = folder / "good.tif"
    save_cog(tensor, path, engine=engine, profile_arg={"BLOCKSIZE": 64, "OVERVIEW_COUNT": 2, "predictor": 1} | profile)
    return Good(path.read_bytes())


#: What the good files are: save_cog's arguments.
BASES: dict[str, dict[str, object]] = {
    "lzw": {"compress": "lzw"},
    "zstd": {"compress": "zstd"},
    "jpeg with a mask": {"compress": "jpeg", "has_mask": True},
    "bands apart": {"compress": "lzw", "INTERLEAVE": "BAND"},
    "lzw, BigTIFF": {"compress": "lzw", "BIGTIFF": "YES"},
    "zstd, BigTIFF of GDAL": {"compress": "zstd", "BIGTIFF": "YES", "engine": "gdal"},
    "jpeg with a mask, BigTIFF of GDAL": {"compress": "jpeg", "has_mask": True, "BIGTIFF": "YES", "engine": "gdal"},
    "bands apart, BigTIFF": {"compress": "lzw", "INTERLEAVE": "BAND", "BIGTIFF": "YES"},
}

# What is made of them.

PLACES = often(50, usually=20)


def truncated(file: Good, place: int) -> bytes:
    """The file up to one of so many places; the last one leaves out a single byte."""
    return file.content[: (len(file.content) - 1) * place // (PLACES - 1)]


def _swapped_tags(file: Good) -> bytes:
    first, second = file.entry(WIDTH).at, file.entry(HEIGHT).at
    size = second - first
    return file.put(first, file.content[second : second + size] + file.content[first : first + size])


def _swapped_tiles(file: Good) -> bytes:
    """Two tiles are swapped in the arrays: each is whole, but their order is wrong."""
    swapped = file
    for tag in (OFFSETS, SIZES):
        first, second = file.values(tag)[:2]
        swapped = Good(Good(swapped.set_value(tag, second, 0)).set_value(tag, first, 1))
    return swapped.content


def _overview_first(file: Good) -> bytes:
    """The chain begins with the largest overview, then comes the raster."""
    images = [number for number, (_, entries) in enumerate(file.directories) if SUBFILE not in entries or
              file.values(SUBFILE, number)[0] in (0, 1)]  # fmt: skip
    base, overview, rest = images[0], images[1], images[2]
    begun = Good(file.pointer(file.first_at, file.offset(overview)))
    turned = Good(begun.pointer(file.next_at(overview), file.offset(base)))
    return turned.pointer(file.next_at(base), file.offset(rest))


def _undecodable(file: Good) -> bytes:
    """A tile whose bytes are all the same: no codec takes that for so many pixels."""
    offset, size = file.tile(1)
    return file.put(offset, b"\x80\x0b" * ((size - 4) // 2))


def _cut_tile(file: Good) -> bytes:
    """A tile that ends too early, framed as if it did not."""
    offset, size = file.tile(0)
    return file.set_tile(file.content[offset : offset + size // 2])


_DEFLATE, _ZSTD = 8, 50000


@cache
def _bomb(codec: str) -> bytes:
    """What decodes to 300 MB."""
    if codec == "zstd":
        return bytes(imagecodecs.zstd_encode(bytes(300 * 2**20), level=1))
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()


def _deflate_bomb(file: Good) -> bytes:
    return Good(file.set_tile(_bomb("deflate"))).set_value(COMPRESSION, _DEFLATE)


def _zstd_bomb(file: Good) -> bytes:
    return Good(file.set_tile(_bomb("zstd"))).set_value(COMPRESSION, _ZSTD)


def _huge_tile(file: Good) -> bytes:
    """One tile of 2^60 pixels instead of many."""
    changed = file
    for tag, value in ((TILE_WIDTH, 2**15), (TILE_HEIGHT, 2**15)):
        changed = Good(changed.set_value(tag, value))
    for tag in (OFFSETS, SIZES):
        changed = Good(changed.set_count(tag, 3 if PLANAR in file.directories[0][1] and
                                         file.values(PLANAR) == [2] else 1))  # fmt: skip
    return changed.content


def _ghost(file: Good, found: bytes, wanted: bytes) -> bytes:
    return file.put(file.content.index(found), wanted)


@dataclass(frozen=True)
class Damage:
    """What is done to a good file, and by which code that is called; None: it depends on the file."""

    code: str | None
    make: Callable[[Good], bytes]


#: Every kind of damage beside truncation.
DAMAGES: dict[str, Damage] = {
    # The header.
    "byte order": Damage("not-a-tiff", lambda file: file.flip(0)),
    "byte orders that differ": Damage("not-a-tiff", lambda file: file.put(0, b"MM")),
    "version": Damage("not-a-tiff", lambda file: file.flip(2)),
    "other version": Damage(None, lambda file: file.put(2, b"\x2a" if file.is_big else b"\x2b")),
    "no first directory": Damage("directory-missing", lambda file: file.pointer(file.first_at, 0)),
    "first directory in the header": Damage("directory-overlap", lambda file: file.pointer(file.first_at, 1)),
    "first directory at the end": Damage(
        "directory-out-of-file", lambda file: file.pointer(file.first_at, len(file.content) - 1)
    ),
    "first directory far away": Damage("directory-out-of-file", lambda file: file.pointer(file.first_at, -1)),
    "first directory among the tiles": Damage(None, lambda file: file.pointer(file.first_at, file.tile()[0])),
    # GDAL's structural metadata.
    "edition": Damage(
        "ghost-edition",
        lambda file: _ghost(file, b"KNOWN_INCOMPATIBLE_EDITION=NO\n ", b"KNOWN_INCOMPATIBLE_EDITION=YES\n"),
    ),
    "length of GDAL's metadata": Damage("ghost-malformed", lambda file: _ghost(file, b"SIZE=000", b"SIZE=0x0")),
    "long length of GDAL's metadata": Damage("ghost-malformed", lambda file: _ghost(file, b"SIZE=000", b"SIZE=999")),
    "what leads a tile": Damage("ghost-malformed", lambda file: _ghost(file, b"SIZE_AS_UINT4", b"SIZE_AS_UINT8")),
    "order of tiles": Damage("ghost-malformed", lambda file: _ghost(file, b"ROW_MAJOR", b"ROW_MINOR")),
    # Directories.
    "no tags": Damage("tag-limit", lambda file: file.put(file.offset(0), bytes(8 if file.is_big else 2))),
    "65535 tags": Damage("tag-limit", lambda file: file.put(file.offset(0), b"\xff\xff")),
    "one tag more": Damage(
        "tag-order", lambda file: file.put(file.offset(0), bytes([file.content[file.offset(0)] + 1]))
    ),
    "loop to itself": Damage("directory-loop", lambda file: file.pointer(file.next_at(0), file.offset(0))),
    "loop from the last to the first": Damage(
        "directory-loop", lambda file: file.pointer(file.next_at(-1), file.offset(0))
    ),
    "loop of two": Damage("directory-loop", lambda file: file.pointer(file.next_at(1), file.offset(0))),
    "next directory past the end": Damage(
        "directory-out-of-file", lambda file: file.pointer(file.next_at(-1), len(file.content))
    ),
    "next directory near 2^64": Damage("directory-out-of-file", lambda file: file.pointer(file.next_at(0), -2)),
    "next directory within another": Damage(None, lambda file: file.pointer(file.next_at(0), file.offset(0) + 2)),
    "a chain that begins with an overview": Damage("main-directory-offset", _overview_first),
    # Tags.
    "order of tags": Damage("tag-order", _swapped_tags),
    "width is missing": Damage(
        "tag-missing", lambda file: file.put(file.entry(WIDTH).at, b"\x02\x01" if file.is_big else b"\xff\x00")
    ),
    "type 0": Damage("tag-missing", lambda file: file.set_type(WIDTH, 0)),
    "type 99": Damage("tag-missing", lambda file: file.set_type(TILE_WIDTH, 99)),
    "type of text": Damage("tag-missing", lambda file: file.set_type(WIDTH, 2)),
    "tile offsets as bytes": Damage("tag-missing", lambda file: file.set_type(OFFSETS, 1)),
    "no values": Damage("tag-missing", lambda file: file.set_count(WIDTH, 0)),
    "bits of 2^32 samples": Damage("tag-out-of-file", lambda file: file.set_count(BITS, -1)),
    "2^64 tile offsets": Damage("tag-out-of-file", lambda file: file.set_count(OFFSETS, -1)),
    "2^61 tile sizes": Damage("tag-out-of-file", lambda file: file.set_count(SIZES, 2**61 if file.is_big else 2**30)),
    "a tile size too few": Damage("tile-count", lambda file: file.set_count(SIZES, file.entry(SIZES).count - 1)),
    "values at the end": Damage(
        "tag-out-of-file",
        lambda file: file.pointer(file.entry(OFFSETS).at + (12 if file.is_big else 8), len(file.content) - 4),
    ),
    "values near 2^64": Damage(
        "tag-out-of-file", lambda file: file.pointer(file.entry(SIZES).at + (12 if file.is_big else 8), -4)
    ),
    "values in their own directory": Damage(
        "tag-over-structure",
        lambda file: file.pointer(file.entry(SIZES).at + (12 if file.is_big else 8), file.offset(0)),
    ),
    "width 0": Damage("tag-value", lambda file: file.set_value(WIDTH, 0)),
    "height 0": Damage("tag-value", lambda file: file.set_value(HEIGHT, 0)),
    "width 65535": Damage("tile-count", lambda file: file.set_value(WIDTH, 65535)),
    "overview of another shape": Damage(
        "overview-size", lambda file: file.set_value(WIDTH, 70, directory=_overview(file))
    ),
    "tile width 0": Damage("tag-value", lambda file: file.set_value(TILE_WIDTH, 0)),
    "tile width 1": Damage("tag-value", lambda file: file.set_value(TILE_WIDTH, 1)),
    "tile height 65520": Damage("tile-count", lambda file: file.set_value(TILE_HEIGHT, 65520)),
    "huge tiles": Damage(None, _huge_tile),
    "0 bits": Damage("tag-value", lambda file: file.set_value(BITS, 0, 2)),
    "samples of different bits": Damage("tag-value", lambda file: file.set_value(BITS, 16, 1)),
    "no samples": Damage("tag-value", lambda file: file.set_value(SAMPLES, 0)),
    "65535 samples": Damage("tag-value", lambda file: file.set_value(SAMPLES, 65535)),
    "planar configuration 3": Damage("tag-value", lambda file: file.set_value(PLANAR, 3)),
    "sample format 9": Damage("tag-value", lambda file: file.set_value(SAMPLE_FORMAT, 9, 1)),
    "another codec": Damage("tile-decode", lambda file: file.set_value(COMPRESSION, 34925)),
    "no codec": Damage("tile-size", lambda file: file.set_value(COMPRESSION, 1)),
    "overview of other bits": Damage(
        "overview-kind",
        lambda file: Good(
            Good(file.set_value(BITS, 16, 0, _overview(file))).set_value(BITS, 16, 1, _overview(file))
        ).set_value(BITS, 16, 2, _overview(file)),
    ),
    # Tile arrays.
    "tile past the end": Damage("tile-out-of-file", lambda file: file.set_value(OFFSETS, len(file.content) - 3, 1)),
    "tile far past the end": Damage("tile-out-of-file", lambda file: file.set_value(OFFSETS, -1, 1)),
    "tile that reaches past the end": Damage(
        "tile-out-of-file", lambda file: file.set_value(SIZES, len(file.content), 1)
    ),
    "tile of all bytes that there can be": Damage("tile-out-of-file", lambda file: file.set_value(SIZES, -1, 1)),
    "tile over another": Damage("tile-overlap", lambda file: file.set_value(OFFSETS, file.tile(0)[0], 1)),
    "tile at the start": Damage("tile-over-structure", lambda file: file.set_value(OFFSETS, 8, 1)),
    "tile over its directory": Damage("tile-over-structure", lambda file: file.set_value(OFFSETS, file.offset(0), 1)),
    "tile over tile offsets": Damage(
        "tile-over-structure", lambda file: file.set_value(OFFSETS, file.entry(OFFSETS).values_at, 1)
    ),
    "offset without a size": Damage("tile-half-sparse", lambda file: file.set_value(SIZES, 0, 1)),
    "size without an offset": Damage("tile-half-sparse", lambda file: file.set_value(OFFSETS, 0, 1)),
    "size too small by one": Damage("tile-leader", lambda file: file.set_value(SIZES, file.tile(1)[1] - 1, 1)),
    "size too large by one": Damage("tile-leader", lambda file: file.set_value(SIZES, file.tile(1)[1] + 1, 1)),
    "offset flipped in its low bit": Damage(
        "tile-decode", lambda file: file.set_value(OFFSETS, file.tile(1)[0] ^ 1, 1)
    ),
    "tiles that changed places": Damage("tile-order", _swapped_tiles),
    # Tiles.
    "leader": Damage("tile-leader", lambda file: file.flip(file.tile(2)[0] - 4)),
    "high byte of a leader": Damage("tile-leader", lambda file: file.flip(file.tile(2)[0] - 1)),
    "trailer": Damage("tile-trailer", lambda file: file.flip(sum(file.tile(2)))),
    "last byte of a trailer": Damage("tile-trailer", lambda file: file.flip(sum(file.tile(2)) + 3)),
    "tile that does not decode": Damage("tile-decode", _undecodable),
    "tile that is cut short": Damage("tile-order", _cut_tile),
    "deflate bomb": Damage("tile-decode", _deflate_bomb),
    "zstd bomb": Damage("tile-size", _zstd_bomb),
}


def _overview(file: Good) -> int:
    """The number of the first overview's directory."""
    return next(number for number in range(1, len(file.directories)) if file.values(SUBFILE, number)[0] == 1)


def without_order(folder: Path) -> bytes:
    """A tiled TIFF to which GDAL added overviews later, after the full resolution."""
    path = folder / "added.tif"
    profile = {"driver": "GTiff", "width": 600, "height": 600, "count": 1, "dtype": "uint8", "tiled": True,
               "transform": Affine(10, 0, 5e5, 0, -10, 4e6), "blockxsize": 256, "blockysize": 256}  # fmt: skip
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels(1, 600, 600))
        dataset.build_overviews([2, 4])
    return path.read_bytes()
