"""LocalSink: ends in exactly one of commit and abort."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from georeader import CogWriter, GeoTensor, save_cog
from georeader._export.sinks import temporary_file
from georeader._export.sinks.local import LocalSink
from georeader.errors import DestinationError, MetadataWarning, WriteError

Write = Callable[[LocalSink, bytes], None]

has_unnamed_files = pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system has no unnamed files")


@pytest.fixture(params=["unnamed", "named", "path"])
def write(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Write:
    """The ways to fill a sink: by offset, where the system has unnamed files and where not, or by a path, as GDAL."""
    if request.param == "named":
        monkeypatch.setattr(temporary_file, "_open_unnamed", lambda folder: -1)
    if request.param == "path":
        return lambda sink, data: sink.staging_path.write_bytes(data)
    return lambda sink, data: sink.write_full_resolution(0, data)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_nothing_is_at_the_path_before_the_commit(write: Write, tmp_path: Path) -> None:
    with LocalSink(tmp_path / "out.tif") as sink:
        write(sink, b"whole")
        assert not (tmp_path / "out.tif").exists()
        sink.commit()
        assert (tmp_path / "out.tif").read_bytes() == b"whole"

    assert names(tmp_path) == ["out.tif"]


def test_a_commit_replaces_the_earlier_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(b"earlier")

    with LocalSink(tmp_path / "out.tif") as sink:
        write(sink, b"whole")
        sink.commit()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.tif": b"whole"}


def test_block_without_commit_leaves_nothing(write: Write, tmp_path: Path) -> None:
    with LocalSink(tmp_path / "out.tif") as sink:
        write(sink, b"half")

    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_exception_aborts_and_propagates(error: type[BaseException], write: Write, tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(b"earlier")

    with pytest.raises(error), LocalSink(tmp_path / "out.tif") as sink:
        write(sink, b"half")
        raise error

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.tif": b"earlier"}


def test_commit_without_a_file_raises_and_keeps_the_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(b"earlier")

    with (
        pytest.raises(WriteError, match="the finished file cannot be put in place"),
        LocalSink(tmp_path / "out.tif") as sink,
    ):
        sink.commit()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.tif": b"earlier"}


def test_failing_rename_keeps_the_earlier_file(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.tif").write_bytes(b"earlier")
    (tmp_path / "out.tif.aux.xml").write_bytes(b"its sidecar")

    def refuse(*paths: object, **folders: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(WriteError, match="put in place: no"), LocalSink(tmp_path / "out.tif") as sink:
        write(sink, b"whole")
        sink.commit()

    assert names(tmp_path) == ["out.tif", "out.tif.aux.xml"]
    assert (tmp_path / "out.tif").read_bytes() == b"earlier"


def test_a_sidecar_that_cannot_be_removed_is_named(write: Write, tmp_path: Path) -> None:
    (tmp_path / "out.tif.ovr").mkdir()

    with LocalSink(tmp_path / "out.tif") as sink:
        write(sink, b"whole")
        with pytest.warns(MetadataWarning, match=r"sidecars of the earlier file cannot be removed: .*out\.tif\.ovr"):
            sink.commit()

    assert (tmp_path / "out.tif").read_bytes() == b"whole"


@pytest.mark.parametrize("use", [
    lambda sink: sink.staging_path,
    lambda sink: sink.write_full_resolution(0, b"x"),
    lambda sink: sink.commit(),
])  # fmt: skip
def test_a_sink_is_used_in_a_with_block(use: Callable[[LocalSink], object], tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="use it in a with block"):
        use(LocalSink(tmp_path / "out.tif"))

    assert names(tmp_path) == []


def test_writes_in_any_order_are_placed_at_their_offsets(tmp_path: Path) -> None:
    with LocalSink(tmp_path / "out.bin") as sink:
        sink.write_full_resolution(6, b"rear")
        sink.write_full_resolution(0, b"front")
        sink.commit()

    assert (tmp_path / "out.bin").read_bytes() == b"front\0rear"


@has_unnamed_files
def test_folder_is_empty_while_the_file_is_written(tmp_path: Path) -> None:
    with LocalSink(tmp_path / "out.tif") as sink:
        sink.write_full_resolution(0, b"half")

        assert names(tmp_path) == []


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_default_or_those_of_the_earlier_file(
    umask: int, earlier: bool, write: Write, tmp_path: Path
) -> None:
    if earlier:
        (tmp_path / "out.tif").touch()
        (tmp_path / "out.tif").chmod(0o604)
    before = os.umask(umask)
    try:
        with LocalSink(tmp_path / "out.tif") as sink:
            write(sink, b"whole")
            sink.commit()
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "out.tif").stat().st_mode) == (0o604 if earlier else 0o666 & ~umask)


@has_unnamed_files
def test_link_for_a_replacement_is_made_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("folder", "temporary"):
        (tmp_path / name).mkdir()
    path = tmp_path / "folder" / "out.tif"
    path.write_bytes(b"earlier")
    seen: list[tuple[int, list[str]]] = []
    rename = os.rename

    def watched(source: str, target: str, **folders: int) -> None:
        seen.append((len(names(tmp_path / "temporary")), names(path.parent)))
        rename(source, target, **folders)

    monkeypatch.setattr(os, "rename", watched)
    with LocalSink(path, dir_tmpfiles=tmp_path / "temporary") as sink:
        sink.write_full_resolution(0, b"whole")
        sink.commit()

    assert seen == [(1, ["out.tif"])]
    assert path.read_bytes() == b"whole"
    assert names(tmp_path / "temporary") == []


@has_unnamed_files
def test_link_of_a_killed_process_is_removed_by_the_next_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between link and rename leaves the link; the next save to the same path removes it."""
    monkeypatch.setattr(temporary_file, "STALE_SECONDS", -1.0)
    rename = os.rename
    elsewhere = Path("/dev/shm")  # on another file system, so the link has to be made beside the destination
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    (tmp_path / "out.tif").write_bytes(b"earlier")

    def killed(*paths: object, **folders: object) -> None:
        raise KeyboardInterrupt

    def unlink_nothing(*paths: object, **folders: object) -> None:
        return

    with monkeypatch.context() as context:
        context.setattr(os, "rename", killed)
        context.setattr(os, "unlink", unlink_nothing)
        with pytest.raises(KeyboardInterrupt), LocalSink(tmp_path / "out.tif", dir_tmpfiles=elsewhere) as sink:
            sink.write_full_resolution(0, b"killed")
            sink.commit()
    assert len(names(tmp_path)) == 2
    assert os.rename is rename

    with LocalSink(tmp_path / "out.tif", dir_tmpfiles=elsewhere) as sink:
        sink.write_full_resolution(0, b"whole")
        sink.commit()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.tif": b"whole"}


def test_many_commits_to_one_path_leave_one_whole_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(b"earlier")
    failures: list[OSError] = []

    def save(number: int) -> None:
        try:
            for _ in range(20):
                with LocalSink(tmp_path / "out.tif") as sink:
                    write(sink, bytes([number]) * 1000)
                    sink.commit()
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert names(tmp_path) == ["out.tif"]
    content = (tmp_path / "out.tif").read_bytes()
    assert len(content) == 1000
    assert len(set(content)) == 1


@pytest.mark.parametrize("durable", [False, True])
def test_durable_flushes_the_file_before_and_the_folder_after_the_rename(
    durable: bool, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, bool]] = []
    fsync = os.fsync

    def watched(fd: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"
        flushed.append((kind, (tmp_path / "out.tif").exists()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watched)
    with LocalSink(tmp_path / "out.tif", durable=durable) as sink:
        write(sink, b"whole")
        sink.commit()

    assert flushed == ([("file", False), ("folder", True)] if durable else [])


def test_a_full_disk_is_named_with_the_destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with (
        pytest.raises(WriteError, match=r"out\.tif.*4 bytes cannot be written at byte 0: No space left") as caught,
        LocalSink(tmp_path / "out.tif") as sink,
    ):
        sink.write_full_resolution(0, b"half")

    assert caught.value.errno == 28
    assert names(tmp_path) == []


def test_partial_writes_of_the_system_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, bytes(data)[:3], offset))

    with LocalSink(tmp_path / "out.bin") as sink:
        sink.write_full_resolution(2, b"0123456789")
        sink.commit()

    assert (tmp_path / "out.bin").read_bytes() == b"\0\x000123456789"


@pytest.mark.parametrize("taken_bytes", [None, 3, 0])
def test_many_pieces_are_written_with_any_iov_limit(
    taken_bytes: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [bytes([number % 256]) * (number % 7) for number in range(2500)]
    if taken_bytes is not None:
        monkeypatch.setattr(os, "pwritev", lambda fd, data, at: os.pwrite(fd, b"".join(data)[:taken_bytes], at))

    with LocalSink(tmp_path / "out.bin") as sink:
        sink.write_full_resolution(5, *pieces)
        sink.commit()

    assert (tmp_path / "out.bin").read_bytes() == b"\0" * 5 + b"".join(pieces)


@pytest.mark.parametrize("has_pwrite", [True, False])
def test_spool_returns_its_bytes_and_is_closed_with_the_sink(
    has_pwrite: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_pwrite:
        monkeypatch.delattr(os, "pwritev")
        monkeypatch.delattr(os, "pwrite")
        monkeypatch.delattr(os, "pread")

    with LocalSink(tmp_path / "out.bin") as sink:
        spool = sink.open_spool()
        spool.write_at(5, b"waits")
        spool.write_at(0, b"first")
        sink.write_full_resolution(0, spool.read_at(0, 10))
        with pytest.raises(WriteError, match="ends at byte 10, 2 too early"):
            spool.read_at(8, 4)
        sink.commit()

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out.bin": b"firstwaits"}


def test_link_to_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loop.tif"
    path.symlink_to(path)

    with pytest.raises(DestinationError, match=r"loop\.tif"):
        LocalSink(path)

    assert path.is_symlink()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder_is_named(write: Write, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DestinationError, match="cannot write in"), LocalSink(tmp_path / "out.tif") as sink:
            write(sink, b"x")
    finally:
        tmp_path.chmod(0o700)


def test_the_folder_for_temporary_files_is_found_without_writing_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlike `tempfile.gettempdir`, whose trial file a process that is killed leaves behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before_ns = tmp_path.stat().st_mtime_ns

    found = temporary_file.temporary_folder()

    assert found == tmp_path
    assert tmp_path.stat().st_mtime_ns == before_ns
    assert tempfile.tempdir is None


@pytest.mark.parametrize("temporary", ["missing", "file"])
def test_invalid_temporary_folder_is_skipped(temporary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / temporary))
    monkeypatch.setenv("TEMP", str(tmp_path / "folder"))
    monkeypatch.setattr(tempfile, "tempdir", None)

    assert temporary_file.temporary_folder() == tmp_path / "folder"


def test_missing_folders_are_made_only_when_the_file_is_whole(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "out.tif"

    with LocalSink(path, makes_folders=True) as sink:
        write(sink, b"whole")
        assert not (tmp_path / "new").exists()
        sink.commit()

    assert path.read_bytes() == b"whole"
    assert names(tmp_path) == ["new"]
    assert names(path.parent) == ["out.tif"]


def test_folders_of_a_file_that_cannot_be_put_in_place_are_removed_again(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object, **options: object) -> None:
        raise OSError("no")

    for name in ("link", "replace", "rename"):
        monkeypatch.setattr(os, name, refuse)
    with (
        pytest.raises(WriteError, match="put in place: no"),
        LocalSink(tmp_path / "new" / "deep" / "out.tif", makes_folders=True) as sink,
    ):
        write(sink, b"whole")
        sink.commit()

    assert names(tmp_path) == []


def test_file_in_place_of_a_folder_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"a file")

    with pytest.raises(DestinationError, match="its folder cannot be made"):
        LocalSink(tmp_path / "taken" / "deep" / "out.tif", makes_folders=True)


def by_save(tensor: GeoTensor, path: Path, raising: BaseException | None) -> None:
    def progress(done: int, total: int) -> None:
        if raising is not None:
            raise raising

    save_cog(tensor, path, progress=progress)


def by_writer_at_the_end(tensor: GeoTensor, path: Path, raising: BaseException | None) -> None:
    def progress(done: int, total: int) -> None:
        if raising is not None:
            raise raising

    with CogWriter(path, like=tensor, progress=progress) as writer:
        writer.write(tensor.values)


def by_writer_in_the_block(tensor: GeoTensor, path: Path, raising: BaseException | None) -> None:
    with CogWriter(path, like=tensor) as writer:
        writer.write(tensor.values)
        if raising is not None:
            raise raising


@pytest.mark.parametrize("save", [by_save, by_writer_at_the_end, by_writer_in_the_block])
@pytest.mark.parametrize("raising", [None, RuntimeError("broken"), KeyboardInterrupt()], ids=repr)
def test_save_opens_its_sink_once_and_passes_the_exception_to_it(
    save: Callable[..., None], raising: BaseException | None, make_tensor: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    seen: list[Any] = []
    enter, leave = LocalSink.__enter__, LocalSink.__exit__
    monkeypatch.setattr(LocalSink, "__enter__", lambda sink: (seen.append("enter"), enter(sink))[1])
    monkeypatch.setattr(LocalSink, "__exit__", lambda sink, *how: (seen.append(how[1]), leave(sink, *how))[1])

    try:
        save(make_tensor(), tmp_path / "out.tif", raising)
    except (RuntimeError, KeyboardInterrupt) as error:
        assert error is raising

    assert seen == ["enter", raising]
    assert names(tmp_path) == ([] if raising else ["out.tif"])
