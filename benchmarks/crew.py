"""Worker processes: one for each peer, started when it is first needed, and ended together."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

from benchmarks.forms import Given
from benchmarks.peers import PEERS

ROOT = Path(__file__).resolve().parents[1]


class PeerError(Exception):
    """A peer failed; the message is its own."""


class UnsupportedError(PeerError):
    """A peer has no such setting."""


class Crew:
    """Processes of peers, kept alive from one section to the next.

    Args:
        pythons: Peer to the interpreter it runs in.
        folder: Working folder of the processes.
        logs: Folder for what they print.
        timeout_seconds: After which a job is cancelled and its process ended.
    """

    def __init__(self, pythons: dict[str, str], folder: Path, logs: Path, timeout_seconds: float) -> None:
        self._pythons = pythons
        self._folder = folder
        self._logs = logs
        self._timeout_seconds = timeout_seconds
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._loaded: dict[str, Any] = {}

    def ask(self, name: str, do: str, **job: Any) -> dict[str, Any]:
        """Send a job to a peer and wait for its answer.

        Raises:
            UnsupportedError: The peer has no such setting.
            PeerError: It failed, died or took too long.
        """
        process = self._processes.get(name) or self._start(name)
        answer = self._answer(name, process, json.dumps({"do": do, **job}))
        if "unsupported" in answer:
            raise UnsupportedError(answer["unsupported"])
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def load(self, name: str, givens: list[Given], place: dict[str, Any], *, split: bool = False) -> None:
        """Have a peer open rasters, unless these are what it holds."""
        wanted = {"givens": [dataclasses.asdict(given) for given in givens], "place": place, "split": split}
        if name in self._processes and repr(self._loaded.get(name)) == repr(wanted):
            return
        self.ask(name, "load", **wanted)
        self._loaded[name] = wanted

    def dismiss(self, name: str) -> None:
        """End a peer's process; the next job starts a fresh one."""
        process = self._processes.pop(name, None)
        self._loaded.pop(name, None)
        if process is not None:
            process.kill()
            process.communicate()

    def __enter__(self) -> Crew:
        """No process runs before its first job."""
        return self

    def __exit__(self, *raised: object) -> None:
        """End all processes."""
        for name in list(self._processes):
            self.dismiss(name)

    def _start(self, name: str) -> subprocess.Popen[str]:
        # Only the benchmarks are on the path: which georeader is imported is up to each interpreter.
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with self._log(name).open("w") as log:
            self._processes[name] = subprocess.Popen(
                [self._pythons[name], "-m", "benchmarks.worker", name],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self._folder, env=environment,
            )  # fmt: skip
        return self._processes[name]

    def _answer(self, name: str, process: subprocess.Popen[str], job: str) -> dict[str, Any]:
        watchdog = threading.Timer(self._timeout_seconds, process.kill)
        watchdog.start()
        try:
            print(job, file=process.stdin, flush=True)
            line = process.stdout.readline() if process.stdout else ""
        except BrokenPipeError:
            line = ""
        finally:
            in_time = watchdog.is_alive()
            watchdog.cancel()
        if not line:
            self.dismiss(name)
            why = "ended without an answer" if in_time else f"took more than {self._timeout_seconds:.0f} s"
            raise PeerError(f"the process of {PEERS[name].label} {why}; see {self._log(name)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"
