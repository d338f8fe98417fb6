"""The command line, run in this process or as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from georeader.cli import main

GEOREADER = str(Path(sys.executable).with_name("georeader"))


def run(*arguments: object) -> Result:
    """Run it in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def georeader(*arguments: object, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run it in one of its own."""
    command = [GEOREADER, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **how)
