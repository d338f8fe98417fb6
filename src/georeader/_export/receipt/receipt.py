"""Receipt of a save: path, size, levels and raster of the file that was written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, astuple, dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import WktVersion
from rasterio.errors import CRSError

from georeader._core.reporting import to_jsonable
from georeader._export.plan.spec import ExportSpec
from georeader._export.statistics import BandSummary
from georeader.window_utils import describe_crs

if TYPE_CHECKING:
    import pystac

#: Tags of the time, of which the first valid one is used: GDAL's IMAGERY domain has it in UTC, the tag of TIFF 6.0
#: (section 8, DateTime) has no time zone and is read as UTC.
TIME_TAGS = ("ACQUISITIONDATETIME", "TIFFTAG_DATETIME")


@dataclass(frozen=True)
class LevelReceipt:
    """One resolution of a file that was written.

    Attributes:
        factor: Decimation factor: 1 for the full resolution, 2, 4, 8, ... for the overviews.
        width_px: Columns.
        height_px: Rows.
        tile_count: Tiles, those of its validity mask included, if it has one.
        sparse_tile_count: How many of them take no bytes (SPARSE_OK).
        encoded_bytes: Length of all of them, as in TIFF's TileByteCounts, without the eight bytes around each.
    """

    factor: int
    width_px: int
    height_px: int
    tile_count: int
    sparse_tile_count: int
    encoded_bytes: int


def level_receipt(factor: int, width_px: int, height_px: int, sizes_bytes: Sequence[NDArray[Any]]) -> LevelReceipt:
    """Return the receipt of a level from the sizes of its tiles, and of those of its masks."""
    sizes = np.concatenate(sizes_bytes)
    sparse_count = int(np.count_nonzero(sizes == 0))
    return LevelReceipt(factor, width_px, height_px, len(sizes), sparse_count, int(sizes.sum(dtype=np.int64)))


@dataclass(frozen=True)
class Written:
    """What an engine wrote."""

    engine: str
    size_bytes: int
    crc32: int | None  #: None where bytes were copied that did not pass through this process
    levels: tuple[LevelReceipt, ...]  #: From the full resolution to the smallest overview
    statistics: tuple[BandSummary, ...] | None = None
    largest_errors: tuple[float, ...] | None = None  #: None if tiles were not verified
    tiles_reused: int = 0
    changes: Mapping[str, Any] = field(default_factory=dict)  #: Fields of `Receipt` that GDAL changed in a warp


@dataclass(frozen=True, eq=False)
class Receipt:
    """A file that was written. It has plain values alone, so that it can be pickled, compared and hashed.

    ``str`` and ``repr`` are one line, and notebooks show a table. Attributes and `to_dict` hold everything.

    Attributes:
        path: Its destination as passed, without secrets.
        size_bytes: Its length.
        engine: "stream", the project's own writer; "cluster", the same on workers; "gdal"; or "edit", which copies
            tiles.
        largest_errors: With ``verify=True``: largest difference of a decoded pixel of each band from the saved one, 0
            for lossless codecs; else None.
        kind: "cog", or "tiled" for a tiled GeoTIFF without overviews.
        levels: From the full resolution to the smallest overview.
        checksum: CRC-32 of all bytes of the file as sent, such as "crc32:0a1b2c3d"; None where the system or the store
            copied tiles, without sending them through this process.
        seconds: Duration from the opening of the source until the file was in its place; of a CogWriter, of the end of
            its block, when the file is made.
        finished: Time at which it was in its place, in UTC.
        statistics: One per band, of the full resolution, with ``STATISTICS=YES``; else None.
        shape: (band, row, column).
        dtype: Name of the pixels' dtype.
        transform: Pixel (column, row) to CRS (x, y).
        crs_wkt: The CRS in WKT 2 (ISO 19162:2019), or None.
        nodata: Value of missing pixels, or None.
        descriptions: One name or None per band.
        units: One unit name or None per band.
        scales: One factor per band; 1 where none is set.
        offsets: One summand per band; 0 where none is set.
        acquired: Acquisition time in UTC, or None: ``attrs["acquired"]`` of the data, ACQUISITIONDATETIME of
            GDAL's IMAGERY domain, or the file's tag ACQUISITIONDATETIME or TIFFTAG_DATETIME, in this order.
        tiles_reused: How many tiles were copied as they were encoded, those of masks included.

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
    checksum: str | None
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
    tiles_reused: int = 0

    @property
    def decoded_bytes(self) -> int:
        """Size of the pixels of all levels as arrays, without the padding of tiles and without masks."""
        pixels = sum(level.width_px * level.height_px for level in self.levels)
        return pixels * self.shape[0] * np.dtype(self.dtype).itemsize

    @property
    def compression_ratio(self) -> float:
        """Ratio of `decoded_bytes` to the bytes of the tiles in the file.

        Tiles are padded at the right and at the bottom, and those of masks count, too: for small or uncompressed
        rasters it is less than 1. Infinite if all tiles are sparse.
        """
        encoded_bytes = sum(level.encoded_bytes for level in self.levels)
        return self.decoded_bytes / encoded_bytes if encoded_bytes else math.inf

    @property
    def crs(self) -> str | None:
        """Code of the CRS, such as "EPSG:32630", or its name if it has no code; None if there is no CRS."""
        return None if self.crs_wkt is None else describe_crs(self.crs_wkt)

    def to_dict(self) -> dict[str, Any]:
        """Convert everything to types of JSON: dicts, lists, text, numbers and None.

        Numbers that JSON lacks are text: "nan", "inf", "-inf". Besides the attributes there are `crs` and
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
            datetime: Acquisition time; by default `acquired`, or if that is None the time of the save, with a
                MetadataWarning.
            asset_key: Name of the file among the item's assets.
            href: Link to the file; by default ``path``.
            properties: Further properties, such as ``{"eo:cloud_cover": 3}``; copied.

        Raises:
            MissingExtraError: The extra ``stac`` is not installed.
            OptionError: There is no default for ``id`` or ``href``: the destination is an object without a name.

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
        facts = [
            f"{self.path}: {self.size_bytes:,} bytes by {self.engine} in {self.seconds:.2f} s",
            f"{len(self.levels)} level{'s' if len(self.levels) > 1 else ''}",
            f"{tiles} tile{'s' if tiles > 1 else ''}" + (f" ({self.tiles_reused} copied)" if self.tiles_reused else ""),
            f"compression ratio {self.compression_ratio:.3g}",
        ]
        facts += [] if self.checksum is None else [self.checksum]
        facts += [] if self.largest_errors is None else [f"verified, largest error {max(self.largest_errors):g}"]
        return ", ".join(facts)

    def _repr_html_(self) -> str:
        """Return facts of the file, a table of its levels and one of its bands, for notebooks; texts are escaped."""
        numbers = () if self.statistics is None else ("minimum", "maximum", "mean", "standard deviation", "valid [%]")
        levels = ((factor, *(f"{number:,}" for number in sizes)) for factor, *sizes in map(astuple, self.levels))
        tables = (
            _table((), _facts(self)),
            _table(("decimation", "width [px]", "height [px]", "tiles", "sparse", "encoded [bytes]"), levels),
            _table(("band", "description", "unit", *numbers), _bands(self)),
        )
        return f'<div style="font-family: monospace"><p><b>{escape(self.path)}</b></p>{"".join(tables)}</div>'


def receipt_from_write(spec: ExportSpec, written: Written, *, path: str, seconds: float) -> Receipt:
    """Build the receipt of a file that is in its place."""
    metadata, count = spec.metadata, spec.count
    imagery = dict(dict(metadata.namespaces).get("IMAGERY", ()))
    fields: dict[str, Any] = {
        "shape": spec.shape,
        "transform": spec.transform,
        "crs_wkt": wkt2_of(spec.crs),
        "nodata": spec.nodata,
        "descriptions": metadata.descriptions or (None,) * count,
        "units": metadata.units or (None,) * count,
        "scales": metadata.scales or (1.0,) * count,
        "offsets": metadata.offsets or (0.0,) * count,
        **written.changes,
    }
    return Receipt(
        path,
        written.size_bytes,
        written.engine,
        written.largest_errors,
        kind=spec.kind,
        levels=written.levels,
        checksum=None if written.crc32 is None else f"crc32:{written.crc32:08x}",
        seconds=seconds,
        finished=datetime.now(UTC),
        statistics=written.statistics,
        tiles_reused=written.tiles_reused,
        dtype=spec.dtype.name,
        acquired=metadata.acquired or _acquisition_time(imagery) or _acquisition_time(dict(metadata.tags)),
        **fields,
    )


def wkt2_of(crs: CRS | None) -> str | None:
    """Return a CRS in WKT 2 (ISO 19162:2019), or in WKT 1 if that cannot express it; None for none."""
    if crs is None:
        return None
    try:
        return str(crs.to_wkt(version=WktVersion.WKT2_2019))
    except CRSError:
        return str(crs.to_wkt())


def _acquisition_time(tags: Mapping[str, str]) -> datetime | None:
    """Return the acquisition time in a file's tags, in UTC; None if there is none that is valid."""
    found = {key.upper(): value for key, value in tags.items()}
    times = (_parse_time(str(found.get(name, "")).strip().rstrip("\0")) for name in TIME_TAGS)
    return next((time for time in times if time is not None), None)


def _parse_time(text: str) -> datetime | None:
    day, _, rest = text.partition(" ")
    if day.count(":") == 2:  # TIFF's form: 2024:05:01 10:30:31
        text = f"{day.replace(':', '-')} {rest}".strip()
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):  # not a time, or beyond the years of datetime
        return None


def _facts(receipt: Receipt) -> Iterable[Sequence[Any]]:
    count, height_px, width_px = receipt.shape
    yield "size", f"{receipt.size_bytes:,} bytes"
    yield "pixels", f"{count} x {height_px} x {width_px} (band, row, column) {receipt.dtype}"
    yield "crs", receipt.crs or "none"
    yield "no data", "none" if receipt.nodata is None else receipt.nodata
    yield "compression ratio", f"{receipt.compression_ratio:.3g}"
    if receipt.tiles_reused:
        yield "tiles copied", receipt.tiles_reused
    yield "checksum", receipt.checksum or "unknown: tiles were copied by the system or the store"
    yield "written", f"in {receipt.seconds:.2f} s by {receipt.engine}, {receipt.finished:%Y-%m-%d %H:%M:%S} UTC"
    if receipt.largest_errors is not None:
        yield "verified", f"largest error {max(receipt.largest_errors):g}"


def _bands(receipt: Receipt) -> Iterable[Sequence[Any]]:
    for band, (description, unit) in enumerate(zip(receipt.descriptions, receipt.units, strict=True)):
        values = () if receipt.statistics is None else astuple(receipt.statistics[band])
        numbers = ("" if value is None else f"{value:.6g}" for value in values)
        yield band + 1, description or "", unit or "", *numbers


def _table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = f"<thead><tr>{_cells('th', headings)}</tr></thead>" if headings else ""
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _cells(tag: str, values: Sequence[Any]) -> str:
    return "".join(f"<{tag}>{escape(str(value))}</{tag}>" for value in values)
