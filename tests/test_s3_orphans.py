"""Uploads to S3 whose beginning was not heard of: the request was answered, but the answer was lost.

The store is a fake that keeps uploads, lists them two at a time and can fail; real stores, with real faults on the way,
are in test_upload_faults.py and test_upload_kills.py.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from georeader.errors import GeoreaderError
from georeader.export.sinks import s3_parts
from georeader.export.sinks.s3_orphans import orphans
from georeader.export.sinks.s3_parts import ABORT_ATTEMPTS, S3Object
from georeader.remote import retry
from georeader.remote.failures import Failures
from georeader.remote.redaction import Redactor
from georeader.remote.s3 import explain

PAGE = 2


class Refusal(Exception):
    """As botocore tells that a store refuses."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


class Shelf:
    """A store of uploads; ``fails`` maps an operation to what its next calls raise, once they are done."""

    endpoint, tries_again = "", False

    def __init__(self) -> None:
        self.uploads: list[tuple[str, str, datetime]] = []
        self.parts: set[str] = set()
        self.fails: dict[str, list[Exception | None]] = {}
        self.calls: list[str] = []

    def call(self, operation: str, **arguments: Any) -> Any:
        self.calls.append(operation)
        answer = getattr(self, operation)(**arguments)
        failures = self.fails.get(operation, [])
        if failures and (failure := failures.pop(0)) is not None:
            raise failure
        return answer

    def abort_url(self, bucket: str, key: str, upload: str) -> str | None:
        return f"https://store/{bucket}/{key}?uploadId={upload}"

    def recipe(self) -> dict[str, Any] | None:
        return {"by": "environment"}

    def add(self, key: str, name: str, *, age_seconds: float = 0) -> None:
        self.uploads.append((key, name, datetime.now(UTC) - timedelta(seconds=age_seconds)))

    # S3's operations.

    def create_multipart_upload(self, *, Key: str, **_: Any) -> dict[str, Any]:
        name = f"upload-{len(self.uploads)}"
        self.add(Key, name)
        return {"UploadId": name}

    def list_multipart_uploads(
        self, *, Prefix: str, KeyMarker: str = "", UploadIdMarker: str = "", **_: Any
    ) -> dict[str, Any]:
        found = sorted(one for one in self.uploads if one[0].startswith(Prefix))
        rest = [one for one in found if one[:2] > (KeyMarker, UploadIdMarker)]
        page = rest[:PAGE]
        answer: dict[str, Any] = {
            "Uploads": [{"Key": key, "UploadId": name, "Initiated": begun} for key, name, begun in page]
        }
        if len(rest) > PAGE:
            answer |= {"IsTruncated": True, "NextKeyMarker": page[-1][0], "NextUploadIdMarker": page[-1][1]}
        return answer

    def list_parts(self, *, UploadId: str, **_: Any) -> dict[str, Any]:
        return {"Parts": [{"PartNumber": 1}] if UploadId in self.parts else []}

    def abort_multipart_upload(self, *, UploadId: str, **_: Any) -> dict[str, Any]:
        self.uploads = [one for one in self.uploads if one[1] != UploadId]
        return {}


class Watcher:
    """A guardian that notes what it is told, and how it is let go."""

    made: list[Watcher]

    def __init__(self) -> None:
        self.orders: list[Any] = []
        self.let_go: list[bool] = []  # whether with an error
        Watcher.made.append(self)

    def look_for(self, told: dict[str, Any]) -> None:
        self.orders.append("look")

    def abort(self, url: str | None) -> None:
        self.orders.append(url)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.let_go.append(kind is not None)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    Watcher.made = []
    monkeypatch.setattr(s3_parts, "Guardian", Watcher)
    monkeypatch.setattr(retry, "FIRST_WAIT_SECONDS", 0.0)
    return Shelf()


def an_object(shelf: Shelf) -> S3Object:
    return S3Object(shelf, "bucket", "out.tif", Failures("s3://bucket/out.tif", Redactor([]), explain))


def orphans_of(shelf: Shelf, heard: str = "") -> list[str]:
    now = datetime.now(UTC)
    return list(orphans(shelf.call, "bucket", "out.tif", begun=now - timedelta(seconds=1), ended=now, heard=heard))


def test_they_are_looked_for_on_every_page_of_the_key(shelf: Shelf) -> None:
    for number in range(7):
        shelf.add("out.tif", f"upload-{number}")

    assert orphans_of(shelf) == [f"upload-{number}" for number in range(7)]
    assert shelf.calls.count("list_multipart_uploads") == 4


def test_pages_of_longer_keys_are_not_asked_for(shelf: Shelf) -> None:
    shelf.add("out.tif", "mine")
    for number in range(9):
        shelf.add(f"out.tif.{number}", f"other-{number}")

    assert orphans_of(shelf) == ["mine"]
    assert shelf.calls.count("list_multipart_uploads") == 1


def test_a_list_that_does_not_go_on_ends(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.add("out.tif", "mine")
    stuck = {"IsTruncated": True, "NextKeyMarker": "out.tif", "NextUploadIdMarker": "mine", "Uploads": []}
    monkeypatch.setattr(shelf, "list_multipart_uploads", lambda **_: stuck, raising=False)

    assert orphans_of(shelf) == []
    assert shelf.calls.count("list_multipart_uploads") == 2


@pytest.mark.parametrize("kind", ["old", "of another key", "with a part", "heard of"])
def test_others_are_left_alone(shelf: Shelf, kind: str) -> None:
    shelf.add("out.tif" if kind != "of another key" else "out.tif2", "other", age_seconds=60 if kind == "old" else 0)
    if kind == "with a part":
        shelf.parts.add("other")

    assert orphans_of(shelf, heard="other" if kind == "heard of" else "") == []


def test_an_upload_whose_answer_was_lost_is_aborted_and_another_begun(shelf: Shelf) -> None:
    shelf.fails["create_multipart_upload"] = [ConnectionError("lost")]

    upload = an_object(shelf).begin()

    assert [name for _, name, _ in shelf.uploads] == [upload] == ["upload-1"]


def test_a_list_that_fails_for_the_moment_is_asked_for_again(shelf: Shelf) -> None:
    shelf.fails["create_multipart_upload"] = [ConnectionError("lost")]
    shelf.fails["list_multipart_uploads"] = [Refusal(503, "SlowDown"), None]

    upload = an_object(shelf).begin()

    assert [name for _, name, _ in shelf.uploads] == [upload]
    assert shelf.calls.count("list_multipart_uploads") == 2


def test_who_may_not_list_is_warned_and_saves_all_the_same(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.fails["create_multipart_upload"] = [ConnectionError("lost")]
    shelf.fails["list_multipart_uploads"] = [Refusal(403, "AccessDenied")]

    with caplog.at_level(logging.WARNING, "georeader"):
        upload = an_object(shelf).begin()

    assert upload == "upload-1"
    assert "may be left in the store" in caplog.text


def test_nobody_lists_where_the_store_refused_to_begin(shelf: Shelf) -> None:
    shelf.fails["create_multipart_upload"] = [Refusal(403, "AccessDenied")]

    with pytest.raises(GeoreaderError, match="access is denied"):
        an_object(shelf).begin()

    assert "list_multipart_uploads" not in shelf.calls
    assert Watcher.made[0].let_go == [False]  # nothing for it to do


def test_the_guardian_goes_on_looking_where_the_store_could_not_be_asked(shelf: Shelf) -> None:
    shelf.fails["create_multipart_upload"] = [ConnectionError("lost")] * retry.ATTEMPTS
    shelf.fails["list_multipart_uploads"] = [Refusal(503, "SlowDown")] * ABORT_ATTEMPTS

    with pytest.raises(GeoreaderError, match="no upload can be begun"):
        an_object(shelf).begin()

    (watcher,) = Watcher.made
    assert (watcher.orders, watcher.let_go) == (["look"], [True])


def test_the_guardian_is_told_the_name_once_there_is_one(shelf: Shelf) -> None:
    store = an_object(shelf)

    store.guard(store.begin())

    (watcher,) = Watcher.made
    assert watcher.orders == ["look", "https://store/bucket/out.tif?uploadId=upload-0"]
    assert watcher.let_go == []
