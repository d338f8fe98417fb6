"""Overviews: 2x2 pixels to one. Pure: arrays in, arrays out.

`pyramid.halve` reduces one band by two, `pyramid.reduce_block` blocks of a raster level by level. `methods.METHODS` is
the table of methods. docs/decisions/overview-rules.md lists where results equal GDAL's, and where they do not.
"""
