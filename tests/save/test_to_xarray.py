"""`to_xarray` of readers and GeoTensors: beside rioxarray.open_rasterio, and back to the same file."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.windows import Window

from by_rioxarray import BY_RIOXARRAY
from conftest import CRS, TRANSFORM
from data_arrays import ramp
from georeader import GeoTensor, GroundControlPoints, RasterioReader, save_cog
from georeader.errors import MetadataError, MissingExtraError, OptionError, ReadError
from range_server import Server

xarray = pytest.importorskip("xarray", reason="xarray is not installed")
rioxarray = pytest.importorskip("rioxarray", reason="rioxarray is not installed")

#: Rows from south to north are meant here.
pytestmark = pytest.mark.filterwarnings("ignore::georeader.errors.LayoutWarning")

ROTATED = Affine(8, 3, 500000, 2, -9, 4000000)
MASK = np.add.outer(np.arange(60), np.arange(50)) % 7 != 0


def with_nan(dtype: str) -> NDArray[Any]:
    pixels = ramp(dtype=dtype)
    pixels[:, 5:9, 3:30] = np.nan
    return pixels


def points() -> GroundControlPoints:
    corners = [(0, 0, 5.0, 40.0), (0, 50, 5.5, 40.1), (60, 0, 5.1, 39.5), (60, 50, 5.6, 39.6)]
    gcps = tuple(GroundControlPoint(r, c, x, y, 1.0, id=str(n), info="") for n, (r, c, x, y) in enumerate(corners))
    return GroundControlPoints(gcps, rasterio.CRS.from_epsg(4326))


def polynomials() -> RPC:
    numbers = [float(number) for number in range(20)]
    return RPC(
        height_off=1.0, height_scale=2.0, lat_off=3.0, lat_scale=4.0, line_den_coeff=numbers, line_num_coeff=numbers,
        line_off=5.0, line_scale=6.0, long_off=7.0, long_scale=8.0, samp_den_coeff=numbers, samp_num_coeff=numbers,
        samp_off=9.0, samp_scale=10.0, err_bias=0.5, err_rand=0.25,
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A raster, and whether rioxarray reads all of it."""

    pixels: Callable[[], NDArray[Any]] = ramp
    nodata: Any = None
    transform: Affine = TRANSFORM
    crs: Any = CRS
    attrs: Callable[[], dict[str, Any]] = dict
    more: frozenset[str] = field(default=frozenset())  #: attributes and coordinates that rioxarray has not

    def tensor(self) -> GeoTensor:
        return GeoTensor(self.pixels(), self.transform, self.crs, self.nodata, self.attrs())


CASES: dict[str, Case] = {
    "int16": Case(nodata=-1),
    "one band": Case(lambda: ramp((1, 60, 50))),
    "uint8": Case(lambda: ramp(dtype="uint8"), nodata=255),
    "uint16": Case(lambda: ramp(dtype="uint16"), nodata=0),
    "int64": Case(lambda: ramp(dtype="int64")),
    "int64 with nodata beyond float64": Case(
        lambda: ramp(dtype="int64"), nodata=2**62 + 1, more=frozenset({"_FillValue"})
    ),
    "complex64": Case(lambda: ramp(dtype="complex64")),
    "float32, NaN as nodata": Case(lambda: with_nan("float32"), nodata=np.nan),
    "float32, NaN beside nodata": Case(lambda: ramp(dtype="float32"), nodata=-9999.0),
    "float64, NaN without nodata": Case(lambda: with_nan("float64")),
    "names": Case(attrs=lambda: {"descriptions": ["red", "nir"]}),
    "one name": Case(attrs=lambda: {"descriptions": ["red", "red"]}),
    "a band without a name": Case(attrs=lambda: {"descriptions": [None, "nir"]}),
    "scales": Case(attrs=lambda: {"scales": [0.1, 0.1], "offsets": [5.0, 5.0]}),
    "scales of bands": Case(attrs=lambda: {"scales": [0.1, 0.2], "offsets": [0.0, -3.0]}),
    "units": Case(attrs=lambda: {"units": ["m", "K"]}),
    "a unit of one band": Case(attrs=lambda: {"units": [None, "K"]}),
    "a unit": Case(lambda: ramp((1, 60, 50)), attrs=lambda: {"units": ["K"], "descriptions": ["t"], "scales": [0.5]}),
    "tags": Case(attrs=lambda: {"tags": {"model": "v2", "count": "7", "cloud": "0.25", "AREA_OR_POINT": "Point"}}),
    "tags that are numbers of another form": Case(
        attrs=lambda: {"tags": {"tile": "007", "ratio": "1e3", "set": "{1,2}"}},
        more=frozenset({"tile", "ratio", "set"}),
    ),
    "tags by names of attributes": Case(
        attrs=lambda: {"tags": {"units": "m", "scale_factor": "3", "long_name": "x", "nodata": "4"}},
        more=frozenset({"units", "long_name"}),
    ),
    "tags of bands": Case(
        attrs=lambda: {"band_tags": [{"wavelength": "665"}, {"wavelength": "842"}]},
        more=frozenset({"band_tags", "wavelength"}),
    ),
    "namespaces": Case(attrs=lambda: {"namespaces": {"S2": {"a": "b"}}, "band_namespaces": [{}, {"Q": {"c": "d"}}]}),
    "colours": Case(
        lambda: ramp((3, 60, 50), "uint8"),
        attrs=lambda: {"colorinterp": ["red", "green", "blue"], "photometric": "RGB"},
    ),
    "alpha": Case(lambda: ramp((2, 60, 50), "uint8"), attrs=lambda: {"colorinterp": ["gray", "alpha"]}),
    "colour table": Case(
        lambda: ramp((1, 60, 50), "uint8") % 3,
        attrs=lambda: {
            "colormap": {0: (1, 2, 3, 255), 1: (4, 5, 6, 255), 2: (7, 8, 9, 255)},
            "colorinterp": ["palette"],
        },
    ),
    "mask": Case(attrs=lambda: {"mask": MASK}, more=frozenset({"mask"})),
    "mask beside names": Case(
        lambda: with_nan("float32"), attrs=lambda: {"mask": MASK, "descriptions": ["a", "b"]}, more=frozenset({"mask"})
    ),
    "south up": Case(transform=Affine(10, 0, 500000, 0, 10, 4000000)),
    "small pixels": Case(transform=Affine(1 / 3, 0, 0.1, 0, -1 / 7, 0.7), crs="EPSG:4326"),
    "rotated": Case(transform=ROTATED),
    "no CRS": Case(crs=None),
    "control points": Case(transform=Affine.identity(), crs=None, attrs=lambda: {"gcps": points()}),
    # Releases of rioxarray differ in coordinates and CRS.
    "polynomials": Case(
        transform=Affine.identity(),
        crs=None,
        attrs=lambda: {"rpcs": polynomials()},
        more=frozenset({"rpcs", "x", "y", "spatial_ref"}),
    ),
}


def written(case: Case, folder: Path) -> Path:
    save_cog(case.tensor(), folder / "source.tif", profile_arg={"blocksize": 32})
    return folder / "source.tif"


@dataclass(frozen=True)
class Files:
    """A file of a case, and the file that a reader of it is saved as."""

    source: Path
    saved: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Files]:
    """Return a function that writes the files of a case, once."""

    @cache
    def write(name: str) -> Files:
        folder = tmp_path_factory.mktemp("files")
        source = written(CASES[name], folder)
        save_cog(RasterioReader(source), folder / "saved.tif")
        return Files(source, folder / "saved.tif")

    return write


def comparable(array: Any, case: Case) -> Any:
    """Return a DataArray without what only one of both readers has."""
    array = array.drop_vars(({"mask"} | case.more) & set(array.coords))
    array.attrs = {name: value for name, value in array.attrs.items() if name not in case.more}
    georeference = array.coords.get("spatial_ref", array).attrs
    for name in case.more & set(georeference):
        del georeference[name]
    array.encoding = {name: value for name, value in array.encoding.items() if name != "georeader"}
    return array


# Beside rioxarray.


@BY_RIOXARRAY
@pytest.mark.filterwarnings("ignore:.* differ across bands:UserWarning")
@pytest.mark.parametrize("chunks", [None, {"y": 20, "x": 30}], ids=["lazy", "chunks"])
@pytest.mark.parametrize("name", CASES)
def test_array_of_a_reader_is_that_of_rioxarray(name: str, chunks: Any, files: Callable[[str], Files]) -> None:
    path, case = files(name).source, CASES[name]

    with rioxarray.open_rasterio(path, chunks=chunks) as opened:
        expected = comparable(opened, case)
        found = comparable(RasterioReader(path).to_xarray(chunks), case)
        xarray.testing.assert_identical(found, expected)

    assert found.encoding == expected.encoding
    assert found.chunks == expected.chunks
    for key, coordinate in expected.coords.items():
        assert found.coords[key].dtype == coordinate.dtype
    for key, value in expected.attrs.items():
        assert type(found.attrs[key]) is type(value), key
    if case.crs is not None:
        assert found.rio.crs == expected.rio.crs
    assert found.rio.transform() == expected.rio.transform()


@pytest.mark.parametrize("name", CASES)
def test_array_of_a_tensor_is_that_of_a_reader(name: str, files: Callable[[str], Files]) -> None:
    reader = RasterioReader(files(name).source)

    found, expected = reader.load().to_xarray(), reader.to_xarray()

    xarray.testing.assert_identical(found, expected)
    assert {**expected.encoding, **found.encoding} == expected.encoding


# And back.


def saved_bytes(data: Any, folder: Path) -> bytes:
    save_cog(data, folder / "out.tif")
    return (folder / "out.tif").read_bytes()


WAYS: dict[str, Callable[[RasterioReader], Any]] = {
    "lazy": lambda reader: reader.to_xarray(),
    "dask": lambda reader: reader.to_xarray({"y": 17, "x": 32}),
    "loaded": lambda reader: reader.to_xarray().load(),
    "tensor": lambda reader: reader.load().to_xarray(),
    "pickled": lambda reader: pickle.loads(pickle.dumps(reader.to_xarray())),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("name", CASES)
def test_saved_again_it_is_the_file_of_the_reader(
    name: str, way: Callable[[Any], Any], files: Callable[[str], Files], tmp_path: Path
) -> None:
    array = way(RasterioReader(files(name).source))

    assert saved_bytes(array, tmp_path) == files(name).saved.read_bytes()


TENSORS: dict[str, Case] = CASES | {
    "bool": Case(lambda: ramp() % 2 == 0),
    "float16": Case(lambda: ramp(dtype="float16"), nodata=np.nan),
    "rows and columns": Case(lambda: ramp((60, 50)), nodata=3, attrs=lambda: {"descriptions": ["red"], "mask": MASK}),
    "big-endian": Case(lambda: ramp(dtype=">i2"), nodata=3),
    "control points beside a CRS": Case(transform=Affine.identity(), crs="EPSG:4326", attrs=lambda: {"gcps": points()}),
}


@pytest.mark.parametrize("case", TENSORS.values(), ids=TENSORS)
def test_saved_by_way_of_xarray_it_is_the_file_of_the_tensor(case: Case, tmp_path: Path) -> None:
    tensor = case.tensor()

    assert saved_bytes(tensor.to_xarray(), tmp_path) == saved_bytes(tensor, tmp_path)


def test_tensor_of_several_times_has_its_dimensions() -> None:
    tensor = GeoTensor(ramp((6, 60, 50)).reshape(3, 2, 60, 50), TRANSFORM, CRS, None, {"descriptions": ["a", "b"]})

    array = tensor.to_xarray()

    assert dict(array.sizes) == {"time": 3, "band": 2, "y": 60, "x": 50}
    assert array.attrs["long_name"] == ("a", "b")


def test_tensor_shares_its_pixels_and_keeps_its_own_attributes() -> None:
    tensor = GeoTensor(ramp(), TRANSFORM, CRS, None, {"cloud_cover": 12, "tags": {"model": "v2"}})

    array = tensor.to_xarray()
    array.attrs["model"] = "v3"

    assert np.shares_memory(array.values, tensor.values)
    assert array.attrs["cloud_cover"] == 12
    assert tensor.attrs == {"cloud_cover": 12, "tags": {"model": "v2"}}


PARTS: dict[str, Callable[[RasterioReader], RasterioReader]] = {
    "a window": lambda reader: reader.read_from_window(Window(7, 11, 30, 40)),
    "beyond the edge": lambda reader: reader.read_from_window(Window(-3, 40, 30, 40)),
    "bands": lambda reader: reader.isel({"band": [1, 0]}),
    "a band": lambda reader: reader.isel({"band": [1]}),
    "an overview": lambda reader: reader.reader_overview(0),
}


@pytest.mark.parametrize("chunks", [None, 16], ids=["lazy", "dask"])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize(
    "name", ["scales of bands", "mask", "names", "tags of bands", "rotated", "control points", "alpha"]
)
def test_what_a_reader_has_in_focus_is_saved(
    name: str,
    part: Callable[[RasterioReader], RasterioReader],
    chunks: Any,
    files: Callable[[str], Files],
    tmp_path: Path,
) -> None:
    reader = part(RasterioReader(files(name).source))

    array = reader.to_xarray(chunks)

    assert array.shape == reader.shape
    np.testing.assert_array_equal(array.values, reader.values)
    assert saved_bytes(array, tmp_path) == saved_bytes(reader, tmp_path)


@pytest.mark.parametrize("name", ["small pixels", "mask", "rotated"])
def test_window_of_a_reader_has_the_coordinates_of_the_same_selection(name: str, tmp_path: Path) -> None:
    reader = RasterioReader(written(CASES[name], tmp_path))

    found = reader.read_from_window(Window(7, 11, 30, 40)).to_xarray().drop_vars("spatial_ref")

    expected = reader.to_xarray().isel(x=slice(7, 37), y=slice(11, 51)).drop_vars("spatial_ref")
    xarray.testing.assert_identical(found, expected)


def test_selected_pixels_and_bands_keep_names_colours_and_mask(tmp_path: Path) -> None:
    attrs = {
        "mask": MASK,
        "descriptions": ["a", "b", "c"],
        "colorinterp": ["red", "green", "blue"],
        "units": ["m", "K", None],
    }
    tensor = GeoTensor(ramp((3, 60, 50), "uint8"), TRANSFORM, CRS, None, attrs)
    save_cog(tensor, tmp_path / "source.tif")

    array = RasterioReader(tmp_path / "source.tif").to_xarray().isel(band=[2, 0], y=slice(20, None), x=slice(3, 40))

    expected = RasterioReader(tmp_path / "source.tif").isel({"band": [2, 0], "y": slice(20, None), "x": slice(3, 40)})
    assert saved_bytes(array, tmp_path) == saved_bytes(expected, tmp_path)


def test_computed_values_have_no_colours_and_keep_the_mask(tmp_path: Path) -> None:
    attrs = {"colormap": {0: (1, 2, 3, 255)}, "colorinterp": ["palette"], "mask": MASK}
    tensor = GeoTensor(ramp((1, 60, 50), "uint8"), TRANSFORM, CRS, None, attrs)

    save_cog(tensor.to_xarray().astype("float32") / 2, tmp_path / "out.tif")

    loaded = GeoTensor.load_file(tmp_path / "out.tif")
    assert "colormap" not in loaded.attrs
    np.testing.assert_array_equal(loaded.attrs["mask"], MASK)


def test_time_of_a_tensor_comes_through(tmp_path: Path) -> None:
    taken = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    tensor = GeoTensor(ramp(), TRANSFORM, CRS, None, {"acquired": taken})

    receipt = save_cog(tensor.to_xarray(), tmp_path / "out.tif")

    assert receipt.acquired == save_cog(tensor, tmp_path / "out.tif").acquired


@pytest.mark.parametrize("chunks", [None, {"y": 20}], ids=["numpy", "dask"])
def test_variables_of_a_dataset_share_the_mask(chunks: Any, tmp_path: Path) -> None:
    array = CASES["mask"].tensor().to_xarray()
    dataset = xarray.Dataset({"red": array.isel(band=0, drop=True), "nir": array.isel(band=1, drop=True)})

    save_cog(dataset if chunks is None else dataset.chunk(chunks), tmp_path / "out.tif")

    loaded = GeoTensor.load_file(tmp_path / "out.tif")
    np.testing.assert_array_equal(loaded.attrs["mask"], MASK)
    np.testing.assert_array_equal(loaded.values, ramp())


def test_other_coordinate_named_mask_is_no_mask(tmp_path: Path) -> None:
    array = CASES["mask"].tensor().to_xarray()
    array.coords["mask"].attrs.clear()

    save_cog(array, tmp_path / "out.tif")

    assert "mask" not in GeoTensor.load_file(tmp_path / "out.tif").attrs


# Reading.


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Record the windows and bands that readers read."""
    found: list[tuple[Any, ...]] = []
    read = RasterioReader.read

    def recorded(self: RasterioReader, window: Window, indexes: Any) -> Any:
        found.append((window.row_off, window.col_off, window.height, window.width, tuple(indexes)))
        return read(self, window, indexes)

    monkeypatch.setattr(RasterioReader, "read", recorded)
    return found


def test_lazy_array_reads_the_window_that_is_selected(windows: list[Any], tmp_path: Path) -> None:
    array = RasterioReader(written(CASES["int16"], tmp_path)).to_xarray()
    part = array.isel(band=1, y=slice(10, 30), x=slice(40, 50))
    assert windows == []

    np.testing.assert_array_equal(part.values, ramp()[1, 10:30, 40:50])

    assert windows == [(10, 40, 20, 10, (2,))]


def test_chunk_of_dask_is_read_as_one_window(windows: list[Any], tmp_path: Path) -> None:
    array = RasterioReader(written(CASES["int16"], tmp_path)).to_xarray({"y": 32, "x": 32})
    assert windows == []

    np.testing.assert_array_equal(array.compute(scheduler="synchronous").values, ramp())

    both = (1, 2)
    assert sorted(windows) == [
        (0, 0, 32, 32, both),
        (0, 32, 32, 18, both),
        (32, 0, 28, 32, both),
        (32, 32, 28, 18, both),
    ]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (20, ((2,), (20, 20, 20), (20, 20, 10))),
        (np.int64(30), ((2,), (30, 30), (30, 20))),
        ((1, 60, 50), ((1, 1), (60,), (50,))),
        ({"y": (50, 10)}, ((2,), (50, 10), (50,))),
        ({}, ((2,), (60,), (50,))),
    ],
)
def test_sizes_of_chunks(chunks: Any, expected: tuple[tuple[int, ...], ...], files: Callable[[str], Files]) -> None:
    assert RasterioReader(files("int16").source).to_xarray(chunks).chunks == expected


def test_array_keeps_the_focus_that_the_reader_had(tmp_path: Path) -> None:
    reader = RasterioReader(written(CASES["int16"], tmp_path))
    array = reader.to_xarray()

    reader.set_window(Window(0, 0, 5, 5))
    reader.set_indexes([2])

    np.testing.assert_array_equal(array.values, ramp())


SELECTIONS: dict[str, tuple[Any, Any, Any]] = {
    "integers": (1, 3, 4),
    "a row": (slice(None), 59, slice(None)),
    "steps": (slice(None, None, 2), slice(50, None, -7), slice(1, None, 3)),
    "lists": ([1, 0, 1], [5, 5, 59, 0], [49, 2]),
    "nothing": (slice(0, 0), [], slice(9, 3)),
}


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
def test_selection_is_that_of_the_array_in_memory(selection: tuple[Any, Any, Any], tmp_path: Path) -> None:
    reader = RasterioReader(written(CASES["mask"], tmp_path))
    places = dict(zip(("band", "y", "x"), selection, strict=True))

    found = reader.to_xarray().isel(places)

    xarray.testing.assert_identical(found.compute(), reader.load().to_xarray().isel(places))


def test_points_are_read_from_the_window_around_them(windows: list[Any], tmp_path: Path) -> None:
    array = RasterioReader(written(CASES["int16"], tmp_path)).to_xarray()
    rows, columns = (xarray.DataArray(places, dims="point") for places in ([12, 3, 7], [20, 21, 30]))

    found = array.isel(y=rows, x=columns).values

    np.testing.assert_array_equal(found, ramp()[:, [12, 3, 7], [20, 21, 30]])
    assert windows == [(3, 20, 10, 11, (1, 2))]


def test_chunks_are_read_by_other_processes(tmp_path: Path) -> None:
    array = RasterioReader(written(CASES["mask"], tmp_path)).to_xarray({"y": 30})

    found = array.compute(scheduler="processes", num_workers=1)

    np.testing.assert_array_equal(found.values, ramp())
    np.testing.assert_array_equal(found.coords["mask"].values, MASK)


def test_window_of_a_remote_file_fetches_a_part_of_it(server: Server, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 60000, (1, 1024, 1024)).astype("uint16")
    save_cog(GeoTensor(noise, TRANSFORM, CRS, None), tmp_path / "noise.tif")
    url = server.put("noise.tif", (tmp_path / "noise.tif").read_bytes()) + "?token=s3cr3t"

    array = RasterioReader(url).to_xarray()

    np.testing.assert_array_equal(array[0, 300:310, 300:310].values, noise[0, 300:310, 300:310])
    assert server.bytes_sent() < noise.nbytes / 5
    assert "s3cr3t" not in str(array.encoding) + repr(array)


@pytest.mark.parametrize(
    ("interleave", "bands"), [("pixel", (3,)), ("band", (1, 1, 1))], ids=["all bands", "band by band"]
)
def test_automatic_chunks_are_whole_tiles(interleave: str, bands: tuple[int, ...], tmp_path: Path) -> None:
    dask = pytest.importorskip("dask", reason="dask is not installed")
    tensor = GeoTensor(ramp((3, 200, 200), "uint8"), TRANSFORM, CRS, None)
    save_cog(tensor, tmp_path / "source.tif", profile_arg={"blocksize": 32, "interleave": interleave})

    with dask.config.set({"array.chunk-size": "30 kB"}):
        chunks = RasterioReader(tmp_path / "source.tif").to_xarray("auto").chunks

    assert chunks[0] == bands
    assert len(chunks[1]) > 1
    assert all(size % 32 == 0 for axis in chunks[1:] for size in axis[:-1])


def test_tasks_have_other_names_once_the_file_changed(tmp_path: Path) -> None:
    def name(chunks: Any = 32) -> str:
        return str(RasterioReader(tmp_path / "source.tif").to_xarray(chunks).data.name)

    written(CASES["int16"], tmp_path)
    before = name()
    assert name() == before
    assert name(16) != before

    written(CASES["uint8"], tmp_path)

    assert name() != before


# Errors.


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ({"rows": 20}, "chunks: rows is not an axis; a reader has band, y and x"),
        ("large", "chunks='large'; pass 'auto', a number of pixels, or a mapping"),
        ({"y": "some"}, "chunks={'y': 'some'} are not sizes of chunks: "),
        ({"y": 0}, "chunks={'y': 0} are not sizes of chunks: "),
        (False, "chunks=False; pass 'auto'"),
        (1.5, "chunks=1.5; pass 'auto'"),
        (-7, "chunks=-7 are not sizes of chunks: "),
    ],
)
def test_chunks_that_are_none_are_refused(chunks: Any, message: str, tmp_path: Path) -> None:
    reader = RasterioReader(written(CASES["int16"], tmp_path))

    with pytest.raises(OptionError) as caught:
        reader.to_xarray(chunks)

    assert str(caught.value).startswith(message)


def test_names_that_do_not_fit_the_bands_are_refused() -> None:
    tensor = GeoTensor(ramp(), TRANSFORM, CRS, None, {"descriptions": ["red"]})

    with pytest.raises(MetadataError, match=r"attrs\['descriptions'\] has 1 entries for 2 bands"):
        tensor.to_xarray()


def test_file_that_is_gone_is_a_read_error(tmp_path: Path) -> None:
    path = written(CASES["int16"], tmp_path)
    array = RasterioReader(path).to_xarray()
    path.unlink()

    with pytest.raises(ReadError, match=r"source\.tif"):
        array.load()


@pytest.mark.parametrize("missing", ["xarray", "rioxarray", "dask"])
def test_missing_package_is_named_with_its_extra(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = RasterioReader(written(CASES["int16"], tmp_path))
    for module in (missing, f"{missing}.base"):
        monkeypatch.setitem(sys.modules, module, None)
    purpose, extra = ("to_xarray(chunks=...)", "dask") if missing == "dask" else ("to_xarray()", "xarray")

    with pytest.raises(MissingExtraError) as caught:
        reader.to_xarray(chunks=32)

    assert str(caught.value) == (
        f"{purpose} needs {missing}: pip install {missing} (it comes with georeader-cog's extra {extra!r})"
    )
