"""Edits of files with sidecars: what GDAL reads of them before, it reads of the one file afterwards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import rasterio
import urllib3
from affine import Affine
from rasterio.enums import Resampling
from rio_cogeo import cog_validate

from georeader import GeoTensor, RasterioReader, edit_cog, plan_edit, save_cog
from georeader.errors import ChangedError, NotSupportedError, ReadError
from georeader.validation import validate
from servers.nginx import WebServer
from servers.s3 import S3Server
from stored_files import by_gdal_driver, facts_by_gdal, pixels, tensor, tile_digests


def facts(path: Path) -> dict[str, Any]:
    """Return what GDAL reads, other domains and rational polynomials included; and the tables that we read."""
    with rasterio.open(path) as dataset:
        rpcs = {} if dataset.rpcs is None else dataset.rpcs.to_dict()
        domains = {
            (band, domain): dataset.tags(band, ns=domain)
            for band in (0, *dataset.indexes)
            for domain in dataset.tag_namespaces(band)
            if domain not in ("", "IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "COLOR_TABLE", "RPC")
        }
    tables = RasterioReader(path).attrs.get("attribute_tables")
    found = facts_by_gdal(path)
    found["tags"].pop("METADATATYPE", None)  # names the reader of a file beside it
    found["tags"] = {"AREA_OR_POINT": "Area", **found["tags"]}  # which GDAL leaves out for some georeferences
    gcps = [(one.row, one.col, one.x, one.y, one.z) for one in found["gcps"]]
    rpcs = {name: -1 if value is None else value for name, value in rpcs.items()}  # of an unknown error
    return found | {"rpcs": rpcs, "domains": domains, "tables": tables, "gcps": gcps}


def pam(text: str) -> Callable[[Path], None]:
    """Return a function that writes GDAL's metadata beside a file."""
    return lambda path: path.with_name(f"{path.name}.aux.xml").write_text(f"<PAMDataset>{text}</PAMDataset>") and None


def band(text: str, number: int = 1) -> str:
    return f'<PAMRasterBand band="{number}">{text}</PAMRasterBand>'


def by_gdal(profile: str) -> Callable[[Path], None]:
    """Return a function by which GDAL writes the file anew: what the profile leaves out goes into a sidecar."""

    def write(path: Path) -> None:
        staged = path.with_name("staged.tif")
        path.rename(staged)
        rasterio.shutil.copy(staged, path, driver="GTiff", PROFILE=profile, TILED="YES", BLOCKXSIZE=256, BLOCKYSIZE=256)
        staged.unlink()

    return write


def statistics_by_gdal(path: Path) -> None:
    with rasterio.open(path) as dataset:
        for number in dataset.indexes:
            dataset.statistics(number)


RPC = "".join(
    f'<MDI key="{key}">{value}</MDI>'
    for key, value in {
        **dict.fromkeys(("LINE_OFF", "SAMP_OFF", "LAT_OFF", "LONG_OFF", "HEIGHT_OFF", "ERR_BIAS", "ERR_RAND"), 1.5),
        **dict.fromkeys(("LINE_SCALE", "SAMP_SCALE", "LAT_SCALE", "LONG_SCALE", "HEIGHT_SCALE"), 100),
        **dict.fromkeys(
            ("LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF"), " ".join(["0.25"] * 20)
        ),
    }.items()
)
RPC_TEXT = "".join(
    f"{key}: {value}\n"
    for key, value in {
        **dict.fromkeys(("LINE_OFF", "SAMP_OFF", "LAT_OFF", "LONG_OFF", "HEIGHT_OFF"), 1.5),
        **dict.fromkeys(("LINE_SCALE", "SAMP_SCALE", "LAT_SCALE", "LONG_SCALE", "HEIGHT_SCALE"), 100),
        **{
            f"{name}_COEFF_{number}": 0.25
            for name in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN")
            for number in range(1, 21)
        },
    }.items()
)
TABLE = (
    '<GDALRasterAttributeTable tableType="thematic"><FieldDefn index="0"><Name>Value</Name><Type>0</Type><Usage>5'
    '</Usage></FieldDefn><FieldDefn index="1"><Name>Class</Name><Type>2</Type><Usage>2</Usage></FieldDefn>'
    '<Row index="0"><F>1</F><F>rock &amp; ice</F></Row></GDALRasterAttributeTable>'
)
STATISTICS = "<Metadata><MDI key='STATISTICS_MINIMUM'>5</MDI><MDI key='STATISTICS_MEAN'>6</MDI></Metadata>"
COLOURS = "".join(f'<Entry c1="{value}" c2="{255 - value}" c3="7" c4="255"/>' for value in range(256))

#: What writes metadata beside a COG of 2 bands of int16, or of the number of uint8 bands in its name.
BESIDE: dict[str, Callable[[Path], None]] = {
    "statistics by GDAL": statistics_by_gdal,
    "all metadata by GDAL": by_gdal("BASELINE"),
    "metadata by GDAL": by_gdal("GeoTIFF"),
    "tags": pam("<Metadata><MDI key='a'>b &amp; é</MDI><MDI key='model'>v2</MDI></Metadata>"),
    "a tag of TIFF": pam("<Metadata><MDI key='TIFFTAG_SOFTWARE'>theirs</MDI></Metadata>"),
    "points": pam("<Metadata><MDI key='AREA_OR_POINT'>Point</MDI></Metadata>"),
    "a domain": pam("<Metadata domain='OURS'><MDI key='a'>1 &lt; 2</MDI></Metadata>"),
    "XML": pam("<Metadata domain='xml:OURS' format='xml'><a b='c'>d</a></Metadata>"),
    "descriptions": pam(band("<Description>red</Description>") + band("<Description>blue</Description>", 2)),
    "scales": pam(band("<Offset>3</Offset><Scale>0.125</Scale><UnitType>m/s</UnitType>", 2)),
    "band tags": pam(band("<Metadata><MDI key='b'>1</MDI></Metadata>")),
    "a domain of a band": pam(band("<Metadata domain='D'><MDI key='c'>2</MDI></Metadata>", 2)),
    "nodata": pam(band("<NoDataValue>7</NoDataValue>") + band("<NoDataValue>7</NoDataValue>", 2)),
    "a place": pam("<SRS>EPSG:32633</SRS><GeoTransform>5, 20, 1, 7, 2, -20</GeoTransform>"),
    "a transform": pam("<GeoTransform>0.1, 1e-5, 0, 50.3, 0, -1e-5</GeoTransform>"),
    "ground control points": pam(
        "<GCPList Projection='EPSG:4326'><GCP Id='1' Pixel='0.5' Line='1' X='10' Y='50' Z='3'/><GCP Id='2' Pixel='99' "
        "Line='1' X='11' Y='50'/><GCP Id='3' Pixel='1' Line='99' X='10' Y='49'/></GCPList>"
    ),
    "rational polynomials": pam(f"<Metadata domain='RPC'>{RPC}</Metadata>"),
    "1, colours": pam(band(f"<ColorInterp>Palette</ColorInterp><ColorTable>{COLOURS}</ColorTable>")),
    "1, a table": pam(band(TABLE)),
    "1, names of classes": pam(band("<CategoryNames><Category>a</Category><Category>&amp;</Category></CategoryNames>")),
    "4, alpha": pam(band("<ColorInterp>Alpha</ColorInterp>", 4)),
    "RPC in text": lambda path: path.with_name("scene_RPC.TXT").write_text(RPC_TEXT) and None,
    "IMD": lambda path: path.with_suffix(".IMD").write_text('satId = "QB02";\ncloudCover = 0.1;\nEND;\n') and None,
    "a world file": lambda path: path.with_suffix(".tfw").write_text("2\n0\n0\n-2\n100\n200\n") and None,
}  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene.tif"


def make(path: Path, name: str) -> None:
    """Write a file with sidecars."""
    count, dtype = (int(name[0]), "uint8") if name[0].isdigit() else (2, "int16")
    data = tensor(count, dtype, fill_value_default=None if name in ("1, colours", "4, alpha") else 0)
    if name in ("a world file", "ground control points"):
        data = GeoTensor(data.values, Affine.identity(), None, fill_value_default=0)
    save_cog(data, path, tags={"model": "v1"}, descriptions=[f"band {number}" for number in range(count)])
    BESIDE[name](path)


pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning", "ignore::rasterio.errors.RasterioDeprecationWarning",
    "ignore::georeader.errors.MetadataWarning",
)  # fmt: skip


@pytest.mark.parametrize("name", BESIDE)
def test_metadata_beside_a_file_move_into_it(path: Path, name: str) -> None:
    make(path, name)
    before, tiles = facts(path), tile_digests(path)
    assert len(os.listdir(path.parent)) == 2

    edit_cog(path, tags={"checked": "yes"})

    assert os.listdir(path.parent) == [path.name]
    after = facts(path)
    assert after.pop("tags") == before.pop("tags") | {"checked": "yes"}
    assert after == before
    assert tile_digests(path) == tiles
    assert validate(path).is_valid, validate(path)


def test_changes_come_before_what_is_beside(path: Path) -> None:
    save_cog(tensor(2, "int16"), path)
    nodata = "<NoDataValue>7</NoDataValue>"
    pam(band(f"<Description>theirs</Description><Scale>2</Scale>{nodata}{STATISTICS}") + band(nodata, 2))(path)

    edit_cog(
        path,
        descriptions=["ours", None],
        statistics=[{"minimum": 1, "maximum": 2, "mean": 1.5, "standard_deviation": 0.5}, None],
        nodata=9,
    )

    with rasterio.open(path) as dataset:
        assert dataset.descriptions == ("ours", None)
        assert {"STATISTICS_MINIMUM": "1", "STATISTICS_MEAN": "1.5"}.items() <= dataset.tags(1).items()
        assert dataset.nodatavals == (9, 9)
        assert dataset.scales == (2, 1)


def test_sidecars_stay_where_the_result_goes_elsewhere(path: Path) -> None:
    make(path, "metadata by GDAL")
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    out = path.with_name("out.tif")

    edit_cog(path, tags={"checked": "yes"}, out=out)

    assert {file.name: file.read_bytes() for file in path.parent.iterdir() if file != out} == before
    assert RasterioReader(out).tags() == RasterioReader(path).tags() | {"checked": "yes"}


def test_a_plan_compares_with_what_is_beside(path: Path) -> None:
    make(path, "descriptions")

    plan = plan_edit(path, descriptions=["red", "green"])

    assert plan.changes == (("descriptions[1]", "blue", "green"),)
    assert len(os.listdir(path.parent)) == 2


#: Metadata that a GeoTIFF does not hold, and what the message names.
REFUSED = {
    "nodata of one band": (pam(band("<NoDataValue>7</NoDataValue>", 2)), "nodata"),
    "a place that keys do not hold": (
        pam("<SRS>+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +to_meter=0.01745329</SRS>"), "crs",
    ),
    "a geolocation": (pam("<Metadata domain='GEOLOCATION'><MDI key='X_BAND'>1</MDI></Metadata>"), "other domains"),
    "points beside a transform": (
        pam("<GCPList Projection='EPSG:4326'><GCP Id='1' Pixel='0' Line='1' X='10' Y='50'/></GCPList>"), "gcps",
    ),
    "masks of bands": (lambda path: shutil.copy(path, f"{path}.msk"), "a mask for each band"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_geotiff_cannot_hold_is_refused_and_stays(path: Path, name: str) -> None:
    write, message = REFUSED[name]
    save_cog(tensor(2, "int16"), path)
    write(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    with pytest.raises(NotSupportedError, match=rf"scene\.tif.*{message}"):
        edit_cog(path, tags={"checked": "yes"})

    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


# Pixels.


def by_steps(*steps: str, **options: Any) -> Callable[[Path], None]:
    """Return a function that writes a tiled GeoTIFF, then overviews and masks inside or beside it, step by step."""
    environment = {name: options.pop(name) for name in list(options) if "OVERVIEW" in name or "GDAL" in name}

    def write(path: Path) -> None:
        by_gdal_driver(path, "GTiff", overviews=False, **options)
        for step in steps:
            is_inside = step.startswith("inner")
            settings = {"TIFF_USE_OVR": not is_inside, "GDAL_TIFF_INTERNAL_MASK": is_inside, **environment}
            with rasterio.Env(**settings), rasterio.open(path, "r+") as dataset:
                if step.endswith("mask"):
                    dataset.write_mask(pixels(3)[0] != 0)
                else:
                    dataset.build_overviews([2, 4], Resampling.nearest)

    return write


PIXELS: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "overviews": (by_steps("overviews", COMPRESS_OVERVIEW="DEFLATE", INTERLEAVE_OVERVIEW="PIXEL"), {".ovr"}),
    "overviews of numbers": (by_steps("overviews", dtype="int16", INTERLEAVE_OVERVIEW="PIXEL"), {".ovr"}),
    "overviews in JPEG": (
        by_steps("overviews", COMPRESS_OVERVIEW="JPEG", PHOTOMETRIC_OVERVIEW="YCBCR", INTERLEAVE_OVERVIEW="PIXEL"),
        {".ovr"},
    ),
    "overviews of a mask": (by_steps("inner mask", "overviews", INTERLEAVE_OVERVIEW="PIXEL"), {".ovr"}),
    "overviews by bands": (by_steps("overviews", interleave="band", compress="zstd"), {".ovr"}),
    "overviews with nodata": (by_steps("overviews", nodata=0, count=1, SPARSE_OK=True), {".ovr"}),
    "mask": (by_steps("mask"), {".msk"}),
    "mask beside overviews": (by_steps("inner overviews", "mask"), {".msk"}),
    "mask by bands": (by_steps("mask", interleave="band"), {".msk"}),
    "mask and overviews": (
        by_steps("mask", "overviews", INTERLEAVE_OVERVIEW="PIXEL", compress="lzw"), {".msk", ".ovr", ".msk.ovr"},
    ),
    "mask and overviews, small tiles": (
        by_steps("mask", "overviews", count=1, GDAL_TIFF_OVR_BLOCKSIZE="128"), {".msk", ".ovr", ".msk.ovr"},
    ),
    "mask and overviews, BigTIFF": (
        by_steps("mask", "overviews", count=1, dtype="float32", BIGTIFF="YES"), {".msk", ".ovr", ".msk.ovr"},
    ),
}  # fmt: skip


def all_digests(path: Path) -> dict[tuple[int, bool], list[str | None]]:
    """Return the digests of the tiles of a file and those beside it."""
    found = tile_digests(path)
    for suffix in (".ovr", ".msk", ".msk.ovr"):
        beside = path.with_name(f"{path.name}{suffix}")
        if beside.exists():
            own = tile_digests(beside)
            found |= {(width, is_mask or "msk" in suffix): tiles for (width, is_mask), tiles in own.items()}
    return found


@pytest.mark.parametrize("name", PIXELS)
def test_overviews_and_masks_beside_a_file_move_into_it(path: Path, name: str) -> None:
    write, suffixes = PIXELS[name]
    write(path)
    assert {file.name.removeprefix(path.name) for file in path.parent.iterdir()} == suffixes | {""}
    before, tiles = facts(path), all_digests(path)

    receipt = edit_cog(path, tags={"checked": "yes"})

    assert os.listdir(path.parent) == [path.name]
    after = facts(path)
    assert after.pop("tags") == before.pop("tags") | {"checked": "yes"}
    assert after == before
    assert tile_digests(path) == tiles
    assert receipt.tiles_reused == sum(digest is not None for of_image in tiles.values() for digest in of_image)
    report = validate(path)
    was_missing = {"overviews of a mask", "mask beside overviews"}  # GDAL makes no overviews of these masks
    assert {problem.code for problem in report.errors} == ({"mask-missing"} if name in was_missing else set()), report
    if len(before["overviews"]) > 0:
        assert cog_validate(path, strict=True)[:2] == (True, [])


def mask_of(driver: str, **options: str) -> Callable[[Path], None]:
    """Return a function that writes a file with a mask beside it, which is stored in another way."""

    def write(path: Path) -> None:
        by_steps("mask")(path)
        mask, staged = path.with_name("scene.tif.msk"), path.with_name("staged.tif")
        mask.rename(staged)
        rasterio.shutil.copy(staged, mask, driver=driver, **options)
        staged.unlink()

    return write


#: Pixels beside a file that are not stored as its own are, and what the message names.
OTHERWISE = {
    "interleave": (by_steps("overviews"), "interleave"),
    "byte order": (by_steps("overviews", count=1, dtype="int16", ENDIANNESS="BIG"), "byte order"),
    "tile size": (mask_of("GTiff", TILED="YES", BLOCKXSIZE="128", BLOCKYSIZE="128"), "tiles"),
    "strips": (mask_of("GTiff"), "strips"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERWISE)
def test_pixels_that_are_stored_otherwise_are_refused_and_stay(path: Path, name: str) -> None:
    write, message = OTHERWISE[name]
    write(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    with pytest.raises(NotSupportedError, match=rf"scene\.tif\..*{message}.*save_cog\(path, out\)"):
        edit_cog(path, tags={"checked": "yes"})

    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


def test_damaged_overviews_beside_a_file_are_refused_and_stay(path: Path) -> None:
    by_steps("overviews", count=1)(path)
    overviews = path.with_name("scene.tif.ovr")
    overviews.write_bytes(overviews.read_bytes()[:-500])
    before = path.read_bytes()

    with pytest.raises(ReadError, match=r"scene\.tif\.ovr cannot be edited"):
        edit_cog(path, tags={"checked": "yes"})

    assert path.read_bytes() == before
    assert overviews.exists()


def test_overviews_that_gdal_does_not_read_go(path: Path) -> None:
    by_steps("inner overviews", count=1)(path)
    shutil.copy(path, path.with_name("scene.tif.ovr"))
    before = facts(path)

    edit_cog(path, scales=[2])

    assert facts(path) == before | {"scales": (2.0,)}
    assert os.listdir(path.parent) == [path.name]


def test_a_file_beside_that_is_replaced_meanwhile_is_noticed(path: Path) -> None:
    by_steps("mask", count=1)(path)
    before, mask = path.read_bytes(), path.with_name("scene.tif.msk")
    other = path.with_name("other")
    shutil.copy(mask, other)

    with pytest.raises(ChangedError, match=r"scene\.tif"):
        edit_cog(path, scales=[2], progress=lambda *_: other.replace(mask) if other.exists() else None)

    assert path.read_bytes() == before
    assert mask.exists()


# In stores.


PAM = (
    b"<PAMDataset><Metadata><MDI key='a'>b</MDI></Metadata><PAMRasterBand band='1'><Scale>2</Scale></PAMRasterBand>"
    b"</PAMDataset>"
)


def test_metadata_beside_an_object_move_into_it(seaweed: S3Server, use_env: Any) -> None:
    use_env(seaweed.env())
    save_cog(tensor(1), seaweed.url("scene.tif"))
    seaweed.put("scene.tif.aux.xml", PAM)

    edit_cog(seaweed.url("scene.tif"), tags={"checked": "yes"})

    reader = RasterioReader(seaweed.url("scene.tif"))
    assert {"a": "b", "checked": "yes"}.items() <= reader.tags().items()
    assert reader.attrs["scales"] == [2]
    assert list(seaweed.keys()) == ["scene.tif"]


def test_a_world_file_beside_an_object_stays(seaweed: S3Server, use_env: Any) -> None:
    use_env(seaweed.env())
    save_cog(GeoTensor(tensor(1).values, Affine.identity(), None, fill_value_default=0), seaweed.url("scene.tif"))
    seaweed.put("scene.tfw", b"2\n0\n0\n-2\n100\n200\n")

    edit_cog(seaweed.url("scene.tif"), tags={"checked": "yes"})

    assert sorted(seaweed.keys()) == ["scene.tfw", "scene.tif"]


def test_pixels_beside_an_object_move_into_it(seaweed: S3Server, use_env: Any, path: Path) -> None:
    by_steps("mask", "overviews", count=1)(path)
    before, tiles = facts(path), all_digests(path)
    for file in path.parent.iterdir():
        seaweed.put(file.name, file.read_bytes())
        file.unlink()
    use_env(seaweed.env())

    edit_cog(seaweed.url("scene.tif"), scales=[2])

    assert list(seaweed.keys()) == ["scene.tif"]
    path.write_bytes(seaweed.get("scene.tif"))
    assert facts(path) == before | {"scales": (2.0,)}
    assert tile_digests(path) == tiles


def test_metadata_beside_a_file_of_fsspec_move_into_it() -> None:
    fs = fsspec.filesystem("memory")
    save_cog(tensor(1), "memory://beside/scene.tif")
    fs.pipe("/beside/scene.tif.aux.xml", PAM)

    edit_cog("memory://beside/scene.tif", tags={"checked": "yes"})

    assert {"a": "b", "checked": "yes"}.items() <= RasterioReader("memory://beside/scene.tif").tags().items()
    assert fs.ls("/beside", detail=False) == ["/beside/scene.tif"]


def test_metadata_beside_a_url_are_refused_since_they_stay(nginx: WebServer, tmp_path: Path) -> None:
    url = nginx.url("beside.tif")
    save_cog(tensor(1), url)
    urllib3.request("PUT", f"{url}.aux.xml", body=PAM)

    with pytest.raises(NotSupportedError, match="pass out"):
        edit_cog(url, tags={"checked": "yes"})
    edit_cog(url, tags={"checked": "yes"}, out=tmp_path / "out.tif")

    assert {"a": "b", "checked": "yes"}.items() <= RasterioReader(tmp_path / "out.tif").tags().items()
