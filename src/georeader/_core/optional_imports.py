"""Optional dependencies, imported on first use."""

from __future__ import annotations

import importlib
from typing import Any

from georeader.errors import MissingExtraError


def import_extra(module: str, *, extra: str, purpose: str) -> Any:
    """Import ``module``, or raise an error that names the extra with it.

    Raises:
        MissingExtraError: The module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{purpose} needs {package}: pip install {package} (it comes with georeader-cog's extra {extra!r})"
        ) from error
