"""`save_cog(..., client=client)` beside odc-geo's `save_cog_with_dask` on a cluster: ``make bench-cluster``.

The cluster is a LocalCluster of processes on this machine, workers of one thread each. Workers make the pixels of the
source, so that none are in the graph. Each round does each way once, on 2 workers, and this project once more on 1, so
that what disturbs one disturbs all; ratios are taken round by round. Each file is checked.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.checks import look_at
from benchmarks.cluster_worker import PLACE, SceneOnWorkers, begin_measurement, end_measurement, scene_array
from benchmarks.measure import measured
from benchmarks.options import cog_options
from benchmarks.settings import Settings
from benchmarks.upload import print_ratio
from georeader import save_cog
from servers.seaweed import running_seaweed

OURS, ODC, ONE_WORKER = "ours", "odc-geo", "ours, 1 worker"

#: Sides of the scene that all ways save, of the one that is 4 GB, and of the one on which libraries load.
SIDE_PX, LARGE_SIDE_PX, WARM_UP_SIDE_PX = 8192, 45_000, 2048

#: Side of the scene on which one worker and two are compared: a second of work is mostly start and end.
SCALING_SIDE_PX = 20_480

#: Begins the names of tasks that are submitted once the graph's results are known.
AFTER_THE_GRAPH = ("send-part", "copy-tiles", "fetch-tiles")

#: What is to be reached.
TIMES_ODC, SHARE_OF_ODCS_MEMORY, TIMES_ONE_WORKER, CLIENT_BYTES, TASKS_PER_CHUNK = 4.0, 0.5, 1.6, 150e6, 3.0

Figures = dict[str, float]
Ways = Mapping[str, tuple[int, Callable[..., None]]]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="of all ways; 0 leaves them out")
    parser.add_argument("--codecs", default="zstd,lzw")
    parser.add_argument("--level", type=int, default=3, help="of zstd")
    parser.add_argument("--blocksize", type=int, default=256)
    parser.add_argument("--size", type=int, default=SIDE_PX, help="side in pixels")
    parser.add_argument("--scaling-size", type=int, default=SCALING_SIDE_PX, help="side in pixels; 0 leaves it out")
    parser.add_argument("--large-size", type=int, default=LARGE_SIDE_PX, help="side in pixels; 0 leaves it out")
    parser.add_argument("--destinations", default="folder,s3")
    parser.add_argument("--folder", type=Path, help="for files; the system's temporary folder by default")
    options = parser.parse_args(arguments)
    print(f"load at the start: {os.getloadavg()[0]:.2f}", flush=True)
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as name,
        running_seaweed() as server,
        environment_variables(server.env()),
    ):
        destinations: dict[str, Destination] = {"folder": Folder(Path(name)), "s3": Store(Path(name), server)}
        with running_clusters(Path(name)) as (clusters, seen):
            bench = Bench(clusters, seen, Path(name))
            for codec in options.codecs.split(","):
                level = options.level if codec == "zstd" else None
                settings = Settings(codec, level, predictor=2, tile_px=options.blocksize, resampling="average")
                for destination in options.destinations.split(","):
                    if options.rounds:
                        bench.compare(destinations[destination], settings, options.size, options.rounds)
                    if options.rounds and options.scaling_size:
                        scaling = {OURS: WAYS[OURS], ONE_WORKER: WAYS[ONE_WORKER]}
                        bench.compare(
                            destinations[destination], settings, options.scaling_size, options.rounds, scaling
                        )
                    if options.large_size:
                        bench.save_large(destinations[destination], settings, options.large_size)


@contextmanager
def environment_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables, which processes that begin meanwhile inherit; afterwards restore them."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Folder:
    """A folder that all workers see."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "saved.tif"

    @property
    def url(self) -> str:
        """Where to save."""
        return str(self._path)

    def file(self) -> Path:
        """Return a file with what was saved."""
        return self._path

    def clear(self) -> None:
        """Remove what was saved, and check that nothing else is left."""
        self._path.unlink()
        left = [path.name for path in self._path.parent.glob(".*")]
        if left:
            raise RuntimeError(f"{self._path.parent}: temporary files are left: {left}")


class Store:
    """A bucket of SeaweedFS, which takes its share of the same cores."""

    name = "s3"

    def __init__(self, folder: Path, server: Any) -> None:
        self._server, self._copy = server, folder / "copy.tif"
        self.url = server.url("saved.tif")

    def file(self) -> Path:
        """Return a file with what was saved."""
        self._server.client.download_file(self._server.bucket, "saved.tif", str(self._copy))
        return self._copy

    def clear(self) -> None:
        """Remove what was saved, and check that no upload is open."""
        self._copy.unlink()
        if self._server.open_uploads():
            raise RuntimeError("an upload is left open")
        self._server.clear()


Destination = Folder | Store


@dataclass
class SeenTasks:
    """Counts the tasks that a scheduler has had: a plugin of it."""

    keys: set[Any] = field(default_factory=set)

    def transition(self, key: Any, *_: Any, **__: Any) -> None:
        """Take a change of a task's state."""
        self.keys.add(key)


@contextmanager
def running_clusters(folder: Path) -> Iterator[tuple[dict[int, Any], SeenTasks]]:
    """Start clusters of 1 and of 2 workers; yield a client of each, and the tasks that the second has had."""
    import dask
    from distributed import Client, LocalCluster
    from distributed.diagnostics.plugin import SchedulerPlugin

    class Plugin(SeenTasks, SchedulerPlugin):  # type: ignore[misc]
        pass

    seen = Plugin()
    with ExitStack() as stack:
        # Neither spills nor pauses: what a save holds is measured.
        stack.enter_context(dask.config.set({"distributed.worker.memory.target": False}))
        clients = {}
        for workers in (1, 2):
            options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": 0}
            local = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, local_directory=str(folder / "dask"), **options
            )
            cluster = stack.enter_context(local)
            clients[workers] = stack.enter_context(Client(cluster, set_as_default=False))
            clients[workers].wait_for_workers(workers)
        clients[2].cluster.scheduler.add_plugin(seen)
        yield clients, seen


@dataclass
class Bench:
    """Saves on two clusters, and what they took."""

    clients: dict[int, Any]
    seen: SeenTasks
    folder: Path

    def compare(
        self, destination: Destination, settings: Settings, side_px: int, rounds: int, ways: Ways | None = None
    ) -> None:
        """Do some rounds of all ways, or some of them, with one codec and destination, and print what they took."""
        ways = ways or WAYS
        array, scene = scene_array(side_px), SceneOnWorkers(side_px, side_px).lazy()
        small = scene_array(WARM_UP_SIDE_PX, WARM_UP_SIDE_PX // 4)
        reference = self.folder / "local.tif"
        save_cog(array, reference, profile_arg=cog_options(settings), client=False)
        for workers, save in ways.values():
            save(self.clients[workers], small, destination.url, settings)
            destination.file()
            destination.clear()
        found: dict[str, list[Figures]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (workers, save) in ways.items():
                figures = self._measured(
                    workers, partial(save, self.clients[workers], array, destination.url, settings)
                )
                file = destination.file()
                problems = look_at(file, scene, PLACE, settings)["problems"]
                if name != ODC and file.read_bytes() != reference.read_bytes():
                    problems.append("the bytes are not those of a local save")
                if problems:
                    raise RuntimeError(f"{name}, {settings.title()}, {destination.name}: {'; '.join(problems)}")
                found[name].append(figures | {"file_bytes": file.stat().st_size})
                destination.clear()
        reference.unlink()
        print(f"\n{settings.title()}, {side_px} x {side_px}, {destination.name}, {rounds} rounds, medians")
        print_table(found)
        print_targets(found, array.data.npartitions)

    def save_large(self, destination: Destination, settings: Settings, side_px: int) -> None:
        """Save a raster that is larger than a client should hold, and print what it took."""
        array, scene = scene_array(side_px), SceneOnWorkers(side_px, side_px).lazy()
        figures = self._measured(2, partial(save_ours, self.clients[2], array, destination.url, settings))
        problems = look_at(destination.file(), scene, PLACE, settings)["problems"]
        size_bytes = destination.file().stat().st_size
        destination.clear()
        if problems:
            raise RuntimeError(f"{settings.title()}, {destination.name}: {'; '.join(problems)}")
        chunks = array.data.npartitions
        print(
            f"\n{settings.title()}, {side_px} x {side_px} ({array.nbytes / 1e9:.2f} GB), {destination.name}: "
            f"{figures['seconds']:.1f} s, {size_bytes / 1e6:.0f} MB in the file\n"
            f"  client and scheduler grow by {figures['client_bytes'] / 1e6:.0f} MB, at most {CLIENT_BYTES / 1e6:.0f}\n"
            f"  workers at most {figures['peak_bytes'] / 1e6:.0f} MB, {figures['grown_bytes'] / 1e6:.0f} beyond what "
            f"they held\n"
            f"  {figures['tasks']:.0f} tasks of {chunks} chunks: {figures['tasks'] / chunks:.2f} a chunk, fewer than "
            f"{TASKS_PER_CHUNK:.0f}",
            flush=True,
        )

    def _measured(self, workers: int, save: Callable[[], None]) -> Figures:
        """Save, and return seconds, the most memory of a worker, the client's, processor time, and tasks."""
        client = self.clients[workers]
        before = client.run(begin_measurement)
        self.seen.keys.clear()
        figures, _ = measured(save)
        tasks = len(self.seen.keys)
        sent = sum(name_of(key).startswith(AFTER_THE_GRAPH) for key in self.seen.keys)
        after = client.run(end_measurement)
        return {
            "seconds": figures["seconds"],
            "client_bytes": figures["peak_bytes"],
            "client_cpu_seconds": figures["cpu_seconds"],
            "peak_bytes": max(one["peak_bytes"] for one in after.values()),
            "grown_bytes": max(after[name]["peak_bytes"] - before[name]["held_bytes"] for name in after),
            "cpu_seconds": sum(after[name]["cpu_seconds"] - before[name]["cpu_seconds"] for name in after),
            "tasks": tasks,
            "graph_tasks": tasks - sent,
        }


def save_ours(client: Any, array: Any, url: str, settings: Settings) -> None:
    """Save by this project."""
    save_cog(array, url, profile_arg=cog_options(settings), client=client)


def save_by_odc(client: Any, array: Any, url: str, settings: Settings) -> None:
    """Save by odc-geo, without its statistics, which this project does not take by default."""
    from odc.geo.cog import save_cog_with_dask
    from odc.geo.cog._s3 import S3MultiPartUpload

    options = {
        "compression": settings.codec.upper(), "predictor": settings.predictor, "blocksize": settings.tile_px,
        "overview_resampling": settings.resampling, "bigtiff": False, "stats": False, "level": settings.level,
    }  # fmt: skip
    bucket, _, key = url.removeprefix("s3://").partition("/")
    # odc-geo 0.5.3 begins uploads on a worker, under a lock that newer releases of distributed refuse.
    aws = {"uploadId": S3MultiPartUpload(bucket, key).initiate()} if url.startswith("s3://") else None
    with client.as_current():
        client.compute(save_cog_with_dask(array, url, aws=aws, **options)).result()


#: The number of workers, and the call.
WAYS: Ways = {OURS: (2, save_ours), ODC: (2, save_by_odc), ONE_WORKER: (1, save_ours)}


def print_table(found: dict[str, list[Figures]]) -> None:
    """Print the medians of each way."""
    for name, figures in found.items():
        middle = {key: statistics.median(one[key] for one in figures) for key in figures[0]}
        print(
            f"  {name:15} {middle['seconds']:6.2f} s, {middle['cpu_seconds']:6.2f} s of the workers' CPU, "
            f"{middle['client_cpu_seconds']:5.2f} s of the client's; a worker {middle['peak_bytes'] / 1e6:5.0f} MB, "
            f"{middle['grown_bytes'] / 1e6:5.0f} grown; client grows {middle['client_bytes'] / 1e6:4.0f} MB; "
            f"{middle['tasks']:6.0f} tasks; {middle['file_bytes'] / 1e6:.1f} MB"
        )


def print_targets(found: dict[str, list[Figures]], chunks: int) -> None:
    """Print the ratios that are to be reached."""
    columns = {name: {key: [each[key] for each in rounds] for key in rounds[0]} for name, rounds in found.items()}
    ours, one = columns[OURS], columns[ONE_WORKER]
    if ODC in columns:
        theirs, limit = columns[ODC], f"at most {SHARE_OF_ODCS_MEMORY}"
        print_ratio(f"odc-geo / ours, at least {TIMES_ODC}", theirs["seconds"], ours["seconds"])
        print_ratio(f"most memory of a worker, ours / odc-geo, {limit}", ours["peak_bytes"], theirs["peak_bytes"])
        print_ratio("the same beyond what it held before", ours["grown_bytes"], theirs["grown_bytes"])
    print_ratio(f"1 worker / 2 workers, at least {TIMES_ONE_WORKER}", one["seconds"], ours["seconds"])
    of_graph, of_all = (statistics.median(ours[key]) / chunks for key in ("graph_tasks", "tasks"))
    print(
        f"  tasks of the graph for each of {chunks} chunks, fewer than {TASKS_PER_CHUNK:.0f}: {of_graph:.2f}; with "
        f"those that send parts or copy files: {of_all:.2f}",
        flush=True,
    )


def name_of(key: Any) -> str:
    """Return the name of a task."""
    return str(key[0] if isinstance(key, tuple) else key)


if __name__ == "__main__":
    main()
