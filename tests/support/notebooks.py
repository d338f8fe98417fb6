"""The notebooks of the documentation's gallery: executes them, and stores what their cells print and draw.

``make gallery`` stores all of them; tests/project/test_gallery.py compares a fresh execution with what is stored.
"""

from __future__ import annotations

import base64
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

from places import ROOT

GALLERY = ROOT / "docs" / "gallery"

#: Stored pictures have a palette: a third of the bytes.
_COLOURS = 128
_COVER_WIDTH_PX = 260


def execute(path: Path, folder: Path) -> NotebookNode:
    """Return a notebook with fresh outputs: of each cell texts and PNGs. An error in a cell is raised."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--HistoryManager.enabled=False"],
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    for cell in _code(notebook):
        for output in cell.outputs:
            output.pop("transient", None)
            if "image/png" in output.get("data", {}):
                output["data"] = {"image/png": output["data"]["image/png"]}
                output["metadata"] = {}
    return notebook


def texts(notebook: NotebookNode) -> list[str]:
    """Return what the cells print, one text for each cell."""
    return [
        "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)
        for cell in _code(notebook)
    ]


def warnings(notebook: NotebookNode) -> list[str]:
    """Return what the cells write to stderr."""
    return [output.text for cell in _code(notebook) for output in cell.outputs if output.get("name") == "stderr"]


def pictures(notebook: NotebookNode) -> list[Image.Image]:
    """Return the pictures of the cells, on white."""
    return [_decoded(output.data["image/png"]) for output in _png_outputs(notebook)]


def store(path: Path) -> None:
    """Execute a notebook, write its outputs into it, and the picture of the cell tagged "cover", small, beside it."""
    with TemporaryDirectory() as folder:
        notebook = execute(path, Path(folder))
    for output in _png_outputs(notebook):
        output.data["image/png"] = base64.b64encode(_reduced(_decoded(output.data["image/png"]))).decode()
    notebook.metadata.language_info = {"name": "python"}  # without the version of this machine
    nbformat.write(notebook, path)
    (cover,) = [
        _decoded(output.data["image/png"])
        for cell in _code(notebook)
        if "cover" in cell.metadata.get("tags", ())
        for output in cell.outputs
    ]
    height = round(cover.height * _COVER_WIDTH_PX / cover.width)
    path.with_suffix(".png").write_bytes(_reduced(cover.resize((_COVER_WIDTH_PX, height), Image.Resampling.BOX)))


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _png_outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in _code(notebook) for output in cell.outputs if "image/png" in output.get("data", {})]


def _decoded(png: str) -> Image.Image:
    picture: Any = Image.open(BytesIO(base64.b64decode(png))).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def _reduced(picture: Image.Image) -> bytes:
    """Return a PNG with a palette."""
    stream = BytesIO()
    palette = picture.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(stream, "PNG", optimize=True)
    return stream.getvalue()


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(file.stem for file in GALLERY.glob("*.ipynb")):
        store(GALLERY / f"{name}.ipynb")
        print(name)
