"""Edits of a GeoTIFF: another header, and the same encoded tiles."""
