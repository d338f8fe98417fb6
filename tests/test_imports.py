"""Every way to import works, in any order, and importing is cheap."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys

import pytest

WAYS = {
    "package": "import georeader; assert callable(georeader.save_cog)",
    "function": "from georeader import save_cog; assert save_cog.__module__ == 'georeader.save'",
    "module": "from georeader.save import save_cog; assert save_cog.__module__ == 'georeader.save'",
    "stub": "from georeader.save_cog import save_cog; assert save_cog.__module__ == 'georeader.save'",
    "stub as a module": "import georeader.save_cog; assert georeader.save_cog.__module__ == 'georeader.save'",
}


def python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("order", list(itertools.permutations(WAYS, 2)), ids=" then ".join)
def test_save_cog_is_the_function_in_any_order_of_import(order: tuple[str, ...]) -> None:
    code = "\n".join(WAYS[way] for way in order) + (
        "\nimport georeader, inspect, pickle"
        "\nassert inspect.isfunction(georeader.save_cog)"
        "\nfrom georeader import save_cog as last"
        "\nassert last is georeader.save.save_cog is pickle.loads(pickle.dumps(last))"
    )

    done = python(code)

    assert done.returncode == 0, done.stderr


def test_the_stub_says_where_to_go() -> None:
    done = python("from georeader.save_cog import save_cog", "-W", "error::DeprecationWarning")

    assert "use 'from georeader import save_cog' or 'from georeader.save import save_cog'" in done.stderr
    assert done.returncode == 1


def test_the_package_itself_does_not_import_its_deprecated_stub() -> None:
    done = python("import georeader, georeader.save", "-W", "error::DeprecationWarning")

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["shapely", "fsspec", "imagecodecs", "xarray", "dask", "matplotlib", "tifffile"])
def test_optional_and_later_needed_packages_are_not_imported(module: str) -> None:
    done = python(f"import sys, georeader.save; assert {module!r} not in sys.modules")

    assert done.returncode == 0, done.stderr


def test_importing_save_takes_less_than_one_and_a_half_times_importing_rasterio() -> None:
    """Measured in alternation, in fresh interpreters: medians of the imports alone."""
    clock = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
    seconds: dict[str, list[float]] = {"rasterio": [], "georeader.save": []}
    for _ in range(7):
        for module, taken in seconds.items():
            taken.append(float(python(clock.format(module)).stdout))

    ratio = statistics.median(seconds["georeader.save"]) / statistics.median(seconds["rasterio"])
    assert ratio < 1.5
