"""Rules that the source of geotoolz keeps, and the examples of its documentation."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import georeader
import geotoolz
from georeader import save_cog
from geotoolz._saving import SAVE_OPTIONS

SOURCE = Path(geotoolz.__file__).parent
NAMES = [str(path.relative_to(SOURCE)) for path in sorted(SOURCE.rglob("*.py"))]

#: Brought by extras, or large: imported where they are used.
OPTIONAL = {"pandas", "geopandas", "pyarrow", "pystac", "shapely", "tqdm", "obstore", "rasterio", "fsspec"}


@pytest.mark.parametrize("name", NAMES)
def test_optional_packages_are_imported_where_they_are_used(name: str) -> None:
    found: set[str] = set()
    for node in ast.parse((SOURCE / name).read_text()).body:
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        found |= {module.split(".")[0] for module in modules}

    assert not found & OPTIONAL


@pytest.mark.parametrize("name", NAMES)
def test_from_the_package_georeader_only_listed_names_are_imported(name: str) -> None:
    for node in ast.walk(ast.parse((SOURCE / name).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "georeader":
            assert {alias.name for alias in node.names} <= set(georeader.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_input_is_not_checked_by_assert(name: str) -> None:
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse((SOURCE / name).read_text())))


def test_operators_accept_every_option_of_save_cog() -> None:
    assert {"data_save", "path_tiff_save", *SAVE_OPTIONS} == set(inspect.signature(save_cog).parameters)
