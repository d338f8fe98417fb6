"""The command line: parses arguments, calls the public functions and prints results."""

import georeader.errors  # noqa: F401  (refuses georeader-spaceml, which may have replaced the first module)
from georeader.cli.commands import main

__all__ = ["main"]
