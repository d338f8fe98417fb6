"""A process that measures one way, for as long as a benchmark needs it: it is sent a line, and answers with JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.crew import ROOT


@contextmanager
def helper(
    python: str, module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Run a module of these benchmarks while the block runs, once it has printed "ready".

    Args:
        python: The interpreter.
        module: Its name.
        arguments: Command line arguments; the first is the way that it measures.
        folder: Where it runs.
        environment: In which, but for PYTHONPATH.

    Raises:
        RuntimeError: It does not begin.
    """
    process = subprocess.Popen(
        [python, "-m", f"benchmarks.{module}", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        if not process.stdout or process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{arguments[0]}: its process does not begin")
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(process: subprocess.Popen[str], line: str) -> dict[str, float]:
    """Send it a line, and return its measurements."""
    if not process.stdin or not process.stdout:
        raise RuntimeError("a process without pipes")
    print(line, file=process.stdin, flush=True)
    answer: dict[str, float] = json.loads(process.stdout.readline())
    return answer
