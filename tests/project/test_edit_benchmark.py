"""The benchmark of edits and repacks runs, on small rasters."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import edit


@pytest.mark.parametrize(
    ("section", "rows"),
    [("edit", ["edit_cog(out=)", "GDAL / edit_cog(out=)"]), ("repack", ["repack", "GDAL / repack"])],
)
def test_a_section_prints_its_ratios(
    section: str, rows: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    edit.main(["--rounds", "1", "--only", section, "--edited-px", "600", "--repacked-px", "600"])

    printed = capsys.readouterr().out
    assert all(row in printed for row in rows)
    assert list(tmp_path.iterdir()) == []
