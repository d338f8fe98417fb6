"""The machine that is measured on, and the environment that one peer needs for itself."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

from benchmarks.codec_alone import usable_cores
from benchmarks.crew import ROOT

#: georeader-spaceml and this project share an import name: it lives in an environment of its own, one for each Python.
SPACEML_VENV = ROOT / "benchmarks" / ".venv-spaceml-{}.{}".format(*sys.version_info)
SPACEML_REQUIREMENTS = ROOT / "requirements" / "bench-spaceml.txt"


def spaceml_python() -> str:
    """Return the interpreter that has georeader-spaceml, and make its environment first when there is none.

    Raises:
        RuntimeError: It cannot be installed; the message is pip's last line.
    """
    python = SPACEML_VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = SPACEML_VENV / "installed.txt"
    wanted = f"{sys.version}\n{SPACEML_VENV}\n{SPACEML_REQUIREMENTS.read_text()}"
    if stamp.is_file() and stamp.read_text() == wanted:
        return str(python)
    print(f"installing georeader-spaceml into {SPACEML_VENV.relative_to(ROOT)} ...", flush=True)
    venv.create(SPACEML_VENV, clear=True, with_pip=True)
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    done = subprocess.run([*install, "-r", str(SPACEML_REQUIREMENTS)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip() or "pip failed without a word").splitlines()[-1])
    stamp.write_text(wanted)
    return str(python)


def machine(work_folder: Path) -> dict[str, Any]:
    """Describe where this runs; the load is that of the moment."""
    return {
        "cpu": _cpu_model(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None,
        "load_at_start": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "file_system_of_outputs": _file_system(work_folder),
        "project": f"georeader-cog {importlib.metadata.version('georeader-cog')} {_commit()}".strip(),
    }


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _file_system(folder: Path) -> str | None:
    """Find the file system that a folder lies on: the mount whose path is the longest part of the folder's."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return None
    fields = [line.split() for line in mounts.read_text().splitlines()]
    above = [(len(mount), kind) for _, mount, kind, *_ in fields if folder.resolve().is_relative_to(mount)]
    return max(above)[1] if above else None


def _commit() -> str:
    """Return the commit that is measured, if git finds one."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
