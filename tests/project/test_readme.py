"""The README keeps its word: its code runs, and its commands are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from by_command import run
from places import ROOT

README = (ROOT / "README.md").read_text()


def test_the_code_runs_and_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}

    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)

    promised = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("# ")]
    assert capsys.readouterr().out.splitlines() == promised
    for line in re.findall(r"^\$ (georeader .*)$", README, re.MULTILINE):
        done = run(*shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "32TQM.tif", "32TQM_20240501.tif", "32TQN.tif", "32TQN_20240501.tif", "classes.tif", "copy.tif", "flat.tif",
        "ndvi.tif", "out.png", "out.tif", "part.tif",
    ]  # fmt: skip


def test_the_commands_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"demo", "test"} <= targets
    assert set(re.findall(r"^make ([\w-]+)", README, re.MULTILINE)) <= targets
