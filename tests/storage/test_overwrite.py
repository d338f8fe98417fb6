"""overwrite=False: what is there stays, even what appears at the last moment; of two that write at once, one wins."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from georeader import CogWriter, GeoTensor, save_cog
from georeader._export.sinks import temporary_file
from georeader.errors import DestinationError, ExistsError, WriteError
from servers.azurite import AzureServer
from servers.moto_server import MotoServer
from servers.s3 import S3Server
from sink_contract import EARLIER, PLAIN, expected, large, small

UseEnv = Callable[[dict[str, str]], None]


@pytest.fixture(params=["unnamed", "named"])
def kind_of_file(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to publish a file: anonymous files of Linux, and hidden files with a rename."""
    if request.param == "named":
        monkeypatch.setattr(temporary_file, "_open_unnamed", lambda folder: -1)
    return str(request.param)


def appears(path: Path) -> Callable[[int, int], None]:
    """Return a progress that makes a file when the export is all but done."""

    def progress(done: int, total: int) -> None:
        if done == total and not path.exists():
            path.write_bytes(EARLIER)

    return progress


def test_an_exists_error_is_a_file_exists_error(tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(EARLIER)

    with pytest.raises(ExistsError) as caught:
        save_cog(small(), tmp_path / "out.tif", overwrite=False)

    assert isinstance(caught.value, FileExistsError)
    assert isinstance(caught.value, DestinationError)
    assert not isinstance(caught.value, WriteError)


@pytest.mark.parametrize("engine", ["stream", "gdal"])
def test_an_existing_file_is_refused_at_once(kind_of_file: str, engine: str, tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(EARLIER)

    with pytest.raises(ExistsError, match=r"out\.tif' exists already, and overwrite=False"):
        save_cog(small(), tmp_path / "out.tif", overwrite=False, engine=engine,
                 progress=lambda done, total: pytest.fail("it began"))  # fmt: skip

    assert os.listdir(tmp_path) == ["out.tif"]
    assert (tmp_path / "out.tif").read_bytes() == EARLIER


@pytest.mark.parametrize("engine", ["stream", "gdal"])
def test_a_file_that_appears_meanwhile_is_kept(kind_of_file: str, engine: str, tmp_path: Path) -> None:
    path = tmp_path / "out.tif"

    with pytest.raises(ExistsError, match=r"out\.tif' exists already, and overwrite=False"):
        save_cog(small(), path, overwrite=False, engine=engine, progress=appears(path))

    assert os.listdir(tmp_path) == ["out.tif"]
    assert path.read_bytes() == EARLIER


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("nowhere")], ids=["folder", "broken link"])
def test_folder_or_link_that_appears_meanwhile_is_kept(kind_of_file: str, make: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.tif"

    def progress(done: int, total: int) -> None:
        if done == total and not os.path.lexists(path):
            make(path)

    with pytest.raises((ExistsError, WriteError)):
        save_cog(small(), path, overwrite=False, progress=progress)

    assert os.listdir(tmp_path) == ["out.tif"]
    assert path.is_dir() or path.is_symlink()


def test_file_that_appears_meanwhile_is_replaced_with_overwrite(kind_of_file: str, tmp_path: Path) -> None:
    path = tmp_path / "out.tif"

    save_cog(small(), path, progress=appears(path), profile_arg=PLAIN)

    assert path.read_bytes() == expected("cog", False)


def test_sidecars_of_a_file_that_is_kept_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    (tmp_path / "out.tif.aux.xml").write_bytes(b"<PAMDataset/>")

    with pytest.raises(ExistsError):
        save_cog(small(), path, overwrite=False, progress=appears(path))

    assert sorted(os.listdir(tmp_path)) == ["out.tif", "out.tif.aux.xml"]


@pytest.mark.skipif(os.name != "posix", reason="of POSIX")
def test_link_to_a_file_is_refused_and_dangling_link_followed(kind_of_file: str, tmp_path: Path) -> None:
    (tmp_path / "there.tif").write_bytes(EARLIER)
    (tmp_path / "link.tif").symlink_to("there.tif")
    (tmp_path / "new.tif").symlink_to("nothing.tif")

    with pytest.raises(ExistsError):
        save_cog(small(), tmp_path / "link.tif", overwrite=False)
    save_cog(small(), tmp_path / "new.tif", overwrite=False, profile_arg=PLAIN)

    assert (tmp_path / "there.tif").read_bytes() == EARLIER
    assert (tmp_path / "nothing.tif").read_bytes() == expected("cog", False)
    assert (tmp_path / "new.tif").is_symlink()


def outcomes(writers: list[CogWriter], raster: GeoTensor) -> list[str]:
    """Run writers that finish at the same moment; return the result of each."""
    barrier, found = threading.Barrier(len(writers)), []

    def run(writer: CogWriter) -> None:
        try:
            with writer:
                writer.write(raster)
                barrier.wait(30)
            found.append("saved")
        except ExistsError:
            found.append("exists")

    threads = [threading.Thread(target=run, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return sorted(found)


def test_one_of_several_concurrent_local_writers_wins(kind_of_file: str, tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    writers = [CogWriter(path, like=small(), overwrite=False, profile_arg=PLAIN) for _ in range(4)]

    assert outcomes(writers, small()) == ["exists"] * 3 + ["saved"]

    assert path.read_bytes() == expected("cog", False)
    assert os.listdir(tmp_path) == ["out.tif"]


def test_one_of_two_concurrent_writers_wins_in_s3(seaweed: S3Server, use_env: UseEnv) -> None:
    use_env(seaweed.env())
    url = seaweed.url("out.tif")
    writers = [CogWriter(url, like=small(), overwrite=False, profile_arg=PLAIN) for _ in range(2)]

    assert outcomes(writers, small()) == ["exists", "saved"]

    assert seaweed.get("out.tif") == expected("cog", False)


def test_one_of_two_concurrent_multipart_uploads_wins_in_s3(seaweed: S3Server, use_env: UseEnv) -> None:
    use_env(seaweed.env())
    url = seaweed.url("out.tif")
    writers = [CogWriter(url, like=large(), overwrite=False, profile_arg=PLAIN) for _ in range(2)]

    assert outcomes(writers, large()) == ["exists", "saved"]

    assert seaweed.get("out.tif") == expected("cog", True)
    assert seaweed.open_uploads() == []


def test_one_of_two_concurrent_writers_wins_in_azure(azurite: AzureServer, use_env: UseEnv) -> None:
    use_env(azurite.env())
    writers = [CogWriter(azurite.url("out.tif"), like=small(), overwrite=False, profile_arg=PLAIN) for _ in range(3)]

    assert outcomes(writers, small()) == ["exists", "exists", "saved"]

    assert azurite.get("out.tif") == expected("cog", False)


def test_one_of_two_concurrent_writers_wins_by_a_sas_url(azurite: AzureServer, use_env: UseEnv) -> None:
    """A signed URL does not allow HEAD: only the PUT has the condition."""
    use_env({"NO_PROXY": "127.0.0.1"})
    url = azurite.sas_url("out.tif")
    writers = [CogWriter(url, like=small(), overwrite=False, profile_arg=PLAIN) for _ in range(2)]

    assert outcomes(writers, small()) == ["exists", "saved"]


@pytest.mark.parametrize("server", ["seaweed", "moto"])
def test_one_of_two_concurrent_writers_wins_by_a_presigned_url(
    server: str, use_env: UseEnv, request: pytest.FixtureRequest
) -> None:
    s3: S3Server = request.getfixturevalue(server)
    use_env({"NO_PROXY": "127.0.0.1"})
    url = s3.signed_url("out.tif")

    save_cog(small(), url, overwrite=False, profile_arg=PLAIN)
    with pytest.raises(ExistsError, match=r"out\.tif\?\*\*\*' exists already"):
        save_cog(small(), url, overwrite=False, profile_arg=PLAIN)

    assert s3.get("out.tif") == expected("cog", False)


def test_one_of_two_concurrent_writers_wins_in_gcs(moto: MotoServer, use_env: UseEnv) -> None:
    use_env(moto.gcs_env())
    moto.put("out.tif", EARLIER)

    with pytest.raises(ExistsError):
        save_cog(small(), moto.gcs_url("out.tif"), overwrite=False)

    assert moto.get("out.tif") == EARLIER
