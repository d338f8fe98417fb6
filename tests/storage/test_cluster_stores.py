"""Saves by a cluster to stores: the bytes of a local file, parts that S3 takes, and no upload left open."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from cluster_blocks import set_blocks
from cluster_rasters import Painter, difference, geodata, same_receipt, update_environment, visited
from cluster_stores import (
    EARLIER,
    LAST_CHUNK,
    PAINTER,
    PLAIN,
    Bucket,
    assert_parts_are_large_enough,
    large,
    number_of,
    set_small_parts,
)
from dask_cluster import StartCluster
from fault_cases import COMPLETE, CREATE, FIRST_PART, SECOND_PART
from fault_places import Front, Maker
from faults.answers import s3_error
from faults.kinds import ResetAfter, ResetBeforeAnswer
from faults.proxy import Fault, FaultProxy
from georeader import save_cog, save_tiled_geotiff
from georeader._export.plan import cluster_plan
from georeader.errors import (
    DestinationError,
    ExistsError,
    FillValueWarning,
    GeoreaderError,
    ReadError,
    WriteError,
)
from part_store import MIB
from servers.nginx import WebServer
from servers.s3 import S3Server

pytest.importorskip("distributed", reason="distributed is not installed")
cluster_watch = pytest.importorskip("cluster_watch")

pytestmark = [
    pytest.mark.server,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

UseEnv = Callable[[dict[str, str]], None]

SMALL = Painter((2, 600, 700), "uint16")

#: So many rows that runs of `LONG_RUN_BYTES` are sent as parts, but for their ends.
TALL, LONG_RUN_BYTES = Painter((3, 3072, 2048), "uint16"), 19 * MIB

USUAL_BYTES = {name: getattr(cluster_plan, name) for name in ("BLOCK_BYTES", "RUN_BYTES", "INLINE_BYTES", "PART_BYTES")}


def thorough(*values: Any) -> Any:
    """Return a row of a table that only `make test-thorough` has."""
    return pytest.param(*values, marks=pytest.mark.thorough)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    set_small_parts(monkeypatch)


@dataclass(frozen=True)
class Local:
    """A file of a local save, and its receipt."""

    content: bytes
    receipt: Any


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Local]:
    """Return a function that saves locally, the same raster once."""
    folder, found = tmp_path_factory.mktemp("local"), {}

    def save(painter: Painter = PAINTER, save: Any = save_cog, **profile_arg: Any) -> Local:
        key = repr((painter, save.__name__, profile_arg))
        if key not in found:
            path = folder / f"{len(found)}.tif"
            receipt = save(large(painter), path, profile_arg=profile_arg or PLAIN, client=False)
            found[key] = Local(path.read_bytes(), receipt)
        return found[key]

    return save


@pytest.fixture
def front_of(
    request: pytest.FixtureRequest, start_s3_workers: Callable[[], Any], use_env: UseEnv, s3_env: dict[str, str]
) -> Iterator[Callable[[str], Front]]:
    """Return a function that makes a destination, and passes its variables to the workers for the test."""
    with ExitStack() as stack:

        def make(destination: str) -> Front:
            front = Maker(request, use_env, stack).make(destination)
            client = start_s3_workers()
            client.run(update_environment, variables())
            stack.callback(client.run, update_environment, s3_env)
            return front

        yield make


def variables() -> dict[str, str]:
    names = ("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR_HOST", "NO_PROXY", "no_proxy")
    return {name: value for name, value in os.environ.items() if name.startswith(names)}


# The object.


def test_object_in_s3_equals_the_local_file(bucket: Bucket, local: Callable[..., Local]) -> None:
    receipt = save_cog(large(), bucket.url, client=bucket.client, profile_arg=PLAIN)

    assert difference(bucket.content() or b"", local().content) == ""
    assert same_receipt(receipt, local().receipt)
    assert receipt.path == bucket.url
    assert bucket.server.open_uploads() == []


@pytest.mark.parametrize(
    ("destination", "painter"),
    [
        ("s3fs", PAINTER),
        thorough("s3-store", PAINTER),
        ("azure", PAINTER),
        ("adlfs", SMALL),
        thorough("adlfs", PAINTER),
        ("gcs", SMALL),
        thorough("gcs", PAINTER),
        ("gcsfs", SMALL),
        thorough("gcsfs", PAINTER),
        ("http", PAINTER),
        ("sas", SMALL),
        thorough("azure", SMALL),
        thorough("http", SMALL),
    ],
    ids=lambda value: value if isinstance(value, str) else "small" if value is SMALL else "large",
)
def test_object_equals_the_local_file(
    destination: str,
    painter: Painter,
    front_of: Callable[[str], Front],
    start_s3_workers: Callable[[], Any],
    local: Callable[..., Local],
) -> None:
    front = front_of(destination)

    receipt = save_cog(large(painter), front.url, fs=front.fs, client=start_s3_workers(), profile_arg=PLAIN)

    assert difference(front.content() or b"", local(painter).content) == ""
    assert same_receipt(receipt, local(painter).receipt)
    assert front.open_uploads() == []


@pytest.mark.parametrize("destination", ["http", "s3"])
def test_warnings_of_a_save_are_those_of_a_local_save(
    destination: str, front_of: Callable[[str], Front], start_s3_workers: Callable[[], Any], tmp_path: Path
) -> None:
    """One worker sends to a store that takes bytes in order only, and has the warnings of the save."""
    front, client = front_of(destination), start_s3_workers()
    painter = Painter((1, 1200, 1300), "float32", is_blank=True)

    with pytest.warns(FillValueWarning, match=r"NaN pixels in band 1 beside nodata=-1\.0") as expected:
        save_cog(large(painter), tmp_path / "local.tif", nodata=-1, client=False)
    with pytest.warns(FillValueWarning) as found:
        save_cog(large(painter), front.url, nodata=-1, client=client)

    assert [(str(one.message), one.filename) for one in found] == [(str(one.message), __file__) for one in expected]


def test_small_object_in_s3_equals_the_local_file(bucket: Bucket, local: Callable[..., Local]) -> None:
    save_cog(large(SMALL), bucket.url, client=bucket.client, profile_arg=PLAIN)

    assert difference(bucket.content() or b"", local(SMALL).content) == ""


def test_tiled_geotiff_in_s3_equals_the_local_file(bucket: Bucket, local: Callable[..., Local]) -> None:
    save_tiled_geotiff(large(), bucket.url, client=bucket.client, profile_arg=PLAIN)

    assert difference(bucket.content() or b"", local(save=save_tiled_geotiff).content) == ""
    assert_parts_are_large_enough(bucket.parts())


def test_bands_apart_with_a_mask_in_s3_equal_the_local_file(bucket: Bucket, local: Callable[..., Local]) -> None:
    painter = Painter((3, 1024, 1536), "float32", is_masked=True)
    options = {"compress": "none", "interleave": "band"}

    save_cog(large(painter), bucket.url, client=bucket.client, profile_arg=options)

    assert difference(bucket.content() or b"", local(painter, **options).content) == ""
    assert_parts_are_large_enough(bucket.parts())


@pytest.mark.thorough
def test_earlier_object_is_replaced(bucket: Bucket, local: Callable[..., Local]) -> None:
    bucket.server.put(bucket.key, EARLIER)

    save_cog(large(), bucket.url, client=bucket.client, profile_arg=PLAIN)

    assert difference(bucket.content() or b"", local().content) == ""


@pytest.mark.parametrize("destination", ["s3", "azure", thorough("gcs"), "http"])
def test_earlier_object_is_kept_without_overwrite(
    destination: str, front_of: Callable[[str], Front], start_s3_workers: Callable[[], Any], tmp_path: Path
) -> None:
    front, client = front_of(destination), start_s3_workers()
    front.put(EARLIER)
    painter = visited(SMALL, tmp_path / "calls")

    with pytest.raises(ExistsError):
        save_cog(large(painter), front.url, client=client, overwrite=False)

    assert front.content() == EARLIER


def test_delayed_save_to_s3_is_computed_by_any_scheduler(bucket: Bucket, local: Callable[..., Local]) -> None:
    saved = save_cog(large(), bucket.url, profile_arg=PLAIN, compute=False)

    for scheduler in ("threads", bucket.client):
        bucket.server.put(bucket.key, EARLIER)
        assert same_receipt(saved.compute(scheduler=scheduler), local().receipt)
        assert difference(bucket.content() or b"", local().content) == ""
    assert bucket.server.open_uploads() == []


# The parts.


@pytest.mark.parametrize(
    ("painter", "run_bytes"), [(PAINTER, 1), (TALL, LONG_RUN_BYTES)], ids=["short runs", "long runs"]
)
def test_parts_but_the_last_have_5_mib_and_the_lowest_is_sent_last(
    painter: Painter, run_bytes: int, bucket: Bucket, local: Callable[..., Local], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_small_parts(monkeypatch, run_bytes)

    save_cog(large(painter), bucket.url, client=bucket.client, profile_arg=PLAIN)

    parts = bucket.parts()
    lowest = min(parts, key=number_of)
    assert len(parts) >= 3
    assert len({number_of(one) for one in parts}) == len(parts)
    assert max(map(number_of, parts)) <= 10_000
    assert_parts_are_large_enough(parts)
    assert sum(one.started > lowest.started for one in parts) <= 2  # each of two workers may send another one then
    assert difference(bucket.content() or b"", local(painter).content) == ""


@pytest.mark.thorough
def test_parts_of_runs_of_the_usual_length_are_large_enough(
    bucket: Bucket, local: Callable[..., Local], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_blocks(monkeypatch, **USUAL_BYTES)
    painter = Painter((3, 6144, 4096), "uint16")

    save_cog(large(painter, (3, 1024, 2048)), bucket.url, client=bucket.client, profile_arg=PLAIN)

    assert_parts_are_large_enough(bucket.parts())
    assert difference(bucket.content() or b"", local(painter).content) == ""


def test_workers_send_the_full_resolution_by_themselves(
    bucket: Bucket, seaweed: S3Server, use_env: UseEnv, s3_env: dict[str, str], local: Callable[..., Local]
) -> None:
    """The client reaches the store by another address, where no more than header and overviews pass."""
    with FaultProxy(upstream=seaweed.endpoint) as of_client:
        use_env(s3_env | {"AWS_ENDPOINT_URL": of_client.url})
        save_cog(large(), bucket.url, client=bucket.client, profile_arg=PLAIN)
        sent_bytes = sum(one.body_bytes for one in of_client.requests)

    assert difference(bucket.content() or b"", local().content) == ""
    assert sent_bytes < len(local().content) / 2
    assert sum(one.body_bytes for one in bucket.parts()) > len(local().content) / 2


@dataclass(frozen=True)
class Uneven(Painter):
    """Noise in some rows, and zeros in all others, which compress to almost nothing."""

    noisy_rows: tuple[tuple[int, int], ...] = ()

    def window(self, bands: range, rows: range, columns: range) -> Any:
        pixels = super().window(bands, rows, columns)
        numbers = np.arange(rows.start, rows.stop)
        is_noisy = np.any([(first <= numbers) & (numbers < last) for first, last in self.noisy_rows], axis=0)
        pixels[:, ~np.broadcast_to(is_noisy, numbers.shape)] = 0
        return pixels


UNEVEN = {
    "zeros": Uneven((1, 4096, 4096), "uint8", noise=1),
    "noise at both ends": Uneven((1, 4096, 3072), "uint8", noise=200, noisy_rows=((0, 1024), (3072, 4096))),
    "noise at the beginning": Uneven((1, 4096, 3072), "uint8", noise=200, noisy_rows=((0, 2048),)),
    "noise at the end": Uneven((1, 4096, 3072), "uint8", noise=200, noisy_rows=((2048, 4096),)),
}


@pytest.mark.parametrize("name", ["zeros", "noise at both ends", *map(thorough, list(UNEVEN)[2:])])
def test_parts_of_rows_that_compress_to_almost_nothing_are_merged(
    name: str, bucket: Bucket, local: Callable[..., Local]
) -> None:
    options = {"compress": "deflate", "LEVEL": 1, "predictor": 1}
    data = geodata(UNEVEN[name].array((1, 512, 1024)))

    save_cog(data, bucket.url, client=bucket.client, profile_arg=options)

    assert difference(bucket.content() or b"", local(UNEVEN[name], **options).content) == ""
    if bucket.parts():
        assert_parts_are_large_enough(bucket.parts())


# Failures.


def assert_nothing_is_left(bucket: Bucket, earlier: bytes | None = EARLIER) -> None:
    assert cluster_watch.soon(lambda: not bucket.server.open_uploads()), bucket.server.open_uploads()
    assert bucket.content() == earlier


def was_begun(bucket: Bucket) -> bool:
    return any(CREATE.when(one) for one in bucket.proxy.requests)


@pytest.mark.fault
def test_error_of_a_chunk_leaves_no_upload_open(bucket: Bucket, tmp_path: Path, record_property: Any) -> None:
    before = cluster_watch.tasks(bucket.client)
    bucket.server.put(bucket.key, EARLIER)
    painter = visited(PAINTER, tmp_path / "calls", fails_at=LAST_CHUNK, wait_seconds=0.05)

    with pytest.raises(ReadError, match=r"rows \d+ to \d+.*disk was pulled out"):
        save_cog(large(painter), bucket.url, client=bucket.client, profile_arg=PLAIN)

    record_property("faults", 1)
    assert was_begun(bucket)
    assert_nothing_is_left(bucket)
    cluster_watch.assert_no_task_is_left(bucket.client, before)


@pytest.mark.fault
@pytest.mark.parametrize("error", [KeyboardInterrupt, GeoreaderError], ids=lambda kind: kind.__name__)
def test_interrupt_of_the_caller_leaves_no_upload_open(
    error: type[BaseException], bucket: Bucket, tmp_path: Path, record_property: Any
) -> None:
    before = cluster_watch.tasks(bucket.client)
    bucket.server.put(bucket.key, EARLIER)
    painter = visited(PAINTER, tmp_path / "calls", wait_seconds=0.02)

    def stop(done: int, total: int) -> None:
        if done > total / 2:
            raise error

    with pytest.raises(error):
        save_cog(large(painter), bucket.url, client=bucket.client, profile_arg=PLAIN, progress=stop)

    record_property("faults", 1)
    assert was_begun(bucket)
    assert_nothing_is_left(bucket)
    cluster_watch.assert_no_task_is_left(bucket.client, before)


@pytest.mark.fault
def test_cancelled_delayed_save_leaves_no_upload_open(bucket: Bucket, tmp_path: Path, record_property: Any) -> None:
    before = cluster_watch.tasks(bucket.client)
    bucket.server.put(bucket.key, EARLIER)
    painter = visited(PAINTER, tmp_path / "calls", wait_seconds=0.1)
    saved = save_cog(large(painter), bucket.url, profile_arg=PLAIN, compute=False)

    future = bucket.client.compute(saved)
    assert cluster_watch.soon(lambda: was_begun(bucket) and len(painter.calls()) > 4)
    future.cancel()

    record_property("faults", 1)
    assert len(painter.calls()) < 32
    cluster_watch.assert_no_task_is_left(bucket.client, before)
    assert_nothing_is_left(bucket)


@pytest.mark.fault
@pytest.mark.thorough
def test_workers_without_credentials_are_one_destination_error(
    bucket: Bucket, cluster: StartCluster, record_property: Any
) -> None:
    bucket.server.put(bucket.key, EARLIER)
    client = cluster(1, env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})

    with pytest.raises(DestinationError, match="credentials"):
        save_cog(large(), bucket.url, client=client, profile_arg=PLAIN)

    record_property("faults", 1)
    assert_nothing_is_left(bucket)


@pytest.mark.fault
@pytest.mark.parametrize(
    "fault", [thorough(ResetAfter(1000)), ResetBeforeAnswer(), thorough(s3_error(503, "SlowDown"))], ids=str
)
def test_part_that_is_sent_twice_is_the_same_object(
    fault: Any, bucket: Bucket, local: Callable[..., Local], record_property: Any
) -> None:
    bucket.proxy.add(Fault(SECOND_PART.when, fault, skip=SECOND_PART.skip))

    save_cog(large(), bucket.url, client=bucket.client, profile_arg=PLAIN)

    record_property("faults", 1)
    assert bucket.proxy.faults_injected == 1
    assert difference(bucket.content() or b"", local().content) == ""
    assert bucket.server.open_uploads() == []


@pytest.mark.fault
@pytest.mark.parametrize(
    ("point", "status", "code", "kind"),
    [
        thorough(CREATE, 403, "AccessDenied", DestinationError),
        thorough(FIRST_PART, 403, "ExpiredToken", DestinationError),
        (SECOND_PART, 400, "InvalidArgument", WriteError),
        (COMPLETE, 400, "InvalidPart", WriteError),
    ],
    ids=["create", "first part", "second part", "complete"],
)
def test_refusal_of_the_store_is_one_error_and_leaves_no_upload_open(
    point: Any, status: int, code: str, kind: type[GeoreaderError], bucket: Bucket, record_property: Any
) -> None:
    bucket.server.put(bucket.key, EARLIER)
    bucket.proxy.add(Fault(point.when, s3_error(status, code), times=None, skip=point.skip))

    with pytest.raises(kind, match=r"raster\.tif"):
        save_cog(large(), bucket.url, client=bucket.client, profile_arg=PLAIN)

    record_property("faults", bucket.proxy.faults_injected)
    assert bucket.proxy.faults_injected >= 1
    assert_nothing_is_left(bucket)


@pytest.mark.fault
@pytest.mark.parametrize("destination", ["azure", thorough("gcs"), thorough("gcsfs"), "http"])
def test_error_of_a_chunk_leaves_the_earlier_object(
    destination: str,
    front_of: Callable[[str], Front],
    start_s3_workers: Callable[[], Any],
    tmp_path: Path,
    record_property: Any,
) -> None:
    front, client = front_of(destination), start_s3_workers()
    front.put(EARLIER)
    painter = visited(PAINTER, tmp_path / "calls", fails_at=LAST_CHUNK, wait_seconds=0.02)

    with pytest.raises(ReadError, match=r"rows \d+ to \d+.*disk was pulled out"):
        save_cog(large(painter), front.url, fs=front.fs, client=client, profile_arg=PLAIN)

    record_property("faults", 1)
    assert front.content() == EARLIER
    assert cluster_watch.soon(lambda: not front.open_uploads()), front.open_uploads()


def test_bucket_that_is_missing_is_a_destination_error_before_anything_is_computed(
    bucket: Bucket, tmp_path: Path
) -> None:
    painter = visited(PAINTER, tmp_path / "calls")

    with pytest.raises(DestinationError, match="none"):
        save_cog(large(painter), "s3://none/raster.tif", client=bucket.client)

    assert not painter.calls()


# Credentials.

SECRET = "hunter22-of-the-tests"


@dataclass(frozen=True)
class Heard:
    """All that a save makes public."""

    keys: set[str]
    logs: str
    error: str

    def assert_no(self, *secrets: str) -> None:
        for secret in secrets:
            assert secret not in " ".join(self.keys)
            assert secret not in self.logs
            assert secret not in self.error


def listen(client: Any, caplog: pytest.LogCaptureFixture, save: Callable[[], Any]) -> Heard:
    """Save, and return the keys of tasks, logs of all processes and the error with its causes."""
    error = ""
    caplog.set_level(logging.DEBUG)
    with cluster_watch.recorded_keys(client) as keys:
        try:
            save()
        except GeoreaderError as caught:
            error = "".join(traceback.format_exception(caught)) + repr(caught)
        logs = caplog.text + str(client.get_worker_logs()) + str(client.get_scheduler_logs())
        return Heard(keys(), logs, error)


def s3fs_of(server: S3Server, endpoint: str, secret: str) -> Any:
    return fsspec.filesystem(
        "s3",
        key=server.key,
        secret=secret,
        endpoint_url=endpoint,
        client_kwargs={"region_name": server.region},
        config_kwargs={"retries": {"total_max_attempts": 1}},
        skip_instance_cache=True,
    )


def test_secret_of_a_filesystem_is_not_public_after_a_save(bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    fs = s3fs_of(bucket.server, bucket.proxy.url, bucket.server.secret)

    heard = listen(
        bucket.client,
        caplog,
        lambda: save_cog(large(SMALL), bucket.url, fs=fs, client=bucket.client, profile_arg=PLAIN),
    )

    assert bucket.content() is not None
    assert heard.keys
    heard.assert_no(bucket.server.secret)


def test_secret_of_a_filesystem_is_not_public_after_an_error(
    bucket: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fs = s3fs_of(bucket.server, bucket.proxy.url, bucket.server.secret)
    painter = visited(PAINTER, tmp_path / "calls", fails_at=LAST_CHUNK)

    heard = listen(bucket.client, caplog, lambda: save_cog(large(painter), bucket.url, fs=fs, client=bucket.client))

    assert "ReadError" in heard.error
    heard.assert_no(bucket.server.secret)


def test_secret_that_the_store_refuses_is_not_public(bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    fs = s3fs_of(bucket.server, bucket.proxy.url, SECRET)
    fs.retries = 1

    heard = listen(bucket.client, caplog, lambda: save_cog(large(SMALL), bucket.url, fs=fs, client=bucket.client))

    assert "DestinationError" in heard.error
    heard.assert_no(SECRET)


@pytest.mark.parametrize("destination", ["sas", "azure", "gcs"])
def test_credentials_of_a_store_are_not_public(
    destination: str,
    front_of: Callable[[str], Front],
    start_s3_workers: Callable[[], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    front, client = front_of(destination), start_s3_workers()
    known = {
        "sas": lambda: front.url.rpartition("sig=")[2],
        "azure": lambda: front.server.key,
        "gcs": lambda: front.server.gcs_env()["GOOGLE_BEARER_TOKEN"],
    }

    heard = listen(client, caplog, lambda: save_cog(large(SMALL), front.url, client=client))

    assert heard.error == ""
    assert front.content() is not None
    heard.assert_no(known[destination]())


@pytest.mark.parametrize("is_accepted", [True, False])
def test_headers_of_http_are_not_public(
    is_accepted: bool,
    nginx: WebServer,
    start_s3_workers: Callable[[], Any],
    use_env: UseEnv,
    caplog: pytest.LogCaptureFixture,
) -> None:
    use_env(nginx.env())
    client = start_s3_workers()
    client.run(update_environment, nginx.env())
    headers = nginx.headers() if is_accepted else nginx.headers(password=SECRET)

    heard = listen(
        client,
        caplog,
        lambda: save_cog(large(SMALL), nginx.locked_url("raster.tif"), client=client, http_headers=headers),
    )

    assert bool(heard.error) is not is_accepted
    heard.assert_no(headers["Authorization"].split()[1], SECRET)
