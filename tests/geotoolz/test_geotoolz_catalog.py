"""CatalogPipeline: a file for each row, in order; an error of one row does not affect the others."""

from __future__ import annotations

import json
import logging
import os
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pystac
import pytest
import rasterio

from georeader import GeoTensor, RasterioReader
from georeader.errors import OptionError, ReadError
from geotoolz import Operator, RowError, Sequential
from geotoolz.catalog_ops import CatalogPipeline, WriteCOG
from geotoolz.indices import NDVI
from geotoolz.operator import Output
from geotoolz.presets.s2 import S2_L2A_NDVI
from geotoolz_helpers import Add, Fails, Names, stack_of, write_chips


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    (tmp_path / "chips").mkdir()
    return write_chips(tmp_path / "chips", 6)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def ndvi(out: Path, *before: Operator, **options: Any) -> Sequential:
    return Sequential([*before, NDVI(0, 1), WriteCOG(str(out / "{tile}_{date:%Y%m%d}.tif"), **options)])


@pytest.mark.parametrize("n_workers", [1, 2, 8, None])
def test_each_row_becomes_a_file_and_results_are_in_order(rows: Any, out: Path, n_workers: int | None) -> None:
    slow_first = Fails(slow_tiles=("T0",))

    results = CatalogPipeline(rows, ndvi(out, slow_first), n_workers=n_workers).run()

    assert [result.index for result in results] == list(range(6))
    assert [result.path for result in results] == [str(out / f"T{n}_2024050{n + 1}.tif") for n in range(6)]
    assert [result.row for result in results] == rows
    assert all(result.error is None and result.seconds > 0 and not result.is_skipped for result in results)
    for result in results:
        with rasterio.open(result.row["path"]) as chip, rasterio.open(result.path) as dataset:
            red, nir = chip.read().astype("float32")
            np.testing.assert_allclose(dataset.read(1), (nir - red) / (nir + red), rtol=1e-6)
            assert (dataset.transform, dataset.crs, dataset.descriptions) == (chip.transform, chip.crs, ("NDVI",))
        assert result.receipt.size_bytes == Path(result.path).stat().st_size


def test_frames_csv_and_stac_are_catalogs(rows: Any, out: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    features = [
        {"type": "Feature", "id": row["tile"], "properties": {"tile": row["tile"], "date": row["date"]},
         "geometry": None, "assets": {"stack": {"href": row["path"]}}, "stac_version": "1.0.0", "links": []}
        for row in rows
    ]  # fmt: skip
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    dated = [one | {"properties": one["properties"] | {"datetime": "2024-05-01T00:00:00Z"}} for one in features]

    for catalog in (frame, tmp_path / "rows.csv", tmp_path / "items.json", pystac.ItemCollection(dated)):
        results = CatalogPipeline(catalog, ndvi(out)).run()
        assert [result.path for result in results] == [str(out / f"T{n}_2024050{n + 1}.tif") for n in range(6)]


def test_operator_receives_the_row_and_the_source_in_attrs(rows: Any) -> None:
    seen = []

    class Looks(Operator):
        is_terminal = True

        def apply(self, gt: GeoTensor) -> str:
            seen.append((gt.attrs["row"], gt.attrs["source"], gt.shape))
            return "looked"

    (result,) = CatalogPipeline(rows[:1], Looks()).run()

    assert seen == [(rows[0], rows[0]["path"], (2, 32, 32))]
    assert (result.receipt, result.path, result.source) == ("looked", None, rows[0]["path"])


def test_reader_and_path_field_are_configurable(out: Path) -> None:
    def make(seeds: list[int]) -> GeoTensor:
        return stack_of([seeds[0]], [seeds[1]])

    rows = [{"a": 1, "b": 3, "tile": "x"}]
    results = CatalogPipeline(
        rows, Sequential([NDVI(0, 1), WriteCOG(str(out / "{tile}.tif"))]), make, path_field=["a", "b"]
    ).run()

    assert RasterioReader(results[0].path).load().values.item() == 0.5


def test_result_of_a_reader_is_not_changed(out: Path) -> None:
    kept = stack_of([1], [3])

    CatalogPipeline([{"path": "a", "tile": "x", "date": "2024-05-01"}], ndvi(out), lambda path: kept).run()

    assert kept.attrs == {}


def test_the_first_error_is_raised_with_the_results_of_the_rows_that_were_begun(rows: Any, out: Path) -> None:
    operator = ndvi(out, Fails(tiles=("T2",), slow_tiles=("T1", "T3")))

    with pytest.raises(ValueError, match="no T2, please") as caught:
        CatalogPipeline(rows, operator, n_workers=2).run()

    results = caught.value.results
    done = {result.index for result in results if result.error is None}
    assert {0, 1} <= done
    assert len(done) < 5
    assert {path.name for path in out.iterdir()} == {f"T{n}_2024050{n + 1}.tif" for n in done}
    assert "in row 2 of the catalog" in caught.value.__notes__[0]


def test_on_one_worker_no_row_is_begun_after_an_error(rows: Any, out: Path) -> None:
    with pytest.raises(ValueError, match="no T2"):
        CatalogPipeline(rows, ndvi(out, Fails(tiles=("T2",))), n_workers=1).run()
    assert len(list(out.iterdir())) == 2


@pytest.mark.parametrize("n_workers", [1, 3])
def test_errors_are_logged_and_other_rows_are_processed(
    rows: Any, out: Path, caplog: pytest.LogCaptureFixture, n_workers: int
) -> None:
    rows[1]["path"] = "missing.tif"
    rows[4]["tile"] = "../evil"
    del rows[5]["date"]
    operator = ndvi(out, Fails(tiles=("T3",)))

    with caplog.at_level(logging.WARNING, "geotoolz"):
        results = CatalogPipeline(rows, operator, n_workers=n_workers, on_row_error="log_and_continue").run()

    assert [type(result.error) for result in results] == [
        type(None),
        ReadError,
        type(None),
        ValueError,
        RowError,
        RowError,
    ]
    assert [result.path is None for result in results] == [False, True, False, True, True, True]
    assert sorted(path.name for path in out.iterdir()) == ["T0_20240501.tif", "T2_20240503.tif"]
    assert {record.args[0] for record in caplog.records} == {1, 3, 4, 5}


def test_errors_hold_no_rasters(rows: Any) -> None:
    (result,) = CatalogPipeline(rows[:1], Fails(tiles=("T0",)), on_row_error="log_and_continue").run()

    held, trace = [], result.error.__traceback__
    while trace is not None:
        held += [value for value in trace.tb_frame.f_locals.values() if isinstance(value, np.ndarray)]
        trace = trace.tb_next
    assert held == []
    assert "please" in str(result.error)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tile": "a/b"}, RowError, "field 'tile': 'a/b' has a path separator"),
        ({"path": ""}, RowError, "field 'path'"),
        ({"tile": None}, RowError, "field 'tile' has no value"),
    ],
)
def test_errors_known_before_any_work_are_raised_before_any_work(
    rows: Any, out: Path, change: dict[str, Any], error: type, message: str
) -> None:
    rows[5] |= change

    with pytest.raises(error, match=message) as caught:
        CatalogPipeline(rows, ndvi(out)).run()
    assert caught.value.results == []
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("on_row_error", ["raise", "log_and_continue"])
def test_two_rows_that_format_to_one_path_are_refused_before_any_work(rows: Any, out: Path, on_row_error: str) -> None:
    rows[4] = rows[1] | {"path": rows[4]["path"]}

    with pytest.raises(RowError, match=r"rows 1 and 4 to .*T1_20240502.tif': one would overwrite the other"):
        CatalogPipeline(rows, ndvi(out), on_row_error=on_row_error).run()
    assert list(out.iterdir()) == []


def test_different_spellings_of_one_path_are_refused(rows: Any, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(out)
    twins = [rows[0] | {"tile": "x"}, rows[1] | {"tile": "x."}]
    operator = Sequential([NDVI(0, 1), WriteCOG("{tile}/../a.tif")])

    with pytest.raises(RowError, match="rows 0 and 1"):
        CatalogPipeline(twins, operator).run()


def test_a_fixed_path_is_refused_for_more_than_one_row(rows: Any, out: Path) -> None:
    operator = S2_L2A_NDVI(red_idx=0, nir_idx=1, scl_idx=0, path=out / "ndvi.tif")

    with pytest.raises(RowError, match="rows 0 and 1 to"):
        CatalogPipeline(rows, operator).run()


def test_writing_where_a_row_reads_is_refused(rows: Any, tmp_path: Path) -> None:
    operator = Sequential([NDVI(0, 1), WriteCOG(str(tmp_path / "chips" / "{name}.tif"))])
    named = [row | {"name": f"chip-{(n + 1) % 6}"} for n, row in enumerate(rows)]

    with pytest.raises(RowError, match=r"row 5 would write where row 0 reads, .*chip-0.tif'; .*; and 1 more; write to"):
        CatalogPipeline(named, operator).run()


@pytest.mark.parametrize("way", ["file://", "a link", "a tuple"])
def test_writing_over_a_source_named_differently_is_refused(way: str, rows: Any, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "chips")
    row = rows[0] | {"name": "chip-0"}
    row["path"] = {"file://": Path(row["path"]).as_uri(), "a tuple": (row["path"], "b.tif")}.get(way, row["path"])
    folder = tmp_path / ("link" if way == "a link" else "chips")
    before = (tmp_path / "chips" / "chip-0.tif").read_bytes()

    with pytest.raises(RowError, match="row 0 would write where row 0 reads"):
        CatalogPipeline([row], Sequential([NDVI(0, 1), WriteCOG(str(folder / "{name}.tif"))])).run()

    assert (tmp_path / "chips" / "chip-0.tif").read_bytes() == before


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (KeyError("name"), "KeyError: 'name'"),
        (["a.tif"], "Says.outputs() returned ['a.tif']"),
        ((Output(Path("a.tif")),), "Says.outputs() returned"),
        (None, "Says.outputs() returned None"),
    ],
    ids=["raises", "texts", "a Path", "None"],
)
def test_invalid_outputs_are_the_error_of_their_row(value: Any, message: str, rows: Any) -> None:
    @dataclass(frozen=True, eq=False, repr=False)
    class Says(Operator):
        def apply(self, gt: GeoTensor) -> GeoTensor:
            return gt

        def outputs(self, row: Any) -> Any:
            if row["tile"] != "T1":
                return ()
            if isinstance(value, Exception):
                raise value
            return value

    results = CatalogPipeline(rows[:3], Says(), on_row_error="log_and_continue").run()

    assert [result.error is None for result in results] == [True, False, True]
    assert message in str(results[1].error)


def test_a_missing_value_of_pandas_is_the_error_of_its_row(rows: Any, out: Path) -> None:
    frame = pd.DataFrame(rows[:2]).astype("string")
    frame.loc[1, "path"] = pd.NA

    results = CatalogPipeline(frame, ndvi(out), on_row_error="log_and_continue").run()

    assert results[0].error is None
    assert "field 'path', which names the raster, has no value" in str(results[1].error)


@pytest.mark.parametrize("path", ["a\0b.tif", "http://[x/a.tif", "s3://", "file://[x"])
def test_an_invalid_path_is_the_error_of_its_row(path: str, rows: Any, out: Path) -> None:
    results = CatalogPipeline([rows[0] | {"path": path}, rows[1]], ndvi(out), on_row_error="log_and_continue").run()

    assert isinstance(results[0].error, ReadError)
    assert results[1].error is None


def test_several_fields_need_a_reader_of_several_paths(rows: Any, out: Path) -> None:
    with pytest.raises(OptionError, match="RasterioReader takes one path; pass a reader of lists"):
        CatalogPipeline(rows, ndvi(out), path_field=["path", "tile"])


def test_a_folder_is_not_an_existing_file(rows: Any, out: Path) -> None:
    (out / "T0_20240501.tif").mkdir()

    (result,) = CatalogPipeline(rows[:1], ndvi(out), skip_existing=True, on_row_error="log_and_continue").run()

    assert not result.is_skipped
    assert "is a folder" in str(result.error)


def test_a_folder_in_a_store_is_not_an_existing_file(rows: Any) -> None:
    fsspec.filesystem("memory").makedirs("/folders/T0.tif", exist_ok=True)
    operator = Sequential([NDVI(0, 1), WriteCOG("memory://folders/{tile}.tif")])

    (result,) = CatalogPipeline(rows[:1], operator, skip_existing=True, on_row_error="log_and_continue").run()

    assert not result.is_skipped


def test_existing_files_are_skipped_without_reading(rows: Any, out: Path) -> None:
    CatalogPipeline(rows[:3], ndvi(out)).run()
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    read = []

    def reader(path: str) -> RasterioReader:
        read.append(path)
        return RasterioReader(path)

    results = CatalogPipeline(rows, ndvi(out), reader, skip_existing=True).run()

    assert [result.is_skipped for result in results] == [True] * 3 + [False] * 3
    assert [result.path for result in results] == [str(out / f"T{n}_2024050{n + 1}.tif") for n in range(6)]
    assert sorted(read) == [row["path"] for row in rows[3:]]
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert "was there already" in str(results[0])


@pytest.mark.parametrize("n_workers", [1, 3])
def test_progress_is_called_in_the_callers_thread(rows: Any, out: Path, n_workers: int) -> None:
    calls, threads = [], set()

    def tell(done: int, total: int) -> None:
        calls.append((done, total))
        threads.add(threading.current_thread())

    CatalogPipeline(rows, ndvi(out), n_workers=n_workers, progress=tell).run()

    assert calls == [(done, 6) for done in range(7)]
    assert threads == {threading.main_thread()}


def test_an_exception_of_progress_ends_the_run(rows: Any, out: Path) -> None:
    def tell(done: int, total: int) -> None:
        if done == 2:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        CatalogPipeline(rows, ndvi(out), n_workers=2, progress=tell).run()
    assert len(list(out.iterdir())) < 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("geotoolz")]


def test_progress_can_be_a_bar(rows: Any, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    CatalogPipeline(rows, ndvi(out), progress=True).run()

    assert "6/6" in capsys.readouterr().err


def test_a_bar_for_each_save_is_refused_within_a_catalog(rows: Any, out: Path) -> None:
    with pytest.raises(OptionError, match="pass progress=True to CatalogPipeline"):
        CatalogPipeline(rows, ndvi(out, progress=True), n_workers=2).run()


@pytest.mark.parametrize(
    ("n_workers", "cpus", "profile", "threads"),
    [(2, 2, {}, "1"), (2, 1, {}, "1"), (2, 9, {}, "4"), (2, 9, {"num_threads": 3}, "3"), (1, 9, {}, None)],
)
def test_with_several_workers_each_save_has_its_share_of_the_cpus(
    rows: Any, out: Path, monkeypatch: pytest.MonkeyPatch, n_workers: int, cpus: int, profile: Any, threads: str | None
) -> None:
    import georeader._batch.workers
    import geotoolz._saving

    monkeypatch.setattr(georeader._batch.workers, "usable_cpus", lambda: cpus)

    asked = []

    def watched(gt: GeoTensor, path: str, **options: Any) -> None:
        given = {key.upper(): str(value) for key, value in (options.get("profile_arg") or {}).items()}
        asked.append(given.get("NUM_THREADS"))

    monkeypatch.setattr(geotoolz._saving, "save_cog", watched)
    CatalogPipeline(rows[:2], ndvi(out, profile_arg=profile), n_workers=n_workers).run()

    assert asked == [threads] * 2


def test_bytes_do_not_depend_on_the_number_of_workers(rows: Any, tmp_path: Path) -> None:
    found = []
    for workers in (1, 4):
        (tmp_path / str(workers)).mkdir()
        CatalogPipeline(rows, ndvi(tmp_path / str(workers)), n_workers=workers).run()
        found.append({path.name: path.read_bytes() for path in (tmp_path / str(workers)).iterdir()})

    assert found[0] == found[1]


def test_an_empty_catalog_gives_no_results(out: Path) -> None:
    assert CatalogPipeline([], ndvi(out)).run() == []
    assert CatalogPipeline([], Names(), executor="process").run() == []


def test_rasters_without_a_terminal_operator_are_not_kept(rows: Any) -> None:
    results = CatalogPipeline(rows, Add(1)).run()

    assert [(result.path, result.receipt, result.error) for result in results] == [(None, None, None)] * 6


def test_messages_show_no_secrets_of_urls(caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"path": "https://127.0.0.1:9/a.tif?sig=secret99"}]

    with caplog.at_level(logging.WARNING, "geotoolz"):
        (result,) = CatalogPipeline(rows, Add(1), on_row_error="log_and_continue").run()

    assert result.error is not None
    assert "secret99" not in caplog.text + repr(result) + str(result)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"op": "NDVI"}, "op is a str; pass a geotoolz.Operator"),
        ({"reader": "rasterio"}, "reader is a str"),
        ({"n_workers": 0}, "n_workers=0"),
        ({"n_workers": 1.5}, "n_workers=1.5"),
        ({"n_workers": True}, "n_workers=True"),
        ({"on_row_error": "ignore"}, "on_row_error='ignore' is neither 'raise' nor 'log_and_continue'"),
        ({"executor": "dask"}, "executor='dask'"),
        ({"progress": "yes"}, "progress='yes'"),
        ({"path_field": 7}, "path_field=7"),
        ({"path_field": []}, "path_field="),
        ({"executor": "process", "reader": lambda path: path}, "reader cannot be sent to a process"),
    ],
)
def test_invalid_arguments_are_refused_at_construction(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        CatalogPipeline(**({"catalog": [], "op": Add(1)} | arguments))


def test_reader_without_a_raster_is_the_error_of_its_row() -> None:
    with pytest.raises(OptionError, match="CatalogPipeline takes a GeoTensor or a lazy reader"):
        CatalogPipeline([{"path": "a"}], Add(1), reader=str).run()


def test_reader_may_be_a_partial(rows: Any, out: Path) -> None:
    results = CatalogPipeline(rows[:1], ndvi(out), reader=partial(RasterioReader, fill_value_default=3)).run()

    assert Path(results[0].path).is_file()
    assert os.listdir(out) == ["T0_20240501.tif"]
