"""Report on a file: its measurement and its problems, as text and as JSON. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from georeader.validation.formatting import bytes_text, count_text
from georeader.validation.measurement import Measurement
from georeader.validation.problems import Problem, Severity


@dataclass(frozen=True)
class Report:
    """A report on whether a file is a good Cloud Optimized GeoTIFF.

    Attributes:
        path: Of the file, without the secrets that a URL may hold.
        measurement: What was measured.
        problems: What is wrong: errors first, then warnings.
        is_strict: Warnings count as errors do.

    Example:
        >>> report = Report("a.tif", Measurement(0), (Problem(Severity.ERROR, "not-a-tiff", "it is empty"),))
        >>> print(report)
        a.tif is NOT a valid Cloud Optimized GeoTIFF: 1 error
          0 bytes, no TIFF
          error    not-a-tiff: it is empty
        >>> report.is_valid, bool(report)
        (False, False)
    """

    path: str
    measurement: Measurement
    problems: tuple[Problem, ...] = ()
    is_strict: bool = False

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that make it no good COG."""
        return tuple(one for one in self.problems if one.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Problems that readers can live with."""
        return tuple(one for one in self.problems if one.severity is Severity.WARNING)

    @property
    def is_valid(self) -> bool:
        """Whether there are no errors, and no warnings either where one is strict."""
        return not (self.problems if self.is_strict else self.errors)

    def __bool__(self) -> bool:
        return self.is_valid

    def __repr__(self) -> str:
        """Return one line: the path and the verdict."""
        return self._verdict()

    def __str__(self) -> str:
        """Return the verdict, the layout and each problem, a line each."""
        lines = [self._verdict(), f"  {_layout_text(self.measurement)}", *_viewer_lines(self.measurement)]
        lines += [f"  {problem.severity.value:<9}{problem.code}: {problem.message}" for problem in self.problems]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON has it."""
        return {
            "path": self.path,
            "is_valid": self.is_valid,
            "is_strict": self.is_strict,
            "errors": [_problem_dict(one) for one in self.errors],
            "warnings": [_problem_dict(one) for one in self.warnings],
            "measurement": self.measurement.to_dict(),
        }

    def _verdict(self) -> str:
        counts = [count_text(len(found), name) for found, name in ((self.errors, "error"), (self.warnings, "warning"))]
        said = ", ".join(text for text, found in zip(counts, (self.errors, self.warnings), strict=True) if found)
        is_not = "is" if self.is_valid else "is NOT"
        strict = " (warnings count)" if self.is_strict and self.warnings and not self.errors else ""
        return f"{self.path} {is_not} a valid Cloud Optimized GeoTIFF{': ' + said if said else ''}{strict}"


def _problem_dict(problem: Problem) -> dict[str, str]:
    found = asdict(problem)
    return {name: str(value) for name, value in found.items() if name != "severity"}


def _layout_text(measurement: Measurement) -> str:
    if measurement.version is None:
        return f"{bytes_text(measurement.size_bytes)}, no TIFF"
    tiles = sum(len(one.tile_offsets_bytes) for one in measurement.directories)
    base = measurement.images[0].layout if measurement.images else None
    parts = [f"{measurement.version}, {bytes_text(measurement.size_bytes)}"]
    if base is not None:
        parts.append(f"{base.width_px} x {base.height_px} pixels of {base.samples} x {base.kind_name}")
        parts.append(base.compression_name.lower())
    parts.append(f"{count_text(len(measurement.images) - 1, 'overview')}" if measurement.images else "no image")
    decoded = measurement.tiles_decoded
    parts.append(count_text(tiles, "tile") + (", not decoded" if decoded is None else f", {decoded} decoded"))
    return ", ".join(parts)


def _viewer_lines(measurement: Measurement) -> list[str]:
    viewer = measurement.viewer
    if viewer is None:
        return []
    return [
        f"  a viewer opens it by {count_text(viewer.open_requests, 'request')} ({bytes_text(viewer.open_bytes)}), and "
        f"shows {viewer.thumbnail_width_px} x {viewer.thumbnail_height_px} pixels of it by "
        f"{count_text(viewer.thumbnail_requests, 'more request')} ({bytes_text(viewer.thumbnail_bytes)})"
    ]
