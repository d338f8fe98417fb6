"""Rasters whose pixels are a function of band, row and column: workers compute chunks, and graphs hold no pixels."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
CRS = "EPSG:32630"

#: Rows and columns in which pixels are 0, or NaN: several whole tiles of 256 x 256 pixels.
BLANK_ROWS, BLANK_COLUMNS = (400, 1100), (300, 1200)

#: Centre (row, column) and radius of the disc of masked pixels.
_DISC_CENTRE_PX, _DISC_RADIUS_PX = (700, 500), 260


@dataclass(frozen=True)
class Painter:
    """Computes the pixels of a chunk, in any process.

    Attributes:
        shape: (band, row, column).
        dtype: Its name.
        noise: Noise has so many values; 1 is none.
        is_blank: A rectangle is 0, or NaN in floating-point numbers.
        is_masked: Chunks are masked arrays; a disc is masked.
        has_alpha: The last band is 0 in the disc, and 255 elsewhere.
    """

    shape: tuple[int, int, int]
    dtype: str = "uint16"
    noise: int = 8
    is_blank: bool = False
    is_masked: bool = False
    has_alpha: bool = False

    def __call__(self, block_info: Any = None) -> Any:
        self.visit(tuple(block_info[None]["chunk-location"]))
        return self.window(*(range(*edges) for edges in block_info[None]["array-location"]))

    def visit(self, place: tuple[int, ...]) -> None:
        """Do nothing; painters that count, wait or fail do it here, before a chunk is computed."""

    def window(self, bands: range, rows: range, columns: range) -> Any:
        """Return the pixels of a window."""
        valid = valid_disc(rows, columns)
        pixels = np.stack([self._band(band, rows, columns) for band in bands])
        if self.is_blank:
            inside = _between(rows, BLANK_ROWS)[:, np.newaxis] & _between(columns, BLANK_COLUMNS)
            pixels[:, inside] = np.nan if pixels.dtype.kind == "f" else 0
        if self.has_alpha and self.shape[0] - 1 in bands:
            pixels[-1] = np.where(valid, 255, 0)
        return np.ma.MaskedArray(pixels, np.broadcast_to(~valid, pixels.shape)) if self.is_masked else pixels

    def whole(self) -> Any:
        """Return all pixels."""
        return self.window(*map(range, self.shape))

    def array(self, chunks: Any) -> Any:
        """Return a dask array that computes its chunks by this painter."""
        import dask.array as da
        from dask.base import tokenize

        meta = np.empty((0, 0, 0), self.dtype)
        return da.map_blocks(
            self,
            chunks=da.core.normalize_chunks(chunks, self.shape, dtype=self.dtype),
            dtype=self.dtype,
            meta=np.ma.MaskedArray(meta) if self.is_masked else meta,
            name=f"paint-{tokenize(self, chunks)}",
        )

    def _band(self, band: int, rows: range, columns: range) -> NDArray[Any]:
        down, across = (np.arange(axis.start, axis.stop, dtype=np.uint32) for axis in (rows, columns))
        steps = (down * np.uint32(3) + np.uint32(61 * band))[:, np.newaxis] // np.uint32(8) + across // np.uint32(4)
        mixed = (down * np.uint32(2654435761) + np.uint32(band))[:, np.newaxis] ^ (across * np.uint32(2246822519))
        noise = (mixed * np.uint32(3266489917) >> np.uint32(15)) % np.uint32(self.noise)
        kind, dtype = np.dtype(self.dtype).kind, np.dtype(self.dtype)
        if kind == "b":
            return (steps + noise) % np.uint32(64) > 20
        if kind == "f":
            return (steps * dtype.type(0.5) + noise * dtype.type(0.01) + dtype.type(1)).astype(dtype)
        factor = 1 if dtype.itemsize == 1 else 2**40 if dtype.itemsize == 8 else 41
        return (steps % np.uint32(200) * dtype.type(factor) + noise + dtype.type(1)).astype(dtype)


def valid_disc(rows: range, columns: range) -> NDArray[np.bool_]:
    """Return the mask: False within a disc."""
    down, across = (
        np.arange(axis.start, axis.stop) - centre for axis, centre in zip((rows, columns), _DISC_CENTRE_PX, strict=True)
    )
    return (down**2)[:, np.newaxis] + across**2 > _DISC_RADIUS_PX**2


def _between(axis: range, limits: tuple[int, int]) -> NDArray[np.bool_]:
    numbers = np.arange(axis.start, axis.stop)
    return (numbers >= limits[0]) & (numbers < limits[1])


@dataclass(frozen=True)
class Visited(Painter):
    """Painter that records each chunk in a folder that all processes share, and can wait, fail or kill its worker.

    Attributes:
        folder: Gets one empty file for each call.
        fails_at: Chunk at which an OSError is raised.
        failures: How often it is raised there.
        kills_at: Chunk at which the process is killed by SIGKILL.
        wait_seconds: How long each call takes at least.
    """

    folder: str = ""
    fails_at: tuple[int, ...] | None = None
    failures: int = 1_000_000
    kills_at: tuple[int, ...] | None = None
    wait_seconds: float = 0.0

    def visit(self, place: tuple[int, ...]) -> None:
        name = f"{'-'.join(map(str, place))}.{os.getpid()}.{os.urandom(4).hex()}"
        (Path(self.folder) / name).touch()
        time.sleep(self.wait_seconds)
        if place == self.fails_at and self.calls()["-".join(map(str, place))] <= self.failures:
            raise OSError("the disk was pulled out")
        if place == self.kills_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def calls(self) -> Counter[str]:
        """Return how often each chunk was computed, by its place."""
        return Counter(name.split(".")[0] for name in os.listdir(self.folder))

    def pids(self) -> set[int]:
        """Return the processes that computed chunks."""
        return {int(name.split(".")[1]) for name in os.listdir(self.folder)}


def visited(painter: Painter, folder: Path, **options: Any) -> Visited:
    """Return a painter of the same pixels that records its calls in a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    return Visited(**vars(painter), folder=str(folder), **options)


def geodata(values: Any, nodata: Any = None, **attrs: Any) -> SimpleNamespace:
    """Return an object of the GeoData protocol over an array."""
    return SimpleNamespace(
        shape=values.shape, values=values, transform=TRANSFORM, crs=CRS, fill_value_default=nodata, attrs=attrs
    )


def difference(found: bytes, expected: bytes) -> str:
    """Return where two files differ first, and their sizes; "" if they are equal. An assert would show all bytes."""
    if found == expected:
        return ""
    size_bytes = min(len(found), len(expected))
    differs = np.frombuffer(found, "u1", size_bytes) != np.frombuffer(expected, "u1", size_bytes)
    first = int(differs.argmax()) if differs.any() else size_bytes
    return f"{len(found)} bytes instead of {len(expected)}, and others from {first} on ({int(differs.sum())} differ)"


def _crs_of(receipt: Any) -> Any:
    return None if receipt.crs_wkt is None else rasterio.CRS.from_wkt(receipt.crs_wkt)


def same_receipt(found: Any, expected: Any) -> bool:
    """Return that two receipts are equal but for path, time and engine; an AssertionError names what differs."""
    # PROJ spells the datum of one CRS in two ways in WKT 2, depending on what a thread did before: equal, not alike.
    assert _crs_of(found) == _crs_of(expected)
    names = [one.name for one in fields(found) if one.name not in ("path", "seconds", "finished", "engine", "crs_wkt")]
    pairs = {name: (getattr(found, name), getattr(expected, name)) for name in names}
    # Not compared with ==, by which NaN as nodata differs from itself.
    differing = {name: pair for name, pair in pairs.items() if repr(pair[0]) != repr(pair[1])}
    assert not differing, differing
    return True


def update_environment(variables: dict[str, str]) -> None:
    """Set environment variables; to be run by workers."""
    os.environ.update(variables)
