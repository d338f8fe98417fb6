"""A source or a disk that fails in the middle: an error with the window, and no file."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.shutil import copy
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

import forked
from georeader import GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import DtypeError, GeoreaderError, ReadError, ShapeError

pytestmark = [pytest.mark.fault, pytest.mark.slow]

Contents = Callable[[Path], dict[str, bytes]]
both = pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])

WINDOW = r"rows \d+ to \d+, columns \d+ to \d+, bands 1 to 2"


@pytest.fixture
def outcome(tmp_path: Path) -> Path:
    """A destination where an earlier file is."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "out.tif").write_bytes(b"the earlier file")
    return tmp_path / "out" / "out.tif"


@pytest.fixture
def truncated(make_tensor: Any, tmp_path: Path) -> Path:
    """A file of which the second half is missing; its header is whole."""
    path = tmp_path / "truncated.tif"
    save_tiled_geotiff(make_tensor((2, 1500, 1100)), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


FORMS: dict[str, Callable[[Path], Any]] = {
    "path": str,
    "reader": RasterioReader,
    "reader's window": lambda path: RasterioReader(path).read_from_window(Window(100, 600, 900, 900)),
    "dataset": rasterio.open,
    "warped": lambda path: WarpedVRT(rasterio.open(path), crs="EPSG:3857"),
}


@both
@pytest.mark.parametrize("form", FORMS)
def test_a_truncated_file_is_named_with_the_window(
    save: Any, form: str, truncated: Path, outcome: Path, contents: Contents
) -> None:
    before = contents(outcome.parent)

    with pytest.raises(ReadError, match=WINDOW) as caught:
        save(FORMS[form](truncated), outcome)

    assert str(truncated) in str(caught.value)
    assert caught.value.__cause__ is not None
    assert contents(outcome.parent) == before


@both
def test_mosaic_with_a_missing_file_is_named_with_the_window(
    save: Any, make_tensor: Any, tmp_path: Path, outcome: Path, contents: Contents
) -> None:
    save_tiled_geotiff(make_tensor((2, 1500, 1100)), tmp_path / "in.tif")
    copy(str(tmp_path / "in.tif"), str(tmp_path / "in.vrt"), driver="VRT")
    (tmp_path / "in.tif").unlink()
    before = contents(outcome.parent)

    with pytest.raises(ReadError, match=WINDOW):
        save(tmp_path / "in.vrt", outcome)

    assert contents(outcome.parent) == before


class Lazy:
    """An object whose fourth window is not what it should be."""

    dtype, fill_value_default = np.dtype("uint16"), None
    crs, transform = "EPSG:3857", Affine(10, 0, 0, 0, -10, 0)
    shape = (2, 4000, 3000)

    def __init__(self, spoil: Callable[[GeoTensor], Any]) -> None:
        self.windows = 0
        self._spoil = spoil

    def read_from_window(self, window: Window) -> Any:
        self.windows += 1
        values = np.zeros((2, int(window.height), int(window.width)), "uint16")
        tensor = GeoTensor(values, self.transform, self.crs, fill_value_default=None)
        return self._spoil(tensor) if self.windows >= 4 else tensor


def fails(tensor: GeoTensor) -> Any:
    raise RuntimeError("the model is out of memory")


SPOILS: dict[str, tuple[Callable[[GeoTensor], Any], type[GeoreaderError], str]] = {
    "raises": (fails, ReadError, "the model is out of memory"),
    "gives another size": (lambda tensor: tensor[:, 1:], ShapeError, "its pixels are"),
    "gives another dtype": (lambda tensor: tensor.astype("float32"), DtypeError, "its pixels are float32"),
    "gives a band less": (lambda tensor: tensor[:1], ShapeError, "its pixels are"),
    "gives nothing": (lambda tensor: None, ReadError, "cannot be read"),
}


@both
@pytest.mark.parametrize("how", SPOILS)
def test_an_object_that_fails_in_the_middle_is_named_with_the_window(
    save: Any, how: str, outcome: Path, contents: Contents
) -> None:
    before = contents(outcome.parent)
    spoil, kind, reason = SPOILS[how]

    with pytest.raises(kind, match=rf"Lazy: {WINDOW}.*{reason}"):
        save(Lazy(spoil), outcome, profile_arg={"predictor": 2})

    assert contents(outcome.parent) == before


@both
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_other_errors_are_passed_on_or_chained(
    save: Any, error: BaseException, outcome: Path, contents: Contents
) -> None:
    before = contents(outcome.parent)

    def raises(tensor: GeoTensor) -> Any:
        raise error

    with pytest.raises((type(error), ReadError)) as caught:
        save(Lazy(raises), outcome, profile_arg={"predictor": 2})

    assert error in (caught.value, caught.value.__cause__)
    assert contents(outcome.parent) == before


#: A limit on the size of files stands for a disk that is full; the spool lies on another than the destination.
FULL_SPOOL = textwrap.dedent("""
    import resource, signal, sys
    import numpy as np
    from affine import Affine
    from rasterio.windows import Window
    from georeader import CogWriter, GeoTensor, save_cog
    from georeader.errors import WriteError

    how, limit, path, scratch = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    PLACE = {"transform": Affine(10, 0, 0, 0, -10, 0), "crs": "EPSG:3857"}
    values = np.random.default_rng(0).integers(0, 2**16, (1, 1400, 1400)).astype("uint16")
    whole = GeoTensor(values, **PLACE, nodata=0)

    class Lazy:
        shape, dtype, fill_value_default = values.shape, values.dtype, 0
        transform, crs = PLACE["transform"], PLACE["crs"]

        def read_from_window(self, window):
            return whole.read_from_window(window)

    options = {"max_memory": "16MiB", "dir_tmpfiles": scratch, "profile_arg": {"compress": "none"}}
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        if how == "stream":
            save_cog(Lazy(), path, **options)
        else:
            with CogWriter(path, shape=values.shape, dtype="uint16", **PLACE, **options) as writer:
                for row in range(0, 1400, 100):
                    writer.write(values[:, row : row + 100], Window(0, row, 1400, 100))
    except WriteError as error:
        print(error)
    else:
        print("written")
""")


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no limits on files")
@pytest.mark.parametrize("how", ["stream", pytest.param("pieces", marks=pytest.mark.thorough)])
def test_a_full_disk_in_the_middle_leaves_the_earlier_file(
    how: str, tmp_path: Path, outcome: Path, contents: Contents
) -> None:
    (tmp_path / "scratch").mkdir()
    whole = tmp_path / "whole.tif"
    done = forked.run(FULL_SPOOL, how, 2**40, whole, tmp_path / "scratch")
    assert done.stdout == "written\n", done.stderr
    before = contents(outcome.parent)

    messages = []
    for share in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        limit_bytes = int(share * whole.stat().st_size)
        done = forked.run(FULL_SPOOL, how, limit_bytes, outcome, tmp_path / "scratch")
        assert done.returncode == 0, done.stderr
        messages.append(done.stdout)
        assert contents(outcome.parent) == before
        assert contents(tmp_path / "scratch") == {}

    assert all(str(outcome) in message and "File too large" in message for message in messages)
    # Both were reached: the spool, and the file itself.
    assert any("a temporary file in" in message for message in messages)
    assert any("a temporary file in" not in message for message in messages)
