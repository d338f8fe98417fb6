"""The rules of the house, for geotoolz too: what it imports, how large its rooms are."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import georeader
import geotoolz
from georeader import save_cog
from geotoolz.saving import SAVE_OPTIONS
from places import ROOT

SOURCE = Path(geotoolz.__file__).parent
NAMES = [str(path.relative_to(SOURCE)) for path in sorted(SOURCE.rglob("*.py"))]

#: What of georeader is for others, and what every package of the house uses.
PUBLIC = {
    "georeader", "georeader._core.band_attrs", "georeader.errors", "georeader.save",
    "georeader._core.optional_imports", "georeader._core.progress", "georeader._storage.urls",
    "georeader._storage.filesystems",
    "georeader._storage.local_folders", "georeader._storage.log_redaction", "georeader._storage.obstores",
    "georeader._storage.redaction",
}  # fmt: skip

#: Brought by extras, or big: imported when they are used.
OPTIONAL = {"pandas", "geopandas", "pyarrow", "pystac", "shapely", "tqdm", "obstore", "rasterio"}


@pytest.mark.parametrize("name", NAMES)
def test_of_georeader_only_public_names_are_imported(name: str) -> None:
    for node in ast.walk(ast.parse((SOURCE / name).read_text())):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module] if isinstance(node, ast.ImportFrom) else []
        assert {module for module in modules if module.split(".")[0] == "georeader"} <= PUBLIC
        assert not {module.split(".")[0] for module in modules} & OPTIONAL
        if isinstance(node, ast.ImportFrom) and node.module == "georeader":
            assert {alias.name for alias in node.names} <= set(georeader.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_rooms_and_functions_stay_small(name: str) -> None:
    text = (SOURCE / name).read_text()
    too_long = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            docstring = ast.get_docstring(node, clean=False) or ""
            if node.end_lineno - node.lineno - docstring.count("\n") > 40:
                too_long.append(node.name)

    assert too_long == []
    assert text.count("\n") <= 400
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(text)))


def test_the_code_of_the_documentation_runs() -> None:
    text = (ROOT / "docs" / "geotoolz.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}

    for block in blocks:
        exec(compile(block, "geotoolz.md", "exec"), names)

    assert names["Scale"](3).get_config() == {"factor": 3}


def test_every_option_of_save_cog_is_one_of_the_operators_that_save() -> None:
    assert {"data_save", "path_tiff_save", *SAVE_OPTIONS} == set(inspect.signature(save_cog).parameters)
