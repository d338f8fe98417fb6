"""Clients by kinds of file: which cells are right, and how the others are not.

`cells.json` records the cells that are not right, with the verdict on GDAL's file of the same pixels beside it, and
`docs/web.md` shows the table. ``PYTHONPATH=tests/support:tests:src python tests/clients/matrix.py`` renews both, of the
clients that it is passed or of all.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from browser import running_browser
from clients.files import File
from clients.in_browsers import IN_BROWSERS, serve_viewers
from clients.in_programs import IN_PROGRAMS
from clients.in_python import IN_PYTHON, judge
from clients.kinds import KINDS, Kind
from clients.verdicts import RIGHT, Verdict
from range_server import Server, running

HERE = Path(__file__).parent
CELLS = HERE / "cells.json"
PAGE = HERE.parents[1] / "docs" / "web.md"

#: All clients, in the order of the table.
CLIENTS = [*IN_BROWSERS, *IN_PROGRAMS, *IN_PYTHON]

#: Between these lines of the page is what this module writes.
_BEGIN, _END = "<!-- table: begin -->", "<!-- table: end -->"

#: How the table shows a verdict.
_SIGNS = {"right": "yes", "holes": "holes", "wrong": "wrong", "blank": "blank", "refused": "no"}

#: Kind -> client -> {"ours": word, "gdal": word, "reason": ...} of the cells that are not right.
Cells = dict[str, dict[str, dict[str, str]]]


def write_files(server: Server, kinds: Iterable[Kind] = KINDS) -> tuple[list[File], list[File]]:
    """Write all kinds into a served folder; return our files and those of GDAL, which may lack some."""
    ours, controls = [], []
    for kind in kinds:
        path = server.folder / kind.file_name
        receipt = kind.save(path)
        ours.append(File(kind, path, f"{server.base}/{path.name}", receipt))
        control = server.folder / f"gdal-{kind.file_name}"
        if kind.save_by_gdal(control):
            controls.append(File(kind, control, f"{server.base}/{control.name}", receipt))
    serve_viewers(server.folder)
    return ours, controls


def open_all(client: str, files: Sequence[File], server: Server) -> dict[str, Verdict]:
    """Return the verdict on each file by the name of its kind."""
    if client in IN_PYTHON:
        verdicts = [judge(IN_PYTHON[client], file) for file in files]
    elif client in IN_PROGRAMS:
        verdicts = IN_PROGRAMS[client](files, Path(tempfile.mkdtemp(dir=server.folder)))
    else:
        with running_browser() as browser:
            verdicts = IN_BROWSERS[client](browser, f"{server.base}/viewers.html", files)
    return {file.kind.name: verdict for file, verdict in zip(files, verdicts, strict=True)}


def load_cells() -> Cells:
    return json.loads(CELLS.read_text())


def _renew(cells: Cells, clients: Sequence[str]) -> Cells:
    """Return cells with those of some clients found anew."""
    renewed = {
        kind.name: {client: cell for client, cell in cells.get(kind.name, {}).items() if client not in clients}
        for kind in KINDS
    }
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        ours, controls = write_files(server)
        for client in clients:
            print(client, file=sys.stderr, flush=True)
            found, by_gdal = open_all(client, ours, server), open_all(client, controls, server)
            for name, verdict in found.items():
                control = by_gdal.get(name)
                if verdict == RIGHT and control in (RIGHT, None):
                    continue
                gdal = "not written" if control is None else control.word
                renewed[name][client] = {"ours": verdict.word, "gdal": gdal, "reason": verdict.reason}
    return {name: {client: row[client] for client in CLIENTS if client in row} for name, row in renewed.items() if row}


def as_markdown(cells: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """Return the table, and below it the reasons."""
    rows = [["kind of file", *CLIENTS], ["---"] * (len(CLIENTS) + 1)]
    for kind in KINDS:
        row = cells.get(kind.name, {})
        rows.append([kind.name, *(_sign(row.get(client)) for client in CLIENTS)])
    reasons: dict[str, dict[str, list[str]]] = {}
    for kind in KINDS:
        for client, cell in cells.get(kind.name, {}).items():
            if cell["ours"] != "right":
                text = f"{_SIGNS[cell['ours']]}: {cell['reason']}"
                reasons.setdefault(client, {}).setdefault(text, []).append(kind.name)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    for client in CLIENTS:
        if client in reasons:
            lines += ["", f"**{client}**", ""]
            lines += [f"- {text}. {'; '.join(names)}." for text, names in reasons[client].items()]
    return "\n".join(lines)


def _sign(cell: Mapping[str, str] | None) -> str:
    if cell is None:
        return "yes"
    sign = _SIGNS[cell["ours"]]
    return sign if cell["gdal"] in (cell["ours"], "not written") else f"{sign} (GDAL: {_SIGNS[cell['gdal']]})"


def page_with(table: str) -> str:
    """Return the page with a table in place of its own."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    return f"{before}{_BEGIN}\n\n{table}\n\n{_END}{rest.partition(_END)[2]}"


def main(clients: Sequence[str]) -> None:
    """Renew the record, of all clients or some, and the page."""
    cells = _renew(load_cells() if CELLS.exists() else {}, clients or CLIENTS)
    CELLS.write_text(json.dumps(cells, indent=1) + "\n")
    PAGE.write_text(page_with(as_markdown(cells)))


if __name__ == "__main__":
    main(sys.argv[1:])
