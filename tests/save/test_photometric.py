"""PhotometricInterpretation and ExtraSamples: what GDAL's drivers decide, the option, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rioxarray
import tifffile
from affine import Affine
from rasterio.enums import ColorInterp, PhotometricInterp

from by_command import run
from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader.errors import MetadataError, OptionError

PLACE = (Affine(10, 0, 500000, 0, -10, 4000000), "EPSG:32630")

#: Values of PhotometricInterpretation (TIFF 6.0, sections 4 to 6 and 21).
WHITE, BLACK, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6

#: NewSubfileType (TIFF 6.0, section 8): bit 2 says "transparency mask".
_MASK = 4

ENGINES = ("stream", "gdal")
SAVES = (save_cog, save_tiled_geotiff)

rioxarray_warnings = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
every_engine = pytest.mark.parametrize("engine", ENGINES)
every_save = pytest.mark.parametrize("save", SAVES)


def tensor(interps: str = "", *, count: int = 0, dtype: str = "uint8", side_px: int = 300, **attrs: Any) -> GeoTensor:
    """Return slopes, which every codec keeps well enough; ``interps`` has the name of each band's interpretation."""
    names = interps.split()
    count = count or len(names)
    rows, columns = np.indices((side_px, side_px))
    values = np.stack([(rows + columns * (band + 1)) // 8 % 120 for band in range(count)]).astype(dtype)
    return GeoTensor(values, *PLACE, None, attrs=({"colorinterp": names} if names else {}) | attrs)


def declared(path: Path) -> tuple[int, tuple[int, ...]]:
    """Return PhotometricInterpretation and ExtraSamples, by tifffile; the overviews have to have the same."""
    with tifffile.TiffFile(path) as file:
        pages = [page for page in file.pages if not page.subfiletype & _MASK]
        said = {(int(page.photometric), tuple(map(int, page.extrasamples))) for page in pages}
    assert len(said) == 1
    return said.pop()


def seen_by_rasterio(path: Path) -> list[str]:
    with rasterio.open(path) as dataset:
        return [interp.name for interp in dataset.colorinterp]


def saved_by_gdal(raster: GeoTensor, path: Path, driver: str) -> Path:
    """Have GDAL's driver copy a raster whose bands have the same colour interpretations."""
    count, height, width = raster.shape
    with rasterio.open(
        "/vsimem/source.mem", "w+", driver="MEM", count=count, height=height, width=width, dtype=raster.dtype,
        transform=raster.transform, crs=raster.crs,
    ) as dataset:  # fmt: skip
        if "colorinterp" in raster.attrs:
            dataset.colorinterp = [ColorInterp[name] for name in raster.attrs["colorinterp"]]
        dataset.write(raster.values)
        options = {"OVERVIEW_RESAMPLING": "AVERAGE", "BLOCKSIZE": 256} if driver == "COG" else {}
        rasterio.shutil.copy(dataset, path, driver=driver, **options)
    return path


#: Colour interpretations, or "" for none, and bands.
INTERPRETATIONS = [
    ("", 1),
    ("", 2),
    ("", 3),
    ("", 4),
    ("", 5),
    ("gray alpha", 2),
    ("gray undefined", 2),
    ("undefined alpha", 2),
    ("red alpha", 2),
    ("red green", 2),
    ("alpha", 1),
    ("red green blue", 3),
    ("blue green red", 3),
    ("undefined undefined undefined", 3),
    ("gray undefined undefined", 3),
    ("red green blue undefined", 4),
    ("red green blue alpha", 4),
    ("undefined undefined undefined alpha", 4),
    ("gray undefined undefined alpha", 4),
    ("alpha red green blue", 4),
    ("cyan magenta yellow black", 4),
    ("red green blue undefined undefined", 5),
    ("red green blue alpha undefined", 5),
    ("red green blue undefined alpha", 5),
    ("red green blue alpha alpha", 5),
]

#: GDAL declares uint8 of three or four bands RGB, and the fourth alpha, for any interpretation: readers then
#: hide pixels, or swap colours. There nothing is claimed here.
_CLAIMED_BY_GDAL_ALONE = {
    ("", 4): (0, 0, 0),
    ("blue green red", 3): (0, 0),
    ("gray undefined undefined", 3): (0, 0),
    ("gray undefined undefined alpha", 4): (0, 0, 2),
    ("alpha red green blue", 4): (0, 0, 0),
    ("cyan magenta yellow black", 4): (0, 0, 0),
}


@pytest.mark.covering(columns=lambda interps, count, dtype, driver: ((interps, count, driver), (interps, count, dtype)))
@pytest.mark.parametrize(
    ("driver", "dtype"),
    [
        *(("COG", dtype) for dtype in ("uint8", "uint16", "float32")),
        *(("GTiff", dtype) for dtype in ("uint8", "int16")),
    ],
)
@pytest.mark.parametrize(("interps", "count"), INTERPRETATIONS)
def test_photometric_equals_gdals_choice(interps: str, count: int, dtype: str, driver: str, tmp_path: Path) -> None:
    raster = tensor(interps, count=count, dtype=dtype, side_px=20)
    expected = declared(saved_by_gdal(raster, tmp_path / "gdal.tif", driver))
    if dtype == "uint8" and (interps, count) in _CLAIMED_BY_GDAL_ALONE:
        assert expected[0] == RGB
        expected = BLACK, _CLAIMED_BY_GDAL_ALONE[interps, count]

    save = save_cog if driver == "COG" else save_tiled_geotiff
    for engine in ENGINES:
        save(raster, tmp_path / "ours.tif", engine=engine)

        assert declared(tmp_path / "ours.tif") == expected, engine


@every_engine
@every_save
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("interps", [interps for interps, _ in INTERPRETATIONS if interps])
def test_colour_interpretation_is_read_back(
    interps: str, interleave: str, save: Callable[..., Any], engine: str, tmp_path: Path
) -> None:
    path = tmp_path / "out.tif"
    save(tensor(interps, side_px=40), path, profile_arg={"interleave": interleave}, engine=engine)

    # GDAL calls the first band of a grey raster grey, and the colours of an RGB raster by their names.
    expected = {
        "undefined alpha": "gray alpha",
        "undefined undefined undefined": "red green blue",
        "undefined undefined undefined alpha": "red green blue alpha",
    }.get(interps, interps)
    assert seen_by_rasterio(path) == expected.split()
    assert RasterioReader(path).attrs["colorinterp"] == expected.split()


@every_engine
@every_save
@pytest.mark.parametrize(
    ("dtype", "count", "expected"),
    [
        ("uint8", 1, "gray"),
        ("uint8", 3, "red green blue"),
        ("uint8", 4, "gray undefined undefined undefined"),
        ("bool", 3, "red green blue"),
        ("uint16", 3, "gray undefined undefined"),
        ("float32", 3, "gray undefined undefined"),
    ],
)
def test_an_array_without_interpretation_reads_back(
    dtype: str, count: int, expected: str, save: Callable[..., Any], engine: str, tmp_path: Path
) -> None:
    save(tensor(count=count, dtype=dtype, side_px=40), tmp_path / "out.tif", engine=engine)

    assert seen_by_rasterio(tmp_path / "out.tif") == expected.split()


@every_engine
@pytest.mark.parametrize(
    ("interps", "options", "expected"),
    [
        ("red green blue", {"compress": "jpeg"}, (YCBCR, ())),
        ("red green blue", {"compress": "jpeg", "photometric": "YCbCr"}, (YCBCR, ())),
        ("red green blue", {"compress": "jpeg", "photometric": "RGB"}, (RGB, ())),
        ("red green blue", {"compress": "jpeg", "photometric": "MINISBLACK"}, (BLACK, (0, 0))),
        ("red green blue alpha", {"compress": "jpeg"}, (YCBCR, ())),
        ("red green blue alpha", {"compress": "jpeg", "photometric": PhotometricInterp.rgb}, (RGB, ())),
        ("gray undefined undefined", {"compress": "jpeg"}, (BLACK, (0, 0))),
        ("gray", {"compress": "jpeg"}, (BLACK, ())),
        ("gray", {"compress": "jpeg", "photometric": "MINISWHITE"}, (WHITE, ())),
        ("red green blue alpha", {"compress": "webp"}, (RGB, (2,))),
        ("red green blue", {"photometric": "minisblack"}, (BLACK, (0, 0))),
        ("red green blue alpha", {"photometric": "minisblack"}, (BLACK, (0, 0, 2))),
        ("gray undefined undefined", {"photometric": "rgb"}, (RGB, ())),
        ("gray undefined undefined alpha", {"PHOTOMETRIC": "RGB"}, (RGB, (2,))),
        ("red green blue undefined", {"PHOTOMETRIC": "RGB", "interleave": "band"}, (RGB, (0,))),
        ("gray", {"photometric": PhotometricInterp.white}, (WHITE, ())),
        ("gray alpha", {"photometric": "MINISWHITE"}, (WHITE, (2,))),
        ("undefined undefined", {"photometric": PhotometricInterp.black}, (BLACK, (0,))),
    ],
)
def test_photometric_follows_the_option(
    interps: str, options: dict[str, Any], expected: tuple[int, tuple[int, ...]], engine: str, tmp_path: Path
) -> None:
    raster = tensor(interps)
    for save in SAVES:
        save(raster, tmp_path / "out.tif", profile_arg=options, engine=engine)

        assert declared(tmp_path / "out.tif") == expected
        if "compress" not in options:
            with rasterio.open(tmp_path / "out.tif") as dataset:
                np.testing.assert_array_equal(dataset.read()[:3], raster.values[:3])


def test_jpeg_in_rgb_keeps_sharper_colours(tmp_path: Path) -> None:
    raster = tensor("red green blue")
    raster.values[:, ::2, ::2] = 250
    errors = {}
    for name in ("RGB", "YCbCr"):
        save_cog(raster, tmp_path / "out.tif", profile_arg={"compress": "jpeg", "photometric": name}, verify=True)
        with rasterio.open(tmp_path / "out.tif") as dataset:
            errors[name] = np.abs(dataset.read().astype(int) - raster.values).mean()
    assert errors["RGB"] < errors["YCbCr"]


@every_engine
def test_cog_writer_takes_the_option_and_the_colours_of_its_template(engine: str, tmp_path: Path) -> None:
    raster = tensor("red green blue alpha", dtype="uint16")
    save_cog(raster, tmp_path / "like.tif")
    for options, expected in (({}, (RGB, (2,))), ({"photometric": "MINISBLACK"}, (BLACK, (0, 0, 2)))):
        with CogWriter(tmp_path / "out.tif", like=tmp_path / "like.tif", profile_arg=options, engine=engine) as writer:
            writer.write(raster.values, rasterio.windows.Window(0, 0, 300, 300))

        assert declared(tmp_path / "out.tif") == expected


@pytest.mark.parametrize("command", ["cog", "tile"])
def test_the_command_line_takes_the_option(command: str, tmp_path: Path) -> None:
    save_cog(tensor("gray undefined undefined"), tmp_path / "in.tif")

    done = run(command, tmp_path / "in.tif", tmp_path / "out.tif", "--profile", "photometric=rgb")
    refused = run(command, tmp_path / "in.tif", tmp_path / "no.tif", "--profile", "photometric=palette")

    assert (done.exit_code, declared(tmp_path / "out.tif")) == (0, (RGB, ()))
    assert refused.exit_code == 2
    assert "there is no colour table" in refused.stderr
    assert not (tmp_path / "no.tif").exists()


@pytest.mark.parametrize(
    ("interps", "options", "message"),
    [
        ("gray", {"photometric": "RGB"}, "'RGB': red, green and blue take three bands, got 1; pass 'MINISBLACK'"),
        ("gray alpha", {"photometric": "YCbCr", "compress": "lzw"}, "'YCBCR' goes with compress='jpeg', got compress="),
        ("blue green red", {"photometric": "RGB"}, "must be red, green and blue, got blue, green, red; reorder"),
        ("gray", {"photometric": "palette"}, "'PALETTE': there is no colour table; set attrs\\['colormap'\\]"),
        ("red green blue alpha", {"photometric": "CMYK"}, "allowed: MINISBLACK, MINISWHITE, RGB, YCBCR, PALETTE"),
        ("red green blue", {"photometric": 2}, "allowed: MINISBLACK"),
        ("red green blue", {"photometric": "RGB", "PHOTOMETRIC": "MINISBLACK"}, "both photometric=.* and PHOTOMETRIC="),
    ],
)
@every_save
def test_a_photometric_that_contradicts_the_bands_is_refused(
    interps: str, options: dict[str, Any], message: str, save: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message):
        save(tensor(interps), tmp_path / "out.tif", profile_arg=options)

    assert not any(tmp_path.iterdir())


def test_a_photometric_other_than_the_colour_table_is_refused(tmp_path: Path) -> None:
    raster = tensor("palette", colormap={0: (1, 2, 3, 255)})
    with pytest.raises(OptionError, match="there is a colour table, which only 'PALETTE' goes with"):
        save_cog(raster, tmp_path / "out.tif", profile_arg={"photometric": "MINISBLACK"})
    with pytest.raises(MetadataError, match=r"attrs\['photometric'\]='MINISWHITE': there is a colour table"):
        save_cog(tensor("palette", colormap={0: (1, 2, 3, 255)}, photometric="MINISWHITE"), tmp_path / "out.tif")
    with pytest.raises(MetadataError, match=r"attrs\['photometric'\]='beige' is invalid; allowed: MINISBLACK"):
        save_cog(tensor("gray", photometric="beige"), tmp_path / "out.tif")


@every_engine
@every_save
def test_a_colour_table_stays_a_palette(save: Callable[..., Any], engine: str, tmp_path: Path) -> None:
    raster = tensor("palette", colormap={value: (value, 0, 255 - value, 255) for value in range(256)})
    for options in ({}, {"photometric": "PALETTE"}):
        save(raster, tmp_path / "out.tif", profile_arg=options, engine=engine)

        assert declared(tmp_path / "out.tif") == (PALETTE, ())
        assert RasterioReader(tmp_path / "out.tif").attrs["colormap"] == raster.attrs["colormap"]


def sources(path: Path) -> dict[str, Callable[[], Any]]:
    """Return the types of sources with colour interpretations."""
    return {
        "path": lambda: path,
        "reader": lambda: RasterioReader(path),
        "tensor": lambda: RasterioReader(path).load(),
        "dataset": lambda: rasterio.open(path),
    }


@pytest.mark.parametrize("kind", ["path", "reader", "tensor", "dataset"])
@pytest.mark.parametrize(
    ("interps", "expected"), [("red green blue", (RGB, ())), ("red green blue alpha", (RGB, (2,)))]
)
def test_colours_of_every_source_are_declared(
    kind: str, interps: str, expected: tuple[int, tuple[int, ...]], tmp_path: Path
) -> None:
    source = saved_by_gdal(tensor(interps, dtype="uint16"), tmp_path / "source.tif", "GTiff")

    save_cog(sources(source)[kind](), tmp_path / "out.tif")

    assert declared(tmp_path / "out.tif") == expected
    assert seen_by_rasterio(tmp_path / "out.tif") == interps.split()


@rioxarray_warnings
@pytest.mark.parametrize(("dtype", "expected"), [("uint8", (RGB, ())), ("uint16", (BLACK, (0, 0)))])
def test_a_data_array_of_three_bands_is_a_picture_where_it_is_uint8(
    dtype: str, expected: tuple[int, tuple[int, ...]], tmp_path: Path
) -> None:
    """rioxarray has no colours: as with its own to_raster, GDAL's rule for arrays decides."""
    source = saved_by_gdal(tensor("red green blue", dtype=dtype), tmp_path / "source.tif", "GTiff")

    save_cog(rioxarray.open_rasterio(source), tmp_path / "out.tif")

    assert declared(tmp_path / "out.tif") == expected


def test_bands_that_are_selected_are_declared_by_their_own_colours(tmp_path: Path) -> None:
    save_cog(tensor("red green blue alpha"), tmp_path / "all.tif")
    reader = RasterioReader(tmp_path / "all.tif")
    expected = {(1, 2, 3): (RGB, ()), (3, 2, 1): (BLACK, (0, 0)), (1,): (BLACK, ()), (1, 4): (BLACK, (2,))}
    for bands, said in expected.items():
        save_cog(reader.isel({"band": [band - 1 for band in bands]}), tmp_path / "out.tif")

        assert declared(tmp_path / "out.tif") == said, bands


def test_arithmetic_keeps_no_colours(tmp_path: Path) -> None:
    save_cog(tensor("red green blue", dtype="uint16") * 2, tmp_path / "out.tif")

    assert declared(tmp_path / "out.tif") == (BLACK, (0, 0))
