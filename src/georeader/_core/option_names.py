"""Names that options take as values. Pure, and imports nothing: the command line's help shows them without GDAL."""

from __future__ import annotations

#: Resampling methods that GDAL has for overviews ...
GDAL_RESAMPLINGS = ("NEAREST", "AVERAGE", "BILINEAR", "CUBIC", "CUBICSPLINE", "LANCZOS", "MODE", "RMS", "GAUSS")

#: ... and those that only this project has.
RESAMPLINGS = (*GDAL_RESAMPLINGS, "MIN", "MAX", "MED", "OR")
