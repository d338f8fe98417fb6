"""Presets: the encoding that each one chooses for dtypes and bands, what is refused, and every way to ask for one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine

from by_command import run
from dask_cluster import StartCluster
from data_arrays import data_array
from foreign.processes import need, read_by_geotiff_js
from georeader import CogWriter, GeoTensor, plan_export, save, save_cog, save_tiled_geotiff
from georeader.errors import OptionError
from georeader.validation import validate
from geotoolz.catalog_ops import CatalogPipeline, WriteCOG

NORTH_UP = Affine(10, 0, 500000, 0, -10, 4000000)
SOUTH_UP = Affine(10, 0, 500000, 0, 10, 4000000 - 2200)
UTM = "EPSG:32630"
SHAPE = (220, 250)
PRESETS = ("web", "visual", "analysis", "archive")

Contents = Callable[[Path], dict[str, bytes]]


def slopes(count: int, dtype: str, shape: tuple[int, int] = SHAPE) -> Any:
    """Return (band, row, column) of slopes with a little noise, which predictors shorten."""
    rows, columns = np.indices(shape)
    noise = np.random.default_rng(0).integers(0, 5, (count, *shape))
    values = np.stack([rows // 2 + columns // 4 + band for band in range(count)]) % 100 + noise
    return values > 60 if dtype == "bool" else values.astype(dtype)


def raster(count: int, dtype: str, transform: Affine = NORTH_UP, **attrs: Any) -> GeoTensor:
    return GeoTensor(slopes(count, dtype), transform, UTM, fill_value_default=None, attrs=attrs)


def rgba() -> GeoTensor:
    values = slopes(4, "uint8")
    values[3] = 255
    values[3, 40:60] = 0
    return GeoTensor(values, NORTH_UP, UTM, None, attrs={"colorinterp": ["red", "green", "blue", "alpha"]})


def classes() -> GeoTensor:
    table = {value: (value, value, value, 255) for value in range(256)}
    return raster(1, "uint8", colormap=table)


def encoding_of(path: Path) -> tuple[str, int, int]:
    """Return the codec, the predictor and the side of a tile, as tifffile reads them."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        return page.compression.name.removeprefix("ADOBE_").lower(), int(page.predictor), page.tilewidth


# What each preset writes.


@pytest.mark.parametrize(
    ("preset", "count", "dtype", "expected"),
    [
        ("web", 1, "uint8", ("deflate", 2, 256)),
        ("web", 4, "int16", ("deflate", 2, 256)),
        ("web", 1, "uint32", ("deflate", 2, 256)),
        ("web", 1, "float32", ("deflate", 3, 256)),
        ("web", 2, "float64", ("deflate", 3, 256)),
        ("web", 1, "float16", ("deflate", 3, 256)),
        ("web", 1, "bool", ("deflate", 1, 256)),
        ("visual", 1, "uint8", ("jpeg", 1, 256)),
        ("visual", 3, "uint8", ("jpeg", 1, 256)),
        ("analysis", 3, "uint8", ("zstd", 2, 512)),
        ("analysis", 7, "uint16", ("zstd", 2, 512)),
        ("analysis", 1, "int64", ("zstd", 1, 512)),
        ("analysis", 1, "float32", ("zstd", 3, 512)),
        ("analysis", 1, "complex64", ("zstd", 1, 512)),
        ("analysis", 1, "bool", ("zstd", 1, 512)),
        ("archive", 1, "uint8", ("zstd", 2, 512)),
        ("archive", 3, "uint8", ("webp", 1, 512)),
        ("archive", 5, "uint8", ("zstd", 2, 512)),
        ("archive", 4, "uint16", ("lerc", 1, 512)),
        ("archive", 1, "int16", ("lerc", 1, 512)),
        ("archive", 1, "float32", ("zstd", 3, 512)),
        ("archive", 1, "complex64", ("zstd", 1, 512)),
    ],
)
def test_encoding_follows_dtype_and_bands(
    preset: Any, count: int, dtype: str, expected: tuple[str, int, int], tmp_path: Path
) -> None:
    source = raster(count, dtype)

    save_cog(source, tmp_path / "a.tif", profile_arg=preset)

    assert encoding_of(tmp_path / "a.tif") == expected
    if preset != "visual":
        with rasterio.open(tmp_path / "a.tif") as dataset:
            np.testing.assert_array_equal(dataset.read(), source.values)


@pytest.mark.parametrize(("preset", "expected"), [("web", "deflate"), ("analysis", "zstd"), ("archive", "zstd")])
def test_classes_are_not_predicted_by_their_neighbours(preset: Any, expected: str, tmp_path: Path) -> None:
    save_cog(classes(), tmp_path / "a.tif", profile_arg=preset)

    codec, predictor, _ = encoding_of(tmp_path / "a.tif")
    assert codec == expected
    if preset != "archive":  # which tries it
        assert predictor == 1


def test_visual_picture_of_three_bands_is_ycbcr_with_a_mask_in_place_of_nodata(tmp_path: Path) -> None:
    values = slopes(3, "uint8") + np.uint8(1)
    values[:, 50:70, 90:140] = 0

    save_cog(GeoTensor(values, NORTH_UP, UTM, fill_value_default=0), tmp_path / "a.tif", profile_arg="visual")

    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.profile["photometric"] == "ycbcr"
        assert dataset.tags(ns="IMAGE_STRUCTURE")["JPEG_QUALITY"] == "85"
        assert dataset.nodata is None
        np.testing.assert_array_equal(dataset.dataset_mask() > 0, (values != 0).all(axis=0))
        assert np.abs(dataset.read().astype(int) - values)[:, :40].mean() < 3


def test_visual_picture_with_alpha_is_webp_that_keeps_alpha(tmp_path: Path) -> None:
    source = rgba()

    save_cog(source, tmp_path / "a.tif", profile_arg="visual")

    assert encoding_of(tmp_path / "a.tif")[0] == "webp"
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert [colour.name for colour in dataset.colorinterp] == ["red", "green", "blue", "alpha"]
        np.testing.assert_array_equal(dataset.read(4), source.values[3])


def test_archive_keeps_colours_below_transparent_pixels(tmp_path: Path) -> None:
    source = rgba()

    save_cog(source, tmp_path / "a.tif", profile_arg="archive")

    with rasterio.open(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), source.values)


def test_analysis_file_has_statistics(tmp_path: Path) -> None:
    receipt = save_cog(raster(1, "uint16"), tmp_path / "a.tif", profile_arg="analysis")

    assert receipt.statistics is not None
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert float(dataset.tags(1)["STATISTICS_MAXIMUM"]) == slopes(1, "uint16").max()


@pytest.mark.parametrize("preset", PRESETS)
def test_files_are_valid_cogs_with_nodata(preset: Any, tmp_path: Path) -> None:
    save_cog(GeoTensor(slopes(3, "uint8", (530, 600)), NORTH_UP, UTM, 255), tmp_path / "a.tif", profile_arg=preset)

    report = validate(tmp_path / "a.tif", strict=True)
    assert report.is_valid, str(report)
    assert report.notes == ()
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.nodata == (None if preset == "visual" else 255)


def test_web_files_are_read_by_geotiff_js(tmp_path: Path) -> None:
    need("geotiff.js")
    sources = [raster(*one) for one in [(3, "uint8"), (1, "int16"), (2, "uint32"), (1, "float32"), (1, "float64")]]
    paths = [tmp_path / f"{source.dtype}.tif" for source in sources]
    for source, path in zip(sources, paths, strict=True):
        save_cog(source, path, profile_arg="web")

    readings = read_by_geotiff_js(paths, tmp_path)

    for source, reading in zip(sources, readings, strict=True):
        assert not isinstance(reading, str), reading
        np.testing.assert_array_equal(reading["full"], source.values)


# North up.


def is_north_up(path: Path, source: GeoTensor) -> bool:
    """Return whether a file has the pixels of a raster whose rows run north, the last row first."""
    with rasterio.open(path) as dataset:
        is_placed = dataset.transform.almost_equals(NORTH_UP)
        return is_placed and np.array_equal(dataset.read(), source.values[:, ::-1])


@pytest.mark.parametrize("engine", ["stream", "gdal"])
def test_web_file_of_a_raster_whose_rows_run_north_has_them_run_south(engine: Any, tmp_path: Path) -> None:
    source = raster(2, "int16", SOUTH_UP)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_cog(source, tmp_path / "a.tif", profile_arg="web", engine=engine)

    assert is_north_up(tmp_path / "a.tif", source)


def test_mask_is_written_north_up_with_its_pixels(tmp_path: Path) -> None:
    mask = np.random.default_rng(1).random(SHAPE) > 0.4
    source = raster(1, "int16", SOUTH_UP, mask=mask)

    save_cog(source, tmp_path / "a.tif", profile_arg="web")

    with rasterio.open(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.dataset_mask() > 0, mask[::-1])


def test_rational_polynomials_follow_the_rows(tmp_path: Path) -> None:
    terms = [0.0, 1.0, 0.5, *[0.0] * 17]
    rpcs = rasterio.rpc.RPC(
        err_bias=None, err_rand=None, height_off=0.0, height_scale=1.0, lat_off=36.0, lat_scale=1.0, long_off=-3.0,
        long_scale=1.0, line_off=20.0, line_scale=100.0, samp_off=10.0, samp_scale=100.0, line_num_coeff=terms,
        line_den_coeff=[1.0, *[0.0] * 19], samp_num_coeff=terms, samp_den_coeff=[1.0, *[0.0] * 19],
    )  # fmt: skip

    save_cog(raster(1, "int16", SOUTH_UP, rpcs=rpcs), tmp_path / "a.tif", profile_arg="web")

    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.rpcs.line_off == SHAPE[0] - 1 - 20
        assert dataset.rpcs.line_num_coeff == [-term for term in terms]
        assert dataset.rpcs.samp_off == 10


def _path(source: GeoTensor, folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_tiled_geotiff(source, folder / "in.tif", blocksize=64)
    return folder / "in.tif"


def _data_array(source: GeoTensor, folder: Path) -> Any:
    pytest.importorskip("rioxarray")
    chunks = pytest.importorskip("dask.array").from_array(source.values, chunks=(1, 60, 70))
    return data_array(chunks, source.transform)


@pytest.mark.parametrize("form", [_path, _data_array], ids=["path", "dask DataArray"])
def test_lazy_sources_are_written_north_up(form: Callable[[GeoTensor, Path], Any], tmp_path: Path) -> None:
    source = raster(2, "int16", SOUTH_UP)

    save_cog(form(source, tmp_path), tmp_path / "a.tif", profile_arg="web")

    assert is_north_up(tmp_path / "a.tif", source)


@pytest.mark.slow
@pytest.mark.thorough
def test_cluster_writes_the_same_bytes(cluster: StartCluster, tmp_path: Path) -> None:
    source = raster(2, "int16", SOUTH_UP)
    array, path = _data_array(source, tmp_path), _path(source, tmp_path)
    options = {"preset": "web", "BLOCKSIZE": 64}

    for name, client in [("here.tif", False), ("there.tif", cluster(2))]:
        save_cog(array, tmp_path / name, profile_arg=options, client=client)
    save_cog(path, tmp_path / "path.tif", profile_arg=options, client=cluster(2))

    assert is_north_up(tmp_path / "there.tif", source)
    assert (tmp_path / "there.tif").read_bytes() == (tmp_path / "here.tif").read_bytes()
    assert (tmp_path / "path.tif").read_bytes() == (tmp_path / "here.tif").read_bytes()


def test_writer_takes_windows_of_the_raster_as_it_is_described(tmp_path: Path) -> None:
    source = raster(2, "int16", SOUTH_UP)
    options: Any = {"preset": "web", "BLOCKSIZE": 64}

    with CogWriter(tmp_path / "a.tif", like=source, profile_arg=options) as writer:
        for row in range(0, 220, 55):
            writer.write(source.isel({"y": slice(row, row + 55)}))

    assert is_north_up(tmp_path / "a.tif", source)


@pytest.mark.parametrize("preset", ["visual", "analysis", "archive"])
def test_other_presets_keep_the_order_of_rows(preset: Any, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="rows run from south to north"):
        save_cog(raster(1, "uint8", SOUTH_UP), tmp_path / "a.tif", profile_arg=preset)

    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.transform.almost_equals(SOUTH_UP)


# What is refused.


@pytest.mark.parametrize(
    ("preset", "source", "message"),
    [
        ("web", raster(1, "int64"), "preset='web' does not write int64, .* pass dtype='int32' or 'float64'"),
        ("web", raster(1, "uint64"), "does not write uint64"),
        ("web", raster(1, "complex64"), "does not write complex64, .* save real and imaginary parts as bands"),
        ("web", raster(1, "int8"), "does not write int8, .* pass dtype='int16'"),
        ("web", raster(1, "uint8", Affine.rotation(30)), "north up, got the rotated transform .*WarpedVRT"),
        ("web", raster(1, "uint8", Affine(-1, 0, 0, 0, -1, 0)), "north up, got the mirrored transform"),
        ("visual", raster(3, "uint16"), "1, 3 or 4 bands of uint8, not uint16; stretch it to 0 to 255 and cast"),
        ("visual", raster(2, "uint8"), "not 2 bands; select one or three of them"),
        ("visual", raster(5, "uint8"), "not 5 bands"),
        ("visual", raster(4, "uint8"), "the fourth band is not declared alpha; set attrs"),
        ("visual", raster(1, "bool"), "not classes .* save red, green and blue"),
        ("visual", classes(), "not classes"),
    ],
    ids=lambda value: value if isinstance(value, str) and value in PRESETS else "",
)
def test_what_a_preset_is_not_for_is_refused(
    preset: Any, source: GeoTensor, message: str, tmp_path: Path, contents: Contents
) -> None:
    with pytest.raises(OptionError, match=message):
        save_cog(source, tmp_path / "a.tif", profile_arg=preset)

    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("profile_arg", "message"),
    [
        ("wbe", r"profile_arg='wbe' is not a preset; did you mean 'web'\? allowed: web, visual, analysis, archive"),
        ("", r"profile_arg='' is not a preset; allowed"),
        ({"preset": "analisys"}, r"profile_arg\['preset'\]='analisys' is not a preset; did you mean 'analysis'"),
        ({"preset": 3}, r"profile_arg\['preset'\]=3 is not a preset"),
        ({"preset": "web", "PRESET": "visual"}, "keep one"),
        ({"preset": "visual", "level": 3}, r"\['level'\] has no meaning with compress='jpeg'"),
    ],
)
def test_unknown_presets_are_refused_with_a_close_match(profile_arg: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=message):
        save_cog(raster(1, "uint8"), tmp_path / "a.tif", profile_arg=profile_arg)


# What the caller passes comes first.


@pytest.mark.parametrize(
    ("profile_arg", "expected"),
    [
        ({"preset": "web", "level": 9}, ("deflate", 2, 256)),
        ({"PRESET": " Web ", "blocksize": 128}, ("deflate", 2, 128)),
        ({"preset": "web", "predictor": "no"}, ("deflate", 1, 256)),
        ({"preset": "web", "dtype": "float32"}, ("deflate", 3, 256)),
        ({"preset": "archive", "compress": "lzw", "predictor": 2}, ("lzw", 2, 512)),
        ({"preset": "visual", "compress": "zstd", "predictor": 2}, ("zstd", 2, 256)),
        ({"preset": "web", "NBITS": 12}, ("deflate", 1, 256)),
        ({"preset": None, "compress": "zstd", "predictor": 2}, ("zstd", 2, 256)),
    ],
)
def test_an_option_comes_before_that_of_the_preset(
    profile_arg: dict[str, Any], expected: tuple[str, int, int], tmp_path: Path
) -> None:
    before = dict(profile_arg)

    save_cog(raster(1, "uint16"), tmp_path / "a.tif", profile_arg=profile_arg)

    assert encoding_of(tmp_path / "a.tif") == expected
    assert profile_arg == before


def test_a_level_changes_the_size(tmp_path: Path) -> None:
    sizes = [
        save_cog(raster(3, "uint16"), tmp_path / "a.tif", profile_arg={"preset": "web", "level": level}).size_bytes
        for level in (1, 12)
    ]

    assert sizes[1] < sizes[0]


def test_archive_with_a_quality_is_lossy(tmp_path: Path) -> None:
    source = raster(3, "uint8")

    save_cog(source, tmp_path / "a.tif", profile_arg={"preset": "archive", "quality": 30})

    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert not np.array_equal(dataset.read(), source.values)


def test_profile_of_a_dataset_takes_a_preset(tmp_path: Path) -> None:
    save_tiled_geotiff(raster(1, "uint16"), tmp_path / "in.tif", profile_arg={"compress": "lzw"})
    with rasterio.open(tmp_path / "in.tif") as dataset:
        profile = {name: value for name, value in dataset.profile.items() if name not in ("compress", "tiled")}

    save_cog(raster(1, "uint16"), tmp_path / "a.tif", profile_arg=profile | {"preset": "analysis"})

    assert encoding_of(tmp_path / "a.tif") == ("zstd", 2, 256)


def test_preset_comes_before_the_default_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(save.PROFILE_TILED_GEOTIFF_DEFAULT, "compress", "zstd")
    monkeypatch.setitem(save.PROFILE_TILED_GEOTIFF_DEFAULT, "level", 22)

    save_cog(raster(1, "uint16"), tmp_path / "a.tif", profile_arg="web")

    assert encoding_of(tmp_path / "a.tif") == ("deflate", 2, 256)


def test_saving_prints_and_logs_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level("INFO")
    for preset in PRESETS:
        save_cog(raster(3, "uint8"), tmp_path / "a.tif", profile_arg=preset)

    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


# Every way to ask for one.


def _by_writer(source: GeoTensor, path: Path, preset: Any) -> None:
    with CogWriter(path, like=source, profile_arg=preset) as writer:
        writer.write(source.values)


def _by_operator(source: GeoTensor, path: Path, preset: Any) -> None:
    source.attrs["row"] = {"name": path.stem}
    WriteCOG(f"{path.parent}/{{name}}.tif", profile_arg=preset)(source)


def _by_catalog(source: GeoTensor, path: Path, preset: Any) -> None:
    save_tiled_geotiff(source, path.with_name("in.tif"))
    rows = [{"path": str(path.with_name("in.tif")), "name": name} for name in (path.stem, "b")]
    write = WriteCOG(f"{path.parent}/{{name}}.tif", profile_arg=preset)
    done, _ = CatalogPipeline(rows, write, n_workers=2).run()
    assert done.error is None


def _by_command(source: GeoTensor, path: Path, preset: Any) -> None:
    save_tiled_geotiff(source, path.with_name("in.tif"))
    done = run("cog", path.with_name("in.tif"), path, "--preset", preset.upper())
    assert done.exit_code == 0, done.output


def _delayed(source: GeoTensor, path: Path, preset: Any) -> None:
    pytest.importorskip("dask")
    save_cog(source, path, profile_arg=preset, compute=False).compute(scheduler="synchronous")


ENTRIES: dict[str, Callable[[GeoTensor, Path, Any], Any]] = {
    "save_cog": lambda source, path, preset: save_cog(source, path, profile_arg=preset),
    "profile=": lambda source, path, preset: save_cog(source, path, profile=preset),
    "save_tiled_geotiff": lambda source, path, preset: save_tiled_geotiff(source, path, profile_arg=preset),
    "compute=False": _delayed,
    "CogWriter": _by_writer,
    "WriteCOG": _by_operator,
    "CatalogPipeline": _by_catalog,
    "georeader cog": _by_command,
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_point_takes_a_preset(entry: str, tmp_path: Path) -> None:
    source = raster(1, "uint16")

    ENTRIES[entry](source, tmp_path / "a.tif", "analysis")

    assert encoding_of(tmp_path / "a.tif") == ("zstd", 2, 512)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(), source.values)


def test_blocksize_of_a_tiled_geotiff_comes_first(tmp_path: Path) -> None:
    save_tiled_geotiff(raster(1, "uint16"), tmp_path / "a.tif", profile_arg="analysis", blocksize=64)

    assert encoding_of(tmp_path / "a.tif") == ("zstd", 2, 64)


@pytest.mark.parametrize("preset", PRESETS)
def test_tiled_geotiff_has_no_overviews(preset: Any, tmp_path: Path) -> None:
    source = GeoTensor(slopes(3, "uint8", (530, 600)), NORTH_UP, UTM, None)

    save_tiled_geotiff(source, tmp_path / "a.tif", profile_arg=preset)

    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert dataset.overviews(1) == []


@pytest.mark.parametrize(("kind", "preset"), [("cog", "web"), ("tiled", "analysis"), ("cog", "archive")])
def test_plan_has_the_encoding_of_the_preset(kind: str, preset: Any, tmp_path: Path) -> None:
    planned = plan_export(raster(1, "float32"), tmp_path / "a.tif", kind=kind, profile_arg=preset)

    side_px = 256 if preset == "web" else 512
    assert (planned.codec, planned.tile_width_px) == ("DEFLATE" if preset == "web" else "ZSTD", side_px)


@pytest.mark.parametrize(
    ("typed", "exit_code", "expected"),
    [
        (["--preset", "web", "--level", "9"], 0, ""),
        (["--preset", "web", "--profile", "LEVEL=9"], 0, ""),
        (["--preset", "wbe"], 2, "web"),
        (["--preset", "web", "--profile", "preset=visual"], 2, "--preset and --profile preset set the same option"),
        (["--preset", "visual"], 2, "--preset visual writes pictures"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_command_line_has_presets(typed: list[str], exit_code: int, expected: str, tmp_path: Path) -> None:
    save_tiled_geotiff(raster(1, "uint16"), tmp_path / "in.tif")

    done = run("cog", tmp_path / "in.tif", tmp_path / "a.tif", *typed)

    assert done.exit_code == exit_code, done.output
    assert expected in done.output + done.stderr
    if not exit_code:
        save_cog(tmp_path / "in.tif", tmp_path / "b.tif", profile_arg={"preset": "web", "level": 9})
        assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_command_line_names_the_preset_where_rows_run_north(tmp_path: Path) -> None:
    done = run("cog", _path(raster(1, "uint16", SOUTH_UP), tmp_path), tmp_path / "a.tif")

    assert "or pass --preset web, which writes it north up" in done.stderr
