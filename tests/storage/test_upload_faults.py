"""After every fault on the way to a store: the earlier object or the whole new one, and nothing left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chains import assert_no_cycle
from fault_cases import BY_ID, CASES, COMPLETE, CREATE, EARLIER_OR_NEW, FIRST_PART, LOOK, PUT, Case, Point
from fault_places import Front, Maker, make_impatient, make_small_parts
from faults.answers import Answer, HttpDate, s3_error
from faults.exchange import Exchange, Reset
from faults.kinds import ResetBeforeAnswer
from faults.proxy import Fault, Match
from faults.wire import Head
from georeader import GeoTensor, save_cog
from georeader.errors import DestinationError, ExistsError, GeoreaderError, WriteError
from sink_contract import EARLIER, PLACE, PLAIN, Lazy, small

pytestmark = [pytest.mark.fault, pytest.mark.server]

#: Fewest different faults.
LEAST_FAULTS = 200

#: A part that arrives late has its upload aborted once more, within so long.
CLEANUP_SECONDS = 5.0


@cache
def parted() -> GeoTensor:
    """Some 27 MB with overviews: five parts of 5 MiB and more."""
    values = np.random.default_rng(3).integers(1, 2000, (3, 1700, 1700)).astype("uint16")
    return GeoTensor(values, **PLACE, fill_value_default=0)


@cache
def whole(is_large: bool) -> bytes:
    """The file as it has to be there."""
    file = BytesIO()
    save_cog(parted() if is_large else small(), file, profile_arg=PLAIN)
    return file.getvalue()


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def front_of(
    request: pytest.FixtureRequest, use_env: Any, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Front]:
    """Return a function that puts the proxy before a destination's server."""

    def make(destination: str, *, with_stalls: bool = False, is_refused: bool = False) -> Front:
        make_small_parts(monkeypatch)
        make_impatient(monkeypatch, with_stalls=with_stalls)
        return Maker(request, use_env, stack, is_refused).make(destination)

    return make


def save(front: Front, scratch: Path, raster: Any, **options: Any) -> GeoreaderError | None:
    """Save there; return the error of the project's own tree, while any other one fails the test."""
    options = {"profile_arg": PLAIN, "dir_tmpfiles": scratch, "fs": front.fs} | options
    try:
        save_cog(raster, front.url, **options)
    except GeoreaderError as error:
        assert_no_cycle(error)
        return error
    return None


def soon_without_uploads(front: Front) -> bool:
    """Wait for the threads whose parts arrived late."""
    deadline = time.monotonic() + CLEANUP_SECONDS
    while front.open_uploads():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def assert_nothing_is_left(front: Front, scratch: Path, *, but_an_upload: bool = False) -> None:
    assert os.listdir(scratch) == []
    assert but_an_upload or soon_without_uploads(front), front.open_uploads()
    assert not any(key.endswith(".part") for key in list(front.server.keys()))


def assert_it_names(front: Front, error: GeoreaderError) -> None:
    """The message names the object, and has no secret."""
    said = str(error)
    assert front.key.rpartition("careful/")[2] in said, said
    for secret in ("sig=", "secret-of", "token-of", getattr(front.server, "secret", None)):
        assert secret is None or secret not in said


def assert_what_is_there(case: Case, front: Front, error: GeoreaderError | None, earlier: bytes | None) -> None:
    new = whole(case.point.is_large)
    allowed = {None: [new], "earlier": [earlier], "new": [new], EARLIER_OR_NEW: [earlier, new]}
    content = front.content()
    found = "new" if content == new else "earlier" if content == earlier else f"neither: {len(content or b'')} bytes"
    assert content in allowed[case.leaves if error is not None else None], (found, error)


def _columns(name: str) -> tuple[object, ...]:
    """Each request of each destination, and each fault at each destination."""
    case = BY_ID[name]
    place = case.destination
    return (place, case.point.name), (place, str(case.do)), (place, case.overwrite, case.has_earlier), case.is_lazy


@pytest.mark.covering(columns=_columns)
@pytest.mark.parametrize("name", BY_ID)
def test_a_fault_leaves_the_earlier_object_or_the_whole_new_one(
    name: str, front_of: Callable[..., Front], scratch: Path, record_property: Callable[[str, object], None]
) -> None:
    case = BY_ID[name]
    front = front_of(case.destination, with_stalls=case.is_stall)
    earlier = EARLIER if case.has_earlier else None
    if earlier is not None:
        front.put(earlier)
    front.proxy.add(Fault(case.point.when, case.do, case.times, case.point.skip))
    raster = parted() if case.point.is_large else small()

    error = save(front, scratch, Lazy(raster) if case.is_lazy else raster, overwrite=case.overwrite)

    injected = front.proxy.faults_injected
    record_property("faults", injected)
    assert injected >= 1
    assert_nothing_is_left(front, scratch, but_an_upload=case.may_leave_an_upload)
    assert_what_is_there(case, front, error, earlier)
    if case.outcome is None:
        assert error is None
    elif case.outcome is not GeoreaderError:
        assert isinstance(error, case.outcome), error
    if error is not None:
        assert_it_names(front, error)


def test_there_are_at_least_the_required_number_of_faults() -> None:
    assert len(BY_ID) == len(CASES)  # no two of one name
    assert len(CASES) >= LEAST_FAULTS


@pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("destination", ["s3", "s3fs", "s3-store", "azure", "sas", "adlfs", "gcs", "gcsfs", "http"])
def test_an_unreachable_store_is_a_destination_error(
    destination: str, is_large: bool, front_of: Any, scratch: Path, record_property: Any
) -> None:
    front = front_of(destination, is_refused=True)
    record_property("faults", 1)

    error = save(front, scratch, parted() if is_large else small())

    assert isinstance(error, DestinationError), error
    assert "there is no way to the store" in str(error)
    assert_it_names(front, error)
    assert os.listdir(scratch) == []


class WithoutLength:
    """Answers 200 instead of the upstream, chunked: without a Content-Length."""

    def __str__(self) -> str:
        return "without-length"

    def serve(self, exchange: Exchange) -> None:
        exchange.drop_body()
        exchange.begin_answer(Head(b"HTTP/1.1 200 OK\r\n\r\n").with_field("Transfer-Encoding", "chunked"), b"")


class Rival:
    """Puts another object of the same size there, and resets: the next attempt finds it."""

    def __init__(self, put: Callable[[], None]) -> None:
        self._put = put

    def __str__(self) -> str:
        return "rival"

    def serve(self, exchange: Exchange) -> None:
        exchange.drop_body()
        self._put()
        raise Reset


@pytest.mark.parametrize("destination", ["s3", "s3fs", "s3-store", "azure", "sas", "adlfs", "gcs", "gcsfs", "http"])
def test_object_created_by_another_writer_is_an_exists_error(
    destination: str, front_of: Any, scratch: Path, record_property: Any
) -> None:
    front = front_of(destination)
    others = bytes(len(whole(False)))
    when = PUT.when if destination != "gcsfs" else Match("POST", query_contains="uploadType=multipart")
    front.proxy.add(Fault(when, Rival(lambda: front.put(others))))

    error = save(front, scratch, small(), overwrite=False)

    record_property("faults", front.proxy.faults_injected)
    assert isinstance(error, ExistsError), error
    assert front.content() == others
    assert_nothing_is_left(front, scratch)


def test_multipart_upload_after_another_writer_is_an_exists_error(
    front_of: Any, scratch: Path, record_property: Any
) -> None:
    front = front_of("s3")
    others = bytes(len(whole(True)))
    front.proxy.add(Fault(Match("POST", query_contains="uploadId="), Rival(lambda: front.put(others))))

    error = save(front, scratch, parted(), overwrite=False)

    record_property("faults", front.proxy.faults_injected)
    assert isinstance(error, ExistsError), error
    assert front.content() == others
    assert_nothing_is_left(front, scratch)


@pytest.mark.covering(columns=lambda destination, say: (destination, type(say).__name__))
@pytest.mark.parametrize("say", [1, HttpDate(1)], ids=["seconds", "date"])
@pytest.mark.parametrize("destination", ["s3", "s3fs", "sas", "http"])
def test_retry_after_is_respected(
    destination: str, say: object, front_of: Any, scratch: Path, record_property: Any
) -> None:
    """All but obstore, which has its own retries (docs/destinations.md)."""
    front = front_of(destination)
    front.proxy.add(Fault(PUT.when, s3_error(503, "SlowDown", headers={"Retry-After": say})))

    assert save(front, scratch, small()) is None

    record_property("faults", front.proxy.faults_injected)
    first, second = (one.started for one in front.proxy.requests if PUT.when(one))
    assert second - first >= 1.0


@pytest.mark.parametrize("destination", ["s3", "s3-store", "azure", "sas", "gcs", "http"])
def test_number_of_attempts_is_the_documented_one(
    destination: str, front_of: Any, scratch: Path, record_property: Any
) -> None:
    front = front_of(destination)
    front.proxy.add(Fault(PUT.when, s3_error(503, "SlowDown"), times=None))

    assert save(front, scratch, small()) is not None

    record_property("faults", front.proxy.faults_injected)
    assert front.proxy.faults_injected == 3


@pytest.mark.parametrize("point", [PUT, CREATE, COMPLETE], ids=lambda point: point.name)
def test_client_with_its_own_retries_recognises_its_object(
    point: Point, front_of: Any, scratch: Path, record_property: Any
) -> None:
    """As s3fs by default: it reports the end of several attempts, of which the first may have succeeded."""
    front = front_of("s3fs-patient")
    front.proxy.add(Fault(point.when, ResetBeforeAnswer()))

    error = save(front, scratch, parted() if point.is_large else small(), overwrite=False)

    record_property("faults", front.proxy.faults_injected)
    assert error is None
    assert front.content() == whole(point.is_large)
    assert_nothing_is_left(front, scratch, but_an_upload=point is CREATE)


class TestAbort:
    """A part cannot be sent, and the store refuses the abort, too."""

    @pytest.mark.parametrize("destination", ["s3", "s3fs"])
    def test_an_abort_is_retried_after_a_transient_error(
        self, destination: str, front_of: Any, scratch: Path, record_property: Any
    ) -> None:
        error, front = self.save(destination, 1, front_of, scratch)

        assert isinstance(error, DestinationError)
        assert_nothing_is_left(front, scratch)
        assert front.content() == EARLIER
        record_property("faults", front.proxy.faults_injected)

    @pytest.mark.parametrize("destination", ["s3", "s3fs"])
    def test_permanently_refused_abort_is_logged_with_the_remedy(
        self, destination: str, front_of: Any, scratch: Path, record_property: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        error, front = self.save(destination, None, front_of, scratch)

        assert isinstance(error, DestinationError)
        assert os.listdir(scratch) == []
        assert front.content() == EARLIER
        (upload,) = front.open_uploads()
        assert f"the upload {upload['UploadId']} cannot be aborted" in caplog.text
        assert "AbortIncompleteMultipartUpload" in caplog.text
        record_property("faults", front.proxy.faults_injected)

    @staticmethod
    def save(destination: str, times: int | None, front_of: Any, scratch: Path) -> tuple[GeoreaderError | None, Front]:
        front = front_of(destination)
        front.put(EARLIER)
        front.proxy.add(
            Fault(FIRST_PART.when, s3_error(403, "AccessDenied"), times=None),
            Fault(Match("DELETE", query_contains="uploadId="), s3_error(503, "SlowDown"), times=times),
        )

        return save(front, scratch, parted()), front


@pytest.mark.parametrize("destination", ["s3", "s3fs"])
@pytest.mark.parametrize(
    "body",
    [
        b"<InitiateMultipartUploadResult><Bucket>tests</Bucket></InitiateMultipartUploadResult>",
        b"<InitiateMultipartUploadResult><UploadId></UploadId></InitiateMultipartUploadResult>",
        b"",
    ],
    ids=["no id", "empty id", "no body"],
)
def test_response_without_an_upload_id_is_an_error(destination: str, body: bytes, front_of: Any, scratch: Path) -> None:
    front = front_of(destination)
    front.proxy.add(Fault(CREATE.when, Answer(200, headers={"Content-Type": "application/xml"}, body=body), times=None))

    error = save(front, scratch, parted())

    assert isinstance(error, WriteError)
    assert "answered CreateMultipartUpload without an UploadId" in str(error)
    assert_it_names(front, error)
    assert_nothing_is_left(front, scratch)
    assert front.content() is None


@pytest.mark.parametrize("destination", ["s3", "s3fs"])
def test_response_to_a_part_without_an_etag_is_an_error(destination: str, front_of: Any, scratch: Path) -> None:
    front = front_of(destination)
    front.put(EARLIER)
    front.proxy.add(Fault(FIRST_PART.when, Answer(200), times=None))

    error = save(front, scratch, parted())

    assert isinstance(error, WriteError)
    assert "part 2: the store's answer has no ETag" in str(error) or "has no ETag" in str(error)
    assert_nothing_is_left(front, scratch)
    assert front.content() == EARLIER


@pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("destination", ["s3", "s3fs"])
def test_head_response_without_a_length_is_accepted(
    destination: str, is_large: bool, front_of: Any, scratch: Path
) -> None:
    front = front_of(destination)
    front.proxy.add(Fault(LOOK.when, WithoutLength(), times=None))

    assert save(front, scratch, parted() if is_large else small()) is None

    assert front.content() == whole(is_large)
