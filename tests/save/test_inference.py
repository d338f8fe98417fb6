"""Tiled inference with the model of docs/inference.md: what it writes has no seam where windows meet."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from georeader import CogWriter, RasterioReader, iter_windows
from places import ROOT

pytest.importorskip("sklearn")

#: Of the windows of the page; columns from KNOWN on are nodata, or near to it.
SIZE, OVERLAP, KNOWN = 256, 64, 680


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names of the page's first block: a scene and a model."""
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        (first, *_) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/inference.md").read_text(), re.DOTALL)
        exec(first, names)
        names["path"] = Path("scene.tif").absolute()
    return names


def run(page: dict[str, Any], path: Path, trim: bool = False, **options: Any) -> NDArray[Any]:
    """Return what a writer makes of the probabilities of windows: (band, row, column), without nodata."""
    reader = RasterioReader(page["path"])
    with CogWriter(path, like=reader, **options) as writer:
        for pair in iter_windows(reader, SIZE, OVERLAP, trim=trim):
            pixels = reader.read_from_window(pair.read, boundless=True).values[0]
            writer.write(pair.crop(page["predict"](pixels).astype("float32")), pair.write)
    return RasterioReader(path).load().values[..., :KNOWN]


def step_across_borders(values: NDArray[Any]) -> float:
    """Return the mean step between neighbouring pixels where windows begin or end, relative to elsewhere."""
    at_borders, elsewhere = [], []
    for axis in (1, 2):
        steps = np.moveaxis(np.abs(np.diff(values.astype("float64"), axis=axis)), axis, -1).mean(axis=(0, 1))
        edges = [start + shift for start in range(0, 800, SIZE - OVERLAP) for shift in (0, SIZE)]
        borders = sorted({edge - 1 for edge in edges if 0 < edge <= len(steps)})
        at_borders.append(steps[borders])
        elsewhere.append(np.delete(steps, borders))
    return float(np.concatenate(at_borders).mean() / np.concatenate(elsewhere).mean())


def test_scores_that_are_blended_have_no_step_across_the_borders_of_windows(page: Any, tmp_path: Path) -> None:
    grid = {"count": 5, "dtype": "float32", "nodata": np.nan}

    blended, mean, last = (run(page, tmp_path / "a.tif", blend=blend, **grid) for blend in ("hann", "mean", None))

    assert step_across_borders(blended) == pytest.approx(1, abs=0.1)
    # The model sees the borders: without weights that fall towards them, so do readers of the file.
    assert step_across_borders(mean) > 1.5
    assert step_across_borders(last) > 1.5


def test_classes_of_blended_scores_change_across_borders_as_elsewhere(page: Any, tmp_path: Path) -> None:
    classes = run(page, tmp_path / "a.tif", dtype="uint8", nodata=255, blend="hann", argmax=True)
    last = run(page, tmp_path / "b.tif", count=5, dtype="float32", nodata=np.nan).argmax(axis=0)[np.newaxis]

    assert step_across_borders(classes) == pytest.approx(1, abs=0.15)
    assert step_across_borders(last) > 1.5


def test_trimmed_windows_are_the_model_on_the_whole_scene(page: Any, tmp_path: Path) -> None:
    """Half of the overlap is more than the model sees around a pixel."""
    found = run(page, tmp_path / "a.tif", trim=True, count=5, dtype="float32", nodata=np.nan)

    whole = page["predict"](RasterioReader(page["path"]).load().values[0])[..., :KNOWN]
    np.testing.assert_allclose(found, whole, atol=1e-4)
