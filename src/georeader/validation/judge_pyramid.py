"""Judges whether overviews and masks go with the raster. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from georeader._codecs.registry import CODECS
from georeader.validation.measurement import Directory, Measurement, RoleKind
from georeader.validation.pixel_layout import CHUNKY, PHOTOMETRICS, PixelLayout
from georeader.validation.problems import Problem, error, warning

#: PhotometricInterpretation of colours: JPEG turns RGB to YCbCr, and back.
_RGB = (2, 6)

_MASK = 4

#: Bits of samples that predictor 2 can be undone from, and predictor 3 (TIFF 6.0, section 14; Technical Note 3).
_PREDICTED_BITS = {2: (8, 16, 32, 64), 3: (16, 24, 32, 64)}


def judge_pyramid(measurement: Measurement) -> Iterator[Problem]:
    """Say what is wrong with overviews and masks."""
    base = measurement.images[0]
    for before, after in pairwise(measurement.images):
        yield from _judge_size(base, before, after)
    for overview in measurement.images[1:]:
        yield from _judge_kind(base, overview)
    yield from _judge_overview_codecs(measurement.images[1:])
    for directory in measurement.directories:
        yield from _judge_predictor(directory)
    yield from _judge_masks(measurement)
    for directory in measurement.directories:
        if directory.role.kind is RoleKind.OTHER:
            yield warning(
                "directory-stray",
                f"IFD {directory.number} (NewSubfileType {directory.subfile_type}) is neither overview nor mask; "
                "readers take it for another raster, or leave it out",
            )


def _judge_size(base: Directory, before: Directory, after: Directory) -> Iterator[Problem]:
    if base.layout is None or before.layout is None or after.layout is None:
        return
    size, last = (after.layout.width_px, after.layout.height_px), (before.layout.width_px, before.layout.height_px)
    shown = f"{after.title} has {size[0]} x {size[1]} pixels"
    if size == last or size[0] > last[0] or size[1] > last[1]:
        yield error("overview-order", f"{shown}, no less than the {last[0]} x {last[1]} of {before.title}")
    elif not is_divided((base.layout.width_px, base.layout.height_px), size):
        yield error(
            "overview-size",
            f"{shown}, which is no part of {base.layout.width_px} x {base.layout.height_px}: the one is not the other "
            "divided; it would be shown out of place",
        )


def is_divided(whole: tuple[int, int], part: tuple[int, int]) -> bool:
    """Tell whether both sides are divided by one number, rounded up or down.

    Example:
        >>> [is_divided((1001, 700), part) for part in ((501, 350), (500, 350), (501, 300))]
        [True, True, False]
    """
    # A side of n of N pixels was divided by less than N / (n - 1), and by more than N / (n + 1).
    (width, height), (columns, rows) = whole, part
    is_not_too_wide = (columns - 1) * height < (rows + 1) * width
    is_not_too_high = (rows - 1) * width < (columns + 1) * height
    return is_not_too_wide and is_not_too_high


def _judge_kind(base: Directory, overview: Directory) -> Iterator[Problem]:
    if base.layout is None or overview.layout is None:
        return
    wanted, found = _kind(base.layout), _kind(overview.layout)
    differing = [f"{name} {found[name]} instead of {wanted[name]}" for name in wanted if found[name] != wanted[name]]
    if differing:
        yield error(
            "overview-kind",
            f"{overview.title} is of another kind than level 0: {', '.join(differing)}; readers fail, or leave it out",
        )


def _kind(layout: PixelLayout) -> dict[str, str]:
    photometric = _RGB[0] if layout.photometric in _RGB else layout.photometric
    return {
        "samples": str(layout.samples),
        "dtype": layout.kind_name,
        "photometric": PHOTOMETRICS.get(photometric if photometric is not None else -1, str(photometric)),
        "planar configuration": str(layout.planar if layout.samples > 1 else CHUNKY),  # of one sample it means nothing
    }


def _judge_overview_codecs(overviews: tuple[Directory, ...]) -> Iterator[Problem]:
    """All overviews have one codec; that of the raster may be another (GDAL's option OVERVIEW_COMPRESS)."""
    names = {one.title: one.layout.compression_name for one in overviews if one.layout is not None}
    if len(set(names.values())) > 1:
        shown = ", ".join(f"{title} {name}" for title, name in names.items())
        yield warning("overview-compression", f"overviews differ in compression: {shown}")


def _judge_predictor(directory: Directory) -> Iterator[Problem]:
    layout = directory.layout
    if layout is None or layout.predictor == 1:
        return
    shown = f"{directory.title} has predictor {layout.predictor}"
    if not _takes_predictor(layout.compression_name):
        yield warning("predictor", f"{shown}, which means nothing with {layout.compression_name}; readers leave it out")
    elif layout.bits not in _PREDICTED_BITS[layout.predictor] or (layout.predictor == 3 and layout.sample_format != 3):
        yield error("predictor", f"{shown}, which can't be undone with {layout.kind_name}; its pixels can't be read")


def _takes_predictor(compression: str) -> bool:
    return compression in CODECS and CODECS[compression].takes_predictor


def _judge_masks(measurement: Measurement) -> Iterator[Problem]:
    masks = [one for one in measurement.directories if one.role.kind is RoleKind.MASK]
    levels = {one.role.level for one in masks}
    for mask in masks:
        if mask.role.level is None:
            yield error("mask-stray", f"IFD {mask.number} is a mask, but of no image of its size; readers leave it out")
        layout = mask.layout
        if layout is not None and (layout.samples != 1 or layout.bits not in (1, 8) or layout.photometric != _MASK):
            yield error(
                "mask-kind",
                f"{mask.title} has {layout.samples} samples of {layout.bits} bits and photometric {layout.photometric};"
                " a mask has one, of 1 or 8 bits, and 4",
            )
    missing = [image for image in measurement.images if image.role.level not in levels and image.layout is not None]
    if masks and missing:
        yield error(
            "mask-missing",
            f"{', '.join(image.title for image in missing)} has no mask, where others have; pixels without data are "
            "shown there",
        )
