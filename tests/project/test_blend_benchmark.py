"""The benchmark of blending runs, on a small scene, and its ways write the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import blend

pytestmark = pytest.mark.slow


def test_benchmark_prints_ratios_and_differences_of_each_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    blend.main(["--rounds", "1", "--only", "argmax", "--side-px", "600"])

    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == [f"| {way}, argmax" for way in ("numpy", "CogWriter", "CogWriter ordered")]
    assert [row[-1] for row in rows[1:]] == ["0 of 360000 pixels |"] * 2
    assert list(tmp_path.iterdir()) == []
