"""Where pixels come from: one module for each kind of source, and `open_source`, which tells them apart."""

from georeader._export.sources.opening import open_source

__all__ = ["open_source"]
