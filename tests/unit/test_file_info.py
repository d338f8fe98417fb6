"""FileInfo: metadata of an open file, and its part in ``attrs``."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from georeader._core import band_attrs
from georeader._readers.file_info import FileInfo, read_file_info
from georeader.errors import MetadataWarning


def info_of(dtype: str = "uint8", count: int = 1, describe: Any = None, **profile: Any) -> FileInfo:
    """The FileInfo of a small raster that rasterio wrote into memory."""
    options = {"driver": "GTiff", "width": 5, "height": 4, "photometric": "MINISBLACK"} | profile
    with MemoryFile() as file:
        with file.open(count=count, dtype=dtype, **options) as dataset:
            dataset.write(np.ones((count, 4, 5), dtype))
            if describe is not None:
                describe(dataset)
        with file.open() as dataset:
            return read_file_info(dataset)


def info_of_vrt(tmp_path: Path, *bands: tuple[str, str]) -> FileInfo:
    """The FileInfo of a VRT whose bands are (data type, inner XML)."""
    rows = "".join(
        f'<VRTRasterBand dataType="{dtype}" band="{number}">{inner}</VRTRasterBand>'
        for number, (dtype, inner) in enumerate(bands, start=1)
    )
    path = tmp_path / "made.vrt"
    path.write_text(f'<VRTDataset rasterXSize="4" rasterYSize="3">{rows}</VRTDataset>')
    with rasterio.open(path) as dataset:
        return read_file_info(dataset)


def describe_two_bands(dataset: Any) -> None:
    dataset.descriptions = ("red", "")
    dataset.scales = (0.5, 2)
    dataset.offsets = (-1, 1)
    dataset.units = ("", "K")
    dataset.colorinterp = (ColorInterp.red, ColorInterp.alpha)
    dataset.update_tags(SENSOR="MSI")
    dataset.update_tags(2, WAVELENGTH="11 um")
    dataset.update_tags(2, ns="CALIBRATION", DATE="2024")


class TestReadFileInfo:
    def test_has_count_height_and_width(self) -> None:
        info = info_of(count=2)
        assert (info.count, info.height_px, info.width_px) == (2, 4, 5)

    def test_is_frozen(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            info_of().count = 3

    def test_survives_pickling(self) -> None:
        info = info_of(count=2, describe=describe_two_bands, crs="EPSG:4326")
        assert pickle.loads(pickle.dumps(info)) == info

    @pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "int64", "float32", "complex64"])
    def test_dtypes_are_numpy_dtypes(self, dtype: str) -> None:
        assert info_of(dtype, count=2).dtypes == (np.dtype(dtype), np.dtype(dtype))

    def test_complex_integers_are_read_as_complex64(self, tmp_path: Path) -> None:
        assert info_of_vrt(tmp_path, ("CInt16", ""), ("CInt32", "")).dtypes == (np.dtype("complex64"),) * 2

    def test_each_band_has_its_own_dtype_and_nodata(self, tmp_path: Path) -> None:
        info = info_of_vrt(
            tmp_path,
            ("Int64", "<NoDataValue>-9223372036854775807</NoDataValue>"),
            ("Int64", ""),
            ("Int64", "<NoDataValue>-1</NoDataValue>"),
            ("Byte", "<NoDataValue>1</NoDataValue>"),
            ("Float32", "<NoDataValue>0.5</NoDataValue>"),
        )
        assert [dtype.name for dtype in info.dtypes] == ["int64", "int64", "int64", "uint8", "float32"]
        assert info.nodatavals == (-(2**63) + 1, None, -1, 1, 0.5)

    def test_empty_names_are_none(self) -> None:
        info = info_of(count=2, describe=describe_two_bands)
        assert (info.descriptions, info.units) == (("red", None), (None, "K"))

    def test_band_metadata_that_is_not_utf8_is_left_out_with_a_warning(self, tmp_path: Path) -> None:
        path = tmp_path / "latin.tif"
        names = '<GDALMetadata><Item name="DESCRIPTION" sample="0" role="description">café</Item></GDALMetadata>'
        tifffile.imwrite(
            path, np.ones((4, 4), "uint8"), metadata=None, extratags=[(42112, 2, 0, names.encode("latin1"), True)]
        )
        with (
            rasterio.open(path) as dataset,
            pytest.warns(MetadataWarning, match=r"latin\.tif: descriptions .* not UTF-8"),
        ):
            info = read_file_info(dataset)
        assert info.descriptions == (None,)

    def test_only_one_band_rasters_have_a_colour_table(self) -> None:
        def palette(dataset: Any) -> None:
            dataset.write_colormap(1, {1: (10, 20, 30, 255)})

        info = info_of(photometric="PALETTE", describe=palette)
        assert info.colormap is not None
        assert info.colormap[1] == (10, 20, 30, 255)
        assert info_of(count=2).colormap is None


class TestAttrs:
    def test_have_every_per_band_key(self) -> None:
        attrs = info_of(count=2, describe=describe_two_bands).attrs([1, 2])
        assert attrs == {
            "descriptions": ["red", None],
            "scales": [0.5, 2.0],
            "offsets": [-1.0, 1.0],
            "units": [None, "K"],
            "colorinterp": ["red", "alpha"],
            "band_tags": [{}, {"WAVELENGTH": "11 um"}],
            "band_namespaces": [{}, {"CALIBRATION": {"DATE": "2024"}}],
            "tags": {"SENSOR": "MSI"},
        }
        assert {*attrs, "attribute_tables"} >= set(band_attrs.PER_BAND_KEYS)  # which GDAL before 3.12 does not write

    @pytest.mark.parametrize("indexes", [[1], [2], [2, 1], [1, 1, 2]])
    def test_equal_those_selected_by_band_attrs(self, indexes: list[int]) -> None:
        info = info_of(count=2, describe=describe_two_bands)
        followed = band_attrs.select_bands(info.attrs([1, 2]), 2, [index - 1 for index in indexes])
        chosen = info.attrs(indexes)
        assert {key: followed[key] for key in chosen} == chosen

    def test_attrs_leave_out_keys_without_values(self) -> None:
        info = info_of(count=2, describe=describe_two_bands)
        assert "descriptions" not in info.attrs([2])
        assert "units" not in info.attrs([1])

    def test_leave_out_scales_of_one_and_offsets_of_zero(self) -> None:
        attrs = info_of(count=2).attrs([1, 2])
        assert {"scales", "offsets", "units", "descriptions"}.isdisjoint(attrs)

    def test_keep_the_colour_table_of_a_single_band_only(self, shared_data: Path) -> None:
        with rasterio.open(shared_data / "landcover_palette_uint8.tif") as dataset:
            info = read_file_info(dataset)
        assert info.attrs([1])["colormap"] == info.colormap
        assert "colormap" not in info.attrs([1, 1])
