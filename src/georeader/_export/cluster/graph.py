"""The graph of a save: which task needs which, by names that the dashboard shows. No pixel is computed here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeAlias

from georeader._core.windows import PixelWindow
from georeader._export.cluster import tasks as work
from georeader._export.plan.cluster_plan import ClusterPlan, Stage
from georeader._export.plan.grid import BlockIndex
from georeader._export.sources.protocol import Source
from georeader._export.sources.read_once import Box, Place, shape_of_box, size_px
from georeader._export.sources.sliced import DaskWindows, cuts_of

#: Name of a task, as dask has it: text, or a tuple that begins with one.
Key: TypeAlias = Any

#: Of a chunk, a block takes at least this share as a whole; smaller parts are cut first, to move less between workers.
WHOLE_SHARE = 0.25


@dataclass(frozen=True)
class Chunks:
    """The chunks of the source's dask arrays as tasks."""

    arrays: tuple[Any, ...]  #: Optimised by dask
    windows: tuple[DaskWindows, ...]
    futures: Mapping[Key, Any]  #: Of persisted chunks

    @classmethod
    def of(cls, source: Source, count: int) -> Chunks:
        """Return the chunks of a source of so many bands; none of a source that workers open."""
        pixel = PixelWindow(0, 1, 0, 1)
        found = [cut.source.windows for cut in cuts_of(source, pixel, range(count))]
        windows = tuple(one for one in found if isinstance(one, DaskWindows))
        arrays = tuple(import_module("dask").optimize(*(one.array for one in windows)))
        futures: dict[Key, Any] = {}
        for one in windows:
            graph = one.array.__dask_graph__()
            futures |= _futures_in(getattr(graph, "layers", {}).get(one.array.name, graph))
        return cls(arrays, windows, futures)

    def key(self, array: int, place: Place) -> Key:
        """Return the name of a chunk's task."""
        key = (self.arrays[array].name, *place)
        return self.futures.get(key, key)


def _futures_in(tasks: Mapping[Key, Any]) -> dict[Key, Any]:
    """Return the tasks of persisted chunks, whose results are on the cluster; a layer has only these, or none."""
    first = next(iter(tasks.values()), None)
    return dict(tasks) if isinstance(first, import_module("distributed").Future) else {}


@dataclass
class SaveGraph:
    """Tasks of a save."""

    cluster: ClusterPlan
    source: Source
    chunks: Chunks
    token: str
    template: Key = ""
    tasks: dict[Key, Any] = field(default_factory=dict)
    sampled: list[Key] = field(default_factory=list)  #: Chunks that `add_window` needs

    def add(self, template: work.Template) -> dict[tuple[int, int, int], tuple[Key, Key]]:
        """Add all tasks; return the names of each run and its facts, by (group of bands, stage, run)."""
        self.template = self.name("describe-file")
        self.tasks[self.template] = template
        found = {}
        for group, stages in enumerate(self.cluster.stages):
            self._add_blocks(group, stages[0])
            for stage in stages:
                for run in range(stage.run_count):
                    place = group, stage.number, run
                    key = self.name("gather-tiles" if stage.number == 0 else "reduce-overviews", *place)
                    facts = self.name("list-tiles", *place)
                    task = self._run(group, stage, run)
                    if stage.is_inline and stage.passes is None:  # nothing of it stays on the worker
                        self.tasks[facts] = (work.facts_of, task)
                        found[place] = facts, facts
                        continue
                    self.tasks[key] = task
                    self.tasks[facts] = (work.facts_of, key)
                    found[place] = key, facts
        return found

    def add_window(self, template: work.Template, window: PixelWindow, bands: range) -> Key:
        """Add a task that reads a window; return its name."""
        parts = [
            [self._part(array, place, box, None) for place, box in touched.items()]
            for array, touched in enumerate(self._needed(window, bands))
        ]
        key = self.name("read-sample")
        self.tasks[key] = (work.read_window, template, window, bands, parts)
        # Persisted chunks are there already.
        self.sampled += [part[3] for own in parts for part in own if isinstance(part[3], tuple)]
        return key

    def collected(self, name: str) -> Any:
        """Return all tasks with those of the source, as a graph of dask."""
        graphs = import_module("dask.highlevelgraph").HighLevelGraph
        return graphs.from_collections(name, self.tasks, dependencies=list(self.chunks.arrays))

    def name(self, doing: str, *place: int) -> Key:
        """Return the name of a task: what it does, and what of."""
        return (f"{doing}-{self.token}", *place) if place else f"{doing}-{self.token}"

    def _run(self, group: int, stage: Stage, run: int) -> Any:
        if stage.number == 0:
            needed = [self._strip(group, block, run) for block in self.cluster.blocks.touched(stage.window(run))]
            return (work.gather_run, self.template, stage.bands, run, needed)
        before = self.cluster.stages[group][stage.number - 1]
        rows = work.needed_rows(self.cluster, stage, run)
        # Two overviews lie between them.
        wanted = before.runs_of(PixelWindow(4 * rows.row_start, min(4 * rows.row_stop, before.first.height_px), 0, 1))
        doing = "gather-tiles" if before.number == 0 else "reduce-overviews"
        needed = [self.name(doing, group, before.number, one) for one in wanted]
        return (work.reduce_run, self.template, stage.bands, stage.number, run, needed)

    def _strip(self, group: int, block: BlockIndex, run: int) -> Key:
        key = self.name("encode-tiles", group, *block)
        if self.cluster.strips == 1:
            return key
        number = run - self.cluster.stages[group][0].runs_of(self.cluster.blocks.window(block)).start
        part = self.name("divide-block", group, *block, number)
        self.tasks[part] = (_item, key, number)
        return part

    def _add_blocks(self, group: int, stage: Stage) -> None:
        blocks, reduces = self.cluster.blocks, len(stage.levels) > 1 or stage.passes is not None
        block_plan = work.block_plan(self.cluster, stage)
        needs = {
            block: self._needed(
                block_plan.needed(blocks.window(block)) if reduces else blocks.window(block), stage.bands
            )
            for block in blocks.touched(blocks.whole)
        }
        edges = self._add_edges(group, needs)
        for block, arrays in needs.items():
            parts = [
                [self._part(array, place, box, edges.get((block, array, place))) for place, box in touched.items()]
                for array, touched in enumerate(arrays)
            ]
            self.tasks[self.name("encode-tiles", group, *block)] = (
                work.encode_block, self.template, stage.bands, block, parts,
            )  # fmt: skip

    def _needed(self, window: PixelWindow, bands: range) -> list[dict[Place, Box]]:
        """Return what a window needs of the chunks of each array."""
        cuts = cuts_of(self.source, window, work.read_bands(self.cluster.plan.spec, bands))
        windows = [(cut.source.windows, cut.key) for cut in cuts]
        return [one.touched(key) for one, key in windows if isinstance(one, DaskWindows)]

    def _add_edges(
        self, group: int, needs: Mapping[BlockIndex, Sequence[Mapping[Place, Box]]]
    ) -> dict[tuple[BlockIndex, int, Place], tuple[Key, int]]:
        """Add a task for each chunk of which blocks need small parts, and return where each part is."""
        small: defaultdict[tuple[int, Place], list[tuple[BlockIndex, Box]]] = defaultdict(list)
        for block, arrays in needs.items():
            for array, touched in enumerate(arrays):
                for place, box in touched.items():
                    whole = self.chunks.windows[array].box(place)
                    if size_px(box) < WHOLE_SHARE * size_px(whole):
                        small[array, place].append((block, box))
        found = {}
        for (array, place), parts in small.items():
            key = self.name("cut-edges", group, array, *place)
            self.tasks[key] = (work.cut_edges, [box for _, box in parts], self.chunks.key(array, place))
            found.update({(block, array, place): (key, at) for at, (block, _) in enumerate(parts)})
        return found

    def _part(self, array: int, place: Place, box: Box, edge: tuple[Key, int] | None) -> list[Any]:
        if edge is not None:
            return [place, box, edge[1], edge[0]]
        whole = tuple(slice(0, size) for size in shape_of_box(self.chunks.windows[array].box(place)))
        return [place, whole, None, self.chunks.key(array, place)]


def _item(strips: Sequence[Any], number: int) -> Any:
    """Return one strip of a block."""
    return strips[number]
