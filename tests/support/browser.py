"""Headless Chromium, driven over its DevTools protocol: a page is a URL in which JavaScript is evaluated.

The protocol runs through two pipes (``--remote-debugging-pipe``): no port, no web socket, and the browser ends with
the process that started it, however that ends. Rendering is by the CPU (SwiftShader), WebGL included, so that pictures
are the same on every machine.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from servers.processes import need

#: The browser without windows, a package of its own, starts in a fifth of the time; else the whole one, by its names.
_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome")

_OPTIONS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # containers of CI run as root
    "--disable-dev-shm-usage",  # /dev/shm of a container has 64 MB
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--force-device-scale-factor=1",
    "--hide-scrollbars",
)

#: How long a page may take to load or to evaluate.
_PATIENCE_SECONDS = 60


class BrowserError(Exception):
    """JavaScript raised, the browser refused a command, or it did not answer in time."""


def need_browser() -> None:
    """Skip the test where Chromium is not installed; fail it where all readers must be (GEOREADER_REQUIRE_READERS)."""
    need("Chromium", None if _program() else "on Debian: apt-get install chromium-headless-shell")


def _program() -> str | None:
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


class Page:
    """One page of the browser.

    Attributes:
        errors: What the page printed as errors and the exceptions that nothing caught, in order.
    """

    def __init__(self, connection: _Connection, session: str) -> None:
        self.errors: list[str] = []
        self._connection = connection
        self._session = session
        connection.pages[session] = self

    def evaluate(self, script: str, *arguments: Any, patience_seconds: float = _PATIENCE_SECONDS) -> Any:
        """Return what an expression gives; where it gives a promise, what that resolves to.

        With arguments, which go as JSON, the expression is a function that is called with them.

        Raises:
            BrowserError: The script raised, the promise was rejected, or the time is over.
        """
        if arguments:
            script = f"({script})(...{json.dumps(arguments)})"
        found = self._call(
            "Runtime.evaluate",
            {"expression": script, "awaitPromise": True, "returnByValue": True},
            patience_seconds=patience_seconds,
        )
        if "exceptionDetails" in found:
            raise BrowserError(_exception_text(found["exceptionDetails"]))
        return found["result"].get("value")

    def open(self, url: str) -> None:
        """Go to a URL and wait until it has loaded, with its scripts and pictures."""
        self.errors.clear()
        found = self._call("Page.navigate", {"url": url})
        if found.get("errorText"):
            raise BrowserError(f"{url}: {found['errorText']}")
        self.evaluate(
            "new Promise(r => document.readyState === 'complete' ? r() : addEventListener('load', () => r()))"
        )

    def screenshot(self) -> bytes:
        """Return the visible part of the page as a PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", {"format": "png"})["data"])

    def click(self, x: float, y: float) -> None:
        """Click with the left button at CSS pixels of the viewport."""
        button = {"x": x, "y": y, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", {"type": kind, **button})

    def move(self, x: float, y: float) -> None:
        """Move the mouse to CSS pixels of the viewport."""
        self._call("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})

    def _call(self, method: str, params: dict[str, Any], patience_seconds: float = _PATIENCE_SECONDS) -> Any:
        return self._connection.call(method, params, self._session, patience_seconds)


class Browser:
    """A running browser."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    @contextmanager
    def page(self, url: str = "about:blank", *, width: int = 800, height: int = 600) -> Iterator[Page]:
        """Open a page of a size in CSS pixels, which are device pixels here; close it after the block."""
        call = self._connection.call
        target = call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = Page(self._connection, session)
        call("Page.enable", {}, session)
        call("Runtime.enable", {}, session)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        call("Emulation.setDeviceMetricsOverride", size, session)
        try:
            if url != "about:blank":
                page.open(url)
            yield page
        finally:
            call("Target.closeTarget", {"targetId": target})


class _Connection:
    """Commands and answers as JSON between zero bytes."""

    def __init__(self, commands: int, answers: int) -> None:
        self.pages: dict[str, Page] = {}
        self._commands = commands
        self._answers = answers
        self._received = b""
        self._count = 0

    def call(
        self,
        method: str,
        params: dict[str, Any],
        session: str | None = None,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> Any:
        """Send a command; return its result."""
        self._count += 1
        number = self._count
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        _write_all(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + patience_seconds
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == number:
                break
            self._note_event(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _next(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._answers], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise BrowserError(f"{method}: no answer in time")
            content = os.read(self._answers, 1 << 20)
            if not content:
                raise BrowserError(f"{method}: the browser has ended")
            self._received += content
        line, _, self._received = self._received.partition(b"\0")
        return json.loads(line)

    def _note_event(self, event: dict[str, Any]) -> None:
        page = self.pages.get(event.get("sessionId", ""))
        if page is None or "method" not in event:  # or a late answer to a command that was given up
            return
        params = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            page.errors.append(_exception_text(params["exceptionDetails"]))
        elif event["method"] == "Runtime.consoleAPICalled" and params["type"] == "error":
            page.errors.append(" ".join(str(one.get("value", one.get("description"))) for one in params["args"]))


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _exception_text(details: dict[str, Any]) -> str:
    thrown = details.get("exception", {})
    return str(thrown.get("description", thrown.get("value", details["text"]))).splitlines()[0]


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run Chromium with a new profile while the block runs."""
    program = _program()
    assert program is not None, "call need_browser() before"
    (commands_out, commands_in), (answers_out, answers_in) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        # The browser reads commands at descriptor 3 and answers at 4, which a shell sets without a fork hook.
        redirect = f'exec "$@" 3<&{commands_out} 4>&{answers_in}'
        command = ["bash", "-c", redirect, "bash", program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            command,
            pass_fds=(commands_out, answers_in),
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": profile, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands_out)
        os.close(answers_in)
        connection = _Connection(commands_in, answers_out)
        try:
            connection.call("Browser.getVersion", {})
            yield Browser(connection)
            connection.call("Browser.close", {})
        finally:
            os.close(commands_in)
            os.close(answers_out)
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def running_chromium() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> Browser:
    """The running browser, started at its first use by a test of the process."""
    need_browser()
    return request.getfixturevalue("running_chromium")
