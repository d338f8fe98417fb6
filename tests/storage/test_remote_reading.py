"""Reading from elsewhere: by fs, by the environment, in blocks that are kept, on any thread, and when it fails."""

from __future__ import annotations

import io
import os
import pickle
import secrets
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import obstore
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore, S3Store
from rasterio.enums import Resampling
from rasterio.windows import Window

from georeader import GeoTensor, RasterioReader, save_cog
from georeader._storage import range_file
from georeader._storage.range_file import RangedObject, RangeFile
from georeader.errors import GeoreaderError, ReadError
from places import SUPPORT
from recording_filesystem import RecordingFilesystem
from servers.azurite import AzureServer
from servers.moto_server import MotoServer
from servers.nginx import WebServer
from servers.s3 import S3Server
from sink_contract import PLAIN, expected, large, small

UseEnv = Callable[[dict[str, str]], None]

CONTENT = np.random.default_rng(3).integers(0, 256, 5000, "uint8").tobytes()

reads = st.lists(st.tuples(st.integers(0, 5200), st.integers(0, 1500)), max_size=12)


class Counted:
    """Object that returns ranges of its content, and records them."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.asked: list[tuple[int, int]] = []

    def __call__(self, start: int, stop: int) -> bytes:
        assert 0 <= start < stop <= len(self.content)
        self.asked.append((start, stop))
        return self.content[start:stop]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set blocks of 100 bytes, of which 6 are cached."""
    monkeypatch.setattr(range_file, "BLOCK_BYTES", 100)
    monkeypatch.setattr(range_file, "KEPT_BLOCKS", 6)


# Blocks.


@settings(deadline=None)
@given(reads)
def test_reads_of_any_ranges_return_the_bytes(wanted: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(range_file, "BLOCK_BYTES", 100)
        patch.setattr(range_file, "KEPT_BLOCKS", 6)
        counted = Counted()
        ours, theirs = RangeFile(RangedObject(len(CONTENT), counted)), io.BytesIO(CONTENT)
        for offset, size in wanted:
            assert ours.seek(offset) == theirs.seek(offset)
            assert ours.read(size) == theirs.read(size)
            assert ours.tell() == theirs.tell()
            assert len(ours._ranged._blocks) <= 6
        assert len(counted.asked) <= len(wanted)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([os.SEEK_SET, os.SEEK_CUR, os.SEEK_END]), st.integers(-300, 300)), max_size=9)
)
def test_seeking_matches_a_file(moves: list[tuple[int, int]]) -> None:
    ours, theirs = RangeFile(RangedObject(200, Counted(CONTENT[:200]))), io.BytesIO(CONTENT[:200])
    for whence, offset in moves:
        if whence == os.SEEK_SET and offset < 0:
            continue  # Python's own is an error
        assert ours.seek(offset, whence) == theirs.seek(offset, whence)
        assert ours.read(10) == theirs.read(10)


def test_whole_file_is_read_by_one_request() -> None:
    counted = Counted()

    assert RangeFile(RangedObject(len(CONTENT), counted)).read() == CONTENT
    assert RangeFile(RangedObject(len(CONTENT), counted)).readall() == CONTENT
    assert counted.asked == [(0, len(CONTENT))] * 2


@pytest.mark.usefixtures("small_blocks")
def test_neighbouring_blocks_are_merged_into_one_request() -> None:
    counted = Counted()
    ranged = RangedObject(len(CONTENT), counted)

    ranged.read_range(150, 450)
    ranged.read_range(120, 480)
    ranged.read_range(480, 520)

    assert counted.asked == [(100, 500), (500, 600)]


@pytest.mark.usefixtures("small_blocks")
def test_the_number_of_cached_blocks_is_bounded() -> None:
    counted = Counted()
    ranged = RangedObject(len(CONTENT), counted)
    for start in range(0, 5000, 100):
        ranged.read_range(start, start + 100)

    assert sum(map(len, ranged._blocks.values())) <= 600
    ranged.read_range(4900, 5000)
    assert len(counted.asked) == 50


def test_empty_read_sends_no_request() -> None:
    counted = Counted()
    file = RangeFile(RangedObject(len(CONTENT), counted))

    assert (file.read(0), file.seek(10**9), file.read(5), file.read()) == (b"", 10**9, b"", b"")
    assert RangeFile(RangedObject(0, counted)).read() == b""
    assert counted.asked == []


@pytest.mark.usefixtures("small_blocks")
def test_range_file_is_read_by_concurrent_threads() -> None:
    ranged = RangedObject(len(CONTENT), Counted())
    ranges = [(start, min(start + size, 5000)) for start in range(0, 5000, 70) for size in (30, 350)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda part: ranged.read_range(*part), ranges * 4))

    assert found == [CONTENT[start:stop] for start, stop in ranges * 4]
    assert len(ranged._blocks) <= 6


@pytest.mark.parametrize("given_bytes", [0, 50, 250])
@pytest.mark.usefixtures("small_blocks")
def test_object_shorter_than_its_size_is_an_error(given_bytes: int) -> None:
    """The object was replaced meanwhile: later ranges are of another file."""
    ranged = RangedObject(1000, lambda start, stop: CONTENT[start:stop][:given_bytes])

    with pytest.raises(OSError):
        ranged.read_range(0, 300)
    assert all(len(block) == 100 for block in ranged._blocks.values())


# fs=.


@pytest.fixture(params=["fsspec", "obstore"])
def remote(request: pytest.FixtureRequest) -> Any:
    """A filesystem or a store, with the small raster at folder/out.tif."""
    fs = RecordingFilesystem() if request.param == "fsspec" else MemoryStore()
    save_cog(small(), "folder/out.tif", fs=fs, profile_arg=PLAIN)
    return fs


def test_reader_with_fs_equals_a_reader_of_a_local_file(remote: Any, tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(expected("cog", False))
    ours, theirs = RasterioReader("folder/out.tif", fs=remote), RasterioReader(tmp_path / "out.tif")

    assert (ours.shape, ours.dtype, ours.crs, ours.transform) == (
        theirs.shape,
        theirs.dtype,
        theirs.crs,
        theirs.transform,
    )
    assert (ours.descriptions, ours.overviews(), ours.nodata) == (
        theirs.descriptions,
        theirs.overviews(),
        theirs.nodata,
    )
    np.testing.assert_array_equal(ours.load().values, theirs.load().values)
    assert ours.block_windows() == theirs.block_windows()


def test_overviews_are_read_with_fs(remote: Any, tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(expected("cog", False))
    overview = RasterioReader("folder/out.tif", fs=remote).reader_overview(0)

    assert overview.fs is remote
    np.testing.assert_array_equal(
        overview.load().values, RasterioReader(tmp_path / "out.tif").reader_overview(0).load().values
    )


def test_windows_bands_and_copies_are_read_with_fs(remote: Any) -> None:
    reader = RasterioReader("folder/out.tif", fs=remote, window_focus=Window(100, 50, 200, 300), indexes=[2])

    np.testing.assert_array_equal(reader.load().values, small().values[1:, 50:350, 100:300])
    np.testing.assert_array_equal(
        reader.read_from_window(Window(0, 0, 10, 20)).values, small().values[1:, 50:70, 100:110]
    )


def test_reader_with_fs_is_picklable(tmp_path: Path) -> None:
    save_cog(small(), str(tmp_path / "out.tif"))
    reader = RasterioReader(f"file://{tmp_path}/out.tif", fs=fsspec.filesystem("file"))

    copy = pickle.loads(pickle.dumps(reader))

    np.testing.assert_array_equal(copy.load().values, small().values)
    assert type(copy.fs) is type(reader.fs)


def test_a_reader_with_a_store_is_pickled_to_another_process(seaweed: S3Server, use_env: UseEnv) -> None:
    use_env({})
    seaweed.put("out.tif", expected("cog", False))
    store = S3Store(seaweed.bucket, access_key_id=seaweed.key, secret_access_key=seaweed.secret, region=seaweed.region,
                    endpoint=seaweed.endpoint, client_options={"allow_http": True})  # fmt: skip
    code = "import pickle, sys; print(int(pickle.load(sys.stdin.buffer).load().values.sum()))"

    run = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(RasterioReader("out.tif", fs=store)),
                         capture_output=True, check=True, timeout=60)  # fmt: skip

    assert int(run.stdout) == int(small().values.sum(dtype="int64"))


def test_reader_with_fs_is_shared_by_threads(remote: Any) -> None:
    reader = RasterioReader("folder/out.tif", fs=remote)
    windows = [Window(column, row, 100, 100) for row in range(0, 600, 100) for column in range(0, 500, 100)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(reader.read_from_window, windows))

    for window, tensor in zip(windows, found, strict=True):
        np.testing.assert_array_equal(tensor.values, small().values[(slice(None), *window.toslices())])


def test_raster_read_with_fs_is_saved(remote: Any, tmp_path: Path) -> None:
    save_cog(RasterioReader("folder/out.tif", fs=remote), tmp_path / "copy.tif", profile_arg=PLAIN)
    save_cog(RasterioReader("folder/out.tif", fs=remote), "folder/copy.tif", fs=remote, profile_arg=PLAIN)

    assert (tmp_path / "copy.tif").read_bytes() == expected("cog", False)
    assert RasterioReader("folder/copy.tif", fs=remote).shape == small().shape


def test_large_raster_read_with_fs_is_saved(tmp_path: Path) -> None:
    fs = RecordingFilesystem()
    save_cog(large(), "large.tif", fs=fs, profile_arg=PLAIN)

    save_cog(RasterioReader("large.tif", fs=fs), tmp_path / "copy.tif", max_memory="64MiB", profile_arg=PLAIN)

    assert (tmp_path / "copy.tif").read_bytes() == expected("cog", True)
    fs.store.clear()


def test_metadata_take_few_requests() -> None:
    fs = RecordingFilesystem()
    save_cog(large(), "large.tif", fs=fs)

    RasterioReader("large.tif", fs=fs)

    assert fs.reads <= 3
    fs.store.clear()


def test_load_file_reads_with_fs(remote: Any) -> None:
    np.testing.assert_array_equal(GeoTensor.load_file("folder/out.tif", fs=remote).values, small().values)


def test_a_missing_object_is_a_read_error_by_either_client(remote: Any) -> None:
    for read in (lambda: RasterioReader("none.tif", fs=remote), lambda: GeoTensor.load_file("none.tif", fs=remote)):
        with pytest.raises(ReadError, match=r"none\.tif"):
            read()


@pytest.mark.parametrize("fs", ["s3", object()], ids=["text", "object"])
def test_an_object_that_is_not_a_filesystem_is_refused(fs: Any) -> None:
    with pytest.raises(ReadError, match="pass a filesystem of fsspec"):
        RasterioReader("out.tif", fs=fs)


def test_an_object_that_is_not_a_raster_is_a_read_error(remote: Any) -> None:
    if isinstance(remote, MemoryStore):
        obstore.put(remote, "text.tif", b"no raster")
    else:
        remote.pipe("text.tif", b"no raster")

    with pytest.raises(ReadError, match=r"text\.tif"):
        RasterioReader("text.tif", fs=remote)


#: Run by itself: what goes wrong in GDAL's callbacks may end the process.
FAILING = """
import sys
sys.path.insert(0, sys.argv[1])
from recording_filesystem import RecordingFilesystem
from georeader import RasterioReader, save_cog
from georeader.errors import ReadError
from georeader._storage import range_file
from sink_contract import small
range_file.BLOCK_BYTES = 32 * 1024
fs, reads, kind = RecordingFilesystem(), int(sys.argv[2]), sys.argv[3]
fs.error = KeyboardInterrupt("the cable was cut") if kind == "KeyboardInterrupt" else OSError("the cable was cut")
save_cog(small(), "small.tif", fs=fs)
reader = RasterioReader("small.tif", fs=fs)
for act in (reader.load, lambda: save_cog(reader, "never.tif"), lambda: RasterioReader("small.tif", fs=fs)):
    fs.fails_after = fs.reads + reads
    try:
        act()
    except (ReadError, KeyboardInterrupt) as error:
        assert "the cable was cut" in str(error), error
        print(type(error).__name__)
fs.fails_after = 10**9
assert (reader.load().values == small().values).all()
"""


@pytest.mark.parametrize(("kind", "raised"), [("OSError", "ReadError"), ("KeyboardInterrupt", "KeyboardInterrupt")])
@pytest.mark.parametrize("reads", [0, 3])
def test_failing_read_is_an_error_without_a_crash(reads: int, kind: str, raised: str, tmp_path: Path) -> None:
    """rasterio ends the process where a callback of GDAL's raises."""
    run = subprocess.run([sys.executable, "-c", FAILING, str(SUPPORT), str(reads), kind], cwd=tmp_path,
                         capture_output=True, text=True, check=False, timeout=100)  # fmt: skip

    assert (run.returncode, run.stderr) == (0, "")
    assert set(run.stdout.split()) == {raised}
    assert len(run.stdout.split()) >= 2
    assert os.listdir(tmp_path) == []


@pytest.fixture(scope="module")
def scattered(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A TIFF with overviews and tags at its end, far from the header."""
    path = tmp_path_factory.mktemp("scattered") / "out.tif"
    values = np.random.default_rng(5).integers(1, 2000, (1, 1024, 1024)).astype("uint16")
    profile = {"driver": "GTiff", "count": 1, "height": 1024, "width": 1024, "dtype": "uint16", "tiled": True}
    place = {"blockxsize": 256, "blockysize": 256, "crs": 32630, "transform": Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(path, "w", **profile, **place) as dataset:
        dataset.write(values)
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4], Resampling.nearest)
        dataset.write_mask(np.indices((1024, 1024)).sum(axis=0) % 7 > 0)
        dataset.update_tags(note="at the end" * 1000)
    return path.read_bytes()


def everything(fs: Any) -> list[Any]:
    """Read all properties and pixels of a raster."""
    reader = RasterioReader("scattered.tif", fs=fs)
    overview = reader.reader_overview(0)
    return [reader.shape, reader.tags(), reader.overviews(), reader.has_mask, reader.load().values.sum(dtype="int64"),
            overview.load().values.sum(dtype="int64")]  # fmt: skip


def test_any_failing_request_gives_an_error_or_correct_values(scattered: bytes) -> None:
    """GDAL itself takes directories that it cannot read for missing ones."""
    fs = RecordingFilesystem()
    fs.pipe("scattered.tif", scattered)
    truth = everything(fs)
    requests, lies = fs.reads, {}

    for request in range(requests):
        fs.reads, fs.fails_after = 0, request
        try:
            found = everything(fs)
        except ReadError:
            continue
        if found != truth:
            lies[request] = found

    fs.store.clear()
    assert requests > 5
    assert lies == {}


# By the environment.


@pytest.mark.parametrize(
    "key",
    ["out.tif", "a b.tif", "späte Ärzte.tif", "100%.tif", "what?.tif", "a#b.tif", "a+b=c.tif", "a%20b.tif", "a//b.tif",
     "a'b.tif", "(a)[b]{c}.tif", "a&b;c,d.tif", "no_suffix"],
)  # fmt: skip
def test_keys_of_s3_are_kept_unchanged(key: str, seaweed: S3Server, use_env: UseEnv) -> None:
    use_env(seaweed.env())
    own = f"{secrets.token_hex(4)}/{key}"
    save_cog(small(), seaweed.url(own), profile_arg=PLAIN)

    reader = RasterioReader(seaweed.url(own))

    assert seaweed.get(own) == expected("cog", False)
    np.testing.assert_array_equal(reader.load().values, small().values)
    assert reader.name == seaweed.url(own)
    assert key in repr(reader)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("suffix", ["", "/"])
def test_s3_is_read_with_variables_of_aws_only(name: str, suffix: str, seaweed: S3Server, use_env: UseEnv) -> None:
    env = {key: value for key, value in seaweed.env().items()
           if key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")}  # fmt: skip
    use_env(env | {name: seaweed.endpoint + suffix})
    url = seaweed.url(f"{secrets.token_hex(4)}/out.tif")

    save_cog(small(), url, profile_arg=PLAIN)

    np.testing.assert_array_equal(RasterioReader(url).load().values, small().values)


def test_endpoint_variable_of_s3_takes_precedence(seaweed: S3Server, moto: MotoServer, use_env: UseEnv) -> None:
    env = {key: value for key, value in seaweed.env().items() if not key.startswith("AWS_S3") and key != "AWS_HTTPS"}
    use_env(env | {"AWS_ENDPOINT_URL": moto.endpoint, "AWS_ENDPOINT_URL_S3": seaweed.endpoint})
    key = f"{secrets.token_hex(4)}/out.tif"

    save_cog(small(), seaweed.url(key))

    assert (seaweed.exists(key), moto.exists(key)) == (True, False)
    assert RasterioReader(seaweed.url(key)).shape == small().shape


def azures_environments(azurite: AzureServer) -> dict[str, dict[str, str]]:
    own = {"AZURE_ALLOW_HTTP": "true", "AZURE_STORAGE_ENDPOINT": azurite.endpoint}
    return {
        "connection string": {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string},
        "account and key": own | {"AZURE_STORAGE_ACCOUNT": azurite.account, "AZURE_STORAGE_KEY": azurite.key},
        "azure's other names": own | {"AZURE_STORAGE_ACCOUNT_NAME": azurite.account,
                                      "AZURE_STORAGE_ACCOUNT_KEY": azurite.key},
    }  # fmt: skip


@pytest.mark.parametrize("how", ["connection string", "account and key", "azure's other names"])
@pytest.mark.parametrize("scheme", ["az", "abfs", "abfss"])
def test_azure_is_read_with_environment_variables(how: str, scheme: str, azurite: AzureServer, use_env: UseEnv) -> None:
    use_env(azures_environments(azurite)[how])
    url = f"{scheme}://{azurite.container}/{secrets.token_hex(4)}/späte Ärzte.tif"

    save_cog(small(), url, profile_arg=PLAIN)

    reader = RasterioReader(url)
    np.testing.assert_array_equal(reader.load().values, small().values)
    assert reader.name == url
    np.testing.assert_array_equal(reader.reader_overview(0).load().values.shape, (2, 300, 250))


@pytest.mark.parametrize("prefix", ["http://", "/vsicurl/http://", "HTTP://"])
def test_http_url_is_read(prefix: str, nginx: WebServer, use_env: UseEnv) -> None:
    use_env(nginx.env())
    name = f"{secrets.token_hex(4)}/a b.tif"
    nginx.put(name, expected("cog", False))

    url = prefix + nginx.url(name).removeprefix("http://")

    np.testing.assert_array_equal(RasterioReader(url).load().values, small().values)


def test_a_url_of_fsspec_is_read(use_env: UseEnv) -> None:
    use_env({})
    memory = fsspec.filesystem("memory")
    memory.pipe("/reading/out.tif", expected("cog", False))

    for url in ("memory://reading/out.tif", "MEMORY://reading/out.tif"):
        np.testing.assert_array_equal(RasterioReader(url).load().values, small().values)
    memory.rm("/reading", recursive=True)


def test_chained_url_of_fsspec_is_read(use_env: UseEnv, nginx: WebServer) -> None:
    use_env(nginx.env())
    name = f"{secrets.token_hex(4)}/out.tif"
    nginx.put(name, expected("cog", False))

    reader = RasterioReader(f"simplecache::{nginx.url(name)}")

    np.testing.assert_array_equal(reader.load().values, small().values)


@pytest.mark.parametrize("url", ["s3://", "s3://bucket", "az://container/", "http://", "nonsense://host/a.tif",
                                 "nonsense::memory://a.tif"])  # fmt: skip
def test_invalid_url_is_a_read_error(url: str, use_env: UseEnv) -> None:
    use_env({})

    with pytest.raises(ReadError) as caught:
        RasterioReader(url)

    assert url.partition("/")[0] in str(caught.value)
    assert isinstance(caught.value, GeoreaderError)
