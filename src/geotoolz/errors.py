"""What geotoolz adds to the errors of georeader (`georeader.errors`).

::

GeoreaderError
├── OptionError
│   └── RowError         a catalog's row that can't be read, named or written as it is
├── IndexingError
│   └── BandError        (IndexError)    a band that is not there
└── WorkerError          (RuntimeError)  a process that was to work on rows ended
"""

from __future__ import annotations

from georeader.errors import GeoreaderError, IndexingError, OptionError


class RowError(OptionError):
    """A row lacks a field, or holds a value that a path can't be made of; the message names row, field and value."""


class BandError(IndexingError, IndexError):
    """A band that is not there; the message tells how many there are."""


class WorkerError(GeoreaderError, RuntimeError):
    """A process that was to work on rows could not be started, or ended in the middle of one."""
