"""Georeference and settings of a file for every peer. Plain values that fit into JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where the pixels lie, and which of them are missing.

    Attributes:
        transform: The six coefficients a, b, c, d, e, f of the affine transform.
        crs: Authority and code.
        nodata: Value of missing pixels, or None.
    """

    transform: tuple[float, ...] = (10.0, 0.0, 500000.0, 0.0, -10.0, 4000000.0)
    crs: str = "EPSG:32630"
    nodata: float | None = None


@dataclass(frozen=True)
class Settings:
    """The file that is wanted. What is None is left to the default of each peer.

    Attributes:
        codec: lzw, deflate, zstd, lzma, packbits, lerc, jpeg, webp or none.
        level: Effort of the codec.
        quality: 1 to 100, for jpeg and webp.
        predictor: 1 (none), 2 (differences) or 3 (floating point).
        tile_px: Side of a tile.
        resampling: How overviews are made, in GDAL's words.
        threads: Worker threads of one write, or "ALL_CPUS".
        interleave: "BAND" where only this project is measured, else pixel interleaved.
    """

    codec: str
    level: int | None = None
    quality: int | None = None
    predictor: int | None = None
    tile_px: int | None = None
    resampling: str | None = None
    threads: int | str | None = None
    interleave: str | None = None

    def with_threads(self, threads: int | str) -> Settings:
        """Return the same settings with another number of threads."""
        return dataclasses.replace(self, threads=threads)

    def title(self) -> str:
        """Return the settings in one line.

        Example:
            >>> Settings("zstd", level=9, predictor=2, tile_px=256).title()
            'zstd, level 9, predictor 2, tile_px 256'
        """
        rest = {name: value for name, value in dataclasses.asdict(self).items() if name != "codec"}
        named = [f"{name} {value}" for name, value in rest.items() if value is not None]
        return ", ".join([self.codec, *(named or ["and the defaults of each"])])


def place_from_json(value: dict[str, Any]) -> Place:
    """Return the place that `dataclasses.asdict` and JSON made a dict of."""
    return Place(**(value | {"transform": tuple(value["transform"])}))
