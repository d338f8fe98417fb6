"""The command line: parses arguments, calls the public functions and prints results."""

from georeader.cli.commands import main

__all__ = ["main"]
