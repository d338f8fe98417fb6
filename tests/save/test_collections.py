"""save_collection: how a cube is split into files, each chunk computed once, and what is refused."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from cubes import DAYS, NAMES, PIXELS, Counted, cube_of, read_pixels
from georeader import ItemResult, save_cog, save_collection
from georeader.errors import DtypeError, ExistsError, OptionError, PathError, ShapeError

xarray = pytest.importorskip("xarray", reason="xarray is not installed")
pytest.importorskip("pystac", reason="pystac is not installed")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def two_variables(cube: Any) -> Any:
    return xarray.Dataset({"red": cube, "double": cube * 2}, attrs={"crs": "EPSG:32630"})


# How a cube is split.


@pytest.mark.parametrize("n_workers", [1, 3])
def test_each_step_of_an_axis_becomes_a_file_that_save_cog_would_write(n_workers: int) -> None:
    result = save_collection(cube_of(), "out/{time:%Y%m%d}.tif", dim="time", nodata=0, n_workers=n_workers)

    assert [item.paths for item in result.items] == [{"data": f"out/{name}.tif"} for name in NAMES]
    assert [item.item for item in result.items] == [f"out/{name}.json" for name in NAMES]
    assert (result.collection, result.parquet, result.index) == (
        "out/collection.json", "out/items.parquet", "out/index.vrt",
    )  # fmt: skip
    for item, pixels, time in zip(result.items, PIXELS, DAYS, strict=True):
        assert (read_pixels(item.paths["data"]) == pixels).all()
        assert item.labels == {"time": time}
        assert item.receipts["data"].path == item.paths["data"]
    save_cog(cube_of()[1], "one.tif", nodata=0)
    assert Path("one.tif").read_bytes() == Path("out/20240511.tif").read_bytes()


def packed(cube: Any) -> Any:
    """Return a cube that a netCDF file holds as packed integers, in chunks of two steps."""
    pytest.importorskip("h5netcdf", reason="h5netcdf is not installed")
    packing = {"dtype": "int16", "scale_factor": 0.5, "add_offset": 3.0, "_FillValue": -1, "chunksizes": (2, 48, 40)}
    cube = (cube.astype("float64") * 0.5 + 3).where(cube > 100)
    cube.to_dataset().to_netcdf("packed.nc", engine="h5netcdf", encoding={"B04": packing})
    return xarray.open_dataset("packed.nc", engine="h5netcdf", chunks=None)["B04"].assign_attrs(cube.attrs)


SHARED = {
    "bands": lambda cube: (
        xarray.concat([cube, cube + 1], "band").transpose("time", "band", "y", "x").chunk({"time": 2})
    ),
    "bands by chunk": lambda cube: xarray.concat([cube, cube + 1], "band").chunk({"time": 3, "band": 1, "y": 48}),
    "variables as bands": lambda cube: two_variables(cube.chunk({"time": 3, "x": 40})),
    "packed": packed,
}


@pytest.mark.filterwarnings("ignore::georeader.errors.MetadataWarning")
@pytest.mark.parametrize("kind", SHARED)
def test_files_that_share_chunks_are_those_that_save_cog_writes(kind: str) -> None:
    cube = SHARED[kind](cube_of())

    save_collection(cube, "{time:%Y%m%d}.tif", dim="time")

    for step, name in enumerate(NAMES):
        save_cog(cube.isel(time=step), "one.tif")
        assert Path(f"{name}.tif").read_bytes() == Path("one.tif").read_bytes()


def test_variables_are_files_of_the_same_item() -> None:
    dataset = two_variables(cube_of())

    result = save_collection(dataset, "{time:%Y%m%d}/{variable}.tif", dim=["time", "variable"])

    assert result.items[1].paths == {"red": "20240511/red.tif", "double": "20240511/double.tif"}
    assert result.items[1].item == "20240511/20240511.json"
    assert (read_pixels("20240511/double.tif") == 2 * PIXELS[1]).all()
    links = {
        name: asset["href"] for name, asset in json.loads(Path("20240511/20240511.json").read_text())["assets"].items()
    }
    assert links == {"red": "./red.tif", "double": "./double.tif"}


def test_variables_are_bands_unless_dim_has_them() -> None:
    save_collection(two_variables(cube_of()), "{time:%Y%m%d}.tif", dim="time")

    assert (read_pixels("20240511.tif") == np.stack([PIXELS[1], 2 * PIXELS[1]])).all()


def test_variables_alone_are_one_item() -> None:
    dataset = two_variables(cube_of()).isel(time=2)

    result = save_collection(dataset, "scene/{variable}.tif", dim="variable")

    (item,) = result.items
    assert item.item == "scene/scene.json"
    assert json.loads(Path("scene/scene.json").read_text())["properties"]["datetime"] == "2024-05-21T00:00:00Z"
    assert (read_pixels("scene/red.tif") == PIXELS[2]).all()


@pytest.mark.parametrize(("chunk_px", "rows", "columns"), [((40, 80), 3, 1), (48, 2, 2)])
def test_chunks_of_the_grid_become_files_at_their_places(chunk_px: Any, rows: int, columns: int) -> None:
    cube = cube_of()[0]

    result = save_collection(cube, "{row}_{column}.tif", dim="chunk", chunk_px=chunk_px)

    assert [tuple(item.labels.values()) for item in result.items] == [
        (row, column) for row in range(rows) for column in range(columns)
    ]
    assert result.index is not None
    assert (read_pixels(result.index) == PIXELS[0]).all()


def test_steps_and_chunks_of_dask_become_files_of_both() -> None:
    result = save_collection(Counted().cube(4, 48, 48), "{time:%Y%m%d}/{row}_{column}.tif", dim=("time", "chunk"))

    assert len(result.items) == 16
    assert (read_pixels("20240511/1_1.tif") == PIXELS[1, 48:, 48:]).all()
    assert len({json.loads(Path(item.item or "").read_text())["id"] for item in result.items}) == 16
    assert result.index is not None
    assert (read_pixels(result.index) == PIXELS).all()


def test_other_labels_along_the_axis_are_fields_and_times_are_those_of_items() -> None:
    cube = cube_of(platform=("time", ["S2A", "S2B", "S2A", "S2B"])).assign_coords(time=[1, 2, 3, 4])
    cube = cube.assign_coords(acquired=DAYS[0])

    result = save_collection(cube, "{platform}/{time}.tif", dim="time", collection_id="scenes")

    assert result.items[1].paths == {"data": "S2B/2.tif"}
    properties = json.loads(Path("S2B/2.json").read_text())["properties"]
    assert (properties["datetime"], properties["time"]) == ("2024-05-01T00:00:00Z", 2)


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_times_of_cftime_are_labels(calendar: str) -> None:
    cftime = pytest.importorskip("cftime", reason="cftime is not installed")
    times = [cftime.datetime(2024, 5, day, calendar=calendar) for day in (1, 2, 3, 4)]

    result = save_collection(cube_of().assign_coords(time=times), "{time:%Y%m%d}.tif", dim="time")

    assert result.items[3].paths == {"data": "20240504.tif"}
    assert json.loads(Path("20240504.json").read_text())["properties"]["datetime"] == "2024-05-04T00:00:00Z"


def test_days_that_only_their_calendar_has_are_labels() -> None:
    cftime = pytest.importorskip("cftime", reason="cftime is not installed")
    times = [cftime.datetime(2024, 2, day, 6 * (day // 30), calendar="360_day") for day in (28, 29, 30)]
    cube = cube_of(PIXELS[:3], time=times)

    result = save_collection(cube, "{time:%Y%m%d}_{time}.tif", dim="time", properties={"datetime": DAYS[0]})

    assert [item.paths["data"][:-4] for item in result.items] == [
        "20240228_2024-02-28", "20240229_2024-02-29", "20240230_2024-02-30T060000",
    ]  # fmt: skip
    assert json.loads(Path(result.items[2].item).read_text())["properties"]["time"] == "2024-02-30T06:00"
    assert descriptions_of(result) == ("2024-02-28 B04", "2024-02-29 B04", "2024-02-30T06:00 B04")


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_times_with_a_time_zone_are_in_it_in_paths_and_in_utc_in_items(unit: str) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    times = pandas.date_range("2024-05-01", periods=4, tz="Europe/Berlin").as_unit(unit)

    result = save_collection(cube_of(time=times), "{time:%Y%m%d}.tif", dim="time")

    assert result.items[1].paths == {"data": "20240502.tif"}
    assert json.loads(Path("20240502.json").read_text())["properties"]["datetime"] == "2024-05-01T22:00:00Z"
    assert descriptions_of(result)[1] == "2024-05-01T22:00:00Z B04"


@pytest.mark.parametrize("unit", ["ns", "s", "object"])
def test_durations_are_labels_in_iso_8601(unit: str) -> None:
    steps = np.array([0, 6 * 3600], "timedelta64[s]").astype(f"timedelta64[{unit}]" if unit != "object" else object)
    cube = cube_of(PIXELS[:2]).rename(time="step").assign_coords(step=steps, time=DAYS[0])

    result = save_collection(cube, "{time:%Y%m%d}_{step}.tif", dim="step")

    assert [item.paths["data"] for item in result.items] == ["20240501_PT0S.tif", "20240501_PT6H.tif"]
    assert json.loads(Path("20240501_PT6H.json").read_text())["properties"]["step"] == "PT6H"
    assert descriptions_of(result) == ("PT0S B04", "PT6H B04")


@pytest.mark.parametrize(("field", "hour"), [("run", 0), ("valid:%Y%m%dT%H", 6)])
def test_of_several_times_that_of_the_path_or_of_the_name_time_is_the_items(field: str, hour: int) -> None:
    valid = DAYS + np.timedelta64(6, "h")
    cube = cube_of().rename(time="run").assign_coords(run=range(4), time=("run", DAYS), valid=("run", valid))

    result = save_collection(cube, f"{{{field}}}.tif", dim="run")

    found = json.loads(Path(str(result.items[0].item)).read_text())["properties"]["datetime"]
    assert found == f"2024-05-01T{hour:02}:00:00Z"


def test_labels_of_a_multiindex_are_texts_and_its_levels_fields() -> None:
    cube = cube_of(PIXELS[:2], time=[3, 4]).assign_coords(acquired=DAYS[0])
    stacked = xarray.concat([cube, cube], xarray.Variable("tile", ["a", "b"])).stack(run=("time", "tile"))
    result = save_collection(stacked.assign_attrs(cube.attrs), "{time}{tile}.tif", dim="run")

    assert [item.paths["data"] for item in result.items] == ["3a.tif", "3b.tif", "4a.tif", "4b.tif"]
    assert descriptions_of(result) == ("3 a B04", "3 b B04", "4 a B04", "4 b B04")
    assert json.loads(Path("3a.json").read_text())["properties"]["run"] == "3 a"


def test_properties_are_those_of_each_item() -> None:
    def properties(labels: Any) -> dict[str, Any]:
        return {"day": str(labels["time"])[:10]}

    save_collection(cube_of(), "{time:%Y%m%d}.tif", dim="time", properties=properties)

    assert json.loads(Path("20240511.json").read_text())["properties"]["day"] == "2024-05-11"


def test_without_stac_there_are_files_alone() -> None:
    result = save_collection(cube_of(), "{time:%Y%m%d}.tif", dim="time", stac=False)

    assert sorted(os.listdir()) == [f"{name}.tif" for name in NAMES]
    assert (result.collection, result.parquet, result.index, result.items[0].item) == (None, None, None, None)


def test_an_accessor_saves_a_cube_with_the_same_arguments() -> None:
    import georeader.xarray  # noqa: F401

    result = cube_of().georeader.to_collection("{time:%Y%m%d}.tif", dim="time", index=False, nodata=0)

    assert (result.collection, result.index, len(result.items)) == ("collection.json", None, 4)


def test_results_are_lines_with_labels_and_paths() -> None:
    result = save_collection(cube_of(), "{time:%Y%m%d}.tif", dim="time")

    assert re.fullmatch(r"item 1 \(time=2024-05-11\): 20240511.tif in \d.\d\d s", str(result.items[1]))
    assert repr(result) == "<CollectionResult: 4 items in 'collection.json', 0 skipped, 0 failed>"
    assert isinstance(result.items[0], ItemResult)


# Chunks that several files share.


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("chunks", [(1, 48, 80), (2, 40, 48), (3, 96, 80), (4, 96, 80)])
def test_chunks_of_dask_that_files_share_are_computed_once(chunks: tuple[int, ...], n_workers: int) -> None:
    counted = Counted()

    save_collection(counted.cube(*chunks), "{time:%Y%m%d}.tif", dim="time", n_workers=n_workers)

    assert set(counted.times.values()) == {1}
    assert len(counted.times) == np.prod([-(-size // chunk) for size, chunk in zip(PIXELS.shape, chunks, strict=True)])
    for name, pixels in zip(NAMES, PIXELS, strict=True):
        assert (read_pixels(f"{name}.tif") == pixels).all()


@pytest.mark.parametrize("chunks", [(1, 48, 80), (2, 96, 80)])
def test_chunks_that_variables_share_are_computed_once(chunks: tuple[int, ...]) -> None:
    counted = Counted()
    cube = counted.cube(*chunks)
    dataset = xarray.Dataset({"red": cube, "half": cube.astype("float32") / 2}, attrs={"crs": "EPSG:32630"})

    save_collection(dataset, "{time:%Y%m%d}_{variable}.tif", dim=("time", "variable"))

    assert set(counted.times.values()) == {1}
    assert (read_pixels("20240511_half.tif") == PIXELS[1].astype("float32") / 2).all()


def test_chunks_that_wait_for_other_files_are_spooled(monkeypatch: pytest.MonkeyPatch) -> None:
    from georeader._export.sources import shared_chunks
    from georeader._export.spool import SpoolPlaces

    spooled: list[int] = []
    put = SpoolPlaces.put
    monkeypatch.setattr(shared_chunks, "LEAST_KEPT_BYTES", 1)
    monkeypatch.setattr(SpoolPlaces, "put", lambda self, *data: spooled.append(sum(map(len, data))) or put(self, *data))
    counted = Counted()

    save_collection(counted.cube(4, 32, 80), "{time:%Y%m%d}.tif", dim="time", stac=False)

    assert sum(spooled) == PIXELS[:, :64].nbytes  # all chunks but the last
    assert set(counted.times.values()) == {1}
    for name, pixels in zip(NAMES, PIXELS, strict=True):
        assert (read_pixels(f"{name}.tif") == pixels).all()


@pytest.mark.parametrize("engine", ["zarr", "h5netcdf"])
def test_a_lazy_cube_is_read_once_and_stays_lazy(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    name = {"zarr": "chunks", "h5netcdf": "chunksizes"}[engine]
    written = cube_of().to_dataset()
    if engine == "zarr":
        written.to_zarr("cube", encoding={"B04": {name: (4, 48, 40)}}, zarr_format=2, consolidated=False)
    else:
        written.to_netcdf("cube", engine="h5netcdf", encoding={"B04": {name: (4, 48, 40)}})
    with xarray.open_dataset(
        "cube", engine=engine, chunks=None, **({"consolidated": False} if engine == "zarr" else {})
    ) as opened:
        lazy = opened["B04"]
        before = repr(lazy.variable)
        reads = []
        from georeader._export.sources.shared_chunks import StoredChunks

        compute = StoredChunks._compute
        monkeypatch.setattr(
            StoredChunks, "_compute", lambda self, places: reads.extend(places) or compute(self, places)
        )

        save_collection(lazy, "{time:%Y%m%d}.tif", dim="time")

        assert sorted(reads) == [(0, 0, row, column) for row in range(2) for column in range(2)]
        assert repr(lazy.variable) == before
        assert "[30720 values" in before
    for name, pixels in zip(NAMES, PIXELS, strict=True):
        assert (read_pixels(f"{name}.tif") == pixels).all()


def test_a_cube_stays_as_it_is() -> None:
    cube = Counted().cube(2, 48, 80)
    cube.encoding, cube["time"].encoding = {"chunks": (2, 48, 80)}, {"units": "days since 2000-01-01"}
    before = (dict(cube.attrs), dict(cube.encoding), list(cube.coords), cube.data.name, dict(cube["time"].encoding))

    save_collection(cube, "{time:%Y%m%d}.tif", dim="time")

    assert (
        dict(cube.attrs),
        dict(cube.encoding),
        list(cube.coords),
        cube.data.name,
        dict(cube["time"].encoding),
    ) == before


# What is refused, before anything is written.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dim": "band"}, OptionError, "dim='band' is not a dimension of the cube, which has"),
        ({"dim": "y"}, OptionError, "dim='y' is along rows or columns"),
        ({"dim": ()}, OptionError, "is not a name"),
        ({"dim": ("time", "time")}, OptionError, "one name twice"),
        ({"dim": "variable"}, OptionError, "dim='variable' is for a Dataset"),
        ({"chunk_px": 32}, OptionError, "chunk_px=32 is for dim='chunk'"),
        ({"dim": ("time", "chunk")}, OptionError, "has no chunks that all of its variables share; pass chunk_px"),
        ({"dim": ("time", "chunk"), "chunk_px": 0}, OptionError, "chunk_px=0 is not a size"),
        ({"executor": "threads"}, OptionError, "executor='threads' is neither"),
        ({"n_workers": 0}, OptionError, "n_workers=0 is not a number of workers"),
        ({"on_item_error": "ignore"}, OptionError, "on_item_error='ignore' is neither"),
        ({"progress": 3}, OptionError, "progress=3 is neither"),
        ({"colormap": "viridis"}, OptionError, "save_collection does not take colormap"),
        ({"profile_arg": {"compress": "zip"}}, OptionError, "profile_arg\\['compress'\\]"),
        ({"nodata": 70_000}, Exception, "70000"),
        ({"properties": lambda labels: 3}, OptionError, "properties of item 0 .* are a int"),
        ({"title": 3}, OptionError, "title=3 is not text of one letter"),
        ({"license": ""}, OptionError, "license='' is not text"),
        ({"collection_id": ""}, OptionError, "id='' is not text"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_written(
    arguments: dict[str, Any], error: type[Exception], message: str, folder: Path
) -> None:
    arguments = {"dim": "time"} | arguments

    with pytest.raises(error, match=message):
        save_collection(cube_of(), "new/{time:%Y%m%d}.tif", **arguments)

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{time:%Y}.tif", "items 0 and 1 to '2024.tif'; items 0 and 2 to"),
        ("same.tif", "items 0 and 1 to 'same.tif'"),
        ("{tile}.tif", "'tile' is not a field of the item; its fields are: time"),
        ("{time}/{place}.tif", "'../a' has a path separator"),
    ],
)
def test_paths_are_checked_before_anything_is_written(template: str, message: str, folder: Path) -> None:
    cube = cube_of(place="../a") if "place" in template else cube_of()

    with pytest.raises(PathError, match=message):
        save_collection(cube, template, dim="time")

    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_links_do_not_lead_out_of_the_folder(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "out").mkdir()
    (folder / "out" / "20240511").symlink_to(folder / "elsewhere")

    with pytest.raises(PathError, match="leads by a link to .*elsewhere"):
        save_collection(cube_of(), "out/{time:%Y%m%d}/a.tif", dim="time")

    assert list((folder / "elsewhere").iterdir()) == []


def test_chunks_of_dask_are_not_cut(folder: Path) -> None:
    with pytest.raises(OptionError, match=r"cuts chunks of the cube along 'y' at 32.*cube.chunk\({'y': 32}\)"):
        save_collection(Counted().cube(1, 48, 80), "{row}_{column}.tif", dim=("time", "chunk"), chunk_px=(32, 80))

    assert list(folder.iterdir()) == []


def test_chunks_without_coordinates_have_no_place() -> None:
    with pytest.raises(OptionError, match="needs coordinates along 'y'"):
        save_collection(cube_of().drop_vars(["y", "x"]), "{row}_{column}.tif", dim=("time", "chunk"), chunk_px=32)


def test_an_axis_without_labels_and_more_axes_than_a_file_has_are_refused() -> None:
    with pytest.raises(OptionError, match="dim='time' has no labels"):
        save_collection(cube_of().drop_vars("time"), "{time}.tif", dim="time")
    with pytest.raises(ShapeError, match="select all others first"):
        save_collection(cube_of().expand_dims(level=[1, 2], band=[1, 2]), "{time}.tif", dim="time")


def test_a_collection_is_not_replaced_where_overwrite_is_false() -> None:
    save_collection(cube_of(), "{time:%Y%m%d}.tif", dim="time")

    with pytest.raises(ExistsError, match="'collection.json' exists already"):
        save_collection(cube_of(), "new_{time:%Y%m%d}.tif", dim="time", overwrite=False)

    assert not Path("new_20240501.tif").exists()


def test_masked_chunks_that_are_not_declared_are_refused() -> None:
    dask_array = pytest.importorskip("dask.array", reason="dask is not installed")
    chunks = dask_array.from_array(PIXELS, chunks=(4, 96, 80))
    cube = cube_of(chunks.map_blocks(lambda chunk: np.ma.masked_less(chunk, 100), dtype="uint16", meta=chunks._meta))

    with pytest.raises(DtypeError, match="is one of numpy's masked arrays"):
        save_collection(cube, "{time:%Y%m%d}.tif", dim="time")


# Labels and properties as users have them.


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["collection", "b"], r"item 0 \(time=collection\): 'new/collection.json' is a document of the collection"),
        (["a", "b#c"], r"item 1 \(time=b#c\): 'new/b#c.tif' has '\?' or '#', where the query of a URL begins"),
        (["a", "b?c"], r"'new/b\?c.tif' has '\?' or '#', where the query of a URL begins"),
        (["a", "b%20"], "'new/b%20.tif' has a percent-encoded character"),
        ([DAYS[0], np.datetime64("NaT", "ns")], "item 1: field 'time' has no value"),
        (["a/b", "b"], "item 0: field 'time': 'a/b' has a path separator"),
    ],
)
def test_labels_that_links_or_documents_have_are_refused_before_anything_is_written(
    labels: list[Any], message: str, folder: Path
) -> None:
    with pytest.raises(PathError, match=message):
        save_collection(cube_of(PIXELS[:2], time=np.array(labels)), "new/{time}.tif", dim="time")

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda step: (1, "x")[step], "property 'a' has values of several types in the items"),
        (lambda step: [1, "x"], "property 'a' has values of several types in the items"),
        (lambda step: (0.5, np.nan)[step], r"property 'a' of item 1 \(time=.*\) is nan, which JSON does not have"),
        (lambda step: {"b": object()}, r"property 'a' of item 0 .* has a object"),
        (lambda step: {1: 2}, r"property 'a' of item 0 .* has the key 1"),
    ],
)
def test_properties_that_the_documents_cannot_have_are_refused_before_anything_is_written(
    value: Any, message: str, folder: Path
) -> None:
    def properties(labels: Any) -> dict[str, Any]:
        return {"a": value(list(DAYS).index(labels["time"]))}

    with pytest.raises(OptionError, match=message):
        save_collection(cube_of(PIXELS[:2]), "new/{time}.tif", dim="time", properties=properties)

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["datetime", "start_datetime", "created"])
def test_properties_that_are_not_times_are_refused_before_anything_is_written(name: str, folder: Path) -> None:
    with pytest.raises(OptionError, match=f"property '{name}' of item 0 .* is 'noon', which is not a time"):
        save_collection(cube_of(), "new/{time}.tif", dim="time", properties={name: "noon"})

    assert list(folder.iterdir()) == []


def test_properties_of_numpy_and_times_are_those_of_json() -> None:
    given = {
        "cover": np.float32(0.5),
        "angles": np.arange(3),
        "seen": datetime(2024, 5, 1, 12),
        "end_datetime": "2024-06-01",
        "passes": {"first": np.datetime64("2024-05-01")},
    }

    save_collection(cube_of(), "{time:%Y%m%d}.tif", dim="time", properties=given)

    found = json.loads(Path("20240501.json").read_text())["properties"]
    assert {name: found[name] for name in given} == {
        "cover": 0.5,
        "angles": [0, 1, 2],
        "seen": "2024-05-01T12:00:00Z",
        "end_datetime": "2024-06-01T00:00:00Z",
        "passes": {"first": "2024-05-01T00:00:00Z"},
    }


@pytest.mark.parametrize("time", [datetime(2020, 1, 2), "2020-01-02", np.datetime64("2020-01-02")])
def test_a_datetime_among_properties_is_that_of_the_item(time: Any) -> None:
    save_collection(cube_of(), "{time:%Y%m%d}.tif", dim="time", properties={"datetime": time})

    assert json.loads(Path("20240501.json").read_text())["properties"]["datetime"] == "2020-01-02T00:00:00Z"


def test_texts_that_the_path_formats_as_dates_are_times_of_items() -> None:
    cube = cube_of(PIXELS[:2], time=["20240501", "2024-05-11"])

    save_collection(cube, "{time:%Y%m%d}.tif", dim="time")

    times = [json.loads(Path(f"{day}.json").read_text())["properties"]["datetime"] for day in (20240501, 20240511)]
    assert times == ["2024-05-01T00:00:00Z", "2024-05-11T00:00:00Z"]


def test_files_of_all_times_have_their_span() -> None:
    save_collection(cube_of(), "{row}_{column}.tif", dim="chunk", chunk_px=(48, 80))

    found = json.loads(Path("0_0.json").read_text())["properties"]
    assert found["datetime"] is None
    assert (found["start_datetime"], found["end_datetime"]) == ("2024-05-01T00:00:00Z", "2024-05-31T00:00:00Z")


def descriptions_of(result: Any) -> tuple[str, ...]:
    with rasterio.open(result.index) as dataset:
        return tuple(dataset.descriptions)


def test_bands_of_the_index_are_named_by_short_times_and_once_by_each_label() -> None:
    bands = xarray.concat([cube_of(PIXELS[:1]), cube_of(PIXELS[:1])], xarray.Variable("band", ["red", "nir"]))
    cube = bands.assign_attrs(crs="EPSG:32630")

    result = save_collection(cube, "{time:%Y%m%d}_{band}.tif", dim=("time", "band"))

    assert descriptions_of(result) == ("2024-05-01 red", "2024-05-01 nir")


def test_steps_with_one_label_are_several_in_the_index() -> None:
    cube = cube_of(PIXELS[:2], time=DAYS[[0, 0]], orbit=("time", [8, 9]))

    result = save_collection(cube, "{time:%Y%m%d}_{orbit}.tif", dim="time")

    assert descriptions_of(result) == ("2024-05-01 B04", "2024-05-01 (2) B04")
    assert np.array_equal(read_pixels(str(result.index)), PIXELS[:2])


def test_an_axis_that_was_selected_is_named_with_its_remedy() -> None:
    with pytest.raises(OptionError, match=r"'time' is not a dimension of the cube.*; pass cube.expand_dims\('time'\)"):
        save_collection(cube_of()[0], "{time:%Y%m%d}.tif", dim="time")
