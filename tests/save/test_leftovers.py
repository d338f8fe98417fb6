"""What a killed process leaves is removed by the next save; a live process's files, links and other names never are."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from effort import often
from forked import forked, run
from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader._export.sinks import temporary_file
from georeader._export.sinks.temporary_file import host_checksum, remove_abandoned, temporary_name

pytestmark = [
    pytest.mark.fault,
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="Windows removes what is open together with its process"),
]

PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}

KILLS = often(40, usually=12)


def old(path: Path) -> Path:
    """Make a file older than an unlocked file may be."""
    os.utime(path, (1, 1))
    return path


@pytest.fixture(autouse=True)
def _old_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make new files count as old: utime(2) sets no ctime."""
    monkeypatch.setattr(temporary_file, "STALE_SECONDS", 0.0)


@pytest.fixture(scope="module")
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def name_of(pid: int, stem: str = "out", host: str = host_checksum()) -> str:
    return f".{stem}.{pid:x}-{host}-0123abcd.part"


def raster(side_px: int = 300) -> GeoTensor:
    values = np.random.default_rng(0).integers(1, 200, (2, side_px, side_px)).astype("uint16")
    return GeoTensor(values, **PLACE, fill_value_default=0)


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without unnamed files."""
    monkeypatch.setattr(temporary_file, "_open_unnamed", lambda folder: -1)


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize("engine", ["stream", "gdal"])
@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
def test_next_save_removes_files_of_a_dead_process(save: Any, engine: str, dead_pid: int, tmp_path: Path) -> None:
    (tmp_path / name_of(dead_pid)).write_bytes(b"left")
    (tmp_path / name_of(dead_pid, "another")).write_bytes(b"left")

    save(raster(), tmp_path / "out.tif", engine=engine)

    assert [path.name for path in tmp_path.iterdir()] == ["out.tif"]


@pytest.mark.usefixtures("named")
def test_next_upload_removes_files_of_a_dead_process(dead_pid: int, tmp_path: Path) -> None:
    (tmp_path / name_of(dead_pid, "georeader")).write_bytes(b"left")

    save_cog(raster(), "memory://leftovers/out.tif", dir_tmpfiles=tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_next_replacement_removes_a_link_of_a_dead_process(dead_pid: int, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    (tmp_path / "temporary" / name_of(dead_pid)).write_bytes(b"left")
    (tmp_path / "out.tif").write_bytes(b"earlier")

    save_cog(raster(), tmp_path / "out.tif", dir_tmpfiles=tmp_path / "temporary")

    assert list((tmp_path / "temporary").iterdir()) == []


def test_file_of_a_running_process_is_kept(tmp_path: Path) -> None:
    (tmp_path / name_of(os.getpid())).write_bytes(b"mine")

    remove_abandoned(tmp_path)

    assert len(list(tmp_path.iterdir())) == 1


def test_locked_file_is_kept_with_any_name(dead_pid: int, tmp_path: Path) -> None:
    """As seen from another container, in which the process has another number."""
    path = tmp_path / name_of(dead_pid)
    path.write_bytes(b"open")
    with path.open("rb") as file:
        temporary_file.lock(file.fileno())

        remove_abandoned(tmp_path)
        assert path.exists()

    remove_abandoned(tmp_path)
    assert not path.exists()


def test_file_of_another_machine_is_kept_for_a_day(dead_pid: int, tmp_path: Path) -> None:
    """Whose locks, on some network file systems, are not seen here."""
    path = tmp_path / name_of(dead_pid, host="01234567")
    path.write_bytes(b"theirs")

    remove_abandoned(tmp_path)

    assert path.exists()


def test_an_old_file_of_another_machine_is_removed(
    dead_pid: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary_file, "FOREIGN_STALE_SECONDS", 0.0)
    for pid in (dead_pid, os.getpid()):  # a number means nothing of another machine
        (tmp_path / name_of(pid, host="01234567")).write_bytes(b"theirs")

    remove_abandoned(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_folder_is_searched_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_file, "STALE_SECONDS", 10.0**9)
    looked: list[Any] = []
    scandir = os.scandir
    monkeypatch.setattr(temporary_file.os, "scandir", lambda folder: (looked.append(folder), scandir(folder))[1])

    for folder in (tmp_path, str(tmp_path), tmp_path):
        remove_abandoned(folder)

    assert looked == [str(tmp_path)]


def test_file_younger_than_a_minute_is_kept(dead_pid: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_file, "STALE_SECONDS", 60.0)
    (tmp_path / name_of(dead_pid)).write_bytes(b"young")

    remove_abandoned(tmp_path)

    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "name",
    ["out.tif", ".out.part", ".out.12345678.part", ".out.1f-0123abcd.part", ".out.1f-01234567-0123ABCD.part",
     *(changed for was, now in ((".1f", ".zz"), (".out", "out"), (".part", ".part.bak"), (".out", f".{'a' * 21}"))
       if (changed := name_of(0x1F).replace(was, now)))],
)  # fmt: skip
def test_files_of_other_names_are_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"another's")

    remove_abandoned(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_links_folders_pipes_and_targets_of_links_are_kept(dead_pid: int, tmp_path: Path) -> None:
    target = tmp_path / "target.tif"
    target.write_bytes(b"kept")
    (tmp_path / name_of(dead_pid, "link")).symlink_to(target)
    (tmp_path / name_of(dead_pid, "folder")).mkdir()
    os.mkfifo(tmp_path / name_of(dead_pid, "pipe"))

    remove_abandoned(tmp_path)

    assert len(list(tmp_path.iterdir())) == 4
    assert target.read_bytes() == b"kept"


def test_missing_or_unreadable_folder_is_ignored(tmp_path: Path) -> None:
    remove_abandoned(tmp_path / "missing")


@pytest.mark.parametrize("stem", ["out", "a" * 250, "späte-Ärzte-in-Österreich", "with.dots.12-34", "-", "x\ny"])
def test_own_names_are_recognised(stem: str, dead_pid: int, tmp_path: Path) -> None:
    own = temporary_name(stem)
    path = tmp_path / own.replace(f".{os.getpid():x}-", f".{dead_pid:x}-")
    path.write_bytes(b"left")

    remove_abandoned(tmp_path)

    assert not path.exists()


#: Saves with GDAL's engine until it is killed; with unnamed files or without.
_SAVES = textwrap.dedent("""
    import sys
    import numpy as np
    from georeader import GeoTensor, save_cog
    from georeader._export.sinks import temporary_file
    path, what, is_named = sys.argv[1:4]
    if is_named == "named":
        temporary_file._open_unnamed = lambda folder: -1
    values = np.random.default_rng(0).integers(1, 200, (3, 900, 900)).astype("uint8")
    attrs = {"mask": values[0] > 20} if what == "mask" else {}
    fill = None if what == "mask" else 0
    place = {"transform": (10, 0, 500000, 0, -10, 4000000), "crs": 32630}
    raster = GeoTensor(values, fill_value_default=fill, attrs=attrs, **place)
    options = {"TILING_SCHEME": "GoogleMapsCompatible"} if what == "warp" else {}
    save_cog(raster, path, engine="gdal", profile_arg=options)
    print("ready", flush=True)
    while True:
        save_cog(raster, path, engine="gdal", profile_arg=options)
""")


def killed(folder: Path, what: str, is_named: str, after_seconds: Iterator[float]) -> None:
    """Kill a process while it saves, at several moments."""
    env = {"TMPDIR": str(folder / "temporary")}
    for seconds in after_seconds:
        with forked(_SAVES, folder / "out" / "out.tif", what, is_named, env=env) as process:
            assert process.stdout.readline() == "ready\n", process.errors()
            time.sleep(seconds)
            process.kill()


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="this system has no unnamed files")
@pytest.mark.parametrize(
    "what", ["mask", *(pytest.param(what, marks=pytest.mark.thorough) for what in ("plain", "warp"))]
)
def test_a_kill_of_the_gdal_engine_leaves_nothing(what: str, tmp_path: Path) -> None:
    for name in ("out", "temporary"):
        (tmp_path / name).mkdir()

    killed(tmp_path, what, "unnamed", iter(np.random.default_rng(1).uniform(0, 0.6, max(2, KILLS // 3))))

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["out.tif"]
    assert len(list((tmp_path / "temporary").iterdir())) <= 1  # between the link and the rename


def test_the_next_save_removes_named_files_of_a_killed_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_file, "_open_unnamed", lambda folder: -1)
    for name in ("out", "temporary"):
        (tmp_path / name).mkdir()
    killed(tmp_path, "plain", "named", iter((0.05, 0.1, 0.2)))
    left = [path.name for path in (tmp_path / "out").iterdir() if path.name != "out.tif"]
    assert all(name.endswith(".part") for name in left)

    save_cog(raster(), tmp_path / "out" / "other.tif")

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["other.tif", "out.tif"]


#: Runs the command line with a source that never comes to its end, and says when it is at it.
_COMMAND = textwrap.dedent("""
    import sys, time
    from georeader import rasterio_reader
    from georeader._export.sources import raster_file
    def endless(*args, **options):
        sys.stdout.write("at it\\n")
        sys.stdout.flush()
        time.sleep(60)
    raster_file.RasterSource.read = endless
    from georeader.cli import main
    main(["cog", "--no-reuse-tiles", *sys.argv[1:]])
""")


@pytest.mark.parametrize("destination", ["new/deep/out.tif", "new/deep/"])
def test_killed_command_leaves_no_folder(destination: str, tmp_path: Path) -> None:
    save_cog(raster(), tmp_path / "in.tif")

    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND, "in.tif", destination], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at it\n"
        process.kill()

    assert [path.name for path in tmp_path.iterdir()] == ["in.tif"]


class TestFullDisk:
    """A limit of the process (RLIMIT_FSIZE), as if its disk were full."""

    _CODE = textwrap.dedent("""
        import resource, signal, sys
        import numpy as np
        from georeader import GeoTensor, save_cog, save_tiled_geotiff
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        function, engine, path, scratch, limit_bytes = sys.argv[1:]
        values = np.random.default_rng(0).integers(0, 60000, (2, 800, 800)).astype("uint16")
        raster = GeoTensor(values, (10, 0, 0, 0, -10, 0), 3857, fill_value_default=0)
        save = {"cog": save_cog, "tiled": save_tiled_geotiff}[function]
        save(raster, path, engine=engine)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit_bytes), int(limit_bytes)))
        try:
            save(raster, path, engine=engine, dir_tmpfiles=scratch)
        except OSError as error:
            print(type(error).__name__, error.errno, error)
    """)

    @pytest.mark.parametrize(
        ("function", "engine", "where", "limit_bytes"),
        [
            ("cog", "gdal", "local", 1000),
            ("cog", "gdal", "local", 2_400_000),
            ("cog", "gdal", "memory", 1_000_000),
            ("tiled", "gdal", "local", 1_000_000),
            ("tiled", "gdal", "memory", 1000),
            ("cog", "stream", "local", 1_000_000),
            ("cog", "stream", "memory", 1000),
            ("tiled", "stream", "local", 2_400_000),
        ],
    )
    def test_the_error_names_file_and_disk(
        self, function: str, engine: str, where: str, limit_bytes: int, tmp_path: Path
    ) -> None:
        (tmp_path / "scratch").mkdir()
        path = str(tmp_path / "out.tif") if where == "local" else "memory://full/out.tif"
        disk = tmp_path if where == "local" else tmp_path / "scratch"

        process = run(self._CODE, function, engine, path, tmp_path / "scratch", limit_bytes)

        assert process.returncode == 0, process.stderr
        assert process.stdout.startswith("WriteError 27 ")
        assert repr(path) in process.stdout
        assert f"the disk of {str(disk)!r} has" in process.stdout
        assert "File too large" in process.stdout
        assert list((tmp_path / "scratch").iterdir()) == []
        assert {one.name for one in tmp_path.iterdir()} <= {"scratch", "out.tif"}

    @pytest.mark.parametrize("engine", ["stream", "gdal"])
    def test_a_disk_without_room_is_named(self, engine: str, tmp_path: Path) -> None:
        """With a file system of its own, where one may be mounted."""
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
        if mounted.returncode:
            pytest.skip("no file system may be mounted here")
        try:
            with pytest.raises(OSError, match="No space left on device") as caught:
                save_cog(raster(900), disk / "out.tif", engine=engine)
            left = list(disk.iterdir())
        finally:
            subprocess.run(["umount", str(disk)], check=True)

        assert repr(str(disk / "out.tif")) in str(caught.value)
        assert f"the disk of {str(disk)!r} has" in str(caught.value)
        assert left == []
