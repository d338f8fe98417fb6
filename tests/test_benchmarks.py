"""The benchmarks run: small, and with the peers that the tests' environment has."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from benchmarks import sections, settings
from benchmarks.checks import look_at
from benchmarks.codec_alone import CodecAlone, CodecAndPredictor, pyramid
from benchmarks.inputs import INPUTS, scene
from benchmarks.measure import measured
from benchmarks.peers import PEERS, Peer, raster_profile
from benchmarks.report import section_text, targets_text, times_ours
from benchmarks.sections import QUICK, SECTIONS, chosen
from benchmarks.settings import Place, Settings
from benchmarks.targets import round_ratios, verdicts

ROOT = Path(__file__).parents[1]
MATCHED = Settings("lzw", predictor=2, tile_px=256, resampling="average", threads=1)
NO_FILE = [name for name, peer in PEERS.items() if not peer.writes_file]
IN_THIS_ENVIRONMENT = [name for name, peer in PEERS.items() if peer.writes_file and name != "spaceml"]


def or_skip(name: str) -> Peer:
    """Give a peer, or skip with the reason why it is not here."""
    reason = PEERS[name].available()
    if reason:
        pytest.skip(reason)
    return PEERS[name]


def benchmarks(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def section(**seconds: list[float]) -> dict[str, Any]:
    """Give the result of a section as `Run.section` does, with these times."""
    entry = {"cpu_seconds": [1.0], "small_seconds": [], "peak_bytes": None, "bytes": 100, "facts": {}, "problem": None}
    return {
        "kind": "raster", "title": "lzw", "settings": {"tile_px": 256, "predictor": 2}, "is_matched": True,
        "writers": 1, "files_a_round": 1,
        "input": {"name": "uint16", "shape": [1, 9, 9], "dtype": "uint16", "bytes": 162},
        "peers": {name.replace("_", "-"): entry | {"seconds": times} for name, times in seconds.items()},
    }  # fmt: skip


class TestInputs:
    @pytest.mark.parametrize("name", INPUTS)
    def test_they_are_the_same_every_time(self, name: str) -> None:
        first, second = INPUTS[name].make(100), INPUTS[name].make(100)

        np.testing.assert_array_equal(first, second)
        assert first.ndim == 3

    @pytest.mark.parametrize(
        ("name", "dtype", "bands"),
        [("uint16", "uint16", 1), ("float32", "float32", 1), ("classes", "uint8", 1), ("rgb", "uint8", 3),
         ("bands13", "uint16", 13)],
    )  # fmt: skip
    def test_they_are_of_the_kinds_that_are_compared(self, name: str, dtype: str, bands: int) -> None:
        array = INPUTS[name].make(96)

        assert array.dtype == dtype
        assert array.shape == (bands, 96, 96)

    @pytest.mark.parametrize("name", ["uint16", "float32", "classes", "bands13"])
    def test_a_sixth_of_them_is_missing_whatever_the_size(self, name: str) -> None:
        raster = INPUTS[name]
        for side_px in (120, 240):
            pixels = raster.make(side_px)[0]
            is_missing = np.isnan(pixels) if name == "float32" else pixels == raster.nodata

            assert 1 / 6.5 < is_missing.mean() < 1 / 4

    def test_a_scene_is_noise_to_a_codec_but_not_all_noise(self) -> None:
        pixels = scene(256)[0].astype(float)
        neighbours = np.diff(pixels[:, 128:], axis=1)

        assert 50 < neighbours.std() < pixels[:, 128:].std() * 2


class TestPeers:
    @pytest.mark.parametrize("name", IN_THIS_ENVIRONMENT)
    @pytest.mark.parametrize("settings", [MATCHED, Settings("zstd")], ids=["told", "by default"])
    @pytest.mark.filterwarnings("ignore")  # what peers warn of is theirs
    def test_each_writes_the_file_that_was_asked_for(self, name: str, settings: Settings, tmp_path: Path) -> None:
        peer, array, path = or_skip(name), scene(600), tmp_path / "out.tif"

        peer.write(peer.prepare(array, Place(nodata=0), settings), Place(nodata=0), settings, str(path))

        facts = look_at(path, array, Place(nodata=0), settings)
        assert facts["problems"] == []
        assert settings.tile_px in (None, *facts["tile_px"])

    @pytest.mark.parametrize("name", NO_FILE)
    def test_the_codec_alone_makes_as_many_bytes_as_gdal(self, name: str, tmp_path: Path) -> None:
        peer, array, place = or_skip(name), scene(600), Place(nodata=0)
        PEERS["gdal"].write(array, place, MATCHED, str(tmp_path / "gdal.tif"))

        written = peer.write(peer.prepare(array, place, MATCHED), place, MATCHED, "")

        assert written == pytest.approx((tmp_path / "gdal.tif").stat().st_size, rel=0.01)

    def test_the_predictor_is_applied_within_the_time_or_before(self) -> None:
        or_skip("codec")
        array, place = scene(300), Place(nodata=0)

        before = CodecAlone().prepare(array, place, MATCHED)
        within = CodecAndPredictor().prepare(array, place, MATCHED)

        assert not np.array_equal(before[0], within[0])
        assert CodecAlone().write(before, place, MATCHED, "") == CodecAndPredictor().write(within, place, MATCHED, "")

    def test_the_overviews_of_the_codec_alone_leave_out_nodata(self) -> None:
        array = np.array([[[0, 4, 0, 0, 9], [8, 6, 0, 0, 9]]], "uint16")

        _, half, *_ = pyramid(array, 0, 2, "average")

        assert half.tolist() == [[[6, 0, 9]]]


class TestChecks:
    def written(self, path: Path, array: np.ndarray, **profile: Any) -> Path:
        options = {"driver": "GTiff", "compress": "lzw", "tiled": True, "blockxsize": 256, "blockysize": 256}
        with rasterio.open(path, "w", **raster_profile(array, Place(nodata=0)), **(options | profile)) as dataset:
            dataset.write(array)
        return path

    def test_a_file_without_overviews_is_found_out(self, tmp_path: Path) -> None:
        array = scene(600)
        path = self.written(tmp_path / "a.tif", array)

        assert look_at(path, array, Place(nodata=0), MATCHED)["problems"] == ["0 overviews instead of 2"]

    def test_other_pixels_are_found_out(self, tmp_path: Path) -> None:
        array = scene(200)
        path = self.written(tmp_path / "a.tif", array)

        assert look_at(path, array + 1, Place(nodata=0), MATCHED)["problems"] == ["pixels differ from the array's"]

    @pytest.mark.parametrize(
        ("place", "settings", "problem"),
        [
            (Place(nodata=7), MATCHED, "nodata 0.0 instead of 7"),
            (Place(nodata=0, crs="EPSG:4326"), MATCHED, "CRS EPSG:32630 instead of EPSG:4326"),
            (Place(nodata=0), Settings("none", tile_px=256), "compression Compression.lzw instead of none"),
        ],
    )
    def test_another_place_or_codec_is_found_out(
        self, tmp_path: Path, place: Place, settings: Settings, problem: str
    ) -> None:
        array = scene(200)
        path = self.written(tmp_path / "a.tif", array)

        assert look_at(path, array, place, settings)["problems"] == [problem]

    def test_another_shape_is_found_out(self, tmp_path: Path) -> None:
        path = self.written(tmp_path / "a.tif", scene(200))

        problems = look_at(path, scene(300, bands=2), Place(nodata=0), MATCHED)["problems"]

        assert problems[:2] == ["200 x 200 pixels instead of (300, 300)", "1 bands instead of 2"]


class TestMeasuring:
    def test_the_peak_is_what_a_call_held_at_most(self) -> None:
        code = (
            "import numpy as np; from benchmarks.measure import measured\n"
            "figures, _ = measured(lambda: np.ones(60_000_000, 'uint8').sum())\n"
            "print(figures['peak_bytes'])"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

        assert 59e6 < int(done.stdout) < 75e6

    def test_the_result_comes_with_the_figures(self) -> None:
        figures, result = measured(lambda: 42)

        assert result == 42
        assert set(figures) == {"seconds", "cpu_seconds", "peak_bytes"}


class TestTargets:
    def test_ratios_are_taken_round_by_round(self) -> None:
        result = section(ours=[1.0, 10.0, 2.0], gdal=[2.0, 30.0])

        assert round_ratios(result, "gdal", "ours") == [2.0, 3.0]
        assert times_ours(result)["gdal"] == {"median": 2.5, "min": 2.0, "max": 3.0}

    @pytest.mark.parametrize(("gdal_seconds", "is_met"), [(1.95, True), (1.85, False)])
    def test_a_target_is_met_or_not(self, gdal_seconds: float, is_met: bool) -> None:
        found = verdicts({"uint16-lzw": section(ours=[1.0], gdal=[gdal_seconds])})

        (verdict,) = [each for each in found if "ALL_CPUS: uint16-lzw" in each.target]
        assert (verdict.measured, verdict.met) == (pytest.approx(gdal_seconds), is_met)

    def test_what_was_not_measured_is_neither_met_nor_missed(self) -> None:
        found = verdicts({})

        assert found
        assert {verdict.met for verdict in found} == {None}
        assert "not measured" in targets_text(found)

    def test_the_slowest_section_decides_against_the_fastest_gdal(self) -> None:
        found = verdicts({
            "rgb-lzw": section(ours=[1.0], gdal=[3.0], gdal_write=[0.9]),
            "uint16-lzw": section(ours=[1.0], gdal=[2.0]),
        })  # fmt: skip

        (verdict,) = [each for each in found if "fastest of GDAL's ways" in each.target]
        assert (verdict.measured, verdict.met, verdict.where) == (pytest.approx(0.9), False, "rgb-lzw")


class TestCommand:
    def test_sections_are_chosen_by_name_beginning_or_pattern(self) -> None:
        assert [each.name for each in chosen("uint16-lzw")] == ["uint16-lzw"]
        assert {each.input for each in chosen("rgb")} == {"rgb"}
        assert {each.settings.codec for each in chosen("*-lzw")} == {"lzw"}
        assert len(chosen(None)) == len(SECTIONS)

    def test_the_examples_in_the_docstrings_run(self) -> None:
        results = [doctest.testmod(module) for module in (sections, settings)]

        assert [(result.failed, result.attempted > 0) for result in results] == [(0, True), (0, True)]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [(["--only", "uint17"], "no section is called 'uint17'"), (["--peers", "gdla"], "no peer is called 'gdla'")],
    )
    def test_unknown_names_are_refused(self, arguments: list[str], message: str) -> None:
        done = benchmarks(*arguments)

        assert done.returncode == 2
        assert message in done.stderr

    def test_a_quick_run_leaves_tables_and_json(self, tmp_path: Path) -> None:
        names = "uint16-lzw,rgb-deflate,chips-lzw,scaling-lzw,memory-uint16"
        done = benchmarks("--quick", "--only", names, "--peers", "ours,gdal,codec", "--output", tmp_path)

        assert done.returncode == 0, done.stderr
        found = json.loads((tmp_path / "results.json").read_text())
        assert sorted(found["sections"]) == sorted(names.split(","))
        entries = [entry for each in found["sections"].values() for entry in each["peers"].values()]
        assert [entry["problem"] for entry in entries] == [None] * len(entries)
        assert len(found["sections"]["uint16-lzw"]["peers"]["ours"]["seconds"]) == QUICK.rounds
        assert found["sections"]["memory-uint16"]["peers"]["gdal"]["peak_bytes"] > 0
        assert found["versions"]["gdal"]["GDAL"] == rasterio.__gdal_version__
        assert {"cpu", "cores", "load_at_start"} <= set(found["machine"])
        assert "targets" in done.stdout
        assert {path.name for path in tmp_path.iterdir()} <= {"results.json", "results.png", "logs"}

    def test_a_peer_that_fails_is_told_and_does_not_end_the_run(self) -> None:
        result = section(ours=[1.0], gdal=[])
        result["peers"]["gdal"]["problem"] = "out of memory"

        assert "out of memory" in section_text("uint16-lzw", result)
        assert round_ratios(result, "gdal", "ours") == []
