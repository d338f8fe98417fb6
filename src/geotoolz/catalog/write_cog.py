"""WriteCOG: the operator that ends a pipeline and saves each row's raster to a file named after the row."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from georeader import GeoTensor
from georeader.storage import link_target_outside, make_folders, redact_url, remove_empty_folders
from geotoolz.catalog.template import Template, read_template, template_text
from geotoolz.errors import RowError
from geotoolz.loading import ROW_KEY
from geotoolz.operator import Operator, Output
from geotoolz.run_context import current_run
from geotoolz.saving import check_save_options, save


@dataclass(frozen=True, repr=False, eq=False)
class WriteCOG(Operator):
    """Saves a raster as a COG, at a path that the catalog's row in ``attrs["row"]`` fills in; returns the receipt.

    Terminal: it ends a `geotoolz.Sequential`. `CatalogPipeline` puts the row into ``attrs["row"]``, a dict of field to
    value, and operators pass it on. Without a catalog, set it: ``gt.attrs["row"] = {"tile_id": "32TQM"}``.

    Templates may have ``{name}``, ``{name:%Y%m%d}`` (dates and times, also as ISO 8601 text; letters YmdHMSfjyGVUWuw),
    ``{{`` and ``}}``, and nothing else. A field of another alphabet than Python's names is written with underscores:
    ``{grid_code}`` for "grid:code". A value that would lead out of the template's folder is refused.

    Memory: as `georeader.save_cog`.

    Attributes:
        path_template: Local path or URL with fields, as text; URLs stay as they are. Folders that are missing are made,
            and removed again if the save fails and they are empty. No field may lie in a URL's host or bucket.
        save_options: Whatever else `georeader.save_cog` takes: descriptions, tags, profile_arg, fs, nodata, ...

    Raises:
        OptionError: At construction: the template has something else in braces, or an option is unknown.
        RowError: No row in ``attrs``; a field that is missing (the message lists the row's fields) or has no value; a
            value with a path separator, "..", a drive, NUL or another control character, "~" at its beginning, or dots
            alone; for URLs also "?", "#" and percent-encoded characters. Also a path that links lead out of the folder
            before the template's first field.
        GeoreaderError: As save_cog.

    Example:
        >>> import numpy as np
        >>> row = {"tile_id": "32TQM", "date": "2024-05-01"}
        >>> gt = GeoTensor(np.ones((1, 64, 64), "uint8"), (10, 0, 0, 0, -10, 0), 32632, nodata=0, attrs={"row": row})
        >>> WriteCOG("{tile_id}_{date:%Y%m%d}.tif", profile_arg={"compress": "zstd"})(gt).path
        '32TQM_20240501.tif'
    """

    path_template: str
    save_options: Mapping[str, Any]

    is_terminal = True

    def __init__(self, path_template: str | os.PathLike[str], **save_options: Any) -> None:
        """Read the template and check the options."""
        text = template_text(path_template)
        object.__setattr__(self, "_template", read_template(text))
        object.__setattr__(self, "path_template", text)
        object.__setattr__(self, "save_options", check_save_options(save_options, type(self).__name__))

    def apply(self, gt: GeoTensor) -> Any:
        """Save."""
        row = gt.attrs.get(ROW_KEY)
        if not isinstance(row, Mapping):
            raise RowError(
                f"path_template={redact_url(self.path_template)!r}: the tensor has no attrs[{ROW_KEY!r}] to fill it in "
                f"with; CatalogPipeline sets it, or you: gt.attrs[{ROW_KEY!r}] = {{'tile_id': ...}}"
            )
        path, run = self.path_for(row), current_run()
        made = make_folders(path, self.save_options.get("fs"))
        try:
            return save(gt, path, self.save_options)
        except BaseException:
            if run is None:
                remove_empty_folders(made)
            else:  # other rows may be saving into them
                run.made_folders.extend(made)
            raise

    def path_for(self, row: Mapping[str, Any]) -> str:
        """Return the path of a row's file.

        Raises:
            RowError: See above.
        """
        template: Template = self.__dict__["_template"]
        path = template.format(row)
        if template.fields:
            self._check_links(path, template.root)
        return path

    def _check_links(self, path: str, root: str) -> None:
        target = link_target_outside(path, root, self.save_options.get("fs"))
        if target is not None:
            raise RowError(
                f"{path!r} leads by a link to {target!r}, outside of the template's folder {root!r}; "
                "name another value, or remove the link"
            )

    def outputs(self, row: Mapping[str, Any]) -> tuple[Output, ...]:
        """Give the row's file."""
        return (Output(self.path_for(row), self.save_options.get("fs"), self.save_options.get("http_headers")),)
