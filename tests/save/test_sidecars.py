"""Sidecars of a destination: GDAL must read none of an earlier raster as part of the new one."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import obstore
import pytest
import rasterio
import s3fs
import xarray as xr
from affine import Affine
from obstore.store import MemoryStore
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from georeader import CogWriter, GeoTensor, RasterioReader, save_cog, save_tiled_geotiff
from georeader._export.sinks import sidecars
from georeader.errors import DestinationError, GeoreaderError, MetadataWarning, ReadError, WriteError

WORLD_FILE = "10\n0\n0\n-10\n5\n5\n"
TAB = (
    '!table\n!version 300\nDefinition Table\n  File "{}"\n  Type "{}"\n  (0,0) (0,0) Label "1",\n'
    '  (10,0) (4,0) Label "2",\n  (0,10) (0,4) Label "3"\n  CoordSys Earth Projection 1, 104\n  Units "degree"\n'
)
RPC = "".join(
    f"{name}: 1\n"
    for name in (
        *(f"{axis}_{end}" for axis in ("LINE", "SAMP", "LAT", "LONG", "HEIGHT") for end in ("OFF", "SCALE")),
        *(f"{axis}_{part}_COEFF_{n}" for axis in ("LINE", "SAMP") for part in ("NUM", "DEN") for n in range(1, 21)),
    )
)
PAM = "<PAMDataset><Metadata><MDI key='of'>the earlier file</MDI></Metadata></PAMDataset>"

#: Files that GDAL reads beside a.tif, or would remove with it: name to content.
STALE = {
    "a.tif.aux.xml": PAM, "a.tif.AUX.XML": PAM, "a.tif.ovr": "", "a.tif.msk": "", "a.tif.msk.ovr": "",
    "a.tif.xml": "<metadata><Esri/></metadata>", "a.tfw": WORLD_FILE, "a.TFW": WORLD_FILE, "a.Tfw": WORLD_FILE,
    "a.tifw": WORLD_FILE, "a.wld": WORLD_FILE, "a.tab": TAB.format("a.tif", "RASTER"),
    "a.TAB": TAB.format("C:\\\\maps\\\\a.tif", "RASTER"), "a_RPC.TXT": RPC, "a_rpc.txt": RPC, "a.RPB": "x = 1;\nEND;\n",
    "a.rpb": "x = 1;\nEND;\n", "a.IMD": "version = 1;\nEND;\n", "a.imd": "version = 1;\nEND;\n", "a.rpc": RPC,
    "a.XML": "<isd><IMD><VERSION>1</VERSION></IMD></isd>", "a_metadata.txt": "Sensor: x\n", "a_MTL.txt": "x = 1\n",
    "a.pass": "satellite           x\n",
}  # fmt: skip

#: Files with such names that are something else: name to content.
OTHERS = {
    "b.tfw": WORLD_FILE, "A.tfw": WORLD_FILE, "a.b.tfw": WORLD_FILE, "a.jgw": WORLD_FILE, "ab_RPC.TXT": RPC,
    "a.tab": TAB.format("a.DAT", "NATIVE"), "a.xml": "<metadata/>", "a.txt": "notes", "a.json": "{}",
    "a.tif.txt": "notes", "a.aux": "notes", "a.csv": "1",
    "a.tif.xml": '<?xml version="1.0"?>\n<gmd:MD_Metadata xmlns:gmd="http://www.isotc211.org/2005/gmd"/>',
    "a.tif.XML": "<!-- <metadata> --><MD_Metadata/>",
}  # fmt: skip


def write_window(tensor: GeoTensor, path: Path, **arguments: Any) -> None:
    place = {"shape": tensor.shape, "dtype": tensor.dtype, "transform": tensor.transform, "crs": tensor.crs}
    with CogWriter(path, **place, **arguments) as writer:
        writer.write(tensor.values, Window(0, 0, tensor.width, tensor.height))


SAVES: dict[str, Callable[..., Any]] = {
    "cog": save_cog,
    "cog-gdal": lambda tensor, path, **more: save_cog(tensor, path, engine="gdal", **more),
    "tiled": save_tiled_geotiff,
    "tiled-gdal": lambda tensor, path, **more: save_tiled_geotiff(tensor, path, engine="gdal", **more),
    "writer": write_window,
}


@pytest.fixture
def unplaced() -> GeoTensor:
    return GeoTensor(np.ones((1, 40, 50), "uint8"), Affine.identity(), None, fill_value_default=None)


def lay(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).write_text(content)


@pytest.mark.parametrize("name", STALE)
def test_a_sidecar_of_the_earlier_file_is_removed_with_it(name: str, unplaced: GeoTensor, tmp_path: Path) -> None:
    save_cog(unplaced, tmp_path / "a.tif")
    lay(tmp_path, {name: STALE[name]})

    save_cog(unplaced, tmp_path / "a.tif")

    assert os.listdir(tmp_path) == ["a.tif"]
    with rasterio.open(tmp_path / "a.tif") as dataset:
        assert (dataset.transform, dataset.rpcs, "of" in dataset.tags()) == (Affine.identity(), None, False)
        assert dataset.tags(ns="IMD") == dataset.tags(ns="IMAGERY") == {}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_every_way_of_saving_removes_sidecars(save: Callable[..., Any], unplaced: GeoTensor, tmp_path: Path) -> None:
    lay(tmp_path, {"a.tfw": WORLD_FILE, "a_RPC.TXT": RPC, "a.tif.aux.xml": PAM})

    save(unplaced, tmp_path / "a.tif")

    assert os.listdir(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_a_save_that_fails_leaves_sidecars(save: Callable[..., Any], unplaced: GeoTensor, tmp_path: Path) -> None:
    lay(tmp_path, {"a.tif": "earlier"} | {name: content for name, content in STALE.items() if name != "a.tif"})
    before = sorted(os.listdir(tmp_path))

    with pytest.raises(GeoreaderError):
        save(unplaced, tmp_path / "a.tif", nodata=300)

    assert sorted(os.listdir(tmp_path)) == before


def test_a_failure_while_pixels_are_read_leaves_sidecars(unplaced: GeoTensor, tmp_path: Path) -> None:
    class Failing:
        shape, dtype, transform, crs = (1, 40, 50), np.dtype("uint8"), unplaced.transform, None

        def read_from_window(self, window: Window) -> Any:
            raise WriteError("no pixels")

    lay(tmp_path, {"a.tif": "earlier", "a.tfw": WORLD_FILE})

    with pytest.raises(WriteError, match="no pixels"):
        save_cog(Failing(), tmp_path / "a.tif")

    assert sorted(os.listdir(tmp_path)) == ["a.tfw", "a.tif"]


@pytest.mark.parametrize("name", OTHERS)
def test_file_that_is_not_a_sidecar_is_kept(name: str, unplaced: GeoTensor, tmp_path: Path) -> None:
    lay(tmp_path, {name: OTHERS[name]})

    save_cog(unplaced, tmp_path / "a.tif")

    assert sorted(os.listdir(tmp_path)) == sorted(["a.tif", name])
    assert (tmp_path / name).read_text() == OTHERS[name]


@pytest.mark.parametrize(("other", "name"), [
    ("a.png", "a.wld"), ("a.tiff", "a.tfw"), ("a.TIF", "a.TFW"), ("a.ntf", "a_RPC.TXT"), ("a.jp2", "a.RPB"),
    ("a.TIL", "a.RPB"), ("a.til", "a.IMD"),
])  # fmt: skip
def test_sidecar_of_another_raster_is_kept_and_named(
    other: str, name: str, unplaced: GeoTensor, tmp_path: Path
) -> None:
    lay(tmp_path, {other: "another raster", name: STALE.get(name, WORLD_FILE)})

    with pytest.warns(MetadataWarning, match=f"{name} beside it belongs to other rasters, too, and stays"):
        save_cog(unplaced, tmp_path / "a.tif")

    assert (tmp_path / name).exists()


def test_unread_world_file_is_kept_without_a_warning(make_tensor: Any, tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": "another raster", "a.wld": WORLD_FILE})

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_cog(make_tensor(), tmp_path / "a.tif")

    assert (tmp_path / "a.wld").exists()


@pytest.mark.parametrize("name", ["a.tif.xml", "a.tif.XML"])
@pytest.mark.parametrize("before", ["", "\ufeff", '<?xml version="1.0"?>\n<!DOCTYPE metadata>\n<!-- of 2020 -->\n'])
def test_metadata_of_arcgis_are_removed(name: str, before: str, unplaced: GeoTensor, tmp_path: Path) -> None:
    lay(tmp_path, {name: f"{before}<metadata xml:lang='en'><Esri/></metadata>"})

    save_cog(unplaced, tmp_path / "a.tif")

    assert os.listdir(tmp_path) == ["a.tif"]


def test_metadata_of_many_comments_are_read_quickly(unplaced: GeoTensor, tmp_path: Path) -> None:
    lay(tmp_path, {"a.tif.xml": "<!>" * 1000 + "<!---->" * 300})

    save_cog(unplaced, tmp_path / "a.tif")

    assert (tmp_path / "a.tif.xml").exists()


@pytest.mark.parametrize("name", ["a.tab", "a.tfw", "a.tif.aux.xml", "a.tif.xml"])
def test_folder_named_like_a_sidecar_is_kept_and_sidecars_removed(
    name: str, unplaced: GeoTensor, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    lay(tmp_path, {other: STALE[other] for other in ("a.tif.AUX.XML", "a.wld", "a_RPC.TXT")})

    with pytest.warns(MetadataWarning, match=f"cannot be removed: .*{name}"):
        save_cog(unplaced, tmp_path / "a.tif")

    assert sorted(os.listdir(tmp_path)) == sorted(["a.tif", name])


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_sidecars_are_kept_and_named_without_overwrite(
    save: Callable[..., Any], unplaced: GeoTensor, tmp_path: Path
) -> None:
    lay(tmp_path, {"a_RPC.TXT": RPC, "a.tif.aux.xml": PAM, "b.tfw": WORLD_FILE})

    with pytest.warns(MetadataWarning, match=r"a\.tif\.aux\.xml, a_RPC\.TXT beside it stays, since overwrite=False"):
        save(unplaced, tmp_path / "a.tif", overwrite=False)

    assert sorted(os.listdir(tmp_path)) == ["a.tif", "a.tif.aux.xml", "a_RPC.TXT", "b.tfw"]


def test_metadata_of_a_whole_folder_are_kept_and_named(unplaced: GeoTensor, tmp_path: Path) -> None:
    lay(tmp_path, {"METADATA.DIM": "<Dimap_Document/>"})

    with pytest.warns(MetadataWarning, match="METADATA.DIM beside it"):
        save_cog(unplaced, tmp_path / "a.tif")

    assert (tmp_path / "METADATA.DIM").exists()


@pytest.mark.parametrize("name", ["a.tfw", "a.TFW", "a_RPC.TXT", "a.tif.aux.xml"])
def test_sidecars_are_removed_in_a_large_folder(
    name: str, unplaced: GeoTensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidecars, "MOST_NAMES", 2)
    lay(tmp_path, {name: STALE[name], "a.txt": "notes"} | {f"{number}.txt": "" for number in range(3)})

    save_cog(unplaced, tmp_path / "a.tif")

    assert sorted(os.listdir(tmp_path)) == ["0.txt", "1.txt", "2.txt", "a.tif", "a.txt"]


def test_sidecars_beside_a_link_are_removed_too(unplaced: GeoTensor, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.tif").symlink_to(tmp_path / "real" / "a.tif")
    lay(tmp_path, {"link.tfw": WORLD_FILE, "a.tfw": WORLD_FILE, "real/a.tfw": WORLD_FILE})

    save_cog(unplaced, tmp_path / "link.tif")

    assert sorted(os.listdir(tmp_path)) == ["a.tfw", "link.tif", "real"]
    assert os.listdir(tmp_path / "real") == ["a.tif"]


def test_a_source_beside_the_destination_keeps_its_world_file(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(tmp_path / "a.png", "w", driver="PNG", height=4, width=5, count=1, dtype="uint8") as png:
            png.write(np.ones((1, 4, 5), "uint8"))
    (tmp_path / "a.png.aux.xml").unlink(missing_ok=True)
    lay(tmp_path, {"a.wld": WORLD_FILE})

    save_cog(tmp_path / "a.png", tmp_path / "a.tif")

    assert sorted(os.listdir(tmp_path)) == ["a.png", "a.tif", "a.wld"]
    with rasterio.open(tmp_path / "a.png") as source, rasterio.open(tmp_path / "a.tif") as copy:
        assert copy.transform == source.transform != Affine.identity()


@pytest.fixture(
    params=["memory", "obstore", *(pytest.param(kind, marks=pytest.mark.server) for kind in ("s3", "s3fs"))],
    ids=["memory", "obstore", "s3", "s3fs"],
)
def store(request: pytest.FixtureRequest) -> Any:
    """(path, fs, put, names) of a store: ``put`` makes an object beside the path, ``names`` lists them."""
    kind = request.param
    if kind == "memory":
        fs = fsspec.filesystem("memory")
        folder = f"/sidecars-{secrets.token_hex(4)}"
        return (
            f"memory:/{folder}/a.tif", None, lambda name, data: fs.pipe(f"{folder}/{name}", data),
            lambda: {Path(path).name for path in fs.ls(folder, detail=False)},
        )  # fmt: skip
    if kind == "obstore":
        held = MemoryStore()
        return (
            "folder/a.tif", held, lambda name, data: held.put(f"folder/{name}", data),
            lambda: {Path(one["path"]).name for one in obstore.list(held).collect()},
        )  # fmt: skip
    moto = request.getfixturevalue("moto")
    request.getfixturevalue("use_env")(moto.env())
    return (
        f"s3://{moto.bucket}/folder/a.tif", s3fs.S3FileSystem(endpoint_url=moto.endpoint) if kind == "s3fs" else None,
        lambda name, data: moto.client.put_object(Bucket=moto.bucket, Key=f"folder/{name}", Body=data),
        lambda: {Path(one["Key"]).name for one in moto.client.list_objects_v2(Bucket=moto.bucket)["Contents"]},
    )  # fmt: skip


@pytest.mark.parametrize("stale", ["a.tfw", "a.tif.aux.xml", "a_RPC.TXT"])
def test_sidecars_in_a_store_are_removed_with_the_earlier_object(stale: str, store: Any, unplaced: GeoTensor) -> None:
    path, fs, put, names = store
    for name in (stale, "b.tfw", "a.txt"):
        put(name, b"stale")

    save_cog(unplaced, path, fs=fs)

    assert names() == {"a.tif", "b.tfw", "a.txt"}


def test_sidecars_in_a_store_are_kept_without_overwrite(store: Any, unplaced: GeoTensor) -> None:
    path, fs, put, names = store
    put("a.tfw", b"stale")

    with pytest.warns(MetadataWarning, match=r"a\.tfw beside it stays, since overwrite=False"):
        save_cog(unplaced, path, fs=fs, overwrite=False)

    assert names() == {"a.tif", "a.tfw"}


def test_a_save_that_fails_leaves_sidecars_in_a_store(store: Any, unplaced: GeoTensor) -> None:
    path, fs, put, names = store
    put("a.tfw", b"stale")

    with pytest.raises(GeoreaderError):
        save_cog(unplaced, path, fs=fs, nodata=300)

    assert names() == {"a.tfw"}


def open_rasterio(path: str, **options: Any) -> Any:
    return pytest.importorskip("rioxarray").open_rasterio(path, **options)


#: Sources that read a file.
READ_FROM: dict[str, Callable[[str], Any]] = {
    "path": str, "Path": Path, "reader": RasterioReader, "dataset": rasterio.open,
    "WarpedVRT": lambda path: WarpedVRT(rasterio.open(path), crs="EPSG:3857"), "DataArray": open_rasterio,
    "chunks": lambda path: open_rasterio(path, chunks=32),
    "Dataset": lambda path: open_rasterio(path, band_as_variable=True),
}  # fmt: skip

COPIES: dict[str, Callable[..., Any]] = {
    "cog": save_cog,
    "tiled": save_tiled_geotiff,
    "gdal": lambda source, path, **more: save_cog(source, path, engine="gdal", **more),
    "writer": lambda source, path, **more: CogWriter(path, like=source, **more),
}


@pytest.fixture
def placed(make_tensor: Any) -> GeoTensor:
    return make_tensor((1, 40, 50), "uint8")


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of rioxarray's own
@pytest.mark.parametrize(
    ("source", "copy", "name"),
    [
        *((source, "cog", "a.tif.ovr") for source in READ_FROM),
        *((source, "writer", "a.tif.ovr") for source in READ_FROM),
        *(("path", copy, "a.tif.msk") for copy in COPIES),
        *(("path", "cog", name) for name in ("a.tif.OVR", "a.tif.msk.ovr", "a.tif.ovr.ovr")),
    ],
)
def test_a_source_that_is_a_sidecar_of_the_destination_is_refused(
    source: str, copy: str, name: str, placed: GeoTensor, tmp_path: Path
) -> None:
    save_cog(placed, tmp_path / "a.tif")
    os.link(tmp_path / "a.tif", tmp_path / name)

    with pytest.raises(DestinationError, match=r"a\.tif.*is a sidecar of it"):
        COPIES[copy](READ_FROM[source](str(tmp_path / name)), tmp_path / "a.tif")

    assert sorted(os.listdir(tmp_path)) == sorted(["a.tif", name])


@pytest.mark.parametrize(("source", "destination"), [
    ("link.tif.ovr", "link.tif"), ("link.tif", "real/a.tif"), ("real/a.tif.ovr", "link.tif"),
    ("real/../in.tif.ovr", "in.tif"), ("relative/link.tif.ovr", "link.tif"),
])  # fmt: skip
def test_a_source_that_is_a_sidecar_through_links_is_refused(
    source: str, destination: str, placed: GeoTensor, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "relative").symlink_to(".")
    for name in ("real/a.tif.ovr", "in.tif.ovr", "link.tif.ovr"):
        save_cog(placed, tmp_path / name)
    (tmp_path / "link.tif").symlink_to("real/a.tif.ovr" if source == "link.tif" else "real/a.tif")

    with pytest.raises(DestinationError, match="is a sidecar of it"):
        save_cog(tmp_path / source, tmp_path / destination)

    assert (tmp_path / source).exists()


@pytest.mark.parametrize(("source", "destination"), [
    ("a.tif", "a.tif"), ("a.tif.ovr", "b.tif"), ("a.tif.ovr", "a.tif.ovr"), ("a.tif.ovr", "folder/a.tif"),
    ("a.tif", "a.tif.ovr"),
])  # fmt: skip
def test_source_that_is_not_a_sidecar_of_the_destination_is_saved(
    source: str, destination: str, placed: GeoTensor, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    save_cog(placed, tmp_path / source)

    save_cog(tmp_path / source, tmp_path / destination)

    with rasterio.open(tmp_path / source) as kept, rasterio.open(tmp_path / destination) as copy:
        assert np.array_equal(kept.read(), placed.values)
        assert np.array_equal(copy.read(), placed.values)


def test_a_source_that_is_a_sidecar_in_a_store_is_refused(store: Any, placed: GeoTensor) -> None:
    path, fs, _, names = store
    save_cog(placed, f"{path}.ovr", fs=fs)

    with pytest.raises(DestinationError, match="is a sidecar of it"):
        save_cog(RasterioReader(f"{path}.ovr", fs=fs), path, fs=fs)

    assert names() == {"a.tif.ovr"}


def test_a_local_source_may_have_the_name_of_a_sidecar_in_a_store(
    placed: GeoTensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_cog(placed, "a.tif.ovr")
    held = MemoryStore()

    save_cog("a.tif.ovr", "a.tif", fs=held)

    assert [one["path"] for one in obstore.list(held).collect()] == ["a.tif"]


@pytest.mark.parametrize("source", ["a\0.tif", "s3:///a.tif", "http://"])
def test_a_source_of_an_invalid_path_is_a_read_error(source: str, tmp_path: Path) -> None:
    with pytest.raises(ReadError):
        save_cog(source, tmp_path / "a.tif")


def test_fs_attribute_of_a_data_array_is_ignored(tmp_path: Path) -> None:
    array = xr.DataArray(np.ones((4, 5), "uint8"), coords={"y": range(4), "x": range(5)}, attrs={"fs": np.ones(3)})
    array.encoding["source"] = "b.tif"

    save_cog(array, tmp_path / "a.tif")

    assert os.listdir(tmp_path) == ["a.tif"]
