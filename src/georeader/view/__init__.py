"""A map page of COGs on this machine: a server on 127.0.0.1, and a page that reads them by range requests.

`view` starts it; docs/view.md describes the page.
"""

from __future__ import annotations

import html
import os
import sys
import tempfile
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from weakref import finalize

from georeader._core.reporting import warn_at_caller
from georeader.errors import LayoutWarning, OptionError
from georeader.save import save_cog
from georeader.view.served_file import ServedFile
from georeader.view.server import MapServer

__all__ = ["View", "view"]

#: Height of the page in a notebook.
FRAME_HEIGHT_PX = 600


#: Views that are not closed: a script need not keep what `view` returns.
_OPEN: set[View] = set()


class View:
    """A running map page. Made by `view`; it ends with `close`, at the end of a block, or with the process.

    Attributes:
        url: Address of the page, with a random token: requests without it are refused.
        notes: Messages about files that the page cannot show, or that are not good COGs.
    """

    def __init__(self, server: MapServer, resources: ExitStack) -> None:
        self.url = server.url
        facts = [one.opened.facts for one in server.served]
        texts = [(one["name"], [one["error"]] if one["error"] else _notes(one)) for one in facts]
        self.notes = tuple(f"{name}: {text}" for name, found in texts for text in found)
        self._server = server
        self._close = finalize(self, resources.close)  # at the end of the process, too
        _OPEN.add(self)

    def close(self) -> None:
        """Stop the server, and remove temporary files."""
        self._close()
        _OPEN.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Return one line: the address, or that it is closed."""
        return f"View({self.url})" if self._close.alive else "View(closed)"

    def _repr_html_(self) -> str:
        """Return the page in a frame, for a notebook whose browser runs on this machine."""
        if not self._close.alive:
            return "<p>View(closed)</p>"
        address = html.escape(self.url)
        return f'<iframe src="{address}" width="100%" height="{FRAME_HEIGHT_PX}" style="border: 0"></iframe>'


def view(*data: Any, fs: Any = None, port: int = 0, open_browser: bool | None = None) -> View:
    """Show COGs on a map: start a server on 127.0.0.1, and open its page in the browser.

    The page (OpenLayers and geotiff.js, from this package, without network) reads headers and tiles by range requests,
    and shows each of them. It has the values and coordinates under the cursor, bands, stretch and colours, and two
    files side by side. Only the files passed here are served. A raster that is not a path is saved as a COG in a
    temporary folder, which is removed on closing.

    Args:
        data: Paths or URLs of COGs, or rasters that `georeader.save_cog` takes.
        fs: A filesystem of fsspec or a store of obstore to open paths in, as in `RasterioReader`.
        port: Of the server; 0: any free one.
        open_browser: Open the page in a browser. By default it is opened, but not in a notebook, which shows the page.

    Returns:
        A `View`: its address, and ``close``. The page works as long as it is open.

    Raises:
        OptionError: Nothing to show was passed, or the port is invalid.
        ReadError: A file cannot be opened, or is not a TIFF; or the port is in use.

    Memory: some megabytes, and of each file about 50 bytes a tile.

    Example:
        >>> import numpy as np
        >>> from georeader import GeoTensor
        >>> height_m = GeoTensor(np.ones((1, 600, 900), "float32"), (30, 0, 0, 0, -30, 0), "EPSG:3857", np.nan)
        >>> with view(height_m, open_browser=False) as shown:
        ...     shown.url.startswith("http://127.0.0.1:"), shown.notes
        (True, ())
    """
    if not data:
        raise OptionError("there is nothing to show; pass a path, a URL or a raster")
    with ExitStack() as resources:
        served = [_served(one, fs, resources) for one in data]
        server = MapServer(served, port)
        server.start()
        resources.callback(server.stop)
        shown = View(server, resources.pop_all())
    for note in shown.notes:
        warn_at_caller(note, LayoutWarning)
    if not _is_notebook() if open_browser is None else open_browser:
        webbrowser.open(shown.url)
    return shown


def _notes(facts: dict[str, Any]) -> list[str]:
    return [text for kind, text in facts["notes"] if kind == "note"]


def _served(data: Any, fs: Any, resources: ExitStack) -> ServedFile:
    """Open a path, or save a raster first."""
    path, name = data, None
    if not isinstance(data, (str, bytes, os.PathLike)):
        folder = tempfile.TemporaryDirectory(prefix="georeader-view-", ignore_cleanup_errors=True)
        path = Path(resources.enter_context(folder), "raster.tif")
        name = f"{type(data).__name__} {getattr(data, 'shape', '')}".strip()
        save_cog(data, path)
    served = ServedFile(os.fsdecode(path), name, fs if path is data else None)
    resources.callback(served.close)
    return served


def _is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")
