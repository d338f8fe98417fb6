"""Files that a cluster's workers write equal those of this process, byte for byte, and so do receipts and warnings."""

from __future__ import annotations

import os
import random
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from by_rioxarray import BY_RIOXARRAY
from cluster_blocks import set_blocks
from cluster_rasters import CRS, TRANSFORM, Painter, difference, geodata, same_receipt, valid_disc
from dask_cluster import StartCluster
from georeader import RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import DtypeError, FillValueWarning

pytest.importorskip("distributed", reason="distributed is not installed")
cluster_watch = pytest.importorskip("cluster_watch")
data_arrays = pytest.importorskip("data_arrays", reason="xarray is not installed")

pytestmark = [BY_RIOXARRAY, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

SAVES = {"cog": save_cog, "tiled": save_tiled_geotiff}

#: Chunks of (rows, columns); -1 is all of them.
CHUNKS = {
    "blocks": (512, 512),
    "larger": (1024, 1024),
    "tiles": (256, 256),
    "not aligned": (300, 511),
    "thin rows": (112, -1),
    "single": (-1, -1),
    "bands apart": (512, 512),
}

#: Options of one column of the table: profile_arg, and arguments of the function.
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "statistics": ({"STATISTICS": "YES"}, {}),
    "sparse": ({"SPARSE_OK": "YES"}, {}),
    "predictor AUTO": ({"predictor": "AUTO"}, {}),
    "predictor 2": ({"predictor": 2}, {}),
    "predictor 3": ({"predictor": 3}, {}),
    "BIGTIFF": ({"BIGTIFF": "YES"}, {}),
    "verify": ({}, {"verify": True}),
    "large tiles": ({"BLOCKSIZE": 512}, {}),
    "small tiles": ({"BLOCKSIZE": 64}, {}),  # several runs of coarse overviews
    "OVERVIEWS=NONE": ({"OVERVIEWS": "NONE"}, {}),
    "metadata": ({}, {"descriptions": ("red", "green", "blue", "other"), "tags": {"model": "v2"}}),
}

#: A single tile.
SMALL = (200, 190)
SIZES = [(1100, 1300), (1101, 1299), (1023, 1537), (1536, 640), (1501, 2099), SMALL]
DTYPES = ["uint8", "int16", "uint16", "float32", "float64", "bool", "int64"]
CODECS = ["lzw", "deflate", "zstd", "none", "packbits", "jpeg", "webp", "lerc"]
METHODS = [
    "average", "nearest", "mode", "bilinear", "cubic", "cubicspline", "lanczos", "gauss", "rms", "min", "max", "med",
    "or",
]  # fmt: skip
MASKS = ["none", "nodata", "masked array", "mask of attrs", "alpha"]
SOURCES = ["DataArray", "Dataset", "GeoData", "path", "reader", "window and indexes"]
FILES = ("path", "reader", "window and indexes")


@dataclass(frozen=True)
class Case:
    """One row of the table; its columns are independent but for `is_valid`."""

    source: str
    codec: str
    interleave: str
    mask: str
    method: str
    dtype: str
    chunks: str
    options: str
    kind: str
    size: tuple[int, int]
    bands: int
    blocks: str

    @property
    def id(self) -> str:
        values = {**vars(self), "size": "x".join(map(str, self.size))}
        return "-".join(str(value).replace(" ", "_") for value in values.values())

    @property
    def columns(self) -> tuple[Any, ...]:
        """Return what the usual run covers: each value where it has an effect, and the pairs that share code."""
        if self.size == SMALL:
            return ("small", self.kind)
        has_overviews = self.kind == "cog" and self.options != "OVERVIEWS=NONE"
        effective = vars(self) | {"method": self.method if has_overviews else None}
        lossy_mask = self.mask if self.codec in ("jpeg", "webp") else None
        strips = (self.interleave, self.options == "small tiles") if self.blocks == "strips" else None
        return (*effective.values(), lossy_mask, strips)

    @property
    def is_valid(self) -> bool:
        """Return whether a local save takes the row."""
        return all((
            self.codec != "lerc" or self.dtype not in ("bool", "int64"),
            self.mask not in ("masked array", "mask of attrs", "alpha") or self.source in ("GeoData", *FILES),
            self.mask != "nodata" or self.dtype != "bool",
            self.options not in ("predictor AUTO", "predictor 2", "predictor 3")
            or self.codec in ("lzw", "deflate", "zstd"),
            self.options != "predictor 2" or self.dtype not in ("float32", "float64"),
            self.options != "predictor 3" or self.dtype in ("float32", "float64"),
            self.options not in ("statistics", "OVERVIEWS=NONE") or self.kind == "cog",
            self.method != "or" or self.dtype in ("uint8", "int16", "uint16", "int64"),
            self.method in ("average", "nearest", "mode") or self.dtype != "bool",
            self.chunks != "bands apart" or (self.bands > 1 and self.source != "Dataset"),
            self.source not in FILES or self.dtype != "bool",
            # GDAL does not read the mask beside a single large strip: "TIFFReadScanline() failed".
            self.source not in FILES or self.chunks != "single" or self.mask not in ("masked array", "mask of attrs"),
        ))  # fmt: skip


def cases(count: int) -> list[Case]:
    """Return random rows, the same in each process."""
    chance, found = random.Random(17), dict[Case, None]()
    columns = {
        "source": SOURCES, "codec": CODECS, "interleave": ["PIXEL", "BAND"], "mask": MASKS, "method": METHODS,
        "dtype": DTYPES, "chunks": list(CHUNKS), "options": list(OPTIONS), "kind": ["cog", "cog", "tiled"],
        "size": SIZES, "bands": [1, 2, 3, 4], "blocks": ["small", "small", "strips", "default"],
    }  # fmt: skip
    while len(found) < count:
        case = _with_pictures(Case(**{name: chance.choice(values) for name, values in columns.items()}))
        if case.is_valid:
            found[case] = None
    return list(found)


def _with_pictures(case: Case) -> Case:
    """Return a case with the dtype and the bands that its codec or its alpha needs, and few bands of wide pixels."""
    if case.mask == "alpha":
        case = replace(case, dtype="uint8", bands=4)
    if case.codec in ("jpeg", "webp"):
        case = replace(case, dtype="uint8", interleave="PIXEL", bands=4 if case.mask == "alpha" else 3)
    return replace(case, bands=min(case.bands, 2)) if case.dtype in ("float64", "int64") else case


CASES = cases(240)


@dataclass
class Maker:
    """Makes the source of a case in a folder."""

    case: Case
    folder: Path
    painter: Painter = field(init=False)
    nodata: Any = field(init=False)

    def __post_init__(self) -> None:
        case = self.case
        is_float = case.dtype in ("float32", "float64")
        self.nodata = (np.nan if is_float else 0) if case.mask == "nodata" else None
        self.painter = Painter(
            (case.bands, *case.size),
            case.dtype,
            is_blank=case.dtype != "bool",
            is_masked=case.mask == "masked array" and case.source == "GeoData",
            has_alpha=case.mask == "alpha",
        )

    @property
    def attrs(self) -> dict[str, Any]:
        found: dict[str, Any] = {"tags": {"mission": "S2"}}
        if self.case.mask == "alpha":
            found["colorinterp"] = ("red", "green", "blue", "alpha")
        if self.case.mask == "mask of attrs":
            found["mask"] = valid_disc(*map(range, self.case.size))
        return found

    def make(self) -> Any:
        if self.case.source in FILES:
            return getattr(self, f"_{self.case.source.replace(' ', '_')}")(self._write())
        chunks = (1 if self.case.chunks == "bands apart" else -1, *CHUNKS[self.case.chunks])
        values = self.painter.array(chunks)
        if self.case.source == "GeoData":
            return geodata(values, self.nodata, **self.attrs)
        attrs = {} if self.nodata is None else {"_FillValue": self.nodata}
        if self.case.source == "DataArray":
            return data_arrays.data_array(values, attrs=attrs | {"mission": "S2"})
        variables = {
            f"B{band + 1:02}": data_arrays.data_array(values[band], attrs=attrs) for band in range(len(values))
        }
        return data_arrays.xarray.Dataset(variables)

    def _write(self) -> Path:
        """Write the pixels with GDAL, in tiles or strips like the chunks."""
        case = self.case
        rows, columns = CHUNKS[case.chunks]
        profile = {
            "driver": "GTiff", "count": case.bands, "height": case.size[0], "width": case.size[1], "dtype": case.dtype,
            "crs": CRS, "transform": TRANSFORM, "nodata": self.nodata,
            "interleave": "band" if case.chunks == "bands apart" else "pixel",
        }  # fmt: skip
        if rows > 0 and rows % 16 == columns % 16 == 0:
            profile |= {"tiled": True, "blockxsize": columns, "blockysize": rows}
        else:
            profile |= {"blockysize": min(rows % 10_000, case.size[0])}
        path = self.folder / "in.tif"
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as dataset:
            dataset.write(self.painter.whole())
            dataset.update_tags(mission="S2")
            if case.mask == "alpha":
                dataset.colorinterp = [ColorInterp[name] for name in self.attrs["colorinterp"]]
            if case.mask in ("masked array", "mask of attrs"):
                dataset.write_mask(valid_disc(*map(range, case.size)))
        return path

    def _path(self, path: Path) -> Path:
        return path

    def _reader(self, path: Path) -> RasterioReader:
        return RasterioReader(path)

    def _window_and_indexes(self, path: Path) -> RasterioReader:
        """Within the file; in reversed order where that is not a matter of colours."""
        rows, columns = self.case.size
        indexes = list(range(1, self.case.bands + 1))
        indexes = indexes if self.case.mask == "alpha" or self.case.codec in ("jpeg", "webp") else indexes[::-1]
        return RasterioReader(path, window_focus=Window(11, 7, columns - 40, rows - 30), indexes=indexes)


def arguments_of(case: Case) -> dict[str, Any]:
    profile_arg, arguments = OPTIONS[case.options]
    options = {"compress": case.codec, "interleave": case.interleave, **profile_arg}
    options |= {"LEVEL": 1} if case.codec in ("deflate", "zstd") else {}
    options |= {"RESAMPLING": case.method} if case.kind == "cog" else {}
    if "descriptions" in arguments:
        arguments = {**arguments, "descriptions": arguments["descriptions"][: case.bands]}
    return {"profile_arg": options, **arguments}


def recorded(save: Callable[[], Any]) -> tuple[Any, list[tuple[type[Warning], str, str]]]:
    """Return the receipt of a save and its warnings: category, text, file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        receipt = save()
    found = [(one.category, str(one.message), one.filename) for one in caught]
    return receipt, [one for one in found if one[0] not in (ResourceWarning, PendingDeprecationWarning)]


def assert_equal_to_local(save: Callable[..., Any], data: Any, folder: Path, client: Any, **arguments: Any) -> Any:
    """Save by a cluster and without; check bytes, mode, receipt and warnings, and return the receipt and warnings."""
    expected_path, found_path = folder / "expected" / "out.tif", folder / "found" / "out.tif"
    for path in (expected_path, found_path):
        path.parent.mkdir()

    def local() -> Any:
        return save(data, expected_path, client=False, **arguments)

    def on_workers() -> Any:
        try:
            return cluster_watch.within(60, lambda: save(data, found_path, client=client, **arguments))
        except AssertionError:  # so that tasks without an end do not hold up the other tests
            client.restart()
            raise

    (expected, expected_warnings), (found, found_warnings) = recorded(local), recorded(on_workers)

    assert difference(found_path.read_bytes(), expected_path.read_bytes()) == ""
    assert same_receipt(found, expected), f"{found.to_dict()} instead of {expected.to_dict()}"
    assert found.path == str(found_path)
    assert found_warnings == expected_warnings
    assert os.listdir(found_path.parent) == ["out.tif"]
    return found, found_warnings


@pytest.mark.covering(columns=lambda case: case.columns)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_file_receipt_and_warnings_equal_those_of_a_local_save(
    case: Case, cluster: StartCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_blocks(monkeypatch, case.blocks)
    data = Maker(case, tmp_path).make()

    assert_equal_to_local(SAVES[case.kind], data, tmp_path, cluster(2), **arguments_of(case))


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    set_blocks(monkeypatch)


def small(**changes: Any) -> Painter:
    return replace(Painter((2, 600, 700), "uint16", is_blank=True), **changes)


@pytest.mark.usefixtures("_small_blocks")
def test_engine_in_the_receipt_is_the_cluster(cluster: StartCluster, tmp_path: Path) -> None:
    data = geodata(small().array((2, 200, 256)), nodata=0)

    receipt, _ = assert_equal_to_local(save_cog, data, tmp_path, cluster(2))

    assert receipt.engine == "cluster"


@pytest.mark.usefixtures("_small_blocks")
def test_nan_beside_nodata_warns_as_locally(cluster: StartCluster, tmp_path: Path) -> None:
    data = geodata(small(dtype="float32").array((1, 200, 256)), nodata=-9999)

    _, found = assert_equal_to_local(save_cog, data, tmp_path, cluster(2))

    assert [(category, name) for category, _, name in found] == [(FillValueWarning, __file__)]


@pytest.mark.usefixtures("_small_blocks")
def test_nan_becomes_nodata_as_locally(cluster: StartCluster, tmp_path: Path) -> None:
    data = geodata(small(dtype="float32").array((2, 200, 256)), nodata=-9999)

    _, found = assert_equal_to_local(save_cog, data, tmp_path, cluster(2), profile_arg={"NAN_TO_NODATA": "YES"})

    assert found == []


@pytest.mark.usefixtures("_small_blocks")
def test_statistics_and_verified_errors_equal_the_local_ones(cluster: StartCluster, tmp_path: Path) -> None:
    data = geodata(small(dtype="float32").array((2, 128, 300)), nodata=np.nan)
    options = {"STATISTICS": "YES", "compress": "lerc", "MAX_Z_ERROR": 0.05}

    receipt, _ = assert_equal_to_local(save_cog, data, tmp_path, cluster(2), profile_arg=options, verify=True)

    assert len(receipt.statistics) == 2
    assert 0 < max(receipt.largest_errors) < 0.051


@pytest.mark.usefixtures("_small_blocks")
def test_each_method_of_several_bands_is_used(cluster: StartCluster, tmp_path: Path) -> None:
    data = geodata(small().array((1, 300, 300)), nodata=0)

    assert_equal_to_local(save_cog, data, tmp_path, cluster(2), profile_arg={"RESAMPLING": ["mode", "cubic"]})


@pytest.mark.usefixtures("_small_blocks")
def test_a_decoded_data_array_is_packed_as_locally(cluster: StartCluster, tmp_path: Path) -> None:
    encoding = {"dtype": "int16", "scale_factor": 0.1, "add_offset": 5.0, "_FillValue": -1}
    values = small(dtype="float32").array((2, 200, 256))
    data = data_arrays.data_array(values, encoding=encoding)

    receipt, _ = assert_equal_to_local(save_cog, data, tmp_path, cluster(2))

    assert (receipt.dtype, receipt.nodata, receipt.scales) == ("int16", -1, (0.1, 0.1))


@pytest.mark.usefixtures("_small_blocks")
def test_persisted_array_is_saved_as_locally(cluster: StartCluster, tmp_path: Path) -> None:
    client = cluster(2)
    with client.as_current():
        data = geodata(small().array((2, 200, 256)).persist(), nodata=0)

        assert_equal_to_local(save_cog, data, tmp_path, client)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_masked_chunks_that_move_between_workers_are_saved_as_locally(
    dtype: str, cluster: StartCluster, tmp_path: Path
) -> None:
    """NumPy's fill value of masked integers, 999999, is none that 16 bits hold; dask fails to move such chunks."""
    values = Painter((3, 1024, 1536), dtype, is_masked=True).array((3, 100, 1536))

    assert_equal_to_local(save_cog, geodata(values), tmp_path, cluster(2))


@pytest.mark.parametrize("source", ["GeoData", "path"])
def test_each_sample_for_a_predictor_is_a_task_of_its_own(source: str, cluster: StartCluster, tmp_path: Path) -> None:
    """Tasks of one name would have one result, and the predictor be chosen by one sample."""
    case = replace(CASES[0], source=source, dtype="uint16", bands=1, mask="none", size=(1100, 1300), chunks="tiles")
    client, data = cluster(2), Maker(case, tmp_path).make()

    with cluster_watch.recorded_keys(client) as keys:
        assert_equal_to_local(save_cog, data, tmp_path, client, profile_arg={"compress": "deflate"})

    assert len([key for key in keys() if "read-sample" in key]) > 1


@pytest.mark.usefixtures("_small_blocks")
def test_array_whose_chunks_need_their_neighbours_is_saved_as_locally(cluster: StartCluster, tmp_path: Path) -> None:
    values = small().array((2, 128, 300))
    data = geodata((values[:, ::-1] // 2 + values).rechunk((1, 200, 250)), nodata=0)

    assert_equal_to_local(save_cog, data, tmp_path, cluster(2))


@pytest.mark.parametrize("chunks", [((1, 1), (7, 593), (699, 1)), ((2,), (256, 0, 344), (0, 700))], ids=str)
@pytest.mark.usefixtures("_small_blocks")
def test_uneven_chunks_are_saved_as_locally(chunks: Any, cluster: StartCluster, tmp_path: Path) -> None:
    data = geodata(small().array((2, 600, 700)).rechunk(chunks), nodata=0)

    assert_equal_to_local(save_cog, data, tmp_path, cluster(2))


@pytest.mark.usefixtures("_small_blocks")
def test_sparse_file_of_missing_pixels_equals_the_local_one(cluster: StartCluster, tmp_path: Path) -> None:
    dask_array = pytest.importorskip("dask.array")
    data = geodata(dask_array.zeros((1, 1100, 900), dtype="uint8", chunks=(1, 256, 256)), nodata=0)

    receipt, _ = assert_equal_to_local(save_cog, data, tmp_path, cluster(2), profile_arg={"SPARSE_OK": "YES"})

    assert [level.encoded_bytes for level in receipt.levels] == [0] * len(receipt.levels)


@pytest.mark.usefixtures("_small_blocks")
def test_variables_of_several_dtypes_are_refused_as_locally(cluster: StartCluster, tmp_path: Path) -> None:
    arrays = {name: small(dtype=name).array((2, 200, 256))[0] for name in ("uint16", "float32")}
    data = data_arrays.xarray.Dataset({name: data_arrays.data_array(values) for name, values in arrays.items()})

    messages = []
    for client in (False, cluster(2)):
        with pytest.raises(DtypeError) as caught:
            save_cog(data, tmp_path / "out.tif", client=client)
        messages.append(str(caught.value))

    assert messages[0] == messages[1]
    assert os.listdir(tmp_path) == []


@pytest.fixture
def _closed_umask() -> Any:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_closed_umask", "_small_blocks")
def test_mode_of_the_file_is_that_of_a_local_save_when_workers_have_another_umask(
    cluster: StartCluster, tmp_path: Path
) -> None:
    client = cluster(2)
    client.run(os.umask, 0o022)
    data = geodata(small().array((2, 200, 256)), nodata=0)

    assert_equal_to_local(save_cog, data, tmp_path, client)

    modes = [stat.S_IMODE((tmp_path / name / "out.tif").stat().st_mode) for name in ("expected", "found")]
    assert modes == [0o600, 0o600]


@pytest.mark.usefixtures("_small_blocks")
def test_mode_of_an_earlier_file_is_treated_as_locally(cluster: StartCluster, tmp_path: Path) -> None:
    data = geodata(small().array((2, 200, 256)), nodata=0)
    modes = []
    for name, client in (("expected", False), ("found", cluster(2))):
        path = tmp_path / f"{name}.tif"
        path.write_bytes(b"the earlier file")
        path.chmod(0o640)
        save_cog(data, path, client=client)
        modes.append(stat.S_IMODE(path.stat().st_mode))

    assert modes[0] == modes[1]


@pytest.mark.usefixtures("_small_blocks")
def test_profile_of_another_dataset_is_followed_as_locally(cluster: StartCluster, tmp_path: Path) -> None:
    case = replace(CASES[0], source="path", dtype="uint16", bands=2, mask="nodata", size=(600, 700), chunks="tiles")
    path = Maker(case, tmp_path).make()
    with rasterio.open(path) as dataset:
        profile = dict(dataset.profile)

    run = partial(assert_equal_to_local, save_tiled_geotiff, path, tmp_path, cluster(2))

    receipt, _ = run(profile_arg=profile)
    assert receipt.shape == (2, 600, 700)
