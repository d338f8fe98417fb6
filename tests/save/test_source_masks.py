"""Masks beside the pixels: read, cut and combined with them, and saved as the file's internal mask."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.windows import Window

from georeader import GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader._core.windows import PixelWindow
from georeader._export.sources import open_source
from georeader._export.sources.protocol import Source
from georeader.errors import DtypeError, MetadataWarning, OptionError, ShapeError

PLACE = (Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")
ROWS, COLUMNS = 300, 340

#: A disc, cut into stripes of a width that no tile and no 2x2 block has.
MASK = (np.hypot(*np.mgrid[-150:150, -170:170]) < 140) & (np.arange(COLUMNS) % 5 > 0)
PIXELS = np.random.default_rng(4).integers(1, 200, (3, ROWS, COLUMNS)).astype("uint8")

saves = pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
engines = pytest.mark.parametrize("engine", ["stream", "gdal"])
lazily = pytest.mark.parametrize("lazy", [True, False])


def write(path: Path, mask: NDArray[np.bool_] | None = MASK, internal: bool = True, **profile: Any) -> Path:
    """A file with a mask, written by rasterio."""
    defaults = {"driver": "GTiff", "count": 3, "height": ROWS, "width": COLUMNS, "dtype": "uint8"}
    place = {"crs": PLACE[1], "transform": PLACE[0]}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal),
        rasterio.open(path, "w", **(defaults | place | profile)) as dataset,
    ):
        dataset.write(PIXELS[: dataset.count])
        if mask is not None:
            dataset.write_mask(mask)
    return path


def tensor(shape: tuple[int, ...] = PIXELS.shape, mask: NDArray[np.bool_] | None = MASK, **attrs: Any) -> GeoTensor:
    values = np.resize(PIXELS, shape)
    return GeoTensor(values, *PLACE, None, attrs=attrs if mask is None else {"mask": mask, **attrs})


def mask_in(path: Path, level: int | None = None) -> NDArray[np.bool_]:
    """The mask of a file or of its overview, as GDAL sees it; it is a dataset's own and of no other kind."""
    with rasterio.open(path, **({} if level is None else {"overview_level": level})) as dataset:
        assert set(map(tuple, dataset.mask_flag_enums)) == {(MaskFlags.per_dataset,)}
        masks = dataset.read_masks() != 0
    assert (masks == masks[0]).all()
    return masks[0]


def any_2x2(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, columns = mask.shape
    padded = np.pad(mask, ((0, rows % 2), (0, columns % 2)))
    return padded[::2, ::2] | padded[1::2, ::2] | padded[::2, 1::2] | padded[1::2, 1::2]


slices = st.builds(
    slice, st.none() | st.integers(-9, 9), st.none() | st.integers(-9, 9), st.sampled_from([None, 1, 2, 3, -1, -2])
)


class TestReading:
    @pytest.mark.parametrize("internal", [True, False], ids=["internal", "sidecar"])
    def test_load_returns_the_mask_of_the_file(self, internal: bool, tmp_path: Path) -> None:
        reader = RasterioReader(write(tmp_path / "in.tif", internal=internal))

        loaded = reader.load()

        assert reader.has_mask
        assert loaded.attrs["mask"].dtype == bool
        np.testing.assert_array_equal(loaded.attrs["mask"], MASK)
        np.testing.assert_array_equal(loaded.values, PIXELS)

    def test_a_mask_takes_precedence_over_nodata_and_both_are_reported(self, tmp_path: Path) -> None:
        loaded = RasterioReader(write(tmp_path / "in.tif", nodata=7)).load()

        np.testing.assert_array_equal(loaded.attrs["mask"], MASK)
        assert loaded.fill_value_default == 7

    def test_a_reader_that_has_not_loaded_has_no_mask_yet(self, tmp_path: Path) -> None:
        assert "mask" not in RasterioReader(write(tmp_path / "in.tif")).attrs

    @pytest.mark.parametrize("profile", [{}, {"nodata": 7}], ids=["all valid", "nodata"])
    def test_a_derived_mask_is_not_a_mask_of_the_file(self, profile: Any, tmp_path: Path) -> None:
        reader = RasterioReader(write(tmp_path / "in.tif", mask=None, **profile))

        assert not reader.has_mask
        assert "mask" not in reader.load().attrs

    def test_alpha_is_a_band_and_not_a_mask(self, shared_data: Path) -> None:
        reader = RasterioReader(shared_data / "rgb_alpha_uint8.tif")

        assert (reader.has_mask, reader.count) == (False, 4)

    @lazily
    @pytest.mark.parametrize("window", [Window(30, 20, 50, 40), Window(-7, -9, 60, 400), Window(400, 500, 3, 3)])
    def test_pixels_beyond_the_edge_are_invalid(self, lazy: bool, window: Window, tmp_path: Path) -> None:
        whole: Any = RasterioReader(write(tmp_path / "in.tif"))

        part = (whole if lazy else whole.load()).read_from_window(window).load()

        padded = np.pad(MASK, 500)
        rows, columns = window.row_off + 500, window.col_off + 500
        np.testing.assert_array_equal(
            part.attrs["mask"], padded[rows : rows + window.height, columns : columns + window.width]
        )

    def test_clipped_window_has_the_clipped_mask(self, tmp_path: Path) -> None:
        reader = RasterioReader(write(tmp_path / "in.tif"), window_focus=Window(-5, 10, 50, 50))

        np.testing.assert_array_equal(reader.load(boundless=False).attrs["mask"], MASK[10:60, :45])

    def test_selected_bands_keep_the_mask(self, tmp_path: Path) -> None:
        part = RasterioReader(write(tmp_path / "in.tif")).isel({"band": [2, 0], "y": slice(5, 9)}).load()

        np.testing.assert_array_equal(part.attrs["mask"], MASK[5:9])

    @pytest.mark.parametrize("internal", [True, False], ids=["internal", "sidecar"])
    def test_an_overview_has_a_mask_of_its_own(self, internal: bool, tmp_path: Path) -> None:
        path = write(tmp_path / "in.tif", internal=internal)
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews([2, 4], Resampling.nearest)

        overview = RasterioReader(path).reader_overview(1).load()

        np.testing.assert_array_equal(overview.attrs["mask"], MASK[::4, ::4])

    def test_read_and_values_have_no_mask(self, tmp_path: Path) -> None:
        reader = RasterioReader(write(tmp_path / "in.tif"))

        for pixels in (reader.read(), reader.values):
            assert type(pixels) is np.ndarray
            np.testing.assert_array_equal(pixels, PIXELS)

    def test_masks_of_single_bands_are_named_in_a_warning(self, tmp_path: Path) -> None:
        mask = '<MaskBand><VRTRasterBand dataType="Byte"/></MaskBand>'
        bands = "".join(f'<VRTRasterBand dataType="Byte" band="{n}">{mask * (n == 1)}</VRTRasterBand>' for n in (1, 2))
        path = tmp_path / "odd.vrt"
        path.write_text(f'<VRTDataset rasterXSize="4" rasterYSize="3">{bands}</VRTDataset>')

        with pytest.warns(MetadataWarning, match=r"odd\.vrt: masks of single bands are not read") as caught:
            reader = RasterioReader(path)

        assert [one.filename for one in caught if one.category is MetadataWarning] == [__file__]
        assert not reader.has_mask

    def test_reprs_mention_the_mask(self, tmp_path: Path) -> None:
        reader = RasterioReader(write(tmp_path / "in.tif"))

        assert "\n  mask     yes, read by load()" in repr(reader)
        assert f"\n  mask     hides {(~MASK).sum()} of {MASK.size} pixels" in repr(reader.load())


class TestSelections:
    @given(rows=slices, columns=slices)
    def test_slices_cut_the_mask(self, rows: slice, columns: slice) -> None:
        whole = tensor((2, 7, 8), mask=MASK[100:107, 100:108])

        np.testing.assert_array_equal(whole[:, rows, columns].attrs["mask"], MASK[100:107, 100:108][rows, columns])

    @pytest.mark.parametrize(
        "select",
        [
            lambda gt: gt[1],
            lambda gt: gt[[2, 0]],
            lambda gt: gt.isel({"band": 0}),
            lambda gt: gt[:1].squeeze(),
            lambda gt: gt.expand_dims(0),
            lambda gt: gt.transpose(0, 1, 2),
            lambda gt: next(iter(gt)),
        ],
    )
    def test_bands_share_the_mask(self, select: Any) -> None:
        np.testing.assert_array_equal(select(tensor()).attrs["mask"], MASK)

    def test_padding_does_not_change_the_first_mask(self) -> None:
        whole = tensor()

        whole.read_from_window(Window(-1, -1, COLUMNS, ROWS)).attrs["mask"][:] = True

        np.testing.assert_array_equal(whole.attrs["mask"], MASK)

    def test_a_copy_has_a_mask_of_its_own(self) -> None:
        whole = tensor(mask=MASK.copy())

        whole.copy().attrs["mask"][:] = True

        np.testing.assert_array_equal(whole.attrs["mask"], MASK)

    def test_values_of_another_shape_drop_the_mask(self) -> None:
        whole = tensor(tags={"a": "b"})

        assert whole.like(np.zeros((3, 4))).attrs == {"tags": {"a": "b"}}

    @pytest.mark.parametrize("own", ["a user's own", np.ones(3), np.ones((ROWS, COLUMNS + 1)), None])
    def test_an_attribute_that_is_not_a_mask_is_unchanged(self, own: Any) -> None:
        whole = tensor(mask=None) if own is None else tensor(mask=own)

        for result in (whole[:, 5:9], whole + 1, whole.read_from_window(Window(-1, -1, 5, 5)), whole.validmask()):
            assert result.attrs.get("mask") is own

    @pytest.mark.parametrize("make", [np.ravel, lambda gt: gt.reshape(-1), lambda gt: gt.values, lambda gt: gt[gt > 5]])
    def test_results_off_the_grid_have_no_mask(self, make: Any) -> None:
        assert type(make(tensor())) is np.ndarray


class TestArithmetic:
    #: Two masks, and where both are valid.
    A, B = MASK[100:104, 100:105], np.arange(20).reshape(4, 5) % 3 > 0
    BOTH = A & B

    def pair(self) -> tuple[GeoTensor, GeoTensor]:
        return tensor((2, 4, 5), mask=self.A), tensor((2, 4, 5), mask=self.B)

    @pytest.mark.parametrize(
        "combine",
        [
            lambda a, b: a + b,
            lambda a, b: a > b,
            lambda a, b: np.maximum(a, b),
            lambda a, b: np.divmod(a, b)[1],
            lambda a, b: a[0] * b,
            lambda a, b: np.add(a, b, out=a.like(np.zeros(a.shape, a.dtype), attrs={"mask": np.zeros((4, 5), bool)})),
            lambda a, b: np.clip(a, b, 99),
            lambda a, b: np.where(a > b, 1, 0),
            lambda a, b: np.select([a > b], [a], 0),
        ],
    )
    def test_pixel_of_two_tensors_is_valid_if_both_are(self, combine: Any) -> None:
        np.testing.assert_array_equal(combine(*self.pair()).attrs["mask"], self.BOTH)

    def test_arithmetic_in_place_merges_masks(self) -> None:
        a, b = self.pair()

        a += b

        np.testing.assert_array_equal(a.attrs["mask"], self.BOTH)
        np.testing.assert_array_equal(b.attrs["mask"], self.B)

    def test_partially_written_tensor_keeps_the_mask_of_other_pixels(self) -> None:
        a, b = self.pair()

        result = np.add(b, 1, out=a, where=np.zeros(b.shape, bool))

        np.testing.assert_array_equal(result.attrs["mask"], self.BOTH)

    def test_pixels_without_a_mask_are_all_valid(self) -> None:
        a, _ = self.pair()

        for result in (a + 1, a + a.values, a + tensor((2, 4, 5), mask=None), -a, a.astype(float), np.sqrt(a)):
            np.testing.assert_array_equal(result.attrs["mask"], self.A)

    def test_overwriting_all_pixels_drops_the_mask(self) -> None:
        a, _ = self.pair()
        valid = tensor((2, 4, 5), mask=None)

        assert "mask" not in np.add(valid, 1, out=a).attrs

    @pytest.mark.parametrize("reduce", [np.mean, np.nanmax, lambda gt, axis: gt.sum(axis=axis), np.add.reduce])
    def test_a_reduction_of_several_bands_has_their_mask(self, reduce: Any) -> None:
        np.testing.assert_array_equal(reduce(self.pair()[0], axis=0).attrs["mask"], self.A)

    def test_where_selects_masks_with_the_pixels(self) -> None:
        a, b = self.pair()
        condition = np.arange(40).reshape(2, 4, 5) % 2 == 0

        result = np.where(condition, a, b)

        expected = np.where(condition, self.A, self.B).all(axis=0)
        np.testing.assert_array_equal(result.attrs["mask"], expected)

    def test_where_fills_gaps_from_a_second_scene(self) -> None:
        a, b = self.pair()

        filled = np.where(a.validmask(), a, b)

        np.testing.assert_array_equal(filled.attrs["mask"], self.A | self.B)
        np.testing.assert_array_equal(filled.values, np.where(self.A, a.values, b.values))

    def test_masked_pixels_are_invalid(self) -> None:
        a, _ = self.pair()
        a.fill_value_default = int(a.values[0, 0, 0])
        a.attrs["mask"] = self.B

        expected = (a.values == a.fill_value_default) | ~self.B
        np.testing.assert_array_equal(a.invalidmask().values, expected)
        np.testing.assert_array_equal(a.validmask().values, ~expected)
        assert "mask" not in a.validmask().attrs

    @pytest.mark.parametrize("combine", [GeoTensor.stack, GeoTensor.concatenate])
    @pytest.mark.parametrize("dimensions", [2, 3])
    def test_stack_keeps_a_common_mask(self, combine: Any, dimensions: int) -> None:
        a = tensor((4, 5) if dimensions == 2 and combine == GeoTensor.stack else (2, 4, 5), mask=self.A)

        joined = combine([a, a.like(a.values, attrs={"mask": self.A.copy()})])

        np.testing.assert_array_equal(joined.attrs["mask"], self.A)

    @pytest.mark.parametrize("combine", [GeoTensor.stack, GeoTensor.concatenate])
    @pytest.mark.parametrize("other", [B, None])
    def test_a_stack_of_different_masks_has_none_and_warns(self, combine: Any, other: Any) -> None:
        first, second = tensor((2, 4, 5), mask=self.A), tensor((2, 4, 5), mask=other)

        for pair in ([first, second], [second, first]):
            with pytest.warns(MetadataWarning, match="the masks of the GeoTensors differ, so the result has none") as c:
                joined = combine(pair)
            assert "mask" not in joined.attrs
            assert c[0].filename == __file__


class TestMaskedArrays:
    def test_with_one_mask_for_all_bands_set_the_mask(self) -> None:
        hidden = np.broadcast_to(~MASK, PIXELS.shape)

        made = GeoTensor(np.ma.masked_array(PIXELS, hidden), *PLACE, 0)

        np.testing.assert_array_equal(made.attrs["mask"], MASK)
        np.testing.assert_array_equal(made.values, PIXELS)

    def test_add_to_the_existing_mask(self) -> None:
        other = np.arange(COLUMNS) % 2 == 0
        masked = np.ma.masked_array(PIXELS[0], ~MASK)

        made = GeoTensor(masked, *PLACE, 0, attrs={"mask": np.broadcast_to(other, MASK.shape)})
        alike = tensor((ROWS, COLUMNS), mask=np.broadcast_to(other, MASK.shape)).like(masked)

        np.testing.assert_array_equal(made.attrs["mask"], MASK & other)
        np.testing.assert_array_equal(alike.attrs["mask"], MASK & other)

    def test_without_masked_pixels_have_no_effect(self) -> None:
        assert "mask" not in GeoTensor(np.ma.masked_array(PIXELS), *PLACE).attrs

    def test_whose_bands_hide_different_pixels_are_refused_with_advice(self) -> None:
        masked = np.ma.masked_equal(PIXELS, 5)

        with pytest.raises(OptionError, match=r"pixels are masked, not the same ones.*values\.filled\(nodata\)"):
            GeoTensor(masked, *PLACE, 0)

    def test_are_not_written_over_a_tensors_pixels(self) -> None:
        whole = tensor()

        with pytest.raises(OptionError, match="pixels are masked, and only the pixels are taken here"):
            whole.values = np.ma.masked_equal(PIXELS, 5)

    @saves
    def test_of_a_plain_object_are_saved_with_their_mask(self, save: Any, tmp_path: Path) -> None:
        masked = np.ma.masked_array(PIXELS, np.broadcast_to(~MASK, PIXELS.shape))
        source = SimpleNamespace(
            values=masked, shape=masked.shape, crs=PLACE[1], transform=PLACE[0], fill_value_default=None
        )

        save(source, tmp_path / "out.tif")

        np.testing.assert_array_equal(mask_in(tmp_path / "out.tif"), MASK)

    def test_of_a_plain_object_that_differ_are_refused_and_nothing_is_written(self, tmp_path: Path) -> None:
        masked = np.ma.masked_equal(PIXELS, 5)
        source = SimpleNamespace(
            values=masked, shape=masked.shape, crs=PLACE[1], transform=PLACE[0], fill_value_default=0
        )

        with pytest.raises(OptionError, match="pixels are masked, not the same ones in each band"):
            save_cog(source, tmp_path / "out.tif")

        assert list(tmp_path.iterdir()) == []


class Lazy:
    """An object that loads, and counts how often."""

    def __init__(self, loaded: Any, **says: Any) -> None:
        self.loaded, self.loads = loaded, 0
        self.shape, self.dtype = PIXELS.shape, PIXELS.dtype
        self.transform, self.crs, self.fill_value_default = *PLACE, None
        self.__dict__.update(says)

    def load(self) -> Any:
        self.loads += 1
        return self.loaded


def read(source: Source) -> tuple[Any, Any]:
    """Read all pixels and the mask."""
    return source.read(PixelWindow(0, source.spec.height_px, 0, source.spec.width_px), range(source.spec.count))


class TestSource:
    def test_pixels_and_mask_are_loaded_once(self) -> None:
        lazy = Lazy(tensor(), has_mask=True)
        source = open_source(lazy)
        assert (source.spec.has_mask, lazy.loads) == (True, 0)

        parts = [source.read(PixelWindow(top, top + 100, 0, 340), range(len(PIXELS))) for top in (0, 100, 200)]

        assert lazy.loads == 1
        np.testing.assert_array_equal(np.concatenate([pixels for pixels, _ in parts], axis=1), PIXELS)
        np.testing.assert_array_equal(np.concatenate([mask for _, mask in parts]), MASK)

    def test_pixels_are_released_at_the_end(self) -> None:
        loaded = tensor()
        lazy = Lazy(None, has_mask=True)
        lazy.load = lambda: loaded.copy()
        source = open_source(lazy)
        pixels, _ = read(source)
        kept = weakref.ref(pixels.base if pixels.base is not None else pixels)

        source.close()
        del pixels

        assert kept() is None

    @pytest.mark.parametrize("mask", [MASK, None])
    def test_tensors_and_readers_declare_whether_they_have_one(self, mask: Any, tmp_path: Path) -> None:
        expected = mask is not None
        reader = RasterioReader(write(tmp_path / "in.tif", mask))

        for data in (reader, reader.load(), tensor(mask=mask)):
            with closing(open_source(data)) as source:
                assert source.spec.has_mask is expected
                assert (read(source)[1] is not None) is expected

    def test_an_object_without_a_dtype_is_loaded_once_as_well(self) -> None:
        lazy = Lazy(tensor())
        del lazy.dtype

        source = open_source(lazy)

        assert source.spec.has_mask
        np.testing.assert_array_equal(read(source)[0], PIXELS)
        np.testing.assert_array_equal(read(source)[1], MASK)
        assert lazy.loads == 1

    def test_a_declared_mask_that_is_missing_hides_nothing(self) -> None:
        source = open_source(Lazy(PIXELS, has_mask=True))

        assert read(source)[1].all()

    def test_an_undeclared_mask_is_refused(self) -> None:
        with pytest.raises(OptionError, match="Lazy has masked pixels, but does not declare them .* has_mask = True"):
            read(open_source(Lazy(tensor())))

    def test_the_mask_may_be_declared_by_the_object_and_loaded_by_another(self) -> None:
        source = open_source(Lazy(PIXELS, attrs={"mask": MASK}))

        np.testing.assert_array_equal(read(source)[1], MASK)

    @pytest.mark.parametrize(
        ("mask", "error", "message"),
        [
            (MASK[1:], ShapeError, r"attrs\['mask'\] is bool \(299, 340\); .* here of \(300, 340\)"),
            (np.stack([MASK] * 3), ShapeError, r"bool \(3, 300, 340\)"),
            ("yes", ShapeError, r"attrs\['mask'\] is str"),
            (MASK * np.uint8(255), DtypeError, r"uint8 \(300, 340\); pass a bool array, True where .* mask != 0"),
        ],
    )
    def test_an_invalid_mask_is_refused_before_anything_is_written(
        self, mask: Any, error: type[Exception], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(error, match=message):
            save_cog(tensor(mask=mask), tmp_path / "out.tif")

        assert list(tmp_path.iterdir()) == []


class TestSaving:
    @saves
    @engines
    @pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "int64", "complex64"])
    def test_masks_are_read_back(self, save: Any, engine: str, dtype: str, tmp_path: Path) -> None:
        source = tensor().astype(dtype)

        save(source, tmp_path / "out.tif", engine=engine)

        np.testing.assert_array_equal(mask_in(tmp_path / "out.tif"), MASK)
        np.testing.assert_array_equal(RasterioReader(tmp_path / "out.tif").values, source.values)
        assert os.listdir(tmp_path) == ["out.tif"]

    @engines
    @pytest.mark.parametrize("internal", [True, False], ids=["internal", "sidecar"])
    def test_mask_of_a_file_is_copied(
        self, engine: str, internal: bool, tmp_path: Path, good_cog: Callable[[Path], None]
    ) -> None:
        path = write(tmp_path / "in.tif", internal=internal, nodata=7)

        save_cog(RasterioReader(path), tmp_path / "out.tif", engine=engine)

        np.testing.assert_array_equal(mask_in(tmp_path / "out.tif"), MASK)
        assert RasterioReader(tmp_path / "out.tif").nodata == 7
        good_cog(tmp_path / "out.tif")

    @engines
    def test_a_window_beyond_the_edge_is_saved_with_what_is_valid(self, engine: str, tmp_path: Path) -> None:
        reader = RasterioReader(write(tmp_path / "in.tif"), window_focus=Window(-10, -20, 300, 200))

        save_cog(reader, tmp_path / "out.tif", engine=engine)

        np.testing.assert_array_equal(mask_in(tmp_path / "out.tif"), np.pad(MASK, 20)[:200, 10:310])

    @engines
    @pytest.mark.parametrize("nodata", [None, 7])
    @pytest.mark.parametrize("dtype", ["uint8", "float32", "int64", "complex64"])
    def test_overviews_average_what_is_valid(self, engine: str, nodata: int | None, dtype: str, tmp_path: Path) -> None:
        source = tensor().astype(dtype)
        if nodata is not None:
            source[:, ::3] = nodata
        source.fill_value_default = nodata

        save_cog(source, tmp_path / "out.tif", engine=engine)

        np.testing.assert_array_equal(mask_in(tmp_path / "out.tif", 0), any_2x2(MASK))
        valid = np.broadcast_to(MASK, source.shape) & (source.values != (nodata or 0))
        blocks = (3, ROWS // 2, 2, COLUMNS // 2, 2)
        count = valid.reshape(blocks).sum(axis=(2, 4))
        total = np.where(valid, source.values, 0).astype(complex).reshape(blocks).sum(axis=(2, 4))
        mean = total / np.maximum(count, 1)
        expected = np.floor(mean.real + 0.5) if source.dtype.kind in "iu" else mean
        overview = RasterioReader(tmp_path / "out.tif").reader_overview(0).values
        beside = np.abs(expected - (nodata or -1)) < 1  # an average that would be nodata is moved to a number beside it
        where = (count > 0) & ~beside
        np.testing.assert_allclose(overview[where], expected[where], rtol=1e-6)

    @engines
    def test_nan_below_and_beside_the_mask_does_not_spread(self, engine: str, tmp_path: Path) -> None:
        source = tensor().astype("float32")
        source[:, 100:140, 100:140] = np.nan
        source[:, ::2, 1::2] = np.nan

        save_cog(source, tmp_path / "out.tif", engine=engine)

        overview = RasterioReader(tmp_path / "out.tif").reader_overview(0).load()
        hidden = (np.isnan(source.values) | ~MASK).reshape(3, ROWS // 2, 2, COLUMNS // 2, 2).all(axis=(2, 4))
        valid = overview.attrs["mask"]
        np.testing.assert_array_equal(np.isnan(overview.values[:, valid]), hidden[:, valid])

    @engines
    @pytest.mark.parametrize(
        "profile",
        [
            {"blockxsize": 128, "blockysize": 256},
            {"INTERLEAVE": "BAND"},
            {"compress": "zstd", "predictor": 2, "blocksize": 512},
            {"RESAMPLING": "nearest"},
            {"compress": "none", "SPARSE_OK": "YES"},
            {"BIGTIFF": "YES", "STATISTICS": "YES"},
        ],
        ids=lambda profile: next(iter(profile)),
    )
    def test_masks_are_read_back_in_any_layout(self, engine: str, profile: dict[str, Any], tmp_path: Path) -> None:
        save_cog(tensor(), tmp_path / "out.tif", profile_arg=profile, engine=engine)

        np.testing.assert_array_equal(mask_in(tmp_path / "out.tif"), MASK)
        np.testing.assert_array_equal(RasterioReader(tmp_path / "out.tif").values, PIXELS)

    @engines
    def test_statistics_are_those_of_what_is_valid(self, engine: str, tmp_path: Path) -> None:
        source = tensor()
        source[:, ~MASK] = 255

        save_cog(source, tmp_path / "out.tif", profile_arg={"STATISTICS": "YES"}, engine=engine)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert float(dataset.tags(1)["STATISTICS_MAXIMUM"]) == PIXELS[0][MASK].max()

    @engines
    @pytest.mark.parametrize("mask", [np.ones_like(MASK), np.zeros_like(MASK)], ids=["all valid", "nothing valid"])
    def test_a_mask_of_one_value_is_still_a_mask(self, engine: str, mask: NDArray[np.bool_], tmp_path: Path) -> None:
        save_cog(tensor(mask=mask), tmp_path / "out.tif", engine=engine)

        np.testing.assert_array_equal(mask_in(tmp_path / "out.tif"), mask)
        np.testing.assert_array_equal(mask_in(tmp_path / "out.tif", 0), mask[::2, ::2])

    def test_mask_becomes_alpha_where_it_is_warped(self, tmp_path: Path) -> None:
        save_cog(tensor(), tmp_path / "out.tif", profile_arg={"TARGET_SRS": "EPSG:4326", "RESAMPLING": "nearest"})

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert dataset.colorinterp[-1] is ColorInterp.alpha
            share = (dataset.read(4) > 0).sum() * MASK.size / (dataset.width * dataset.height)
        assert share == pytest.approx(MASK.sum(), rel=0.15)

    @saves
    @engines
    def test_alpha_is_kept(self, save: Any, engine: str, shared_data: Path, tmp_path: Path) -> None:
        save(RasterioReader(shared_data / "rgb_alpha_uint8.tif"), tmp_path / "out.tif", engine=engine)

        with rasterio.open(shared_data / "rgb_alpha_uint8.tif") as before, rasterio.open(tmp_path / "out.tif") as after:
            assert after.colorinterp == before.colorinterp
            assert after.colorinterp[3] is ColorInterp.alpha
            assert after.mask_flag_enums == before.mask_flag_enums
            assert after.tags(ns="IMAGE_STRUCTURE").get("ALPHA") == before.tags(ns="IMAGE_STRUCTURE").get("ALPHA")
            np.testing.assert_array_equal(after.read(), before.read())

    def test_arguments_of_the_caller_are_not_changed(self, tmp_path: Path) -> None:
        mask = MASK.copy()
        source = tensor(mask=mask)

        save_cog(source, tmp_path / "out.tif")

        assert source.attrs["mask"] is mask
        np.testing.assert_array_equal(mask, MASK)
