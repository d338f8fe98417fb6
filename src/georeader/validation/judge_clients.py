"""Notes on what of a file web clients do not read; they have no effect on the verdict. Pure.

References:
    geotiff.js 3.0.5, by which OpenLayers and most web maps read GeoTIFFs: compression/index.js (codecs),
    geotiffimage.js, arrayForType (dtypes), predictor.js (predictors).
"""

from __future__ import annotations

from georeader._readers.measurement import Measurement
from georeader._readers.pixel_layout import PixelLayout
from georeader.validation.problems import Problem, note

#: What geotiff.js decodes; WebP by the browser. LERC may be followed by Deflate or Zstandard.
_DECODED = frozenset({
    "NONE", "LZW", "JPEG", "DEFLATE", "PACKBITS", "LERC", "LERC_DEFLATE", "LERC_ZSTD", "ZSTD", "WEBP",
})  # fmt: skip

#: Bits of samples that it reads, by the values of SampleFormat. It reads unsigned samples from four bytes, and those of
#: 27 bits or 29 to 31 can lie in five.
_NUMBERS = {1: (*range(1, 27), 28, 32), 2: (8, 16, 32), 3: (16, 32, 64)}

#: Bits that it undoes predictor 2 of.
_PREDICTED_BITS = (8, 16, 32)

_READER = "geotiff.js, by which web maps read GeoTIFFs"


def judge_clients(measurement: Measurement) -> tuple[Problem, ...]:
    """Return a note for each thing that no browser decodes, with the levels that have it."""
    found: dict[tuple[str, str], list[str]] = {}
    for image in measurement.images:
        if image.layout is not None:
            for key in _unread(image.layout):
                found.setdefault(key, []).append(image.title)
    return tuple(note(code, f"{', '.join(titles)}: {message}") for (code, message), titles in found.items())


def _unread(layout: PixelLayout) -> list[tuple[str, str]]:
    """Return (code, message) of what geotiff.js refuses."""
    name, found = layout.compression_name, []
    if name not in _DECODED:
        found.append(
            ("browser-codec", f"{name.lower()} is not decoded by {_READER}; for them save with deflate, lzw or zstd")
        )
    if layout.bits not in _NUMBERS.get(layout.sample_format, ()):
        found.append(
            (
                "browser-dtype",
                f"{layout.kind_name} is not read by {_READER}; for them save integers of up to 32 bits, or floats",
            )
        )
    elif layout.predictor == 2 and layout.bits not in _PREDICTED_BITS:
        found.append(
            (
                "browser-predictor",
                f"predictor 2 of {layout.bits} bits is not undone by {_READER}; for them save with predictor 3 or none",
            )
        )
    return found
