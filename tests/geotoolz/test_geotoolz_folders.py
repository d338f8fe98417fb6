"""Folders of path templates: made where they are missing, and never left by a link."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import pytest
from obstore.store import LocalStore, MemoryStore

from by_command import run as georeader
from georeader import RasterioReader
from georeader.errors import DestinationError, GeoreaderError
from geotoolz import RowError, Sequential
from geotoolz.catalog_ops import CatalogPipeline, WriteCOG
from geotoolz_helpers import Narrow, stack_of, write_chips

PRECIOUS = b"not to be replaced"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder "in" with links in it that lead out, and a file outside; the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/real", "out"):
        Path(name).mkdir(parents=True)
    Path("out/x.tif").write_bytes(PRECIOUS)
    Path("in/lnk").symlink_to("../out")
    Path("in/evil.tif").symlink_to("../out/x.tif")
    Path("in/new.tif").symlink_to("../out/new.tif")
    Path("in/chain").symlink_to("lnk")
    Path("in/real/up").symlink_to("../..")
    Path("in/absolute").symlink_to(tmp_path / "out")
    Path("alias").symlink_to("in")
    return tmp_path


def fs_of(kind: str) -> dict[str, Any]:
    """Return options of a save by a filesystem whose root is the current folder."""
    folder = os.getcwd()
    return {
        "path": {},
        "LocalFileSystem": {"fs": fsspec.filesystem("file")},
        "DirFileSystem": {"fs": fsspec.filesystem("dir", path=folder, fs=fsspec.filesystem("file"))},
        "LocalStore": {"fs": LocalStore(folder)},
    }[kind]


OUTWARD = [
    ("in/{a}/x.tif", "lnk"),
    ("in/{a}/x.tif", "chain"),
    ("in/{a}/x.tif", "absolute"),
    ("in/{a}/new.tif", "lnk"),
    ("in/{a}/sub/x.tif", "lnk"),
    ("in/{a}.tif", "evil"),
    ("in/{a}.tif", "new"),
    ("in/real/{a}/out/x.tif", "up"),
    ("in/{a}/../../out/x.tif", "real"),
    ("alias/{a}/x.tif", "lnk"),
    ("./in/{a}/x.tif", "lnk"),
]


@pytest.mark.parametrize("kind", ["path", "LocalFileSystem", "DirFileSystem", "LocalStore"])
@pytest.mark.parametrize(("template", "value"), OUTWARD)
def test_a_link_out_of_the_templates_folder_is_refused(template: str, value: str, kind: str, here: Path) -> None:
    operator = WriteCOG(template, **fs_of(kind))
    gt = stack_of([1, 2], row={"a": value})

    for use in (
        lambda: operator.path_for(gt.attrs["row"]),
        lambda: operator.outputs(gt.attrs["row"]),
        lambda: operator(gt),
    ):
        with pytest.raises(RowError, match="leads by a link to .*, outside of the template's folder"):
            use()
    assert Path("out/x.tif").read_bytes() == PRECIOUS
    assert os.listdir("out") == ["x.tif"]


def test_a_file_url_through_a_link_is_refused(here: Path) -> None:
    with pytest.raises(RowError, match="leads by a link to"):
        WriteCOG(f"file://{here}/in/{{a}}/x.tif")(stack_of([1, 2], row={"a": "lnk"}))
    assert Path("out/x.tif").read_bytes() == PRECIOUS


@pytest.mark.parametrize("options", [{}, {"skip_existing": True}, {"executor": "process", "n_workers": 2}], ids=str)
@pytest.mark.parametrize(("template", "value"), [("in/{a}/x.tif", "lnk"), ("in/{a}.tif", "evil")])
def test_rows_that_lead_out_of_the_folder_are_refused(
    template: str, value: str, options: dict[str, Any], here: Path, tmp_path: Path
) -> None:
    rows = write_chips(tmp_path / "in" / "real", 2)
    rows = [rows[0] | {"a": value}, rows[1] | {"a": "fine"}]

    results = CatalogPipeline(rows, WriteCOG(template), on_row_error="log_and_continue", **options).run()

    assert [type(result.error) for result in results] == [RowError, type(None)]
    assert not results[0].is_skipped
    assert Path("out/x.tif").read_bytes() == PRECIOUS
    assert RasterioReader(str(results[1].path)).shape == (2, 32, 32)


@pytest.mark.parametrize(
    ("template", "value", "place"),
    [
        ("in/{a}/x.tif", "inner", "in/real/x.tif"),
        ("in/lnk/{a}.tif", "y", "out/y.tif"),
        ("{a}/x.tif", "alias", "in/x.tif"),
        ("in/{a}.tif", "inside", "in/real/y.tif"),
    ],
)
def test_links_within_the_folder_or_named_by_the_template_are_followed(
    template: str, value: str, place: str, here: Path
) -> None:
    Path("in/inner").symlink_to("real")
    Path("in/inside.tif").symlink_to("real/y.tif")

    WriteCOG(template)(stack_of([1, 2], row={"a": value}))

    assert RasterioReader(place).shape == (1, 1, 2)


@pytest.mark.parametrize("kind", ["path", "LocalFileSystem", "DirFileSystem", "LocalStore"])
def test_two_rows_whose_links_lead_to_one_file_are_refused(kind: str, here: Path, tmp_path: Path) -> None:
    names = ("twin", "again")
    for name in names:
        Path(f"in/{name}.tif").symlink_to("real/y.tif")
    rows = [row | {"a": name} for row, name in zip(write_chips(tmp_path, 2), names, strict=True)]

    with pytest.raises(RowError, match="rows 0 and 1 to"):
        CatalogPipeline(rows, WriteCOG("in/{a}.tif", **fs_of(kind))).run()


def test_a_link_that_appears_after_rows_were_planned_is_refused(here: Path, tmp_path: Path) -> None:
    rows = [row | {"a": "later"} for row in write_chips(tmp_path, 1)]

    def reader(path: str) -> RasterioReader:
        Path("in/later").symlink_to("../out")
        return RasterioReader(path)

    with pytest.raises(RowError, match="leads by a link to"):
        CatalogPipeline(rows, WriteCOG("in/{a}/x.tif"), reader).run()
    assert Path("out/x.tif").read_bytes() == PRECIOUS


@pytest.mark.parametrize("name", ["evil", "new"])
def test_command_line_does_not_replace_files_outside_of_the_folder(name: str, here: Path, tmp_path: Path) -> None:
    chips = write_chips(tmp_path, 2)
    Path(chips[0]["path"]).rename(tmp_path / f"{name}.tif")

    done = georeader("cog", tmp_path / f"{name}.tif", chips[1]["path"], "in")

    assert done.exit_code == 1
    assert f"'in/{name}.tif' is a link to '{here}/out/" in done.stderr
    assert done.stderr.endswith("1 saved, 1 failed\n")
    assert os.listdir("out") == ["x.tif"]
    assert Path("out/x.tif").read_bytes() == PRECIOUS


def test_command_line_follows_a_link_passed_as_destination(here: Path, tmp_path: Path) -> None:
    chip = write_chips(tmp_path, 1)[0]["path"]

    assert georeader("cog", chip, "in/evil.tif").exit_code == 0
    assert RasterioReader("out/x.tif").shape == (2, 32, 32)


# Folders that are missing.


@pytest.mark.parametrize("kind", ["path", "LocalFileSystem", "DirFileSystem", "LocalStore"])
@pytest.mark.parametrize("template", ["{a}/x.tif", "new/{a}.tif", "new/{a}/{b}/x.tif", "in/{a}/sub/{b}.tif"])
def test_folders_of_a_template_are_made(template: str, kind: str, here: Path) -> None:
    row = {"a": "one", "b": "two"}

    WriteCOG(template, **fs_of(kind))(stack_of([1, 2], row=row))

    assert RasterioReader(template.format(**row)).shape == (1, 1, 2)


@pytest.mark.parametrize(
    ("template", "options"),
    [("memory://geotoolz/made/{a}/{b}/x.tif", {}), ("made/{a}/x.tif", {"fs": MemoryStore()})],
    ids=["URL", "store"],
)
def test_no_local_folders_are_made_for_stores(template: str, options: dict[str, Any], here: Path) -> None:
    before = sorted(os.listdir("."))

    WriteCOG(template, **options)(stack_of([1, 2], row={"a": "one", "b": "two"}))

    assert sorted(os.listdir(".")) == before


@pytest.mark.parametrize(
    "options", [{"n_workers": 1}, {"n_workers": 2}, {"n_workers": 2, "executor": "process"}], ids=str
)
def test_rows_in_folders_that_are_missing_are_saved_and_empty_ones_of_failed_rows_are_removed(
    options: dict[str, Any], tmp_path: Path
) -> None:
    rows = write_chips(tmp_path, 4)
    # Rows 1 and 3 cannot be saved: their dtype does not hold the nodata.
    operator = Sequential([Narrow(("T1", "T3")), WriteCOG(str(tmp_path / "made" / "{day}" / "{tile}.tif"), nodata=300)])
    days = ["a", "b", "a", "a"]
    (tmp_path / "made" / "there").mkdir(parents=True)
    rows = [row | {"day": day} for row, day in zip(rows, days, strict=True)]

    results = CatalogPipeline(rows, operator, on_row_error="log_and_continue", **options).run()

    assert [result.error is None for result in results] == [True, False, True, False]
    found = sorted(str(path.relative_to(tmp_path / "made")) for path in (tmp_path / "made").rglob("*"))
    assert found == ["a", "a/T0.tif", "a/T2.tif", "there"]


def test_a_save_that_fails_removes_only_the_folders_that_it_made(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    operator = WriteCOG(str(tmp_path / "there" / "{a}" / "{b}" / "x.tif"), nodata=300)

    with pytest.raises(GeoreaderError):
        operator(stack_of([1, 2], dtype="uint8", row={"a": "one", "b": "two"}))

    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(DestinationError, match="its folder cannot be made"):
        WriteCOG(str(tmp_path / "{a}" / "sub" / "x.tif"))(stack_of([1, 2], row={"a": "file"}))

    assert [path.name for path in tmp_path.rglob("*")] == ["file"]
