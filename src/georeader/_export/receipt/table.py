"""A receipt as an HTML table, for notebooks. Pure: whatever a file's name or band is called, it is text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from georeader._export.receipt.receipt import Receipt


def as_html(receipt: Receipt) -> str:
    """Give facts of the file, a table of its levels, and one of its bands.

    Args:
        receipt: What was written.
    """
    parts = [_table((), _facts(receipt)), _table(_LEVEL_HEADINGS, _levels(receipt))]
    parts.append(_table(("band", "description", "unit", *_summary_headings(receipt)), _bands(receipt)))
    return f"<div><p><b>{_text(receipt.path)}</b></p>{''.join(parts)}</div>"


_LEVEL_HEADINGS = ("decimation", "width [px]", "height [px]", "tiles", "sparse", "encoded [bytes]")


def _facts(receipt: Receipt) -> Iterable[Sequence[Any]]:
    count, height_px, width_px = receipt.shape
    yield "size", f"{receipt.size_bytes:,} bytes"
    yield "pixels", f"{count} x {height_px} x {width_px} (band, row, column) {receipt.dtype}"
    yield "crs", receipt.crs or "none"
    yield "no data", "none" if receipt.nodata is None else receipt.nodata
    yield "compression ratio", f"{receipt.compression_ratio:.3g}"
    yield "checksum", receipt.checksum
    yield "written", f"in {receipt.seconds:.2f} s by {receipt.engine}, {receipt.finished:%Y-%m-%d %H:%M:%S} UTC"
    if receipt.largest_errors is not None:
        yield "verified", f"largest error {max(receipt.largest_errors):g}"


def _levels(receipt: Receipt) -> Iterable[Sequence[Any]]:
    for level in receipt.levels:
        yield (
            level.factor, f"{level.width_px:,}", f"{level.height_px:,}", f"{level.tile_count:,}",
            f"{level.sparse_tile_count:,}", f"{level.encoded_bytes:,}",
        )  # fmt: skip


def _summary_headings(receipt: Receipt) -> tuple[str, ...]:
    return () if receipt.statistics is None else ("minimum", "maximum", "mean", "standard deviation", "valid [%]")


def _bands(receipt: Receipt) -> Iterable[Sequence[Any]]:
    for band in range(receipt.shape[0]):
        numbers: tuple[Any, ...] = ()
        if receipt.statistics is not None:
            told = receipt.statistics[band]
            values = (told.minimum, told.maximum, told.mean, told.standard_deviation, told.valid_percent)
            numbers = tuple("" if value is None else f"{value:.6g}" for value in values)
        yield band + 1, receipt.descriptions[band] or "", receipt.units[band] or "", *numbers


def _table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = (
        f"<thead><tr>{''.join(f'<th>{_text(heading)}</th>' for heading in headings)}</tr></thead>" if headings else ""
    )
    body = "".join(f"<tr>{''.join(f'<td>{_text(value)}</td>' for value in row)}</tr>" for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _text(value: Any) -> str:
    return escape(str(value))
