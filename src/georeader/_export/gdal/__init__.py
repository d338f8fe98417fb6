"""The engine on GDAL's drivers."""
