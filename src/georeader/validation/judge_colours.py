"""Judges whether readers see the colours that are meant, by tags and by GDAL's metadata. Pure.

References:
    TIFF 6.0, sections 4 to 6 (photometric interpretations), 18 (ExtraSamples) and 21 (YCbCr).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from georeader.validation.measurement import Measurement
from georeader.validation.pixel_layout import PHOTOMETRICS, PixelLayout
from georeader.validation.problems import Problem, warning

#: Samples that a photometric interpretation takes; those beyond are extra. CMYK takes as many as there are inks.
_COLOUR_SAMPLES: Mapping[int, int] = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 6: 3}

#: Values of ExtraSamples, as messages call them.
_EXTRA_SAMPLES: Mapping[int, str] = {0: "unspecified", 1: "premultiplied alpha", 2: "alpha"}

_RGB = ("red", "green", "blue")

#: What each photometric interpretation calls the first bands. YCbCr is what RGB is stored as.
_NAMES: Mapping[int, tuple[str, ...]] = {0: ("gray",), 1: ("gray",), 2: _RGB, 3: ("palette",), 6: _RGB}


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
    """Compare the tags with the colour interpretations in GDAL's metadata; "undefined" claims nothing."""
    photometric = layout.photometric or 0
    said = {band: name for band, name in layout.interpretations if name != "undefined"}
    declared = _NAMES.get(photometric, ())
    first = tuple(said.get(band, "undefined") for band in range(len(_RGB)))
    if declared == ("gray",) and first == _RGB:
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
