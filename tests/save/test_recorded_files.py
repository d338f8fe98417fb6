"""Files saved from fixed pixels, compared byte for byte with the SHA-256 recorded in ``recorded_files.json``.

A refactoring must not change a byte. Each file of the table (`FILES`) has one recorded hash; each row (`ROWS`) is one
way to make a file: from an array or a path, to a folder or to a stream, with much memory or with little. All ways must
lead to the same bytes. Only public names are used, so that private modules may move; but for the LZW encoder in use.

Bytes depend on the versions of the codec libraries and of GDAL. Hashes are recorded for the pinned versions of each
Python that CI runs; with others the tests are skipped. To record the hashes of the environment that runs, and to read
the difference with ``git diff``::

    python tests/save/test_recorded_files.py

A file whose hash is the same in all recorded environments has one hash, any other one for each of them. After an
upgrade of the pins, delete ``recorded_files.json``, and record in each environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import dask.array
import imagecodecs
import numpy as np
import pytest
import rasterio
import xarray as xr
import zstandard
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.windows import Window

from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader._codecs.lzw import lzw_encode

RECORD = Path(__file__).with_name("recorded_files.json")
HOW_TO_RECORD = "python tests/save/test_recorded_files.py"

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
CRS = "EPSG:32630"


def environment() -> str:
    """Return what the bytes depend on beside this project; the same text means the same bytes, but of JPEG XL."""
    zstd = ".".join(map(str, zstandard.ZSTD_VERSION))
    return (
        f"gdal {rasterio.__gdal_version__}, proj {rasterio.__proj_version__}, imagecodecs {imagecodecs.__version__}, "
        f"zstd {zstd}, numpy {np.__version__}, {sys.platform} {platform.machine()}"
    )


def instructions() -> str:
    """Return the vector instructions of this processor.

    libjxl chooses by sums of floats, whose order depends on the length of vectors.
    """
    return " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", ()))


# ---------------------------------------------------------------------------------------------------------- the pixels


@cache
def noise(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return numbers from 0 to 255 that depend on their position alone, on no version of a random generator."""
    mixed = np.arange(np.prod(shape), dtype="uint64") * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return (mixed >> np.uint64(56)).astype("int64").reshape(shape)


@cache
def smooth(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return a slope with a little noise, from 1 to about 250."""
    band, row, column = np.indices(shape)
    return 1 + (40 * band + row // 4 + column // 5) % 230 + noise(shape) % 7


@cache
def classes(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return patches of 1 to 5."""
    band, row, column = np.indices(shape)
    return 1 + (row // 37 + column // 53 + band) % 5


@cache
def patches(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return zeros with one corner of noise, so that most tiles are empty."""
    _, row, column = np.indices(shape)
    return np.where((row < 100) & (column < 90), noise(shape), 0)


@cache
def pairs(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return a checkerboard around a hole of zeros: in each tile the mean is a whole number.

    Statistics are then exact. The last digits of others depend on the processor: they are sums by np.dot, which splits
    them among its cores.
    """
    band, row, column = np.indices(shape)
    is_hole = (row >= 40) & (row < 100) & (column >= 60) & (column < 200)
    return np.where(is_hole, 0, 10 * band + 2 + 2 * ((row + column) % 2))


PATTERNS: dict[str, Callable[[tuple[int, ...]], NDArray[np.int64]]] = {
    "smooth": smooth, "classes": classes, "patches": patches, "noise": noise,
    "pairs": pairs,
}  # fmt: skip

#: What spreads 0 to 255 over a dtype: (factor, summand).
SPREADS: dict[str, tuple[float, float]] = {
    "uint8": (1, 0), "int8": (0.5, -64), "uint16": (31, 7), "int16": (31, -3000), "uint32": (70001, 3),
    "int32": (70001, -9000000), "uint64": (2**40, 5), "int64": (2**40, -(2**47)), "float32": (0.125, -3.5),
    "float64": (0.0078125, -0.75),
}  # fmt: skip


def pixels_of(pattern: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the pixels of a file: the same on every machine."""
    values = PATTERNS[pattern](shape)
    if dtype == "bool":
        return values % 3 == 0
    if dtype == "complex64":
        return (0.5 * values + 0.25j * noise(shape)).astype(dtype)
    factor, summand = SPREADS[dtype]
    if pattern != "smooth":
        return values.astype(dtype)
    exact = values * int(factor) + int(summand) if factor == int(factor) else values * factor + summand
    return exact.astype(dtype)


def valid_pixels(height: int, width: int) -> NDArray[np.bool_]:
    """Return a mask: a valid frame around a hole, and a corner that is missing."""
    row, column = np.indices((height, width))
    in_hole = (row - height // 2) ** 2 + (column - width // 3) ** 2 < (height // 5) ** 2
    return ~in_hole & (row + column > 60)


# ----------------------------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class File:
    """One file: the pixels, their metadata, and the options.

    Attributes:
        name: Of the file in the record.
        pattern: One of `PATTERNS`.
        dtype: Of the pixels.
        shape: (band, row, column).
        missing: "": all pixels are valid; "mask": ``attrs["mask"]``; "nodata": the least number, or NaN, is written
            where the mask is; "zeros": the zeros of the pattern are nodata.
        profile: ``profile_arg``.
        is_cog: By `save_cog`, else by `save_tiled_geotiff`.
        options: Other arguments of both functions.
        attrs: Of the GeoTensor.
        place: (transform, crs).
    """

    name: str
    pattern: str = "smooth"
    dtype: str = "uint8"
    shape: tuple[int, int, int] = (2, 150, 140)
    missing: str = ""
    profile: dict[str, Any] = field(default_factory=dict)
    is_cog: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    place: tuple[Any, Any] = (TRANSFORM, CRS)

    @property
    def environment(self) -> str:
        """What the bytes depend on beside this project."""
        is_jxl = self.profile.get("compress") == "jxl"
        return f"{environment()}, {instructions()}" if is_jxl else environment()

    def tensor(self) -> GeoTensor:
        """Return the raster in memory."""
        values, attrs, nodata = pixels_of(self.pattern, self.dtype, self.shape), dict(self.attrs), None
        if self.missing == "mask":
            attrs["mask"] = valid_pixels(*self.shape[1:])
        elif self.missing == "zeros":
            nodata = 0
        elif self.missing == "nodata":
            kind = np.dtype(self.dtype).kind
            nodata = np.nan if kind in "fc" else 0 if kind in "ub" else int(np.iinfo(self.dtype).min)
            values[:, ~valid_pixels(*self.shape[1:])] = nodata
        return GeoTensor(values, *self.place, fill_value_default=nodata, attrs=attrs)

    def save(self, data: Any, destination: Any, **more: Any) -> None:
        """Save data as this file; ``more`` changes how and must not change the bytes."""
        profile = self.profile | more.pop("profile", {})
        save = save_cog if self.is_cog else save_tiled_geotiff
        save(data, destination, profile_arg=profile, **self.options, **more)


#: Makes four tiles and one overview of the default shape.
SMALL_TILES = {"BLOCKSIZE": 128}

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "complex64",
          "bool")  # fmt: skip
PREDICTED = ("lzw", "deflate", "zstd")
GAPS = ("", "nodata", "mask")
INTERLEAVES = ("PIXEL", "BAND")


def predictors_of(dtype: str) -> tuple[Any, ...]:
    """Return the predictors that a dtype may have."""
    return {"f": ("NO", 2, 3, "AUTO"), "c": ("NO", "AUTO")}.get(np.dtype(dtype).kind, ("NO", 2, "AUTO"))


def lossless_files() -> Iterator[File]:
    """Iterate over codecs x dtypes and predictors x dtypes; everything else is dealt out in turn.

    The turns have lengths without a common factor (2, 3 and 5), so that pairs of values meet.
    """
    dealt = zip(cycle(GAPS), cycle(INTERLEAVES), cycle((True, True, False, True, False)))
    by_codec = [
        (codec, dtype, {}) for codec in ("zstd", "lzw", "deflate", "lzma", "packbits", "none") for dtype in DTYPES
    ]
    codecs = cycle((*PREDICTED, "zstd"))
    by_predictor = [
        (next(codecs), dtype, {"predictor": predictor}) for dtype in DTYPES for predictor in predictors_of(dtype)
    ]
    by_lerc = [
        (codec, dtype, {})
        for codec, some in {"lerc": DTYPES[:6] + DTYPES[8:10], "lerc_zstd": ("int16", "float32"),
                            "lerc_deflate": ("uint8", "float64")}.items()
        for dtype in some
    ]  # fmt: skip
    cases = [*by_codec, *by_predictor, *by_lerc, ("jxl", "uint8", {}), ("jxl", "uint16", {})]
    for (codec, dtype, more), (gap, interleave, is_cog) in zip(cases, dealt, strict=False):
        missing = gap if dtype not in ("bool", "complex64") else gap.replace("nodata", "")
        parts = [
            codec,
            dtype,
            *(f"predictor-{value}" for value in more.values()),
            missing or "whole",
            interleave.lower(),
        ]
        profile = {"compress": codec, "INTERLEAVE": interleave, **SMALL_TILES, **more}
        yield File("-".join([*parts, "cog" if is_cog else "tiled"]), dtype=dtype, missing=missing, profile=profile,
                   is_cog=is_cog)  # fmt: skip


def lossy_files() -> Iterator[File]:
    """Iterate over codecs that change pixels, and pictures."""
    rgb, rgba = ("red", "green", "blue"), ("red", "green", "blue", "alpha")
    cases: list[tuple[str, int, Any, dict[str, Any]]] = [
        ("jpeg", 1, None, {}),
        ("jpeg", 3, rgb, {"QUALITY": 60}),
        ("jpeg", 3, rgb, {"photometric": "RGB"}),
        ("jpeg", 3, None, {"photometric": "MINISBLACK"}),
        ("jpeg", 4, rgba, {}),
        ("jpeg", 1, ("gray",), {"QUALITY": 95}),
        ("webp", 3, rgb, {}),
        ("webp", 3, rgb, {"WEBP_LOSSLESS": "YES"}),
        ("webp", 4, rgba, {"QUALITY": 50}),
        ("webp", 4, rgba, {"WEBP_LOSSLESS": "YES"}),
        ("jxl", 3, rgb, {"JXL_EFFORT": 3}),
        ("jxl", 4, rgba, {}),
        ("jxl", 3, rgb, {"JXL_LOSSLESS": "NO", "JXL_DISTANCE": 2}),
        ("deflate", 3, rgb, {"photometric": "RGB"}),
        ("zstd", 4, rgba, {}),
        ("lzw", 5, (*rgba, "gray"), {"INTERLEAVE": "BAND"}),
    ]
    for (codec, count, interp, more), missing in zip(cases, cycle(("", "mask", "nodata"))):
        if "alpha" in (interp or ()):
            missing = ""
        detail = "-".join(f"{key}-{value}".lower() for key, value in more.items()) or "default"
        name = f"picture-{codec}-{count}-{missing or 'whole'}-{detail}"
        attrs = {"colorinterp": interp} if interp else {}
        profile = {"compress": codec, **SMALL_TILES, **more}
        yield File(name, shape=(count, 150, 140), missing=missing, profile=profile, attrs=attrs)
    for dtype, error in (("int16", 5), ("float32", 0.25)):
        yield File(
            f"lerc-{dtype}-error-{error}",
            dtype=dtype,
            profile={"compress": "lerc", "MAX_Z_ERROR": error, **SMALL_TILES},
        )


def layout_files() -> Iterator[File]:
    """Iterate over tile sizes, and options of the layout."""
    profiles: dict[str, dict[str, Any]] = {
        "blocksize-128": {"BLOCKSIZE": 128},
        "blocksize-512": {"BLOCKSIZE": 512},
        "oblong-tiles": {"blockxsize": 128, "blockysize": 64},
        "bigtiff": {"BIGTIFF": "YES"},
        "bigtiff-band": {"BIGTIFF": "YES", "INTERLEAVE": "BAND", "BLOCKSIZE": 128},
        "no-bigtiff": {"BIGTIFF": "NO"},
        "no-overviews": {"OVERVIEWS": "NONE"},
        "one-overview": {"OVERVIEW_COUNT": 1, "BLOCKSIZE": 128},
        "three-overviews": {"OVERVIEW_COUNT": 3, "BLOCKSIZE": 128},
        "overview-codec": {"compress": "zstd", "OVERVIEW_COMPRESS": "deflate", "OVERVIEW_PREDICTOR": 2},
        "geotiff-1.1": {"GEOTIFF_VERSION": "1.1"},
        "geotiff-1.0": {"GEOTIFF_VERSION": "1.0"},
        "level-1": {"compress": "deflate", "LEVEL": 1, "predictor": 2},
        "level-12": {"compress": "deflate", "LEVEL": 12, "predictor": 2},
        "zstd-19": {"compress": "zstd", "LEVEL": 19, "predictor": 2},
        "cast-to-float32": {"dtype": "float32"},
    }
    for (name, profile), missing in zip(profiles.items(), cycle(GAPS)):
        yield File(f"layout-{name}", dtype="int16", shape=(2, 430, 390), missing=missing, profile=profile)
    yield File("layout-statistics", "pairs", "int16", (2, 400, 390), "zeros", {"STATISTICS": "YES"})
    for compress in ("lzw", "zstd"):
        for is_cog in (True, False):
            yield File(f"layout-sparse-{compress}-{'cog' if is_cog else 'tiled'}", "patches", shape=(1, 400, 500),
                       profile={"SPARSE_OK": "YES", "compress": compress, "BLOCKSIZE": 128}, is_cog=is_cog,
                       options={"nodata": 0})  # fmt: skip


def overview_files() -> Iterator[File]:
    """Iterate over resampling methods, on odd sides, with missing pixels."""
    methods = ("nearest", "average", "mode", "rms", "bilinear", "cubic", "cubicspline", "lanczos", "gauss", "min",
               "max", "med", "or")  # fmt: skip
    dealt = zip(cycle(("uint8", "float32")), cycle(GAPS), cycle(("smooth", "classes", "noise", "smooth", "noise")))
    for method, (dtype, missing, pattern) in zip(methods, dealt, strict=False):
        dtype = "uint16" if method == "or" else dtype
        yield File(
            f"overviews-{method}", pattern, dtype, (1, 301, 283), missing, {"RESAMPLING": method, "BLOCKSIZE": 128}
        )
    for method in ("average", "mode", "rms", "cubic"):
        yield File(f"overviews-{method}-int16", "smooth", "int16", (2, 301, 283), "nodata",
                   {"OVERVIEW_RESAMPLING": method, "BLOCKSIZE": 128, "INTERLEAVE": "BAND"})  # fmt: skip
    yield File("overviews-one-method-per-band", shape=(3, 301, 283),
               profile={"RESAMPLING": ["average", "mode", "or"], "BLOCKSIZE": 128})  # fmt: skip
    yield File("overviews-complex", dtype="complex64", shape=(1, 301, 283), profile={"BLOCKSIZE": 128})
    yield File("overviews-int64", dtype="int64", shape=(1, 301, 283), missing="nodata", profile={"BLOCKSIZE": 128})


def metadata_files() -> Iterator[File]:
    """Iterate over metadata of a file."""
    points = [GroundControlPoint(row, column, -3 + column / 1000, 40 - row / 1000, 12.5) for row in (0, 149)
              for column in (0, 139)]  # fmt: skip
    coefficients = [1.0] + [0.001 * power for power in range(19)]
    rpcs = RPC(height_off=100, height_scale=500, lat_off=40, lat_scale=0.5, line_den_coeff=coefficients,
               line_num_coeff=coefficients, line_off=75, line_scale=75, long_off=-3, long_scale=0.5,
               samp_den_coeff=coefficients, samp_num_coeff=coefficients, samp_off=70, samp_scale=70,
               err_bias=0.5, err_rand=0.25)  # fmt: skip
    attrs: dict[str, dict[str, Any]] = {
        "descriptions": {"descriptions": ["B04", None]},
        "scales": {"scales": [0.0001, 0.5], "offsets": [-0.1, 0], "units": ["1", "kelvin"]},
        "tags": {"tags": {"mission": "S2", "note": "naïve"}, "band_tags": [{"wavelength": "665"}, {}]},
        "point": {"tags": {"AREA_OR_POINT": "Point"}},
        "alpha": {"colorinterp": ["gray", "alpha"]},
        "gcps": {"gcps": (points, "EPSG:4326")},
        "rpcs": {"rpcs": rpcs},
    }
    for name, entries in attrs.items():
        place = (Affine.identity(), None) if name in ("gcps", "rpcs") else (TRANSFORM, CRS)
        for is_cog in (True, False):
            yield File(f"metadata-{name}-{'cog' if is_cog else 'tiled'}", dtype="int16", is_cog=is_cog, attrs=entries,
                       place=place)  # fmt: skip
    yield File("metadata-arguments", options={"descriptions": ["one", "two"], "tags": {"model": "v2", "rate": 0.5}})
    table = {value: (40 * value, 10 * value, 255 - 40 * value, 255) for value in range(6)}
    one: dict[str, Any] = {"shape": (1, 150, 140)}
    yield File("colours-table", "classes", attrs={"colormap": table}, **one)
    yield File("colours-table-nodata", "classes", attrs={"colormap": table}, missing="nodata", **one)
    yield File("colours-miniswhite", profile={"photometric": "MINISWHITE"}, **one)
    yield File("colours-4-bits", "classes", profile={"compress": "deflate"},
               attrs={"photometric": "MINISWHITE", "nbits": 4}, **one)  # fmt: skip
    yield File("colours-1-bit", "classes", profile={"compress": "none"}, dtype="bool",
               attrs={"photometric": "MINISWHITE", "nbits": 1}, **one)  # fmt: skip
    degrees = Affine(0.25, 0, -10, 0, -0.25, 50)
    laea = "+proj=laea +lat_0=50 +lon_0=9 +ellps=GRS80 +units=m"
    places = {"geographic": (degrees, "EPSG:4326"), "mercator": (TRANSFORM, "EPSG:3857"), "laea": (TRANSFORM, laea),
              "european": (TRANSFORM, "EPSG:3035"), "no-crs": (TRANSFORM, None), "nowhere": (Affine.identity(), None),
              "rotated": (Affine.translation(5e5, 4e6) @ Affine(8, 2, 0, 1, -9, 0), CRS),
              "northward": (Affine(10, 0, 5e5, 0, 10, 4e6), CRS)}  # fmt: skip
    for name, place in places.items():
        yield File(f"place-{name}", place=place)
    yield File("nan-to-nodata", dtype="float32", missing="nodata", profile={"NAN_TO_NODATA": "YES"},
               options={"nodata": -9999})  # fmt: skip
    yield File("nodata-infinite", dtype="float64", options={"nodata": float("-inf")})


def gdal_files() -> Iterator[File]:
    """Iterate over files that GDAL's drivers write."""
    for codec, dtype, missing, is_cog in (
        ("lzw", "uint8", "nodata", True), ("deflate", "int16", "mask", True), ("zstd", "float32", "", True),
        ("lzw", "uint16", "", False), ("deflate", "float64", "nodata", False),
    ):  # fmt: skip
        yield File(f"gdal-{codec}-{dtype}-{missing or 'whole'}-{'cog' if is_cog else 'tiled'}", dtype=dtype,
                   missing=missing, profile={"compress": codec}, is_cog=is_cog, options={"engine": "gdal"})  # fmt: skip
    yield File(
        "gdal-warped",
        profile={"TILING_SCHEME": "GoogleMapsCompatible", "compress": "deflate"},
        missing="nodata",
        options={"engine": "gdal"},
    )
    # A whole tile: GDAL writes what was in memory, other on each run, into the part of a 12-bit tile beyond the raster.
    yield File("gdal-12-bits", "noise", "uint16", (2, 256, 256), profile={"NBITS": 12, "compress": "deflate"})


#: Files of several tiles and two overviews, made in every way.
LARGE = (3, 300, 530)
MANY_WAYS = [
    File("ways-uint16-lzw", dtype="uint16", shape=LARGE, missing="nodata", attrs={"descriptions": ["r", "g", "b"]}),
    File("ways-float32-zstd-band", dtype="float32", shape=LARGE, missing="nodata",
         profile={"compress": "zstd", "predictor": 3, "INTERLEAVE": "BAND"}),
    File("ways-int16-deflate-tiled", dtype="int16", shape=LARGE, missing="nodata", profile={"compress": "deflate"},
         is_cog=False),
    File("ways-uint8-lerc-cubic", dtype="uint8", shape=(1, 300, 530),
         profile={"compress": "lerc_zstd", "RESAMPLING": "cubic", "BLOCKSIZE": 128}, missing="nodata"),
    File("ways-uint8-statistics", "pairs", "uint8", (2, 300, 530), "zeros",
         profile={"STATISTICS": "YES", "compress": "zstd", "RESAMPLING": "mode", "SPARSE_OK": "YES"}),
    File("ways-jpeg", dtype="uint8", shape=LARGE, profile={"compress": "jpeg", "photometric": "YCBCR"},
         attrs={"colorinterp": ["red", "green", "blue"]}),
    File("ways-uint8-mask", dtype="uint8", shape=(2, 300, 530), missing="mask", profile={"compress": "deflate"}),
]  # fmt: skip

FILES = [*lossless_files(), *lossy_files(), *layout_files(), *overview_files(), *metadata_files(), *gdal_files(),
         *MANY_WAYS]  # fmt: skip


# ------------------------------------------------------------------------------------------- ways to make the same file


class InOrder:
    """A destination that takes bytes in order and has nothing but write()."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write(self, data: bytes) -> int:
        self.content += data
        return len(data)


class Windows:
    """An object of the GeoData protocol that is read in windows."""

    def __init__(self, tensor: GeoTensor) -> None:
        self._tensor = tensor
        self.transform, self.crs, self.shape = tensor.transform, tensor.crs, tensor.shape
        self.dtype, self.fill_value_default, self.attrs = tensor.dtype, tensor.fill_value_default, tensor.attrs

    def read_from_window(self, window: Window) -> GeoTensor:
        return self._tensor.read_from_window(window)


def stored(file: File, folder: Path) -> Path:
    """Return the path of a file of small tiles with the same pixels, to copy from."""
    path = folder / "source.tif"
    save_tiled_geotiff(file.tensor(), path, profile_arg={"compress": "none", "BLOCKSIZE": 64})
    return path


def data_array(file: File) -> xr.DataArray:
    """Return the raster as a lazy DataArray, in chunks that are not tiles."""
    tensor, (_, height, width) = file.tensor(), file.shape
    coords = {"y": 3999995 - 10 * np.arange(float(height)), "x": 500005 + 10 * np.arange(float(width))}
    attrs = {"crs": CRS, "nodata": tensor.fill_value_default} | tensor.attrs
    if "descriptions" in attrs:
        attrs["long_name"] = tuple(attrs.pop("descriptions"))
    chunks = dask.array.from_array(np.asarray(tensor), chunks=(1, 200, 270))
    return xr.DataArray(chunks, coords, ("band", "y", "x"), attrs={k: v for k, v in attrs.items() if v is not None})


def from_array(file: File, folder: Path) -> bytes:
    file.save(file.tensor(), folder / "a.tif")
    return (folder / "a.tif").read_bytes()


def from_array_with_threads(count: int) -> Callable[[File, Path], bytes]:
    def make(file: File, folder: Path) -> bytes:
        file.save(file.tensor(), folder / "a.tif", profile={"NUM_THREADS": count})
        return (folder / "a.tif").read_bytes()

    return make


def from_array_verified(file: File, folder: Path) -> bytes:
    file.save(file.tensor(), str(folder / "a.tif"), verify=True, durable=True, overwrite=False)
    return (folder / "a.tif").read_bytes()


def from_array_in_order(file: File, folder: Path) -> bytes:
    destination = InOrder()
    file.save(file.tensor(), destination, dir_tmpfiles=folder, max_memory=SMALL_MEMORY)
    return bytes(destination.content)


def from_array_to_buffer(file: File, folder: Path) -> bytes:
    buffer = BytesIO()
    file.save(file.tensor(), buffer)
    return buffer.getvalue()


def from_path(file: File, folder: Path) -> bytes:
    file.save(str(stored(file, folder)), folder / "a.tif")
    return (folder / "a.tif").read_bytes()


def from_path_in_order(file: File, folder: Path) -> bytes:
    destination = InOrder()
    file.save(stored(file, folder), destination, dir_tmpfiles=folder, max_memory=SMALL_MEMORY)
    return bytes(destination.content)


def from_reader(file: File, folder: Path) -> bytes:
    reader = RasterioReader(str(stored(file, folder)))
    file.save(reader, folder / "a.tif", max_memory=SMALL_MEMORY, profile={"NUM_THREADS": 2})
    return (folder / "a.tif").read_bytes()


def from_dataset(file: File, folder: Path) -> bytes:
    with rasterio.open(stored(file, folder)) as dataset:
        file.save(dataset, folder / "a.tif", profile={"NUM_THREADS": 1})
    return (folder / "a.tif").read_bytes()


def from_windows(file: File, folder: Path) -> bytes:
    file.save(Windows(file.tensor()), folder / "a.tif", max_memory=SMALL_MEMORY)
    return (folder / "a.tif").read_bytes()


def from_dask(file: File, folder: Path) -> bytes:
    file.save(data_array(file), folder / "a.tif")
    return (folder / "a.tif").read_bytes()


def from_writer(file: File, folder: Path) -> bytes:
    tensor, (_, height, width) = file.tensor(), file.shape
    windows = [Window(column, row, min(150, width - column), min(110, height - row)) for row in range(0, height, 110)
               for column in range(0, width, 150)]  # fmt: skip
    shuffled = [windows[(7 * number + 3) % len(windows)] for number in range(len(windows))]
    assert len(set(map(repr, shuffled))) == len(windows)
    with CogWriter(folder / "a.tif", like=tensor, profile_arg=file.profile, max_memory=SMALL_MEMORY) as writer:
        for window in shuffled:
            writer.write(tensor.read_from_window(window), window)
    return (folder / "a.tif").read_bytes()


#: Little enough that windows and cells are small, and that what waits is spooled.
SMALL_MEMORY = "36MiB"

WAYS: dict[str, Callable[[File, Path], bytes]] = {
    "array": from_array,
    "array-1-thread": from_array_with_threads(1),
    "array-2-threads": from_array_with_threads(2),
    "array-verified": from_array_verified,
    "array-in-order-small-memory": from_array_in_order,
    "array-to-buffer": from_array_to_buffer,
    "path": from_path,
    "path-in-order-small-memory": from_path_in_order,
    "reader-small-memory": from_reader,
    "dataset": from_dataset,
    "windows-small-memory": from_windows,
    "dask": from_dask,
    "writer-small-memory": from_writer,
}


def ways_of(file: File) -> list[str]:
    """Return the ways in which a file can be made."""
    impossible = set()
    if not file.is_cog:
        impossible |= {"writer-small-memory"}
    if "colorinterp" in file.attrs:
        impossible |= {"dask"}  # a DataArray has no colour interpretations
    if file.missing == "mask":
        impossible |= {"dask", "writer-small-memory"}
    return [way for way in WAYS if way not in impossible]


def copied_alike() -> Iterator[File]:
    """Iterate over the files that have the same bytes if their pixels were in a file before."""
    # A file has no bool: the overviews of the copy would be averages.
    yield from (file for file in lossless_files() if file.dtype != "bool")


ROWS = [
    *((file, "array") for file in FILES),
    *((file, way) for file in MANY_WAYS for way in ways_of(file)[1:]),
    # Beside those: each of some more files in one other way.
    *zip(islice(copied_alike(), 0, None, 4), cycle(("path-in-order-small-memory", "array-2-threads", "path"))),
]


# ----------------------------------------------------------------------------------------------------------- the record


def made(file: File, way: str, folder: Path) -> str:
    """Return the SHA-256 of a file, written by one function."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rows from south to north, no CRS: on purpose
        return hashlib.sha256(WAYS[way](file, folder)).hexdigest()


def read_record() -> dict[str, Any]:
    """Return the record: the environments, and of each file one hash, or one for each environment."""
    empty: dict[str, Any] = {"environments": [], "files": {}}
    return json.loads(RECORD.read_text()) if RECORD.exists() else empty


def recorded(file: File) -> str | None:
    """Return the hash of a file in this environment, or None.

    LZW is recorded with the compiled encoder: imagecodecs, which encodes where it was not compiled, writes other bytes.
    """
    if lzw_encode is None and file.profile.get("compress", "lzw") == "lzw":
        return None
    found = read_record()["files"].get(file.name, {})
    return found if isinstance(found, str) else found.get(file.environment)


def test_pinned_environments_are_recorded() -> None:
    if not os.environ.get("GEOREADER_REQUIRE_READERS"):
        pytest.skip("only CI has the pinned versions for certain")
    assert environment() in read_record()["environments"], f"not recorded: {environment()}; record: {HOW_TO_RECORD}"


def test_record_has_the_files_of_the_table() -> None:
    assert len({file.name for file in FILES}) == len(FILES)
    assert sorted(read_record()["files"]) == sorted(file.name for file in FILES)


@pytest.mark.parametrize(("file", "way"), [pytest.param(file, way, id=f"{file.name}-by-{way}") for file, way in ROWS])
def test_bytes_are_those_recorded(file: File, way: str, tmp_path: Path) -> None:
    expected = recorded(file)
    if environment() not in read_record()["environments"] or expected is None:
        pytest.skip(f"no hash of {file.environment}; record it before a change: {HOW_TO_RECORD}")

    found = made(file, way, tmp_path)

    assert found == expected, (
        f"{file.name}, made by {way}: the bytes have changed: SHA-256 {found}, recorded {expected}; "
        f"if this is intended: {HOW_TO_RECORD}"
    )


def record() -> None:
    """Record the hashes of this environment beside those of others."""
    earlier = read_record()
    environments = sorted({*earlier["environments"], environment()})
    files: dict[str, Any] = {}
    for file in FILES:
        with tempfile.TemporaryDirectory() as folder:
            found = made(file, "array", Path(folder))
        before = earlier["files"].get(file.name, {})
        hashes = before if isinstance(before, dict) else dict.fromkeys(earlier["environments"], before)
        hashes = dict(sorted((hashes | {file.environment: found}).items()))
        is_same_everywhere = sorted(hashes) == environments and set(hashes.values()) == {found}
        files[file.name] = found if is_same_everywhere else hashes
    RECORD.write_text(json.dumps({"environments": environments, "files": files}, indent=1) + "\n")


if __name__ == "__main__":
    record()
