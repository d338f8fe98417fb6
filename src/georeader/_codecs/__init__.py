"""Codecs: the pixels of one tile to bytes, and back. Pure.

`tile_codec` gives a `TileCodec` for GDAL's name of a codec and its options. A tile is a (row, column, sample) array;
its bytes are those that a little-endian TIFF file holds for it.
"""

from georeader._codecs.interface import Scheme, TagEntry, TileCodec
from georeader._codecs.registry import CODECS, PREDICTED_CODECS, tile_codec

__all__ = ["CODECS", "PREDICTED_CODECS", "Scheme", "TagEntry", "TileCodec", "tile_codec"]
