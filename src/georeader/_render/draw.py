"""Pictures of rasters: read, reduced, coloured and turned north up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from georeader._core.dtypes import check_nodata, storage_dtype
from georeader._export.plan.metadata import Metadata
from georeader._export.plan.spec import SourceSpec, default_resampling
from georeader._export.sources.protocol import Source
from georeader._render.bands import BandSelector, ShownBands, choose_bands
from georeader._render.colours import Colouring, colour
from georeader._render.level import opened_level, read_level
from georeader._render.resize import resize
from georeader._render.size import north_up
from georeader._resample.pyramid import Reduction
from georeader.errors import NodataError, ReadError, ShapeError
from georeader.window_utils import counts_pixels

#: Methods that invent no value: rasters whose overviews were made by them are of classes.
_PICKING = ("NEAREST", "MODE")


@dataclass(frozen=True)
class PreviewRequest:
    """What is wanted of a picture.

    Attributes:
        max_side_px: Its longest side.
        bands: One or three, counted from 1, or by name; None: chosen by `choose_bands`.
        percentiles: Of the stretch, and that there is one; None: the default, and none for what is a picture already.
        most_read_bytes: Where more would have to be read (decoded), there is no picture; None: whatever it takes.
    """

    max_side_px: int
    bands: BandSelector | None = None
    percentiles: tuple[float, float] | None = None
    most_read_bytes: int | None = None


def draw(raster: Any, wish: PreviewRequest) -> NDArray[np.uint8]:
    """Draw a raster.

    Args:
        raster: What `georeader.save_cog` takes; never changed.
        wish: The picture.

    Returns:
        (row, column, channel) of grey and alpha, or of red, green, blue and alpha; north is up as far as quarter turns
        and mirroring reach.

    Raises:
        GeoreaderError: It is not a raster, cannot be read, or has no such bands; or more would have to be read.
    """
    shape = getattr(raster, "shape", ())
    if isinstance(shape, tuple) and len(shape) == 4:
        raise ShapeError(f"a picture shows one time, and this raster of shape {shape} has several; give one: gt[0]")
    with opened_level(raster, wish.max_side_px) as level:
        spec = level.source.spec
        shown = choose_bands(spec.metadata, spec.count, spec.dtype, wish.bands)
        how = _colouring(spec, shown, wish)
        bands = shown.colours if shown.alpha is None else (*shown.colours, shown.alpha)
        method = _method(spec, shown, how)
        _check_cost(level.source, len(bands), wish)
        alpha = len(bands) - 1 if how.has_alpha else None
        pixels, mask = read_level(level, bands, Reduction((method,) * len(bands), how.nodata, alpha))
    picture = resize(colour(pixels, mask, how), level.picture, picks=method in _PICKING)
    return picture if counts_pixels(spec.crs, spec.transform) else north_up(picture, spec.transform)


def _method(spec: SourceSpec, shown: ShownBands, how: Colouring) -> str:
    """Return the resampling method: that of the raster's overviews, where it records one for classes."""
    recorded = spec.overview_resamplings
    method = recorded[shown.colours[0]] if recorded else None
    return method if method in _PICKING else default_resampling(how.is_mask or how.colormap is not None)


def _colouring(spec: SourceSpec, shown: ShownBands, wish: PreviewRequest) -> Colouring:
    is_mask = spec.dtype.kind == "b"
    return Colouring(
        nodata=_nodata(spec),
        colormap=spec.metadata.colormap if spec.count == 1 else None,
        is_mask=is_mask,
        are_finished=shown.are_finished,
        inverted=_inverted(spec.metadata, shown),
        has_alpha=shown.alpha is not None,
        percentiles=wish.percentiles,
    )


def _inverted(metadata: Metadata, shown: ShownBands) -> int | None:
    """Return the position of the band whose smallest value is white; None with a colour table, which has colours."""
    is_inverted = metadata.photometric == "MINISWHITE" and metadata.colormap is None
    return shown.colours.index(0) if is_inverted and 0 in shown.colours else None


def _nodata(spec: SourceSpec) -> int | float | None:
    try:
        return check_nodata(spec.fill_value, storage_dtype(spec.dtype), "fill_value_default")
    except NodataError:
        return None  # no pixel has it


def _check_cost(source: Source, bands: int, wish: PreviewRequest) -> None:
    spec = source.spec
    needed_bytes = spec.height_px * spec.width_px * bands * spec.dtype.itemsize
    if wish.most_read_bytes is None or source.traits.is_in_memory or needed_bytes <= wish.most_read_bytes:
        return
    raise ReadError(
        f"{source.name}: it has no overview that is small enough, so that a picture takes {needed_bytes / 2**20:.0f} "
        "MiB of pixels; georeader.preview.preview(...) reads them"
    )
