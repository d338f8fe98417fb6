"""Pictures of rasters, for people: from the pixels of an overview to a PNG, and to a notebook.

`draw` is the one way from a raster to a picture; `georeader.preview` and ``_repr_html_`` both take it. What decides how
a picture looks (`bands`, `size`, `stretch`, `colours`, `resize`) is pure; `level` reads.
"""
