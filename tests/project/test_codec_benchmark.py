"""The benchmark of codecs runs, and the sizes in docs/codecs.md are those of the files."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import codecs
from benchmarks.presets import DATA, RASTERS
from places import ROOT

RASTER = "reflectance, int16"
LINE = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([\d.]+) % \| ([\d.]+) \| ([\d.]+) \|$", re.MULTILINE)
ROWS = LINE.findall((ROOT / "docs" / "codecs.md").read_text())


def test_documented_sizes_are_those_of_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not (DATA / RASTERS[RASTER]).exists():
        pytest.skip(f"{RASTERS[RASTER]} is not here")

    codecs.main(["--rounds", "1", "--only", RASTER, "--pictures", str(tmp_path)])

    printed = LINE.findall(capsys.readouterr().out)
    documented = [row for row in ROWS if row[0] == RASTER]
    assert [row[1] for row in printed] == [row[1] for row in documented]
    assert [float(row[2]) for row in printed] == pytest.approx([float(row[2]) for row in documented], abs=0.6)
    assert [path.name for path in tmp_path.iterdir()] == ["codecs_reflectance_scaled_int16.svg"]


def test_documentation_has_a_table_and_a_picture_of_each_raster() -> None:
    assert list(dict.fromkeys(row[0] for row in ROWS)) == list(RASTERS)
    for file in RASTERS.values():
        assert (codecs.PICTURES / f"codecs_{Path(file).stem}.svg").exists()


def test_picture_has_a_bar_for_each_number() -> None:
    drawn = codecs.drawn("a < b", [("lzw", 80.0, 1.0, 1.0), ("slow", 40.0, 60.0, 0.5)])

    root = ElementTree.fromstring(drawn)
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    widths = [int(node.attrib["width"]) for node in root.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert texts[0] == "a < b"
    assert {"lzw", "slow", "80.0", "40.0", "60.0", "0.5"} <= set(texts)
    assert widths[0] == 2 * widths[1]
    assert max(widths) == widths[0] == widths[3]  # 60 times is cut off
