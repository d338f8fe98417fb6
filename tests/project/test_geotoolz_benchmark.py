"""The benchmark of catalogs runs, and compares the files of both ways."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import catalog
from georeader import save_cog
from geotoolz_helpers import stack_of

pytestmark = pytest.mark.slow


def test_both_ways_write_the_same_and_a_ratio_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog.main(["--chips", "3", "--rounds", "1", "--codecs", "zstd", "--folder", str(tmp_path)])

    assert re.search(r"by hand / ours, at least 1\.7: \d+\.\d\d", capsys.readouterr().out)
    assert list(tmp_path.iterdir()) == []


def test_different_pixels_are_detected(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        save_cog(stack_of([value, np.nan], dtype="float32", fill=np.nan), tmp_path / name / "x.tif")

    with pytest.raises(RuntimeError, match="the pixels differ"):
        catalog.compare([tmp_path / "a", tmp_path / "b"], 1)
