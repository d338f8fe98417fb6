"""Measurements of files that were never written, and the problems found in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from georeader._readers.measurement import Extent, MeasuredDirectory, Measurement, Role, RoleKind
from georeader._readers.pixel_layout import PixelLayout
from georeader.validation.judge import judge


def directory(number: int, size: tuple[int, int], role: Role, **layout: Any) -> MeasuredDirectory:
    made = PixelLayout(*size, True, 256, 256, **layout)
    empty = np.zeros(made.tile_count, "uint64")
    return MeasuredDirectory(number, Extent(8 + 300 * number, 100), role, 0, made, (), (), empty, empty)


def image(level: int, size: tuple[int, int], **layout: Any) -> MeasuredDirectory:
    return directory(level, size, Role(RoleKind.IMAGE, level), **layout)


def codes_of(*directories: MeasuredDirectory) -> set[str]:
    measurement = Measurement(10**6, "classic TIFF", "little-endian", 8, None, directories)
    return {problem.code for problem in judge(measurement)}
