"""The benchmark of clusters runs, and its scene is the same on a worker as in the process that checks it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed", reason="distributed is not installed")
pytest.importorskip("odc.geo", reason="odc-geo is not installed")

from benchmarks import cluster
from benchmarks.cluster_worker import SceneOnWorkers, scene_array


def test_chunks_of_the_array_are_windows_of_the_scene() -> None:
    pixels = scene_array(3000, 1024).compute(scheduler="synchronous").to_numpy()

    assert np.array_equal(pixels, SceneOnWorkers(3000, 3000).lazy().whole()[0])
    assert pixels.any()


@pytest.mark.thorough
@pytest.mark.server
@pytest.mark.filterwarnings("ignore")
def test_both_ways_write_the_scene_and_ratios_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--size", "600", "--scaling-size", "700", "--large-size", "800"]
    places = ["--destinations", "folder,s3", "--folder", str(tmp_path)]
    cluster.main(["--rounds", "1", "--codecs", "zstd", *sizes, *places])

    printed = capsys.readouterr().out
    assert len(re.findall(r"odc-geo / ours, at least 4\.0: \d+\.\d\d", printed)) == 2
    assert len(re.findall(r"1 worker / 2 workers, at least 1\.6: \d+\.\d\d", printed)) == 4
    assert len(re.findall(r"client and scheduler grow by -?\d+ MB", printed)) == 2
    assert list(tmp_path.iterdir()) == []
