"""The rules of the house, held by tests: which module may import what, and what input checks may use."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import georeader
from python_source import imports

SOURCE = Path(georeader.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]

#: Modules without I/O beside the packages of import-linter's contract in pyproject.toml.
PURE = [
    *(
        name
        for name in NAMES
        if name.startswith(("_export/plan/", "_tiff/", "_codecs/", "_resample/", "_render/", "validation/judge"))
    ),
    "_core/band_attrs.py",
    "_arrays/pixel_attrs.py",
    "ground_control.py",
    "errors.py",
    "_export/engine/pyramid_builder.py",
    "_export/statistics.py",
    "_export/receipt/receipt.py",
    "_export/gdal/options.py",
    "_export/writer/arguments.py",
]

#: What opens, reads, writes or removes something; import-linter does not tell submodules of rasterio apart.
IO_MODULES = {"os", "io", "pathlib", "shutil", "tempfile", "socket", "subprocess", "urllib", "fsspec", "rasterio.io",
              "rasterio.shutil", "rasterio.warp", "rasterio.vrt", "rasterio.open"}  # fmt: skip


@pytest.mark.parametrize("name", PURE)
def test_pure_module_does_no_io(name: str) -> None:
    tree = ast.parse((SOURCE / name).read_text())
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}

    assert not imports(SOURCE / name) & IO_MODULES
    assert not calls & {"open", "print"}


@pytest.mark.parametrize("name", NAMES)
def test_georeader_never_imports_geotoolz(name: str) -> None:
    assert not any(module.split(".")[0] == "geotoolz" for module in imports(SOURCE / name))


@pytest.mark.parametrize("name", NAMES)
def test_input_is_not_checked_by_assert(name: str) -> None:
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse((SOURCE / name).read_text())))
