"""The documents of a collection: STAC items and their collection as JSON and as GeoParquet, and a VRT of GDAL."""
