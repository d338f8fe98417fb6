"""Destinations that need no server: a local path and its URL, fsspec's and obstore's memory, local files by both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import obstore
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.implementations.local import LocalFileSystem
from obstore.store import LocalStore, MemoryStore

from sink_contract import Place, SinkContract


def in_folder(folder: Path, **more: Any) -> Place:
    """A destination that is a folder, with paths of any kind that lead there."""

    def put(name: str, content: bytes) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    def get(name: str) -> bytes | None:
        return (folder / name).read_bytes() if (folder / name).exists() else None

    def left_over() -> list[str]:
        return [name for name in os.listdir(folder) if name.endswith(".part") or name.startswith(".")]

    return Place(**{"url": lambda name: str(folder / name), "get": get, "put": put, "left_over": left_over} | more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out" / "a folder" / "within").mkdir(parents=True)
    return tmp_path / "out"


class TestLocalPath(SinkContract):
    @pytest.fixture
    def place(self, folder: Path) -> Place:
        return in_folder(folder)


class TestFileUrl(SinkContract):
    @pytest.fixture
    def place(self, folder: Path) -> Place:
        return in_folder(folder, url=lambda name: (folder / name).as_uri())


class TestLocalFileSystem(SinkContract):
    @pytest.fixture
    def place(self, folder: Path) -> Place:
        return in_folder(folder, fs=LocalFileSystem())


class TestDirFileSystem(SinkContract):
    """A filesystem whose files are written in place, so that they need a temporary name."""

    @pytest.fixture
    def place(self, folder: Path) -> Place:
        return in_folder(folder, fs=DirFileSystem(str(folder), LocalFileSystem()), url=lambda name: name)


class TestMemoryUrl(SinkContract):
    @pytest.fixture
    def place(self) -> Iterator[Place]:
        memory = fsspec.filesystem("memory")
        memory.store.clear()

        def get(name: str) -> bytes | None:
            return memory.cat(f"/tests/{name}") if memory.exists(f"/tests/{name}") else None

        def left_over() -> list[str]:
            return [name for name in memory.store if name.endswith(".part")]

        yield Place(lambda name: f"memory://tests/{name}", get, lambda name, data: memory.pipe(f"/tests/{name}", data),
                    left_over)  # fmt: skip
        memory.store.clear()


def of_obstore(store: Any, **more: Any) -> Place:
    def get(name: str) -> bytes | None:
        try:
            return bytes(obstore.get(store, name).bytes())
        except FileNotFoundError:
            return None

    return Place(**{"url": lambda name: name, "get": get, "put": lambda name, data: obstore.put(store, name, data),
                    "left_over": list, "fs": store} | more)  # fmt: skip


class TestObstoreMemory(SinkContract):
    @pytest.fixture
    def place(self) -> Place:
        return of_obstore(MemoryStore())


class TestObstoreLocal(SinkContract):
    @pytest.fixture
    def place(self, folder: Path) -> Place:
        def left_over() -> list[str]:
            return [name for name in os.listdir(folder) if "#" in name]

        return of_obstore(LocalStore(str(folder)), left_over=left_over)
