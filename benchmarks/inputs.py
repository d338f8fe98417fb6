"""The pixels to write: made here, the same on every run, like what satellites and their products hold.

Each function gives (band, row, column). Nothing is read or downloaded. Fields, hills and noise have the same size in
pixels for any size of the raster, and the nodata wedge the same share of it: a larger raster is more of the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.settings import Place

#: Rows that are made at a time: noise is drawn in floating point, which takes more room than the pixels do.
STRIP_ROWS = 512

#: Pixels along a side of a field, the patches of which a landscape consists.
FIELD_PX = 24

#: Standard deviation of the differences between bands that are alike; the spread of one band is about 500.
ALIKE_SPREAD = 3.0


@dataclass(frozen=True)
class Input:
    """One kind of raster.

    Attributes:
        name: What it is called on the command line and in the results.
        title: What it holds.
        make: side in pixels to (band, row, column).
        nodata: Value of missing pixels, or None.
        share: Its side as a share of ``--size``, so that all inputs are of a like number of bytes.
        resampling: How its overviews are made.
        predictor: The predictor that suits it.
    """

    name: str
    title: str
    make: Callable[[int], NDArray[Any]]
    nodata: float | None
    share: float = 1.0
    resampling: str = "average"
    predictor: int = 2

    @property
    def place(self) -> Place:
        """Where it lies."""
        return Place(nodata=self.nodata)

    def side_px(self, size_px: int) -> int:
        """Return the side in pixels for a run of a size."""
        return max(64, round(size_px * self.share))


def scene(
    side_px: int, bands: int = 1, seed: int = 1, roughness: float = 0.12, *, has_wedge: bool = True
) -> NDArray[np.uint16]:
    """Make a satellite scene: reflectances times 10,000, rough, and a wedge of nodata (0) at its edge.

    Args:
        side_px: Rows and columns.
        bands: How many.
        seed: Another number, another place.
        roughness: Spread of neighbouring pixels of one field, as a share of their value: a land surface seen at 10 m
            and the sensor's noise. What codecs make of a scene, and how fast, depends on this number above all.
        has_wedge: Whether there are pixels that the satellite did not see.
    """
    pixels = np.empty((bands, side_px, side_px), "uint16")
    for band in range(bands):
        rng = np.random.default_rng([seed, band])
        for rows, land in landscape(side_px, seed):
            signal = (600 + 180 * band) + (2400 - 90 * band) * land
            signal *= 1 + roughness * rng.standard_normal(signal.shape, "float32")
            np.clip(signal, 1, 10000, out=signal)
            if has_wedge:
                signal[outside_swath(rows, side_px)] = 0
            pixels[band, rows] = signal
    return pixels


def index(side_px: int) -> NDArray[np.float32]:
    """Make a vegetation index: noisy quotients between -1 and 1, NaN outside the swath and under clouds."""
    pixels = np.empty((1, side_px, side_px), "float32")
    rng = np.random.default_rng(2)
    for rows, land in landscape(side_px, 2):
        red = 300 + 900 * (1 - land) + 12 * rng.standard_normal(land.shape, "float32")
        infrared = 1200 + 2500 * land + 25 * rng.standard_normal(land.shape, "float32")
        strip = (infrared - red) / (infrared + red)
        strip[outside_swath(rows, side_px) | (land > 0.93)] = np.nan
        pixels[0, rows] = strip
    return pixels


def classes(side_px: int) -> NDArray[np.uint8]:
    """Make a land cover map: ten classes in patches with ragged edges, 255 where nothing is known."""
    pixels = np.empty((1, side_px, side_px), "uint8")
    rng = np.random.default_rng(3)
    for rows, land in landscape(side_px, 3):
        ragged = land + 0.004 * rng.standard_normal(land.shape, "float32")
        strip = np.clip(ragged * 10, 0, 9)
        strip[outside_swath(rows, side_px)] = 255
        pixels[0, rows] = strip
    return pixels


def picture(side_px: int) -> NDArray[np.uint8]:
    """Make an aerial picture in red, green and blue: a landscape in three tints with a camera's noise."""
    pixels = np.empty((3, side_px, side_px), "uint8")
    for band, (dark, light) in enumerate([(40, 150), (55, 140), (35, 95)]):
        rng = np.random.default_rng([4, band])
        for rows, land in landscape(side_px, 4):
            strip = dark + light * land + 1.5 * rng.standard_normal(land.shape, "float32")
            pixels[band, rows] = np.clip(strip, 0, 255)
    return pixels


def chips(count: int, side_px: int = 512) -> NDArray[np.uint16]:
    """Make cuttings for training: (chip, band, row, column), four bands each, all different."""
    return np.stack([scene(side_px, bands=4, seed=100 + chip) for chip in range(count)])


def chips_alike(count: int, side_px: int = 512) -> NDArray[np.uint16]:
    """Make cuttings whose bands are alike: one band, plus an offset and small differences for each of the four."""
    return np.stack([_alike_bands(scene(side_px, seed=100 + chip)[0], seed=100 + chip) for chip in range(count)])


def _alike_bands(band: NDArray[np.uint16], seed: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng([seed, 2000])
    differences = rng.normal(0, ALIKE_SPREAD, (4, *band.shape)) + 60 * np.arange(4)[:, None, None]
    return np.where(band == 0, 0, np.clip(band + np.rint(differences), 1, 10000)).astype("uint16")


def landscape(side_px: int, seed: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Return rows and their ground, 0 to 1: fields of one shade each on soft hills.

    Args:
        side_px: Side of the raster.
        seed: Another number, another place.
    """
    fields = side_px // FIELD_PX + 2
    shades = np.random.default_rng([seed, 1000]).random((fields, fields), "float32")
    columns = np.arange(side_px)
    for start in range(0, side_px, STRIP_ROWS):
        rows = np.arange(start, min(start + STRIP_ROWS, side_px))[:, None]
        hills = np.sin(rows / 370 + seed) * np.sin(columns / 530) + np.sin((rows + columns) / 1900)
        # A slant, so that edges of fields do not coincide with edges of tiles.
        slanted_rows, slanted_columns = (rows + columns // 5) // FIELD_PX % fields, columns // FIELD_PX
        ground = 0.5 + 0.12 * hills.astype("float32") + 0.5 * (shades[slanted_rows, slanted_columns] - 0.5)
        yield slice(start, start + len(rows)), np.clip(ground, 0, 1)


def outside_swath(rows: slice, side_px: int) -> NDArray[np.bool_]:
    """Return the pixels that the satellite did not pass over: a wedge on the left, a sixth of the raster."""
    lines = np.arange(rows.start, rows.stop)[:, None]
    return np.arange(side_px) < (side_px - lines) / 3


INPUTS = {
    raster.name: raster
    for raster in [
        Input("uint16", "a satellite scene with noise and a nodata wedge", scene, 0),
        Input("smooth", "the same scene, but smooth", lambda side_px: scene(side_px, roughness=0.03), 0, share=0.5),
        Input("float32", "an index with NaN", index, float("nan"), share=0.5, predictor=3),
        Input("classes", "a land cover map", classes, 255, resampling="nearest", predictor=1),
        Input("rgb", "a picture in red, green and blue", picture, None, share=0.5),
        Input("bands8", "a scene in 8 bands", lambda side_px: scene(side_px, bands=8, seed=6), 0, share=0.3497),
        Input("bands13", "a scene in 13 bands", lambda side_px: scene(side_px, bands=13, seed=5), 0, share=0.2798),
    ]
}

#: Number of chips to (chip, band, row, column).
CHIPS: dict[str, Callable[[int], NDArray[np.uint16]]] = {"chips": chips, "chips-alike": chips_alike}
