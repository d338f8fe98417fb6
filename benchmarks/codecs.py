"""Each codec, level and predictor on each kind of data: size, time to write and to read.

``make bench-codecs`` prints the table of docs/codecs.md and draws its pictures. It measures as `benchmarks.presets`
does: every round saves each raster once with each setting, in turn, and reads the file whole by rasterio; times are CPU
time of all threads, as medians of the ratios to lzw of the same round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from benchmarks.presets import DATA, RASTERS, stored, write_and_read

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"

#: Options by the names of the table. The first is what times are compared with.
SETTINGS: dict[str, dict[str, Any]] = {
    "lzw": {"compress": "lzw"},
    "lzw, no predictor": {"compress": "lzw", "predictor": "NO"},
    "deflate 1": {"compress": "deflate", "LEVEL": 1},
    "deflate 6": {"compress": "deflate", "LEVEL": 6},
    "deflate 12": {"compress": "deflate", "LEVEL": 12},
    "zstd 1": {"compress": "zstd", "LEVEL": 1},
    "zstd 3": {"compress": "zstd", "LEVEL": 3},
    "zstd 3, no predictor": {"compress": "zstd", "LEVEL": 3, "predictor": "NO"},
    "zstd 9": {"compress": "zstd", "LEVEL": 9},
    "lzma 6": {"compress": "lzma", "LEVEL": 6},
    "lerc_zstd 3": {"compress": "lerc_zstd", "LEVEL": 3},
    "webp, lossless": {"compress": "webp", "WEBP_LOSSLESS": "YES"},
    "webp 75": {"compress": "webp", "QUALITY": 75},
    "jpeg 75": {"compress": "jpeg", "QUALITY": 75},
}

#: Name of the setting, size in percent of the raw pixels, and times to write and read as multiples of lzw's.
Row = tuple[str, float, float, float]

#: Settings for pictures only.
LOSSY = ("webp 75", "jpeg 75")

ROUNDS = 7

_LABEL_PX, _COLUMN_PX, _BAR_PX, _LINE_PX = 150, 180, 110, 18
_COLOURS = ("#00796b", "#b26a00", "#2e5e8c")


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", metavar="TEXT", default="", help="Rasters with this in their names.")
    parser.add_argument(
        "--pictures", type=Path, metavar="FOLDER", default=PICTURES, help="Where SVG files are written."
    )
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore", NotGeoreferencedWarning)  # one of the rasters has no georeference
    print("| raster | codec | size | write | read |\n|---|---|---|---|---|")
    for name, file in RASTERS.items():
        if options.only.lower() not in name.lower():
            continue
        rows = measure(DATA / file, options.rounds)
        for label, size, write, read in rows:
            print(f"| {name} | {label} | {size:.1f} % | {write:.1f} | {read:.1f} |", flush=True)
        (options.pictures / f"codecs_{Path(file).stem}.svg").write_text(drawn(name, rows))


def measure(source: Path, rounds: int) -> list[Row]:
    """Measure all settings that hold a raster."""
    with rasterio.open(source) as dataset:
        raw_bytes = sum(dataset.width * dataset.height * np.dtype(dtype).itemsize for dtype in dataset.dtypes)
        settings = {label: one for label, one in SETTINGS.items() if dataset.count >= 3 or label not in LOSSY}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "a.tif"
        found = {label: stored(source, target, setting) for label, setting in settings.items()}
        sizes = {label: kept[1] for label, kept in found.items() if kept}
        times: dict[str, list[tuple[float, float]]] = {label: [] for label in sizes}
        for _ in range(rounds):
            for label, measured in times.items():
                measured.append(write_and_read(source, target, SETTINGS[label]))
    base = times[next(iter(SETTINGS))]
    return [
        (label, 100 * size / raw_bytes, _median_ratio(times[label], base, 0), _median_ratio(times[label], base, 1))
        for label, size in sizes.items()
    ]


def _median_ratio(own: list[tuple[float, float]], base: list[tuple[float, float]], kind: int) -> float:
    return statistics.median(one[kind] / other[kind] for one, other in zip(own, base, strict=True))


def drawn(title: str, rows: list[Row]) -> str:
    """Return an SVG: a line for each setting, with bars for size, write and read. Longer bars are cut off."""
    height_px = 48 + _LINE_PX * len(rows)
    width_px = _LABEL_PX + 3 * _COLUMN_PX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width_px} {height_px}"',
        ' font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width_px}" height="{height_px}" fill="#fff"/>',
        f'<text x="8" y="18" font-weight="bold" fill="#222">{escape(title)}</text>',
    ]
    for column, heading in enumerate(("size, % of the pixels", "write, lzw = 1", "read, lzw = 1")):
        x = _LABEL_PX + column * _COLUMN_PX
        parts.append(f'<text x="{x}" y="36" fill="#555">{heading}</text>')
        full = max(row[1] for row in rows) if column == 0 else 5
        for line, row in enumerate(rows):
            y, value = 44 + _LINE_PX * line, row[1 + column]
            length_px = max(1, round(_BAR_PX * min(1, value / full)))
            parts.append(f'<rect x="{x}" y="{y}" width="{length_px}" height="12" fill="{_COLOURS[column]}"/>')
            parts.append(f'<text x="{x + length_px + 4}" y="{y + 10}" fill="#222">{value:.1f}</text>')
    for line, (label, *_) in enumerate(rows):
        parts.append(
            f'<text x="{_LABEL_PX - 8}" y="{54 + _LINE_PX * line}" text-anchor="end" fill="#222">{label}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    main()
