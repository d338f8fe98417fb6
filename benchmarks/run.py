"""Runs sections: in each round every peer once (A B C A B C ...), each file checked, then removed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.checks import look_at
from benchmarks.crew import Crew, PeerError
from benchmarks.material import Material, Store
from benchmarks.peers import PEERS
from benchmarks.sections import Effort, Section

#: The small raster of "scaling" and "stream" is written so often a round: it takes a sixteenth of the time.
_SMALL_WRITES = 4

#: Files of a round of chips that are checked; the size is taken of all.
_CHIPS_LOOKED_AT = 3


@dataclass
class Entry:
    """What one peer did in one section.

    Attributes:
        gdal: Version of the GDAL in its process, or None.
        seconds: Of each round.
        cpu_seconds: Of each round, of all its threads.
        small_seconds: Of each round, for the raster of a sixteenth of the pixels ("scaling"), or for that in memory
            ("stream").
        peak_bytes: Beyond what the process held before ("memory").
        bytes: Size of the file, or of all files of a round.
        facts: What the file is like.
        problem: Reason for a missing result.
    """

    gdal: str | None = None
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    small_seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None
    bytes: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


class Run:
    """One run of some sections.

    Args:
        crew: The workers.
        folder: Where inputs and outputs lie while they are needed.
        effort: How large and how often.
        missing: Peer to the reason why it takes no part.
        versions: Peer to its versions.
    """

    def __init__(
        self, crew: Crew, folder: Path, effort: Effort, missing: dict[str, str], versions: dict[str, dict[str, str]]
    ) -> None:
        self.crew = crew
        self.folder = folder
        self.effort = effort
        self.store = Store(folder, effort)
        self.missing = missing
        self.versions = versions

    def section(self, section: Section) -> dict[str, Any]:
        """Measure one section.

        Returns:
            The section's settings and input, and an `Entry` as a dict for each peer; ready for JSON. Without peers, and
            with the reason as "skipped", where there is too little room on the disk.
        """
        reason = self.store.lacks_room(section)
        if reason is not None:
            return _described(section) | {"skipped": reason, "peers": {}}
        material = self.store.material(section)
        entries = {
            name: Entry(gdal=self.versions.get(name, {}).get("GDAL"), problem=self.missing.get(name))
            for name in section.peers
        }
        job = _Job(self, section, material, entries)
        if section.kind == "memory":
            job.each_in_a_fresh_process()
        else:
            job.in_alternation()
        files = self.effort.chips_a_round if section.kind == "chips" else 1
        large, *others = [_shape_and_size(section, pixels, files) for pixels in material.pixels]
        return _described(section) | {
            "input": large,
            "in_memory": others[0] if section.kind == "stream" else None,
            "files_a_round": files,
            "peers": {name: dataclasses.asdict(entry) for name, entry in entries.items()},
        }


def _described(section: Section) -> dict[str, Any]:
    return {
        "kind": section.kind,
        "form": section.form,
        "title": section.settings.title(),
        "settings": dataclasses.asdict(section.settings),
        "is_matched": section.is_matched,
        "writers": section.writers,
    }


def _shape_and_size(section: Section, pixels: Any, files: int) -> dict[str, Any]:
    return {
        "name": section.input,
        "shape": list(pixels.shape),
        "dtype": pixels.dtype.name,
        "bytes": pixels.nbytes * files,
    }


@dataclass
class _Job:
    """One section at work."""

    run: Run
    section: Section
    material: Material
    entries: dict[str, Entry]

    def in_alternation(self) -> None:
        """Every peer once a round, as long as it works and has rounds left."""
        for name in self._working():
            self._try(name, self._warm_up)
        effort = self.run.effort
        rounds = {"scaling": self._scaling_round, "stream": self._stream_round}
        for turn in range(max(effort.rounds, effort.chip_rounds)):
            for name in self._working():
                if turn < effort.rounds_of(self.section, name):
                    self._try(name, rounds.get(self.section.kind, self._round))

    def each_in_a_fresh_process(self) -> None:
        """One peer after the other: load, warm up, write once."""
        for name in self._working():
            self.run.crew.dismiss(name)
            self._try(name, self._warm_up)
            if self.entries[name].problem is None:
                self._try(name, self._round)
            self.run.crew.dismiss(name)

    def _working(self) -> list[str]:
        return [name for name, entry in self.entries.items() if entry.problem is None]

    def _try(self, name: str, step: Any) -> None:
        try:
            step(name)
        except PeerError as error:
            self.entries[name].problem = str(error)

    def _warm_up(self, name: str) -> None:
        is_chips = self.section.kind == "chips"
        place = dataclasses.asdict(self.material.place)
        self.run.crew.load(name, self.material.givens, place, split=is_chips)
        self._write(name, [len(self.material.givens) - 1])

    def _round(self, name: str) -> None:
        count = self.run.effort.chips_a_round if self.section.kind == "chips" else 1
        rasters = [number % len(self.material.pixels) for number in range(count)]
        figures = self._write(name, rasters)
        entry = self.entries[name]
        entry.seconds.append(figures["seconds"])
        entry.cpu_seconds.append(figures["cpu_seconds"])
        entry.bytes = figures["bytes"]
        if self.section.kind == "memory":
            entry.peak_bytes = figures["peak_bytes"]

    def _scaling_round(self, name: str) -> None:
        small = [self._write(name, [1])["seconds"] for _ in range(_SMALL_WRITES)]
        self.entries[name].small_seconds.append(math.fsum(small) / len(small))
        self._round(name)

    def _stream_round(self, name: str) -> None:
        """Write the array in memory before the scene and after it, since minutes lie between."""
        small = [self._write(name, [1])["seconds"] for _ in range(_SMALL_WRITES // 2)]
        self._round(name)
        small += [self._write(name, [1])["seconds"] for _ in range(_SMALL_WRITES // 2)]
        self.entries[name].small_seconds.append(math.fsum(small) / len(small))

    def _write(self, name: str, rasters: list[int]) -> dict[str, Any]:
        """Write files by a peer, check them, and remove them."""
        files = [self.run.folder / f"out-{number}.tif" for number in range(len(rasters))]
        settings = dataclasses.asdict(self.section.settings)
        paths = [str(path) for path in files]
        try:
            figures = self.run.crew.ask(
                name, "write", rasters=rasters, paths=paths, settings=settings, writers=self.section.writers
            )
            if PEERS[name].writes_file:
                figures["bytes"] = self._look(name, files, rasters)
            return figures
        finally:
            for path in files:
                path.unlink(missing_ok=True)

    def _look(self, name: str, files: list[Path], rasters: list[int]) -> int:
        step = math.ceil(len(files) / _CHIPS_LOOKED_AT)
        for path, raster in list(zip(files, rasters, strict=True))[::step]:
            if not path.exists():
                raise PeerError("no file was written")
            facts = look_at(path, self.material.pixels[raster], self.material.place, self.section.settings)
            if facts["problems"]:
                raise PeerError(f"wrote a file with other settings: {'; '.join(facts['problems'])}")
            if raster == 0 or self.section.kind == "chips":
                self.entries[name].facts = facts
        return sum(path.stat().st_size for path in files)
