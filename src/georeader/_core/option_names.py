"""Names that options take as values. Pure, and imports nothing: the command line's help shows them without GDAL."""

from __future__ import annotations

#: Values of COMPRESS.
CODECS = (
    "LZW", "DEFLATE", "ZSTD", "LZMA", "PACKBITS", "JPEG", "WEBP", "JXL", "LERC", "LERC_DEFLATE", "LERC_ZSTD", "NONE",
)  # fmt: skip

#: Resampling methods that GDAL has for overviews ...
GDAL_RESAMPLINGS = ("NEAREST", "AVERAGE", "BILINEAR", "CUBIC", "CUBICSPLINE", "LANCZOS", "MODE", "RMS", "GAUSS")

#: ... and those that only this project has.
RESAMPLINGS = (*GDAL_RESAMPLINGS, "MIN", "MAX", "MED", "OR")

#: Values of PREDICTOR, with the numbers of TIFF for them.
PREDICTORS = ("NO", "YES", "STANDARD", "FLOATING_POINT")
PREDICTOR_NUMBERS = {"1": "NO", "2": "STANDARD", "3": "FLOATING_POINT"}
