"""The engine of a cluster: it submits the tasks of a save and learns sizes and checksums; pixels stay on workers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from functools import reduce
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from georeader._core.reporting import Advance
from georeader._core.windows import PixelWindow
from georeader._export.cluster import tasks
from georeader._export.cluster.clients import one_attempt, while_wanted
from georeader._export.cluster.deliveries import Delivery, errors_of_cluster, make_delivery, reason_of, result_of
from georeader._export.cluster.graph import Chunks, Key, SaveGraph
from georeader._export.cluster.targets import KeepingTarget
from georeader._export.engine.assembler import OffsetAllocator, header_layouts, level_receipts, pack_header
from georeader._export.geotiff_tags import descriptive_tags
from georeader._export.output_pixels import OutputPixels
from georeader._export.plan.cluster_plan import ClusterPlan, RunKey, plan_cluster
from georeader._export.plan.file_plan import FilePlan, plan_file
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.spec import ExportSpec
from georeader._export.receipt.receipt import Written
from georeader._export.sinks.base import Sink
from georeader._export.sources.protocol import Source
from georeader._export.statistics import BandStatistics, join_bands
from georeader._tiff import cog_layout
from georeader._tiff.checksum import crc32, crc32_combine
from georeader.errors import ReadError, WriteError

#: (group of bands, stage, run)
Place: TypeAlias = tuple[int, int, int]

#: A failed save waits so long for tasks that were running when it was given up.
PATIENCE_SECONDS = 20.0

#: And so long after Ctrl-C.
URGENT_PATIENCE_SECONDS = 2.0

#: Time between two checks of them.
_LOOK_SECONDS = 0.05


class ClusterEngine(AbstractContextManager["ClusterEngine"]):
    """Writes a source by the workers of a cluster of dask.distributed, by its public API.

    Pixels and encoded tiles stay on the workers, which send them to the destination. This process has the sizes and
    checksums of tiles, and the tiles of the smallest overviews. The bytes are those of the streaming engine.
    """

    def __init__(self, source: Source, spec: ExportSpec, sink: Sink, request: SaveRequest, client: Any) -> None:
        self._source, self._sink, self._request, self._client = source, sink, request, client
        self._spec = spec
        self._token = secrets.token_hex(8)
        self._chunks = Chunks.of(source, source.spec.count)
        self._samples = 0  # windows that were read before the save
        self._seen: list[Any] = []  # futures of their chunks
        self._submitted: list[Any] = []
        self._futures: dict[Key, Any] = {}
        self._watches = ExitStack()  # until the sink is committed

    def __exit__(self, *exception: Any) -> None:
        self._seen.clear()
        self._futures.clear()
        self._submitted.clear()
        self._watches.__exit__(*exception)

    def peek(self, window: PixelWindow, bands: slice) -> NDArray[Any]:
        """Return pixels of a window at full resolution; the chunks that are computed for it are kept until `write`."""
        wanted = range(self._spec.count)[bands]
        spec = replace(self._spec, encoding=replace(self._spec.encoding, predictor="NO"))
        cluster = plan_cluster(plan_file(spec), self._source.traits, self._sink.traits)
        graph = SaveGraph(cluster, self._source, self._chunks, f"{self._token}-{self._samples}")
        self._samples += 1
        template = tasks.Template.of(self._source, cluster, KeepingTarget(), self._sink.given, verify=False)
        key = graph.add_window(template, window, wanted)
        collected = graph.collected(graph.name("read-sample"))
        futures = self._get(collected, [key, *graph.sampled])
        self._seen += futures[1:]
        try:
            found: tuple[NDArray[Any], Any] = self._read(futures[0], window, wanted)
        except BaseException:
            self._forget([*futures, *self._seen])
            raise
        return found[0]

    def write(self, plan: FilePlan, advance: Advance) -> Written:
        """Submit all tasks, follow them, and put the file together."""
        cog_layout.check_size(plan.spec.encoding.bigtiff, plan.least_base_bytes)
        cluster = self._cluster = plan_cluster(plan, self._source.traits, self._sink.traits)
        described = descriptive_tags(plan.spec)
        delivery = make_delivery(self._client, self._sink, cluster, self._token)
        graph = SaveGraph(cluster, self._source, self._chunks, self._token)
        template = tasks.Template.of(
            self._source, cluster, delivery.target, self._sink.given, verify=self._request.verify
        )
        runs = graph.add(template)
        try:
            self._watches.enter_context(one_attempt(self._client, delivery.mark, delivery.remove_earlier))
            self._watches.enter_context(while_wanted(self._client, self._cancel))
            self._submit(graph, runs)
            found = _Found(cluster)
            for place, facts in self._arrived(runs):
                found.add(place, facts)
                run_future = self._futures.pop(runs[place][0], None)
                for part in facts.parts:
                    delivery.arrived(part, run_future)
                advance(facts.tile_count)
            return self._finish(plan, found, delivery, described)
        except BaseException as error:
            self._give_up(delivery, is_urgent=not isinstance(error, Exception))
            raise

    def _submit(self, graph: SaveGraph, runs: Mapping[Place, tuple[Key, Key]]) -> None:
        """Submit all tasks; runs and their facts are kept until they are delivered."""
        keys = [key for pair in runs.values() for key in pair]
        self._submitted = self._get(graph.collected(graph.name("save-raster")), keys)
        self._futures = dict(zip(keys, self._submitted, strict=True))
        self._seen.clear()

    def _get(self, collected: Any, keys: list[Key]) -> list[Any]:
        """Submit a graph, and return the futures of some of its tasks."""
        with errors_of_cluster(self._sink.given):
            return list(self._client.get(collected, keys, sync=False))

    def _cancel(self) -> None:
        self._client.cancel(list(self._futures.values()), force=True)

    def _forget(self, futures: Sequence[Any]) -> None:
        """Cancel tasks and drop their results; futures may live on in a traceback."""
        with suppress(Exception):  # the cluster may be gone, and the first error is the one to report
            self._client.cancel(list(futures), force=True)

    def _arrived(self, runs: Mapping[Place, tuple[Key, Key]]) -> Iterator[tuple[Place, tasks.RunFacts]]:
        """Iterate over the facts of runs as they arrive."""
        waiting = {self._futures[facts]: place for place, (_, facts) in runs.items()}
        completed = import_module("distributed").as_completed(list(waiting), loop=self._client.loop)
        for future in completed:
            place = waiting.pop(future)
            del self._futures[runs[place][1]]
            yield place, self._facts(future, place)

    def _facts(self, future: Any, place: Place) -> tasks.RunFacts:
        """Return the facts of a run."""
        group, number, run = place
        stage = self._cluster.stages[group][number]
        rows = stage.window(run)
        window = PixelWindow(rows.row_start << 2 * number, rows.row_stop << 2 * number, 0, self._spec.width_px)
        found: tasks.RunFacts = self._read(future, window, stage.bands)
        return found

    def _read(self, future: Any, window: PixelWindow, bands: range) -> Any:
        """Return the result of a task that reads pixels; an error that is none of this project's is the source's."""
        try:
            return result_of(future, self._sink.given)
        except WriteError as error:
            cause = error.__cause__
            if not isinstance(cause, Exception) or type(cause).__name__ == "KilledWorker":
                raise
            raise ReadError(
                f"{self._source.name}: rows {window.row_start} to {min(window.row_stop, self._spec.height_px)}, "
                f"columns {window.column_start} to {window.column_stop}, bands {bands.start + 1} to {bands.stop}: "
                f"cannot be read: {reason_of(cause)}"
            ) from cause

    def _finish(self, plan: FilePlan, found: _Found, delivery: Delivery, described: Any) -> Written:
        """Lay out the file from the sizes of all tiles, and deliver its header."""
        spec = plan.spec
        statistics = found.statistics() if spec.statistics else None
        if statistics is not None:
            described = descriptive_tags(spec, statistics)
        offsets = OffsetAllocator(plan.tile_counts, is_framed=spec.has_cog_layout)
        layouts = header_layouts(plan, plan.directories(described), found.overview_bytes)
        offsets.header_bytes = max(layout.size_bytes for layout in layouts)
        for key, _ in found.cluster.in_file_order:
            is_mask = None if plan.masks_follow_tiles else key.plane == spec.planes and spec.mask is not None
            offsets.place(key.level, is_mask, found.parts[key].sizes_bytes)
            cog_layout.check_size(spec.encoding.bigtiff, offsets.size_bytes)
        header = pack_header(plan, layouts, offsets)
        delivery.finish(header)
        checksum = crc32(header)
        for key, _ in found.cluster.in_file_order:
            checksum = crc32_combine(checksum, found.parts[key].crc32, found.parts[key].size_bytes)
        OutputPixels(self._source, spec, found.nan_bands).warn_of_nan()
        return Written(
            engine="cluster",
            size_bytes=offsets.size_bytes,
            crc32=checksum,
            levels=level_receipts(plan, offsets),
            statistics=None if statistics is None else tuple(band.summary for band in statistics),
            largest_errors=tuple(found.errors.tolist()) if plan.encoders[0].verify else None,
        )

    def _give_up(self, delivery: Delivery, *, is_urgent: bool) -> None:
        """Cancel all tasks, wait for those that run, and remove what they delivered."""
        self._forget([*self._submitted, *delivery.futures, *self._seen])
        self._futures.clear()
        delivery.abort()
        # What runs still may send a part, which an upload that is aborted before it arrives would keep.
        deadline = time.monotonic() + (URGENT_PATIENCE_SECONDS if is_urgent else PATIENCE_SECONDS)
        while self._runs() and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        delivery.abort()  # what tasks have delivered since

    def _runs(self) -> bool:
        """Return whether a task of this save is running."""
        try:
            running = self._client.call_stack()
        except Exception:  # noqa: BLE001  (the cluster is gone, and its workers with it)
            return False
        return any(self._token in str(key) for stacks in running.values() for key in stacks)


class _Found:
    """What is known of the runs of a file."""

    def __init__(self, cluster: ClusterPlan) -> None:
        self.cluster = cluster
        self.parts: dict[RunKey, tasks.RunPart] = {}
        self.errors = np.zeros(cluster.plan.spec.count)
        self.nan_bands: set[int] = set()
        self._rows: dict[int, dict[int, tuple[BandStatistics, ...]]] = {}

    @property
    def overview_bytes(self) -> int:
        """Length of all overviews."""
        return sum(part.size_bytes for key, part in self.parts.items() if key.level > 0)

    def add(self, place: Place, facts: tasks.RunFacts) -> None:
        """Add the facts of a run of a group of bands."""
        self.parts.update({part.key: part for part in facts.parts})
        self.errors = np.maximum(self.errors, facts.errors)
        self.nan_bands |= facts.nan_bands
        self._rows.setdefault(place[0], {}).update(dict(facts.statistics))

    def statistics(self) -> list[BandStatistics]:
        """Return the statistics of each band, whose digits do not depend on the runs."""
        rows = (self._rows[group] for group in sorted(self._rows))
        return [band for own in rows for band in reduce(join_bands, (own[row] for row in sorted(own)))]
