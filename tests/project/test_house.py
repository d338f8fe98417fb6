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

#: What opens, reads, writes or asks GDAL; everything else in export/ is functions from values to values.
TOUCHES_THE_WORLD = {
    "_export/sources/opening.py",
    "_export/sources/handles.py",
    "_export/sources/gdal_environment.py",
    "_export/sources/read_cost.py",
    "_export/sources/raster_file.py",
    "_export/sources/mapped.py",
    "_export/writer/target_grid.py",
    "_export/pipeline.py",
    "_export/receipt/footprint.py",
    "_export/engine/stream.py",
    "_export/geotiff_tags.py",
    "_export/gdal/engine.py",
    "_export/gdal_dataset.py",
    "_export/gdal/pyramid.py",
    *(name for name in NAMES if name.startswith("_export/sinks/")),
}

PURE = [
    *(
        name
        for name in NAMES
        if name.startswith(("_export/", "_tiff/", "_codecs/", "_resample/", "_render/"))
        and name not in TOUCHES_THE_WORLD
    ),
    "_core/band_attrs.py",
    "_arrays/pixel_attrs.py",
    "ground_control.py",
    "_readers/windows.py",
    "errors.py",
    "_export/receipt/acquisition.py",
    "cli/typed.py",
    "cli/values.py",
    *(name for name in NAMES if name.startswith("validation/judge")),
]

#: What opens, reads, writes or removes something.
WORLD = {"os", "io", "pathlib", "shutil", "tempfile", "socket", "subprocess", "urllib", "fsspec", "rasterio.io",
         "rasterio.shutil", "rasterio.warp", "rasterio.vrt", "georeader.rasterio_reader",
         "georeader._readers.int64_nodata",
         "georeader._export.sources", "georeader._export.sinks", "georeader._export.gdal.engine",
         "georeader._export.gdal.pyramid", "georeader._export.gdal_dataset", "georeader._export.geotiff_tags",
         "georeader._export.pipeline", "georeader._export.engine.stream"}  # fmt: skip


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
