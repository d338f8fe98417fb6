"""Each example of the pages and docstrings passes mypy and pyright, and what is wrong in a call is flagged by both."""

from __future__ import annotations

import ast
import doctest
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import rasterio

from georeader import GeoTensor, ProfileOptions, profile_options, save_cog
from georeader._export.plan.options import OPTIONS, RASTER_KEYS, parse_profile
from georeader._export.plan.request import ENGINES
from places import ROOT, SUPPORT

PYRIGHT = SUPPORT / "checkers" / "node" / "node_modules" / "pyright" / "index.js"

BEGIN = """
import numpy as np
from georeader import CogWriter, GeoTensor, ProfileOptions, RasterioReader, save_cog, save_tiled_geotiff

gt = GeoTensor(np.zeros((1, 4, 4)), (10, 0, 0, 0, -10, 0), 32630, nodata=None)
"""

RIGHT = f"""
from typing import assert_type
{BEGIN}
assert_type(gt * 0.5, GeoTensor)
assert_type(0.5 * gt, GeoTensor)
assert_type(gt - gt, GeoTensor)
assert_type(1 / gt, GeoTensor)
assert_type(gt**2, GeoTensor)
assert_type(-gt, GeoTensor)
assert_type(~(gt > 0), GeoTensor)
assert_type(gt == gt, GeoTensor)
assert_type((gt > 0) & (gt < 1), GeoTensor)
assert_type(gt.astype("float32"), GeoTensor)
assert_type(gt.isel({{"band": 0}}), GeoTensor)
gt += 1
assert_type(gt, GeoTensor)
options: ProfileOptions = {{"compress": "zstd", "LEVEL": 9, "RESAMPLING": ["mode"], "nodata": None}}
save_cog(gt, "a.tif", profile_arg=options, engine="gdal")
save_tiled_geotiff(gt, "a.tif", profile_arg={{"COMPRESS": "DEFLATE", "predictor": 2, "BLOCKSIZE": 512}})
save_cog("a.tif", "b.tif", profile_arg={{}})
CogWriter("c.tif", like=gt, engine="stream", profile_arg={{"SPARSE_OK": True}})
"""

#: Each is one mistake.
WRONG = {
    "a key": 'save_cog(gt, "a.tif", profile_arg={"compres": "zstd"})',
    "a codec": 'save_cog(gt, "a.tif", profile_arg={"compress": "zstandard"})',
    "a method": 'save_cog(gt, "a.tif", profile_arg={"RESAMPLING": "nearby"})',
    "an engine": 'save_cog(gt, "a.tif", engine="rasterio")',
    "a key of a tiled file": 'save_tiled_geotiff(gt, "a.tif", profile_arg={"BLOKSIZE": 512})',
    "a key of a writer": 'CogWriter("a.tif", like=gt, profile_arg={"compres": "zstd"})',
    "an engine of a writer": 'CogWriter("a.tif", like=gt, engine="rio")',
    "a key of a variable": 'options: ProfileOptions = {"compres": "zstd"}',
    "a transform": 'GeoTensor(np.zeros((2, 2)), "10, 0, 0, 0, -10, 0", 32630)',
}


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def code_of_the_pages() -> dict[str, str]:
    """Return a module for each page with code: the names of a block are known to those after it."""
    codes = {page: re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) for page in PAGES}
    return {
        f"page_{index}_{page.stem}.py".replace("-", "_"): "\n".join(codes[page]) for index, page in enumerate(PAGES)
    }


def examples_of(file: Path) -> str:
    """Return the examples of a module's docstrings, each a function, below what doctest lets them see of the module."""
    tree = ast.parse(file.read_text())
    holders = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    found = [doctest.DocTestParser().get_examples(ast.get_docstring(node) or "") for node in holders]
    codes = ["".join(example.source for example in examples) for examples in found if examples]
    if not codes:
        return ""
    imports = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    defined = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    module = ".".join(file.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    functions = [f"def example_{index}() -> None:\n{textwrap.indent(code, '    ')}" for index, code in enumerate(codes)]
    return "\n".join([*imports, f"from {module} import {', '.join(defined)}" if defined else "", *functions])


def code_of_the_docstrings() -> dict[str, str]:
    """Return a module for each module of the source with examples."""
    src = ROOT / "src"
    files = [file for file in sorted(src.rglob("*.py")) if ">>> " in file.read_text()]
    return {f"doc_{'_'.join(file.relative_to(src).with_suffix('').parts)}.py": examples_of(file) for file in files}


def by_mypy(codes: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    write(codes, folder)
    # The project's own cache and settings: without them each run reads numpy's stubs anew. Not all that examples call
    # is typed: boto3, dask and rio-cogeo are not.
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir"]
    command += [str(ROOT / ".mypy_cache"), "--follow-imports", "silent", "--allow-untyped-calls"]
    command += ["--disable-error-code", "import-untyped", *codes]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def by_pyright(codes: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    node = shutil.which("node")
    if node is None or not PYRIGHT.exists():
        pytest.skip("pyright is not installed: make test installs it where npm is found")
    write(codes, folder)
    command = [node, str(PYRIGHT), "--pythonpath", sys.executable, *codes]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def write(codes: dict[str, str], folder: Path) -> None:
    for name, code in codes.items():
        (folder / name).write_text(code)


CHECKERS = {"mypy": by_mypy, "pyright": by_pyright}
each_checker = pytest.mark.parametrize("checker", CHECKERS)


@each_checker
def test_every_example_passes(checker: str, tmp_path: Path) -> None:
    codes = code_of_the_pages() | code_of_the_docstrings()

    done = CHECKERS[checker](codes, tmp_path)

    assert sum(bool(code) for code in codes.values()) > 80
    assert done.returncode == 0, done.stdout + done.stderr


@each_checker
def test_operators_return_geotensors_and_options_are_typed(checker: str, tmp_path: Path) -> None:
    done = CHECKERS[checker]({"code.py": RIGHT}, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@each_checker
def test_each_mistake_is_flagged_at_its_line(checker: str, tmp_path: Path) -> None:
    code = textwrap.dedent(BEGIN) + "\n".join(WRONG.values()) + "\n"
    first = BEGIN.count("\n") + 1

    done = CHECKERS[checker]({"code.py": code}, tmp_path)

    flagged = {int(line) for line in re.findall(r"code\.py:(\d+):.*error", done.stdout)}
    found = {what: first + place in flagged for place, what in enumerate(WRONG)}
    assert found == dict.fromkeys(WRONG, True), done.stdout
    assert min(flagged) >= first, done.stdout


def test_the_types_name_every_option() -> None:
    keys = {*OPTIONS, *RASTER_KEYS}

    assert set(get_type_hints(ProfileOptions)) == keys | {key.lower() for key in keys}


def literals(kind: Any) -> list[Any]:
    """Return the values of a Literal, or of the Literals in a union."""
    parts = get_args(kind)
    return [
        one for part in parts for one in (literals(part) if get_args(part) else [part]) if not isinstance(one, type)
    ]


@pytest.mark.parametrize(
    "key",
    [key for key in OPTIONS if any(isinstance(one, str) for one in literals(get_type_hints(ProfileOptions)[key]))],
)
def test_the_types_name_every_value(key: str) -> None:
    named = {str(one).upper() for one in literals(get_type_hints(ProfileOptions)[key]) if one is not None}
    taken = {word.strip() for word in OPTIONS[key].value.allowed.partition(";")[0].split(",")}

    assert named - {"YES", "NO"} == taken - {"YES", "NO", "True", "False"}


def test_the_types_name_every_engine() -> None:
    assert set(get_args(profile_options.Engine)) == set(ENGINES)


@pytest.mark.parametrize("mapping", ["dict", "profile of rasterio"])
def test_other_mappings_are_taken_at_run_time(mapping: str, tmp_path: Path) -> None:
    gt = GeoTensor(np.zeros((1, 4, 4), "uint8"), (10, 0, 0, 0, -10, 0), 32630, None)
    save_cog(gt, tmp_path / "a.tif", profile_arg={"compress": "deflate"})
    with rasterio.open(tmp_path / "a.tif") as dataset:
        profile: Any = dataset.profile if mapping == "profile of rasterio" else dict(dataset.profile)

    save_cog(gt, tmp_path / "b.tif", profile_arg=profile)

    with rasterio.open(tmp_path / "b.tif") as dataset:
        assert dataset.profile["compress"] == "deflate"
    assert parse_profile(profile, "cog").fields["codec"] == "DEFLATE"


@pytest.mark.parametrize("package", ["georeader", "geotoolz"])
def test_packages_have_py_typed(package: str) -> None:
    assert (ROOT / "src" / package / "py.typed").exists()
