"""Both engines write the same raster: pixels, overviews, metadata, masks. GDAL's engine is the yardstick."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.rpc import RPC
from rio_cogeo.cogeo import cog_validate

from georeader import GeoTensor, save_cog

#: Rows from south to north are meant here.
pytestmark = pytest.mark.filterwarnings("ignore::georeader.errors.LayoutWarning")

PLACE = (Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float32", "float64"]
DTYPES = [*INTEGERS, *FLOATS, "complex64", "complex128"]
CODECS = ["none", "lzw", "deflate", "zstd", "lzma", "lerc", "lerc_deflate", "lerc_zstd"]

#: Each side can be halved twice without a rest, and then fits in a tile.
EVEN = (192, 256)
TILES = {"BLOCKXSIZE": 64, "BLOCKYSIZE": 64}

#: (dtype, nodata): most are values that no average of the others comes to, since GDAL rounds some of them to nodata.
MISSING = [
    *((dtype, np.iinfo(dtype).min if dtype.startswith("int") else np.iinfo(dtype).max) for dtype in INTEGERS[:6]),
    ("uint8", 0),
    ("uint16", 7),
    ("uint64", 7),
    ("int64", -7),
    *((dtype, fill) for dtype in FLOATS for fill in (np.nan, -9999.0)),
]

#: What each engine says of how it made the file, not of the raster.
OWN_WORDS = {"LAYOUT", "OVERVIEW_RESAMPLING", "WEBP_LEVEL"}

Both = Callable[..., tuple[Path, Path]]


def pixels(shape: tuple[int, ...], dtype: str, *, hole: float | None = None) -> np.ndarray[Any, Any]:
    """(band, row, column) over most of a dtype's range, a third of them missing, in patches and alone, with a hole."""
    rng = np.random.default_rng(11)
    kind, size = np.dtype(dtype).kind, np.dtype(dtype).itemsize
    if kind in "iu":
        limits = np.iinfo(dtype)
        values = rng.integers(limits.min // 2, limits.max // 2, shape, dtype=dtype)
    else:
        values = (rng.normal(size=shape) * 1000).astype(dtype)
        if kind == "c":
            values += (1j * rng.normal(size=shape)).astype(dtype)
    assert values.itemsize == size
    if hole is not None:
        is_missing = rng.random(shape) < 0.2
        is_missing[:, shape[1] // 4 : shape[1] // 2, shape[2] // 4 : shape[2] // 2] = True
        values[is_missing] = hole
    return values


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """Return a function that writes a raster by both engines, and return (the project's own file, GDAL's)."""

    def write(
        values: np.ndarray[Any, Any],
        options: Mapping[str, Any] | None = None,
        *,
        fill: float | None = None,
        attrs: Mapping[str, Any] | None = None,
        place: tuple[Any, Any] = PLACE,
        **arguments: Any,
    ) -> tuple[Path, Path]:
        tensor = GeoTensor(values, *place, fill_value_default=fill, attrs=dict(attrs or {}))
        paths = tmp_path / "stream.tif", tmp_path / "gdal.tif"
        for path in paths:
            save_cog(tensor, path, profile_arg={**TILES, **(options or {})}, engine=path.stem, **arguments)
        return paths

    return write


def levels(path: Path) -> list[np.ndarray[Any, Any]]:
    """Pixels of the full resolution and of each overview."""
    with rasterio.open(path) as dataset:
        found, count = [dataset.read()], len(dataset.overviews(1))
    for level in range(count):
        with rasterio.open(path, overview_level=level) as dataset:
            found.append(dataset.read())
    return found


def masks(path: Path) -> list[np.ndarray[Any, Any]]:
    """Masks of the full resolution and of each overview: nodata, alpha and internal masks, as GDAL understands them."""
    with rasterio.open(path) as dataset:
        found, count = [dataset.read_masks()], len(dataset.overviews(1))
    for level in range(count):
        with rasterio.open(path, overview_level=level) as dataset:
            found.append(dataset.read_masks())
    return found


def facts(path: Path) -> dict[str, Any]:
    """All metadata of a file by GDAL, by name."""
    with rasterio.open(path) as dataset:
        namespaces = sorted({*dataset.tag_namespaces(), "IMAGE_STRUCTURE", "RPC"} - {"DERIVED_SUBDATASETS"})
        palettes = [band for band in dataset.indexes if dataset.colorinterp[band - 1] is ColorInterp.palette]
        points, points_crs = dataset.gcps
        return {
            "profile": {key: value for key, value in dataset.profile.items() if key != "nodata"},
            "nodata": [repr(value) for value in dataset.nodatavals],
            "overviews": [dataset.overviews(band) for band in dataset.indexes],
            "descriptions": dataset.descriptions,
            "scales": dataset.scales,
            "offsets": dataset.offsets,
            "units": dataset.units,
            "colorinterp": dataset.colorinterp,
            "colormaps": {band: dataset.colormap(band) for band in palettes},
            "mask flags": dataset.mask_flag_enums,
            "gcps": ([point.asdict() | {"id": None} for point in points], points_crs),
            "rpcs": dataset.rpcs and dataset.rpcs.to_dict(),
            "tags": dataset.tags(),
            "band tags": [_rounded(dataset.tags(band)) for band in dataset.indexes],
            "namespaces": {name: dataset.tags(ns=name).items() - _own_words(dataset, name) for name in namespaces},
        }


def _own_words(dataset: Any, namespace: str) -> set[tuple[str, str]]:
    return {(key, value) for key, value in dataset.tags(ns=namespace).items() if key in OWN_WORDS}


def _rounded(tags: dict[str, str]) -> dict[str, str]:
    """Statistics have 14 digits in GDAL's words, and all they need in the project's."""
    return {key: f"{float(text):.11g}" if key.startswith("STATISTICS_") else text for key, text in tags.items()}


def assert_agree(ours: Path, gdals: Path) -> None:
    """Compare pixels of the full resolution, masks and all facts, and validate our file by rio-cogeo."""
    np.testing.assert_array_equal(levels(ours)[0], levels(gdals)[0])
    np.testing.assert_array_equal(masks(ours)[0], masks(gdals)[0])
    assert facts(ours) == facts(gdals)
    assert cog_validate(ours, strict=True, quiet=True) == (True, [], [])


def assert_near(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    """Compare integers exactly, and floats as sums of four numbers of the size of the largest can be compared."""
    if found.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    size = np.nanmax(np.abs(expected), initial=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * np.finfo(found.dtype).eps * size)


class TestPixels:
    @pytest.mark.parametrize(("dtype", "interleave"), [("uint8", "PIXEL"), ("int16", "BAND"), ("float32", "PIXEL")])
    @pytest.mark.parametrize("codec", CODECS)
    def test_pixels_agree_for_every_codec(self, codec: str, dtype: str, interleave: str, both: Both) -> None:
        more = {"lzw": "PREDICTOR", "deflate": "PREDICTOR", "zstd": "PREDICTOR", "lzma": "LEVEL"}
        options = {"compress": codec, "INTERLEAVE": interleave} | ({more[codec]: 1} if codec in more else {})
        assert_agree(*both(pixels((3, 100, 150), dtype), options))

    @pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_pixels_agree_for_every_dtype(self, dtype: str, interleave: str, both: Both) -> None:
        assert_agree(*both(pixels((2, 100, 150), dtype), {"INTERLEAVE": interleave, "PREDICTOR": "NO"}))

    @pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
    @pytest.mark.parametrize(
        ("predictor", "dtype"), [*((2, dtype) for dtype in (*INTEGERS, *FLOATS)), *((3, dtype) for dtype in FLOATS)]
    )
    def test_pixels_agree_for_every_predictor(self, predictor: int, dtype: str, interleave: str, both: Both) -> None:
        options = {"compress": "deflate", "PREDICTOR": predictor, "INTERLEAVE": interleave}
        assert_agree(*both(pixels((3, 100, 150), dtype), options))

    @pytest.mark.parametrize("bands", [1, 13])
    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (257, 3), (16, 900), (64, 64), (65, 64), (141, 173)])
    def test_pixels_agree_for_every_shape(self, size: tuple[int, int], bands: int, both: Both) -> None:
        assert_agree(*both(pixels((bands, *size), "uint16"), {"PREDICTOR": 2}))

    @pytest.mark.parametrize(
        "options",
        [
            {"BIGTIFF": "YES"},
            {"BIGTIFF": "NO"},
            {"BIGTIFF": "IF_NEEDED"},
            {"BLOCKXSIZE": 16, "BLOCKYSIZE": 16},
            {"BLOCKXSIZE": 128, "BLOCKYSIZE": 32},
            {"BLOCKXSIZE": 32, "BLOCKYSIZE": 128, "INTERLEAVE": "BAND"},
            {"SPARSE_OK": True},
            {"SPARSE_OK": True, "INTERLEAVE": "BAND"},
            {"OVERVIEWS": "NONE"},
            {"OVERVIEW_COUNT": 1},
            {"OVERVIEW_COUNT": 4},
            {"GEOTIFF_VERSION": "1.1"},
            {"NUM_THREADS": 1},
        ],
        ids=str,
    )
    def test_pixels_agree_for_every_layout(self, options: dict[str, Any], both: Both) -> None:
        values = np.full((2, 200, 300), 7, "uint16")
        values[:, 70:80, 70:200] = pixels((2, 10, 130), "uint16")
        assert_agree(*both(values, {"PREDICTOR": "NO", **options}, fill=7))

    @pytest.mark.parametrize(
        ("codec", "bands", "quality"),
        [(codec, bands, quality) for codec, bands in (("jpeg", 1), ("jpeg", 3), ("webp", 3), ("webp", 4))
         for quality in (40, 75, 95)],
    )  # fmt: skip
    def test_largest_error_is_not_larger_for_lossy_codecs(
        self, codec: str, bands: int, quality: int, both: Both
    ) -> None:
        # Whole tiles: what the project and GDAL put beside the image in the last ones is not the same.
        rows, columns = np.indices((128, 192))
        slopes = np.stack([120 + 80 * np.sin((rows + band * 7) / 9) * np.cos(columns / 13) for band in range(bands)])
        values = (slopes + np.random.default_rng(2).normal(size=slopes.shape) * 4).clip(0, 255).astype("uint8")

        ours, gdals = both(values, {"compress": codec, "QUALITY": quality})

        errors = [np.abs(levels(path)[0].astype(float) - values).mean() for path in (ours, gdals)]
        assert errors[0] <= errors[1] * 1.02
        assert ours.stat().st_size <= gdals.stat().st_size * 1.005 + 400
        assert facts(ours) == facts(gdals)

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
    def test_lerc_is_within_max_z_error(self, dtype: str, both: Both) -> None:
        values = pixels((1, 200, 300), dtype)
        error = 3.0 if dtype != "uint8" else 1.0

        found = [levels(path)[0] for path in both(values, {"compress": "lerc", "MAX_Z_ERROR": error})]

        assert max(np.abs(one.astype(float) - values).max() for one in found) <= error * (1 + 1e-6)

    @pytest.mark.parametrize("interleave", ["PIXEL", "BAND"])
    @pytest.mark.parametrize(
        ("codec", "predictor"),
        [("none", None), ("lzw", 1), ("lzw", 2), ("deflate", 2), ("zstd", 2), ("lzma", None), ("lerc", None)],
    )
    def test_files_are_not_larger(self, codec: str, predictor: int | None, interleave: str, both: Both) -> None:
        rows, columns = np.indices((256, 512))
        slopes = np.stack([rows * 3 + columns * 2, rows + columns * 5, rows * 7])
        values = (slopes + np.random.default_rng(3).normal(size=slopes.shape) * 9 + 100).astype("uint16")
        predicted = {} if predictor is None else {"PREDICTOR": predictor}
        level = {"zstd": {"LEVEL": 9}, "lzma": {"LEVEL": 1}}.get(codec, {})
        tiles = {"BLOCKXSIZE": 256, "BLOCKYSIZE": 256, "INTERLEAVE": interleave}

        ours, gdals = both(values, {"compress": codec, **predicted, **level, **tiles})

        assert ours.stat().st_size <= gdals.stat().st_size * 1.005


class TestOverviews:
    """Integers to the last one; floats but for the order in which four of them are added."""

    @pytest.mark.parametrize("method", ["nearest", "average", "mode", "rms"])
    @pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
    def test_overviews_agree_on_whole_blocks(self, dtype: str, method: str, both: Both) -> None:
        self.assert_same(*both(pixels((2, *EVEN), dtype), {"RESAMPLING": method}), method)

    @pytest.mark.parametrize("method", ["nearest", "average", "rms"])
    @pytest.mark.parametrize(("dtype", "missing"), MISSING)
    def test_overviews_leave_out_nodata(self, dtype: str, missing: float, method: str, both: Both) -> None:
        self.assert_same(*both(pixels((2, *EVEN), dtype, hole=missing), {"RESAMPLING": method}, fill=missing), method)

    @pytest.mark.parametrize(("dtype", "missing"), MISSING)
    def test_mode_overviews_leave_out_nodata(self, dtype: str, missing: float, both: Both) -> None:
        """Where all four are missing GDAL writes 0 in some dtypes, and averages it in the next overview."""
        ours, gdals = both(pixels((2, *EVEN), dtype, hole=missing), {"RESAMPLING": "mode"}, fill=missing)

        is_seen = masks(ours)[1] > 0
        assert 0 < is_seen.mean() < 1
        np.testing.assert_array_equal(levels(ours)[1][is_seen], levels(gdals)[1][is_seen])

    @pytest.mark.parametrize("method", ["nearest", "average", "rms"])
    @pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
    def test_overviews_leave_out_masked_pixels(self, dtype: str, method: str, both: Both) -> None:
        is_valid = pixels((1, *EVEN), "uint8", hole=0)[0] > 0
        ours, gdals = both(pixels((2, *EVEN), dtype), {"RESAMPLING": method}, attrs={"mask": is_valid})

        for found, expected in zip(masks(ours), masks(gdals), strict=True):
            np.testing.assert_array_equal(found, expected)
        for found, expected, seen in zip(levels(ours), levels(gdals), masks(gdals), strict=True):
            assert_near(np.where(seen, found, 0), np.where(seen, expected, 0))

    def test_mode_overviews_leave_out_masked_pixels(self, both: Both) -> None:
        """GDAL also takes the mode of the mask: it hides more pixels, and shows the same values of the rest."""
        is_valid = pixels((1, *EVEN), "uint8", hole=0)[0] > 0
        ours, gdals = both(pixels((1, *EVEN), "int16"), {"RESAMPLING": "mode"}, attrs={"mask": is_valid})

        seen = masks(gdals)[1] > 0
        assert np.all(masks(ours)[1][seen] == 255)
        np.testing.assert_array_equal(levels(ours)[1][seen], levels(gdals)[1][seen])

    @pytest.mark.parametrize("method", ["bilinear", "cubic", "cubicspline", "lanczos", "gauss"])
    @pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
    def test_kernel_overviews_are_within_tolerance(self, dtype: str, method: str, both: Both) -> None:
        ours, gdals = both(pixels((1, *EVEN), dtype), {"RESAMPLING": method})

        span = np.ptp(levels(gdals)[0].astype(float))
        for found, expected in zip(levels(ours)[1:], levels(gdals)[1:], strict=True):
            difference = np.abs(found.astype(float) - expected)[:, 4:-4, 4:-4]
            assert difference.max() <= max(1, span * 0.01)

    @pytest.mark.parametrize("method", ["nearest", "average", "mode", "rms"])
    @pytest.mark.parametrize("size", [(191, 255), (65, 300), (129, 1)])
    def test_overviews_of_odd_sizes_have_the_same_shape(self, size: tuple[int, int], method: str, both: Both) -> None:
        """Pixels differ there: GDAL's blocks are a little less than two pixels wide."""
        ours, gdals = both(pixels((1, *size), "int16"), {"RESAMPLING": method})

        assert [level.shape for level in levels(ours)] == [level.shape for level in levels(gdals)]

    def assert_same(self, ours: Path, gdals: Path, method: str) -> None:
        found, expected = levels(ours), levels(gdals)
        assert len(found) == len(expected) == 3
        for one, other in zip(found, expected, strict=True):
            if method == "rms" and one.dtype.itemsize == 8 and one.dtype.kind in "iu":
                # GDAL goes through doubles, the project does not.
                np.testing.assert_allclose(one.astype(float), other.astype(float), rtol=1e-15)
            else:
                assert_near(one, other)


def _alpha() -> np.ndarray[Any, Any]:
    values = pixels((4, 100, 150), "uint8")
    values[3] = np.where(values[3] > 60, 255, 0)
    return values


POINTS = [GroundControlPoint(row, column, -3 + column / 100, 40 - row / 100, 5.0) for row in (0, 99) for column in (0, 149)]  # fmt: skip  # noqa: E501

RPCS = RPC(
    height_off=100.0, height_scale=500.0, lat_off=40.0, lat_scale=0.5, line_off=50.0, line_scale=50.0,
    line_num_coeff=[0.0, 0.1, -1.0, *[0.001] * 17], line_den_coeff=[1.0, *[0.0] * 19], long_off=-3.0, long_scale=0.5,
    samp_off=75.0, samp_scale=75.0, samp_num_coeff=[0.0, 1.0, 0.1, *[0.002] * 17],
    samp_den_coeff=[1.0, *[0.0] * 19], err_bias=1.5, err_rand=0.25,
)  # fmt: skip

LOCAL_CRS = (
    'PROJCS["A grid of our own",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],'
    'PARAMETER["latitude_of_origin",40],PARAMETER["central_meridian",-3.5],PARAMETER["scale_factor",1],'
    'PARAMETER["false_easting",1000],PARAMETER["false_northing",2000],UNIT["metre",1]]'
)

MEASURED = pixels((2, 100, 150), "int16", hole=-7)

#: Name -> (pixels, arguments of `both`).
DESCRIBED: dict[str, tuple[np.ndarray[Any, Any], dict[str, Any]]] = {
    "nothing": (MEASURED, {}),
    "nodata": (MEASURED, {"fill": -7}),
    "nodata out of the pixels' way": (MEASURED, {"fill": -32768}),
    "NaN for nodata": (pixels((1, 100, 150), "float32", hole=np.nan), {"fill": np.nan}),
    "NaN without nodata": (pixels((1, 100, 150), "float32", hole=np.nan), {}),
    "a nodata with digits": (pixels((1, 100, 150), "float64", hole=-1.1), {"fill": -1.1}),
    "a nodata that float32 rounds": (pixels((1, 100, 150), "float32", hole=-3.4e38), {"fill": -3.4e38}),
    "infinite nodata": (pixels((1, 100, 150), "float32", hole=-np.inf), {"fill": -np.inf}),
    "nodata of 64 bits": (pixels((1, 100, 150), "int64", hole=-(2**63)), {"fill": -(2**63)}),
    "unsigned nodata of 64 bits": (pixels((1, 100, 150), "uint64", hole=2**64 - 1), {"fill": 2**64 - 1}),
    "names": (MEASURED, {"descriptions": ["near infrared", None]}),
    "names beyond ASCII": (MEASURED, {"descriptions": ["Höhe < 5 & \"so\"", "高さ"]}),
    "scales, offsets and units": (
        MEASURED,
        {"attrs": {"scales": [0.0001, 1], "offsets": [-0.1, 0], "units": ["reflectance", None]}},
    ),
    "tags": (MEASURED, {"tags": {"sensor": "MSI", "passed": 12.5, "note": "a < b & \"c\"\nd", "Größe": "ä"}}),
    "tags of bands": (MEASURED, {"attrs": {"band_tags": [{"wavelength": "865", "a": "<&>"}, {}]}}),
    "tags that TIFF has": (
        MEASURED,
        {"tags": {"TIFFTAG_SOFTWARE": "a program", "TIFFTAG_DATETIME": "2024:06:01 10:20:30", "TIFFTAG_COPYRIGHT": "us",
                  "TIFFTAG_XRESOLUTION": "72", "TIFFTAG_YRESOLUTION": "72", "TIFFTAG_RESOLUTIONUNIT": "2"}},
    ),
    "points, not areas": (MEASURED, {"tags": {"AREA_OR_POINT": "Point"}}),
    "a colour table": (
        pixels((1, 100, 150), "uint8") % 4,
        {"attrs": {"colormap": {0: (0, 0, 0, 255), 1: (255, 0, 0, 255), 2: (0, 128, 0, 255), 3: (1, 2, 3, 255)}}},
    ),
    "a colour table of 16 bits": (
        pixels((1, 100, 150), "uint16") % 4, {"attrs": {"colormap": {0: (9, 9, 9, 255), 300: (255, 0, 0, 255)}}}
    ),
    "bool": (pixels((1, 100, 150), "uint8") > 60, {}),
    "a picture": (pixels((3, 100, 150), "uint8"), {}),
    "a picture of 16 bits": (pixels((3, 100, 150), "uint16"), {"attrs": {"colorinterp": ["red", "green", "blue"]}}),
    "a picture in another order": (
        pixels((3, 100, 150), "uint8"), {"attrs": {"colorinterp": ["blue", "green", "red"]}}
    ),
    "alpha": (_alpha(), {"attrs": {"colorinterp": ["red", "green", "blue", "alpha"]}}),
    "gray and alpha": (_alpha()[2:], {"attrs": {"colorinterp": ["gray", "alpha"]}}),
    "a mask": (MEASURED, {"attrs": {"mask": MEASURED[0] != -7}}),
    "a mask of a picture in JPEG": (
        np.full((3, 100, 150), 99, "uint8"), {"attrs": {"mask": MEASURED[0] != -7}, "options": {"compress": "jpeg"}}
    ),
    "a mask band by band": (MEASURED, {"attrs": {"mask": MEASURED[0] != -7}, "options": {"INTERLEAVE": "BAND"}}),
    "ground control points": (MEASURED, {"attrs": {"gcps": (POINTS, "EPSG:4326")}, "place": (Affine.identity(), None)}),
    "rational polynomials": (MEASURED, {"attrs": {"rpcs": RPCS}, "place": (Affine.identity(), None)}),
    "degrees": (MEASURED, {"place": (Affine(0.1, 0, -180, 0, -0.1, 90), "EPSG:4326")}),
    "no CRS": (MEASURED, {"place": (PLACE[0], None)}),
    "neither CRS nor place": (MEASURED, {"place": (Affine.identity(), None)}),
    "a CRS of its own": (MEASURED, {"place": (PLACE[0], LOCAL_CRS)}),
    "a CRS with heights": (MEASURED, {"place": (PLACE[0], "EPSG:32630+5773")}),
    "rotated": (MEASURED, {"place": (Affine(8, 6, 500000, 6, -8, 4000000), "EPSG:32630")}),
    "south up": (MEASURED, {"place": (Affine(10, 0, 500000, 0, 10, 4000000), "EPSG:32630")}),
    "statistics": (MEASURED, {"fill": -7, "options": {"STATISTICS": "YES", "BLOCKXSIZE": 128, "BLOCKYSIZE": 128}}),
}  # fmt: skip


class TestMetadata:
    @pytest.mark.parametrize("name", DESCRIBED)
    def test_metadata_agree(self, name: str, both: Both) -> None:
        values, arguments = DESCRIBED[name]
        assert_agree(*both(values, **arguments))

    def test_masks_are_internal_and_agree_in_overviews(self, both: Both) -> None:
        values, arguments = DESCRIBED["a mask"]
        ours, gdals = both(values, **arguments)

        assert [MaskFlags.per_dataset in flags for flags in facts(ours)["mask flags"]] == [True, True]
        assert not Path(f"{ours}.msk").exists()
        assert len(masks(ours)) == len(masks(gdals)) == 3
