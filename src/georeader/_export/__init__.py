"""The path from a raster to a file: plans are pure; sources read, engines encode, sinks write."""
