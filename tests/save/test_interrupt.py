"""Ctrl-C ends a save within a second at any moment, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.fault, pytest.mark.slow]

#: Longer than this, and the user presses Ctrl-C again.
LONGEST_SECONDS = 1.0

#: Saves a raster that never comes to its end, and says when it is at it.
ENDLESS = textwrap.dedent("""
    import sys, time
    import numpy as np
    from affine import Affine
    from rasterio.windows import Window
    from georeader import CogWriter, GeoTensor, save_cog, save_tiled_geotiff

    how, path = sys.argv[1:3]
    place = {"transform": Affine(10, 0, 0, 0, -10, 0), "crs": "EPSG:3857"}

    def say(line):
        sys.stdout.write(line + "\\n")  # at once: an interrupt may come between what print writes and its line's end
        sys.stdout.flush()

    class Endless:
        shape, dtype, fill_value_default = (1, 10**6, 4096), np.dtype("uint16"), 0
        transform, crs = place["transform"], place["crs"]
        windows = 0

        def read_from_window(self, window):
            self.windows += 1
            if self.windows == (3 if how == "slow codec" else 20):
                say("at it")
                if how == "hangs":
                    time.sleep(60)
            shape = (1, int(window.height), int(window.width))
            return GeoTensor(np.random.default_rng(0).integers(0, 9999, shape).astype("uint16"), **place, nodata=0)

    def tell(done, total):
        if done > 40:
            say("at it")

    try:
        if how in ("streams", "hangs"):
            save_cog(Endless(), path, max_memory="64MiB", profile_arg={"predictor": 2})
        elif how == "tiled":
            save_tiled_geotiff(Endless(), path)
        elif how == "slow codec":
            slow = {"compress": "lzma", "predictor": 1, "BLOCKSIZE": 2048}
            save_cog(Endless(), path, profile_arg=slow, max_memory="2GB")
        elif how == "in memory":
            values = np.random.default_rng(0).integers(0, 9999, (1, 12000, 12000), dtype="uint16")
            save_cog(GeoTensor(values, **place, nodata=0), path, profile_arg={"compress": "lzma"}, progress=tell)
        elif how == "pieces, at the end":
            values = np.random.default_rng(0).integers(0, 9999, (12000, 6000), dtype="uint16")
            options = {"ordered": True, "profile_arg": {"compress": "lzma"}, "progress": tell}
            with CogWriter(path, shape=values.shape, dtype="uint16", **options, **place) as writer:
                writer.write(values)
        else:
            options = {"ordered": how == "pieces by rows", "max_memory": "64MiB"}
            with CogWriter(path, shape=(10**6, 4096), dtype="uint16", **options, **place) as writer:
                for row in range(0, 10**6, 512):
                    writer.write(np.full((512, 4096), row % 9999, "uint16"), Window(0, row, 4096, 512))
                    tell(row, 10**6)
    except KeyboardInterrupt:
        say("interrupted")
""")


@pytest.mark.skipif(sys.platform == "win32", reason="a signal cannot be sent to one process alone")
@pytest.mark.parametrize(
    "how",
    [
        "streams",
        "hangs",
        "slow codec",
        "pieces",
        "pieces by rows",
        "pieces, at the end",
        *(pytest.param(how, marks=pytest.mark.thorough) for how in ("tiled", "in memory")),
    ],
)
def test_interrupt_ends_the_save_within_a_second_and_leaves_nothing(how: str, tmp_path: Path) -> None:
    path = tmp_path / "out.tif"
    path.write_bytes(b"the earlier file")

    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, how, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "at it\n"
        begun = time.perf_counter()
        process.send_signal(signal.SIGINT)
        while (line := process.stdout.readline()) == "at it\n":
            pass
        answered_seconds = time.perf_counter() - begun
        process.wait(30)
        ended_seconds = time.perf_counter() - begun
        errors = process.stderr.read()

    assert (line, errors) == ("interrupted\n", "")
    assert answered_seconds < LONGEST_SECONDS
    assert ended_seconds < 2 * LONGEST_SECONDS
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"out.tif": b"the earlier file"}
