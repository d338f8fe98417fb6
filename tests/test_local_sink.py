"""LocalSink: exactly one of commit and abort, and no third way out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from georeader.errors import WriteError
from georeader.export.sinks.local import LocalSink


def test_nothing_is_at_the_path_before_the_commit(tmp_path: Path) -> None:
    with LocalSink(tmp_path / "out.tif") as sink:
        sink.staging_path.write_bytes(b"whole")
        assert not (tmp_path / "out.tif").exists()
        sink.commit()
        assert (tmp_path / "out.tif").read_bytes() == b"whole"

    assert os.listdir(tmp_path) == ["out.tif"]


def test_leaving_without_a_commit_leaves_nothing(tmp_path: Path) -> None:
    with LocalSink(tmp_path / "out.tif") as sink:
        sink.staging_path.write_bytes(b"half")
        (sink.folder / "scratch").mkdir()
        (sink.folder / "scratch" / "file").write_bytes(b"x")

    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_exception_aborts_and_passes_through(error: type[BaseException], tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(b"earlier")

    with pytest.raises(error), LocalSink(tmp_path / "out.tif") as sink:
        sink.staging_path.write_bytes(b"half")
        raise error

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.tif": b"earlier"}


def test_a_commit_without_a_file_is_an_error_and_keeps_the_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(b"earlier")

    with (
        pytest.raises(WriteError, match="the finished file can't be put in place"),
        LocalSink(tmp_path / "out.tif") as sink,
    ):
        sink.commit()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.tif": b"earlier"}


def test_a_move_that_fails_keeps_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.tif").write_bytes(b"earlier")
    (tmp_path / "out.tif.aux.xml").write_bytes(b"its sidecar")

    def refuse(*paths: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(WriteError, match="put in place: no"), LocalSink(tmp_path / "out.tif") as sink:
        sink.staging_path.write_bytes(b"whole")
        sink.commit()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tif", "out.tif.aux.xml"]
    assert (tmp_path / "out.tif").read_bytes() == b"earlier"


def test_a_sidecar_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "out.tif.ovr").mkdir()

    with LocalSink(tmp_path / "out.tif") as sink:
        sink.staging_path.write_bytes(b"whole")
        with pytest.warns(UserWarning, match=r"out\.tif\.ovr belongs to the earlier file and can't be removed"):
            sink.commit()

    assert (tmp_path / "out.tif").read_bytes() == b"whole"


def test_a_sink_is_used_in_a_with_block(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="use it in a with block"):
        _ = LocalSink(tmp_path / "out.tif").staging_path
