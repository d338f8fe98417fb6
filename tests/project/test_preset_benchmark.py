"""The benchmark of presets runs, and the sizes in docs/presets.md are those of the files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rasterio.errors import NotGeoreferencedWarning

from benchmarks import presets
from places import ROOT

ROWS = re.findall(
    r"^\| ([^|]+) \| (web|visual|analysis|archive) \| ([^|]+) \|([^|]*)\|",
    (ROOT / "docs" / "presets.md").read_text(),
    re.MULTILINE,
)

pytestmark = pytest.mark.filterwarnings(f"ignore::{NotGeoreferencedWarning.__module__}.NotGeoreferencedWarning")


def source_of(raster: str) -> Path:
    path = presets.DATA / presets.RASTERS[raster]
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    return path


@pytest.mark.parametrize(
    ("raster", "preset", "stored_as", "size"),
    [pytest.param(*row, marks=[pytest.mark.thorough] * (row[1] == "archive")) for row in ROWS],
)
def test_documented_sizes_are_those_of_the_files(
    raster: str, preset: str, stored_as: str, size: str, tmp_path: Path
) -> None:
    source = source_of(raster)

    default, found = (presets.stored(source, tmp_path / "a.tif", one) for one in (None, preset))

    assert default is not None
    if found is None:
        assert (stored_as, size.strip()) == ("refused", "")
    else:
        assert found[0] == stored_as
        assert found[1] / default[1] == pytest.approx(float(size), abs=0.015)


def test_documentation_has_each_preset_for_each_raster() -> None:
    assert [row[:2] for row in ROWS] == [(raster, preset) for raster in presets.RASTERS for preset in presets.PRESETS]


def test_benchmark_prints_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    source_of("reflectance, int16")

    presets.main(["--rounds", "1", "--only", "reflectance"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| raster | preset | stored as | size | write | read |"
    assert [line.split(" | ")[1] for line in lines[2:]] == ["default", *presets.PRESETS]
    assert re.fullmatch(r"\| reflectance, int16 \| default \| lzw, predictor 2 \| \d+ KiB \| 1\.0 \| 1\.0 \|", lines[2])
    assert "| visual | refused |" in lines[4]
