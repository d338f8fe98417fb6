"""Sources and destinations of a command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import fsspec
import pytest

from georeader.cli.targets import expand, pair_files
from georeader.errors import DestinationError, ReadError
from georeader.storage import make_folders, remove_empty_folders


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rasters in a folder, one below it, and one whose name is like a pattern."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.tif", "in/b.jp2", "in/sub/a.tif", "in/[x].tif", "taken"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


@pytest.mark.parametrize(
    ("sources", "destination", "pairs"),
    [
        (["in/a.tif"], "out.tif", [("in/a.tif", "out.tif")]),
        (["in/a.tif"], "out.unusual", [("in/a.tif", "out.unusual")]),
        (["in/a.tif"], "out/", [("in/a.tif", "out/a.tif")]),
        (["in/b.jp2"], "in", [("in/b.jp2", "in/b.tif")]),
        (["in/a.tif"], "/", [("in/a.tif", "/a.tif")]),
        (["in/a.tif", "in/b.jp2"], "out", [("in/a.tif", "out/a.tif"), ("in/b.jp2", "out/b.tif")]),
        (["in/*.jp2"], "out", [("in/b.jp2", "out/b.tif")]),
        (["in/[x].tif"], "out.tif", [("in/[x].tif", "out.tif")]),
        (["in/**/a.t?f", "in/b.jp2"], "out", None),
        (["in/a.tif"], "s3://bucket/out.tif", [("in/a.tif", "s3://bucket/out.tif")]),
        (["in/a.tif"], "s3://bucket/out/", [("in/a.tif", "s3://bucket/out/a.tif")]),
        (["in/a.tif", "s3://bucket/key/b.c.jp2"], "s3://bucket/out",
         [("in/a.tif", "s3://bucket/out/a.tif"), ("s3://bucket/key/b.c.jp2", "s3://bucket/out/b.c.tif")]),
        (["https://host/a.tif?sig=x*y", "in/b.jp2"], "out",
         [("https://host/a.tif?sig=x*y", "out/a.tif"), ("in/b.jp2", "out/b.tif")]),
        (["https://host/a?x=1"], "out.tif", [("https://host/a?x=1", "out.tif")]),
    ],
)  # fmt: skip
def test_one_source_is_saved_to_a_file_and_several_to_a_folder(
    sources: list[str], destination: str, pairs: list[tuple[str, str]] | None
) -> None:
    if pairs is None:
        with pytest.raises(click.UsageError, match="would both be 'out/a.tif'; save them to different folders"):
            pair_files(sources, destination)
    else:
        assert pair_files(sources, destination).pairs == pairs


def test_several_sources_with_a_file_as_destination_are_refused() -> None:
    with pytest.raises(click.UsageError, match="'taken' is a file; several sources, or a pattern, go to a folder"):
        pair_files(["in/a.tif", "in/b.jp2"], "taken")


@pytest.mark.parametrize("sources", [["in/a.tif", "in/b.jp2"], ["in/*.tif"], ["s3://bucket/a.tif", "in/b.jp2"]])
@pytest.mark.parametrize("destination", ["o.tif", "new/o.TIFF", "o.vrt", "s3://bucket/o.tif", "https://host/o.tif?x=1"])
def test_several_sources_with_a_folder_named_like_a_raster_are_refused(sources: list[str], destination: str) -> None:
    with pytest.raises(click.UsageError, match="is named like a file; several sources, or a pattern, go to a folder"):
        pair_files(sources, destination)


@pytest.mark.parametrize("destination", ["o.tif/", "there.tif", "s3://bucket/o.tif/", "o.v2", "o"])
def test_existing_folder_or_one_with_a_slash_is_a_destination_for_several(destination: str) -> None:
    Path("there.tif").mkdir()

    places = [place for _, place in pair_files(["in/a.tif", "in/b.jp2"], destination).pairs]

    assert places == [f"{destination.rstrip('/')}/{name}.tif" for name in "ab"]


@pytest.mark.parametrize("sources", [["in/a.tif", "in/b.jp2"], ["in/*.jp2"]])
def test_several_sources_with_standard_output_are_refused(sources: list[str]) -> None:
    with pytest.raises(click.UsageError, match="- is standard output, which takes one file"):
        pair_files(sources, "-")


def test_a_pattern_without_a_match_does_not_affect_the_other_sources() -> None:
    found = pair_files(["in/*.png", "in/*.jp2", "nowhere/*"], "out")

    assert found.pairs == [("in/b.jp2", "out/b.tif")]
    assert [(pattern, str(error)) for pattern, error in found.errors] == [
        (pattern, f"nothing matches {pattern!r}; list the folder, or quote the pattern")
        for pattern in ("in/*.png", "nowhere/*")
    ]


@pytest.mark.parametrize(
    ("sources", "destination"),
    [(["in/a.tif"], "in"), (["in/a.tif"], "./in/"), (["in/a*"], "in"), (["in/a.tif", "in/b.jp2"], "{here}/in")],
)
def test_a_folder_in_which_a_source_would_be_replaced_is_refused(sources: list[str], destination: str) -> None:
    with pytest.raises(click.UsageError, match="'in/a.tif' would be replaced; name another folder"):
        pair_files(sources, destination.format(here=os.getcwd()))


def test_source_passed_as_destination_is_accepted() -> None:
    assert pair_files(["in/a.tif"], "in/a.tif").pairs == [("in/a.tif", "in/a.tif")]


def test_error_of_clashing_names_shows_no_secrets() -> None:
    with pytest.raises(click.UsageError) as caught:
        pair_files(["https://one/a.tif?sig=secret", "https://two/a.tif?sig=secret"], "out")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["in/*.png", "nowhere/*", "memory://none/*.tif"])
def test_pattern_without_a_match_raises(pattern: str) -> None:
    with pytest.raises(ReadError, match="nothing matches"):
        expand(pattern)


def test_pattern_of_a_web_server_is_refused() -> None:
    with pytest.raises(ReadError, match="a web server does not list its files; name each file"):
        expand("https://host/*.tif")


def test_patterns_of_fsspec_filesystems_are_expanded() -> None:
    fsspec.filesystem("memory").pipe({"/cli/a.tif": b"", "/cli/b.png": b"", "/cli/sub/c.tif": b""})

    assert expand("memory://cli/*.tif") == ["memory:///cli/a.tif"]
    assert expand("memory://cli/**/*.tif") == ["memory:///cli/a.tif", "memory:///cli/sub/c.tif"]
    with pytest.raises(ReadError, match=r"'\*\*' can only be an entire path component"):
        expand("memory://cli/**.tif")


def test_patterns_of_file_urls_are_expanded() -> None:
    assert expand(f"file://{os.getcwd()}/in/*.jp2") == [f"{os.getcwd()}/in/b.jp2"]


@pytest.mark.parametrize("server", ["seaweed", "azurite", "moto"])
def test_patterns_of_stores_are_expanded(server: str, request: pytest.FixtureRequest, use_env: Any) -> None:
    store = request.getfixturevalue(server)
    use_env(store.env())
    keys = ["cli/a.tif", "cli/b.tif", "cli/b.png", "cli/sub/c.tif"]
    for key in keys:
        store.put(key, b"x")

    assert expand(store.url("cli/*.tif")) == [store.url("cli/a.tif"), store.url("cli/b.tif")]
    assert expand(store.url("cli/**/c.t?f")) == [store.url("cli/sub/c.tif")]


def test_a_store_that_is_not_there_is_an_error_without_secrets(use_env: Any) -> None:
    use_env({"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "hidden"})

    with pytest.raises(ReadError, match="no way to the store") as caught:
        expand("s3://bucket/*.tif")

    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("destination", ["new/sub/out.tif", "file://{here}/new/sub/out.tif"])
def test_make_folders_makes_the_missing_folders_of_a_local_file(destination: str) -> None:
    made = make_folders(destination.format(here=os.getcwd()))

    assert Path("new/sub").is_dir()
    assert sorted(made) == [f"{os.getcwd()}/new", f"{os.getcwd()}/new/sub"]


def test_remove_empty_folders_keeps_those_with_files() -> None:
    made = make_folders("new/sub/out.tif")
    Path("new/other.tif").touch()

    remove_empty_folders(made)

    assert not Path("new/sub").exists()
    assert Path("new/other.tif").exists()


def test_make_folders_names_a_folder_that_cannot_be_made() -> None:
    with pytest.raises(DestinationError, match="its folder cannot be made") as caught:
        make_folders("taken/out.tif")

    assert "'taken/out.tif'" in str(caught.value)


def test_make_folders_makes_none_for_a_store(tmp_path: Path) -> None:
    assert make_folders("s3://bucket/new/out.tif") == []

    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "taken"]
