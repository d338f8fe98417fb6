"""Rules of the source: imports of pure modules, no assert for input, and plain language."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import georeader
from places import ROOT
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

#: What opens, reads, writes or removes something; import-linter does not distinguish submodules of rasterio.
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


#: Phrases that the docs of numpy, rasterio and GDAL avoid: regular expression to what is written instead.
PHRASES = {
    r"\b\w+n't\b": "cannot, do not, is not",
    r"\b(whoever|nobody|somebody|anybody|everybody|whom)\b": "the caller, the process, the store",
    r"\b(is|are|was|were|be|been|being) told\b|\bhears? of\b": "receives, is passed, is named",
    r"\btells? (of|what|how|which|whether|it)\b": "reports, has, names",
    r"\blets? go\b|\bletting go\b": "releases, closes",
    r"\bmakes? no sense\b": "is invalid",
    r"\bwhatever\b": "any, for any",
    r'"""(give|tell|look|ask|say|let|hand|be)\b': "Return, Compute, Read, Write, Check",
    r"\b(look|looks|looked|looking) (at|into)\b": "read, check, inspect",
    r"(?<!there )\b(is|are) no (?!longer\b|more\b|data\b|larger\b|smaller\b|later\b)[a-z]": "is not, must be",
}

SENTENCES = [
    *(path for folder in ("src", "examples") for path in sorted(ROOT.glob(f"{folder}/**/*.py"))),
    *sorted(ROOT.glob("benchmarks/*.py")),
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("docs/**/*.ipynb")),
]


def test_source_and_documentation_use_plain_phrases() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]!r}; write {instead!r}"
        for path in SENTENCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for phrase, instead in PHRASES.items()
        if (match := re.search(phrase, line, re.IGNORECASE))
    ]

    assert found == []
