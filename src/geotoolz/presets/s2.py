"""Sentinel-2."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import georeader
from georeader import GeoTensor
from georeader.errors import MetadataError, OptionError
from geotoolz._rasters import SOURCE_KEY, band_index, check_bands, find_band, load_bands, load_raster, with_attrs
from geotoolz._saving import check_save_options, save
from geotoolz.cloud import CLASSES_DEFAULT, is_any_of, scl_classes
from geotoolz.indices import normalised_difference
from geotoolz.operator import Operator, Output

#: BOA_ADD_OFFSET of processing baselines 04.00 and later.
BOA_ADD_OFFSET_DEFAULT = -1000.0

_BANDS = ("red", "nir", "scl")


@dataclass(frozen=True, repr=False, eq=False)
class S2_L2A_NDVI(Operator):  # noqa: N801 - the product's name
    """NDVI of a Sentinel-2 L2A stack without clouds: masks by SCL, takes the index, and saves it if a path is set.

    Takes (band, row, column) of digital numbers with red (B04), near infrared (B08) and SCL on one grid, as a GeoTensor
    or a lazy reader, of which only these three bands are read. Bands are found by name in the raster's descriptions
    ("B4", "b04", "red" and "B4, central wavelength 665 nm" all are B04); where the descriptions lack them, by
    the index that is passed.

    Returns (1, row, column) float32, NaN where SCL is one of ``classes``, a digital number is missing
    (``fill_value_default``, masked, 0, which is "no data" in every L2A product) or both reflectances are 0. With
    ``path`` it also saves that as a COG, with nodata NaN, the description "NDVI" and tags that name its source;
    without, it writes nothing. The same tags are in ``attrs["tags"]`` of the result.

    The offset. Reflectance is (digital number + BOA_ADD_OFFSET) / 10000; the product's MTD_MSIL2A.xml has the offset.
    It is -1000 since processing baseline 04.00 (25 January 2022, and everything processed again since); before, there
    was none. It does not cancel out in the index. Pass ``boa_add_offset=0`` for older baselines, for providers that
    applied it already (Earth Search v1: ``earthsearch:boa_offset_applied``; Earth Engine: "HARMONIZED"), and for
    stacks of reflectances. A reflectance below 0 counts as 0, so that the index stays in -1 to 1.

    Memory: the result, a few MiB for a strip of rows, and of a reader three bands; to save: as `georeader.save_cog`.

    Attributes:
        red: Name of the red band.
        nir: Name of the near infrared band.
        scl: Name of the scene classification.
        red_idx: Index of the red band, counted from 0, where it has no name.
        nir_idx: Index of the near infrared band.
        scl_idx: Index of the scene classification.
        classes: Classes of SCL that become missing, as in `geotoolz.cloud.MaskClouds`.
        boa_add_offset: BOA_ADD_OFFSET, in digital numbers.
        path: Local path or URL to save to; None: nothing is saved.
        save_options: What else `georeader.save_cog` takes; its ``tags`` are added to those above.

    Raises:
        OptionError: At construction: an argument is invalid, or options to save with but no path.
        MetadataError: A band that is found neither by name nor by index, or twice by name.
        ShapeError: Other than (band, row, column).
        BandError: An index does not exist.
        GeoreaderError: As save_cog.

    References:
        ESA, Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), BOA_ADD_OFFSET.

    Example:
        >>> stack = np.array([[[1100, 1100]], [[1500, 1500]], [[4, 9]]], dtype="uint16")
        >>> gt = GeoTensor(stack, (10, 0, 0, 0, -10, 0), 32630, attrs={"descriptions": ["B04", "B08", "SCL"]})
        >>> S2_L2A_NDVI()(gt).values
        array([[[0.6666667,       nan]]], dtype=float32)
        >>> S2_L2A_NDVI(boa_add_offset=0, path="ndvi.tif", profile_arg={"compress": "zstd"})
        S2_L2A_NDVI(boa_add_offset=0, path='ndvi.tif', profile_arg={'compress': 'zstd'})
    """

    red: str
    nir: str
    scl: str
    red_idx: int | None
    nir_idx: int | None
    scl_idx: int | None
    classes: Sequence[int]
    boa_add_offset: float
    path: str | None
    save_options: Mapping[str, Any]

    def __init__(  # noqa: PLR0913
        self,
        *,
        red: str = "B04",
        nir: str = "B08",
        scl: str = "SCL",
        red_idx: int | None = None,
        nir_idx: int | None = None,
        scl_idx: int | None = None,
        classes: Sequence[int] = CLASSES_DEFAULT,
        boa_add_offset: float = BOA_ADD_OFFSET_DEFAULT,
        path: str | os.PathLike[str] | None = None,
        **save_options: Any,
    ) -> None:
        """Check and keep the arguments."""
        caller = type(self).__name__
        indexes = {"red_idx": red_idx, "nir_idx": nir_idx, "scl_idx": scl_idx}
        known = {name: None if index is None else band_index(index, name) for name, index in indexes.items()}
        if save_options and path is None:
            raise OptionError(f"{caller} saves nothing without path=, so {', '.join(save_options)} would do nothing")
        arguments = {
            "red": red, "nir": nir, "scl": scl, **known, "classes": scl_classes(classes),
            "boa_add_offset": _offset(boa_add_offset), "path": _path(path, caller),
            "save_options": check_save_options(save_options, caller),
        }  # fmt: skip
        for name, value in arguments.items():
            object.__setattr__(self, name, value)

    def __call__(self, raster: Any) -> GeoTensor:
        """Compute the index of a GeoTensor, or of the three bands of a lazy reader."""
        if not isinstance(raster, GeoTensor) and all(
            hasattr(raster, name) for name in ("isel", "shape", "descriptions")
        ):
            bands = self._bands(raster.descriptions, raster.shape)
            gt, places = load_bands(raster, bands, type(self).__name__)
        else:
            gt = load_raster(raster, type(self).__name__)
            places = bands = self._bands(gt.attrs.get("descriptions"), gt.shape)
        result = self._index(gt, *places)
        tags = self._provenance(bands, gt.attrs)
        result = with_attrs(result, {"tags": _merge_tags(gt.attrs.get("tags"), tags)})
        if self.path is not None:
            own_tags = self.save_options.get("tags")
            options = {**self.save_options, "tags": _merge_tags(tags, own_tags) if isinstance(own_tags, dict) else tags}
            save(result, self.path, options)
        return result

    def outputs(self, row: Mapping[str, Any]) -> tuple[Output, ...]:
        """Return the file, the same for each row."""
        del row
        options = self.save_options
        return () if self.path is None else (Output(self.path, options.get("fs"), options.get("http_headers")),)

    def _bands(self, descriptions: Any, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Return the bands of red, near infrared and SCL, counted from 0."""
        has_names = isinstance(descriptions, (list, tuple)) and len(shape) == 3 and len(descriptions) == shape[0]
        names = [name if isinstance(name, str) else None for name in descriptions] if has_names else []
        red, nir, scl = (self._band(role, names) for role in _BANDS)
        if len({red, nir, scl}) < len(_BANDS):
            raise MetadataError(f"{type(self).__name__}: red, nir and scl are bands {red}, {nir} and {scl}; name three")
        return red, nir, scl

    def _band(self, role: str, names: Sequence[str | None]) -> int:
        wanted, index = getattr(self, role), getattr(self, f"{role}_idx")
        found = find_band(wanted, names)
        caller = type(self).__name__
        if len(found) > 1:
            raise MetadataError(f"{caller}: bands {found} are all described as {wanted!r}: {[names[i] for i in found]}")
        if not found and index is None:
            there = f"among {names}" if any(names) else "for the raster has no band descriptions"
            raise MetadataError(f"{caller}: there is no band {wanted!r} {there}; pass {role}=NAME or {role}_idx=INDEX")
        return found[0] if found else int(index)

    def _index(self, gt: GeoTensor, red: int, nir: int, scl: int) -> GeoTensor:
        check_bands(gt, {"red_idx": red, "nir_idx": nir, "scl_idx": scl}, type(self).__name__)
        values = gt.values

        def is_hidden(rows: slice) -> NDArray[np.bool_]:
            hidden = is_any_of(values[scl, rows], self.classes)
            hidden |= (values[red, rows] == 0) | (values[nir, rows] == 0)
            return hidden

        def reflectance(numbers: NDArray[Any]) -> NDArray[Any]:
            numbers += self.boa_add_offset
            np.maximum(numbers, 0, out=numbers)
            return numbers

        return normalised_difference(gt, nir, red, "NDVI", calibrate=reflectance, is_hidden=is_hidden)

    def _provenance(self, bands: tuple[int, int, int], attrs: Mapping[str, Any]) -> dict[str, str]:
        """Return tags that name the operator, its parameters, the bands and the file."""
        parameters = self.get_config()
        for name in ("path", *self.save_options):
            parameters.pop(name, None)
        tags = {
            "geotoolz_operator": type(self).__name__,
            "geotoolz_config": json.dumps(parameters),
            "georeader_version": georeader.__version__,
            "boa_add_offset": f"{self.boa_add_offset:g}",
            "source_bands": ", ".join(
                f"{getattr(self, role)}={band}" for role, band in zip(_BANDS, bands, strict=True)
            ),
        }
        source = attrs.get(SOURCE_KEY)
        return tags | ({"source": source} if isinstance(source, str) else {})


def _offset(value: Any) -> float:
    if isinstance(value, (str, bytes, bool)) or not hasattr(value, "__float__") or not math.isfinite(float(value)):
        raise OptionError(f"boa_add_offset={value!r} is not a number; it is -1000 since baseline 04.00, 0 before")
    return value if isinstance(value, int) else float(value)


def _path(path: Any, caller: str) -> str | None:
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if text is not None and (not isinstance(text, str) or not text):
        raise OptionError(f"{caller}: path is a {type(path).__name__}; pass a path or URL as text, or None")
    return text


def _merge_tags(below: Any, above: Mapping[str, Any] | None) -> dict[str, Any]:
    """Join tags; GDAL's keys ignore case."""
    names = {key.casefold() for key in above or {}}
    others = below if isinstance(below, Mapping) else {}
    return {key: value for key, value in others.items() if str(key).casefold() not in names} | dict(above or {})
