"""One peer in a process of its own: takes jobs on standard input, answers on standard output, a line of JSON each.

Every peer runs like this, so that none profits from what another left in memory, and so that georeader-spaceml, whose
import name is this project's, can run at all. Started as ``python -m benchmarks.worker PEER``. The jobs:

- ``hello``: the versions of the peer, or why it is missing.
- ``load``: open these rasters, in the form that a section gives them; or read chips, one for each entry of a file's
  first axis.
- ``write``: write rasters by their numbers to paths, and return the measurements.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.forms import Given
from benchmarks.measure import measured
from benchmarks.peers import PEERS, Peer
from benchmarks.settings import Place, Settings, place_from_json


class Bench:
    """What a worker holds between two jobs: its peer, the rasters, and what the peer made of them."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.rasters: list[Any] = []
        self.place = Place()
        self.prepared: dict[tuple[int, Settings], Any] = {}

    def hello(self) -> dict[str, Any]:
        """Return the versions of the peer, or why it is missing."""
        reason = self.peer.available()
        if reason is not None:
            return {"missing": reason}
        versions = {name: importlib.metadata.version(name) for name in self.peer.distributions}
        for program in self.peer.programs:
            printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            versions[program] = printed.strip()
            if printed.startswith("GDAL "):
                versions["GDAL"] = printed.split()[1].rstrip(",")
        if "rasterio" in self.peer.distributions:
            import rasterio

            versions["GDAL"] = rasterio.__gdal_version__
        return {"missing": None, "versions": versions}

    def load(self, givens: list[dict[str, Any]], place: dict[str, Any], *, split: bool) -> dict[str, Any]:
        """Open rasters, and close earlier ones."""
        self.prepared.clear()
        self.rasters.clear()
        self.place = place_from_json(place)
        for given in givens:
            raster = Given(**given).open(self.place)
            self.rasters += list(raster) if split else [raster]
        return {"rasters": len(self.rasters)}

    def write(
        self, rasters: list[int], paths: list[str], settings: dict[str, Any], writers: int = 1
    ) -> dict[str, float | int | None]:
        """Write rasters one after the other, or ``writers`` at a time; preparations are not part of the time."""
        wanted = Settings(**settings)
        self.prepared = {key: value for key, value in self.prepared.items() if key[1] == wanted}
        for raster in set(rasters):
            if (raster, wanted) not in self.prepared:
                self.prepared[raster, wanted] = self.peer.prepare(self.rasters[raster], self.place, wanted)
        jobs = [(self.prepared[raster, wanted], path) for raster, path in zip(rasters, paths, strict=True)]
        figures, sizes = measured(lambda: list(_run(jobs, self._write_one(wanted), writers)))
        return {**figures, "bytes": None if self.peer.writes_file else sum(sizes)}

    def _write_one(self, settings: Settings) -> Callable[[tuple[Any, str]], int | None]:
        return lambda job: self.peer.write(job[0], self.place, settings, job[1])


def _run(jobs: list[Any], work: Callable[[Any], Any], writers: int) -> list[Any]:
    if writers == 1:
        return [work(job) for job in jobs]
    with ThreadPoolExecutor(writers) as pool:
        return list(pool.map(work, jobs))


def main(name: str) -> None:
    """Answer until standard input ends."""
    # Peers may print; answers go where only answers go.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    bench = Bench(PEERS[name])
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = getattr(bench, job.pop("do"))(**job)
        except NotImplementedError as error:
            answer = {"unsupported": str(error)}
        except Exception as error:  # noqa: BLE001 - an exception of a peer is a result of the run, not its end
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
