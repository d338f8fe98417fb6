"""Bytes of TIFF and BigTIFF: directories, tags, the layout of a COG, CRC-32. Pure."""
