"""However a source is stored and however little memory there is: the bytes are those of the array."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from georeader import GeoTensor
from georeader._core.windows import Mask, PixelWindow
from georeader._export.pipeline import write_source
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.traits import Chunks, SourceTraits
from georeader._export.sinks.local import LocalSink
from georeader._export.sources import open_source
from georeader._export.sources.protocol import SourceWrapper
from georeader._storage.urls import Destination
from georeader.save import PROFILE_TILED_GEOTIFF_DEFAULT

METHODS = ["nearest", "average", "mode", "rms", "bilinear", "cubic", "lanczos", "gauss", "min", "or"]


class Stored(SourceWrapper):
    """A raster in memory that declares chunks, and records reads."""

    def __init__(self, raster: GeoTensor, chunks: Chunks | None) -> None:
        super().__init__(open_source(raster))
        self.traits = SourceTraits(chunks=chunks, concurrent_reads=3)
        self._lock = threading.Lock()
        self.counts = np.zeros((self.spec.count, self.spec.height_px, self.spec.width_px), int)

    def read(self, region: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:
        rows, columns = slice(region.row_start, region.row_stop), slice(region.column_start, region.column_stop)
        with self._lock:
            self.counts[bands.start : bands.stop, rows, columns] += 1
        return super().read(region, bands)


def edges(size: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Return the edges of chunks along an axis: even, uneven or one."""
    cuts = st.sets(st.integers(1, size - 1), max_size=6) if size > 1 else st.just(set())
    even = st.integers(1, size).map(lambda chunk: set(range(chunk, size, chunk)))
    return st.one_of(cuts, even).map(lambda inner: (0, *sorted(inner), size))


@st.composite
def rasters(draw: st.DrawFn) -> GeoTensor:
    count, height, width = draw(st.integers(1, 4)), draw(st.integers(1, 420)), draw(st.integers(1, 420))
    dtype = draw(st.sampled_from(["uint8", "int16", "uint16", "float32", "bool"]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.integers(0, 2 if dtype == "bool" else 90, (count, height, width)).astype(dtype)
    attrs = {"mask": rng.random((height, width)) > 0.2} if draw(st.booleans()) else {}
    place = {"transform": Affine(10, 0, 0, 0, -10, 0), "crs": "EPSG:3857"}
    return GeoTensor(values, **place, fill_value_default=draw(st.sampled_from([None, 7 % values.max(initial=2)])),
                     attrs=attrs)  # fmt: skip


def export(source: Any, path: Path, kind: str, profile_arg: dict[str, Any], max_memory: int | str) -> bytes:
    options = SaveRequest.parse(
        kind,
        Destination(path),
        default_profile=PROFILE_TILED_GEOTIFF_DEFAULT,
        profile_arg=profile_arg,
        engine="stream",
        max_memory=max_memory,
    )
    with LocalSink(path) as sink:
        write_source(source, sink, options)
    return path.read_bytes()


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_bytes_are_equal_for_any_chunks_limit_and_method(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any")
    raster = data.draw(rasters())
    chunks = data.draw(st.one_of(st.none(), st.builds(Chunks, *map(edges, raster.shape))))
    kind = data.draw(st.sampled_from(["cog", "tiled"]))
    profile_arg = {
        "BLOCKSIZE": data.draw(st.sampled_from([16, 32, 64, 144])),
        "INTERLEAVE": data.draw(st.sampled_from(["PIXEL", "BAND"])),
        "NUM_THREADS": data.draw(st.sampled_from([1, 2, 5])),
    }
    if kind == "cog":
        methods = [method for method in METHODS if method != "or" or raster.dtype.kind != "f"]  # bits are of integers
        profile_arg["RESAMPLING"] = data.draw(st.sampled_from(methods))
        profile_arg["STATISTICS"] = data.draw(st.sampled_from(["YES", "NO"]))
    source = Stored(raster, chunks)

    expected = export(open_source(raster), folder / "expected.tif", kind, profile_arg, "512MiB")
    found = export(
        source, folder / "found.tif", kind, profile_arg, data.draw(st.sampled_from(["12MiB", "40MiB", "2GB"]))
    )

    assert found == expected
    if not source.spec.has_mask or profile_arg["INTERLEAVE"] == "PIXEL":
        assert (source.counts.min(), source.counts.max()) == (1, 1)
