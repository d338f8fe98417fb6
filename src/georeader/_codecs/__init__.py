"""Codecs: the pixels of one tile to bytes, and back. Pure.

`registry.CODECS` holds the facts about each codec, `tile_codec.tile_codec` returns the codec for a file's options, and
`tiles.TileEncoder` cuts, encodes and frames tiles. A tile is a (row, column, sample) array; its bytes are those that a
little-endian TIFF file holds for it.
"""
