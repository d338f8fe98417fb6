"""Says what a run found: a table for each section and for the targets, and JSON of everything."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.targets import Results, Verdict, per_pixel_growth, round_ratios

Row = tuple[str, ...]

_HEADS: dict[str, Row] = {
    "raster": ("", "median s", "min", "max", "CPU s", "x ours", "MB", "size - GDAL's", "GDAL", "remarks"),
    "chips": ("", "files/s", "min", "max", "CPU s", "x ours", "MB", "size - GDAL's", "GDAL", "remarks"),
    "scaling": ("", "large s", "small s", "growth", "min", "max", "GDAL", "remarks"),
    "memory": ("", "MB beyond the input", "share of the input", "seconds", "MB", "GDAL", "remarks"),
    "stream": ("", "lazy s", "in memory s", "times a pixel's time", "min", "max", "MB", "GDAL", "remarks"),
}


def section_text(name: str, section: dict[str, Any]) -> str:
    """Lay out the table of one section.

    ``x ours`` is the median of the ratios of each round: how many times as long as this project the peer took. ``GDAL``
    is the version in the peer's process.
    """
    if "skipped" in section:
        return f"\n{name}: skipped: {section['skipped']}"
    raster = section["input"]
    shape = " x ".join(str(side) for side in raster["shape"])
    title = f"{name}: {raster['name']} {shape} {raster['dtype']}, {raster['bytes'] / 1e6:.0f} MB; {section['title']}"
    if section["form"] != "array":
        title += f"; as {section['form']}"
    if section["kind"] == "chips":
        title += f"; {section['files_a_round']} files a round, {section['writers']} at a time"
    cells = {"raster": _raster_cells, "chips": _raster_cells, "scaling": _scaling_cells, "memory": _memory_cells,
             "stream": _stream_cells}  # fmt: skip
    rows = []
    for peer, entry in section["peers"].items():
        blanks = ("",) * (len(_HEADS[section["kind"]]) - 3)
        figures, remarks = (
            (blanks, entry["problem"])
            if entry["problem"]
            else (cells[section["kind"]](section, peer), _remarks(section, entry))
        )
        rows.append((PEERS[peer].label, *figures, entry["gdal"] or "", remarks))
    return table(title, _HEADS[section["kind"]], rows)


def targets_text(verdicts: list[Verdict]) -> str:
    """Lay out the table of the targets."""
    answers = {True: "met", False: "NOT MET", None: "not measured"}
    rows: list[Row] = [
        (f"{verdict.limit} {verdict.target}", _number(verdict.measured), answers[verdict.met], verdict.where)
        for verdict in verdicts
    ]
    return table("targets", ("target", "measured", "", "decided by"), rows)


def table(title: str, head: Row, rows: list[Row]) -> str:
    """Make columns as wide as their longest entry; words to the left, numbers to the right."""
    inner = [[row[column] for row in [head, *rows]] for column in range(len(head))]
    widths = [max(len(text) for text in column) for column in inner]
    lines = [f"\n{title}"]
    for row in [head, tuple("-" * width for width in widths), *rows]:
        cells = [
            text.ljust(width) if number in (0, len(head) - 1) else text.rjust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def save_json(path: Path, run: dict[str, Any], results: Results, verdicts: list[Verdict]) -> None:
    """Write everything that was measured, with the ratios and the verdicts that follow from it."""
    sections = {name: section | {"times_ours": times_ours(section)} for name, section in results.items()}
    found = {**run, "sections": sections, "targets": [dataclasses.asdict(verdict) for verdict in verdicts]}
    # JSON has no NaN, which is a nodata value.
    path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")


def times_ours(section: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return median, min and max of the ratios of each round to this project, for each peer that has any."""
    found = {}
    for peer in section["peers"]:
        ratios = round_ratios(section, peer, "ours")
        if ratios and section["kind"] not in ("memory", "stream"):
            found[peer] = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
    return found


def _raster_cells(section: dict[str, Any], peer: str) -> Row:
    entry = section["peers"][peer]
    times = entry["seconds"]
    ordered = [statistics.median(times), min(times), max(times)]
    if section["kind"] == "chips":
        files = section["files_a_round"]
        ordered = [files / ordered[0], files / ordered[2], files / ordered[1]]
    ratios = round_ratios(section, peer, "ours")
    gdals_bytes = section["peers"].get("gdal", {}).get("bytes")
    size = f"{(entry['bytes'] / gdals_bytes - 1) * 100:+.2f}%" if gdals_bytes and entry["bytes"] else ""
    return (
        *(_number(value) for value in ordered),
        _number(statistics.median(entry["cpu_seconds"])),
        _number(statistics.median(ratios)) if ratios else "",
        f"{entry['bytes'] / 1e6:.1f}" if entry["bytes"] else "",
        size,
    )


def _scaling_cells(section: dict[str, Any], peer: str) -> Row:
    entry = section["peers"][peer]
    growth = [large / small for large, small in zip(entry["seconds"], entry["small_seconds"], strict=True)]
    figures = [statistics.median(entry["seconds"]), statistics.median(entry["small_seconds"])]
    return tuple(_number(value) for value in [*figures, statistics.median(growth), min(growth), max(growth)])


def _memory_cells(section: dict[str, Any], peer: str) -> Row:
    entry = section["peers"][peer]
    share = entry["peak_bytes"] / section["input"]["bytes"]
    size = f"{entry['bytes'] / 1e6:.1f}" if entry["bytes"] else ""
    return f"{entry['peak_bytes'] / 1e6:.0f}", _number(share), _number(entry["seconds"][0]), size


def _stream_cells(section: dict[str, Any], peer: str) -> Row:
    entry = section["peers"][peer]
    growth = per_pixel_growth(section)
    figures = [statistics.median(entry["seconds"]), statistics.median(entry["small_seconds"])]
    figures += [statistics.median(growth), min(growth), max(growth)]
    return *(_number(value) for value in figures), f"{entry['bytes'] / 1e6:.1f}"


def _remarks(section: dict[str, Any], entry: dict[str, Any]) -> str:
    """Return how the file differs from the settings, or without settings, its properties."""
    facts, settings = entry["facts"], section["settings"]
    if not facts:
        return ""
    tiles_px = sorted(set(facts["tile_px"]))
    remarks = []
    if tiles_px != [settings["tile_px"]]:
        remarks.append(f"tiles of {' x '.join(str(side) for side in tiles_px)}")
    if settings["predictor"] != (int(facts["predictor"]) if settings["predictor"] else None):
        remarks.append(f"predictor {facts['predictor']}")
    if settings["tile_px"] is None:
        remarks.append(f"{len(facts['overviews'])} overviews")
    if facts["is_bigtiff"]:
        remarks.append("BigTIFF")
    if facts["shape"][0] > 1 and facts["interleave"] != (settings["interleave"] or "PIXEL"):
        remarks.append(f"interleave {str(facts['interleave']).lower()}")
    if facts["shape"][-2:] != section["input"]["shape"][-2:]:
        remarks.append(f"padded to {facts['shape'][1]} x {facts['shape'][2]}")
    return ", ".join(remarks)


def _number(value: float | None) -> str:
    """Write a number with three figures that count."""
    if value is None:
        return ""
    decimals = 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 4)}f}"
