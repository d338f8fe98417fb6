"""Fixtures that every test and every docstring example has."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

#: The deprecated stub warns when it is imported, and has no examples.
collect_ignore = ["src/georeader/save_cog.py"]


def pytest_collection(session: pytest.Session) -> None:  # noqa: ARG001  (a hook: pytest passes arguments by name)
    """Collect tests without garbage collection: all objects stay."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:  # noqa: ARG001
    """Exclude the collected tests, about a million objects, from later garbage collections."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _examples_write_into_an_empty_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Docstring examples write files by bare names: run each in its own folder."""
    if not isinstance(request.node, pytest.Item) or "doctest" not in type(request.node).__name__.lower():
        yield
        return
    before = Path.cwd()
    os.chdir(tmp_path)
    yield
    os.chdir(before)
