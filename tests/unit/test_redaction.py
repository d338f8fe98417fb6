"""Redaction of URLs, texts and chained errors."""

from __future__ import annotations

import traceback
from typing import Any, ClassVar
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains import assert_no_cycle
from georeader._storage.redaction import (
    LEAST_SECRET_LENGTH,
    MASK,
    RedactedError,
    Redactor,
    redact_url,
    secrets_of_options,
    secrets_of_url,
)

#: What a secret is made of, in a URL that is written as it should be.
SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~"

#: Secrets that stand in no text by chance.
secret_texts = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=8, max_size=30).map("§§".__add__)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a.tif", "https://host/a.tif"),
        ("https://host/a.tif?", "https://host/a.tif?***"),
        ("https://host/a.tif?sig=abc", "https://host/a.tif?***"),
        ("https://host?sig=abc", "https://host?***"),
        ("HTTPS://host/a.tif?sig=abc", "HTTPS://host/a.tif?***"),
        ("https://host/a%20b.tif?x=1?y=2", "https://host/a%20b.tif?***"),
        ("https://me:secret@host/a.tif", "https://***@host/a.tif"),
        ("https://token@host/a.tif", "https://***@host/a.tif"),
        ("https://me:sec@ret@host/a.tif", "https://***@host/a.tif"),
        ("https://host/@me/a.tif", "https://host/@me/a.tif"),
        ("https://host/a.tif?next=https://me:pw@other/", "https://host/a.tif?***"),
        ("sftp://me:secret@host:22/a.tif", "sftp://***@host:22/a.tif"),
        ("sftp://me@host/a.tif", "sftp://me@host/a.tif"),
        ("s3://bucket/what?.tif", "s3://bucket/what?.tif"),
        ("s3://bucket/a@b:c.tif", "s3://bucket/a@b:c.tif"),
        ("s3://AKID:secret@bucket/a.tif", "s3://***@bucket/a.tif"),
        ("az://container/a.tif?sig=abc", "az://container/a.tif?***"),
        ("abfs://data@me.dfs.core.windows.net/a.tif", "abfs://data@me.dfs.core.windows.net/a.tif"),
        ("out.tif", "out.tif"),
        ("a?b.tif", "a?b.tif"),
        ("/data/me:you@home/a.tif", "/data/me:you@home/a.tif"),
        ("C:/data/what?.tif", "C:/data/what?.tif"),
        ("", ""),
    ],
)
def test_a_url_shows_neither_query_nor_password(url: str, shown: str) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "https:/me:hunter22@host/a.tif?sig=hunter22",
        "/vsicurl/https://me:hunter22@host/a.tif?sig=hunter22",
        "/vsicurl?url=https%3A%2F%2Fhost%2Fa.tif%3Fsig%3Dhunter22",
        "/vsizip//vsicurl/https://me:hunter22@host/a.zip?sig=hunter22",
        "simplecache::https://me:hunter22@host/a.tif?sig=hunter22",
        "zip://a.tif::https://me:hunter22@host/a.zip?sig=hunter22",
        "zip+https://me:hunter22@host/a.zip?sig=hunter22!a.tif",
        "https://me:hunter22/with/slashes@host/a.tif",
        "s3://AKID:hunter22/with/slashes@bucket/a.tif",
        "https://host/a.tif#sig=hunter22",
        "https://host/a.tif;sig=1?x#hunter22",
        "https://[::1]:443/a.tif?sig=hunter22",
        "https://me:hunter22@[fe80::1]/a.tif",
        "https://host/a.tif?sig=1::hunter22",
        "/vsicurl/https://[::1]/a.tif?sig=hunter22",
    ],
)
def test_malformed_wrapped_and_chained_urls_show_no_password(url: str) -> None:
    assert "hunter22" not in redact_url(url)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://host/a?sv=2024&sig=ab%2Bcd%3D", ("sv=2024&sig=ab%2Bcd%3D", "2024", "ab%2Bcd%3D", "ab+cd=")),
        ("https://me:a%40bcd@host/a", ("me:a%40bcd", "a%40bcd", "a@bcd")),
        ("https://token@host/a", ("token",)),
        ("https://host/a?x=1", ()),
        ("s3://bucket/what?sig=abcdef", ()),
        ("s3://AKID:secret@bucket/a", ("AKID:secret", "secret")),
        ("zip://a.tif::https://me:hunter22@host/a.zip?sig=abcdef", ("hunter22", "abcdef")),
        ("https://[::1]/a?sig=abcdef", ("abcdef",)),
        ("/vsicurl/https://me:hunter22@host/a", ("hunter22",)),
        ("out.tif", ()),
    ],
)
def test_secrets_of_a_url_are_found(url: str, secrets: tuple[str, ...]) -> None:
    assert set(secrets) <= set(secrets_of_url(url))
    assert not secrets_of_url(url) or secrets


@pytest.mark.parametrize(
    ("options", "secrets"),
    [
        ({"key": "AKID1", "secret": "s3cr3t"}, {"AKID1", "s3cr3t"}),
        ({"password": "hunter22", "host": "example.org"}, {"hunter22"}),
        ({"client_kwargs": {"aws_session_token": "t0ken"}}, {"t0ken"}),
        ({"headers": {"Authorization": "Bearer abcdef"}}, {"Bearer abcdef", "abcdef"}),
        ({"sas_token": "sv=1&sig=ab%2Bcdef"}, {"sv=1&sig=ab%2Bcdef", "ab%2Bcdef", "ab+cdef"}),
        ({"connection_string": "AccountName=me1;AccountKey=c2VjcmV0;X=1"}, {"c2VjcmV0"}),
        ({"credential": "abcdef"}, {"abcdef"}),
        ({"endpoint_url": "http://host:9000", "region": "us-east-1"}, set()),
        ({"key": "abc"}, set()),
        ({1: "abcd", "key": None, "secret": 12345}, set()),
        (None, set()),
        ("key=abcdef", set()),
    ],
)
def test_secrets_of_options_are_found(options: Any, secrets: set[str]) -> None:
    assert secrets <= set(secrets_of_options(options))
    assert not secrets_of_options(options) or secrets


def test_secrets_in_nested_lists_and_filesystems_are_found() -> None:
    class Inner:
        storage_options: ClassVar[dict[str, str]] = {"secret": "hunter22"}

    assert "hunter22" in secrets_of_options({"fs": Inner()})
    assert "hunter22" in secrets_of_options({"headers": [("Authorization", "hunter22")]})


@given(secret_texts)
def test_known_secrets_are_redacted_in_any_text(secret: str) -> None:
    redactor = Redactor([secret])

    cleaned = redactor.clean(f"denied: {secret}, ({secret}) {secret}{secret}")

    assert secret not in cleaned
    assert cleaned.startswith("denied: ***")


@given(st.text(SAFE, min_size=4, max_size=20).map("zq".__add__), st.sampled_from(["https", "az", "ftp"]))
def test_urls_in_a_text_lose_their_queries_and_passwords(secret: str, scheme: str) -> None:
    for text in (
        f"{scheme}://me:{secret}@host/a.tif",
        f"{scheme}://host/a.tif?x={secret}",
        f"({scheme}://h/a?{secret})",
    ):
        assert secret not in Redactor().clean(f"cannot open '{text}': no")


@given(secret_texts)
def test_secret_of_a_query_is_redacted_quoted_and_unquoted(secret: str) -> None:
    for written in (quote(secret, safe=""), quote_plus(secret)):
        redactor = Redactor(secrets_of_url(f"https://host/a.tif?sig={written}&x=1"))
        assert secret not in redactor.clean(f"it said {secret} and {written}")
        assert written not in redactor.clean(f"it said {secret} and {written}")


@given(secret_texts)
def test_a_password_is_redacted_in_every_encoding(secret: str) -> None:
    written = quote(secret, safe="")
    as_given = f"https://me:{secret.translate(str.maketrans('', '', '/?#@%'))}@host/a.tif"

    redactor = Redactor(secrets_of_url(f"https://me:{written}@host/a.tif") + secrets_of_url(as_given))

    assert secret not in redactor.clean(f"it said {secret} and {written}")
    assert written not in redactor.clean(f"it said {secret} and {written}")


@given(st.text(max_size=200))
def test_text_without_secrets_is_not_changed(text: str) -> None:
    if "://" not in text:
        assert Redactor(["§§§§"]).clean(text) == text.replace("§§§§", MASK)


@given(st.text(max_size=100))
def test_redaction_is_idempotent(url: str) -> None:
    assert redact_url(redact_url(url)) == redact_url(url)
    assert Redactor().clean(Redactor().clean(url)) == Redactor().clean(url)


def test_longest_secret_is_replaced_first() -> None:
    assert Redactor(["abcd", "abcdef"]).clean("abcdef abcd") == "*** ***"


def test_short_values_are_not_redacted() -> None:
    assert Redactor(["a", "no", "the"]).clean("the answer: no") == "the answer: no"
    assert LEAST_SECRET_LENGTH == 4


def test_name_of_a_signed_header_is_not_redacted() -> None:
    """X-Amz-SignedHeaders=host: to mask every "host" would make messages a riddle."""
    secrets = secrets_of_url("https://h.example/a?X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=abcdef")

    assert Redactor(secrets).clean("no route to host within 3600 s") == "no route to host within 3600 s"


def test_a_redactor_shows_no_secret() -> None:
    assert repr(Redactor(["hunter22"])) == "Redactor(1 secrets)"


def raised(*errors: BaseException, notes: tuple[str, ...] = ()) -> BaseException:
    """Return the last error, caused by the one before it, and so on."""
    for cause, error in zip((None, *errors), errors, strict=False):
        error.__cause__ = cause
    for note in notes:
        errors[-1].add_note(note)
    return errors[-1]


def test_error_without_secrets_is_returned_unchanged() -> None:
    error = raised(OSError("socket"), ValueError("denied"))

    assert Redactor(["hunter22"]).cause(error) is error


@pytest.mark.parametrize(
    "error",
    [
        raised(ValueError("it said hunter22")),
        raised(ValueError("fine", {"token": "hunter22"})),
        raised(OSError("hunter22"), ValueError("fine")),
        raised(ValueError("fine"), notes=("hunter22",)),
        raised(ValueError("https://host/a.tif?x=hunter22")),
        raised(UnicodeEncodeError("latin-1", "hunter22", 0, 1, "no")),
        raised(KeyError("hunter22")),
    ],
    ids=["message", "arguments", "cause", "note", "url", "fields", "key"],
)
def test_error_with_secrets_is_replaced_by_a_redacted_copy(error: BaseException) -> None:
    copy = Redactor(["hunter22"]).cause(error)

    assert isinstance(copy, RedactedError)
    assert "hunter22" not in "".join(traceback.format_exception(copy))
    assert type(error).__name__ in str(copy)


def test_context_of_an_error_with_a_cause_is_redacted() -> None:
    def both() -> BaseException:
        try:
            try:
                raise KeyError("hunter22")
            except KeyError:
                raise ValueError("fine") from OSError("fine too")
        except ValueError as error:
            return error

    cause = Redactor(["hunter22"]).cause(both())

    assert "hunter22" not in repr((cause, cause.__cause__, cause.__context__))


def test_errors_of_a_group_are_redacted() -> None:
    group = ExceptionGroup("two", [ValueError("hunter22"), OSError("fine")])

    assert "hunter22" not in "".join(traceback.format_exception(Redactor(["hunter22"]).cause(group)))


def test_cycle_of_causes_and_contexts_is_redacted() -> None:
    first, second = ValueError("hunter22"), OSError("fine")
    first.__cause__, second.__context__ = second, first

    assert "hunter22" not in "".join(traceback.format_exception(Redactor(["hunter22"]).cause(first)))


def test_equal_errors_are_redacted_separately() -> None:
    class Same(Exception):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = Exception.__hash__

    error = raised(OSError("hunter22"), Same("one"), Same("two"))

    assert "hunter22" not in "".join(traceback.format_exception(Redactor(["hunter22"]).cause(error)))


def test_a_cause_that_is_its_own_cause_is_copied_without_the_cycle() -> None:
    first, second = OSError("reset"), ValueError("closed")
    first.__cause__, second.__cause__ = second, first

    cause = Redactor().cause(first)

    assert_no_cycle(cause)
    assert "reset" in str(cause)
    assert "closed" in str(cause.__cause__)


def test_error_that_is_both_cause_and_context_is_unchanged() -> None:
    try:
        try:
            raise OSError("reset")
        except OSError as error:
            raise ValueError("closed") from error
    except ValueError as caught:
        assert Redactor().cause(caught) is caught
