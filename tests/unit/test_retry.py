"""Again, after a while: how often, how long, and for what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from georeader._storage import remote_errors
from georeader._storage.remote_errors import (
    ATTEMPTS,
    FIRST_WAIT_SECONDS,
    LONGEST_WAIT_SECONDS,
    Failure,
    failure_of_answer,
    retry_after_seconds,
    retrying,
    wait_seconds,
)

PASSING = Failure("busy", is_transient=True)
LASTING = Failure("no")


class Flaky:
    """Fails a number of times, then returns its number of calls."""

    def __init__(self, failures: int, error: BaseException | None = None) -> None:
        self.failures, self.calls = failures, 0
        self.error = OSError("flaky") if error is None else error

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return self.calls


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_transient_statuses_are_retried(status: int) -> None:
    assert failure_of_answer(status, "", "busy") == PASSING


@pytest.mark.parametrize("status", [*range(300, 429), *range(430, 500), 501, *range(505, 600)])
def test_permanent_statuses_are_not_retried(status: int) -> None:
    assert not failure_of_answer(status, "", "no").is_transient


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120.0), ("0", 0.0), ("-5", 0.0), (" 7 ", 7.0), ("1.5", 1.5), ("soon", None), ("", None), (None, None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 99 Oct 2015 07:28:00 GMT", None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(text) == seconds


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_an_invalid_retry_after_is_ignored(text: str) -> None:
    found = retry_after_seconds(text)

    assert 0 <= wait_seconds(1, found or 0.0) <= LONGEST_WAIT_SECONDS


@pytest.mark.parametrize("uses_gmt", [True, False], ids=["GMT", "offset"])
def test_retry_after_date_is_relative_to_now(uses_gmt: bool) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=100)

    found = retry_after_seconds(format_datetime(moment, usegmt=uses_gmt))

    assert found == pytest.approx(100, abs=5)


def test_retry_after_is_used_for_transient_statuses_only() -> None:
    assert failure_of_answer(503, "", "busy", "7") == Failure("busy", None, True, 7.0)
    assert failure_of_answer(403, "", "no", "7") == Failure("no", "denied")


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_waits_double_with_jitter_up_to_the_limit(attempt: int, chance: float) -> None:
    with patch.object(remote_errors.random, "random", return_value=chance):
        seconds = wait_seconds(attempt)

    assert 0 <= seconds <= min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1))


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True), st.floats(0, 1e6))
def test_wait_is_between_retry_after_and_the_limit(attempt: int, chance: float, asked: float) -> None:
    with patch.object(remote_errors.random, "random", return_value=chance):
        seconds = wait_seconds(attempt, asked)

    assert min(asked, LONGEST_WAIT_SECONDS) <= seconds <= LONGEST_WAIT_SECONDS


@given(st.text(max_size=40))
def test_any_retry_after_is_parsed_or_ignored(text: str) -> None:
    found = retry_after_seconds(text)

    assert found is None or 0 <= wait_seconds(1, found) <= LONGEST_WAIT_SECONDS


@given(st.integers(0, 8), st.integers(1, 6))
def test_a_call_is_retried_up_to_the_number_of_attempts(failures: int, attempts: int) -> None:
    run, waits = Flaky(failures), []

    if failures < attempts:
        assert retrying(run, lambda _: PASSING, attempts=attempts, wait=waits.append) == failures + 1
    else:
        with pytest.raises(OSError, match="flaky"):
            retrying(run, lambda _: PASSING, attempts=attempts, wait=waits.append)

    assert run.calls == min(failures + 1, attempts)
    assert len(waits) == run.calls - 1


def test_the_default_is_six_attempts() -> None:
    run = Flaky(99)

    with pytest.raises(OSError):
        retrying(run, lambda _: PASSING, wait=lambda _: None)

    assert run.calls == ATTEMPTS == 6


def test_a_permanent_error_is_not_retried() -> None:
    run = Flaky(99)

    with pytest.raises(OSError):
        retrying(run, lambda _: LASTING, wait=lambda _: pytest.fail("it waited"))

    assert run.calls == 1


def test_permanent_error_after_transient_ones_ends_the_retries() -> None:
    failures = iter([PASSING, PASSING, LASTING])
    run = Flaky(99)

    with pytest.raises(OSError):
        retrying(run, lambda _: next(failures), wait=lambda _: None)

    assert run.calls == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interrupt_of_the_call_ends_the_retries(error: type[BaseException]) -> None:
    run = Flaky(99, error())

    with pytest.raises(error):
        retrying(run, lambda _: PASSING, wait=lambda _: None)

    assert run.calls == 1


def test_an_interrupt_of_the_wait_ends_the_retries() -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        retrying(Flaky(99), lambda _: PASSING, wait=interrupt)

    assert caught.value.__context__ is None


def test_waits_follow_the_backoff() -> None:
    waits: list[float] = []

    with patch.object(remote_errors.random, "random", return_value=0.5), pytest.raises(OSError):
        retrying(Flaky(99), lambda _: PASSING, wait=waits.append)

    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6])


def test_constants_are_read_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_errors, "ATTEMPTS", 2)
    run = Flaky(99)

    with pytest.raises(OSError):
        retrying(run, lambda _: PASSING, wait=lambda _: None)

    assert run.calls == 2


@pytest.mark.parametrize("attempts", [0, -1])
def test_zero_attempts_raise(attempts: int) -> None:
    with pytest.raises(ValueError, match="attempts must be at least 1"):
        retrying(Flaky(0), lambda _: PASSING, attempts=attempts)
