"""The weights of the methods that look beyond 2x2 pixels, as GDAL widens them to reduce by two.

A kernel of radius r is stretched by the factor, so it covers 4 r pixels, at distances of 1/4, 3/4, 5/4, ... from the
centre of the 2x2 pixels:

- BILINEAR: the triangle 1 - |x|.
- CUBIC: Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -1/2.
- CUBICSPLINE: the cubic B-spline, which is Mitchell and Netravali (1988) with (B, C) = (1, 0).
- LANCZOS: sinc(x) sinc(x / 3).
- GAUSS: GDAL's 1-2-1 matrix, which begins at the top left pixel and so leans to the right and down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Kernel:
    """Weights along one axis.

    Attributes:
        weights: In extended precision, with a sum of 1.
        before_px: Pixels that it begins before a 2x2 block.
    """

    weights: tuple[np.longdouble, ...]
    before_px: int

    @property
    def after_px(self) -> int:
        """Pixels that it reaches beyond a 2x2 block."""
        return len(self.weights) - 2 - self.before_px

    @property
    def has_negative_weights(self) -> bool:
        """Whether it sharpens, so that the sum of some weights may vanish."""
        return bool(min(self.weights) < 0)


def _from_integers(before_px: int, *weights: int) -> Kernel:
    total = np.longdouble(sum(weights))
    return Kernel(tuple(weight / total for weight in weights), before_px)


def _lanczos() -> Kernel:
    x = (np.arange(-5, 7, dtype=np.longdouble) - np.longdouble(0.5)) / 2
    pi = 4 * np.arctan(np.longdouble(1))
    weights = np.sin(pi * x) * np.sin(pi * x / 3) / (x * x)
    return Kernel(tuple(weights / weights.sum()), 5)


KERNELS: Mapping[str, Kernel] = {
    "BILINEAR": _from_integers(1, 1, 3, 3, 1),
    "CUBIC": _from_integers(3, -3, -9, 29, 111, 111, 29, -9, -3),
    "CUBICSPLINE": _from_integers(3, 1, 27, 121, 235, 235, 121, 27, 1),
    "LANCZOS": _lanczos(),
    "GAUSS": _from_integers(0, 1, 2, 1),
}
