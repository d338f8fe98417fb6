"""Imports in any order, and their cost."""

from __future__ import annotations

import inspect
import itertools
import json
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader._core.sentinels import Unset
from georeader.save import _add_overviews, _save_cog

pytestmark = pytest.mark.slow

WAYS = {
    "package": "import georeader; assert callable(georeader.save_cog)",
    "function": "from georeader import save_cog; assert save_cog.__module__ == 'georeader.save'",
    "module": "from georeader.save import save_cog; assert save_cog.__module__ == 'georeader.save'",
    "stub": "from georeader.save_cog import save_cog; assert save_cog.__module__ == 'georeader.save'",
    "stub as a module": "import georeader.save_cog; assert georeader.save_cog.__module__ == 'georeader.save'",
}

#: The function has the name of its package, too.
WAYS_TO_VIEW = {
    "package": "import georeader; assert callable(georeader.view)",
    "function": "from georeader import view; assert callable(view)",
    "module": "from georeader.view import View, view; assert callable(view)",
    "submodule": "import georeader.view.server; assert callable(georeader.view)",
}


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)


#: Imports what every way needs, then forks a process for each line of standard input, which is code as JSON, and
#: answers with a line of how it ended: null, or its traceback.
FORK_SERVER = textwrap.dedent("""
    import json, os, sys, traceback
    import numpy, rasterio, rasterio.warp

    for line in sys.stdin:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            said = None
            try:
                assert not any(name.split(".")[0] == "georeader" for name in sys.modules)
                exec(json.loads(line), {"__name__": "__main__"})
            except BaseException:
                said = traceback.format_exc()
            os.write(writing, json.dumps(said).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            print(pipe.read(), flush=True)
        os.waitpid(pid, 0)
""")


@pytest.fixture(scope="module")
def fresh() -> Iterator[Callable[[str], str | None]]:
    """Return a function that runs code in a new interpreter, and returns its traceback."""
    with subprocess.Popen(
        [sys.executable, "-c", FORK_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def run(code: str) -> str | None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(code) + "\n")
            process.stdin.flush()
            said: str | None = json.loads(process.stdout.readline())
            return said

        yield run


def test_fresh_interpreter_reports_failures(fresh: Callable[[str], str | None]) -> None:
    assert "AssertionError: no" in str(fresh("assert False, 'no'"))
    assert "SystemExit" in str(fresh("import sys; sys.exit(0)"))


@pytest.mark.parametrize("order", list(itertools.permutations(WAYS, 2)), ids=" then ".join)
def test_save_cog_is_the_function_in_any_order_of_import(
    order: tuple[str, ...], fresh: Callable[[str], str | None]
) -> None:
    code = "\n".join(WAYS[way] for way in order) + (
        "\nimport georeader, inspect, pickle"
        "\nassert inspect.isfunction(georeader.save_cog)"
        "\nfrom georeader import save_cog as last"
        "\nassert last is georeader.save.save_cog is pickle.loads(pickle.dumps(last))"
    )

    assert fresh(code) is None


@pytest.mark.parametrize("order", list(itertools.permutations(WAYS_TO_VIEW, 2)), ids=" then ".join)
def test_view_is_the_function_in_any_order_of_import(
    order: tuple[str, ...], fresh: Callable[[str], str | None]
) -> None:
    code = "\n".join(WAYS_TO_VIEW[way] for way in order) + (
        "\nimport georeader, inspect, pickle"
        "\nassert inspect.isfunction(georeader.view)"
        "\nassert georeader.view is pickle.loads(pickle.dumps(georeader.view))"
    )

    assert fresh(code) is None


def test_deprecated_stub_names_the_replacement() -> None:
    done = python("from georeader.save_cog import save_cog", "-W", "error::DeprecationWarning")

    assert "use 'from georeader import save_cog' or 'from georeader.save import save_cog'" in done.stderr
    assert done.returncode == 1


def test_the_package_itself_does_not_import_its_deprecated_stub() -> None:
    done = python("import georeader, georeader.save", "-W", "error::DeprecationWarning")

    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def imported() -> Callable[[str], set[str]]:
    """Return a function that lists the modules that a new interpreter has imported after some code."""

    @cache
    def modules(code: str) -> set[str]:
        done = python(f"import sys; {code}; print(*sys.modules)")
        assert done.returncode == 0, done.stderr
        return set(done.stdout.split())

    return modules


@pytest.mark.parametrize(
    "module", ["shapely", "fsspec", "imagecodecs", "xarray", "dask", "matplotlib", "tifffile", "cmap", "PIL"]
)
def test_optional_and_later_needed_packages_are_not_imported(module: str, imported: Callable[[str], set[str]]) -> None:
    found = imported("import georeader.save")

    assert "georeader.save" in found
    assert module not in found


@pytest.mark.parametrize("module", ["numpy", "rasterio", "georeader.save", "georeader.view", "http.server"])
def test_importing_the_package_imports_no_large_library(module: str, imported: Callable[[str], set[str]]) -> None:
    found = imported("import georeader; assert 'save_cog' in dir(georeader)")

    assert "georeader" in found
    assert module not in found


def test_missing_name_raises_attribute_error_as_python_does() -> None:
    done = python("import georeader; georeader.save_gif")

    assert "AttributeError: module 'georeader' has no attribute 'save_gif'" in done.stderr


def test_importing_save_takes_less_than_one_and_a_half_times_importing_rasterio() -> None:
    """Measured in alternation, in fresh interpreters: medians of the processor time of the imports alone."""
    clock = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"
    seconds: dict[str, list[float]] = {"rasterio": [], "georeader.save": []}
    for _ in range(5):
        for module, taken in seconds.items():
            taken.append(float(python(clock.format(module)).stdout))

    ratio = statistics.median(seconds["georeader.save"]) / statistics.median(seconds["rasterio"])
    assert ratio < 1.5


def test_signatures_are_compatible_with_georeader_spaceml() -> None:
    shared = {"data_save": None, "path_tiff_save": None, "descriptions": None, "tags": None, "profile_arg": None,
              "fs": None, "nodata": None}  # fmt: skip
    keyword_only = {"dir_tmpfiles": None, "profile": None}
    new = {"engine": "auto", "verify": False, "durable": False, "overwrite": True, "http_headers": None,
           "max_memory": "512MiB", "progress": False, "client": None, "compute": True, "reuse_tiles": True}  # fmt: skip

    for function, more in ((save_cog, {}), (save_tiled_geotiff, {"blocksize": "BLOCKSIZE_DEFAULT"})):
        parameters = inspect.signature(function).parameters
        assert list(parameters) == [*shared, *keyword_only, *more, *new]
        assert [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY] == [*keyword_only, *more, *new]
        given = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
        defaults = {name: repr(value) if isinstance(value, Unset) else value for name, value in given.items()}
        assert defaults == dict.fromkeys(list(shared)[2:]) | keyword_only | more | new
    assert list(inspect.signature(_save_cog).parameters)[:5] == ["out_np", "path_tiff_save", "profile", "descriptions",
                                                                "tags"]  # fmt: skip
    assert str(inspect.signature(_add_overviews)).startswith(
        "(rst_out: 'Any', tile_size: 'int', verbose: 'bool' = False)"
    )
    assert str(inspect.signature(GeoTensor)).replace("'", "") == (
        "(values: Any, transform: Affine | Sequence[float], crs: Any, fill_value_default: Any = 0, "
        "attrs: Mapping[str, Any] | None = None, *, nodata: Any = UNSET) -> GeoTensor"
    )


@pytest.mark.parametrize(
    "code",
    [
        "from georeader import compare_crs; assert compare_crs('EPSG:4326', 4326)",
        "from georeader import res; from affine import Affine; assert res(Affine(10, 0, 0, 0, -20, 0)) == (10, 20)",
        "from georeader import rasterio_crs; assert rasterio_crs(32630).to_epsg() == 32630",
        "from georeader.geotensor import stack, concatenate, GeoTensor; assert stack == GeoTensor.stack",
        "import georeader; georeader.geotensor.concatenate; georeader.window_utils.res",
    ],
)
def test_names_of_georeader_spaceml_are_importable(code: str, fresh: Callable[[str], str | None]) -> None:
    assert fresh(code) is None
