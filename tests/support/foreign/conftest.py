"""Keeps pytest from importing what another Python runs."""

collect_ignore = ["debian_gdal.py"]
