"""CogWriter: grid of the file, and placement of windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from conftest import CRS, TRANSFORM
from georeader import CogWriter, GeoTensor, RasterioReader, save_cog
from georeader.errors import FillValueWarning, GeoreferenceError, IndexingError, OptionError, ShapeError
from georeader.window_utils import regrid

PLACE = {"transform": TRANSFORM, "crs": CRS}

#: A raster of one band, 40 rows and 50 columns.
SMALL: dict[str, Any] = {"shape": (40, 50), "dtype": "uint8", **PLACE}


def shifted(columns: float, rows: float, column_step: float = 1, row_step: float = 1) -> Affine:
    """Return the transform of a grid that begins so many pixels right of and below the file's."""
    return regrid(TRANSFORM, columns, rows, column_step, row_step)


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        pixels: NDArray[Any] = dataset.read()
    return pixels


def written(path: Path, array: Any, window: Window | None = None, indexes: Any = None, **how: Any) -> NDArray[Any]:
    """Write one window and return the pixels of the file."""
    with CogWriter(path, **SMALL | how) as writer:
        writer.write(array, window, indexes=indexes)
    return read(path)


class Scene:
    """Raster with metadata, whose pixels must not be read."""

    shape, dtype, fill_value_default = (2, 30, 20), np.dtype("int16"), -1
    transform, crs = TRANSFORM, CRS
    attrs = {"descriptions": ["B04", "B08"], "tags": {"mission": "S2"}, "scales": [0.1, 0.1]}  # noqa: RUF012

    def read_from_window(self, window: Window) -> Any:
        raise AssertionError("read_from_window")

    def load(self) -> Any:
        raise AssertionError("load")

    @property
    def values(self) -> Any:
        raise AssertionError("values")


def in_memory() -> GeoTensor:
    return GeoTensor(np.ones(Scene.shape, "int16"), TRANSFORM, CRS, -1, Scene.attrs)


class TestLike:
    @pytest.fixture
    def scene_path(self, tmp_path: Path) -> Path:
        (tmp_path / "in").mkdir()
        save_cog(in_memory(), tmp_path / "in" / "scene.tif")
        return tmp_path / "in" / "scene.tif"

    @pytest.mark.parametrize(
        "give",
        [lambda path: in_memory(), lambda path: Scene(), str, Path, RasterioReader, rasterio.open],
        ids=["GeoTensor", "protocol object", "str", "Path", "RasterioReader", "dataset"],
    )
    def test_file_has_grid_and_metadata_of_the_template(
        self, give: Callable[[Path], Any], scene_path: Path, tmp_path: Path
    ) -> None:
        with CogWriter(tmp_path / "out.tif", like=give(scene_path)) as writer:
            assert writer.shape == (2, 30, 20)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (dataset.shape, dataset.dtypes, dataset.nodata) == ((30, 20), ("int16", "int16"), -1)
            assert (dataset.transform, dataset.crs.to_epsg()) == (TRANSFORM, 32630)
            assert (dataset.descriptions, dataset.scales) == (("B04", "B08"), (0.1, 0.1))
            assert dataset.tags()["mission"] == "S2"
            assert np.unique(dataset.read()).tolist() == [-1]

    def test_window_and_bands_of_a_reader_are_the_template(self, scene_path: Path, tmp_path: Path) -> None:
        reader = RasterioReader(scene_path).isel({"band": [1], "y": slice(10, 25), "x": slice(5, 20)})

        with CogWriter(tmp_path / "out.tif", like=reader) as writer:
            assert writer.shape == (1, 15, 15)

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (dataset.transform, dataset.descriptions) == (shifted(5, 10), ("B08",))

    def test_warped_grid_of_a_vrt_is_the_template(self, scene_path: Path, tmp_path: Path) -> None:
        with rasterio.open(scene_path) as dataset, WarpedVRT(dataset, crs="EPSG:3857") as vrt:
            with CogWriter(tmp_path / "out.tif", like=vrt):
                pass

            with rasterio.open(tmp_path / "out.tif") as found:
                assert (found.shape, found.crs.to_epsg(), found.nodata) == (vrt.shape, 3857, -1)
                assert found.transform.almost_equals(vrt.transform)

    def test_dataset_passed_as_template_stays_open(self, scene_path: Path, tmp_path: Path) -> None:
        with rasterio.open(scene_path) as dataset, CogWriter(tmp_path / "out.tif", like=dataset) as writer:
            writer.write(dataset.read())

        np.testing.assert_array_equal(read(tmp_path / "out.tif"), in_memory().values)

    @pytest.mark.parametrize(
        "other", [{"dtype": "uint8"}, {"shape": (1, 30, 20)}, {"shape": (3, 30, 20), "dtype": "int16"}], ids=str
    )
    def test_another_dtype_or_count_keeps_only_the_georeference(self, other: dict[str, Any], tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", like=Scene(), **other):
            pass

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (dataset.transform, dataset.crs.to_epsg(), dataset.shape) == (TRANSFORM, 32630, (30, 20))
            assert dataset.nodata is None
            assert {*dataset.descriptions, *dataset.scales} == {None, 1}
            assert "mission" not in dataset.tags()

    @pytest.mark.parametrize(
        ("other", "name", "expected"),
        [
            ({"shape": (2, 5, 7)}, "shape", (5, 7)),
            ({"transform": shifted(3, 4)}, "transform", shifted(3, 4)),
            ({"transform": shifted(3, 4)[:6]}, "transform", shifted(3, 4)),
            ({"crs": "EPSG:32631"}, "crs", rasterio.CRS.from_epsg(32631)),
            ({"dtype": "int16"}, "descriptions", ("B04", "B08")),
            ({"nodata": 7}, "nodata", 7),
            ({"profile_arg": {"nodata": None}}, "nodata", None),
            ({"descriptions": ["a", "b"]}, "descriptions", ("a", "b")),
            ({"dtype": "uint8", "nodata": 255}, "nodata", 255),
        ],
        ids=str,
    )
    def test_arguments_override_the_template(
        self, other: dict[str, Any], name: str, expected: Any, tmp_path: Path
    ) -> None:
        with CogWriter(tmp_path / "out.tif", like=Scene(), **other):
            pass

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert getattr(dataset, name) == expected

    def test_mask_of_the_template_is_not_copied(self, tmp_path: Path) -> None:
        masked = np.ma.masked_array(np.ones((30, 20), "uint8"), np.eye(30, 20, dtype=bool))

        with CogWriter(tmp_path / "out.tif", like=GeoTensor(masked, **PLACE, fill_value_default=None)):
            pass

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert dataset.dataset_mask().min() == 255

    def test_ground_control_points_are_dropped_with_another_transform(self, tmp_path: Path) -> None:
        points = [GroundControlPoint(0, 0, 1, 2), GroundControlPoint(0, 20, 3, 2), GroundControlPoint(30, 0, 1, 5)]
        profile = {"driver": "GTiff", "width": 20, "height": 30, "count": 1, "dtype": "uint8"}
        with rasterio.open(tmp_path / "in.tif", "w", **profile, gcps=points, crs="EPSG:4326") as dataset:
            dataset.write(np.ones((1, 30, 20), "uint8"))

        with CogWriter(tmp_path / "out.tif", like=tmp_path / "in.tif", **PLACE):
            pass

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (dataset.transform, dataset.gcps[0]) == (TRANSFORM, [])

    def test_default_nodata_of_the_template_warns_once(self, tmp_path: Path) -> None:
        with (
            pytest.warns(FillValueWarning) as caught,
            CogWriter(tmp_path / "out.tif", like=GeoTensor(np.ones((30, 20)), **PLACE)),
        ):
            pass

        assert len(caught) == 1


class FourBands(Scene):
    """A scene of four bands with a name, a scale and a tag each."""

    shape = (4, 30, 20)
    attrs = {  # noqa: RUF012
        "descriptions": ["B02", "B03", "B04", "B08"], "scales": [0.1, 0.2, 0.3, 0.4], "offsets": [1, 2, 3, 4],
        "units": ["a", "b", "c", "d"], "band_tags": [{"n": str(n)} for n in range(1, 5)], "tags": {"mission": "S2"},
    }  # fmt: skip


class TestCountAndIndexes:
    """like= of four bands, and a file of some."""

    @pytest.mark.parametrize("kind", ["object", "tensor", "path", "reader"])
    @pytest.mark.parametrize(
        ("indexes", "bands"), [(3, [3]), ([4, 1], [4, 1]), ((2,), [2]), (range(1, 5), [1, 2, 3, 4])]
    )
    def test_indexes_select_bands_with_their_metadata(
        self, kind: str, indexes: Any, bands: list[int], tmp_path: Path
    ) -> None:
        like: Any = FourBands()
        if kind != "object":
            like = GeoTensor(np.ones(like.shape, like.dtype), **PLACE, fill_value_default=-1, attrs=like.attrs)
        if kind in ("path", "reader"):
            save_cog(like, tmp_path / "in.tif")
            like = tmp_path / "in.tif" if kind == "path" else RasterioReader(tmp_path / "in.tif")

        with CogWriter(tmp_path / "out.tif", like=like, indexes=indexes) as writer:
            writer.write(np.full((len(bands), 30, 20), 7, "int16"))

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (dataset.count, dataset.nodata, dataset.transform) == (len(bands), -1, TRANSFORM)
            assert dataset.descriptions == tuple(("B02", "B03", "B04", "B08")[band - 1] for band in bands)
            assert (dataset.scales, dataset.offsets) == (tuple(band / 10 for band in bands), tuple(map(float, bands)))
            assert dataset.units == tuple("abcd"[band - 1] for band in bands)
            assert [dataset.tags(number)["n"] for number in dataset.indexes] == [str(band) for band in bands]
            assert dataset.tags()["mission"] == "S2"

    @pytest.mark.parametrize(
        "how",
        [{"count": 1}, {"count": np.int64(1)}, {"shape": (30, 20), "count": 1}, {"shape": (1, 30, 20)},
         {"count": 1, "dtype": "uint8"}, {"indexes": 3, "dtype": "uint8"}],
        ids=str,
    )  # fmt: skip
    def test_another_count_or_dtype_drops_band_metadata(self, how: dict[str, Any], tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", like=FourBands(), **how) as writer:
            writer.write(np.ones((30, 20), "uint8"))

        with rasterio.open(tmp_path / "out.tif") as dataset:
            assert (dataset.count, dataset.shape, dataset.transform) == (1, (30, 20), TRANSFORM)
            assert (dataset.nodata, dataset.descriptions, dataset.scales) == (None, (None,), (1.0,))

    def test_equal_count_keeps_band_metadata(self, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", like=FourBands(), count=4):
            pass

        assert RasterioReader(tmp_path / "out.tif").descriptions == ["B02", "B03", "B04", "B08"]

    def test_count_is_accepted_with_a_row_column_shape(self, tmp_path: Path) -> None:
        assert written(tmp_path / "out.tif", np.ones((3, 40, 50), "uint8"), count=3).shape == (3, 40, 50)

    @pytest.mark.parametrize(
        ("how", "kind", "says"),
        [
            ({"count": 0}, ShapeError, "count=0 is not a number of bands"),
            ({"count": True}, ShapeError, "count=True is not a number of bands"),
            ({"count": 1.5}, ShapeError, "count=1.5 is not a number of bands"),
            ({"count": 2, "shape": (1, 30, 20)}, ShapeError, "has 1 bands, but count=2; pass shape="),
            ({"indexes": [1, 2], "shape": (1, 30, 20)}, ShapeError, r"has 1 bands, but indexes=\[1, 2\]"),
            ({"indexes": 5}, IndexingError, r"'like': bands \[5\] requested; there are 1 to 4"),
            ({"indexes": [2, 2]}, IndexingError, "name a band twice"),
            ({"indexes": "B04"}, IndexingError, "indexes='B04' are not numbers of bands"),
            ({"indexes": 1, "count": 1}, OptionError, "indexes=1 set the number of bands; drop count="),
            ({"indexes": 1, "like": None, **SMALL}, OptionError, "indexes=1 require like; pass count="),
        ],
        ids=lambda value: str(value) if isinstance(value, dict) else "",
    )
    def test_contradicting_arguments_are_refused_before_writing(
        self, how: dict[str, Any], kind: type[Exception], says: str, tmp_path: Path
    ) -> None:
        with pytest.raises(kind, match=says):
            CogWriter(tmp_path / "out.tif", **{"like": FourBands()} | how)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("array", [np.ones((30, 20), "int16"), np.ones((1, 30, 20), "int16")], ids=["2d", "3d"])
    def test_one_band_for_a_file_of_four_is_an_error_with_advice(self, array: Any, tmp_path: Path) -> None:
        with (
            pytest.raises(
                ShapeError, match=r"has 1 band, and the file 4; .* write\(..., indexes=\), .* CogWriter\(..., count=1\)"
            ),
            CogWriter(tmp_path / "out.tif", like=FourBands()) as writer,
        ):
            writer.write(array, Window(0, 0, 20, 30))

    def test_as_many_bands_as_indexes_are_written(self, tmp_path: Path) -> None:
        with CogWriter(tmp_path / "out.tif", like=FourBands()) as writer:
            with pytest.raises(ShapeError, match="has 3 bands, and indexes name 2; pass as many"):
                writer.write(np.ones((3, 10, 20), "int16"), Window(0, 0, 20, 10), indexes=[1, 3])
            writer.write(np.ones((2, 10, 20), "int16"), Window(0, 5, 20, 10), indexes=[1, 3])

        assert read(tmp_path / "out.tif")[:, 5, 0].tolist() == [1, -1, 1, -1]


class TestWindows:
    def test_array_without_window_is_written_to_the_whole_raster(self, tmp_path: Path) -> None:
        values = np.arange(2000, dtype="uint16").reshape(40, 50) % 251

        np.testing.assert_array_equal(written(tmp_path / "out.tif", values)[0], values)

    @pytest.mark.parametrize(
        "window",
        [
            Window(20, 5, 10, 10),
            Window(20.0, 5.0, 10.0, 10.0),
            Window(20.0004, 4.9996, 9.9999, 10.0),
            Window.from_slices((5, 15), (20, 30)),
            rasterio.windows.from_bounds(500200, 3999850, 500300, 3999950, TRANSFORM),
        ],
        ids=["whole numbers", "floats", "nearly whole", "slices", "bounds"],
    )
    def test_a_window_is_on_whole_pixels_of_the_file(self, window: Window, tmp_path: Path) -> None:
        found = written(tmp_path / "out.tif", np.ones((10, 10), "uint8"), window)

        assert np.argwhere(found[0])[[0, -1]].tolist() == [[5, 20], [14, 29]]
        assert found.sum() == 100

    @pytest.mark.parametrize("shape", [(10, 10), (1, 10, 10)])
    @pytest.mark.parametrize("columns_rows", [(20, 5), (0, 0), (40, 30), (20.0004, 5)])
    def test_geotensor_is_written_at_its_georeference(
        self, columns_rows: tuple[float, float], shape: tuple[int, ...], tmp_path: Path
    ) -> None:
        tensor = GeoTensor(np.ones(shape, "uint8"), shifted(*columns_rows), 32630, 0)

        found = written(tmp_path / "out.tif", tensor)

        column, row = map(int, columns_rows)
        assert np.argwhere(found[0])[[0, -1]].tolist() == [[row, column], [row + 9, column + 9]]

    def test_window_overrides_the_georeference_of_a_geotensor(self, tmp_path: Path) -> None:
        tensor = GeoTensor(np.ones((10, 10), "uint8"), shifted(1000.5, 7), "EPSG:3857", 0)

        assert written(tmp_path / "out.tif", tensor, Window(0, 0, 10, 10))[0, :10, :10].min() == 1

    @pytest.mark.parametrize(
        ("transform", "crs"),
        [
            (shifted(20.5, 5), CRS),
            (shifted(20, 5, 2, 2), CRS),
            (shifted(20, 15, 1, -1), CRS),
            (shifted(20, 5, 1.0009, 1.0009), CRS),
            (shifted(20, 5), "EPSG:32631"),
        ],
        ids=["half a pixel off", "larger pixels", "upside down", "slightly larger pixels", "another CRS"],
    )
    def test_a_geotensor_of_another_grid_is_refused(self, transform: Affine, crs: str, tmp_path: Path) -> None:
        tensor = GeoTensor(np.ones((300, 300), "uint8"), transform, crs, 0)

        with pytest.raises(GeoreferenceError, match=r"out\.tif.*grid"):
            written(tmp_path / "out.tif", tensor, shape=(600, 600))

    @pytest.mark.parametrize("columns_rows", [(-5, 0), (45, 0), (0, 35), (500, 500)])
    def test_a_geotensor_that_reaches_beyond_the_raster_is_refused(
        self, columns_rows: tuple[int, int], tmp_path: Path
    ) -> None:
        tensor = GeoTensor(np.ones((10, 10), "uint8"), shifted(*columns_rows), CRS, 0)

        with pytest.raises(IndexingError, match=r"out\.tif.*beyond the raster of 40 x 50"):
            written(tmp_path / "out.tif", tensor)

    @pytest.mark.parametrize(
        ("window", "message"),
        [
            (Window(1.5, 0, 10, 10), "whole pixels"),
            (Window(0, 0.01, 10, 10), "whole pixels"),
            (Window(0, 0, 10.5, 10), "whole pixels"),
            (Window(-1, 0, 10, 10), "beyond the raster of 40 x 50"),
            (Window(0, 31, 10, 10), "beyond the raster of 40 x 50"),
            (Window(41, 0, 10, 10), "beyond the raster of 40 x 50"),
            (Window(1000, 1000, 10, 10), "beyond the raster of 40 x 50"),
        ],
        ids=str,
    )
    def test_a_window_between_pixels_or_beyond_the_raster_is_refused(
        self, window: Window, message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(IndexingError, match=rf"out\.tif.*{message}"):
            written(tmp_path / "out.tif", np.ones((10, 10), "uint8"), window)

    @pytest.mark.parametrize("dtype", ["int64", "float32"])
    def test_a_window_without_pixels_writes_nothing(self, dtype: str, tmp_path: Path) -> None:
        assert written(tmp_path / "out.tif", np.ones((0, 50), dtype), Window(0, 40, 50, 0)).max() == 0

    @pytest.mark.parametrize(
        "window", [((0, 10), (0, 10)), (slice(0, 10), slice(0, 10)), 1, Window(np.nan, 0, 10, 10)], ids=str
    )
    def test_invalid_window_is_refused(self, window: Any, tmp_path: Path) -> None:
        """Among them what rasterio's ``write(array, 1)`` takes: a band."""
        with pytest.raises(IndexingError, match=r"out\.tif.*Window"):
            written(tmp_path / "out.tif", np.ones((10, 10), "uint8"), window)

    @pytest.mark.parametrize(
        "shape", [(40, 51), (39, 50), (50, 40), (2, 40, 50), (1, 1, 40, 50), (50,), (), (3, 40, 50), (40, 50, 1)]
    )
    def test_an_array_of_another_shape_than_its_window_is_refused(self, shape: tuple[int, ...], tmp_path: Path) -> None:
        with pytest.raises(ShapeError, match=r"out\.tif.*array of shape"):
            written(tmp_path / "out.tif", np.ones(shape, "uint8"))


class TestBands:
    @pytest.mark.parametrize(
        ("indexes", "shape", "expected"),
        [
            (2, (40, 50), [0, 1, 0]),
            (2, (1, 40, 50), [0, 1, 0]),
            ([3], (40, 50), [0, 0, 1]),
            ([1, 3], (2, 40, 50), [1, 0, 2]),
            ((3, 1), (2, 40, 50), [2, 0, 1]),
            (range(2, 4), (2, 40, 50), [0, 1, 2]),
            (np.int64(1), (40, 50), [1, 0, 0]),
            (None, (3, 40, 50), [1, 2, 3]),
        ],
        ids=str,
    )
    def test_indexes_count_from_1_in_the_given_order(
        self, indexes: Any, shape: tuple[int, ...], expected: list[int], tmp_path: Path
    ) -> None:
        array = np.ones(shape, "uint8")
        if array.ndim == 3:
            array *= np.arange(1, shape[0] + 1, dtype="uint8")[:, np.newaxis, np.newaxis]

        found = written(tmp_path / "out.tif", array, indexes=indexes, shape=(3, 40, 50))

        assert found[:, 20, 20].tolist() == expected

    def test_row_column_array_is_one_band(self, tmp_path: Path) -> None:
        with pytest.raises(ShapeError, match=r"an array of shape \(40, 50\) has 1 band, and the file 3"):
            written(tmp_path / "out.tif", np.ones((40, 50), "uint8"), shape=(3, 40, 50))

    @pytest.mark.parametrize("indexes", [0, -1, 4, [1, 4], [], [0, 1]], ids=str)
    def test_missing_band_is_refused(self, indexes: Any, tmp_path: Path) -> None:
        with pytest.raises(IndexingError, match=r"out\.tif.*there are 1 to 3"):
            written(tmp_path / "out.tif", np.ones((3, 40, 50), "uint8"), indexes=indexes, shape=(3, 40, 50))

    @pytest.mark.parametrize("indexes", ["1", 1.0, [1.5], {"a": 1}, [2, 2]], ids=str)
    def test_invalid_or_repeated_index_is_refused(self, indexes: Any, tmp_path: Path) -> None:
        with pytest.raises(IndexingError, match=r"out\.tif"):
            written(tmp_path / "out.tif", np.ones((2, 40, 50), "uint8"), indexes=indexes, shape=(3, 40, 50))
