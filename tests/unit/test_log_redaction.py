"""Log records of clients are redacted during a read or a write, and at no other time."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from georeader._storage import redaction
from georeader._storage.redaction import MASK, Redactor, redacted_logs

SECRET = "hunter22"


@pytest.fixture(autouse=True)
def factory_is_restored() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    yield
    assert logging.getLogRecordFactory() is before


@pytest.mark.parametrize(
    ("message", "args"),
    [
        (f"code on https://host/a?sig={SECRET}: 0", ()),
        ("code on %s: %d", (f"https://host/a?sig={SECRET}", 0)),
        ("%(url)s", ({"url": f"https://host/a?sig={SECRET}"},)),
    ],
    ids=["text", "arguments", "mapping"],
)
@pytest.mark.parametrize("name", ["rasterio._env", "botocore.endpoint", "urllib3", "fsspec.asyn"])
@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING], ids=logging.getLevelName)
def test_a_secret_is_masked_in_records_of_clients(
    name: str, message: str, args: tuple[Any, ...], level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger=name)  # some packages set levels of others

    with redacted_logs(Redactor([SECRET])):
        logging.getLogger(name).log(level, message, *args)

    (record,) = caplog.records
    assert SECRET not in record.getMessage()
    assert MASK in record.getMessage()


def test_a_secret_is_masked_in_the_error_of_a_record(caplog: pytest.LogCaptureFixture) -> None:
    with redacted_logs(Redactor([SECRET])):
        try:
            raise OSError(f"denied: {SECRET}")
        except OSError:
            logging.getLogger("botocore").exception("failed")

    assert SECRET not in caplog.text
    assert "denied: ***" in caplog.text


def test_records_of_other_loggers_are_not_changed(caplog: pytest.LogCaptureFixture) -> None:
    with redacted_logs(Redactor([SECRET])):
        logging.getLogger("application").warning("password %s", SECRET)

    assert caplog.messages == [f"password {SECRET}"]


def test_records_of_every_thread_are_redacted(caplog: pytest.LogCaptureFixture) -> None:
    with redacted_logs(Redactor([SECRET])):
        thread = threading.Thread(target=lambda: logging.getLogger("rasterio").warning(SECRET))
        thread.start()
        thread.join()

    assert caplog.messages == [MASK]


def test_secrets_are_masked_until_the_last_of_several_reads_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("rasterio")
    with redacted_logs(Redactor([SECRET])):
        with redacted_logs(Redactor(["another1"])):
            log.warning("%s another1", SECRET)
        log.warning("%s another1", SECRET)
    log.warning(SECRET)

    assert caplog.messages == [f"{MASK} {MASK}", f"{MASK} another1", SECRET]


def test_record_with_invalid_arguments_keeps_them() -> None:
    with redacted_logs(Redactor([SECRET])):
        record = logging.getLogRecordFactory()("rasterio", logging.INFO, "a.py", 1, "%d %d", ("x",), None)

    assert record.args == ("x",)


def test_factory_set_inside_the_block_is_kept() -> None:
    before = logging.getLogRecordFactory()

    class Other(logging.LogRecord):
        """Another factory."""

    try:
        with redacted_logs(Redactor([SECRET])):
            logging.setLogRecordFactory(Other)
        assert logging.getLogRecordFactory() is Other
    finally:
        logging.setLogRecordFactory(before)


def test_without_secrets_the_factory_is_not_replaced() -> None:
    before = logging.getLogRecordFactory()

    with redacted_logs(Redactor()):
        assert logging.getLogRecordFactory() is before


class Unprintable:
    """An argument that cannot be shown."""

    def __str__(self) -> str:
        raise AttributeError("no text")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("%d %d", (f"https://host/a?sig={SECRET}",)),
        ("%(name)s", ({"url": f"https://host/a?sig={SECRET}"},)),
        (f"{SECRET} %d", ("x",)),
        ("%s", (Unprintable(),)),
    ],
    ids=["too few", "another key", "not a number", "unprintable"],
)
def test_record_with_invalid_arguments_is_redacted(
    message: str, args: tuple[Any, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("rasterio._env")
    monkeypatch.setattr(log, "propagate", False)  # pytest's own handlers raise
    handler = logging.StreamHandler()
    log.addHandler(handler)
    try:
        with redacted_logs(Redactor([SECRET])):
            log.warning(message, *args)
    finally:
        log.removeHandler(handler)

    assert SECRET not in capsys.readouterr().err


def test_record_without_a_name_is_created() -> None:
    """As of records that another process has sent."""
    with redacted_logs(Redactor([SECRET])):
        record = logging.makeLogRecord({"name": "worker", "msg": "done"})

    assert (record.name, record.getMessage()) == ("worker", "done")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_a_thread_of_its_parent() -> None:
    with redaction._lock:
        child = os.fork()
        if not child:
            save = threading.Thread(target=lambda: redacted_logs(Redactor([SECRET])).__enter__(), daemon=True)
            save.start()
            save.join(5)
            os._exit(int(save.is_alive()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
