"""What the tests of geotoolz share: chips, and operators that processes can import."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from affine import Affine

from georeader import GeoTensor, save_cog, save_tiled_geotiff
from geotoolz import Operator

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)

#: Bands of a Sentinel-2 stack in no special order.
NAMES = ["B02", "B08", "SCL", "B04"]


def stack_of(*bands: Any, dtype: str = "uint16", fill: Any = 0, **attrs: Any) -> GeoTensor:
    """Return a stack of bands of one row each."""
    values = np.array([[band] for band in bands], dtype=dtype)
    return GeoTensor(values, TRANSFORM, "EPSG:32630", fill_value_default=fill, attrs=attrs)


def write_chips(folder: Path, count: int, *, side_px: int = 32) -> list[dict[str, Any]]:
    """Write chips of two bands, red and near infrared; return a catalog of them."""
    rows = []
    for number in range(count):
        pixels = np.random.default_rng(number).integers(1, 5000, (2, side_px, side_px)).astype("uint16")
        path = str(folder / f"chip-{number}.tif")
        save_tiled_geotiff(GeoTensor(pixels, TRANSFORM, "EPSG:32630", 0), path, descriptions=["B04", "B08"])
        rows.append({"path": path, "tile": f"T{number}", "date": f"2024-05-{number + 1:02}"})
    return rows


@dataclass(frozen=True, eq=False, repr=False)
class Add(Operator):
    """Adds a number."""

    number: float = 1.0

    def apply(self, gt: GeoTensor) -> GeoTensor:
        return gt + self.number


@dataclass(frozen=True, eq=False, repr=False)
class Narrow(Operator):
    """Converts rows of some tiles to uint8."""

    tiles: tuple[str, ...] = ()

    def apply(self, gt: GeoTensor) -> GeoTensor:
        return gt.astype("uint8") if gt.attrs["row"]["tile"] in self.tiles else gt


@dataclass(frozen=True, eq=False, repr=False)
class Names(Operator):
    """Terminal operator that returns the tile of the row, and the id of the process."""

    is_terminal = True

    def apply(self, gt: GeoTensor) -> tuple[str, int]:
        return gt.attrs["row"]["tile"], os.getpid()


@dataclass(frozen=True, eq=False, repr=False)
class Fails(Operator):
    """Raises, kills its process, or hangs at rows of some tiles; hands the others on."""

    tiles: tuple[str, ...] = ()
    how: str = "raise"
    slow_tiles: tuple[str, ...] = ()

    def apply(self, gt: GeoTensor) -> GeoTensor:
        tile = gt.attrs["row"]["tile"]
        if tile in self.slow_tiles:
            time.sleep(0.3)
        if tile not in self.tiles:
            return gt
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "odd":
            raise OddError(1, 2)
        raise ValueError(f"no {tile}, please")


class OddError(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two} do not fit")


@dataclass(frozen=True, eq=False, repr=False)
class Marks(Operator):
    """Makes a file named after the row's tile when it is called, and waits at rows of some tiles."""

    folder: str
    slow_tiles: tuple[str, ...] = ()
    seconds: float = 1.0

    def apply(self, gt: GeoTensor) -> GeoTensor:
        tile = gt.attrs["row"]["tile"]
        Path(self.folder, f"{tile}.{os.getpid()}.{os.urandom(4).hex()}").touch()
        if tile in self.slow_tiles:
            time.sleep(self.seconds)
        return gt


@dataclass(frozen=True, eq=False, repr=False)
class DiesOnce(Operator):
    """Kills its process at a tile after another operator was applied, the first time only."""

    inner: Operator
    tile: str
    folder: str
    is_terminal = True

    def apply(self, gt: GeoTensor) -> Any:
        result = self.inner(gt)
        mark = Path(self.folder, "died")
        if gt.attrs["row"]["tile"] == self.tile and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def outputs(self, row: Any) -> Any:
        return self.inner.outputs(row)


class CountsLoads(Operator):
    """Makes a file each time when it is unpickled, and cannot be pickled once it was applied."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        Path(self.folder, f"{os.getpid()}.{os.urandom(4).hex()}").touch()

    def apply(self, gt: GeoTensor) -> GeoTensor:
        self.__dict__["_lock"] = threading.Lock()
        time.sleep(0.1)  # so that the next row goes to another worker
        return gt


@dataclass(frozen=True, eq=False, repr=False)
class SavesDaskArray(Operator):
    """Saves a dask array of several chunks, and returns the processes that computed and that saved it."""

    template: str
    folder: str
    is_terminal = True

    def apply(self, gt: GeoTensor) -> tuple[set[str], str]:
        import dask.array as da

        tile = gt.attrs["row"]["tile"]
        marked = partial(mark_process, folder=f"{self.folder}/{tile}")
        Path(self.folder, tile).mkdir()
        values = da.from_array(np.tile(gt.values, (1, 16, 16)), chunks=(2, 128, 128)).map_blocks(marked, dtype="uint16")
        lazy = SimpleNamespace(
            shape=values.shape, values=values, transform=gt.transform, crs=gt.crs, fill_value_default=0, attrs={}
        )
        save_cog(lazy, self.template.format(tile=tile))
        return {path.name.partition(".")[0] for path in Path(self.folder, tile).iterdir()}, str(os.getpid())


def mark_process(block: Any, folder: str) -> Any:
    """Make a file in a folder that is named after this process."""
    Path(folder, f"{os.getpid()}.{os.urandom(4).hex()}").touch()
    time.sleep(0.01)
    return block
