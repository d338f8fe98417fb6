"""How operators save: through `save_cog`, with what it takes, and as their run asks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from georeader import GeoTensor, save_cog
from georeader.errors import OptionError
from geotoolz.config import plain
from geotoolz.operator import CREDENTIAL_ARGS
from geotoolz.run_context import Run, current_run

#: What save_cog takes beyond pixels and path.
SAVE_OPTIONS = tuple(inspect.signature(save_cog).parameters)[2:]


def check_save_options(options: Mapping[str, Any], asked_by: str) -> dict[str, Any]:
    """Give options for `save_cog` as a configuration holds them; ``fs``, ``http_headers``, ``progress`` as they are.

    Raises:
        OptionError: One that save_cog does not know, or that is no plain value; the message lists what there is.
    """
    unknown = [name for name in options if name not in SAVE_OPTIONS]
    if unknown:
        raise OptionError(
            f"{asked_by} takes no {', '.join(unknown)}; beyond its own arguments: {', '.join(SAVE_OPTIONS)}"
        )
    return {name: value if name in CREDENTIAL_ARGS else plain(value, name) for name, value in options.items()}


def save(gt: GeoTensor, path: str, options: Mapping[str, Any]) -> Any:
    """Save a COG.

    In a run of a catalog with several workers, each save has one thread unless ``profile_arg["NUM_THREADS"]`` says
    otherwise, and ends when the run is interrupted, with nothing left behind.

    Args:
        gt: Raster.
        path: Local path or URL, as a string.
        options: As `check_save_options` gave them.

    Returns:
        The receipt of save_cog.

    Raises:
        GeoreaderError: As save_cog.
    """
    run = current_run()
    return save_cog(gt, path, **(dict(options) if run is None else _within(run, options)))


def _within(run: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    if options.get("progress") is True:
        raise OptionError("bars of several saves would run into each other; pass progress=True to CatalogPipeline")
    return {**_with_threads(run, options), "progress": _checking(run, options.get("progress"))}


def _with_threads(run: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    name = "profile" if options.get("profile") is not None else "profile_arg"
    profile = options.get(name) or {}
    if run.threads_per_save is None or any(str(key).upper() == "NUM_THREADS" for key in profile):
        return dict(options)
    return {**options, name: {**profile, "NUM_THREADS": run.threads_per_save}}


def _checking(run: Run, progress: Any) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        run.check()
        if callable(progress):
            progress(done, total)

    return tell
