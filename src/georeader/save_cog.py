"""Deprecated home of `save_cog`; import it from `georeader` or `georeader.save`."""

from __future__ import annotations

import warnings

from georeader.save import save_cog

__all__ = ["save_cog"]

warnings.warn(
    "georeader.save_cog moved: use 'from georeader import save_cog' or 'from georeader.save import save_cog'",
    DeprecationWarning,
    stacklevel=2,
)
