"""The path of one save in docs/architecture.md is the one that the code takes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import georeader
from georeader import GeoTensor, save_cog

PACKAGE = Path(georeader.__file__).parent
DOCUMENT = PACKAGE.parents[1] / "docs" / "architecture.md"

#: Whose calls are the steps of the path.
CALLERS = ("save.py", "_export/step.py", "_export/pipeline.py")


def documented_steps() -> list[tuple[str, str]]:
    """Return (module, function or class) of each line of the picture."""
    picture = DOCUMENT.read_text().split("```")[1]
    lines = [re.match(r" *(\S+) +(\S+\.py)( |$)", line) for line in picture.strip().splitlines()]
    assert all(lines)
    return [(line[2], line[1]) for line in lines if line]


def traced_steps(tensor: GeoTensor, path: Path) -> list[tuple[str, str]]:
    """Return (module, function or class) of each call between modules that the entry point and the pipeline make."""
    steps = []

    def note(frame: FrameType, event: str, arg: Any) -> None:
        caller = frame.f_back and _module(frame.f_back)
        module = _module(frame)
        if event == "call" and module and (caller is None or caller in CALLERS) and caller != module:
            steps.append((module, frame.f_code.co_qualname.removesuffix(".__init__")))

    sys.setprofile(note)
    try:
        save_cog(tensor, path)
    finally:
        sys.setprofile(None)
    return steps


def _module(frame: FrameType) -> str | None:
    path = Path(frame.f_code.co_filename)
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else None


def test_a_save_takes_the_documented_steps_in_their_order(make_tensor: Any, tmp_path: Path) -> None:
    steps = traced_steps(make_tensor((1, 300, 300)), tmp_path / "out.tif")

    documented = documented_steps()
    positions = [steps.index(step) for step in documented]

    assert len(documented) == 15
    assert positions == sorted(positions)
