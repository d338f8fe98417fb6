"""Errors of geotoolz, below those of georeader (`georeader.errors`).

::

GeoreaderError
├── OptionError
│   └── RowError         a catalog's row that cannot be read, or from which no path can be built
├── IndexingError
│   └── BandError        (IndexError)    a band that does not exist
└── WorkerError          (RuntimeError)  a worker process could not be started, or ended; a cluster was lost
"""

from __future__ import annotations

from georeader.errors import IndexingError, OptionError, WorkerError

__all__ = ["BandError", "RowError", "WorkerError"]


class RowError(OptionError):
    """A row lacks a field, or a value cannot be part of a path; the message names row, field and value."""


class BandError(IndexingError, IndexError):
    """A band that does not exist; the message says how many there are."""
