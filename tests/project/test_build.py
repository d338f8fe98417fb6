"""Source distributions and wheels: what is in them, with and without a C compiler.

Built without isolation, so without a package index.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from places import ROOT

pytestmark = pytest.mark.slow

EXTENSION = "georeader/_codecs/_lzw."
NEEDED = ("src", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")
PAGE = ("app.css", "app.js", "index.html", "land.json", "LICENSES.txt")
NO_COMPILER = {"CC": "/nonexistent/gcc"}

_BUILD_SDIST = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
_BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"

#: As on free-threaded Python.
_BUILD_WITHOUT_GIL = f"import sysconfig; sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1; {_BUILD}"

_SAVE = """
import sys
import numpy as np, rasterio
import georeader
from georeader import GeoTensor, save_cog
from georeader._codecs.lzw import encoder_name

assert georeader.__file__.startswith(sys.argv[1]), georeader.__file__
pixels = np.arange(300 * 300, dtype="uint16").reshape(1, 300, 300)
save_cog(GeoTensor(pixels, (10, 0, 0, 0, -10, 0), "EPSG:32630"), "out.tif", profile_arg={"compress": "lzw"})
with rasterio.open("out.tif") as dataset:
    assert dataset.compression.name == "lzw"
    assert (dataset.read() == pixels).all()
print(encoder_name())
"""


def missing_for_compiling() -> str | None:
    """Return what is not installed for compiling an extension, or None."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "no Python.h"
    if shutil.which(compiler) is None or Path(compiler).name == "false":
        return "no C compiler"
    return None


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a copy of what a wheel is built of."""
    folder = tmp_path / "source"
    folder.mkdir()
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "*.egg-info", "__pycache__")
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def built(source: Path, environment: dict[str, str], code: str = _BUILD) -> Path:
    """Build a wheel, or by other code something else, and return its path."""
    target = source.parent / "built"
    target.mkdir()
    command = [sys.executable, "-c", code, str(target)]
    done = subprocess.run(
        command, cwd=source, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (path,) = target.iterdir()
    return path


def encoder_after_a_save(wheel: Path) -> str:
    """Unpack a wheel, save by it in another process, and return the encoder that it used."""
    site = wheel.parent.parent / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    done = subprocess.run(
        [sys.executable, "-c", _SAVE, str(site)], cwd=wheel.parent.parent, env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def names_in(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def binaries_in(wheel: Path) -> list[str]:
    return [name for name in names_in(wheel) if name.endswith((".so", ".pyd"))]


def test_sdist_holds_what_the_tests_need_and_nothing_that_was_installed(source: Path) -> None:
    wanted = ["tests/unit/test_a.py", "benchmarks/README.md", "docs/index.md", "examples/demo.py", "Makefile",
              "requirements/pinned.txt", "conftest.py", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff",
              "page/package-lock.json", "page/src/main.js"]  # fmt: skip
    unwanted = ["tests/support/servers/node/node_modules/a/b.js", "tests/support/servers/debian/usr/sbin/nginx",
                "benchmarks/.venv/a.py", "benchmarks/.venv-3.13/a.py", "benchmarks/.venv-3.13.identity",
                "src/georeader/_codecs/_lzw.abi3.so", "tests/__pycache__/a.cpython-311.pyc",
                "page/node_modules/a/b.js"]  # fmt: skip
    for name in [*wanted, *unwanted]:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    with tarfile.open(built(source, {}, _BUILD_SDIST)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {
        *wanted,
        *NEEDED,
        *(f"src/georeader/_codecs/{name}" for name in ("_lzw.c", "_lzw.pyi", "_lzw_decode.h")),
    } <= names
    assert not names & set(unwanted)


def test_build_and_twine_accept_both_distributions(source: Path) -> None:
    target = source.parent / "dist"
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), str(source)],
        env=os.environ | NO_COMPILER, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    made = sorted(target.iterdir())

    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, made)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert {path.suffix for path in made} == {".gz", ".whl"}
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("PASSED") == 2


def test_wheel_holds_both_packages_and_no_sources_of_the_extension(source: Path) -> None:
    names = names_in(built(source, NO_COMPILER))

    modules = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}
    assert {"georeader/py.typed", "geotoolz/py.typed", f"{EXTENSION}pyi"} <= set(names)
    assert not [name for name in names if name.endswith(".c")]
    page = {f"georeader/view/static/{name}" for name in PAGE}
    assert [
        name for name in names if name.endswith(("licenses/LICENSE", "licenses/src/georeader/view/static/LICENSES.txt"))
    ]
    assert page == {name for name in names if name.startswith("georeader/view/static/")}


def test_wheel_with_a_compiler_has_one_extension_for_every_python(source: Path) -> None:
    reason = missing_for_compiling()
    if reason:
        pytest.skip(reason)

    wheel = built(source, {})

    assert "-cp311-abi3-" in wheel.name
    (binary,) = binaries_in(wheel)
    assert binary in (f"{EXTENSION}abi3.so", f"{EXTENSION}pyd")
    assert encoder_after_a_save(wheel) == "native"


def test_wheel_without_a_compiler_saves_lzw(source: Path) -> None:
    wheel = built(source, NO_COMPILER)

    assert binaries_in(wheel) == []
    assert encoder_after_a_save(wheel) == f"imagecodecs {version('imagecodecs')}"


def test_wheel_of_a_free_threaded_python_is_pure(source: Path) -> None:
    wheel = built(source, {}, _BUILD_WITHOUT_GIL)

    assert wheel.name.endswith("-py3-none-any.whl")
    assert binaries_in(wheel) == []
