"""What a section needs: rasters for the workers to open, and the same pixels to hold their files against."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forms import Given, save_tiled
from benchmarks.inputs import CHIPS, INPUTS, Input
from benchmarks.lazy import LAZY_INPUTS, LazyInput, LazyScene
from benchmarks.sections import Effort, Section
from benchmarks.settings import Place

#: Side of the raster that each worker writes before the first round: libraries load and threads start on it.
_WARM_UP_PX = 600

#: And its bands, at most.
_WARM_UP_BANDS = 4

#: Disk that a scene may take, in multiples of its pixels' size: it may be a file, which is copied with overviews, and
#: meanwhile what is written last waits.
_DISK_COPIES = 2.7


@dataclass(frozen=True)
class Material:
    """The rasters of a section.

    Attributes:
        givens: What workers open. The first is what the section is about; the last is small, to warm up on.
        pixels: The same rasters, (band, row, column), to be cut by slices.
        place: Where they lie.
    """

    givens: list[Given]
    pixels: list[Any]
    place: Place


class Store:
    """Makes rasters when a section needs them; what is on disk is kept for the next one.

    Args:
        folder: Where files lie.
        effort: Says how large they are.
    """

    def __init__(self, folder: Path, effort: Effort) -> None:
        self.folder = folder
        self.effort = effort

    def lacks_room(self, section: Section) -> str | None:
        """Return how much disk is missing for a section of a scene that is larger than memory, or None."""
        if section.input not in LAZY_INPUTS:
            return None
        shape = self._scene_shape(LAZY_INPUTS[section.input])
        needed_bytes = _DISK_COPIES * math.prod(shape) * LazyScene.dtype.itemsize
        free_bytes = shutil.disk_usage(self.folder).free
        if needed_bytes <= free_bytes:
            return None
        return f"may take {needed_bytes / 1e9:.1f} GB of disk, and {free_bytes / 1e9:.1f} are free; see --folder"

    def material(self, section: Section) -> Material:
        """Make what a section needs."""
        if section.kind == "chips":
            path = self._saved(section.input, self.effort.chips)
            return Material([Given("array", str(path))], list(np.load(path, mmap_mode="r")), Place(nodata=0))
        if section.input in LAZY_INPUTS:
            return self._of_scene(section, LAZY_INPUTS[section.input])
        raster = INPUTS[section.input]
        side_px = raster.side_px(self.effort.size_px)
        second_px = _WARM_UP_PX
        if section.kind == "scaling":
            second_px = side_px // 4
            side_px = second_px * 4
        paths = [self._saved(raster, side_px), self._saved(raster, second_px)]
        pixels = [np.load(path, mmap_mode="r") for path in paths]
        return Material([Given(section.form, str(path)) for path in paths], pixels, raster.place)

    def _of_scene(self, section: Section, scene: LazyInput) -> Material:
        shape = self._scene_shape(scene)
        shapes = [shape, (min(shape[0], _WARM_UP_BANDS), _WARM_UP_PX, _WARM_UP_PX)]
        givens = [Given(section.form, shape=each) for each in shapes]
        if section.kind == "stream":
            side_px = self.effort.size_px
            givens.insert(1, Given("array", shape=(shape[0], side_px, side_px)))
        pixels = [given.scene(scene.place) for given in givens]
        if section.form == "file":
            paths = [self._saved_file(section, each, scene.place) for each in pixels]
            givens = [Given("file", str(path)) for path in paths]
        return Material(givens, pixels, scene.place)

    def _scene_shape(self, scene: LazyInput) -> tuple[int, int, int]:
        return scene.shape_at(self.effort.size_px / Effort.size_px)

    def _saved(self, raster: Input | str, size: int) -> Path:
        name = raster if isinstance(raster, str) else raster.name
        path = self.folder / f"{name}-{size}.npy"
        if not path.exists():
            np.save(path, CHIPS[raster](size) if isinstance(raster, str) else raster.make(size))
        return path

    def _saved_file(self, section: Section, scene: LazyScene, place: Place) -> Path:
        sides = "x".join(str(side) for side in scene.shape)
        path = self.folder / f"{section.input}-{section.settings.codec}-{sides}.tif"
        if not path.exists():
            save_tiled(str(path), scene, place, section.settings)
        return path
