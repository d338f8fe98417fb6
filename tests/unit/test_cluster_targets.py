"""Files of workers: their names, and what remains of them after a save."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from georeader._export.cluster.targets import ROWS, FileBytes, FilesTarget, copy_to_place, cut
from georeader._export.sinks import temporary_file
from georeader._export.sinks.temporary_file import remove_abandoned, temporary_name
from georeader.errors import DestinationError


def name_of_another_process(pid: int) -> str:
    """Return the name that a process gives to the files of its workers."""
    own, theirs = f".{os.getpid():x}-", f".{pid:x}-"
    return temporary_name(ROWS).replace(own, theirs)


def ended_process() -> int:
    """Return the number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def target(folder: Path, name: str | None = None) -> FilesTarget:
    """Return a target beside a file in the making."""
    (folder / "out.part").touch()
    return FilesTarget(str(folder / "out.part"), "out.tif", name or temporary_name(ROWS))


def kept(files: FilesTarget, *runs: list[bytes]) -> list[FileBytes]:
    """Write runs as a task does that has encoded a block."""
    return [one for one in files.keep(runs) if isinstance(one, FileBytes)]


def test_all_runs_of_a_block_lie_in_one_file(tmp_path: Path) -> None:
    found = kept(target(tmp_path), [b"abc", b"de"], [b"f"])

    assert [(one.offset_bytes, one.size_bytes) for one in found] == [(0, 5), (5, 1)]
    assert {Path(one.path).read_bytes() for one in found} == {b"abcdef"}


def test_rows_of_several_blocks_are_copied_in_the_order_of_the_run(tmp_path: Path) -> None:
    files = target(tmp_path)
    (left,), (right,) = kept(files, [b"0123", b"89"]), kept(files, [b"4567", b"ab"])
    empty = left[:0]

    (delivered,) = files.deliver([(2, [left[:4], right[:4], empty, left[4:], right[4:]])])

    assert delivered.files is not None
    copy_to_place(files.path, [(delivered.files, 3)], "out.tif", durable=False)
    assert Path(files.path).read_bytes() == b"\0\0\x000123456789ab"


def test_a_block_that_is_kept_twice_has_two_files_which_are_both_found(tmp_path: Path) -> None:
    files = target(tmp_path)

    paths = {one.path for _ in range(2) for one in kept(files, [b"abc"])}

    assert len(paths) == 2
    assert {str(path) for path in files.files()} == paths


def test_files_of_another_save_are_not_found(tmp_path: Path) -> None:
    target(tmp_path).keep([[b"abc"]])

    assert target(tmp_path).files() == []


def test_files_of_a_process_that_was_killed_are_removed_by_the_next_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary_file, "STALE_SECONDS", 0.0)
    dead, alive = target(tmp_path, name_of_another_process(ended_process())), target(tmp_path)
    dead.keep([[b"abc"]])
    alive.keep([[b"abc"]])
    time.sleep(0.05)

    remove_abandoned(tmp_path)

    assert dead.files() == []
    assert len(alive.files()) == 1


def test_a_file_in_the_making_that_a_worker_does_not_see_is_a_destination_error(tmp_path: Path) -> None:
    files = target(tmp_path)
    Path(files.path).unlink()

    with pytest.raises(DestinationError, match=r"out\.tif.*does not see"):
        files.keep([[b"abc"]])

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 9), (2, 5), (3, 3), (4, None), (8, 9)])
def test_cut_pieces_equal_the_slice_of_all(start: int, stop: int | None) -> None:
    pieces = [b"abc", b"", memoryview(b"defg"), b"hi"]

    assert cut(pieces, start, stop) == b"abcdefghi"[start:stop]
