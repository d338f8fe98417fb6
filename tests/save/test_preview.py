"""What a raster looks like: which pixels are transparent, and what colours the others have."""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from georeader import GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader._render.legend import LINE_PX, MARGIN_PX, MOST_CLASSES, SQUARE_PX
from georeader.errors import DtypeError, GeoreferenceError, MissingExtraError, OptionError, ReadError, ShapeError
from georeader.preview import Png, preview
from pictures import read_png, read_rgba

TRANSFORM = Affine(10, 0, 500000, 0, -10, 4000000)
CRS = "EPSG:32630"


def tensor(values: Any, *, nodata: Any = None, **attrs: Any) -> GeoTensor:
    return GeoTensor(np.asarray(values), TRANSFORM, CRS, nodata, attrs=attrs)


def greys(data: Any, **options: Any) -> list[list[int | None]]:
    """Return the greys of a raster's picture, None where it is transparent."""
    picture = read_rgba(preview(data, **options))
    assert (picture[..., 0] == picture[..., 1]).all()
    assert (picture[..., 0] == picture[..., 2]).all()
    assert set(np.unique(picture[..., 3])) <= {0, 255}
    return [[int(pixel[0]) if pixel[3] else None for pixel in row] for row in picture]


@pytest.fixture(autouse=True)
def _numpy_has_nothing_to_say() -> Iterator[None]:
    with np.errstate(all="raise"):
        yield


# Numbers.


def test_a_band_is_stretched_over_all_greys() -> None:
    assert greys(tensor([[100, 150], [200, 300]]), percentiles=(0, 100)) == [[0, 64], [128, 255]]


def test_outliers_beyond_the_2nd_and_98th_percentile_do_not_darken_the_rest() -> None:
    ramp = np.linspace(0, 1, 1000)
    ramp[[0, 999]] = -1e9, 1e9

    picture = read_png(preview(tensor(ramp.reshape(20, 50))))

    assert picture.shape == (20, 50, 1)
    assert picture[10, 0, 0] == round((ramp[500] - ramp[20]) / (ramp[979] - ramp[20]) * 255)
    assert (picture[0, 0, 0], picture[-1, -1, 0]) == (0, 255)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[7, 7]], "uint16"), [[128, 128]]),
        (np.array([[np.nan, 7.5]]), [[None, 128]]),
        (np.array([[np.inf, -np.inf, 0, 1]]), [[None, None, 0, 255]]),
        (np.array([[np.nan, np.inf]], "float32"), [[None, None]]),
        (np.array([[-(2**63), 0, 2**63 - 1]], "int64"), [[0, 128, 255]]),
        (np.array([[2**63 - 3, 2**63 - 2, 2**63 - 1]], "int64"), [[0, 128, 255]]),
        (np.array([[0, 2**64 - 1]], "uint64"), [[0, 255]]),
        (np.array([[-1.7e308, 0, 1.7e308]]), [[0, 128, 255]]),
        (np.array([[0, 5e-324]]), [[0, 255]]),
        (np.array([[3 + 4j, 0, 10]], "complex64"), [[128, 0, 255]]),
        (np.array([[1.5e308 + 1.5e308j, 0, 10]]), [[None, 0, 255]]),
        (np.array([[-128, 127]], "int8"), [[0, 255]]),
        (np.array([[0, 1, 2]], "float16"), [[0, 128, 255]]),
        (np.array([[0, 256]], ">u2"), [[0, 255]]),
    ],
    ids=[
        "one value", "one valid pixel", "infinities", "nothing valid", "all of int64", "the end of int64",
        "all of uint64", "all of float64", "the smallest float64", "magnitudes", "a magnitude beyond float64", "int8",
        "float16", "big-endian",
    ],
)  # fmt: skip
def test_any_dtype_and_extreme_is_shown(values: Any, expected: list[list[int | None]]) -> None:
    assert greys(tensor(values)) == expected


def test_a_mask_is_black_and_white() -> None:
    assert greys(tensor([[True, False], [True, True]])) == [[255, 0], [255, 255]]
    assert greys(GeoTensor(np.array([[True, False]]), TRANSFORM, CRS)) == [[255, 0]]


def test_mask_is_transparent_where_false_is_explicit_nodata() -> None:
    assert greys(tensor([[True, False]], nodata=False)) == [[255, None]]


def test_a_dtype_that_a_geotiff_does_not_have_is_refused() -> None:
    with pytest.raises(DtypeError, match="datetime64"):
        preview(tensor(np.zeros((2, 2), "datetime64[D]")))


# What is transparent.


@pytest.mark.parametrize("nodata", [0, -9999, np.nan, 5e37])
def test_nodata_is_transparent_and_not_in_the_stretch(nodata: float) -> None:
    assert greys(tensor(np.array([[nodata, 10, 20]], "float32"), nodata=nodata)) == [[None, 0, 255]]


def test_nodata_that_the_dtype_cannot_hold_hides_no_pixel() -> None:
    assert greys(tensor(np.array([[0, 255]], "uint8"), nodata=np.nan)) == [[0, 255]]


def test_masked_pixels_are_transparent_and_not_in_the_stretch() -> None:
    masked = np.ma.masked_array([[10, 20, 9999]], mask=[[False, False, True]])

    assert greys(GeoTensor(masked, TRANSFORM, CRS, None)) == [[0, 255, None]]


@pytest.mark.parametrize("internal", [True, False])
def test_a_files_own_mask_is_transparent(internal: bool, tmp_path: Path) -> None:
    path = tmp_path / "masked.tif"
    profile = {"driver": "GTiff", "height": 1, "width": 3, "count": 1, "dtype": "uint16", "crs": CRS}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal),
        rasterio.open(path, "w", **profile, transform=TRANSFORM) as dataset,
    ):
        dataset.write(np.array([[[10, 20, 9999]]], "uint16"))
        dataset.write_mask(np.array([[True, True, False]]))

    assert greys(path) == [[0, 255, None]]


def test_alpha_band_of_uint8_is_the_alpha_of_the_picture() -> None:
    colours = [[[10, 20, 30]], [[40, 50, 60]], [[70, 80, 90]], [[0, 127, 255]]]
    picture = read_png(
        preview(tensor(np.array(colours, "uint8"), colorinterp=["red", "green", "blue", "alpha"])),
    )

    assert picture.tolist() == [[[0, 0, 0, 0], [20, 50, 80, 127], [30, 60, 90, 255]]]


def test_alpha_of_16_bits_is_opaque_where_it_is_not_0() -> None:
    assert greys(tensor(np.array([[[9, 1, 2]], [[0, 1, 65535]]], "uint16"), colorinterp=["gray", "alpha"])) == [
        [None, 0, 255]
    ]


def test_pixel_missing_in_some_bands_is_opaque() -> None:
    bands = np.array([[[0, 0, 5]], [[0, 7, 5]], [[0, 7, 5]]], "uint8")

    assert read_png(preview(tensor(bands, nodata=0))).tolist() == [[[0, 0, 0, 0], [0, 7, 7, 255], [5, 5, 5, 255]]]


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from(["uint8", "int16", "float32", "float64", "int64"]),
        hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=40),
        elements=st.integers(0, 5),
    ),
    st.integers(1, 40),
)
def test_only_nodata_is_transparent(values: Any, max_side_px: int) -> None:
    """In any size each pixel of the picture covers an area, and is transparent where all of that is missing."""
    picture = read_rgba(preview(tensor(values, nodata=0), max_side_px=max_side_px, bands=1))

    missing = (values if values.ndim == 2 else values[0]) == 0
    assert max(picture.shape[:2]) == min(max_side_px, max(missing.shape))
    if picture.shape[:2] == missing.shape:
        assert ((picture[..., 3] == 0) == missing).all()
        assert set(np.unique(picture[..., 3])) <= {0, 255}
    assert (picture[..., 3] == 0).all() == missing.all()
    assert (picture[picture[..., 3] == 0] == 0).all()


# Colours.


def test_8_bit_red_green_and_blue_are_shown_as_they_are() -> None:
    pixels = np.array([[[50, 60]], [[70, 80]], [[90, 100]]], "uint8")
    as_they_are = [[[50, 70, 90], [60, 80, 100]]]

    assert read_png(preview(tensor(pixels))).tolist() == as_they_are
    assert read_png(preview(tensor(pixels, colorinterp=["red", "green", "blue"]))).tolist() == as_they_are
    assert read_png(preview(tensor(pixels[::-1], colorinterp=["blue", "green", "red"]))).tolist() == as_they_are


def test_explicit_percentiles_stretch_8_bit_colours() -> None:
    pixels = np.array([[[50, 60]], [[70, 80]], [[90, 100]]], "uint8")

    assert read_png(preview(tensor(pixels), percentiles=(2, 98))).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_colours_of_more_bits_are_stretched_band_by_band() -> None:
    pixels = np.array([[[500, 600, 700]], [[10, 20, 30]], [[0, 0, 1]]], "uint16")

    picture = read_png(preview(tensor(pixels, colorinterp=["red", "green", "blue"])))

    assert picture.tolist() == [[[0, 0, 0], [128, 128, 0], [255, 255, 255]]]


COLOURS = {0: (99, 99, 99, 0), 1: (200, 0, 0, 255), 3: (0, 150, 0, 255), 200: (0, 0, 90, 100)}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "float32"])
def test_colour_table_defines_the_colours(dtype: str) -> None:
    classes = np.array([[0, 1, 2], [3, 199, 200]], dtype)

    picture = read_png(preview(tensor(classes, colormap=COLOURS)))

    nothing = [0, 0, 0, 0]
    assert picture.tolist() == [
        [nothing, [200, 0, 0, 255], nothing],
        [[0, 150, 0, 255], nothing, [0, 0, 90, 100]],
    ]


@pytest.mark.parametrize("dtype", ["uint8", "uint64", "float32"])
def test_entries_of_a_colour_table_beyond_the_dtype_are_ignored(dtype: str) -> None:
    one = np.array([[1]], dtype)

    assert read_png(preview(tensor(one, colormap={1: (9, 8, 7), 10**400: (1, 1, 1)}))).tolist() == [[[9, 8, 7]]]
    assert read_png(preview(tensor(one, colormap={10**400: (1, 1, 1)}))).tolist() == [[[0, 0, 0, 0]]]


def test_nodata_is_transparent_for_any_colour() -> None:
    picture = read_png(preview(tensor(np.array([[1, 3]], "uint8"), nodata=3, colormap=COLOURS)))

    assert picture.tolist() == [[[200, 0, 0, 255], [0, 0, 0, 0]]]


@pytest.mark.parametrize("max_side_px", [1, 7, 100, 333])
def test_a_smaller_picture_of_classes_has_no_other_colours(max_side_px: int, rng: np.random.Generator) -> None:
    colours = {value: (value, 255 - value, 2 * value, 255) for value in (0, 50, 100)}
    classes = rng.choice([0, 50, 100], size=(500, 999)).astype("uint8")

    picture = read_png(preview(tensor(classes, colormap=colours), max_side_px=max_side_px))

    assert picture.shape[1] == max_side_px
    assert set(map(tuple, picture.reshape(-1, 3))) <= {colour[:3] for colour in colours.values()}


def test_smaller_picture_averages_valid_pixels() -> None:
    blocks = np.kron([[10, 20], [30, 0]], np.ones((128, 128))).astype("float32")
    blocks[::2, ::2] = 0
    blocks[50, 50] = np.nan

    assert greys(tensor(blocks, nodata=0), max_side_px=2) == [[0, 128], [255, None]]


# The arguments.


def test_metadata_without_geotiff_counterpart_causes_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    preview(tensor(np.array([[1, 2]], "uint8"), tags={"no:key": "of GDAL's"}))

    assert [str(warning.message) for warning in recwarn] == []


def test_the_picture_of_a_reader_is_that_of_its_bands_and_window_in_focus(tmp_path: Path) -> None:
    values = np.arange(3 * 20 * 30, dtype="uint16").reshape(3, 20, 30)
    save_cog(tensor(values), tmp_path / "out.tif")
    reader = RasterioReader(tmp_path / "out.tif")

    part = reader.isel({"band": [2], "y": slice(5, 15), "x": slice(10, 30)})

    assert greys(part) == greys(tensor(values[2, 5:15, 10:30]))


def test_an_open_file_system_opens_the_path() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    save_cog(tensor(np.array([[1, 2]], "uint8")), "/folder/out.tif", fs=memory)

    assert greys("/folder/out.tif", fs=memory) == [[0, 255]]
    memory.rm("/folder", recursive=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_side_px": 0}, "max_side_px=0; pass 1 to"),
        ({"max_side_px": 10**9}, "pass 1 to 32768"),
        ({"max_side_px": 10.5}, "max_side_px=10.5 is not a whole number"),
        ({"bands": [1, 2]}, "one band \\(grey\\), or three"),
        ({"bands": []}, "one band"),
        ({"bands": 0}, "band 0 requested; there are 1 to 2"),
        ({"bands": [1, 2, 3]}, "band 3 requested; there are 1 to 2"),
        ({"bands": [1.5]}, "1.5 is neither a number nor a name"),
        ({"bands": "swir"}, "no band named 'swir'; the raster's descriptions: NDVI"),
        ({"percentiles": (98, 2)}, "from 0 to 100, the lower one first"),
        ({"percentiles": (0, 101)}, "from 0 to 100"),
        ({"percentiles": (0, np.nan)}, "from 0 to 100"),
        ({"percentiles": 2}, "pass two numbers"),
        ({"fs": object()}, "fs goes with a path, and data is a GeoTensor"),
    ],
)
def test_invalid_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    data = tensor(np.zeros((2, 3, 3), "uint8"), descriptions=["NDVI", None])

    with pytest.raises(OptionError, match=message):
        preview(data, **options)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (tensor(np.zeros((2, 1, 3, 3))), ShapeError, "one time"),
        (tensor(np.zeros((0, 3))), ShapeError, "no pixels"),
        (np.zeros((3, 3)), GeoreferenceError, "transform"),
        ("missing.tif", ReadError, "missing.tif"),
    ],
)
def test_objects_other_than_rasters_are_refused(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        preview(data)


def test_data_are_not_changed(rng: np.random.Generator) -> None:
    data = tensor(rng.normal(size=(3, 50, 60)), nodata=0, tags={"a": "b"})
    before, attrs = data.values.copy(), dict(data.attrs)
    data.values.flags.writeable = False

    preview(data, max_side_px=20)

    np.testing.assert_array_equal(data.values, before)
    assert data.attrs == attrs


# Colormaps.


def colours(data: Any, **options: Any) -> list[list[tuple[int, ...] | None]]:
    """Return the colours of a raster's picture, None where it is transparent."""
    picture = read_rgba(preview(data, **options))
    return [[tuple(map(int, pixel[:3])) if pixel[3] else None for pixel in row] for row in picture]


BLUES, VIRIDIS = [(247, 251, 255), (8, 48, 107)], [(68, 1, 84), (253, 231, 37)]
TAB10 = [(31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40)]


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("viridis", VIRIDIS),
        ("VIRIDIS", VIRIDIS),
        ("viridis_r", VIRIDIS[::-1]),
        ("bids:viridis", VIRIDIS),
        ("Blues", BLUES),
        ("gray", [(0, 0, 0), (255, 255, 255)]),
    ],
)
def test_colormap_colours_the_stretched_band(name: str, ends: list[tuple[int, ...]]) -> None:
    low, _, high, missing = colours(tensor([[1.0, 2.0, 3.0, np.nan]]), colormap=name, percentiles=(0, 100))[0]

    assert [low, high, missing] == [*ends, None]


@pytest.mark.parametrize(
    "name", ["rainbow", "ocean", "RdBu", "copper", "cividis", "turbo", "jet", "tab20c", "twilight"]
)
def test_colormaps_of_matplotlib_are_found_without_a_message(name: str, caplog: pytest.LogCaptureFixture) -> None:
    preview(tensor([[1.0, 2.0]]), colormap=name)

    assert caplog.messages == []


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "bool"])
def test_qualitative_colormap_colours_integers_one_by_one(dtype: str) -> None:
    assert colours(tensor(np.array([[0, 1]], dtype)), colormap="tab10") == [TAB10[:2]]


def test_colours_of_classes_do_not_depend_on_the_classes_that_occur() -> None:
    assert colours(tensor(np.array([[3, 13]], "uint8")), colormap="tab10") == [[TAB10[3], TAB10[3]]]
    assert colours(tensor(np.array([[-9, 1]], "int8")), colormap="tab10") == [[TAB10[1], TAB10[1]]]


def test_smaller_picture_of_qualitative_colours_has_no_other_colours(rng: np.random.Generator) -> None:
    classes = tensor(rng.integers(0, 4, (300, 300)).astype("uint8"))

    shown = {colour for row in colours(classes, colormap="tab10", max_side_px=70) for colour in row}

    assert shown == set(TAB10)


def test_colormap_takes_the_place_of_a_colour_table_only_if_it_is_passed() -> None:
    data = tensor(np.array([[0, 7]], "uint8"), colormap={0: (1, 2, 3, 255), 7: (4, 5, 6, 255)})

    assert colours(data) == [[(1, 2, 3), (4, 5, 6)]]
    assert colours(data, colormap="viridis") == [VIRIDIS]


def test_colormap_takes_the_place_of_miniswhite() -> None:
    data = tensor(np.array([[0, 7]], "uint8"), photometric="MINISWHITE")

    assert colours(data, colormap="viridis") == [VIRIDIS]


def test_alpha_band_stays_the_alpha_of_a_coloured_band() -> None:
    data = tensor(np.array([[[1, 2]], [[255, 77]]], "uint8"), colorinterp=["gray", "alpha"])

    picture = read_rgba(preview(data, colormap="viridis"))

    assert picture.tolist() == [[[*VIRIDIS[0], 255], [*VIRIDIS[1], 77]]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("viridos", "invalid colormap='viridos'; did you mean 'viridis'"),
        ("spectrall_r", "did you mean 'Spectral'"),
        ("", "invalid colormap=''; matplotlib's names are known, such as 'viridis'"),
        (7, "colormap=7 is not a name"),
        (["red", "blue"], "is not a name"),
    ],
)
def test_unknown_colormap_is_refused_with_names_like_it(name: Any, message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        preview(tensor([[1.0, 2.0]]), colormap=name)


def test_colormap_of_three_bands_is_refused() -> None:
    data = tensor(np.zeros((3, 2, 2), "uint8"))

    with pytest.raises(OptionError, match="colormap='viridis' colours one band, and the picture has bands 1, 2, 3; "):
        preview(data, colormap="viridis")
    assert colours(data, colormap="viridis", bands=2)


# Legends.

WHITE, BLACK = (255, 255, 255), (0, 0, 0)

TABLE = (
    '<GDALRasterAttributeTable tableType="thematic">'
    '<FieldDefn index="0"><Name>Value</Name><Type>0</Type><Usage>5</Usage></FieldDefn>'
    '<FieldDefn index="1"><Name>What</Name><Type>2</Type><Usage>2</Usage></FieldDefn>'
    '<Row index="0"><F>1</F><F>water</F></Row><Row index="1"><F>2</F><F>bare soil</F></Row></GDALRasterAttributeTable>'
)


def legend_of(data: Any, **options: Any) -> np.ndarray[Any, Any]:
    """Return the (row, column, 3) of an opaque legend, after a check that the picture beside it is unchanged."""
    alone, both = read_rgba(preview(data, **options)), read_rgba(preview(data, legend=True, **options))
    rows, columns = alone.shape[:2]
    assert (both[:rows, :columns] == alone).all()
    assert (both[:, columns:, 3] == 255).all()
    return both[:, columns:, :3]


def squares_of(legend: np.ndarray[Any, Any]) -> list[tuple[int, ...]]:
    """Return the colours of a legend's squares, from top to bottom."""
    middles = legend[MARGIN_PX + LINE_PX // 2 :: LINE_PX, MARGIN_PX + SQUARE_PX // 2]
    return [colour for pixel in middles.tolist() if (colour := tuple(pixel)) != WHITE]


def test_colour_bar_runs_from_the_last_to_the_first_colour() -> None:
    legend = legend_of(tensor(np.linspace(0, 1, 200 * 100).reshape(200, 100)), colormap="viridis")

    bar = [tuple(pixel) for pixel in legend[:, MARGIN_PX + SQUARE_PX // 2].tolist()]
    ends = [colour for colour in bar if colour != WHITE]
    assert [ends[-1], ends[0]] == VIRIDIS
    assert len(ends) > 150


@pytest.mark.parametrize(("options", "top"), [({}, 255), ({"photometric": "MINISWHITE"}, 0)])
def test_colour_bar_of_greys_runs_as_the_picture_does(options: dict[str, Any], top: int) -> None:
    legend = legend_of(tensor(np.arange(90 * 90, dtype="uint16").reshape(90, 90), **options))

    assert legend[MARGIN_PX + LINE_PX // 2, MARGIN_PX + 1].tolist() == [top] * 3


@pytest.mark.parametrize(
    ("data", "options", "expected"),
    [
        (tensor(np.array([[0, 3]], "uint8")), {"colormap": "tab10"}, [TAB10[0], TAB10[3]]),
        (tensor(np.array([[0, 3]], "uint8"), nodata=0), {"colormap": "tab10"}, [TAB10[3]]),
        (tensor(np.array([[0, 7, 8]], "uint8"), colormap={0: (1, 2, 3), 7: (4, 5, 6)}), {}, [(1, 2, 3), (4, 5, 6)]),
        (tensor([[True, False]]), {}, [BLACK]),
        (tensor([[7.0, 7.0]]), {"colormap": "viridis"}, [(33, 145, 140)]),
        (tensor(np.array([[1, 9]], "uint8"), attribute_tables=[TABLE]), {"colormap": "viridis"}, VIRIDIS),
        (tensor([[np.nan]]), {}, []),
    ],
    ids=["qualitative", "nodata", "table", "bool", "one value", "named", "no data"],
)
def test_legend_has_the_colours_of_the_classes_that_occur(
    data: GeoTensor, options: dict[str, Any], expected: list[tuple[int, ...]]
) -> None:
    assert squares_of(legend_of(data, **options)) == expected


def test_names_of_classes_are_those_of_the_argument_else_of_the_attribute_table(tmp_path: Path) -> None:
    plain = tensor(np.array([[1, 2]], "uint8"))
    save_cog(tensor(np.array([[1, 2]], "uint8"), attribute_tables=[TABLE]), tmp_path / "in.tif")

    named = preview(plain, legend=True, class_names={1: "water", 2: "bare soil"})

    assert preview(tmp_path / "in.tif", legend=True) == named
    assert preview(tmp_path / "in.tif", legend=True, class_names={2: "sand"}) == preview(
        plain, legend=True, class_names={1: "water", 2: "sand"}
    )
    assert preview(tmp_path / "in.tif", legend=True, class_names={2: "sand"}) != named


def test_category_names_of_any_source_are_those_of_classes(tmp_path: Path) -> None:
    classes = np.array([[0, 1, 2]], "uint8")
    save_tiled_geotiff(tensor(classes), tmp_path / "in.tif")
    names = "".join(f"<Category>{name}</Category>" for name in ("none", "forest", "lake &amp; sea"))
    band = f'<PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand>'
    (tmp_path / "in.tif.aux.xml").write_text(f"<PAMDataset>{band}</PAMDataset>")
    save_cog(tmp_path / "in.tif", tmp_path / "out.tif")

    expected = preview(tensor(classes), legend=True, class_names={0: "none", 1: "forest", 2: "lake & sea"})

    assert preview(tmp_path / "in.tif", legend=True) == expected
    assert preview(tmp_path / "out.tif", legend=True) == expected
    with rasterio.open(tmp_path / "in.tif") as dataset:
        assert preview(dataset, legend=True) == expected


@pytest.mark.parametrize(
    ("module", "options", "package"),
    [("cmap", {"colormap": "viridis"}, "cmap"), ("PIL", {"legend": True}, "pillow")],
)
def test_missing_package_is_named_with_its_extra(
    module: str, options: dict[str, Any], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(MissingExtraError, match=f"needs {package}: pip install {package} .*extra 'pictures'"):
        preview(tensor([[1.0, 2.0]]), **options)


def test_names_are_drawn_with_the_letters_of_ascii_in_one_line() -> None:
    data = tensor(np.array([[1]], "uint8"))

    assert preview(data, legend=True, class_names={1: "Wälder \n ß"}) == preview(
        data, legend=True, class_names={1: "Walder ss"}
    )
    assert preview(data, legend=True, class_names={1: "x" * 99}).width_px < 400


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("湿地", "1: ??"),
        ("Тундра", "1: ??????"),
        ("Wa\u0308lder", "Walder"),
        ("10\N{EN DASH}20 µm ≤ 5", "10-20 um <= 5"),
    ],
)
def test_letters_that_the_font_does_not_have_are_replaced_visibly(name: str, drawn: str) -> None:
    data = tensor(np.array([[1]], "uint8"))

    assert preview(data, legend=True, class_names={1: name}) == preview(data, legend=True, class_names={1: drawn})


def test_signs_beyond_ascii_that_the_font_has_are_drawn() -> None:
    data = tensor(np.array([[1]], "uint8"))

    pictures = {preview(data, legend=True, class_names={1: f"5 {sign}C"}) for sign in "°±·?"}

    assert len(pictures) == 4


def test_pixels_with_names_are_picked(rng: np.random.Generator) -> None:
    data = tensor(rng.choice(np.array([1, 9], "uint8"), (300, 300)))

    png = preview(data, legend=True, class_names={1: "a"}, colormap="viridis", max_side_px=70)

    assert {tuple(pixel) for pixel in read_rgba(png)[:70, :70, :3].reshape(-1, 3).tolist()} == {*VIRIDIS}


def test_legend_of_very_many_classes_lists_the_first_ones() -> None:
    legend = legend_of(tensor(np.arange(256, dtype="uint8").reshape(16, 16)), colormap="tab10")

    assert squares_of(legend) == [TAB10[0], *squares_of(legend)[1:]]
    assert len(squares_of(legend)) == MOST_CLASSES


@pytest.mark.parametrize(
    ("bands", "options", "message"),
    [
        (3, {"legend": True}, "legend=True explains one band, and the picture has bands 1, 2, 3; pass one as bands="),
        (1, {"class_names": {1: "a"}}, "class_names goes with legend=True"),
        (1, {"legend": True, "class_names": {"1": "a"}}, "'1' is not an integer"),
        (1, {"legend": True, "class_names": {1: 2}}, "the name of 1 is 2; pass text"),
        (1, {"legend": True, "class_names": ["a"]}, "pass a mapping of values to names"),
    ],
)
def test_legend_that_cannot_be_drawn_is_refused(bands: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        preview(tensor(np.zeros((bands, 2, 2), "uint8")), **options)


# In a notebook and in a terminal.


def test_picture_is_shown_by_notebooks() -> None:
    png = preview(tensor(np.arange(12).reshape(3, 4)))

    assert type(png._repr_png_()) is bytes
    assert png._repr_png_() == png
    assert read_png(png._repr_png_()).shape == (3, 4, 1)


@pytest.mark.parametrize(("side_px", "size"), [(8, r"0\.\d kB"), (100, r"\d\d kB")])
def test_text_of_a_picture_is_its_size(side_px: int, size: str, rng: np.random.Generator) -> None:
    png = preview(tensor(rng.random((side_px, 2 * side_px))))

    assert re.fullmatch(rf"Png\({2 * side_px} x {side_px}, {size}\)", repr(png))
    assert str(png) == repr(png)
    assert (png.width_px, png.height_px) == (2 * side_px, side_px)


def test_picture_is_bytes_after_pickling_and_in_files(tmp_path: Path) -> None:
    png = preview(tensor(np.arange(12).reshape(3, 4)))
    (tmp_path / "out.png").write_bytes(png)

    again = pickle.loads(pickle.dumps(png))

    assert type(again) is Png
    assert (tmp_path / "out.png").read_bytes() == again == png
