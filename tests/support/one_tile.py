"""A TIFF file of one tile, written by hand, to decode encoded bytes by other readers."""

from __future__ import annotations

import io
import struct
import warnings
from typing import Any

import numpy as np
import rasterio
import tifffile
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from georeader._codecs.tile_codec import TileCodec

_SHORT, _LONG, _RATIONAL, _UNDEFINED = 3, 4, 5, 7
_LETTERS = {_SHORT: "H", _LONG: "I", _RATIONAL: "I"}
_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3, "c": 6}


#: rasterio's wheels before 1.4.4 stand on a libtiff without predictor 2 of 64 bits and without LERC's masks of bands.
LIBTIFF_IS_OLD = tuple(map(int, rasterio.__gdal_version__.split(".")[:2])) < (3, 10)


def tiff_of_one_tile(data: bytes, shape: tuple[int, int, int], codec: TileCodec) -> bytes:
    """Wrap the bytes of a tile (row, column, sample) in a little-endian TIFF."""
    height, width, samples = shape
    is_colour = codec.dtype == np.uint8 and samples in (3, 4)
    photometric = codec.photometric or (2 if is_colour else 1)
    extra = samples - (3 if photometric != 1 else 1)
    tags = [
        (256, _LONG, (width,)),
        (257, _LONG, (height,)),
        (258, _SHORT, (codec.dtype.itemsize * 8,) * samples),
        (259, _SHORT, (codec.compression_tag,)),
        (262, _SHORT, (photometric,)),
        (277, _SHORT, (samples,)),
        (284, _SHORT, (1,)),
        (322, _LONG, (width,)),
        (323, _LONG, (height,)),
        (324, _LONG, (8,)),
        (325, _LONG, (len(data),)),
        *([(338, _SHORT, (2 if is_colour else 0,) * extra)] if extra else []),
        (339, _SHORT, (_SAMPLE_FORMATS[codec.dtype.kind],) * samples),
        *codec.tags,
    ]
    return _file(data + b"\0" * (len(data) % 2), sorted(tags))


def _file(data: bytes, tags: list[tuple[int, int, tuple[Any, ...]]]) -> bytes:
    start = 8 + len(data)
    values_start = start + 2 + 12 * len(tags) + 4
    entries, values = struct.pack("<H", len(tags)), b""
    for number, kind, given in tags:
        packed = given[0] if kind == _UNDEFINED else struct.pack(f"<{len(given)}{_LETTERS[kind]}", *given)
        count = len(packed) if kind == _UNDEFINED else len(given) // (2 if kind == _RATIONAL else 1)
        entries += struct.pack("<HHI", number, kind, count)
        if len(packed) <= 4:
            entries += packed.ljust(4, b"\0")
        else:
            entries += struct.pack("<I", values_start + len(values))
            values += packed + b"\0" * (len(packed) % 2)
    return b"II*\0" + struct.pack("<I", start) + data + entries + b"\0\0\0\0" + values


def read_by_gdal(file: bytes) -> np.ndarray[Any, Any]:
    """(row, column, sample)."""
    with MemoryFile(file) as memory, memory.open() as dataset:
        return np.moveaxis(dataset.read(), 0, 2)


def read_by_tifffile(file: bytes, shape: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    """(row, column, sample)."""
    return np.asarray(tifffile.imread(io.BytesIO(file))).reshape(shape)


def size_by_gdal(tile: np.ndarray[Any, Any], **options: Any) -> int:
    """Bytes that GDAL's GTiff driver makes of a tile."""
    height, width, samples = tile.shape
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": samples, "dtype": tile.dtype,
        "tiled": True, "blockysize": height, "blockxsize": width, "interleave": "pixel",
    }  # fmt: skip
    with MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(**profile, **options) as dataset:
            dataset.write(np.moveaxis(tile, 2, 0))
        with tifffile.TiffFile(io.BytesIO(memory.read())) as tiff:
            return int(tiff.pages[0].databytecounts[0])


def gdal_knows_dtype(dtype: str) -> bool:
    return bool(rasterio.dtypes.check_dtype(dtype))
