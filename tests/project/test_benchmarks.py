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
from rasterio.windows import Window

from benchmarks import sections, settings
from benchmarks.checks import look_at
from benchmarks.codec_alone import CodecAlone, CodecAndPredictor, pyramid
from benchmarks.forms import PIECE_PX, Given, Pieces, save_tiled
from benchmarks.inputs import CHIPS, INPUTS, scene
from benchmarks.lazy import LAZY_INPUTS, PATCH_PX, LazyScene
from benchmarks.material import Store
from benchmarks.measure import measured
from benchmarks.options import raster_profile
from benchmarks.peers import PEERS, Peer
from benchmarks.report import section_text, targets_text, times_ours
from benchmarks.sections import QUICK, SECTIONS, Effort, chosen
from benchmarks.settings import Place, Settings
from benchmarks.targets import TIMES_GDAL, TIMES_GDAL_ONE_THREAD_EACH, round_ratios, verdicts
from benchmarks.worker import Bench
from effort import IS_THOROUGH
from places import ROOT

pytestmark = pytest.mark.slow

PLACE = Place(nodata=0)
MATCHED = Settings("lzw", predictor=2, tile_px=256, resampling="average", threads=1)
NO_FILE = [name for name, peer in PEERS.items() if not peer.writes_file]
#: Peers that take no arrays, or are in an environment of their own.
OTHERS = ("spaceml", "gdal-translate", "loop")
IN_THIS_ENVIRONMENT = [name for name, peer in PEERS.items() if peer.writes_file and name not in OTHERS]


def or_skip(name: str) -> Peer:
    """Return a peer, or skip with the reason why it is not here."""
    reason = PEERS[name].available()
    if reason:
        pytest.skip(reason)
    return PEERS[name]


def benchmarks(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def section(**seconds: list[float]) -> dict[str, Any]:
    """Return the result of a section as `Run.section` does, with these times."""
    entry = {"gdal": "3.10.3", "cpu_seconds": [1.0], "small_seconds": [], "peak_bytes": None, "bytes": 100, "facts": {},
             "problem": None}  # fmt: skip
    return {
        "kind": "raster", "form": "array", "title": "lzw", "settings": {"codec": "lzw", "tile_px": 256, "predictor": 2},
        "is_matched": True, "writers": 1, "files_a_round": 1,
        "input": {"name": "uint16", "shape": [1, 9, 9], "dtype": "uint16", "bytes": 162},
        "peers": {name.replace("_", "-"): entry | {"seconds": times} for name, times in seconds.items()},
    }  # fmt: skip


class TestInputs:
    @pytest.mark.parametrize("name", INPUTS)
    def test_inputs_are_reproducible(self, name: str) -> None:
        first, second = INPUTS[name].make(100), INPUTS[name].make(100)

        np.testing.assert_array_equal(first, second)
        assert first.ndim == 3

    @pytest.mark.parametrize(
        ("name", "dtype", "bands"),
        [("uint16", "uint16", 1), ("float32", "float32", 1), ("classes", "uint8", 1), ("rgb", "uint8", 3),
         ("bands8", "uint16", 8), ("bands13", "uint16", 13)],
    )  # fmt: skip
    def test_inputs_have_the_listed_dtype_and_bands(self, name: str, dtype: str, bands: int) -> None:
        array = INPUTS[name].make(96)

        assert array.dtype == dtype
        assert array.shape == (bands, 96, 96)

    @pytest.mark.parametrize("name", ["uint16", "float32", "classes", "bands13"])
    def test_a_sixth_of_the_pixels_is_missing_for_any_size(self, name: str) -> None:
        raster = INPUTS[name]
        for side_px in (120, 240):
            pixels = raster.make(side_px)[0]
            is_missing = np.isnan(pixels) if name == "float32" else pixels == raster.nodata

            assert 1 / 6.5 < is_missing.mean() < 1 / 4

    @pytest.mark.parametrize("name", CHIPS)
    def test_chips_are_reproducible_and_all_different(self, name: str) -> None:
        chips = CHIPS[name](3)

        assert (chips.shape, chips.dtype) == ((3, 4, 512, 512), "uint16")
        np.testing.assert_array_equal(chips, CHIPS[name](3))
        assert len({chip.tobytes() for chip in chips}) == 3

    @pytest.mark.parametrize(("name", "least", "most"), [("chips", 0.5, 0.9), ("chips-alike", 0.999, 0.99999)])
    def test_bands_of_chips_are_alike_or_not(self, name: str, least: float, most: float) -> None:
        (chip,) = CHIPS[name](1)
        is_valid = chip[0] > 0

        assert least < np.corrcoef(chip[0][is_valid], chip[1][is_valid])[0, 1] < most
        assert not chip[:, ~is_valid].any()

    def test_scene_is_partly_compressible(self) -> None:
        pixels = scene(256)[0].astype(float)
        neighbours = np.diff(pixels[:, 128:], axis=1)

        assert 50 < neighbours.std() < pixels[:, 128:].std() * 2


class TestLazyScenes:
    SHAPE = (6, PATCH_PX + 300, 2 * PATCH_PX + 50)

    @pytest.mark.parametrize(
        ("bands", "rows", "columns"),
        [(slice(None), slice(0, 40), slice(0, 70)), (slice(4, 6), slice(1200, 1300), slice(1000, 2524)),
         (slice(1, 2), slice(1500, 1537), slice(2400, 2524))],
    )  # fmt: skip
    def test_a_window_is_cut_from_the_whole(self, bands: slice, rows: slice, columns: slice) -> None:
        lazy = LazyScene(self.SHAPE, PLACE)

        np.testing.assert_array_equal(lazy[bands, rows, columns], lazy.whole()[bands, rows, columns])

    def test_a_sixth_is_missing_and_the_rest_is_there(self) -> None:
        pixels = LazyScene(self.SHAPE, PLACE).whole()

        assert (pixels == 0).mean() == pytest.approx(1 / 6, abs=0.001)
        assert pixels[:, :, -1].all()

    def test_lazy_scene_has_the_noise_of_the_other_scenes(self) -> None:
        spread = [
            np.diff(pixels.astype(float), axis=1).std()
            for pixels in (scene(600, has_wedge=False)[0], LazyScene((1, 600, 600), PLACE).whole()[0, :, 200:])
        ]

        assert spread[0] == pytest.approx(spread[1], rel=0.1)

    def test_bands_differ(self) -> None:
        pixels = LazyScene((9, 64, 64), PLACE).whole()[:, :, 40:].reshape(9, -1)

        assert len({plane.tobytes() for plane in pixels}) == 9

    def test_window_of_a_lazy_scene_has_its_georeference(self) -> None:
        part = LazyScene(self.SHAPE, PLACE).read_from_window(Window(20, 10, 30, 5))

        assert part.values.shape == (6, 5, 30)
        assert (part.transform.c, part.transform.f) == (500000 + 200, 4000000 - 100)

    def test_reading_all_pixels_of_a_lazy_scene_is_refused(self) -> None:
        with pytest.raises(MemoryError, match="all pixels of a scene of 12800000000 bytes"):
            _ = LazyScene(LAZY_INPUTS["scene"].shape, PLACE).values

    def test_sizes_follow_the_size_of_the_run(self) -> None:
        assert LAZY_INPUTS["wide"].shape_at(0.5) == (1, 1000, 100_000)
        assert LAZY_INPUTS["bands285"].shape_at(0.001) == (285, 64, 64)


class TestForms:
    def test_pieces_cover_every_pixel_once_and_in_no_order(self) -> None:
        pieces = Pieces(np.zeros((1, 2 * PIECE_PX + 10, PIECE_PX + 1), "uint8"))
        count = np.zeros(pieces.pixels.shape[1:], int)
        for rows, columns in pieces:
            count[rows, columns] += 1

        assert (count == 1).all()
        assert list(pieces) == list(pieces) != sorted(pieces, key=lambda piece: (piece[0].start, piece[1].start))

    def test_a_file_that_is_converted_is_tiled_compressed_and_has_the_pixels(self, tmp_path: Path) -> None:
        lazy, path = LazyScene((1, 600, 700), PLACE), tmp_path / "a.tif"

        save_tiled(str(path), lazy, PLACE, MATCHED)

        with rasterio.open(path) as dataset:
            assert (dataset.block_shapes, dataset.compression.value) == ([(512, 512)], "LZW")
            np.testing.assert_array_equal(dataset.read(), lazy.whole())

    @pytest.mark.parametrize(
        ("form", "peers"),
        [("file", ["ours", "gdal", "gdal-translate", "rio-cogeo"]), ("pieces", ["ours", "loop"]), ("lazy", ["ours"])],
    )
    @pytest.mark.filterwarnings("ignore")  # what peers warn of is theirs
    def test_peers_write_the_same_pixels_for_any_form(self, form: str, peers: list[str], tmp_path: Path) -> None:
        lazy, source, path = LazyScene((1, 1100, 1200), PLACE), tmp_path / "in.tif", tmp_path / "out.tif"
        np.save(tmp_path / "in.npy", lazy.whole())
        save_tiled(str(source), lazy, PLACE, MATCHED)
        paths = {"file": str(source), "pieces": str(tmp_path / "in.npy"), "lazy": ""}
        raster = Given(form, paths[form], lazy.shape).open(PLACE)

        for peer in (PEERS[name] for name in peers if PEERS[name].available() is None):
            peer.write(peer.prepare(raster, PLACE, MATCHED), PLACE, MATCHED, str(path))

            assert look_at(path, lazy, PLACE, MATCHED)["problems"] == [], peer.name
            path.unlink()
        assert {each.name for each in tmp_path.iterdir()} == {"in.tif", "in.npy"}

    def test_a_dask_array_is_written_by_both(self, tmp_path: Path) -> None:
        pytest.importorskip("rioxarray")
        array = scene(600)
        np.save(tmp_path / "in.npy", array)
        raster = Given("dask", str(tmp_path / "in.npy")).open(PLACE)

        for name in ("ours", "odc-dask"):
            peer, path = or_skip(name), tmp_path / f"{name}.tif"
            peer.write(peer.prepare(raster, PLACE, MATCHED), PLACE, MATCHED, str(path))

            assert look_at(path, array, PLACE, MATCHED)["problems"] == []

    def test_scene_that_does_not_fit_on_the_disk_is_reported(self, tmp_path: Path) -> None:
        store = Store(tmp_path, Effort(size_px=1_000_000))

        assert "GB of disk" in (store.lacks_room(SECTIONS["memory-scene"]) or "")
        assert store.lacks_room(SECTIONS["uint16-lzw"]) is None
        assert Store(tmp_path, QUICK).lacks_room(SECTIONS["memory-scene"]) is None


class TestPeers:
    @pytest.mark.parametrize("name", IN_THIS_ENVIRONMENT)
    @pytest.mark.parametrize("settings", [MATCHED, Settings("zstd")], ids=["matched", "default"])
    @pytest.mark.filterwarnings("ignore")  # what peers warn of is theirs
    def test_peers_write_the_requested_file(self, name: str, settings: Settings, tmp_path: Path) -> None:
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

    def test_missing_overviews_are_detected(self, tmp_path: Path) -> None:
        array = scene(600)
        path = self.written(tmp_path / "a.tif", array)

        assert look_at(path, array, Place(nodata=0), MATCHED)["problems"] == ["0 overviews instead of 2"]

    def test_different_pixels_are_detected(self, tmp_path: Path) -> None:
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
    def test_different_georeference_or_codec_is_detected(
        self, tmp_path: Path, place: Place, settings: Settings, problem: str
    ) -> None:
        array = scene(200)
        path = self.written(tmp_path / "a.tif", array)

        assert look_at(path, array, place, settings)["problems"] == [problem]

    def test_bigtiff_is_detected(self, tmp_path: Path) -> None:
        array = scene(200)
        for wanted in (True, False):
            path = self.written(tmp_path / "a.tif", array, BIGTIFF="YES" if wanted else "NO")

            assert look_at(path, array, PLACE, MATCHED)["is_bigtiff"] is wanted

    def test_different_shape_is_detected(self, tmp_path: Path) -> None:
        path = self.written(tmp_path / "a.tif", scene(200))

        problems = look_at(path, scene(300, bands=2), Place(nodata=0), MATCHED)["problems"]

        assert problems[:2] == ["200 x 200 pixels instead of (300, 300)", "1 bands instead of 2"]


class TestMeasuring:
    def test_cpu_time_of_child_processes_is_included(self) -> None:
        code = "import time\nwhile time.process_time() < 0.2: pass"

        figures, _ = measured(lambda: subprocess.run([sys.executable, "-c", code], check=True))

        assert figures["cpu_seconds"] > 0.15

    def test_peak_is_the_largest_memory_of_a_call(self) -> None:
        code = (
            "import numpy as np; from benchmarks.measure import measured\n"
            "figures, _ = measured(lambda: np.ones(60_000_000, 'uint8').sum())\n"
            "print(figures['peak_bytes'])"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

        assert 59e6 < int(done.stdout) < 75e6

    def test_result_is_returned_with_the_measurements(self) -> None:
        figures, result = measured(lambda: 42)

        assert result == 42
        assert set(figures) == {"seconds", "cpu_seconds", "peak_bytes"}


class TestTargets:
    def test_ratios_are_taken_round_by_round(self) -> None:
        result = section(ours=[1.0, 10.0, 2.0], gdal=[2.0, 30.0])

        assert round_ratios(result, "gdal", "ours") == [2.0, 3.0]
        assert times_ours(result)["gdal"] == {"median": 2.5, "min": 2.0, "max": 3.0}

    @pytest.mark.parametrize(("gdal_seconds", "is_met"), [(2.25, True), (2.15, False)])
    def test_a_target_is_met_or_not(self, gdal_seconds: float, is_met: bool) -> None:
        found = verdicts({"uint16-lzw": section(ours=[1.0], gdal=[gdal_seconds])})

        (verdict,) = [each for each in found if "ALL_CPUS: uint16-lzw" in each.target]
        assert (verdict.measured, verdict.met) == (pytest.approx(gdal_seconds), is_met)

    def test_target_without_measurement_is_neither_met_nor_missed(self) -> None:
        found = verdicts({})

        assert found
        assert {verdict.met for verdict in found} == {None}
        assert "not measured" in targets_text(found)

    @pytest.mark.parametrize("name", ["chips-lzw-2-writers", "chips-alike-lzw-2-writers"])
    @pytest.mark.parametrize(("gdal_seconds", "is_met"), [(1.65, True), (1.55, False)])
    def test_two_writers_have_a_target_of_their_own(self, name: str, gdal_seconds: float, is_met: bool) -> None:
        found = verdicts({name: section(ours=[1.0], gdal=[gdal_seconds]) | {"kind": "chips"}})

        (verdict,) = [each for each in found if each.target.endswith(f"one thread a writer: {name}")]
        assert (verdict.limit, verdict.met) == (">= 1.6", is_met)

    @pytest.mark.parametrize(("codec", "measured"), [("lzw", 0.3), ("deflate", None)])
    def test_the_size_of_lzw_files_has_a_target_of_its_own(self, codec: str, measured: float | None) -> None:
        result = section(ours=[1.0], gdal=[2.0])
        result["settings"]["codec"] = codec
        result["peers"]["ours"] |= {"bytes": 1003}
        result["peers"]["gdal"] |= {"bytes": 1000}
        every, lzw = [each for each in verdicts({"uint16-x": result}) if "larger than GDAL" in each.target]

        assert (every.measured, every.met) == (pytest.approx(0.3), True)
        assert (lzw.measured, lzw.met) == ((None, None) if measured is None else (pytest.approx(measured), False))

    def test_targets_are_about_sections_that_exist(self) -> None:
        assert {*TIMES_GDAL, *TIMES_GDAL_ONE_THREAD_EACH} <= set(SECTIONS)
        assert {SECTIONS[name].settings.threads for name in TIMES_GDAL} == {"ALL_CPUS"}
        assert {(SECTIONS[name].writers, SECTIONS[name].settings.threads) for name in TIMES_GDAL_ONE_THREAD_EACH} == {
            (2, 1)
        }

    def test_the_slowest_section_decides_against_the_fastest_gdal(self) -> None:
        found = verdicts({
            "rgb-lzw": section(ours=[1.0], gdal=[3.0], gdal_write=[0.9]),
            "uint16-lzw": section(ours=[1.0], gdal=[2.0]),
        })  # fmt: skip

        (verdict,) = [each for each in found if "fastest of GDAL's ways" in each.target]
        assert (verdict.measured, verdict.met, verdict.where) == (pytest.approx(0.9), False, "rgb-lzw")


class TestTargetsBeyondMemory:
    def verdict(self, words: str, **sections: dict[str, Any]) -> Any:
        found = verdicts({name.replace("_", "-"): each for name, each in sections.items()})
        (verdict,) = [each for each in found if words in each.target]
        return verdict

    def memory(self, mib: float, form: str = "lazy") -> dict[str, Any]:
        result = section(ours=[1.0]) | {"kind": "memory", "form": form}
        result["peers"]["ours"] |= {"peak_bytes": mib * 2**20}
        return result

    @pytest.mark.parametrize(("mib", "is_met"), [(511, True), (513, False)])
    def test_the_scene_is_saved_within_the_memory(self, mib: float, is_met: bool) -> None:
        verdict = self.verdict("40,000 x 40,000 x 4", memory_scene=self.memory(mib))

        assert (verdict.measured, verdict.met) == (mib, is_met)

    def test_worst_streaming_section_decides(self) -> None:
        sections = {
            "large_wide": self.memory(600),
            "rows_1": self.memory(90),
            "memory_uint16": self.memory(999, "array"),
        }
        verdict = self.verdict("worst section that streams", **sections)

        assert (verdict.measured, verdict.met, verdict.where) == (600, False, "large-wide")

    @pytest.mark.parametrize(("many_mib", "is_met"), [(105, True), (115, False)])
    def test_memory_target_compares_numbers_of_rows(self, many_mib: float, is_met: bool) -> None:
        sections = {"rows_1": self.memory(100), "rows_4": self.memory(300), "rows_16": self.memory(many_mib)}
        verdict = self.verdict("16 times the rows", **sections)

        assert (verdict.measured, verdict.met) == (many_mib / 100, is_met)

    @pytest.mark.parametrize(("seconds", "is_met"), [(24.0, True), (26.0, False)])
    def test_the_scene_takes_its_time_per_pixel(self, seconds: float, is_met: bool) -> None:
        result = section(ours=[seconds, seconds]) | {"kind": "stream", "form": "lazy", "in_memory": {"bytes": 162}}
        result["input"]["bytes"] = 1620
        result["peers"]["ours"]["small_seconds"] = [2.0, 2.0]
        verdict = self.verdict("time per pixel", scene_lzw=result)

        assert (verdict.measured, verdict.met) == (seconds / 20, is_met)
        assert f"{seconds / 20:.2f}" in section_text("scene-lzw", result)

    def test_dask_target_compares_with_odc(self) -> None:
        result = section(ours=[1.0], odc_dask=[3.9]) | {"form": "dask"}
        verdict = self.verdict("save_cog_with_dask: dask-lzw", dask_lzw=result)

        assert (verdict.measured, verdict.met) == (3.9, False)

    def test_conversion_target_compares_with_the_program_if_installed(self) -> None:
        both = section(ours=[1.0], gdal_translate=[1.6], gdal=[1.8]) | {"form": "file"}
        alone = section(ours=[1.0], gdal_translate=[], gdal=[1.8]) | {"form": "file"}
        alone["peers"]["gdal-translate"]["problem"] = "not installed"

        for result, ratio in ((both, 1.6), (alone, 1.8)):
            verdict = self.verdict("gdal_translate -of COG: convert-lzw", convert_lzw=result)

            assert (verdict.measured, verdict.met) == (ratio, ratio >= 1.7)

    def test_skipped_section_has_a_reason(self) -> None:
        result = {"kind": "memory", "form": "lazy", "is_matched": True, "skipped": "too little disk", "peers": {}}

        assert section_text("memory-scene", result) == "\nmemory-scene: skipped: too little disk"
        assert self.verdict("40,000 x 40,000 x 4", memory_scene=result).met is None


class TestVersions:
    def test_tables_state_the_gdal_of_each_peer(self) -> None:
        result = section(ours=[1.0], gdal=[2.0], gdal_translate=[3.0], codec=[0.5])
        result["peers"]["gdal-translate"]["gdal"] = "3.6.2"
        result["peers"]["codec"]["gdal"] = None
        _, _, head, _, *rows = section_text("uint16-lzw", result).splitlines()

        column = slice(head.index(" GDAL  remarks") - 3, head.index("  remarks"))
        assert [row[column].strip() for row in rows] == ["3.10.3", "3.10.3", "3.6.2", ""]

    def test_the_gdal_of_a_program_is_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program = tmp_path / "gdal_translate"
        program.write_text("#!/bin/sh\necho GDAL 3.6.2, released 2023/01/02\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

        assert Bench(PEERS["gdal-translate"]).hello()["versions"]["GDAL"] == "3.6.2"


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
        names = "uint16-lzw,chips-alike-lzw,memory-uint16,scene-lzw"
        names += ",rgb-deflate,bands8-lzw,chips-lzw,scaling-lzw,convert-lzw,push-lzw,rows-1" if IS_THOROUGH else ""
        done = benchmarks("--quick", "--only", names, "--peers", "ours,gdal,codec,loop", "--output", tmp_path,
                          "--size", 350)  # fmt: skip

        assert done.returncode == 0, done.stderr
        found = json.loads((tmp_path / "results.json").read_text())
        assert sorted(found["sections"]) == sorted(names.split(","))
        entries = [entry for each in found["sections"].values() for entry in each["peers"].values()]
        assert [entry["problem"] for entry in entries] == [None] * len(entries)
        assert len(found["sections"]["uint16-lzw"]["peers"]["ours"]["seconds"]) == QUICK.rounds
        assert found["sections"]["memory-uint16"]["peers"]["gdal"]["peak_bytes"] > 0
        assert found["versions"]["gdal"]["GDAL"] == rasterio.__gdal_version__
        gdal_versions = {name: each["peers"]["gdal"]["gdal"] for name, each in found["sections"].items()
                         if "gdal" in each["peers"]}  # fmt: skip
        assert set(gdal_versions.values()) == {rasterio.__gdal_version__}
        assert done.stdout.count(f"  {rasterio.__gdal_version__}") >= len(gdal_versions)
        assert {"cpu", "cores", "load_at_start"} <= set(found["machine"])
        assert "targets" in done.stdout
        assert {path.name for path in tmp_path.iterdir()} <= {"results.json", "results.png", "logs"}

    def test_failing_peer_is_reported_and_does_not_end_the_run(self) -> None:
        result = section(ours=[1.0], gdal=[])
        result["peers"]["gdal"]["problem"] = "out of memory"

        assert "out of memory" in section_text("uint16-lzw", result)
        assert round_ratios(result, "gdal", "ours") == []
