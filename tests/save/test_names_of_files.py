"""Local names that look like something else to GDAL or rasterio are read back by every entry point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from by_command import run
from georeader import CogWriter, GeoTensor, RasterioReader, save_cog
from georeader.preview import preview
from georeader.validation import info, validate

NAMES = ["s3:x.tif", "gs:x.tif", "http:x.tif", "zip:x.tif", "zip:x!y.tif", "file:x.tif", "tar+s3:x.tif", "NETCDF:x.tif",
         "GTIFF_DIR:1:x.tif", "s3:d/x.tif", "s3:a b?c=d.tif"]  # fmt: skip

READERS = {
    "reader": lambda name: RasterioReader(name).load(),
    "load_file": GeoTensor.load_file,
    "source": lambda name: save_cog(name, "copy.tif"),
    "like": lambda name: CogWriter("other.tif", like=name),
    "preview": preview,
    "info": lambda name: str(info(name)),
}


@pytest.mark.parametrize("name", NAMES)
def test_saved_name_is_read_back(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    save_cog(GeoTensor(np.ones((1, 64, 64), "uint8"), (10, 0, 0, 0, -10, 0), 32630, 0), name)

    for read in READERS.values():
        read(name)

    assert validate(name).is_valid
    assert run("info", name).exit_code == 0


def test_a_missing_file_with_such_a_name_is_an_error(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(OSError, match=r"zip:x\.tif"):
        RasterioReader("zip:x.tif")
