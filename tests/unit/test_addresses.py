"""What a path is, and what stores' and networks' refusals mean: tables, without any store."""

from __future__ import annotations

import errno
import pickle
import socket
import ssl
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from georeader._storage import remote_errors
from georeader._storage.http_client import requoted
from georeader._storage.obstores import azure_config
from georeader._storage.redaction import Redactor
from georeader._storage.remote_errors import (
    ADVICE,
    Failure,
    RemoteErrors,
    failure_of_answer,
    failure_of_network,
)
from georeader._storage.urls import Address, local_path_of, parse_address
from georeader.errors import DestinationError, ExistsError, GeoreaderError, ReadError, WriteError


@pytest.mark.parametrize("text", ["out.tif", "/data/out.tif", "a:b.tif", "C:\\x.tif", "C:/x.tif", "a::b.tif", "s3:x",
                                  "s3:/bucket/x.tif", "/vsis3/bucket/x.tif", "://x", "1s3://b/k", ""])  # fmt: skip
def test_text_without_scheme_is_a_local_path(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "store", "bucket", "key", "account"),
    [
        ("s3://bucket/a/b.tif", "s3", "bucket", "a/b.tif", None),
        ("S3://bucket/a.tif", "s3", "bucket", "a.tif", None),
        ("s3a://bucket/a.tif", "s3", "bucket", "a.tif", None),
        ("s3://bucket//a.tif", "s3", "bucket", "/a.tif", None),
        ("s3://bucket/a b#c?d%20e.tif", "s3", "bucket", "a b#c?d%20e.tif", None),
        ("gs://bucket/a.tif", "gs", "bucket", "a.tif", None),
        ("gcs://bucket/a.tif", "gs", "bucket", "a.tif", None),
        ("az://container/a.tif", "az", "container", "a.tif", None),
        ("abfs://container/a.tif", "az", "container", "a.tif", None),
        ("abfss://data@me.dfs.core.windows.net/a.tif", "az", "data", "a.tif", "me"),
        ("abfs://data@me.blob.core.windows.net/a.tif", "az", "data", "a.tif", "me"),
        ("abfs://data@me/a.tif", "az", "data", "a.tif", "me"),
        ("oss://bucket/a.tif", "oss", "bucket", "a.tif", None),
        ("https://host/a.tif", "http", "", "", None),
        ("HTTP://host", "http", "", "", None),
        ("sftp://host/a.tif", "", "", "", None),
        ("memory://a.tif", "", "", "", None),
        ("simplecache::s3://bucket/a.tif", "", "", "", None),
    ],
)
def test_url_is_parsed_into_store_bucket_key_and_account(
    text: str, store: str, bucket: str, key: str, account: str | None
) -> None:
    address = parse_address(text)

    assert address is not None
    assert (address.store, address.bucket, address.key, address.account) == (store, bucket, key, account)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("s3://", "s3://bucket/folder/out.tif"),
        ("s3://bucket", "s3://bucket/folder/out.tif"),
        ("s3://bucket/", "s3://bucket/folder/out.tif"),
        ("gs://bucket/folder/", "gs://bucket/folder/out.tif"),
        ("s3:///key.tif", "s3://bucket/folder/out.tif"),
        ("az://container", "az://container/folder/out.tif"),
        ("abfs://@me/key.tif", "abfs://container/folder/out.tif"),
        ("http://", "http://host/folder/out.tif"),
        ("https:///a.tif", "https://host/folder/out.tif"),
    ],
)
def test_a_url_without_an_object_is_an_error_with_an_example(text: str, advice: str) -> None:
    with pytest.raises(DestinationError, match=advice):
        parse_address(text)


@given(st.from_regex(r"[a-z0-9][a-z0-9.-]{2,20}", fullmatch=True), st.text(min_size=1).filter(lambda k: k[-1] != "/"))
def test_key_is_kept_unchanged(bucket: str, key: str) -> None:
    for scheme in ("s3", "gs", "oss"):
        address = parse_address(f"{scheme}://{bucket}/{key}")
        assert address is not None
        assert (address.bucket, address.key) == (bucket, key)


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except DestinationError:
        return
    assert address is None or address.url == text


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("http://bücher.example/ä.tif", "http://xn--bcher-kva.example/ä.tif"),
        ("https://me:pass@bücher.example:8080?x=ä", "https://me:pass@xn--bcher-kva.example:8080?x=ä"),
        ("http://BÜCHER.example/a", "http://xn--bcher-kva.example/a"),
        ("http://[::1]:80/ä", "http://[::1]:80/ä"),
        ("http://host/a@ü:80", "http://host/a@ü:80"),
    ],
)
def test_a_host_name_is_converted_to_ascii(given: str, sent: str) -> None:
    address = parse_address(given)

    assert address is not None
    assert address.url == sent


@pytest.mark.parametrize("host", ["straße.example", "a\u200db.example", "ü" * 64 + ".example", "ü..example"])
def test_host_name_that_cannot_be_encoded_is_refused(host: str) -> None:
    with pytest.raises(DestinationError, match="cannot be encoded as a host name; write it as xn--"):
        parse_address(f"https://me:secret@{host}/a.tif?sig=secret")


def test_repr_of_an_address_shows_no_secret() -> None:
    address = parse_address("https://me:hunter22@host/a.tif?sig=hunter22")

    assert repr(address) == "Address('https://***@host/a.tif?***')"
    assert pickle.loads(pickle.dumps(address)) == address


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///data/a%20b.tif", "/data/a b.tif"),
        ("file://localhost/data/a.tif", "/data/a.tif"),
        ("FILE:///a.tif", "/a.tif"),
        ("local:///data/100%.tif", "/data/100%.tif"),
        ("file:///data/%C3%A4.tif", "/data/ä.tif"),
        ("file://a.tif", "a.tif"),
        ("s3://bucket/a.tif", None),
    ],
)
def test_file_urls_are_local_paths(url: str, path: str | None) -> None:
    address = parse_address(url)

    assert address is not None
    assert local_path_of(address) == path


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://host/a b.tif", "http://host/a%20b.tif"),
        ("http://host/a%20b.tif", "http://host/a%20b.tif"),
        ("http://host/100%.tif", "http://host/100%25.tif"),
        ("http://host/ä.tif", "http://host/%C3%A4.tif"),
        ("http://host/a\tb\r\nc.tif", "http://host/a%09b%0D%0Ac.tif"),
        ("http://host/a?sig=x%2By%3D&b=c+d", "http://host/a?sig=x%2By%3D&b=c+d"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ('http://host/"<>\\^`{|}', "http://host/%22%3C%3E%5C%5E%60%7B%7C%7D"),
    ],
)
def test_url_is_quoted_for_the_request_line(url: str, sent: str) -> None:
    assert requoted(url) == sent


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_quoted_characters_are_not_quoted_again(path: str) -> None:
    once = requoted(f"http://host/{path}")

    assert requoted(once) == once
    assert once.isascii()
    assert once.isprintable()
    assert " " not in once


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchBucket", "bucket"), (404, "ContainerNotFound", "bucket"), (404, "NoSuchKey", "missing"),
        (404, "", "missing"), (403, "AccessDenied", "denied"), (403, "", "denied"), (401, "", "credentials"),
        (403, "SignatureDoesNotMatch", "credentials"), (403, "InvalidAccessKeyId", "credentials"),
        (400, "ExpiredToken", "expired"), (403, "RequestTimeTooSkewed", "clock"), (412, "", "exists"),
        (412, "PreconditionFailed", "exists"), (409, "BlobAlreadyExists", "exists"), (413, "", "large"),
        (400, "EntityTooLarge", "large"), (405, "", "static"), (501, "", "static"), (507, "", "full"),
        (400, "InvalidBucketName", "name"), (400, "", None), (409, "", None), (418, "", None),
    ],
)  # fmt: skip
def test_response_is_classified_by_status_and_code(status: int, code: str, kind: str | None) -> None:
    failure = failure_of_answer(status, code, "detail")

    assert failure.kind == kind
    assert kind is None or kind in ADVICE
    assert not failure.is_transient


@pytest.mark.parametrize("detail", ["Request has expired", "Signature not valid: - Expiry [Mon, 01 Jan] is before now"])
@pytest.mark.parametrize("code", ["AccessDenied", "AuthenticationFailed"])
def test_expired_credentials_are_distinguished_from_denied_access(code: str, detail: str) -> None:
    assert failure_of_answer(403, code, detail).kind == "expired"
    assert failure_of_answer(403, code, "no", text=detail).kind == "expired"


@pytest.mark.parametrize(
    ("status", "code"),
    [(503, "SlowDown"), (500, "InternalError"), (400, "RequestTimeout"), (409, "OperationAborted"), (429, ""),
     (409, "ConditionalRequestConflict"), (503, "ServerBusy"), (502, ""), (504, "")],
)  # fmt: skip
def test_a_transient_error_has_no_advice(status: int, code: str) -> None:
    failure = failure_of_answer(status, code, "detail")

    assert (failure.kind, failure.is_transient) == (None, True)


@pytest.mark.parametrize(
    ("error", "kind", "is_transient"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "unreachable", True),
        (socket.gaierror(-2, "Name or service not known"), "unreachable", True),
        (OSError(errno.EHOSTUNREACH, "no route"), "unreachable", True),
        (OSError(errno.ENETUNREACH, "no network"), "unreachable", True),
        (ConnectionResetError(), None, True),
        (BrokenPipeError(), None, True),
        (TimeoutError(), None, True),
        (ssl.SSLError("record layer failure"), None, True),
        (ssl.SSLCertVerificationError("self-signed"), "certificate", False),
    ],
    ids=["refused", "unknown host", "no route", "no network", "reset", "pipe", "time-out", "tls", "certificate"],
)
def test_network_errors_are_classified(error: Exception, kind: str | None, is_transient: bool) -> None:
    failure = failure_of_network(error)

    assert failure is not None
    assert (failure.kind, failure.is_transient) == (kind, is_transient)
    assert failure.detail


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError(), FileNotFoundError()], ids=repr)
def test_other_errors_are_not_network_failures(error: Exception) -> None:
    assert failure_of_network(error) is None


def failures(failure: Failure, *secrets: str) -> RemoteErrors:
    return RemoteErrors("s3://bucket/a.tif", Redactor(secrets), lambda _: failure)


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (Failure("403 no", "denied"), DestinationError, ADVICE["denied"]),
        (Failure("412", "exists"), ExistsError, "overwrite=False"),
        (Failure("something"), WriteError, "it cannot be written: something"),
    ],
    ids=["advice", "exists", "unknown"],
)
def test_failure_is_raised_as_an_error_of_the_project(
    failure: Failure, kind: type[GeoreaderError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        failures(failure).call(lambda: int("x"))

    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert "s3://bucket/a.tif" in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_message_of_a_failure_is_one_short_line() -> None:
    error = failures(Failure("line\n  of\r\n\tseveral" + " words" * 1000)).error_of(ValueError())

    assert "line of several words" in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 600


def test_a_truncated_message_holds_no_secret() -> None:
    detail = "x" * 495 + "hunter22"

    for error in (failures(Failure(detail), "hunter22").error_of(ValueError()),
                  failures(Failure(detail), "hunter22").read_error_of(ValueError())):  # fmt: skip
        assert "hunt" not in str(error)


def test_the_projects_own_errors_pass_through() -> None:
    own = WriteError("own")

    def run() -> None:
        raise own

    with pytest.raises(WriteError) as caught:
        failures(Failure("other", "denied")).call(run)

    assert caught.value is own


def test_a_transient_error_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_errors, "FIRST_WAIT_SECONDS", 0.0)
    answers: list[Any] = [OSError(), OSError(), "there"]

    def run() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert failures(Failure("busy", is_transient=True)).call(run) == "there"


def test_a_reader_gets_a_read_error() -> None:
    error = failures(Failure("403", "denied")).read_error_of(ValueError())

    assert type(error) is ReadError
    assert ADVICE["denied"] in str(error)


@pytest.mark.parametrize(
    ("variables", "config"),
    [
        ({"AZURE_STORAGE_ACCOUNT": "me", "AZURE_STORAGE_KEY": "k"}, {"account_name": "me", "account_key": "k"}),
        ({"AZURE_STORAGE_ACCOUNT": "me", "AZURE_STORAGE_SAS_TOKEN": "s"}, {"account_name": "me", "sas_key": "s"}),
        ({"AZURE_STORAGE_CONNECTION_STRING": "AccountName=me;AccountKey=a2V5PT0=;"},
         {"account_name": "me", "account_key": "a2V5PT0="}),
        ({"AZURE_STORAGE_CONNECTION_STRING": "BlobEndpoint=http://h/me;SharedAccessSignature=sv=1&sig=x%3D"},
         {"endpoint": "http://h/me", "sas_key": "sv=1&sig=x%3D"}),
        ({"AZURE_STORAGE_CONNECTION_STRING": "nonsense"}, {}),
        ({"AZURE_STORAGE_CONNECTION_STRING": "AccountName=a;AccountKey=b", "AZURE_STORAGE_ACCOUNT_NAME": "c"},
         {"account_name": "c", "account_key": "b"}),
        ({}, {}),
    ],
)  # fmt: skip
def test_azure_config_is_read_from_environment_variables(variables: dict[str, str], config: dict[str, str]) -> None:
    assert azure_config(None, variables) == config


def test_azure_account_of_the_url_wins_over_the_environment() -> None:
    assert azure_config("you", {"AZURE_STORAGE_ACCOUNT": "me"}) == {"account_name": "you"}


def test_addresses_are_compared_by_value() -> None:
    assert parse_address("s3://b/k") == Address("s3://b/k", "s3://b/k", "s3", "s3", "b", "k")
