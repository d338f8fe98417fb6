"""Receipt of a save: path, size, levels and raster of the file that was written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from georeader._core.jsonable import to_jsonable
from georeader._export.receipt.table import as_html
from georeader._export.statistics import BandSummary
from georeader.window_utils import describe_crs

if TYPE_CHECKING:
    import pystac


@dataclass(frozen=True)
class LevelReceipt:
    """One resolution of a file that was written.

    Attributes:
        factor: Decimation factor: 1 for the full resolution, 2, 4, 8, ... for the overviews.
        width_px: Columns.
        height_px: Rows.
        tile_count: Tiles, those of its validity mask included, if it has one.
        sparse_tile_count: How many of them take no bytes (SPARSE_OK).
        encoded_bytes: Length of all of them, as TIFF's TileByteCounts tell it; without the eight bytes around each.
    """

    factor: int
    width_px: int
    height_px: int
    tile_count: int
    sparse_tile_count: int
    encoded_bytes: int


@dataclass(frozen=True, eq=False)
class Receipt:
    """A file that was written. It has plain values alone, so it can be pickled, compared and hashed.

    ``str`` and ``repr`` are one line, and notebooks show a table. Attributes and `to_dict` hold everything.

    Attributes:
        path: Its destination, as it was given; without secrets.
        size_bytes: Its length.
        engine: "stream", the project's own writer, or "gdal".
        largest_errors: With ``verify=True``: of each band, how far a decoded pixel lies from the one that was saved, 0
            for lossless codecs; else None.
        kind: "cog", or "tiled" for a tiled GeoTIFF without overviews.
        levels: From the full resolution to the smallest overview.
        checksum: CRC-32 of all bytes of the file, such as "crc32:0a1b2c3d"; taken of what was sent, not read back.
        seconds: How long it took, from the opening of the source to the file being in its place. Of a CogWriter: how
            long the end of its block took, when the file is made.
        finished: When it was in its place, in UTC.
        statistics: One per band, of the full resolution, where ``STATISTICS=YES`` was asked for; else None.
        shape: (band, row, column).
        dtype: Name of the pixels' dtype.
        transform: Pixel (column, row) to CRS (x, y).
        crs_wkt: The CRS in WKT 2 (ISO 19162:2019), or None.
        nodata: Value of missing pixels, or None.
        descriptions: One name or None per band.
        units: One unit name or None per band.
        scales: One factor per band; 1 where none is set.
        offsets: One summand per band; 0 where none is set.
        acquired: When the pixels were taken, in UTC, or None: ``attrs["acquired"]`` of the data, ACQUISITIONDATETIME of
            GDAL's IMAGERY domain, or the file's tag ACQUISITIONDATETIME or TIFFTAG_DATETIME, in this order.

    Example:
        >>> from georeader import GeoTensor, save_cog
        >>> tensor = GeoTensor(np.zeros((300, 300), "uint8"), Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630", 0)
        >>> receipt = save_cog(tensor, "zeros.tif", profile_arg={"compress": "none"})
        >>> [(level.factor, level.width_px, level.tile_count) for level in receipt.levels]
        [(1, 300, 4), (2, 150, 1)]
        >>> receipt.decoded_bytes, receipt.compression_ratio  # tiles are padded
        (112500, 0.34332275390625)
    """

    path: str
    size_bytes: int
    engine: str
    largest_errors: tuple[float, ...] | None = None
    _: KW_ONLY
    kind: str
    levels: tuple[LevelReceipt, ...]
    checksum: str
    seconds: float
    finished: datetime
    statistics: tuple[BandSummary, ...] | None = None
    shape: tuple[int, int, int]
    dtype: str
    transform: Affine
    crs_wkt: str | None
    nodata: int | float | None
    descriptions: tuple[str | None, ...]
    units: tuple[str | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    acquired: datetime | None = None

    @property
    def decoded_bytes(self) -> int:
        """What the pixels of all levels take as arrays; without the padding of tiles, and without masks."""
        pixels = sum(level.width_px * level.height_px for level in self.levels)
        return pixels * self.shape[0] * np.dtype(self.dtype).itemsize

    @property
    def compression_ratio(self) -> float:
        """How many times less the tiles take in the file than the pixels of all levels as arrays (`decoded_bytes`).

        Tiles are padded at the right and at the bottom, and those of masks count too: of small rasters, and of those
        that are not compressed, it is less than 1. Infinite where all tiles are sparse.
        """
        encoded_bytes = sum(level.encoded_bytes for level in self.levels)
        return self.decoded_bytes / encoded_bytes if encoded_bytes else math.inf

    @property
    def crs(self) -> str | None:
        """The CRS in a word, such as "EPSG:32630"; by its name where it has no such code; None where there is none."""
        return None if self.crs_wkt is None else describe_crs(self.crs_wkt)

    def to_dict(self) -> dict[str, Any]:
        """Convert everything to types of JSON: dicts, lists, text, numbers and None.

        Numbers that JSON does not have are text: "nan", "inf", "-inf". Besides the attributes there are `crs` and
        `compression_ratio`; ``transform`` is six numbers, ``finished`` and ``acquired`` are times in ISO 8601.
        """
        values = asdict(self) | {
            "compression_ratio": self.compression_ratio,
            "crs": self.crs,
            "transform": tuple(self.transform[:6]),
            "finished": self.finished.isoformat(),
            "acquired": None if self.acquired is None else self.acquired.isoformat(),
        }
        return {name: to_jsonable(value) for name, value in values.items()}

    def to_stac(
        self,
        *,
        id: str | None = None,  # noqa: A002  (as STAC and pystac call it)
        datetime: datetime | None = None,
        asset_key: str = "data",
        href: str | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> pystac.Item:
        """Return a STAC item of the file; see `georeader.stac.item_of`, also for an item of several files.

        Args:
            id: By default the file's name without its suffix.
            datetime: When the pixels were taken; by default `acquired`. Where that is None, too, it is when the file
                was finished, with a MetadataWarning.
            asset_key: Name of the file among the item's assets.
            href: Where readers find the file; by default ``path``, without what hides a secret.
            properties: Further properties, such as ``{"eo:cloud_cover": 3}``; copied.

        Raises:
            MissingExtraError: The extra ``stac`` is not installed.
            OptionError: There is no default for ``id`` or ``href``: the file went to an object without a name.

        Example:
            >>> from datetime import UTC, datetime
            >>> from georeader import GeoTensor, save_cog
            >>> tensor = GeoTensor(np.zeros((300, 300), "uint8"), Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")
            >>> item = save_cog(tensor, "zeros.tif", nodata=255).to_stac(datetime=datetime(2024, 5, 1, tzinfo=UTC))
            >>> item.id, item.properties["proj:code"], item.assets["data"].href
            ('zeros', 'EPSG:32630', 'zeros.tif')
        """
        from georeader._export.receipt.stac import build_item

        return build_item({asset_key: self}, id=id, datetime=datetime, href=href, properties=properties)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Receipt) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> str:
        """Return every value as text with all its digits, in which NaN, a common nodata, equals itself."""
        return repr(vars(self))

    def __repr__(self) -> str:
        """Return one line."""
        tiles = sum(level.tile_count for level in self.levels)
        verified = "" if self.largest_errors is None else f", verified, largest error {max(self.largest_errors):g}"
        return (
            f"{self.path}: {self.size_bytes:,} bytes by {self.engine} in {self.seconds:.2f} s, {len(self.levels)} "
            f"level{'s' if len(self.levels) > 1 else ''}, {tiles} tile{'s' if tiles > 1 else ''}, "
            f"compression ratio {self.compression_ratio:.3g}, {self.checksum}{verified}"
        )

    def _repr_html_(self) -> str:
        """Return a table, for notebooks."""
        return as_html(self)
