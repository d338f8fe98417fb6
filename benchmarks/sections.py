"""What is measured: a table of sections, each one comparison on one input with one set of settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Literal

from benchmarks.forms import Form
from benchmarks.inputs import CHIPS, INPUTS
from benchmarks.lazy import LAZY_INPUTS
from benchmarks.settings import Settings

Kind = Literal["raster", "chips", "scaling", "memory", "stream"]

#: Those that the targets of most sections are about.
LEADERS = ("ours", "gdal", "gdal-all", "gdal-write", "codec")

WRITERS = (
    "ours", "gdal", "gdal-1", "gdal-write", "rio-cogeo", "odc", "odc-dask", "rioxarray", "spaceml", "xrspatial",
)  # fmt: skip
WALLS = ("codec", "codec+predictor")
OURS_AND_GDAL = ("ours", "gdal", "gdal-write")

#: Peers whose number of threads cannot be set to another one.
_THREADS_ARE_FIXED = ("gdal-1", "xrspatial")


@dataclass(frozen=True)
class Section:
    """One comparison.

    Attributes:
        name: For ``--only`` and in the results.
        kind: "raster" writes one large file a round, "chips" many small ones, "scaling" one of 16 times the pixels of
            the other, "memory" one in a fresh process a peer, "stream" one larger than memory, and one in memory.
        input: Name of its input.
        settings: The file that is wanted.
        peers: Who takes part, in the order of each round.
        writers: Files that a peer writes at a time (chips).
        has_targets: Whether it is the main scene, which takes the most rounds.
        form: In which form peers get the raster.
        leaders: Those that targets are about: measured in every round, the others in the first few.
    """

    name: str
    kind: Kind
    input: str
    settings: Settings
    peers: tuple[str, ...] = WRITERS + WALLS
    writers: int = 1
    has_targets: bool = False
    form: Form = "array"
    leaders: tuple[str, ...] = LEADERS

    @property
    def is_matched(self) -> bool:
        """Whether all peers have the same settings, or each has its defaults."""
        return self.settings.tile_px is not None


@dataclass(frozen=True)
class Effort:
    """How large and how often.

    Attributes:
        size_px: Side of the satellite scene; the other inputs are in proportion.
        rounds: Rounds of a section with targets.
        other_rounds: Rounds of the same section for peers that no target is about. In the other sections those take
            part once, and the rest once more than this.
        chips: Chips that differ; they are written again and again.
        chips_a_round: Files a round of the chips.
        chip_rounds: Rounds of the chips.
        stream_rounds: Rounds of scenes that are larger than memory.
    """

    size_px: int = 10980
    rounds: int = 5
    other_rounds: int = 2
    chips: int = 50
    chips_a_round: int = 100
    chip_rounds: int = 10
    stream_rounds: int = 2

    def rounds_of(self, section: Section, peer: str) -> int:
        """Count the rounds that a peer takes part in."""
        if section.kind == "chips":
            return self.chip_rounds if peer in section.leaders else min(self.other_rounds, self.chip_rounds)
        if section.kind == "stream":
            return self.stream_rounds
        if peer in section.leaders and (section.has_targets or section.kind == "scaling"):
            return self.rounds
        others = self.other_rounds if section.has_targets or self.other_rounds == self.rounds else 1
        return min(self.rounds, self.other_rounds + 1 if peer in section.leaders else others)


QUICK = Effort(size_px=700, rounds=2, other_rounds=1, chips=4, chips_a_round=4, chip_rounds=2, stream_rounds=1)

_CODECS = {"lzw": ("lzw", None), "deflate": ("deflate", 6), "zstd9": ("zstd", 9), "zstd3": ("zstd", 3)}


def _matched(input_name: str, codec: str, level: int | None = None, **more: int | str | None) -> Settings:
    """Return settings with every field set."""
    raster = (INPUTS | LAZY_INPUTS)[input_name]
    settings = {"predictor": raster.predictor, "resampling": raster.resampling, "tile_px": 256, "threads": "ALL_CPUS"}
    return Settings(codec, level=level, **(settings | more))


def _rasters(input_name: str, codecs: list[str], **more: bool | tuple[str, ...]) -> list[Section]:
    return [
        Section(f"{input_name}-{name}", "raster", input_name, _matched(input_name, *_CODECS[name]), **more)
        for name in codecs
    ]


def _lossy(codec: str) -> Section:
    return Section(f"rgb-{codec}", "raster", "rgb", _matched("rgb", codec, quality=75, predictor=None))


def _other_codec(input_name: str, codec: str) -> Section:
    settings = _matched(input_name, codec, level=1 if codec == "lzma" else None, predictor=None)
    return Section(f"{input_name}-{codec}", "raster", input_name, settings, OURS_AND_GDAL)


def _chips(input_name: str, codec: str, peers: tuple[str, ...], writers: int = 1) -> Section:
    settings = _matched("uint16", *_CODECS[codec])
    if writers == 1:
        return Section(f"{input_name}-{codec}", "chips", input_name, settings, peers)
    peers = tuple(peer for peer in peers if peer not in _THREADS_ARE_FIXED)
    name = f"{input_name}-{codec}-{writers}-writers"
    return Section(name, "chips", input_name, settings.with_threads(1), peers, writers)


def _dask(codec: str) -> Section:
    peers = ("ours", "odc-dask")
    settings = _matched("uint16", *_CODECS[codec])
    return Section(f"dask-{codec}", "raster", "uint16", settings, peers, has_targets=True, form="dask", leaders=peers)


def _convert(codec: str) -> Section:
    peers = ("ours", "gdal-translate", "gdal", "rio-cogeo")
    settings = _matched("tiled", *_CODECS[codec])
    return Section(f"convert-{codec}", "raster", "tiled", settings, peers, form="file", leaders=peers[:3])


def _push(codec: str) -> Section:
    peers = ("ours", "loop")
    return Section(f"push-{codec}", "raster", "uint16", _matched("uint16", *_CODECS[codec]), peers, form="pieces",
                   leaders=peers)  # fmt: skip


def _stream(codec: str) -> Section:
    return Section(f"scene-{codec}", "stream", "scene", _matched("scene", *_CODECS[codec]), ("ours",), form="lazy")


def _lazy_memory(name: str, input_name: str, codec: str = "lzw", **more: int | str | None) -> Section:
    return Section(name, "memory", input_name, _matched(input_name, codec, **more), ("ours",), form="lazy")


SECTIONS: dict[str, Section] = {
    section.name: section
    for section in [
        *_rasters("uint16", ["lzw", "deflate", "zstd9"], has_targets=True),
        *_rasters("uint16", ["zstd3"], has_targets=True, peers=(*OURS_AND_GDAL, *WALLS)),
        Section("uint16-defaults", "raster", "uint16", Settings("zstd"), ("ours", "gdal", "gdal-all", *WRITERS[3:]),
                has_targets=True),
        *_rasters("smooth", ["lzw", "deflate", "zstd9"], peers=(*OURS_AND_GDAL, *WALLS)),
        *_rasters("float32", ["lzw", "deflate", "zstd9"]),
        *_rasters("classes", ["lzw", "deflate", "zstd9"]),
        Section("classes-mode", "raster", "classes", _matched("classes", "lzw", resampling="mode"), OURS_AND_GDAL),
        *_rasters("rgb", ["lzw", "deflate", "zstd9"]),
        _lossy("jpeg"),
        _lossy("webp"),
        *_rasters("bands8", ["lzw"]),
        *_rasters("bands13", ["lzw", "deflate", "zstd9"]),
        *(_other_codec("smooth", codec) for codec in ("none", "packbits", "lerc")),
        *(_other_codec("float32", codec) for codec in ("lerc",)),
        *(_other_codec("classes", codec) for codec in ("lzma",)),
        *(_chips(name, "lzw", WRITERS) for name in CHIPS),
        *(_chips(name, "zstd9", OURS_AND_GDAL) for name in CHIPS),
        *(_chips(name, "lzw", WRITERS, writers=2) for name in CHIPS),
        Section("scaling-lzw", "scaling", "uint16", _matched("uint16", "lzw"), OURS_AND_GDAL[:2]),
        Section("scaling-zstd3", "scaling", "uint16", _matched("uint16", "zstd", 3), OURS_AND_GDAL[:2]),
        Section("memory-uint16", "memory", "uint16", _matched("uint16", "zstd", 9), WRITERS),
        Section("memory-bands13", "memory", "bands13", _matched("bands13", "zstd", 9), OURS_AND_GDAL),
        _stream("lzw"),
        _stream("zstd3"),
        *(_dask(codec) for codec in ("lzw", "deflate", "zstd9")),
        *(_convert(codec) for codec in ("lzw", "deflate")),
        *(_push(codec) for codec in ("lzw", "zstd9")),
        _lazy_memory("memory-scene", "scene"),
        replace(_dask("lzw"), name="memory-dask", kind="memory"),
        replace(_convert("lzw"), name="memory-convert", kind="memory", peers=("ours", "gdal", "rio-cogeo")),
        replace(_push("lzw"), name="memory-push", kind="memory"),
        *(_lazy_memory(name, name) for name in ("rows-1", "rows-4", "rows-16")),
        _lazy_memory("large-bigtiff", "bigtiff", "none", predictor=None),
        _lazy_memory("large-bands285", "bands285", interleave="BAND"),
        _lazy_memory("large-wide", "wide"),
        _lazy_memory("large-tiles", "tiles", tile_px=16),
    ]
}  # fmt: skip


def chosen(patterns: str | None) -> list[Section]:
    """Return the sections that a comma-separated list of names or patterns selects, or all.

    The beginning of names stands for all that have it: ``uint16`` for ``uint16-lzw`` and others.

    Raises:
        ValueError: A pattern finds nothing.

    Example:
        >>> [section.name for section in chosen("uint16-z*,chips-lzw")]
        ['uint16-zstd9', 'uint16-zstd3', 'chips-lzw']
    """
    if not patterns:
        return list(SECTIONS.values())
    found: dict[str, Section] = {}
    for pattern in (part.strip() for part in patterns.split(",")):
        like = [name for name in SECTIONS if fnmatch(name, pattern) or name.startswith(f"{pattern}-")]
        names = [pattern] if pattern in SECTIONS else like
        if not names:
            raise ValueError(f"no section is called {pattern!r}; there are {', '.join(SECTIONS)}")
        found |= {name: SECTIONS[name] for name in names}
    return [section for section in SECTIONS.values() if section.name in found]
