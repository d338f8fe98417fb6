"""Host programs, such as QGIS, where sys.executable is the host: nothing is ever started from it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import georeader
import geotoolz
from servers.s3 import S3Server

pytestmark = pytest.mark.slow

SOURCES = [*Path(georeader.__file__).parent.rglob("*.py"), *Path(geotoolz.__file__).parent.rglob("*.py")]

#: Begins a program that is embedded in a host: what would start the host is noted in a file.
_HOST = textwrap.dedent("""
    import multiprocessing.spawn, sys
    sys.executable = sys._base_executable = sys.argv[1]
    multiprocessing.spawn.set_executable(sys.argv[1])
    import numpy as np
    from georeader import CogWriter, GeoTensor, save_cog, save_tiled_geotiff
    from georeader._export.plan import traits
    from georeader.validation import info, validate
    traits.PART_BYTES = 5 * 2**20
    place = {"transform": (10, 0, 0, 0, -10, 0), "crs": 3857}
    values = np.random.default_rng(0).normal(100, 9, (2, 300, 300)).astype("uint8")
    raster = GeoTensor(values, fill_value_default=0, **place)
""")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A program that records in a file beside it that it was started."""
    program = tmp_path / "qgis-bin"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/started\n')
    program.chmod(0o755)
    return program


def run(host: Path, code: str, **env: str) -> str:
    """Run code in a host; returns what it printed."""
    process = subprocess.run(
        [sys.executable, "-c", _HOST + textwrap.dedent(code), str(host)],
        capture_output=True, text=True, cwd=host.parent, env=os.environ | env, check=False, timeout=120,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert not (host.parent / "started").exists(), (host.parent / "started").read_text()
    return process.stdout


@pytest.mark.skipif(os.name != "posix", reason="scripts are not executable here")
class TestHosts:
    @pytest.mark.parametrize("compress", ["lerc", "lerc_deflate", "lerc_zstd", "jxl", "deflate"])
    def test_a_file_is_validated_without_another_process(self, compress: str, host: Path) -> None:
        code = f"""
            save_cog(raster, "out.tif", profile_arg={{"compress": {compress!r}}})
            report = validate("out.tif")
            print(report.is_valid, report.measurement.tiles_decoded > 0, report.errors, report.warnings)
            if {compress != "jxl"}:  # which GDAL need not know
                info("out.tif")
        """

        assert run(host, code) == "True True () ()\n"

    @pytest.mark.parametrize("engine", ["stream", "gdal"])
    def test_files_are_saved_without_another_process(self, engine: str, host: Path) -> None:
        code = f"""
            save_cog(raster, "out.tif", engine={engine!r}, verify={engine == "stream"})
            save_tiled_geotiff(raster, "tiled.tif", engine={engine!r})
            with CogWriter("written.tif", shape=(300, 300), dtype="uint8", **place) as writer:
                writer.write(values[0])
            print("saved")
        """

        assert run(host, code) == "saved\n"

    @pytest.mark.parametrize("fails", [False, True], ids=["whole", "aborted"])
    def test_an_upload_in_parts_is_sent_without_another_process(
        self, fails: bool, host: Path, seaweed: S3Server
    ) -> None:
        code = f"""
            class Source:
                shape, dtype, fill_value_default, attrs = (2, 1700, 1700), np.dtype("uint16"), 0, {{}}
                transform, crs = raster.transform, raster.crs
                def read_from_window(self, window):
                    if {fails} and window.row_off > 1200:
                        raise OSError("the source is gone")
                    shape = (2, int(window.height), int(window.width))
                    return GeoTensor(np.ones(shape, "uint16"), fill_value_default=0, **place)
            try:
                save_cog(Source(), {seaweed.url("host.tif")!r}, profile_arg={{"compress": "none"}})
            except Exception as error:
                print(type(error).__name__, end=" ")
            print("done")
        """

        printed = run(host, code, **seaweed.env())

        assert printed.endswith("done\n")
        assert seaweed.exists("host.tif") is not fails
        assert seaweed.open_uploads() == []

    def test_a_catalog_runs_in_threads(self, host: Path) -> None:
        code = """
            from geotoolz.catalog_ops import CatalogPipeline, WriteCOG
            rows = [{"path": save_cog(raster, f"in{number}.tif").path, "tile": f"T{number}"} for number in range(4)]
            results = CatalogPipeline(rows, WriteCOG("out_{tile}.tif"), n_workers=2).run()
            print([result.error for result in results])
        """

        assert run(host, code) == "[None, None, None, None]\n"

    def test_catalog_in_processes_is_refused_with_advice(self, host: Path) -> None:
        code = """
            from geotoolz.catalog_ops import CatalogPipeline, WriteCOG
            from georeader.errors import OptionError
            try:
                CatalogPipeline([], WriteCOG("out_{tile}.tif"), executor="process")
            except OptionError as error:
                print(error)
        """

        said = run(host, code)

        assert f"{str(host)!r} is not a Python interpreter" in said
        assert 'executor="thread"' in said
        assert "multiprocessing.set_executable" in said


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_module_names_sys_executable_or_starts_a_program(path: Path) -> None:
    tree = ast.parse(path.read_text())
    attributes = {f"{node.value.id}.{node.attr}" for node in ast.walk(tree)
                  if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)}  # fmt: skip
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}

    assert "sys.executable" not in attributes
    assert "subprocess" not in imported
    assert not any(name.startswith(("os.exec", "os.spawn", "os.posix_spawn", "os.fork")) for name in attributes)
