"""The browser that other tests drive: values, promises, errors and pictures of a page."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from browser import Browser, BrowserError
from range_server import Server

pytestmark = pytest.mark.slow

_HAS_WEBGL = "document.createElement('canvas').getContext('webgl2') !== null"


@pytest.mark.parametrize(
    ("script", "arguments", "value"),
    [
        ("6 * 7", [], 42),
        ("Promise.resolve({a: [1, null]})", [], {"a": [1, None]}),
        ("async (text, times) => text.repeat(times)", ["ab", 2], "abab"),
        (_HAS_WEBGL, [], True),
    ],
)
def test_page_evaluates_javascript(script: str, arguments: list[object], value: object, browser: Browser) -> None:
    with browser.page() as page:
        assert page.evaluate(script, *arguments) == value


@pytest.mark.parametrize("script", ["missing()", "Promise.reject(new ReferenceError('missing is not defined'))"])
def test_error_of_a_script_is_raised(script: str, browser: Browser) -> None:
    with browser.page() as page, pytest.raises(BrowserError, match="ReferenceError: missing is not defined"):
        page.evaluate(script)


def test_page_is_seen_as_it_is_drawn(browser: Browser, server: Server) -> None:
    script = "<script>console.error('noted'); setTimeout(() => { throw new Error('thrown') })</script>"
    server.put("page.html", f"<body style='margin: 0; background: rgb(10 200 30)'>{script}".encode())

    with browser.page(f"{server.base}/page.html", width=40, height=30) as page:
        page.evaluate("new Promise(resolve => setTimeout(resolve))")
        picture = np.asarray(Image.open(io.BytesIO(page.screenshot())))
        assert page.errors == ["noted", "Error: thrown"]

    assert picture.shape[:2] == (30, 40)
    assert (picture[..., :3] == (10, 200, 30)).all()


def test_click_reaches_the_page(browser: Browser) -> None:
    with browser.page() as page:
        page.evaluate("addEventListener('click', event => { window.clicked = [event.clientX, event.clientY] })")
        page.click(12, 34)
        assert page.evaluate("window.clicked") == [12, 34]
