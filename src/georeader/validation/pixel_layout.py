"""Pixel layout of a directory, from its tags, as one frozen value. Pure.

References:
    TIFF 6.0, sections 3 to 22; OGC 21-026 (Cloud Optimized GeoTIFF 1.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from georeader._codecs.registry import CODECS

#: Names of the values of Compression: the project's codecs, and others of libtiff and GDAL.
COMPRESSIONS: Mapping[int, str] = {
    2: "CCITTRLE", 3: "CCITTFAX3", 4: "CCITTFAX4", 6: "OJPEG", 32946: "DEFLATE", 34661: "JBIG", 34676: "SGILOG",
    34677: "SGILOG24", 34712: "JP2000", 34933: "PNG", 52546: "JXL",
    **{codec.compression: name for name, codec in CODECS.items() if not codec.lerc_following},
}  # fmt: skip

#: Names of LERC by the codec that follows it.
_LERC_NAMES = {codec.lerc_following: name for name, codec in CODECS.items() if codec.lerc_following is not None}

#: PhotometricInterpretation's values with names.
PHOTOMETRICS: Mapping[int, str] = {
    0: "min-is-white", 1: "min-is-black", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab",
}  # fmt: skip

#: SampleFormat's values, as numpy calls such kinds.
SAMPLE_FORMATS: Mapping[int, str] = {1: "uint", 2: "int", 3: "float", 4: "void", 5: "cint", 6: "complex"}

#: PlanarConfiguration: samples of a pixel side by side, or each band in tiles of its own.
CHUNKY, PLANAR = 1, 2

YCBCR = 6


@dataclass(frozen=True)
class PixelLayout:
    """Layout of stored pixels. Tiles are strips where the directory has those: as wide as the image.

    Attributes:
        width_px: Of the image.
        height_px: Of the image.
        is_tiled: In tiles, not in strips.
        tile_width_px: Of a tile.
        tile_height_px: Of a tile, or rows of a strip.
        samples: Bands.
        bits: Of a sample.
        sample_format: 1 unsigned, 2 signed, 3 floating-point, 5 and 6 complex.
        photometric: PhotometricInterpretation, or None where the tag is missing.
        compression: Value of the tag.
        planar: 1: samples of a pixel side by side; 2: each band in tiles of its own.
        predictor: 1, 2 or 3.
        extra_samples: Values of the tag: 1 and 2 are alpha bands.
        interpretations: (band, counted from 0, and GDAL's name) of colour interpretations in GDAL's metadata.
        fill_order: 1: the first bit of a byte is the most significant.
        subsampling: (horizontal, vertical) of YCbCr.
        jpeg_tables: Of all JPEG tiles.
        lerc_following: What follows LERC: 0 nothing, 1 deflate, 2 zstd.
        is_big_endian: Byte order of samples.
    """

    width_px: int
    height_px: int
    is_tiled: bool
    tile_width_px: int
    tile_height_px: int
    samples: int = 1
    bits: int = 8
    sample_format: int = 1
    photometric: int | None = 1
    compression: int = 1
    planar: int = CHUNKY
    predictor: int = 1
    extra_samples: tuple[int, ...] = ()
    interpretations: tuple[tuple[int, str], ...] = ()
    fill_order: int = 1
    subsampling: tuple[int, int] = (1, 1)
    jpeg_tables: bytes = field(default=b"", repr=False)
    lerc_following: int = 0
    is_big_endian: bool = False

    @property
    def tiles_across(self) -> int:
        """Tiles of a row of them."""
        return -(-self.width_px // self.tile_width_px)

    @property
    def tiles_down(self) -> int:
        """Rows of tiles."""
        return -(-self.height_px // self.tile_height_px)

    @property
    def planes(self) -> int:
        """Sets of tiles: one for each band, or one for all."""
        return self.samples if self.planar == PLANAR else 1

    @property
    def tile_count(self) -> int:
        """All tiles.

        Example:
            >>> PixelLayout(1000, 300, True, 256, 256, samples=3, planar=PLANAR).tile_count
            24
        """
        return self.tiles_across * self.tiles_down * self.planes

    @property
    def tile_samples(self) -> int:
        """Bands in a tile."""
        return 1 if self.planar == PLANAR else self.samples

    @property
    def interleave(self) -> str:
        """GDAL's name of how bands lie: "pixel" or "band"."""
        return "band" if self.planar == PLANAR and self.samples > 1 else "pixel"

    @property
    def compression_name(self) -> str:
        """GDAL's name of the codec."""
        name = COMPRESSIONS.get(self.compression, f"compression {self.compression}")
        return _LERC_NAMES.get(self.lerc_following, name) if name == "LERC" else name

    @property
    def kind_name(self) -> str:
        """The dtype of the pixels, such as "uint8"."""
        return f"{SAMPLE_FORMATS.get(self.sample_format, 'kind' + str(self.sample_format))}{self.bits}"

    def place_of(self, tile: int) -> tuple[int, int, int]:
        """Return (plane, tile row, tile column) of a tile.

        Example:
            >>> PixelLayout(1000, 300, True, 256, 256, samples=3, planar=PLANAR).place_of(13)
            (1, 1, 1)
        """
        plane, position = divmod(tile, self.tiles_across * self.tiles_down)
        return plane, *divmod(position, self.tiles_across)

    def rows_of(self, tile: int) -> int:
        """Return the rows of a tile; the last strip of a plane may be shorter than the others."""
        if self.is_tiled:
            return self.tile_height_px
        _, row, _ = self.place_of(tile)
        return min(self.tile_height_px, self.height_px - row * self.tile_height_px)

    def raw_bytes(self, rows: int) -> int:
        """Return the size of a decoded tile of some rows: each row ends at a whole byte (TIFF 6.0, section 3).

        Example:
            >>> PixelLayout(1000, 300, True, 256, 256, bits=1).raw_bytes(256)
            8192
        """
        across, down = self.subsampling
        if self.photometric == YCBCR and self.planar == CHUNKY and self.samples == 3 and (across, down) != (1, 1):
            units = -(-self.tile_width_px // across) * -(-rows // down)  # TIFF 6.0, section 21
            return units * (across * down + 2) * -(-self.bits // 8)
        return rows * -(-self.tile_width_px * self.tile_samples * self.bits // 8)
