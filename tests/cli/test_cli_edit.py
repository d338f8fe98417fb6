"""georeader edit: options, several files, plans and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rasterio

from by_command import run
from georeader import RasterioReader, save_cog
from stored_files import tensor


@pytest.fixture
def scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.tif", "b.tif"):
        save_cog(tensor(2), name, ["one", "two"], {"model": "v1", "old": "x"})
    return tmp_path


def test_options_change_the_file(scenes: Path) -> None:
    done = run(
        "edit", "a.tif", "--tags", "model=v2", "--remove-tag", "old", "--crs", "32631", "--scales", "0.5", "--scales",
        "2", "--units", "m", "--units", "K", "--transform", "2", "0", "1", "0", "-2", "5",
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    with rasterio.open("a.tif") as dataset:
        tags = dataset.tags()
        assert (tags["model"], "old" in tags) == ("v2", False)
        assert dataset.crs.to_epsg() == 32631
        assert (dataset.scales, dataset.units) == ((0.5, 2.0), ("m", "K"))
        assert tuple(dataset.transform)[:6] == (2, 0, 1, 0, -2, 5)


@pytest.mark.filterwarnings("ignore::georeader.errors.MetadataWarning")
def test_removed_metadata_are_gone(scenes: Path) -> None:
    done = run("edit", "a.tif", "--remove", "descriptions", "--nodata", "none")

    assert done.exit_code == 0, done.output
    with rasterio.open("a.tif") as dataset:
        assert dataset.descriptions == (None, None)
        assert dataset.nodata is None


def test_a_pattern_is_edited_in_place(scenes: Path) -> None:
    done = run("edit", "*.tif", "--tags", "checked=yes")

    assert done.exit_code == 0, done.output
    assert [RasterioReader(name).tags()["checked"] for name in ("a.tif", "b.tif")] == ["yes", "yes"]


def test_several_files_go_to_a_folder(scenes: Path) -> None:
    done = run("edit", "a.tif", "b.tif", "--tags", "checked=yes", "--out", "edited")

    assert done.exit_code == 0, done.output
    assert "checked" in RasterioReader("edited/b.tif").tags()
    assert "checked" not in RasterioReader("b.tif").tags()


def test_a_dry_run_prints_changes_and_writes_nothing(scenes: Path) -> None:
    before = Path("a.tif").read_bytes()

    done = run("edit", "a.tif", "--crs", "EPSG:4326", "--dry-run")

    assert (done.exit_code, Path("a.tif").read_bytes()) == (0, before)
    assert "crs: EPSG:32630 -> EPSG:4326" in done.stdout


def test_json_has_a_line_for_each_file(scenes: Path) -> None:
    done = run("edit", "a.tif", "b.tif", "--tags", "checked=yes", "--json")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["path"], line["engine"]) for line in lines] == [("a.tif", "edit"), ("b.tif", "edit")]


def test_one_failure_does_not_stop_the_others(scenes: Path) -> None:
    Path("a.tif").write_bytes(b"no TIFF")

    done = run("edit", "a.tif", "b.tif", "--tags", "checked=yes")

    assert done.exit_code == 1
    assert "a.tif" in done.stderr
    assert RasterioReader("b.tif").tags()["checked"] == "yes"


@pytest.mark.parametrize(
    "options", [(), ("--nodata", "0", "--remove", "nodata"), ("--tags", "model"), ("--transform", "1", "2")]
)
def test_misuse_exits_with_2(scenes: Path, options: tuple[str, ...]) -> None:
    assert run("edit", "a.tif", *options).exit_code == 2


@pytest.mark.parametrize(("options", "reused"), [((), 9), (("--no-reuse-tiles",), 0)])
def test_cog_takes_tiles_over_unless_told_otherwise(scenes: Path, options: tuple[str, ...], reused: int) -> None:
    done = run("cog", "a.tif", "out.tif", "--json", *options)

    assert json.loads(done.stdout)["tiles_reused"] == reused
