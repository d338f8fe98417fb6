"""PhotometricInterpretation: the colour model that a file declares, and the interpretations that go with it. Pure.

Readers that are not built on GDAL find colours by this tag and by ExtraSamples alone. GDAL derives both, and the
colour interpretation that it reads back, from the creation option PHOTOMETRIC and the bands' colour interpretations.

References:
    TIFF 6.0, sections 4 to 6 (grey, palette, RGB), 18 (ExtraSamples) and 21 (YCbCr); GDAL's GTiff driver page, option
    PHOTOMETRIC.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from georeader._export.plan.option_types import choice, whole_number
from georeader.errors import MetadataError, OptionError

if TYPE_CHECKING:
    from georeader._export.plan.metadata import Metadata

#: Colour interpretations of the bands of a picture, by GDAL's names.
RGB = ("red", "green", "blue")

#: The colour models that a file can have; rasterio's enum calls the first two "black" and "white". CMYK and CIELab are
#: left out: GDAL converts their pixels to RGB on reading, so that they do not come back.
PHOTOMETRIC = choice(
    ("MINISBLACK", "MINISWHITE", "RGB", "YCBCR", "PALETTE"), {"BLACK": "MINISBLACK", "WHITE": "MINISWHITE"}
)

_NBITS = whole_number(1, 31)

#: Colour interpretations that go with any colour model.
_UNCLAIMED = frozenset({"undefined", "gray"})


def photometric_of_attrs(value: Any) -> str:
    """Return the colour model that a source's ``attrs`` name.

    Raises:
        MetadataError: The name is unknown.
    """
    try:
        return str(PHOTOMETRIC.parse("attrs['photometric']", value))
    except OptionError as error:
        raise MetadataError(str(error)) from error


def nbits_of_attrs(value: Any) -> int:
    """Return the bits of a sample that a source's ``attrs`` name.

    Raises:
        MetadataError: A GeoTIFF does not have samples of so many bits.
    """
    try:
        return int(_NBITS.parse("attrs['nbits']", value))
    except OptionError as error:
        raise MetadataError(str(error)) from error


def resolve_colours(
    metadata: Metadata, asked: str | None, *, count: int, dtype: np.dtype[Any], packs_bits: bool = False
) -> Metadata:
    """Return metadata with the colour model of the file and one colour interpretation per band that goes with it.

    The option comes first, then what the source declares, then its colour table or its colour interpretations. Without
    any of them, three bands of uint8 (beside alpha) are a picture, and nothing is declared for other bands. GDAL's
    drivers do the same except for uint8: there they declare any three or four bands RGB, and the fourth alpha.

    Args:
        metadata: Of the source.
        asked: Value of the option ``photometric``, or None.
        count: Bands.
        dtype: Of the file.
        packs_bits: The file keeps the bits of a MINISWHITE source.

    Raises:
        OptionError: The option contradicts the bands, their colour interpretation or the colour table.
        MetadataError: The source's own ``photometric`` does.

    Example:
        >>> from georeader._export.plan.metadata import Metadata
        >>> resolve_colours(Metadata(), None, count=3, dtype=np.dtype("uint8")).photometric
        'RGB'
        >>> resolve_colours(Metadata(), "RGB", count=4, dtype=np.dtype("uint16")).colorinterp
        ('red', 'green', 'blue', 'undefined')
    """
    if metadata.nbits == 1 and metadata.photometric == "MINISWHITE" and metadata.colormap is not None:
        # GDAL makes a colour table of single bits, white and black; in whole bytes, the table keeps these colours.
        metadata = replace(metadata, colormap=None) if packs_bits else replace(metadata, photometric=None)
    names = () if "palette" in metadata.colorinterp else metadata.colorinterp
    wanted = asked or metadata.photometric
    if wanted is None:
        wanted = _derived(metadata, names, count, dtype)
    elif problem := _problem(wanted, metadata, names, count):
        if asked is None:
            raise MetadataError(f"attrs['photometric']={wanted!r}: {problem}, or drop the key")
        raise OptionError(f"profile_arg['photometric']={wanted!r}: {problem}, or drop the key")
    if wanted == "PALETTE":
        return replace(metadata, photometric=wanted, colorinterp=("palette",))
    if wanted in ("RGB", "YCBCR"):
        return replace(metadata, photometric="RGB", colorinterp=(*RGB, *(names[3:] or ("undefined",) * (count - 3))))
    if not names or names[:3] == RGB:
        names = ("gray", *("undefined",) * (min(count, 3) - 1), *(names[3:] or ("undefined",) * (count - 3)))
    return replace(metadata, photometric=wanted, colorinterp=names)


def _derived(metadata: Metadata, names: tuple[str, ...], count: int, dtype: np.dtype[Any]) -> str:
    if metadata.colormap is not None:
        return "PALETTE"
    colours = names[:-1] if names[-1:] == ("alpha",) else names or ("undefined",) * count
    is_unsaid_picture = colours == ("undefined",) * 3 and dtype == np.uint8
    return "RGB" if names[:3] == RGB or is_unsaid_picture else "MINISBLACK"


def _problem(wanted: str, metadata: Metadata, names: tuple[str, ...], count: int) -> str | None:
    """Return why the bands cannot have a colour model; None: they can."""
    if wanted == "PALETTE":
        return None if metadata.colormap is not None else "there is no colour table; set attrs['colormap']"
    if metadata.colormap is not None:
        return "there is a colour table, which only 'PALETTE' goes with; remove attrs['colormap']"
    if wanted in ("MINISBLACK", "MINISWHITE"):
        return None
    if count < 3:
        return f"red, green and blue take three bands, got {count}; pass 'MINISBLACK'"
    others = [name for name, colour in zip(names, RGB, strict=False) if name != colour and name not in _UNCLAIMED]
    if others:
        return (
            f"bands 1 to 3 must be red, green and blue, got {', '.join(names[:3])}; reorder the bands or set "
            "attrs['colorinterp']"
        )
    return None
