"""Files of GDAL's COG and GTiff drivers are right files: `validate` refuses none of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import tifffile
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import MemoryFile

from foreign.processes import DEBIAN_PYTHON, need
from georeader.validation import validate

HEIGHT_PX, WIDTH_PX = 150, 200

#: Codes for what makes a file of the GTiff driver, with overviews that were added to it, no COG.
LAYOUT_OF_GTIFF = {"main-directory-offset", "data-order"}

#: (driver, codec, dtype, bands, interleave, what is invalid, further options).
FILES: list[tuple[str, str, str, int, str, str, dict[str, Any]]] = [
    ("GTiff", "NONE", "uint8", 1, "BAND", "nothing", {}),
    ("GTiff", "LZW", "int16", 1, "BAND", "mask", {}),
    ("COG", "DEFLATE", "uint16", 1, "BAND", "nothing", {}),
    ("GTiff", "ZSTD", "float32", 3, "BAND", "nothing", {"PREDICTOR": 3}),
    ("COG", "ZSTD", "int32", 2, "PIXEL", "nothing", {"PREDICTOR": "STANDARD"}),
    ("COG", "LERC_ZSTD", "uint8", 4, "PIXEL", "alpha", {}),
    ("COG", "LERC", "uint8", 2, "PIXEL", "alpha", {}),
    ("COG", "LERC_DEFLATE", "uint8", 4, "PIXEL", "alpha", {"MAX_Z_ERROR": 1}),
    ("GTiff", "LERC_ZSTD", "uint8", 4, "PIXEL", "alpha", {}),
    ("GTiff", "LERC", "uint8", 4, "BAND", "alpha", {}),
    ("COG", "LERC_ZSTD", "uint8", 4, "PIXEL", "translucent alpha", {}),
    ("COG", "LERC", "uint16", 4, "PIXEL", "alpha", {}),
    ("COG", "LERC_ZSTD", "float32", 1, "PIXEL", "NaN", {}),
    ("COG", "LERC", "float64", 3, "PIXEL", "NaN", {}),
    ("COG", "LERC", "uint8", 3, "PIXEL", "mask", {}),
    ("COG", "JPEG", "uint8", 3, "PIXEL", "mask", {}),
    ("COG", "JPEG", "uint8", 4, "PIXEL", "alpha", {}),
    ("GTiff", "JPEG", "uint8", 4, "PIXEL", "alpha", {}),
    ("GTiff", "JPEG", "uint8", 3, "BAND", "nothing", {}),
    ("COG", "WEBP", "uint8", 4, "PIXEL", "alpha", {}),
    ("COG", "LZMA", "complex64", 1, "PIXEL", "nothing", {"OVERVIEW_RESAMPLING": "NEAREST"}),
    ("GTiff", "PACKBITS", "uint8", 3, "PIXEL", "nothing", {"NBITS": 1}),
    ("COG", "DEFLATE", "uint8", 1, "PIXEL", "nothing", {"NBITS": 4}),
    ("COG", "LZW", "uint16", 1, "PIXEL", "nothing", {"NBITS": 12}),
    ("GTiff", "DEFLATE", "float32", 1, "BAND", "nothing", {"NBITS": 16}),
    ("GTiff", "NONE", "uint8", 3, "PIXEL", "nothing", {"ENDIANNESS": "BIG"}),
    ("COG", "DEFLATE", "uint8", 3, "PIXEL", "mask", {"BIGTIFF": "YES", "SPARSE_OK": "YES"}),
]


def pixels_of(dtype: str, count: int, invalid: str) -> np.ndarray[Any, Any]:
    rows, columns = np.mgrid[0:HEIGHT_PX, 0:WIDTH_PX]
    pixels = np.stack([(columns + rows * (band + 1)) % 2 for band in range(count)]).astype(dtype)
    if "alpha" in invalid:
        pixels[-1] = (columns % 5 > 1) * 255 - (invalid == "translucent alpha") * (rows % 9)
    if invalid == "NaN":
        pixels[0, :40] = np.nan
    return pixels


def write_by_gdal(path: Path, file: tuple[str, str, str, int, str, str, dict[str, Any]]) -> None:
    driver, codec, dtype, count, interleave, invalid, options = file
    place = {"crs": "EPSG:32630", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 4000000)}
    tiles = {"BLOCKSIZE": 128} if driver == "COG" else {"TILED": "YES", "BLOCKXSIZE": 128, "BLOCKYSIZE": 128}
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), MemoryFile() as staged:
        with staged.open(
            driver="GTiff", height=HEIGHT_PX, width=WIDTH_PX, count=count, dtype=dtype, **place
        ) as dataset:
            if "alpha" in invalid:
                dataset.colorinterp = colours if count == 4 else [ColorInterp.gray, ColorInterp.alpha]
            dataset.write(pixels_of(dtype, count, invalid))
            if invalid == "mask":
                dataset.write_mask(np.indices((HEIGHT_PX, WIDTH_PX)).sum(axis=0) % 7 > 0)
        with staged.open() as dataset:
            rasterio.shutil.copy(
                dataset, path, driver=driver, COMPRESS=codec, INTERLEAVE=interleave, **(tiles | options)
            )
        if driver == "GTiff":
            with rasterio.open(path, "r+") as dataset:
                dataset.build_overviews([2], Resampling.nearest)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file", FILES, ids=lambda file: " ".join(map(str, file)))
def test_a_file_of_gdal_is_not_refused(file: Any, tmp_path: Path) -> None:
    write_by_gdal(tmp_path / "gdal.tif", file)

    report = validate(tmp_path / "gdal.tif")

    codes = {problem.code for problem in report.errors}
    assert codes <= (LAYOUT_OF_GTIFF if file[0] == "GTiff" else set()), report
    assert report.measurement.tiles_decoded


def test_planar_configuration_of_one_sample_is_ignored(tmp_path: Path) -> None:
    write_by_gdal(tmp_path / "gdal.tif", FILES[0])

    with tifffile.TiffFile(tmp_path / "gdal.tif") as file:
        assert [page.tags[284].value for page in file.pages] == [2, 1]
    assert "overview-kind" not in {problem.code for problem in validate(tmp_path / "gdal.tif").errors}


@pytest.mark.parametrize("samples", [3, 2, 1])
def test_lerc_that_lacks_samples_is_refused_where_none_is_alpha(samples: int, tmp_path: Path) -> None:
    file = ("COG", "LERC", "uint8", samples, "PIXEL", "nothing", {})
    write_by_gdal(tmp_path / "gdal.tif", file)
    write_by_gdal(tmp_path / "other.tif", ("COG", "LERC", "uint8", samples + 1, "PIXEL", "nothing", {}))
    with tifffile.TiffFile(tmp_path / "other.tif") as tiff:
        entry = tiff.pages[0].tags[324], tiff.pages[0].tags[325]
        wide = [(one.valueoffset, one.value) for one in entry]
    with tifffile.TiffFile(tmp_path / "gdal.tif") as tiff:
        source, length = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    content = bytearray((tmp_path / "other.tif").read_bytes())
    blob = (tmp_path / "gdal.tif").read_bytes()[source : source + length]
    place, _ = wide[0][1][0], wide[1][1][0]
    content[place : place + length] = blob
    (tmp_path / "other.tif").write_bytes(content)

    assert "tile-decode" in {problem.code for problem in validate(tmp_path / "other.tif").errors}


#: Writes the files of a JSON list by GDAL's drivers; prints their paths.
BY_DEBIAN = """
import json, sys
import numpy as np
from osgeo import gdal
gdal.UseExceptions()
gdal.PushErrorHandler("CPLQuietErrorHandler")
types = {"uint8": gdal.GDT_Byte, "uint16": gdal.GDT_UInt16, "float32": gdal.GDT_Float32}
colours = [gdal.GCI_RedBand, gdal.GCI_GreenBand, gdal.GCI_BlueBand, gdal.GCI_AlphaBand]
written = []
for path, driver, codec, dtype, count, interleave in json.load(sys.stdin):
    rows, columns = np.mgrid[0:150, 0:200]
    source = gdal.GetDriverByName("MEM").Create("", 200, 150, count, types[dtype])
    for band in range(count):
        values = (columns + rows * (band + 1)) % 200 if band < 3 else (columns % 5 > 1) * 255
        source.GetRasterBand(band + 1).WriteArray(values.astype(dtype))
        if count > 1:
            source.GetRasterBand(band + 1).SetColorInterpretation(colours[band])
    tiles = ["BLOCKSIZE=128"] if driver == "COG" else ["TILED=YES", "INTERLEAVE=" + interleave]
    gdal.GetDriverByName(driver).CreateCopy(path, source, options=["COMPRESS=" + codec, *tiles])
    if driver == "GTiff":
        gdal.Open(path, gdal.GA_Update).BuildOverviews("NEAREST", [2])
"""


def test_files_of_debians_gdal_are_not_refused(tmp_path: Path) -> None:
    need("Debian's GDAL")
    files = [
        (driver, codec, dtype, count, interleave)
        for driver, interleave in (("COG", "PIXEL"), ("GTiff", "PIXEL"), ("GTiff", "BAND"))
        for codec, dtype, count in (
            ("LZW", "uint8", 1),
            ("DEFLATE", "uint16", 3),
            ("JPEG", "uint8", 3),
            ("LERC", "float32", 1),
            ("LERC_ZSTD", "uint8", 4),
            ("ZSTD", "float32", 4),
        )
    ]
    job = [(str(tmp_path / f"{number}.tif"), *file) for number, file in enumerate(files)]

    subprocess.run(
        [DEBIAN_PYTHON, "-I", "-c", BY_DEBIAN], input=json.dumps(job), text=True, check=True, capture_output=True
    )

    for path, driver, *rest in job:
        codes = {problem.code for problem in validate(path).errors}
        assert codes <= (LAYOUT_OF_GTIFF if driver == "GTiff" else set()), (driver, rest, codes)
