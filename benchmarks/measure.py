"""Time and memory of one call, measured in the process that makes it."""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


def measured(call: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Call a function, and return its measurements beside its result.

    Returns:
        (figures, result). The figures: ``seconds`` by the clock on the wall, ``cpu_seconds`` of all threads of this
        process and of programs that it ran, ``peak_bytes``: how far the process grew beyond what it held before the
        call. The last means something only in a young process: memory that was freed earlier is used again without
        growing.
    """
    gc.collect()
    before_bytes = start_watching_memory()
    cpu_start, start = _cpu_seconds(), time.perf_counter()
    result = call()
    figures = {"seconds": time.perf_counter() - start, "cpu_seconds": _cpu_seconds() - cpu_start}
    figures["peak_bytes"] = peak_memory_bytes() - before_bytes
    return figures, result


def _cpu_seconds() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def start_watching_memory() -> int:
    """Reset the peak memory where the system can (Linux), and return the current memory."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return peak_memory_bytes()
    return _status_bytes("VmRSS")


def peak_memory_bytes() -> int:
    """Return the most memory that the process has held; on Linux, since its peak was last forgotten."""
    if _STATUS.exists():
        return _status_bytes("VmHWM")
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes


def _status_bytes(field: str) -> int:
    (line,) = [line for line in _STATUS.read_text().splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024
