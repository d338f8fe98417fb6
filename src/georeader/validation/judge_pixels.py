"""Judgement of what directories declare of pixels: overviews, masks, predictors and colours. Pure.

References:
    TIFF 6.0, sections 4 to 6 (photometric interpretations), 14 (predictors), 18 (ExtraSamples) and 21 (YCbCr).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from georeader._codecs.registry import CODECS
from georeader._readers.measurement import MeasuredDirectory, Measurement, RoleKind
from georeader._readers.pixel_layout import CHUNKY, PHOTOMETRICS, PixelLayout
from georeader.validation.problems import Problem, error, warning

#: Samples that a photometric interpretation takes; those beyond are extra. CMYK takes as many as there are inks.
_COLOUR_SAMPLES: Mapping[int, int] = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 6: 3}

#: Values of ExtraSamples, as messages call them.
_EXTRA_SAMPLES: Mapping[int, str] = {0: "unspecified", 1: "premultiplied alpha", 2: "alpha"}

_RED_GREEN_BLUE = ("red", "green", "blue")

#: Names of the first bands of each photometric interpretation. YCbCr is a storage form of RGB.
_NAMES: Mapping[int, tuple[str, ...]] = {
    0: ("gray",), 1: ("gray",), 2: _RED_GREEN_BLUE, 3: ("palette",), 6: _RED_GREEN_BLUE,
}  # fmt: skip

#: PhotometricInterpretation of RGB, and of YCbCr, in which JPEG stores it.
_RGB_OR_YCBCR = (2, 6)

_MASK = 4

#: Bits of samples that predictor 2 can be undone from, and predictor 3 (TIFF 6.0, section 14; Technical Note 3).
_PREDICTED_BITS = {2: (8, 16, 32, 64), 3: (16, 24, 32, 64)}


def judge_pyramid(measurement: Measurement) -> Iterator[Problem]:
    """Iterate over problems of overviews, predictors and masks."""
    base = measurement.images[0]
    for before, after in pairwise(measurement.images):
        yield from _judge_size(base, before, after)
    for overview in measurement.images[1:]:
        yield from _judge_kind(base, overview)
    # That of the raster may be another (GDAL's option OVERVIEW_COMPRESS).
    names = {one.title: one.layout.compression_name for one in measurement.images[1:] if one.layout is not None}
    if len(set(names.values())) > 1:
        shown = ", ".join(f"{title} {name}" for title, name in names.items())
        yield warning("overview-compression", f"overviews differ in compression: {shown}")
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


def _judge_size(base: MeasuredDirectory, before: MeasuredDirectory, after: MeasuredDirectory) -> Iterator[Problem]:
    if base.layout is None or before.layout is None or after.layout is None:
        return
    size, last = (after.layout.width_px, after.layout.height_px), (before.layout.width_px, before.layout.height_px)
    shown = f"{after.title} has {size[0]} x {size[1]} pixels"
    if size == last or size[0] > last[0] or size[1] > last[1]:
        yield error("overview-order", f"{shown}, no less than the {last[0]} x {last[1]} of {before.title}")
    elif not is_divided((base.layout.width_px, base.layout.height_px), size):
        yield error(
            "overview-size",
            f"{shown}, which is not a part of {base.layout.width_px} x {base.layout.height_px}: the one is not the "
            "other divided; it would be shown out of place",
        )


def is_divided(whole: tuple[int, int], part: tuple[int, int]) -> bool:
    """Return whether both sides are divided by one number, rounded up or down."""
    # A side of n of N pixels was divided by less than N / (n - 1), and by more than N / (n + 1).
    (width, height), (columns, rows) = whole, part
    is_not_too_wide = (columns - 1) * height < (rows + 1) * width
    is_not_too_high = (rows - 1) * width < (columns + 1) * height
    return is_not_too_wide and is_not_too_high


def _judge_kind(base: MeasuredDirectory, overview: MeasuredDirectory) -> Iterator[Problem]:
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
    photometric = _RGB_OR_YCBCR[0] if layout.photometric in _RGB_OR_YCBCR else layout.photometric
    return {
        "samples": str(layout.samples),
        "dtype": layout.kind_name,
        "photometric": PHOTOMETRICS.get(photometric, str(photometric)),
        "planar configuration": str(layout.planar if layout.samples > 1 else CHUNKY),  # irrelevant for one sample
    }


def _judge_predictor(directory: MeasuredDirectory) -> Iterator[Problem]:
    layout = directory.layout
    if layout is None or layout.predictor == 1:
        return
    shown = f"{directory.title} has predictor {layout.predictor}"
    if layout.compression_name not in CODECS or not CODECS[layout.compression_name].takes_predictor:
        yield warning("predictor", f"{shown}, which means nothing with {layout.compression_name}; readers leave it out")
    elif layout.bits not in _PREDICTED_BITS[layout.predictor] or (layout.predictor == 3 and layout.sample_format != 3):
        yield error("predictor", f"{shown}, which cannot be undone with {layout.kind_name}; its pixels cannot be read")


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


def judge_colours(measurement: Measurement) -> Iterator[Problem]:
    """Iterate over problems of the colours that the raster and its overviews declare."""
    for image in measurement.images:
        layout = image.layout
        if layout is None or layout.photometric not in _COLOUR_SAMPLES:
            continue
        problem = _extra_samples_problem(layout)
        if problem:
            yield warning("extra-samples", f"{image.title} {problem}")
        if image.role.level == 0:
            yield from _judge_interpretation(layout)


def _extra_samples_problem(layout: PixelLayout) -> str | None:
    """Return how ExtraSamples contradicts TIFF 6.0; None: it does not."""
    photometric = layout.photometric or 0
    name, colours, values = PHOTOMETRICS[photometric], _COLOUR_SAMPLES[photometric], layout.extra_samples
    if layout.samples < colours:
        return f"is {name}, which takes {colours} samples, and has {layout.samples}; readers refuse it"
    if len(values) != layout.samples - colours:
        return (
            f"has {layout.samples} samples and {len(values)} ExtraSamples, where {name} leaves "
            f"{layout.samples - colours} beyond its {colours}; some readers, such as Pillow, refuse it"
        )
    unknown = [value for value in values if value not in _EXTRA_SAMPLES]
    if unknown:
        return f"has ExtraSamples {unknown[0]}; TIFF has 0 (unspecified), 1 and 2 (alpha)"
    return None


def _judge_interpretation(layout: PixelLayout) -> Iterator[Problem]:
    """Compare the tags with the colour interpretations in GDAL's metadata; "undefined" is ignored."""
    photometric = layout.photometric or 0
    said = {band: name for band, name in layout.interpretations if name != "undefined"}
    declared = _NAMES.get(photometric, ())
    first = tuple(said.get(band, "undefined") for band in range(len(_RED_GREEN_BLUE)))
    if declared == ("gray",) and first == _RED_GREEN_BLUE:
        yield warning(
            "photometric",
            f"PhotometricInterpretation is {PHOTOMETRICS[photometric]}, but bands 1 to 3 are red, green and blue in "
            "GDAL's metadata; readers that do not know those show it grey",
        )
    differing = [band for band, name in enumerate(declared) if said.get(band, name) != name]
    if differing and declared != ("gray",):
        band = differing[0]
        yield warning(
            "photometric",
            f"PhotometricInterpretation is {PHOTOMETRICS[photometric]}, but band {band + 1} is {said[band]} in GDAL's "
            "metadata; readers that do not know those show other colours",
        )
    for band, value in enumerate(layout.extra_samples, start=_COLOUR_SAMPLES[photometric]):
        name = said.get(band)
        if name is not None and (name == "alpha") != (value in (1, 2)):
            yield warning(
                "photometric",
                f"ExtraSamples says that band {band + 1} is {_EXTRA_SAMPLES.get(value, value)}, but it is {name} in "
                "GDAL's metadata; readers differ in what is transparent",
            )
