"""Selection of the sink by path, fs and installed packages; and pitfalls of other libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import aiohttp
import fsspec
import obstore
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from obstore.store import AzureStore, LocalStore, MemoryStore, S3Store

from georeader import CogWriter, RasterioReader, save_cog, save_tiled_geotiff
from georeader._export.sinks import opening
from georeader._export.sinks.multipart import SENDERS, EvenParts
from georeader._export.sinks.opening import open_sink
from georeader._export.sinks.spooled import SpooledSink
from georeader._storage.urls import Destination
from georeader.errors import DestinationError, GeoreaderError, MissingExtraError, NotSupportedError, OptionError
from georeader.save import REMOTE_FILE_EXTENSIONS
from part_store import PartStore
from servers.azurite import AzureServer
from servers.fake_gcs import GcsServer
from servers.moto_server import MotoServer
from servers.nginx import WebServer
from servers.s3 import S3Server
from sink_contract import EARLIER, PLAIN, Lazy, expected, small

UseEnv = Callable[[dict[str, str]], None]

#: Variables with which the clouds' tools make a client; no request is sent.
VARIABLES = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AZURE_STORAGE_ACCOUNT": "me",
             "AZURE_STORAGE_KEY": "c2VjcmV0", "GOOGLE_BEARER_TOKEN": "token", "NO_PROXY": "*"}  # fmt: skip


class Recorder(MemoryFileSystem):
    """A filesystem that records what is put."""

    protocol = "recorder"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    cachable = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.put_as: list[str] = []

    def mv(self, path1: str, path2: str, *args: Any, **options: Any) -> None:
        self.put_as.append(path2)
        super().mv(path1, path2, *args, **options)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that hides all optional packages but the named ones."""

    def only(*names: str) -> None:
        optional = {"boto3", "botocore", "obstore"} - set(names)
        find_spec = opening.find_spec
        monkeypatch.setattr(opening, "find_spec", lambda name: None if name in optional else find_spec(name))

    return only


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch, use_env: UseEnv) -> None:
    """Replace the requests that sinks send to their stores."""
    use_env(VARIABLES)
    from georeader._export.sinks import fsspec_put, http_put, obstore_put, s3_parts

    for kind in (fsspec_put.FsspecPut, http_put.HttpPut, obstore_put.ObstorePut, s3_parts.S3Object):
        monkeypatch.setattr(kind, "check", lambda self: None)


def way(path: Any, **options: Any) -> str:
    """Return the sink of a destination, and its store."""
    sink = open_sink(Destination(path, **options))
    inner = getattr(sink, "_target", None) or getattr(sink, "_store", None)
    return type(sink).__name__ + (f" {type(inner).__name__}" if inner is not None else "")


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    ("path", "packages", "expected_way"),
    [
        ("out.tif", "", "LocalSink"),
        ("file:///tmp/out.tif", "", "LocalSink"),
        ("local:///tmp/out.tif", "", "LocalSink"),
        (Path("out.tif"), "", "LocalSink"),
        (b"out.tif", "", "LocalSink"),
        ("s3.tif", "boto3 botocore obstore", "LocalSink"),
        ("s3://bucket/out.tif", "boto3 botocore obstore", "PartedSink S3Object"),
        ("s3a://bucket/out.tif", "boto3 botocore obstore", "PartedSink S3Object"),
        ("s3://bucket/out.tif", "obstore", "PartedSink S3Object"),
        ("gs://bucket/out.tif", "obstore", "SpooledSink ObstorePut"),
        ("gcs://bucket/out.tif", "obstore", "SpooledSink ObstorePut"),
        ("az://container/out.tif", "obstore", "SpooledSink ObstorePut"),
        ("abfs://container/out.tif", "obstore", "SpooledSink ObstorePut"),
        ("abfss://data@me.dfs.core.windows.net/out.tif", "obstore", "SpooledSink ObstorePut"),
        ("abfss://data@me.dfs.core.windows.net/out.tif", "", "SpooledSink FsspecPut"),
        ("http://host/out.tif", "", "SpooledSink HttpPut"),
        ("https://host/out.tif", "obstore", "SpooledSink HttpPut"),
        ("memory://out.tif", "", "SpooledSink FsspecPut"),
        ("simplecache::memory://out.tif", "", "SpooledSink FsspecPut"),
    ],
)
def test_sink_is_selected_by_path_and_installed_packages(
    path: Any, packages: str, expected_way: str, installed: Callable[..., None]
) -> None:
    installed(*packages.split())

    assert way(path) == expected_way


@pytest.mark.usefixtures("silent")
def test_file_object_is_spooled() -> None:
    assert way(BytesIO()) == "SpooledSink FileObject"


@pytest.mark.usefixtures("silent")
def test_oss_is_saved_by_ossfs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSS_ENDPOINT", "http://127.0.0.1:1")

    assert way("oss://bucket/out.tif") == "SpooledSink FsspecPut"


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("prefix", [*REMOTE_FILE_EXTENSIONS, *map(str.upper, REMOTE_FILE_EXTENSIONS)])
def test_every_remote_prefix_is_remote(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSS_ENDPOINT", "http://127.0.0.1:1")

    assert way(f"{prefix}bucket/folder/out.tif") != "LocalSink"


def test_prefixes_equal_those_of_the_documentation() -> None:
    assert REMOTE_FILE_EXTENSIONS == ["gs://", "s3://", "az://", "abfs://", "oss://", "http://", "https://"]


# By fs.


@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
@pytest.mark.parametrize("path", [*(f"{prefix}bucket/out.tif" for prefix in REMOTE_FILE_EXTENSIONS), "bucket/out.tif",
                                  "/bucket/out.tif", "recorder://bucket/out.tif"])  # fmt: skip
def test_fs_is_used_for_any_scheme_of_the_path(path: str, save: Any) -> None:
    fs = Recorder()

    save(small(), path, fs=fs, profile_arg=PLAIN)

    assert len(fs.put_as) == 1
    assert fs.put_as[0].endswith("bucket/out.tif")
    assert fs.cat(fs.put_as[0]) == expected("cog" if save is save_cog else "tiled", False)
    fs.store.clear()


def test_fs_is_used_by_a_writer_and_a_reader() -> None:
    fs = Recorder()
    with CogWriter("s3://bucket/out.tif", like=small(), fs=fs, profile_arg=PLAIN) as writer:
        writer.write(small())

    assert fs.cat(fs.put_as[0]) == expected("cog", False)
    assert RasterioReader("s3://bucket/out.tif", fs=fs).shape == small().shape
    fs.store.clear()


def test_path_object_is_accepted_with_fs() -> None:
    fs = Recorder()

    save_cog(small(), PurePosixPath("bucket/out.tif"), fs=fs)

    assert fs.put_as == ["/bucket/out.tif"]
    fs.store.clear()


@pytest.mark.parametrize("prefix", ["", "file://", "local://"])
def test_fs_of_local_files_is_a_local_sink(prefix: str, tmp_path: Path) -> None:
    assert way(f"{prefix}{tmp_path}/out.tif", fs=LocalFileSystem()) == "LocalSink"


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    ("fs", "expected_way"),
    [
        (MemoryStore(), "SpooledSink ObstorePut"),
        (S3Store("bucket"), "SpooledSink ObstorePut"),
        (DirFileSystem("/tmp", LocalFileSystem()), "SpooledSink FsspecPut"),
        (Recorder(), "SpooledSink FsspecPut"),
    ],
    ids=["MemoryStore", "S3Store", "DirFileSystem", "Recorder"],
)
def test_sink_is_selected_by_the_type_of_fs(fs: Any, expected_way: str) -> None:
    assert way("s3://bucket/out.tif", fs=fs) == expected_way


@pytest.mark.parametrize("fs", ["s3", 3, BytesIO(), object, {"key": "hunter22"}],
                         ids=["text", "number", "file", "class", "options"])  # fmt: skip
def test_an_object_that_is_not_a_filesystem_is_refused(fs: Any) -> None:
    with pytest.raises(DestinationError, match=r"pass a filesystem of fsspec .* or a store of obstore") as caught:
        save_cog(small(), "out.tif", fs=fs)

    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    ("store", "bucket"),
    [(lambda: S3Store("mine"), "s3://"), (lambda: AzureStore("mine", account_name="me"), "az://")],
    ids=["S3", "Azure"],
)
def test_a_store_of_another_bucket_is_refused(store: Any, bucket: str) -> None:
    with pytest.raises(DestinationError, match=r"names the bucket 'yours', but fs is a store of 'mine'"):
        save_cog(small(), f"{bucket}yours/out.tif", fs=store())


@pytest.mark.parametrize("path", ["s3://mine/folder/out.tif", "folder/out.tif", "/folder/out.tif"])
def test_a_store_takes_keys_and_its_own_urls(path: str) -> None:
    from georeader._storage.obstores import key_in
    from georeader._storage.urls import parse_address

    assert key_in(S3Store("mine"), path, parse_address(path)) == "folder/out.tif"


@pytest.mark.parametrize("path", ["folder/", "/", "memory://", ""])
@pytest.mark.parametrize("fs", [Recorder(), MemoryStore()], ids=["fsspec", "obstore"])
def test_folder_as_destination_is_refused(path: str, fs: Any) -> None:
    with pytest.raises(DestinationError, match=r"folder/out\.tif|'out\.tif'|is empty"):
        save_cog(small(), path, fs=fs)


def test_path_with_its_own_filesystem_is_saved_by_it(tmp_path: Path) -> None:
    """As universal_pathlib's UPath: its text alone has no credentials."""

    class Universal:
        def __init__(self, fs: Any, path: str) -> None:
            self.fs, self.path = fs, path

        def __fspath__(self) -> str:
            raise AssertionError("its text was taken")

    fs = Recorder()

    save_cog(small(), Universal(fs, "/bucket/out.tif"), profile_arg=PLAIN)
    save_cog(small(), Universal(LocalFileSystem(), str(tmp_path / "out.tif")), profile_arg=PLAIN)

    assert fs.put_as == ["/bucket/out.tif"]
    assert (tmp_path / "out.tif").read_bytes() == fs.cat("/bucket/out.tif") == expected("cog", False)
    fs.store.clear()


# What goes nowhere.


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        (Path("s3://bucket/out.tif"), NotSupportedError, "pass URLs as str"),
        (Path("https://host/out.tif"), NotSupportedError, "pass URLs as str"),
        ("/vsis3/bucket/out.tif", NotSupportedError, "pass the URL, such as s3://bucket/key.tif"),
        ("/vsicurl/http://host/out.tif", NotSupportedError, "pass the URL"),
        ("nonsense://host/out.tif", DestinationError, "not a protocol of fsspec; pass a filesystem by fs"),
        ("nonsense::memory://out.tif", DestinationError, "not a protocol of fsspec"),
        ("s3://bucket", DestinationError, "such a URL reads s3://bucket/folder/out.tif"),
        ("http://", DestinationError, "such a URL reads http://host/folder/out.tif"),
        ("", DestinationError, "is empty; name a file"),
        (None, DestinationError, "not a path; pass a str, an os.PathLike, or an object open for binary writing"),
        (3, DestinationError, "not a path; pass a str"),
        ("a\ud800.tif", DestinationError, "is not UTF-8"),
        ("a\0.tif", DestinationError, "cannot be a path here"),
        ("/nowhere/at/all/out.tif", DestinationError, "is missing; create it first"),
    ],
    ids=repr,
)
def test_invalid_destination_is_an_error_with_advice(path: Any, kind: type[GeoreaderError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        save_cog(small(), path)

    assert "\n" not in str(caught.value)


def test_unknown_protocol_of_a_chain_is_named() -> None:
    with pytest.raises(DestinationError, match=r"nonsense:: is not a protocol|nonsense(://)? is not a protocol"):
        save_cog(small(), "nonsense::memory://out.tif")


def test_errors_of_malformed_urls_show_no_secret() -> None:
    for path in (Path("https://me:hunter22@host/out.tif"), "/vsicurl/https://me:hunter22@host/out.tif",
                 "https://me:hunter22@host\ud800/out.tif", "nonsense::http://me:hunter22@host/out.tif"):  # fmt: skip
        with pytest.raises(GeoreaderError) as caught:
            save_cog(small(), path)
        assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("path", ["out.tif", "s3://bucket/out.tif", "memory://out.tif"])
def test_http_headers_are_refused_without_http(path: str) -> None:
    with pytest.raises(OptionError, match="http_headers go with http:// and https:// alone"):
        save_cog(small(), path, http_headers={"Authorization": "Bearer hunter22"})


@pytest.mark.parametrize("headers", ["A: b", [("A", "b")], {"A": 1}, {1: "a"}, {"A": "b\r\nC: d"}, {"A\n": "b"}],
                         ids=["text", "list", "number", "number as name", "two lines", "name of two"])  # fmt: skip
def test_http_headers_must_be_text_without_line_breaks(headers: Any) -> None:
    with pytest.raises(OptionError, match=r"pass a mapping|pass str for names and values"):
        save_cog(small(), "http://host/out.tif", http_headers=headers)


# What is not installed.


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make imports of packages fail, and clear fsspec's registry."""
    import importlib

    registry = importlib.import_module("fsspec.registry")
    for name in list(sys.modules):
        if name.partition(".")[0] in packages:
            monkeypatch.setitem(sys.modules, name, None)
    for name in packages:
        monkeypatch.setitem(sys.modules, name, None)
    for protocol, kind in list(registry._registry.items()):
        if kind.__module__.partition(".")[0] in packages or kind.__module__ in packages:
            monkeypatch.delitem(registry._registry, protocol)


@pytest.mark.parametrize(
    ("path", "package", "message"),
    [
        ("s3://bucket/out.tif", "botocore", r"pip install botocore \(it comes with georeader-cog's extra 'cloud'\)"),
        ("gs://bucket/out.tif", "gcsfs", r"pip install obstore \(it comes with .* extra 'cloud'\), or gcsfs"),
        ("az://container/out.tif", "adlfs", r"pip install obstore \(it comes with .* extra 'cloud'\), or adlfs"),
        ("abfs://container/out.tif", "adlfs", r"pip install obstore"),
        ("oss://bucket/out.tif", "ossfs", "pip install ossfs"),
        ("sftp://host/out.tif", "paramiko", "paramiko"),
        ("simplecache::s3://bucket/out.tif", "s3fs", "s3fs"),
    ],
)
@pytest.mark.usefixtures("silent")
def test_a_missing_package_is_named(
    path: str, package: str, message: str, installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed()
    hide(monkeypatch, package, *(["fsspec.implementations.sftp"] if package == "paramiko" else []))

    with pytest.raises(MissingExtraError, match=message) as caught:
        save_cog(small(), path)

    assert path in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ImportError)


#: Packages that are not needed to save to a disk.
HEAVY = ["boto3", "botocore", "obstore", "s3fs", "gcsfs", "adlfs", "ossfs", "aiohttp", "aiobotocore", "paramiko",
         "azure", "google", "fsspec", "requests"]  # fmt: skip

#: What rasterio itself imports, boto3 among it, is none of our doing.
IMPORTS = """
import json, sys
import rasterio
before = set(sys.modules)
from io import BytesIO
import numpy as np
import georeader
from affine import Affine
gt = georeader.GeoTensor(np.ones((1, 64, 64), "uint8"), Affine(10, 0, 0, 0, -10, 0), "EPSG:32630", 0)
georeader.save_cog(gt, "out.tif")
georeader.save_cog(gt, "file://" + sys.argv[1] + "/url.tif")
georeader.save_cog(gt, BytesIO())
georeader.RasterioReader("out.tif").load()
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_local_save_imports_no_client_of_stores(tmp_path: Path) -> None:
    run = [sys.executable, "-c", IMPORTS, str(tmp_path)]
    found = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout

    assert set(json.loads(found)) & set(HEAVY) == set()


# Stores with ways of their own.


@pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
def test_even_parts_have_equal_sizes(is_large: bool) -> None:
    """As Cloudflare's R2 wants them: all but the last."""
    part_store = PartStore()
    sizes: dict[int, int] = {}
    send = part_store.send

    def noted(upload: str, number: int, body: Any) -> int:
        sizes[number] = len(body)
        return send(upload, number, body)

    part_store.send = noted  # type: ignore[method-assign]
    with SpooledSink(EvenParts(part_store)) as sink:
        content = expected("cog", is_large) + bytes(64 * 2**20 if is_large else 0)
        sink.write_header(content)
        sink.commit()

    assert part_store.content == content
    assert len({sizes[number] for number in sorted(sizes)[:-1]}) <= 1
    assert sorted(sizes) == list(range(1, len(sizes) + 1))
    assert part_store.most_at_once <= SENDERS
    assert part_store.asked["put"] == (0 if is_large else 1)


@pytest.mark.parametrize("fails_at", ["send 1", "send 3", "complete 1"])
def test_an_upload_of_even_parts_that_fails_is_aborted(fails_at: str) -> None:
    part_store = PartStore(fails_at=fails_at)

    with pytest.raises(GeoreaderError, match="the store broke"), SpooledSink(EvenParts(part_store)) as sink:
        sink.write_header(bytes(64 * 2**20))
        sink.commit()

    assert (part_store.uploads, part_store.content) == ({}, None)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    ("endpoint", "expected_way"),
    [
        ("https://me.r2.cloudflarestorage.com", "SpooledSink EvenParts"),
        ("https://me.eu.r2.cloudflarestorage.com", "SpooledSink EvenParts"),
        ("https://minio.example", "PartedSink S3Object"),
        ("https://nor2.cloudflarestorage.com.example", "PartedSink S3Object"),
    ],
)
def test_endpoints_of_r2_use_even_parts(endpoint: str, expected_way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    fs = fsspec.filesystem("s3", endpoint_url=endpoint, key="k", secret="s", skip_instance_cache=True)

    assert way("s3://bucket/out.tif") == expected_way
    assert way("s3://bucket/out.tif", fs=fs) == expected_way


# The traps, on the libraries themselves, and that a save does not fall into them.


def left_by_an_exception(open_file: Callable[[], Any]) -> None:
    """Leave a file that is open for writing by an exception, as save_cog(gt, file) would on an error."""
    with pytest.raises(ZeroDivisionError), open_file() as file:
        file.write(b"a part of it")
        raise ZeroDivisionError


def save_fails(path: str, fs: Any) -> None:
    """Fail in the middle of a save."""
    with pytest.raises(GeoreaderError, match="the cable was cut"):
        save_cog(Lazy(small(), OSError("the cable was cut"), 500), path, fs=fs)


def test_failing_save_by_s3fs_publishes_nothing(seaweed: S3Server, use_env: UseEnv) -> None:
    use_env(seaweed.env())
    fs = fsspec.filesystem("s3", skip_instance_cache=True)
    seaweed.put("trap.tif", EARLIER)
    seaweed.put("out.tif", EARLIER)

    left_by_an_exception(lambda: fs.open(f"{seaweed.bucket}/trap.tif", "wb"))
    save_fails(seaweed.url("out.tif"), fs)

    assert seaweed.get("trap.tif") == b"a part of it"
    assert seaweed.get("out.tif") == EARLIER


def test_failing_save_by_adlfs_publishes_nothing(azurite: AzureServer, use_env: UseEnv) -> None:
    use_env({})
    fs = fsspec.filesystem("abfs", connection_string=azurite.connection_string, skip_instance_cache=True)
    azurite.put("trap.tif", EARLIER)
    azurite.put("out.tif", EARLIER)

    left_by_an_exception(lambda: fs.open(f"{azurite.container}/trap.tif", "wb"))
    save_fails(azurite.url("out.tif"), fs)

    assert azurite.get("trap.tif") == b"a part of it"
    assert azurite.get("out.tif") == EARLIER


def test_failing_save_by_gcsfs_publishes_nothing(fake_gcs: GcsServer, use_env: UseEnv) -> None:
    use_env(fake_gcs.env())
    fs = fsspec.filesystem("gcs", token="anon", endpoint_url=fake_gcs.endpoint, skip_instance_cache=True)
    fake_gcs.put("out.tif", EARLIER)

    left_by_an_exception(lambda: fs.open(f"{fake_gcs.bucket}/trap.tif", "wb"))
    save_fails(fake_gcs.url("out.tif"), fs)

    assert fake_gcs.get("trap.tif") == b"a part of it"
    assert fake_gcs.get("out.tif") == EARLIER


def test_failing_save_by_obstores_filesystem_publishes_nothing(moto: MotoServer, use_env: UseEnv) -> None:
    from obstore.fsspec import FsspecStore

    use_env(moto.env())
    fs = FsspecStore("s3", config={"endpoint": moto.endpoint, "access_key_id": moto.key, "region": moto.region,
                                   "secret_access_key": moto.secret},
                     client_options={"allow_http": True}, skip_instance_cache=True)  # fmt: skip
    moto.put("out.tif", EARLIER)

    left_by_an_exception(lambda: fs.open(f"{moto.bucket}/trap.tif", "wb"))
    save_fails(moto.url("out.tif"), fs)

    assert moto.get("trap.tif") == b"a part of it"
    assert moto.get("out.tif") == EARLIER
    save_cog(small(), moto.url("out.tif"), fs=fs, profile_arg=PLAIN)
    assert moto.get("out.tif") == expected("cog", False)


def test_save_by_fsspecs_http_filesystem_uses_put(nginx: WebServer, use_env: UseEnv) -> None:
    """Its `put_file` POSTs in chunks by default, and does not accept overwrite=True."""
    use_env(nginx.env())
    fs = fsspec.filesystem("http", skip_instance_cache=True)
    url = nginx.url("out.tif")

    with pytest.raises(NotImplementedError):
        fs.open(url, "wb")
    with pytest.raises((OSError, aiohttp.ClientError)):
        fs.put_file(__file__, url)
    with pytest.raises(TypeError, match="overwrite"):
        fs.put_file(__file__, url, method="put", overwrite=True)
    for overwrite in (False, True):
        save_cog(small(), url, fs=fs, overwrite=overwrite, profile_arg=PLAIN)

    assert nginx.get("out.tif") == expected("cog", False)


def test_local_store_of_obstore_is_written_atomically(tmp_path: Path) -> None:
    (tmp_path / "out.tif").write_bytes(EARLIER)

    save_fails("out.tif", LocalStore(str(tmp_path)))

    assert bytes(obstore.get(LocalStore(str(tmp_path)), "out.tif").bytes()) == EARLIER
