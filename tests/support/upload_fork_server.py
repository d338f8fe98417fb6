"""Processes that save or edit a file, to be killed in the middle of it: imported once, forked for each save."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

#: For each job that it is sent, forks a process that saves, and waits for it at the next line.
_FORK_SERVER = textwrap.dedent("""
    import json, os, resource, signal, sys
    import botocore.session, fsspec, numpy, obstore.store, rasterio, s3fs
    from affine import Affine
    from georeader import GeoTensor, edit_cog, save_cog
    from georeader.errors import GeoreaderError
    from georeader._export.plan import traits
    from georeader._export.sinks import obstore_put

    traits.PART_BYTES = obstore_put.ONE_REQUEST_BYTES = obstore_put.WITHOUT_PARTS_BYTES = 5 * 2**20

    class Lazy:
        def __init__(self, raster):
            self.shape, self.dtype, self.transform, self.crs = raster.shape, raster.dtype, raster.transform, raster.crs
            self.fill_value_default, self.attrs, self.read_from_window = 0, {}, raster.read_from_window

    def raster(shape, is_lazy):
        values = numpy.random.default_rng(3).integers(1, 2000, shape).astype("uint16")
        made = GeoTensor(values, Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630", fill_value_default=0)
        return Lazy(made) if is_lazy else made

    def save(job):
        os.environ.update(job["env"])
        sys.stderr = open(job["errors"], "w")
        if job["handles_term"]:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        if job["limit_bytes"]:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit_bytes"], job["limit_bytes"]))
        fs = fsspec.filesystem(*job["fs"][:1], **job["fs"][1], skip_instance_cache=True) if job["fs"] else None
        if job["edit"]:
            edit_cog(job["url"], fs=fs, dir_tmpfiles=job["scratch"], **job["edit"])
            os._exit(0)  # an edit is shorter than the end of an interpreter
        source, options = rasters[tuple(job["shape"])], job["options"]
        source = Lazy(source) if job["is_lazy"] else source
        save_cog(source, job["url"], fs=fs, profile_arg={"compress": "none"}, dir_tmpfiles=job["scratch"], **options)

    rasters = {tuple(shape): raster(shape, False) for shape in ((2, 600, 500), (3, 1700, 1700))}
    print("ready", flush=True)
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            save(json.loads(line))
            break
        print(pid, flush=True)
        sys.stdin.readline()  # until then its process id is not reused
        print(os.waitpid(pid, 0)[1], flush=True)
""")

SMALL, PARTED = (2, 600, 500), (3, 1700, 1700)


class ForkServer:
    """Process that has imported everything, and forks a child for each save."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def save(self, folder: Path, url: str, env: Mapping[str, str], **job: Any) -> Child:
        """Begin a save.

        Args:
            folder: For temporary files, and the output of the process.
            url: Destination.
            env: Added to the fork server's environment.
            job: shape, fs (protocol and options), is_lazy, options, handles_term, limit_bytes; or edit, the
                arguments of an edit of what is there.
        """
        scratch, temporary = folder / "scratch", folder / "temporary"
        for one in (scratch, temporary):
            one.mkdir(exist_ok=True)
        defaults = {
            "shape": PARTED,
            "fs": None,
            "is_lazy": False,
            "options": {},
            "handles_term": False,
            "limit_bytes": 0,
            "edit": None,
        }
        own = {"env": {**env, "TMPDIR": str(temporary)}, "url": url, "scratch": str(scratch)}
        self.send(json.dumps(defaults | job | own | {"errors": str(folder / "errors")}))
        return Child(self, int(self.receive()), folder)

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def receive(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Child:
    """Process that saves."""

    def __init__(self, fork_server: ForkServer, pid: int, folder: Path) -> None:
        self.pid = pid
        self._fork_server, self._folder = fork_server, folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def signal(self, how: int) -> None:
        os.kill(self.pid, how)

    def wait(self) -> int:
        """Return its wait status."""
        self._fork_server.send("wait")
        return int(self._fork_server.receive())

    @property
    def errors(self) -> str:
        return (self._folder / "errors").read_text() if (self._folder / "errors").exists() else ""

    def left_over(self) -> list[str]:
        """Names of the temporary files that are left."""
        return [name for one in ("scratch", "temporary") for name in os.listdir(self._folder / one)]


@contextmanager
def running_fork_server() -> Iterator[ForkServer]:
    """Run a fork server, without variables of clouds in its environment."""
    clouds = ("AWS_", "GOOGLE_", "AZURE_", "GCS")
    env = {name: value for name, value in os.environ.items() if not name.startswith(clouds)}
    with subprocess.Popen(
        [sys.executable, "-c", _FORK_SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        fork_server = ForkServer(process)
        assert fork_server.receive() == "ready\n"
        yield fork_server
        process.stdin.close()
