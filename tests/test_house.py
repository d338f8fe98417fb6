"""The rules of the house, held by tests: which module may import what, and what input checks may use."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import georeader

SOURCE = Path(georeader.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(path.relative_to(SOURCE)) for path in FILES]

#: What opens, reads, writes or asks GDAL; everything else in export/ is functions from values to values.
TOUCHES_THE_WORLD = {
    "export/sources/open.py",
    "export/sources/handles.py",
    "export/sources/gdal_environment.py",
    "export/sources/read_cost.py",
    "export/sources/raster_file.py",
    "export/sources/mapped.py",
    "export/blank.py",
    "export/pipeline.py",
    "export/stream_engine.py",
    "export/geotags.py",
    "export/gdal_engine.py",
    "export/gdal_describe.py",
    "export/gdal_pyramid.py",
    *(name for name in NAMES if name.startswith("export/sinks/")),
}

PURE = [
    *(name for name in NAMES if name.startswith("export/") and name not in TOUCHES_THE_WORLD),
    "band_attrs.py",
    "pixel_attrs.py",
    "ground_control.py",
    "reader_selection.py",
    "errors.py",
    "acquisition.py",
    "command_line/typed.py",
    "command_line/values.py",
    *(f"picture/{name}.py" for name in ("bands", "colours", "resize", "size", "stretch")),
    *(name for name in NAMES if name.startswith("validation/judge")),
]

#: What opens, reads, writes or removes something.
WORLD = {"os", "io", "pathlib", "shutil", "tempfile", "socket", "subprocess", "urllib", "fsspec", "rasterio.io",
         "rasterio.shutil", "rasterio.warp", "rasterio.vrt", "georeader.rasterio_reader", "georeader.wide_nodata",
         "georeader.export.sources", "georeader.export.sinks", "georeader.export.gdal_engine",
         "georeader.export.gdal_pyramid", "georeader.export.gdal_describe", "georeader.export.geotags",
         "georeader.export.pipeline", "georeader.export.stream_engine"}  # fmt: skip


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("name", PURE)
def test_plans_touch_nothing(name: str) -> None:
    tree = ast.parse((SOURCE / name).read_text())
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}

    assert not imports(SOURCE / name) & WORLD
    assert "rasterio.open" not in imports(SOURCE / name)
    assert not calls & {"open", "print"}


@pytest.mark.parametrize("name", NAMES)
def test_georeader_never_imports_geotoolz(name: str) -> None:
    assert not any(module.split(".")[0] == "geotoolz" for module in imports(SOURCE / name))


@pytest.mark.parametrize("name", NAMES)
def test_input_is_not_checked_by_assert(name: str) -> None:
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse((SOURCE / name).read_text())))
