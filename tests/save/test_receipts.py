"""Receipts agree with tifffile, numpy and zlib for every engine and order of work."""

from __future__ import annotations

import json
import math
import pickle
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from affine import Affine
from rasterio.windows import Window

from georeader import CogWriter, GeoTensor, save_cog, save_tiled_geotiff
from georeader._export.engine import stream
from georeader._export.plan.order_of_work import Order
from georeader._export.receipt.receipt import LevelReceipt, Receipt
from georeader._export.statistics import BandSummary
from georeader._tiff import cog_layout
from sink_contract import Lazy

PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}


def scene(dtype: str = "uint16", count: int = 2, nodata: Any = 0, **attrs: Any) -> GeoTensor:
    """Pixels with a corner of nothing."""
    values = np.random.default_rng(0).integers(1, 200, (count, 700, 600)).astype(dtype)
    values[:, :300, :300] = 0
    return GeoTensor(values, **PLACE, fill_value_default=nodata, attrs=attrs)


def checksum_of(path: Path) -> str:
    return f"crc32:{zlib.crc32(path.read_bytes()):08x}"


def levels_by_tifffile(path: Path) -> list[tuple[int, int, int, int, int]]:
    """Return (width, height, tiles, sparse tiles, bytes) of each level, masks included, from the largest on."""
    levels: dict[tuple[int, int], list[int]] = {}
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            levels.setdefault((page.imagewidth, page.imagelength), []).extend(page.databytecounts)
    return [(*size, len(counts), counts.count(0), sum(counts)) for size, counts in sorted(levels.items(), reverse=True)]


def levels_of(receipt: Receipt) -> list[tuple[int, int, int, int, int]]:
    return [
        (level.width_px, level.height_px, level.tile_count, level.sparse_tile_count, level.encoded_bytes)
        for level in receipt.levels
    ]


class TestChecksum:
    @pytest.mark.parametrize("threads", [1, 2, 8])
    @pytest.mark.parametrize(
        ("order", "function", "is_lazy"),
        [
            (Order.PYRAMID_FIRST, save_cog, False),
            (Order.SPOOL_BASE, save_cog, True),
            (Order.IN_FILE_ORDER, save_tiled_geotiff, True),
        ],
    )
    def test_checksum_is_that_of_the_file_for_every_order_of_work(
        self, order: Order, function: Any, is_lazy: bool, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        orders, plan_work = [], stream.plan_work

        def recorded(*args: Any, **kwargs: Any) -> Any:
            work = plan_work(*args, **kwargs)
            orders.append(work.order)
            return work

        monkeypatch.setattr(stream, "plan_work", recorded)
        profile = {"compress": "deflate", "NUM_THREADS": threads}

        receipt = function(Lazy(scene()) if is_lazy else scene(), tmp_path / "out.tif", profile_arg=profile)

        assert set(orders) == {order}
        assert receipt.checksum == checksum_of(tmp_path / "out.tif")

    @pytest.mark.filterwarnings("ignore:nodata=0 is left out")
    @pytest.mark.parametrize("is_lazy", [False, True], ids=["memory", "stream"])
    @pytest.mark.parametrize("options", [
        {"interleave": "band"}, {"SPARSE_OK": "YES"}, {"BIGTIFF": "YES"}, {"compress": "none", "BLOCKSIZE": 16},
        {"compress": "jpeg"}, {"STATISTICS": "YES"},
    ], ids=str)  # fmt: skip
    def test_checksum_is_that_of_the_file_for_any_options(
        self, options: dict[str, Any], is_lazy: bool, tmp_path: Path
    ) -> None:
        raster = scene("uint8", 3, mask=np.random.default_rng(1).random((700, 600)) > 0.1)

        receipt = save_cog(Lazy(raster) if is_lazy else raster, tmp_path / "out.tif", profile_arg=options)

        assert receipt.checksum == checksum_of(tmp_path / "out.tif")

    def test_checksum_includes_padding_of_the_header(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """While it is open whether a file becomes a BigTIFF, its header is the longer one."""
        sure = save_cog(scene(), tmp_path / "sure.tif", profile_arg={"compress": "zstd"})
        monkeypatch.setattr(cog_layout, "SAFE_FILE_BYTES", sure.size_bytes + 10_000)

        receipt = save_cog(scene(), tmp_path / "open.tif", profile_arg={"compress": "zstd"})

        assert receipt.size_bytes > sure.size_bytes
        assert receipt.checksum == checksum_of(tmp_path / "open.tif")

    @pytest.mark.parametrize("function", [save_cog, save_tiled_geotiff])
    def test_checksum_by_gdal_engine(self, function: Any, tmp_path: Path) -> None:
        receipt = function(scene(), tmp_path / "out.tif", engine="gdal")

        assert (receipt.engine, receipt.checksum) == ("gdal", checksum_of(tmp_path / "out.tif"))

    def test_checksum_of_a_file_object(self) -> None:
        file = BytesIO()

        receipt = save_cog(scene(), file)

        assert receipt.checksum == f"crc32:{zlib.crc32(file.getvalue()):08x}"


class TestLevels:
    @pytest.mark.filterwarnings("ignore:nodata=0 is left out")
    @pytest.mark.parametrize("engine", ["stream", "gdal"])
    @pytest.mark.parametrize("options", [
        {}, {"interleave": "band"}, {"SPARSE_OK": "YES"}, {"BIGTIFF": "YES"}, {"compress": "jpeg"},
        {"OVERVIEWS": "NONE"}, {"OVERVIEW_COUNT": 10}, {"BLOCKSIZE": 512},
    ], ids=str)  # fmt: skip
    def test_levels_equal_those_of_tifffile(self, options: dict[str, Any], engine: str, tmp_path: Path) -> None:
        receipt = save_cog(scene("uint8", 3), tmp_path / "out.tif", profile_arg=options, engine=engine)

        assert levels_of(receipt) == levels_by_tifffile(tmp_path / "out.tif")
        assert [level.factor for level in receipt.levels] == [2**number for number in range(len(receipt.levels))]

    @pytest.mark.parametrize("engine", ["stream", "gdal"])
    def test_levels_count_tiles_of_masks(self, engine: str, tmp_path: Path) -> None:
        raster = scene("uint8", 1, nodata=None, mask=np.random.default_rng(1).random((700, 600)) > 0.1)

        receipt = save_cog(raster, tmp_path / "out.tif", engine=engine)

        assert levels_of(receipt) == levels_by_tifffile(tmp_path / "out.tif")
        assert [level.tile_count for level in receipt.levels] == [2 * 9, 2 * 4, 2]

    def test_one_level_without_overviews(self, tmp_path: Path) -> None:
        receipt = save_tiled_geotiff(scene(), tmp_path / "out.tif")

        assert levels_of(receipt) == levels_by_tifffile(tmp_path / "out.tif")
        assert (receipt.kind, len(receipt.levels)) == ("tiled", 1)

    def test_levels_are_those_of_the_warped_file(self, tmp_path: Path) -> None:
        options = {"TILING_SCHEME": "GoogleMapsCompatible", "STATISTICS": "YES"}

        receipt = save_cog(scene("uint8", 3, nodata=None), tmp_path / "out.tif", profile_arg=options)

        assert levels_of(receipt) == levels_by_tifffile(tmp_path / "out.tif")
        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert receipt.shape == (dataset.count, dataset.height, dataset.width)
            assert (receipt.transform, receipt.crs) == (dataset.transform, "EPSG:3857")
            assert len(receipt.descriptions) == len(receipt.scales) == dataset.count == 4
            assert [band.mean for band in receipt.statistics or ()] == [
                float(dataset.tags(band)["STATISTICS_MEAN"]) for band in dataset.indexes
            ]


class TestCompressionRatio:
    def test_ratio_is_decoded_pixels_by_encoded_tiles(self, tmp_path: Path) -> None:
        receipt = save_cog(scene(), tmp_path / "out.tif", profile_arg={"compress": "zstd"})

        with tifffile.TiffFile(tmp_path / "out.tif") as file:
            pixels = sum(page.imagewidth * page.imagelength for page in file.pages)
            encoded_bytes = sum(sum(page.databytecounts) for page in file.pages)
        assert receipt.decoded_bytes == pixels * 2 * 2
        assert receipt.compression_ratio == receipt.decoded_bytes / encoded_bytes

    def test_ratio_is_infinite_if_all_tiles_are_sparse(self, tmp_path: Path) -> None:
        empty = GeoTensor(np.zeros((1, 300, 300), "uint8"), **PLACE, fill_value_default=0)

        receipt = save_cog(empty, tmp_path / "out.tif", profile_arg={"SPARSE_OK": "YES"})

        assert receipt.compression_ratio == math.inf
        assert [(level.tile_count, level.sparse_tile_count) for level in receipt.levels] == [(4, 4), (1, 1)]
        assert receipt.to_dict()["compression_ratio"] == "inf"


class TestStatistics:
    @pytest.mark.parametrize("is_lazy", [False, True], ids=["memory", "stream"])
    @pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
    def test_statistics_equal_those_of_numpy(self, dtype: str, is_lazy: bool, tmp_path: Path) -> None:
        raster = scene(dtype)

        receipt = save_cog(
            Lazy(raster) if is_lazy else raster, tmp_path / "out.tif", nodata=0, profile_arg={"STATISTICS": "YES"}
        )

        assert receipt.statistics is not None
        for band, summary in zip(raster.values, receipt.statistics, strict=True):
            valid = band[band != 0].astype(float)
            assert (summary.minimum, summary.maximum) == (valid.min(), valid.max())
            assert summary.mean == pytest.approx(valid.mean(), rel=1e-12)
            assert summary.standard_deviation == pytest.approx(valid.std(), rel=1e-9)
            assert summary.valid_percent == pytest.approx(100 * valid.size / band.size)

    def test_statistics_by_gdal_engine_agree_to_its_digits(self, tmp_path: Path) -> None:
        ours = save_cog(scene(), tmp_path / "ours.tif", profile_arg={"STATISTICS": "YES"})
        theirs = save_cog(scene(), tmp_path / "gdal.tif", profile_arg={"STATISTICS": "YES"}, engine="gdal")

        assert theirs.statistics is not None
        assert ours.statistics is not None
        for one, other in zip(ours.statistics, theirs.statistics, strict=True):
            assert (one.minimum, one.maximum) == (other.minimum, other.maximum)
            assert one.mean == pytest.approx(other.mean)
            assert one.standard_deviation == pytest.approx(other.standard_deviation)
            assert one.valid_percent == pytest.approx(other.valid_percent, abs=0.01)

    @pytest.mark.parametrize("engine", ["stream", "gdal"])
    def test_statistics_are_none_by_default(self, engine: str, tmp_path: Path) -> None:
        assert save_cog(scene(), tmp_path / "out.tif", engine=engine).statistics is None

    def test_numbers_are_none_without_a_valid_pixel(self, tmp_path: Path) -> None:
        empty = GeoTensor(np.zeros((1, 300, 300), "uint8"), **PLACE, fill_value_default=0)

        receipt = save_cog(empty, tmp_path / "out.tif", profile_arg={"STATISTICS": "YES"})

        assert receipt.statistics == (BandSummary(None, None, None, None, 0.0),)


def test_receipt_describes_the_raster(tmp_path: Path) -> None:
    attrs = {"descriptions": ["red", None], "units": [None, "K"], "scales": [0.1, 1], "offsets": [-1, 0]}
    before = datetime.now(UTC)

    receipt = save_cog(scene(**attrs), tmp_path / "out.tif")

    assert (receipt.path, receipt.kind) == (str(tmp_path / "out.tif"), "cog")
    assert (receipt.shape, receipt.dtype, receipt.nodata) == ((2, 700, 600), "uint16", 0)
    assert (receipt.transform, receipt.crs) == (PLACE["transform"], "EPSG:32630")
    assert rasterio.CRS.from_wkt(receipt.crs_wkt) == rasterio.CRS.from_epsg(32630)
    assert (receipt.descriptions, receipt.units) == (("red", None), (None, "K"))
    assert (receipt.scales, receipt.offsets) == ((0.1, 1.0), (-1.0, 0.0))
    assert before <= receipt.finished <= datetime.now(UTC)
    assert 0 < receipt.seconds <= (receipt.finished - before).total_seconds() + 0.01


def test_fields_are_empty_for_a_raster_without_metadata(tmp_path: Path) -> None:
    nowhere = GeoTensor(np.zeros((1, 20, 30), "uint8"), Affine.identity(), None, fill_value_default=None)

    receipt = save_cog(nowhere, tmp_path / "out.tif")

    assert (receipt.crs_wkt, receipt.crs, receipt.nodata) == (None, None, None)
    assert (receipt.descriptions, receipt.units, receipt.scales, receipt.offsets) == ((None,), (None,), (1.0,), (0.0,))


def test_receipt_of_cog_writer_equals_that_of_save_cog(tmp_path: Path) -> None:
    raster, profile = scene(), {"STATISTICS": "YES"}
    whole = save_cog(raster, tmp_path / "whole.tif", profile_arg=profile)

    with CogWriter(tmp_path / "pieces.tif", like=raster, profile_arg=profile) as writer:
        for row in (350, 0):
            window = Window(0, row, 600, 350)
            writer.write(raster.read_from_window(window), window)

    receipt = writer.receipt
    assert receipt is not None
    assert receipt.checksum == whole.checksum == checksum_of(tmp_path / "pieces.tif")
    assert (receipt.levels, receipt.statistics, receipt.shape) == (whole.levels, whole.statistics, whole.shape)
    assert receipt.seconds > 0


@pytest.fixture
def receipt(tmp_path: Path) -> Receipt:
    raster = scene("float32", nodata=np.nan, descriptions=["<b>red</b>", "nir & swir"])
    return save_cog(raster, tmp_path / "a<i>.tif", profile_arg={"STATISTICS": "YES"}, verify=True)


def test_receipt_is_pickled_compared_and_hashed_with_nan_nodata(receipt: Receipt) -> None:
    copy = pickle.loads(pickle.dumps(receipt))

    assert copy == receipt
    assert len({copy, receipt}) == 1
    assert receipt != pickle.loads(pickle.dumps(receipt).replace(b"a<i>.tif", b"b<i>.tif"))
    assert receipt != "a receipt"


def test_repr_is_one_line(receipt: Receipt) -> None:
    assert str(receipt) == (
        f"{receipt.path}: {receipt.size_bytes:,} bytes by stream in {receipt.seconds:.2f} s, 3 levels, 14 tiles, "
        f"compression ratio {receipt.compression_ratio:.3g}, {receipt.checksum}, verified, largest error 0"
    )


def test_html_is_a_table_with_escaped_names(receipt: Receipt) -> None:
    html = receipt._repr_html_()

    assert html.startswith('<div style="font-family: monospace">')
    assert html.count("<table>") == html.count("</table>") == 3
    assert "a&lt;i&gt;.tif" in html
    assert "&lt;b&gt;red&lt;/b&gt;" in html
    assert "nir &amp; swir" in html
    assert "<i>" not in html
    assert receipt.checksum in html
    assert "standard deviation" in html
    assert "EPSG:32630" in html


def test_html_has_no_columns_without_statistics(tmp_path: Path) -> None:
    html = save_cog(scene(), tmp_path / "out.tif")._repr_html_()

    assert "standard deviation" not in html
    assert "verified" not in html


def test_to_dict_is_strict_json_with_all_fields(receipt: Receipt) -> None:
    found = json.loads(json.dumps(receipt.to_dict(), allow_nan=False))

    assert found["nodata"] == "nan"
    assert found["crs"] == "EPSG:32630"
    assert found["transform"] == [10, 0, 500000, 0, -10, 4000000]
    assert datetime.fromisoformat(found["finished"]) == receipt.finished
    assert LevelReceipt(**found["levels"][1]) == receipt.levels[1]
    assert found["compression_ratio"] == receipt.compression_ratio
    assert BandSummary(**found["statistics"][0]) == (receipt.statistics or ())[0]
    assert set(found) == {*Receipt.__dataclass_fields__, "crs", "compression_ratio"}


def test_receipt_of_a_tiling_scheme_has_the_same_fields(tmp_path: Path, make_tensor: Callable[..., GeoTensor]) -> None:
    options = {"TARGET_SRS": "EPSG:4326"}

    receipt = save_cog(make_tensor((1, 300, 300), "uint8"), tmp_path / "out.tif", profile_arg=options)

    assert (receipt.engine, receipt.crs) == ("stream", "EPSG:4326")
