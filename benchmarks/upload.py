"""Saving to S3, beside saving locally, uploading the finished file, and georeader-spaceml: ``make bench-upload``.

A SeaweedFS server on this machine is the store: it takes its share of the cores, which is measured too. Each round does
each way once, so that what disturbs one disturbs all; ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import spaceml_python
from benchmarks.helper import ask, helper
from servers.seaweed import running_seaweed

#: 240 MB: bands, rows and columns of uint16.
SHAPE = (4, 5477, 5477)

#: "/1": on one thread, so that the store has a core for itself, as it has where it is another machine.
CODECS = ("lzw", "lzw/1", "zstd", "none")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--codecs", default=",".join(CODECS))
    parser.add_argument("--without-spaceml", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name, running_seaweed() as server:
        folder = Path(name)
        pixels = folder / "pixels.npy"
        np.save(pixels, scene())
        environment = os.environ | server.env() | {"AWS_DEFAULT_REGION": server.region}
        pythons = {"local": sys.executable, "s3": sys.executable, "upload_file": sys.executable}
        if not options.without_spaceml:
            pythons["spaceml"] = spaceml_python()
        for codec in options.codecs.split(","):
            measure(codec, options.rounds, pythons, pixels, environment, server)


def scene() -> np.ndarray[Any, Any]:
    """A walk along each row: as compressible as a satellite's bands."""
    steps = np.random.default_rng(0).normal(0, 8, SHAPE).astype("float32")
    walk = np.cumsum(steps, axis=2)
    return (walk - walk.min()).clip(0, 10_000).astype("uint16")


def measure(
    codec: str, rounds: int, pythons: dict[str, str], pixels: Path, environment: dict[str, str], server: Any
) -> None:
    """Do some rounds with one codec, and print what they took."""
    file, url = pixels.with_name("local.tif"), server.url("ours.tif")
    jobs = {
        "local": (str(file), codec), "s3": (url, codec), "upload_file": (str(file), server.url("uploaded.tif")),
        "spaceml": (server.url("spaceml.tif"), codec),
    }  # fmt: skip
    found: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(
                helper(python, "upload_worker", [_way(name), str(pixels)], pixels.parent, environment)
            )
            for name, python in pythons.items()
        }
        for _ in range(rounds):
            for name, process in workers.items():
                found[name].append(ask(process, "\t".join(jobs[name])))
            if server.get("ours.tif") != file.read_bytes():
                raise RuntimeError(f"{codec}: the object is not the file")
            if server.open_uploads():
                raise RuntimeError(f"{codec}: an upload is left open")
            server.clear()
    print_table(codec, found, file.stat().st_size)


def _way(name: str) -> str:
    return {"local": "ours", "s3": "ours"}.get(name, name)


def print_table(codec: str, found: dict[str, list[dict[str, float]]], size_bytes: int) -> None:
    """Print medians and the ratios that were to be reached."""
    rounds = len(found["s3"])
    print(f"\n{codec}: {size_bytes / 1e6:.0f} MB in the file, {rounds} rounds, medians")
    for name, figures in found.items():
        seconds, cpu = (statistics.median(one[key] for one in figures) for key in ("seconds", "cpu_seconds"))
        peak = figures[0]["peak_bytes"] / 1e6
        print(f"  {name:12} {seconds:6.2f} s {cpu:6.2f} s of CPU, first round {peak:5.0f} MB beyond what was held")
    longest = [max(a["seconds"], b["seconds"]) for a, b in zip(found["local"], found["upload_file"], strict=True)]
    print_ratio(
        "s3 / the larger of (local, upload_file), at most 1.15", [one["seconds"] for one in found["s3"]], longest
    )
    if "spaceml" in found:
        theirs = [one["seconds"] for one in found["spaceml"]]
        print_ratio("spaceml / s3, at least 1.8", theirs, [one["seconds"] for one in found["s3"]])
    more = (found["s3"][0]["peak_bytes"] - found["local"][0]["peak_bytes"]) / 1e6
    print(f"  memory beyond a local save, at most 100 MB: {more:.0f} MB", flush=True)


def print_ratio(what: str, above: list[float], below: list[float]) -> None:
    """Print a ratio: its median over the rounds, and its range."""
    ratios = sorted(a / b for a, b in zip(above, below, strict=True))
    print(f"  {what}: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
