"""Clients open each kind of file as `cells.json` and the table in docs/web.md say, in either direction.

The kinds are in kinds.py, the clients in in_python.py, in_programs.py and in_browsers.py. A cell that changes is a
failure: run matrix.py, look at the difference, and write down why.
"""

from __future__ import annotations

import fcntl
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import need_browser
from clients.files import File
from clients.in_browsers import IN_BROWSERS
from clients.kinds import KINDS
from clients.matrix import CLIENTS, PAGE, as_markdown, load_cells, open_all, page_with, write_files
from clients.verdicts import MEANINGS
from foreign.processes import need
from range_server import Server, running

pytestmark = [
    pytest.mark.slow,
    # The clients' own business.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Server]:
    """A range server of this process on a folder that all processes of the tests share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "clients"
    folder.mkdir(exist_ok=True)
    with running(folder) as server:
        yield server


@pytest.fixture(scope="module")
def files(server: Server) -> tuple[list[File], list[File]]:
    """Our files and GDAL's: the first process writes them, the others wait."""
    noted = server.folder / "files.pickle"
    with (server.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not noted.exists():
            noted.write_bytes(pickle.dumps([file.receipt for file in write_files(server)[0]]))
    receipts = pickle.loads(noted.read_bytes())
    ours, controls = [], []
    for kind, receipt in zip(KINDS, receipts, strict=True):
        for found, name in ((ours, kind.file_name), (controls, f"gdal-{kind.file_name}")):
            if (server.folder / name).exists():
                found.append(File(kind, server.folder / name, f"{server.base}/{name}", receipt))
    return ours, controls


def _need(client: str) -> None:
    need(client)
    if client in IN_BROWSERS:
        need_browser()


@pytest.mark.parametrize("client", CLIENTS)
def test_client_opens_each_kind_as_recorded(client: str, server: Server, files: tuple[list[File], list[File]]) -> None:
    _need(client)

    found = open_all(client, files[0], server)

    cells = load_cells()
    recorded = {name: cells.get(name, {}).get(client, {}).get("ours", "right") for name in found}
    changed = {name: (recorded[name], verdict) for name, verdict in found.items() if verdict.word != recorded[name]}
    assert not changed


@pytest.mark.thorough
@pytest.mark.parametrize("client", CLIENTS)
def test_client_opens_gdals_files_as_recorded(
    client: str, server: Server, files: tuple[list[File], list[File]]
) -> None:
    _need(client)

    found = open_all(client, files[1], server)

    cells = load_cells()
    recorded = {name: cells.get(name, {}).get(client, {}).get("gdal", "right") for name in found}
    changed = {name: (recorded[name], verdict) for name, verdict in found.items() if verdict.word != recorded[name]}
    assert not changed


def test_no_client_does_better_with_gdals_file() -> None:
    order = list(MEANINGS)
    worse = {
        (name, client): cell
        for name, row in load_cells().items()
        for client, cell in row.items()
        if cell["gdal"] in order and order.index(cell["gdal"]) < order.index(cell["ours"])
    }

    assert worse == {}


def test_page_shows_the_recorded_cells() -> None:
    assert PAGE.read_text() == page_with(as_markdown(load_cells()))


def test_recorded_cells_are_of_known_kinds_and_clients() -> None:
    cells = load_cells()

    assert set(cells) <= {kind.name for kind in KINDS}
    assert {client for row in cells.values() for client in row} <= set(CLIENTS)


def test_kinds_have_names_of_their_own() -> None:
    assert len({Path(kind.file_name) for kind in KINDS}) == len(KINDS)
