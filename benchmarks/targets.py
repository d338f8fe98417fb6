"""What the project set out to reach, and whether a run reached it. All are ratios within one run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Results = dict[str, dict[str, Any]]

#: The memory target is about arrays larger than this.
LARGE_BYTES = 200_000_000

#: What `save_cog` may hold by default, in MiB.
MAX_MEMORY_MIB = 512

#: Times as fast as GDAL with ALL_CPUS; chips: times as many files a second.
TIMES_GDAL = {
    "uint16-lzw": 2.2, "float32-lzw": 2.1, "bands13-lzw": 2.0, "uint16-zstd9": 1.9, "uint16-deflate": 1.6,
    "chips-lzw": 2.0, "chips-alike-lzw": 2.0, "chips-zstd9": 1.8, "chips-alike-zstd9": 1.8,
}  # fmt: skip

#: The same of two writers with one thread each.
TIMES_GDAL_ONE_THREAD_EACH = {"chips-lzw-2-writers": 1.6, "chips-alike-lzw-2-writers": 1.6}

#: Sections of one width: the first and the last differ in their rows, 16 times as many.
ROWS = ("rows-1", "rows-16")


@dataclass(frozen=True)
class Verdict:
    """One target and what became of it.

    Attributes:
        target: What is to be reached.
        limit: The number, with its direction.
        measured: The number that was found, or None when the run did not measure it.
        met: Whether it is within the limit, or None.
        where: The section that decided.
    """

    target: str
    limit: str
    measured: float | None
    met: bool | None
    where: str


def round_ratios(section: dict[str, Any], above: str, below: str, key: str = "seconds") -> list[float]:
    """Divide one peer's times by another's, round by round: what disturbs a round disturbs both.

    Args:
        section: The result of a section.
        above: The peer whose times are divided.
        below: The peer that they are divided by.
        key: What is compared.
    """
    times = [section["peers"].get(name, {}) for name in (above, below)]
    if any(entry.get("problem") for entry in times):
        return []
    return [a / b for a, b in zip(*(entry.get(key, []) for entry in times), strict=False)]


def verdicts(results: Results) -> list[Verdict]:
    """Hold the results of a run against all targets."""
    return [
        *(_at_least(f"times as fast as GDAL with {threads}: {name}", limit, [(name, _median(results, name, "gdal"))])
          for threads, limits in [("ALL_CPUS", TIMES_GDAL), ("one thread a writer", TIMES_GDAL_ONE_THREAD_EACH)]
          for name, limit in limits.items()),
        *(_at_least(f"times as fast as GDAL, defaults of each, zstd{more}", 5.0,
                    [("uint16-defaults", _median(results, "uint16-defaults", peer))])
          for peer, more in [("gdal", ""), ("gdal-all", "; but GDAL with ALL_CPUS")]),
        *(_at_most(f"times the codec alone: {name}", limit, [(name, _median(results, name, below="codec"))])
          for name, limit in [("uint16-lzw", 1.3), ("uint16-deflate", 1.3), ("uint16-zstd9", 1.3),
                              ("uint16-zstd3", 2.5)]),
        _at_least("times as fast as the fastest of GDAL's ways, worst section", 1.0, _against_each_gdal(results)),
        *(_at_most(f"times the time for 16 times the pixels: {name}", 17.0, [(name, _growth(results[name]))])
          for name in _names(results, "scaling")),
        *(_at_most(f"of the array's size in memory beyond it: {name}", 0.5, [(name, _memory(results[name]))])
          for name in _names(results, "memory") if _is_array(results[name])),
        *_larger_than_memory(results),
        _at_most("% larger than GDAL's file, worst section", 0.5, _sizes(results)),
        _at_most("% larger than GDAL's file, worst section of LZW", 0.1, _sizes(results, "lzw")),
    ]  # fmt: skip


def _larger_than_memory(results: Results) -> Iterator[Verdict]:
    """Hold sources that stream against what they were to reach."""
    streamed = [name for name in _names(results, "memory") if not _is_array(results[name])]
    for which, names in [("40,000 x 40,000 x 4", ["memory-scene"]), ("worst section that streams", streamed)]:
        peaks = [(name, _peak_mib(results, name)) for name in names]
        yield _at_most(f"MiB of memory beyond the source: {which}", MAX_MEMORY_MIB, peaks)
    few, many = (_peak_mib(results, name) for name in ROWS)
    growth = many / few if few is not None and many is not None else None
    yield _at_most("times the memory for 16 times the rows", 1.1, [(ROWS[1], growth)])
    for name in _names(results, "stream") or ["scene-lzw"]:
        growth = per_pixel_growth(results[name]) if name in results else []
        median = statistics.median(growth) if growth else None
        yield _at_most(f"times the time per pixel of an array in memory: {name}", 1.25, [(name, median)])
    for name in _given_as(results, "dask") or ["dask-lzw"]:
        ratio = _median(results, name, "odc-dask")
        yield _at_least(f"times as fast as odc-geo's save_cog_with_dask: {name}", 4.0, [(name, ratio)])
    for name in _given_as(results, "file") or ["convert-lzw"]:
        # The program where it is installed; else the same code, in rasterio's GDAL.
        ratios = [_median(results, name, peer) for peer in ("gdal-translate", "gdal")]
        ratio = next((ratio for ratio in ratios if ratio is not None), None)
        yield _at_least(f"times as fast as gdal_translate -of COG: {name}", 1.7, [(name, ratio)])


def per_pixel_growth(section: dict[str, Any]) -> list[float]:
    """Divide the time per pixel of a scene that streams by that of an array in memory, round by round."""
    entry = section["peers"].get("ours", {})
    if not entry or entry["problem"]:
        return []
    times_as_large = section["input"]["bytes"] / section["in_memory"]["bytes"]
    times = zip(entry["seconds"], entry["small_seconds"], strict=False)
    return [large / small / times_as_large for large, small in times]


def _is_array(section: dict[str, Any]) -> bool:
    return section["form"] == "array"


def _given_as(results: Results, form: str) -> list[str]:
    return [name for name in _names(results, "raster") if results[name]["form"] == form]


def _peak_mib(results: Results, name: str) -> float | None:
    peak_bytes = results[name]["peers"].get("ours", {}).get("peak_bytes") if name in results else None
    return None if peak_bytes is None else peak_bytes / 2**20


def _names(results: Results, kind: str) -> list[str]:
    return [name for name, section in results.items() if section["kind"] == kind]


def _median(results: Results, name: str, above: str = "ours", below: str = "ours") -> float | None:
    ratios = round_ratios(results[name], above, below) if name in results else []
    return statistics.median(ratios) if ratios else None


def _against_each_gdal(results: Results) -> list[tuple[str, float | None]]:
    """Return the smallest of the ratios to each way of calling GDAL, for each section of files."""
    found = []
    for name in [*_names(results, "raster"), *_names(results, "chips")]:
        ratios = [_median(results, name, peer) for peer in ("gdal", "gdal-1", "gdal-all", "gdal-write")]
        found.append((name, min((ratio for ratio in ratios if ratio is not None), default=None)))
    return found


def _growth(section: dict[str, Any]) -> float | None:
    entry = section["peers"].get("ours", {})
    ratios = [
        large / small for large, small in zip(entry.get("seconds", []), entry.get("small_seconds", []), strict=True)
    ]
    return statistics.median(ratios) if ratios else None


def _memory(section: dict[str, Any]) -> float | None:
    peak_bytes = section["peers"].get("ours", {}).get("peak_bytes")
    is_large = section["input"]["bytes"] > LARGE_BYTES
    return peak_bytes / section["input"]["bytes"] if is_large and peak_bytes is not None else None


def _sizes(results: Results, codec: str | None = None) -> list[tuple[str, float | None]]:
    found = []
    for name, section in results.items():
        ours, gdals = (section["peers"].get(peer, {}).get("bytes") for peer in ("ours", "gdal"))
        if section["is_matched"] and ours and gdals and codec in (None, section["settings"]["codec"]):
            found.append((name, (ours / gdals - 1) * 100))
    return found


def _at_least(target: str, limit: float, found: Iterable[tuple[str, float | None]]) -> Verdict:
    return _verdict(target, f">= {limit}", found, min, lambda value: value >= limit)


def _at_most(target: str, limit: float, found: Iterable[tuple[str, float | None]]) -> Verdict:
    return _verdict(target, f"<= {limit}", found, max, lambda value: value <= limit)


def _verdict(
    target: str,
    limit: str,
    found: Iterable[tuple[str, float | None]],
    worst: Callable[..., tuple[float, str]],
    is_met: Callable[[float], bool],
) -> Verdict:
    known = [(value, name) for name, value in found if value is not None]
    if not known:
        return Verdict(target, limit, None, None, "")
    value, where = worst(known)
    return Verdict(target, limit, value, is_met(value), where)
