"""info: what is in a file, as a table and as JSON has it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader.errors import ReadError
from georeader.validation import histogram_reader, info

Make = Callable[..., GeoTensor]


def test_the_table_fits_on_a_screen(make_tensor: Make, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    values = np.tile(np.arange(500, dtype="uint8"), (2, 600, 1))
    mask = np.ones((600, 500), dtype=bool)
    tensor = GeoTensor(values, Affine(10, 0, 5e5, 0, -10, 4e6), "EPSG:32630", None, attrs={"mask": mask})
    save_cog(tensor, "a.tif", descriptions=["B04", "B08"], tags={"model": "v2"},
             profile_arg={"compress": "none", "BIGTIFF": "YES"}, engine="gdal")  # fmt: skip

    text = re.sub(r"\d+ bytes +deflate", "some bytes  deflate", str(info("a.tif")))
    assert text.splitlines() == [
        "a.tif",
        "  pixels   500 x 600, 2 bands of uint8",
        "  bands    1 B04, 2 B08",
        "  validity mask",
        "  crs      EPSG:32630, WGS 84 / UTM zone 30N",
        "  pixel    10 x 10",
        "  bounds   (500000, 3994000, 505000, 4000000)",
        "  tags     3",
        "  layout   BigTIFF, little-endian, 1.13 MiB, GDAL's structural metadata",
        "  level   pixels     tile       tiles  bytes      stored as",
        "  0       500 x 600  256 x 256  6      768 KiB    none, pixel interleaved",
        "  0 mask  500 x 600  256 x 256  6      some bytes  deflate",
        "  1       250 x 300  256 x 256  2      256 KiB    none, pixel interleaved",
        "  1 mask  250 x 300  256 x 256  2      some bytes  deflate",
        "  2       125 x 150  256 x 256  1      128 KiB    none, pixel interleaved",
        "  2 mask  125 x 150  256 x 256  1      some bytes  deflate",
    ]


def test_predictor_interleave_sparse_tiles_and_nodata_are_shown(make_tensor: Make, tmp_path: Path) -> None:
    tensor = make_tensor((2, 300, 600), "float32", fill_value_default=np.nan)
    tensor.values[:, :, 256:] = np.nan
    save_cog(tensor, tmp_path / "a.tif", profile_arg={"compress": "zstd", "predictor": 3, "INTERLEAVE": "BAND",
                                                      "SPARSE_OK": "YES", "BLOCKSIZE": 128})  # fmt: skip

    text = str(info(tmp_path / "a.tif"))

    assert "zstd, predictor 3, band interleaved" in text
    assert "30 (18 sparse)" in text
    assert "nodata nan" in text


def test_bands_beyond_eight_are_counted(make_tensor: Make, tmp_path: Path) -> None:
    save_cog(make_tensor((20, 10, 10)), tmp_path / "a.tif")
    assert "8 undefined, and 12 more" in str(info(tmp_path / "a.tif"))


def test_info_round_trips_through_json(make_tensor: Make, tmp_path: Path) -> None:
    tensor = make_tensor((1, 300, 200), "float32", fill_value_default=np.nan)
    save_cog(tensor, tmp_path / "a.tif", descriptions=["NDVI"])

    found = info(tmp_path / "a.tif").to_dict()

    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["bounds"] == [500000.0, 3997000.0, 502000.0, 4000000.0]
    assert (found["epsg"], found["nodata"], found["descriptions"]) == (32630, "nan", ["NDVI"])
    assert (found["width_px"], found["height_px"], found["bands"], found["dtype"]) == (200, 300, 1, "float32")
    assert [one["width_px"] for one in found["layout"]["directories"]] == [200, 100]


def test_raster_without_georeference_has_no_crs(tmp_path: Path) -> None:
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", width=40, height=30, count=1, dtype="uint8") as dataset:
        dataset.write(np.ones((1, 30, 40), "uint8"))
    found = info(tmp_path / "a.tif")
    assert (found.place.crs, found.place.epsg) == (None, None)
    assert "  crs      none" in str(found).splitlines()
    assert "40 x 30 strips" in str(found)


def test_a_crs_without_a_name_is_shown_by_its_numbers(tmp_path: Path, make_tensor: Make) -> None:
    save_cog(make_tensor((1, 20, 20), crs="+proj=laea +lat_0=10 +lon_0=20 +units=m"), tmp_path / "a.tif")
    assert "laea" in str(info(tmp_path / "a.tif"))


def test_raster_of_another_format_has_no_layout(tmp_path: Path) -> None:
    with rasterio.open(tmp_path / "a.png", "w", driver="PNG", width=40, height=30, count=1, dtype="uint8") as dataset:
        dataset.write(np.ones((1, 30, 40), "uint8"))
    found = info(tmp_path / "a.png")
    assert found.measurement.version is None
    assert str(found).endswith("no TIFF")


def test_invalid_raster_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    with pytest.raises(ReadError, match=r"a\.tif"):
        info(tmp_path / "a.tif")
    with pytest.raises(ReadError, match=r"b\.tif"):
        info(tmp_path / "b.tif")


def test_no_tile_is_read(make_tensor: Make, tmp_path: Path) -> None:
    save_cog(make_tensor((1, 600, 600), "uint8"), tmp_path / "a.tif")
    assert info(tmp_path / "a.tif").measurement.tiles_decoded is None


def test_overviews_in_a_file_of_their_own_are_stated(make_tensor: Make, tmp_path: Path) -> None:
    save_cog(make_tensor((1, 64, 64), "uint8"), tmp_path / "a.tif")
    assert not info(tmp_path / "a.tif").measurement.has_external_overviews

    (tmp_path / "a.tif.ovr").touch()

    assert info(tmp_path / "a.tif").to_dict()["layout"]["has_external_overviews"]


# Histograms.

TRANSFORM = Affine(10, 0, 5e5, 0, -10, 4e6)


def saved(path: Path, values: Any, nodata: Any = None, **attrs: Any) -> Path:
    save_cog(GeoTensor(np.asarray(values), TRANSFORM, "EPSG:32630", nodata, attrs=attrs), path)
    return path


def bins_of(path: Path) -> list[tuple[Any, Any, int]]:
    (found,) = info(path, histogram=True).histograms
    return list(found.bins)


def test_histogram_follows_the_table(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", np.array([[[1, 1, 2, 4, 0]]], "uint8"), 0, descriptions=["class"])

    assert str(info(path, histogram=True)).splitlines() == [
        *str(info(path)).splitlines(),
        "  band 1 class: 4 pixels of 5 x 1, 1 missing",
        "    1  ########################################  50.0 %",
        "    2  ####################                      25.0 %",
        "    3                                             0.0 %",
        "    4  ####################                      25.0 %",
    ]


@pytest.mark.parametrize(
    ("values", "nodata", "first", "last"),
    [
        (np.arange(320, dtype="uint16"), None, (0, 19, 20), (300, 319, 20)),
        (np.arange(-50, 50, dtype="int8"), None, (-50, -44, 7), (48, 49, 2)),
        (
            np.array([-(2**63), 2**63 - 1]),
            None,
            (-(2**63), -(2**63) + 2**60 - 1, 1),
            (15 * 2**60 - 2**63, 2**63 - 1, 1),
        ),
        (np.array([0, 2**64 - 1], "uint64"), None, (0, 2**60 - 1, 1), (15 * 2**60, 2**64 - 1, 1)),
        (np.array([0.0, 8.0]), None, (0.0, 0.5, 1), (7.5, 8.0, 1)),
        (np.array([0.0, 8.0, np.inf, -np.inf, -9.0, -9.0]), -9.0, (0.0, 0.5, 1), (7.5, 8.0, 1)),
        (np.array([-1.7e308, 1.7e308]), None, (-1.7e308, -1.4875e308, 1), (1.4875e308, 1.7e308, 1)),
        (np.array([3 + 4j, 0]), None, (0.0, 0.3125, 1), (4.6875, 5.0, 1)),
        (np.array([2.5, 2.5]), None, (2.5, 2.5, 2), (2.5, 2.5, 2)),
    ],
    ids=["uint16", "int8", "int64", "uint64", "float", "missing", "largest", "complex", "one value"],
)
def test_bins_have_all_values(values: Any, nodata: Any, first: Any, last: Any, tmp_path: Path) -> None:
    bins = bins_of(saved(tmp_path / "a.tif", values.reshape(-1, 2), nodata))

    assert (bins[0], bins[-1]) == (pytest.approx(first), pytest.approx(last))
    assert len(bins) <= 16


def test_histogram_without_values_has_no_bins(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", np.full((1, 3, 3), np.nan))

    assert bins_of(path) == []
    assert str(info(path, histogram=True)).endswith("band 1: 0 pixels of 3 x 3, 9 missing")


def test_masked_and_transparent_pixels_are_missing(tmp_path: Path) -> None:
    mask = np.array([[True, False]])
    masked = saved(tmp_path / "mask.tif", np.array([[[1, 9]]], "uint8"), mask=mask)
    alpha = saved(tmp_path / "alpha.tif", np.array([[[1, 9]], [[255, 0]]], "uint8"), colorinterp=["gray", "alpha"])

    assert bins_of(masked) == bins_of(alpha) == [(1, 1, 1)]


def test_smallest_overview_that_is_enough_is_read(tmp_path: Path, rng: np.random.Generator) -> None:
    path = saved(tmp_path / "a.tif", rng.random((2200, 1300), dtype="float32"))

    (found,) = info(path, histogram=True).histograms

    assert (found.level_width_px, found.level_height_px) == (325, 550)
    assert found.counted == 325 * 550 == sum(count for *_, count in found.bins)


def test_pixels_of_large_rasters_without_overviews_are_thinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram_reader, "MOST_COUNTED_PX", 1000)
    monkeypatch.setattr(histogram_reader, "WINDOW_PX", 64)
    save_tiled_geotiff(GeoTensor(np.ones((200, 300), "uint8"), TRANSFORM, "EPSG:32630", 0), tmp_path / "a.tif")

    (found,) = info(tmp_path / "a.tif", histogram=True).histograms

    assert found.bins == ((1, 1, found.counted),)
    assert 500 < found.counted <= 1000


def test_first_8_bands_have_a_histogram(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.tif", np.ones((10, 3, 3), "uint8"))

    assert [one.band for one in info(path, histogram=True).histograms] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_histograms_are_json(tmp_path: Path) -> None:
    found = info(saved(tmp_path / "a.tif", np.ones((1, 3, 3), "uint8")), histogram=True).to_dict()

    assert json.loads(json.dumps(found, allow_nan=False))["histograms"][0]["bins"] == [[1, 1, 9]]
