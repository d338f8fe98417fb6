"""`georeader view`: a process that prints its address, serves the page and ends at Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner

from georeader import GeoTensor, save_cog
from georeader.cli import main

pytestmark = pytest.mark.slow


@pytest.fixture
def cog(tmp_path: Path) -> Path:
    path = tmp_path / "a.tif"
    save_cog(GeoTensor(np.ones((600, 600), "uint8"), (10, 0, 0, 0, -10, 0), 3857, nodata=0), path)
    return path


@contextmanager
def running(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command until the block ends; its value is the process, and the address that it prints."""
    command: Sequence[str] = [sys.executable, "-m", "georeader", "view", *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | (environment or {})
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_command_serves_the_page_until_it_is_ended(cog: Path, ending: signal.Signals) -> None:
    with running(str(cog), "--no-browser") as (process, url):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{url}files.json", timeout=20) as answer:
            assert str(cog) in answer.read().decode()
        process.send_signal(ending)
        output, errors = process.communicate(timeout=20)

    assert url.startswith("http://127.0.0.1:")
    assert (process.returncode, output, errors) == (0, "", "")


def test_browser_is_opened_at_the_address(cog: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}.part && mv {seen}.part {seen}\n')
    browser.chmod(0o755)
    with running(str(cog), environment={"BROWSER": f"{browser} %s"}) as (process, url):
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)

    assert seen.read_text().strip() == url


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.tif"], 1, "missing.tif"),
        (["*.nothing"], 1, "nothing matches"),
        (["a.tif", "--port", "70000"], 2, "70000"),
        ([], 2, "PATH"),
    ],
)
def test_errors_are_one_line(
    cog: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(cog.parent)
    done = CliRunner().invoke(main, ["view", "--no-browser", *arguments])

    assert done.exit_code == code
    assert message in done.output


def test_file_that_is_not_a_cog_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    profile = {"count": 1, "height": 600, "width": 600, "dtype": "uint8", "transform": Affine(10, 0, 0, 0, -10, 0)}
    with rasterio.open(path, "w", driver="GTiff", **profile):
        pass
    with running(str(path), "--no-browser") as (process, url):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)

    assert url
    assert f"Warning: {path}: it is not a good COG" in errors
    assert len(errors.splitlines()) == 1
