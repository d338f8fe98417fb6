"""Catalogs: a file for each row, named after it.

The parts are in `geotoolz.catalog`.
"""

from geotoolz.catalog.pipeline import CatalogPipeline
from geotoolz.catalog.result import RowResult
from geotoolz.catalog.write_cog import WriteCOG

__all__ = ["CatalogPipeline", "RowResult", "WriteCOG"]
