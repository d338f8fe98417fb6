"""What a copy keeps, or names where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
import xarray as xr
from affine import Affine

from georeader import GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import MetadataError, MetadataWarning

PLACE = {"transform": Affine(10, 0, 500000, 0, -10, 4000000), "crs": "EPSG:32630"}


def save_by_gdal(data: Any, path: Path, **arguments: Any) -> None:
    save_cog(data, path, engine="gdal", **arguments)


SAVES: dict[str, Callable[..., Any]] = {"cog": save_cog, "gdal": save_by_gdal, "tiled": save_tiled_geotiff}


@pytest.fixture
def rgba(rng: np.random.Generator) -> GeoTensor:
    values = rng.integers(1, 255, (4, 40, 50)).astype("uint8")
    values[3] = np.where(rng.random((40, 50)) < 0.3, 0, 255)
    interps = ["red", "green", "blue", "alpha"]
    return GeoTensor(values, **PLACE, fill_value_default=None, attrs={"colorinterp": interps})


SELECTIONS: dict[str, Callable[[GeoTensor, Path], Any]] = {
    "reader": lambda rgba, path: RasterioReader(path, indexes=[1, 2, 3]),
    "reader isel": lambda rgba, path: RasterioReader(path).isel({"band": [2, 1, 0], "y": slice(0, 40)}),
    "loaded": lambda rgba, path: RasterioReader(path, indexes=[1, 2, 3]).load(),
    "tensor": lambda rgba, path: rgba[:3],
    "tensor isel": lambda rgba, path: rgba.isel({"band": [0]}),
}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
@pytest.mark.parametrize("select", SELECTIONS.values(), ids=SELECTIONS)
def test_alpha_that_is_not_selected_becomes_the_mask(
    select: Callable[..., Any], save: Callable[..., Any], rgba: GeoTensor, tmp_path: Path
) -> None:
    save_cog(rgba, tmp_path / "rgba.tif")

    save(select(rgba, tmp_path / "rgba.tif"), tmp_path / "out.tif")

    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert "alpha" not in [interp.name for interp in dataset.colorinterp]
        np.testing.assert_array_equal(dataset.read_masks(1) != 0, rgba.values[3] != 0)


@pytest.mark.parametrize("indexes", [[1, 2, 3, 4], [4]], ids=["all", "alpha alone"])
def test_selected_alpha_stays_a_band(indexes: list[int], rgba: GeoTensor, tmp_path: Path) -> None:
    save_cog(rgba, tmp_path / "rgba.tif")

    save_cog(RasterioReader(tmp_path / "rgba.tif", indexes=indexes), tmp_path / "out.tif")

    reader = RasterioReader(tmp_path / "out.tif")
    assert not reader.has_mask
    np.testing.assert_array_equal(reader.values, rgba.values[np.array(indexes) - 1])


def data_array(nodatavals: Any) -> xr.DataArray:
    coords = {"band": [1, 2], "y": np.arange(40.0)[::-1], "x": np.arange(50.0)}
    array = xr.DataArray(np.ones((2, 40, 50), "uint8"), dims=("band", "y", "x"), coords=coords)
    return array.assign_attrs(nodatavals=nodatavals)


@pytest.mark.parametrize("nodatavals", [(0, 255), [0.0, None], np.array([0, 255])], ids=["tuple", "None", "array"])
def test_nodata_of_single_bands_of_a_data_array_are_named(nodatavals: Any, tmp_path: Path) -> None:
    with pytest.warns(MetadataWarning, match=r"nodata is 0(\.0)? in band 1, but .* in band 2"):
        save_cog(data_array(nodatavals), tmp_path / "out.tif")


def test_a_selected_band_of_a_data_array_has_its_own_nodata(tmp_path: Path) -> None:
    save_cog(data_array((0, 255)).sel(band=2), tmp_path / "out.tif")

    assert RasterioReader(tmp_path / "out.tif").nodata == 255


NAMESPACES = {
    "MYNS": {"a": "1 < 2 & é", "b": "x"},
    "xml:XMP": {"xml:XMP": "<x:xmpmeta xmlns:x='adobe:ns:meta/'>hé &amp; ho</x:xmpmeta>"},
    "xml:OTHER": {"xml:OTHER": "<o a='1'>é &amp; <b/></o>"},
    "IMD": {"version": "R"},
    "COLOR_PROFILE": {"SOURCE_ICC_PROFILE": "AAAA"},
}
BAND_NAMESPACES = [{"BNS": {"c": "2"}}, {}]

TABLE = (
    '<GDALRasterAttributeTable tableType="thematic"><FieldDefn index="0"><Name>Value</Name><Type>0</Type>'
    '<Usage>5</Usage></FieldDefn><FieldDefn index="1"><Name>Klasse</Name><Type>2</Type><Usage>2</Usage></FieldDefn>'
    '<Row index="0"><F>1</F><F>Wälder &amp; Wiesen</F></Row></GDALRasterAttributeTable>'
)
CATEGORIES = "<CategoryNames><Category>none</Category><Category>a &amp; b</Category></CategoryNames>"


def stored_namespaces(path: Path) -> tuple[Any, ...]:
    with rasterio.open(path) as dataset:
        of_file = {ns: dataset.tags(ns=ns) for ns in dataset.tag_namespaces()}
        of_band = [{ns: dataset.tags(band, ns=ns) for ns in dataset.tag_namespaces(band)} for band in dataset.indexes]
    return {ns: tags for ns, tags in of_file.items() if ns not in ("IMAGE_STRUCTURE", "DERIVED_SUBDATASETS")}, of_band


def copies(path: Path) -> dict[str, Any]:
    return {"path": path, "reader": RasterioReader(path), "tensor": RasterioReader(path).load()}


@pytest.fixture
def described(make_tensor: Any, tmp_path: Path) -> Path:
    """A file with tags in other domains, written by this project and read by GDAL."""
    attrs = {"namespaces": NAMESPACES, "band_namespaces": BAND_NAMESPACES}
    save_cog(make_tensor((2, 40, 50), attrs=attrs), tmp_path / "described.tif")
    return tmp_path / "described.tif"


def test_gdal_reads_tags_of_other_namespaces(described: Path) -> None:
    assert stored_namespaces(described) == (NAMESPACES, BAND_NAMESPACES)


@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
@pytest.mark.parametrize("kind", ["path", "reader", "tensor", "dataset"])
def test_tags_of_other_namespaces_are_kept(
    kind: str, save: Callable[..., Any], described: Path, tmp_path: Path
) -> None:
    with rasterio.open(described) as dataset:
        save(dataset if kind == "dataset" else copies(described)[kind], tmp_path / "out.tif")

    assert stored_namespaces(tmp_path / "out.tif") == (NAMESPACES, BAND_NAMESPACES)


def test_tags_of_other_namespaces_follow_a_selection_of_bands(described: Path, tmp_path: Path) -> None:
    save_cog(RasterioReader(described, indexes=[2, 1]), tmp_path / "out.tif")

    assert stored_namespaces(tmp_path / "out.tif")[1] == BAND_NAMESPACES[::-1]


def test_the_gdal_engine_names_what_it_leaves_out(described: Path, tmp_path: Path) -> None:
    with pytest.warns(MetadataWarning, match="engine='gdal' leaves out .*MYNS.*BNS"):
        save_cog(described, tmp_path / "out.tif", engine="gdal")

    assert stored_namespaces(tmp_path / "out.tif")[0]["COLOR_PROFILE"] == NAMESPACES["COLOR_PROFILE"]


@pytest.mark.parametrize("namespaces", [{"json:J": {"json": "{}"}}, {"A": {"k": "\x00"}}, {" ": {"k": "v"}}])
def test_tags_of_other_namespaces_that_do_not_survive_are_named(
    namespaces: Any, make_tensor: Any, tmp_path: Path
) -> None:
    with pytest.warns(MetadataWarning, match="tags of the source that a GeoTIFF cannot keep are left out"):
        save_cog(make_tensor(attrs={"namespaces": namespaces}), tmp_path / "out.tif")


def classified(path: Path, described: str, driver: str = "GTiff") -> Path:
    profile = {"driver": driver, "height": 40, "width": 50, "count": 1, "dtype": "uint8", **PLACE}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.ones((1, 40, 50), "uint8"))
    pam = f'<PAMDataset><PAMRasterBand band="1">{described}</PAMRasterBand></PAMDataset>'
    path.with_name(f"{path.name}.aux.xml").write_text(pam, encoding="utf-8")
    return path


def table_read_by_gdal(path: Path) -> str:
    """Return the attribute table that GDAL describes, or what is in the file where GDAL does not read it yet."""
    if tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2]) < (3, 12):
        return path.read_bytes().decode("latin-1").encode("latin-1").decode("utf-8", "ignore")
    with rasterio.open(path) as dataset, rasterio.MemoryFile(ext=".vrt") as description:
        rasterio.shutil.copy(dataset, description.name, driver="VRT")
        return bytes(description.read()).decode()


@pytest.mark.parametrize("save", [save_cog, save_tiled_geotiff])
@pytest.mark.parametrize("kind", ["path", "reader", "tensor", "dataset", "twice"])
@pytest.mark.parametrize(("described", "expected"), [
    (TABLE, ("Klasse", "Wälder &amp; Wiesen")), (CATEGORIES, ("<F>1</F>", "<F>a &amp; b</F>")),
], ids=["table", "categories"])  # fmt: skip
def test_attribute_tables_and_category_names_are_kept_in_the_file(
    described: str, expected: tuple[str, ...], kind: str, save: Callable[..., Any], tmp_path: Path
) -> None:
    source = classified(tmp_path / "in.tif", described)
    if kind == "twice":
        save(source, tmp_path / "once.tif")
        source, kind = tmp_path / "once.tif", "path"

    with rasterio.open(source) as dataset:
        save(dataset if kind == "dataset" else copies(source)[kind], tmp_path / "out.tif")

    assert not (tmp_path / "out.tif.aux.xml").exists()
    found = "".join(table_read_by_gdal(tmp_path / "out.tif").split("\n"))
    assert all(text in found for text in expected)


def test_category_names_that_the_table_lacks_are_named(tmp_path: Path) -> None:
    source = classified(tmp_path / "in.tif", CATEGORIES + TABLE)

    with pytest.warns(MetadataWarning, match="category names of band 1 are left out.*none, a & b"):
        save_cog(source, tmp_path / "out.tif")


def test_arithmetic_drops_the_attribute_table(tmp_path: Path) -> None:
    tensor = RasterioReader(classified(tmp_path / "in.tif", TABLE)).load()

    assert "attribute_tables" in tensor.attrs
    assert "attribute_tables" not in (tensor * 2).attrs


@pytest.mark.parametrize("table", [1, "<x/>"])
def test_invalid_attribute_table_is_refused(table: Any, make_tensor: Any, tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="attribute table"):
        save_cog(make_tensor((1, 40, 50), attrs={"attribute_tables": [table]}), tmp_path / "out.tif")


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_resolution_tags_are_kept(save: Callable[..., Any], make_tensor: Any, tmp_path: Path) -> None:
    tags = {"TIFFTAG_XRESOLUTION": "300", "TIFFTAG_YRESOLUTION": "72.5", "TIFFTAG_RESOLUTIONUNIT": "3"}
    with rasterio.open(tmp_path / "in.tif", "w", driver="GTiff", height=40, width=50, count=1, dtype="uint8",
                       **PLACE) as dataset:  # fmt: skip
        dataset.write(np.ones((1, 40, 50), "uint8"))
        dataset.update_tags(**tags)

    save(tmp_path / "in.tif", tmp_path / "out.tif")

    with tifffile.TiffFile(tmp_path / "out.tif") as tiff:
        found = tiff.pages[0].tags
        assert [found[number].value for number in (282, 283, 296)] == [(300, 1), (145, 2), 3]
