"""Saves of operators through `save_cog`, within the run of a catalog if there is one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from georeader import GeoTensor, save_cog
from georeader.errors import OptionError
from georeader.toolkit import current_run
from geotoolz.operator import CREDENTIAL_ARGS, to_jsonable

#: What save_cog takes beyond pixels and path.
SAVE_OPTIONS = tuple(inspect.signature(save_cog).parameters)[2:]


def check_save_options(options: Mapping[str, Any], caller: str) -> dict[str, Any]:
    """Return options for `save_cog` as types of JSON; ``fs``, ``http_headers`` and ``progress`` unchanged."""
    unknown = [name for name in options if name not in SAVE_OPTIONS]
    if unknown:
        raise OptionError(
            f"{caller} does not take {', '.join(unknown)}; beyond its own arguments: {', '.join(SAVE_OPTIONS)}"
        )
    if options.get("compute", True) is not True:
        raise OptionError(f"compute={options['compute']!r}: {caller} saves when it is called; leave compute out")
    if options.get("client") not in (None, False):
        raise OptionError(
            f"client is a {type(options['client']).__name__}: {caller} saves pixels that are in memory, in the process "
            "that has them; pass a client as the executor of CatalogPipeline"
        )
    return {name: value if name in CREDENTIAL_ARGS else to_jsonable(value, name) for name, value in options.items()}


def save(gt: GeoTensor, path: str, options: Mapping[str, Any]) -> Any:
    """Save a COG with options of `check_save_options`, and return the receipt.

    In a run of a catalog with several workers, each save has its share of the CPUs unless
    ``profile_arg["NUM_THREADS"]`` says otherwise, and ends when the run is interrupted, with nothing left behind.
    """
    run = current_run()
    if run is None:
        return save_cog(gt, path, **options)
    if options.get("progress") is True:
        raise OptionError("bars of several saves would overwrite each other; pass progress=True to CatalogPipeline")
    return save_cog(gt, path, **run.save_options(options))
