"""File objects that the caller opened: the whole file from the current position, or nothing."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import obstore
import pytest
import rasterio
from obstore.store import MemoryStore

from georeader import CogWriter, GeoTensor, save_cog, save_tiled_geotiff
from georeader.errors import DestinationError, OptionError, ReadError, WriteError
from sink_contract import EARLIER, PLAIN, Lazy, expected, small

BEFORE = b"what was there before: " + bytes(range(256)) * 8000


def save_by_writer(data: GeoTensor, file: Any, **options: Any) -> Any:
    """Save by CogWriter, as the functions do."""
    with CogWriter(file, like=data, **options) as writer:
        writer.write(data)
    return writer.receipt


WRITERS: list[Any] = [
    pytest.param(save_cog, "cog", id="save_cog"),
    pytest.param(save_tiled_geotiff, "tiled", id="save_tiled_geotiff"),
    pytest.param(save_by_writer, "cog", id="CogWriter"),
]


class OnlyWrite:
    """Has write() and nothing else."""

    def __init__(self, at_most: int | None = None, gives: Callable[[int], Any] = int) -> None:
        self.content = b""
        self._at_most, self._gives, self._calls = at_most, gives, 0

    def write(self, data: bytes) -> Any:
        self._calls += 1
        assert self._calls < 10_000, "it would write for ever"
        taken = data[: self._at_most]
        self.content += taken
        return self._gives(len(taken))


class Full(io.RawIOBase):
    """A disk in memory, that is full after so many bytes."""

    def __init__(self, room_bytes: int, content: bytes = b"", error: BaseException | None = None) -> None:
        super().__init__()
        self.inner = io.BytesIO(content)
        self._room_bytes = room_bytes
        self._error = OSError(errno.ENOSPC, "No space left on device") if error is None else error

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.inner.seek(offset, whence)

    def tell(self) -> int:
        return self.inner.tell()

    def truncate(self, size: int | None = None) -> int:
        return self.inner.truncate(size)

    def readinto(self, buffer: Any) -> int:
        return self.inner.readinto(buffer)

    def write(self, data: Any) -> int:
        taken = bytes(data)[: self._room_bytes]
        if not taken:
            raise self._error
        self._room_bytes -= len(taken)
        return self.inner.write(taken)


@pytest.mark.parametrize(("save", "kind"), WRITERS)
def test_bytes_io_is_written(save: Any, kind: str) -> None:
    file = io.BytesIO()

    receipt = save(small(), file, profile_arg=PLAIN)

    assert file.getvalue() == expected(kind, False)
    assert file.tell() == len(expected(kind, False))
    assert receipt.size_bytes == len(expected(kind, False))
    assert receipt.path == "<BytesIO>"
    np.testing.assert_array_equal(GeoTensor.load_bytes(file.getvalue()).values, small().values)


@pytest.mark.parametrize(("save", "kind"), WRITERS)
def test_earlier_longer_content_is_truncated(save: Any, kind: str) -> None:
    file = io.BytesIO(BEFORE)

    save(small(), file, profile_arg=PLAIN)

    assert file.getvalue() == expected(kind, False)


def test_writing_starts_at_the_position_of_the_file_object() -> None:
    file = io.BytesIO(BEFORE)
    file.seek(100)

    save_cog(small(), file, profile_arg=PLAIN)

    assert file.getvalue() == BEFORE[:100] + expected("cog", False)


def test_two_files_are_written_after_each_other() -> None:
    file = io.BytesIO()

    save_cog(small(), file, profile_arg=PLAIN)
    save_tiled_geotiff(small(), file, profile_arg=PLAIN)

    assert file.getvalue() == expected("cog", False) + expected("tiled", False)


@pytest.mark.parametrize("engine", ["stream", "gdal"])
def test_both_engines_write_the_file(engine: str, tmp_path: Path, good_cog: Any) -> None:
    file = io.BytesIO()

    receipt = save_cog(small(), file, engine=engine)

    (tmp_path / "out.tif").write_bytes(file.getvalue())
    good_cog(tmp_path / "out.tif")
    assert (receipt.engine, receipt.size_bytes) == (engine, len(file.getvalue()))


@pytest.mark.parametrize(
    ("mode", "buffering"), [("wb", -1), ("wb", 0), ("w+b", -1), ("r+b", -1), ("r+b", 0), ("ab", -1), ("xb", -1)]
)
@pytest.mark.parametrize(("save", "kind"), WRITERS)
def test_local_file_is_written(save: Any, kind: str, mode: str, buffering: int, tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    if mode != "xb":
        path.write_bytes(BEFORE)

    with path.open(mode, buffering=buffering) as file:
        receipt = save(small(), file, profile_arg=PLAIN)
        assert not file.closed

    assert path.read_bytes() == (BEFORE if mode == "ab" else b"") + expected(kind, False)
    assert receipt.path == str(path)
    assert os.listdir(tmp_path) == ["out.tif"]


@pytest.mark.parametrize(
    "make",
    [tempfile.TemporaryFile, tempfile.NamedTemporaryFile, tempfile.SpooledTemporaryFile,
     partial(tempfile.SpooledTemporaryFile, max_size=1000), partial(tempfile.SpooledTemporaryFile, max_size=10**8)],
    ids=["unnamed", "named", "spooled", "spooled to disk", "spooled in memory"],
)  # fmt: skip
@pytest.mark.parametrize(("save", "kind"), WRITERS)
def test_temporary_files_are_written(save: Any, kind: str, make: Any) -> None:
    with make() as file:
        save(small(), file, profile_arg=PLAIN)

        file.seek(0)
        assert file.read() == expected(kind, False)


@pytest.mark.parametrize(("opener", "read"), [(gzip.open, gzip.decompress), (bz2.open, bz2.decompress)],
                         ids=["gzip", "bz2"])  # fmt: skip
@pytest.mark.parametrize(("save", "kind"), WRITERS)
def test_compressing_files_are_written(save: Any, kind: str, opener: Any, read: Any, tmp_path: Path) -> None:
    with opener(tmp_path / "out.tif.gz", "wb") as file:
        save(small(), file, profile_arg=PLAIN)

    assert read((tmp_path / "out.tif.gz").read_bytes()) == expected(kind, False)


@pytest.mark.parametrize("gives", [int, lambda size: None], ids=["counts", "nothing"])
@pytest.mark.parametrize(("save", "kind"), WRITERS)
def test_object_with_write_only_is_written(save: Any, kind: str, gives: Any) -> None:
    file = OnlyWrite(gives=gives)

    save(small(), file, profile_arg=PLAIN)

    assert file.content == expected(kind, False)


@pytest.mark.parametrize("at_most", [1000, 65536, 10**6])
def test_partial_writes_are_continued(at_most: int) -> None:
    file = OnlyWrite(at_most=at_most)

    save_cog(small(), file, profile_arg=PLAIN)

    assert file.content == expected("cog", False)


def test_socket_is_written() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        import threading

        received: list[bytes] = []

        def receive() -> None:
            with theirs.makefile("rb") as file:
                received.append(file.read())

        thread = threading.Thread(target=receive)
        thread.start()
        with ours.makefile("wb") as file:
            save_cog(small(), file, profile_arg=PLAIN)
        ours.shutdown(socket.SHUT_WR)
        thread.join(20)

    assert received == [expected("cog", False)]


@pytest.mark.parametrize(("gives", "message"),
                         [(lambda _: 0, "takes no more bytes"), (str, "must return a number of bytes")],
                         ids=["zero", "text"])  # fmt: skip
def test_an_invalid_return_value_of_write_is_an_error(gives: Any, message: str) -> None:
    with pytest.raises(WriteError, match=f"<OnlyWrite>.*{message}"):
        save_cog(small(), OnlyWrite(gives=gives))


@pytest.mark.parametrize("gives", [lambda size: size + 1, lambda size: -1], ids=["more than given", "negative"])
def test_wrong_count_of_written_bytes_is_an_error(gives: Any) -> None:
    with pytest.raises(WriteError, match="<OnlyWrite>"):
        save_cog(small(), OnlyWrite(gives=gives))


@pytest.mark.parametrize("room_bytes", [0, 1, 5000, 500_000])
@pytest.mark.parametrize("wrap", [lambda raw: raw, io.BufferedRandom, io.BufferedWriter],
                         ids=["raw", "random", "buffered"])  # fmt: skip
def test_failing_write_is_truncated_to_the_start(room_bytes: int, wrap: Any) -> None:
    raw = Full(room_bytes, EARLIER)
    file = wrap(raw)
    file.seek(0, io.SEEK_END)

    with pytest.raises(WriteError, match="No space left on device"):
        save_cog(small(), file, profile_arg=PLAIN)

    assert raw.inner.getvalue() == EARLIER
    assert file.tell() == len(EARLIER)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, MemoryError, TypeError], ids=lambda kind: kind.__name__
)
def test_the_file_object_is_restored_after_another_error(error: type[BaseException]) -> None:
    raw = Full(5000, EARLIER, error("oh"))
    raw.seek(0, io.SEEK_END)

    with pytest.raises((error, WriteError)):
        save_cog(small(), raw, profile_arg=PLAIN)

    assert raw.inner.getvalue() == EARLIER


@pytest.mark.parametrize(("save", "kind"), WRITERS)
def test_failing_source_leaves_the_file_object_unchanged(save: Any, kind: str) -> None:
    file = io.BytesIO(EARLIER)
    file.seek(3)

    with pytest.raises(ReadError, match="the cable was cut"):
        save_cog(Lazy(small(), OSError("the cable was cut"), 300), file)

    assert (file.getvalue(), file.tell()) == (EARLIER, 3)


def text_files(tmp_path: Path) -> Iterator[Any]:
    """Files for text, of each kind that Python has."""
    for mode in ("w", "wt", "w+", "a", "at", "w+t"):
        yield (tmp_path / "text").open(mode)
        if mode not in ("a", "at"):
            yield tempfile.NamedTemporaryFile(mode)  # noqa: SIM115  (closed by the test)
            yield tempfile.SpooledTemporaryFile(mode=mode)  # noqa: SIM115  (closed by the test)
    yield io.StringIO()
    yield gzip.open(tmp_path / "text.gz", "wt")  # noqa: SIM115  (closed by the test)


def test_files_for_text_are_refused(tmp_path: Path) -> None:
    for file in text_files(tmp_path):
        with file, pytest.raises(DestinationError, match="open for text; open it with mode 'wb'"):
            save_cog(small(), file)


@pytest.mark.parametrize("opener", [open, gzip.open], ids=["plain", "gzip"])
def test_files_for_reading_are_refused(opener: Any, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "earlier", "wb") as file:
        file.write(EARLIER)

    with opener(tmp_path / "earlier", "rb") as file, pytest.raises(DestinationError, match="not open for writing"):
        save_cog(small(), file)

    assert gzip.decompress((tmp_path / "earlier").read_bytes()) == EARLIER


@pytest.mark.parametrize("buffering", [-1, 0])
def test_closed_files_are_refused(buffering: int, tmp_path: Path) -> None:
    with (tmp_path / "out.tif").open("wb", buffering=buffering) as file:
        pass

    with pytest.raises(DestinationError, match=r"out\.tif' is closed"):
        save_cog(small(), file)


def test_invalid_file_objects_are_refused_before_reading() -> None:
    file = io.BytesIO()
    file.close()

    with pytest.raises(DestinationError, match="is closed"):
        save_cog(Lazy(small(), AssertionError("it was read"), 0), file)


def test_file_object_closed_meanwhile_is_a_write_error() -> None:
    file = io.BytesIO()

    with pytest.raises(WriteError, match="closed file"), CogWriter(file, like=small()) as writer:
        writer.write(small())
        file.close()


def test_http_headers_are_refused() -> None:
    with pytest.raises(OptionError, match="http_headers go with http"):
        save_cog(small(), io.BytesIO(), http_headers={"A": "b"})


def test_overwrite_is_ignored() -> None:
    file = io.BytesIO(BEFORE)

    save_cog(small(), file, overwrite=False, profile_arg=PLAIN)

    assert file.getvalue() == expected("cog", False)


# Objects of fsspec and obstore.


def test_an_open_file_of_fsspec_is_a_path_in_its_filesystem() -> None:
    """`fsspec.open` returns a file that is not open yet: it is written as a whole."""
    memory = fsspec.filesystem("memory")

    save_cog(small(), fsspec.open("memory://objects/a.tif", "wb"), profile_arg=PLAIN)

    assert memory.cat("/objects/a.tif") == expected("cog", False)
    memory.rm("/objects", recursive=True)


def test_compressing_open_file_of_fsspec_compresses_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.tif.gz"

    try:
        save_cog(small(), fsspec.open(str(path), "wb", compression="gzip"), profile_arg=PLAIN)
    except DestinationError:
        assert not path.exists()
    else:
        assert gzip.decompress(path.read_bytes()) == expected("cog", False)


@pytest.mark.parametrize(("save", "kind"), WRITERS)
def test_file_opened_by_fsspec_is_written(save: Any, kind: str, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    with memory.open("/objects/a.tif", "wb") as file:
        save(small(), file, profile_arg=PLAIN)
    with fsspec.open(f"file://{tmp_path}/a.tif", "wb") as file:
        save(small(), file, profile_arg=PLAIN)

    assert memory.cat("/objects/a.tif") == (tmp_path / "a.tif").read_bytes() == expected(kind, False)
    memory.rm("/objects", recursive=True)


@pytest.mark.parametrize(("save", "kind"), WRITERS)
def test_file_opened_by_obstore_is_written(save: Any, kind: str) -> None:
    store = MemoryStore()
    with obstore.open_writer(store, "a.tif") as file:
        save(small(), file, profile_arg=PLAIN)

    assert bytes(obstore.get(store, "a.tif").bytes()) == expected(kind, False)


@pytest.mark.parametrize(("save", "kind"), WRITERS)
def test_memory_file_of_gdal_is_written(save: Any, kind: str) -> None:
    with rasterio.MemoryFile() as file:
        save(small(), file, profile_arg=PLAIN)

        assert bytes(file.getbuffer()) == expected(kind, False)
        with file.open() as dataset:
            np.testing.assert_array_equal(dataset.read(), small().values)


def test_path_object_with_a_write_method_is_a_path(tmp_path: Path) -> None:
    """Some paths have a method of that name: they are paths."""

    class WritingPath(str):
        def write(self, data: bytes) -> int:
            raise AssertionError("it was taken for a file")

    save_cog(small(), WritingPath(tmp_path / "out.tif"), profile_arg=PLAIN)

    assert (tmp_path / "out.tif").read_bytes() == expected("cog", False)
