"""The documentation of validate matches its codes, and its modules their I/O."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import georeader.validation
from georeader._tiff.parser import FaultKind
from places import ROOT
from python_source import imports

FOLDER = Path(georeader.validation.__file__).parent
DOCS = ROOT / "docs" / "validation.md"

#: What reads; all else are functions from values to values.
READS = {
    "source.py",
    "measure.py",
    "tile_checks.py",
    "histogram_reader.py",
    "__init__.py",
}


def test_table_of_codes_is_complete() -> None:
    documented = re.findall(r"^\| `([a-z-]+)`", DOCS.read_text(), re.MULTILINE)
    judges = "".join(path.read_text() for path in FOLDER.glob("judge*.py"))
    given = {kind.value for kind in FaultKind} | set(re.findall(r'(?:error|warning)\)?\(\s*"([a-z-]+)"', judges))
    given |= set(re.findall(r'"(browser-[a-z]+)"', judges))
    assert sorted(documented) == sorted(given)


@pytest.mark.parametrize(
    "path", sorted(path for path in FOLDER.glob("*.py") if path.name not in READS), ids=lambda p: p.name
)
def test_only_few_parts_read(path: Path) -> None:
    reading = {f"georeader.validation.{Path(name).stem}" for name in READS if name != "__init__.py"}
    world = {
        "os",
        "io",
        "pathlib",
        "socket",
        "http.client",
        "subprocess",
        "urllib",
        "rasterio",
        "georeader.rasterio_reader",
    }
    assert not imports(path) & (reading | world)
