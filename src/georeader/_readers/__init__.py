"""Opening of raster files and reading of their pixels and metadata."""
