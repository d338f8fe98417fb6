"""Another distribution with the import name `georeader` is one clear error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import georeader


def python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def beside_spaceml(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which georeader-spaceml is installed, too, as pip notes it."""
    noted = tmp_path / "georeader_spaceml-1.5.2.dist-info"
    noted.mkdir()
    (noted / "METADATA").write_text("Metadata-Version: 2.1\nName: georeader-spaceml\nVersion: 1.5.2\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.parametrize(
    "code", ["import georeader", "from georeader import save_cog", "import geotoolz", "import georeader.errors"]
)
def test_import_beside_georeader_spaceml_says_what_to_remove(code: str, beside_spaceml: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", code], env=beside_spaceml, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "ImportError: georeader-spaceml 1.5.2 and georeader-cog are both installed, and both are imported as "
        "georeader: files of one replace those of the other. Remove both (pip uninstall -y georeader-spaceml "
        "georeader-cog), and install one"
    )


@pytest.mark.parametrize("code", ["import georeader.validation", "import geotoolz", "import georeader.cli"])
def test_modules_check_it_where_the_other_package_replaced_the_first_one(
    code: str, beside_spaceml: dict[str, str], tmp_path: Path
) -> None:
    """As with georeader-spaceml installed last: its `georeader/__init__.py`, and modules that it does not have."""
    package = tmp_path / "georeader"
    package.mkdir()
    (package / "__init__.py").write_text(f"__path__.append({str(Path(georeader.__file__).parent)!r})\n")

    ended = python(code, beside_spaceml)

    assert ended.returncode == 1
    assert "georeader-spaceml 1.5.2 and georeader-cog are both installed" in ended.stderr
