"""A URL that was read, and saved to again, is read as it is now: GDAL keeps parts of what it has read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fsspec
import numpy as np
import pytest

from georeader import CogWriter, GeoTensor, RasterioReader, save_cog
from georeader.errors import MissingExtraError

UseEnv = Callable[[dict[str, str]], None]


def full(value: int) -> GeoTensor:
    return GeoTensor(np.full((300, 300), value, "uint8"), (10, 0, 0, 0, -10, 0), "EPSG:32630", fill_value_default=0)


def by_writer(tensor: GeoTensor, url: str) -> None:
    with CogWriter(url, like=tensor) as writer:
        writer.write(tensor.values)


def test_a_save_succeeds_where_the_url_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise MissingExtraError("no package reads it")

    monkeypatch.setattr("georeader._readers.raster_file.raster_path", refuse)

    save_cog(full(1), "memory://unread.tif")

    assert fsspec.filesystem("memory").exists("/unread.tif")


@pytest.mark.parametrize("save", [save_cog, by_writer])
@pytest.mark.parametrize("server", ["seaweed", "nginx", "azurite"])
def test_a_raster_that_was_read_before_it_was_replaced_is_read_anew(
    server: str, save: Callable[[GeoTensor, str], Any], request: pytest.FixtureRequest, use_env: UseEnv
) -> None:
    store = request.getfixturevalue(server)
    if hasattr(store, "env"):
        use_env(store.env())
    url = store.url(f"{save.__name__}.tif")
    save_cog(full(1), url, tags={"version": "1"})
    assert RasterioReader(url).load().values.max() == 1

    save(full(2), url)

    reader = RasterioReader(url)
    assert "version" not in reader.tags()
    assert np.all(reader.load().values == 2)
