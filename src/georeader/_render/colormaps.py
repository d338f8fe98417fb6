"""Colormaps by matplotlib's names, from the cmap package, which needs no matplotlib."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.reporting import import_extra
from georeader.errors import OptionError

#: Colours of a continuous ramp.
RAMP_COLOURS = 256


@dataclass(frozen=True, eq=False)
class Ramp:
    """The colours of a colormap."""

    name: str  #: As it was requested.
    colours: NDArray[np.uint8]  #: (n, 4): red, green, blue and alpha, from the smallest to the largest value.
    is_qualitative: bool = False  #: The colours are those of classes, and have no order.

    def of_levels(self, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the colours of levels from 0 to 255."""
        count = len(self.colours)
        return self.colours[levels if count == RAMP_COLOURS else levels.astype(np.intp) * count // 256]

    def of_classes(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the colours of integers: 0 has the first one, 1 the second, and so on, from the start again."""
        wide = np.uint64 if values.dtype.kind == "u" else np.int64
        return self.colours[(values.astype(wide) % wide(len(self.colours))).astype(np.intp)]


def find_ramp(name: Any) -> Ramp:
    """Return a colormap by its name in any case, with ``_r`` at its end reversed.

    Raises:
        OptionError: There is none of this name.
        MissingExtraError: cmap is not installed.

    Example:
        >>> find_ramp("viridis").colours[[0, -1]].tolist()
        [[68, 1, 84, 255], [253, 231, 37, 255]]
        >>> find_ramp("tab10_r").is_qualitative
        True
    """
    if not isinstance(name, str):
        raise OptionError(f"colormap={name!r} is not a name; pass one such as 'viridis'")
    cmap = import_extra("cmap", extra="pictures", purpose=f"colormap={name!r}")
    catalog = cmap.Catalog()
    stem = name[:-2] if name.lower().endswith("_r") else name
    try:
        # A full name: a short one that several collections have is logged as a warning.
        full = catalog.resolve(stem)
    except KeyError as error:
        raise OptionError(_unknown(name, stem, catalog)) from error
    found = cmap.Colormap(full if stem == name else f"{full}_r")
    is_qualitative = found.interpolation == "nearest"
    colours = found.lut(found.num_colors if is_qualitative else RAMP_COLOURS)
    return Ramp(name, np.rint(np.asarray(colours) * 255).astype(np.uint8), is_qualitative)


def _unknown(name: str, stem: str, catalog: Any) -> str:
    spelled = {str(one).lower(): str(one) for one in catalog if ":" not in str(one)}
    close = [spelled[one] for one in difflib.get_close_matches(stem.lower(), spelled, n=4)]
    hint = (
        f"did you mean {' or '.join(map(repr, close))}?" if close else "matplotlib's names are known, such as 'viridis'"
    )
    return f"invalid colormap={name!r}; {hint}"
