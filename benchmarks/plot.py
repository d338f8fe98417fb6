"""Draws what a run found: a panel for each section, a bar for each peer, as times as long as this project took."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS
from benchmarks.report import times_ours
from benchmarks.targets import Results

_COLOURS = {"ours": "#d1495b", "codec": "#8d96a3", "codec+predictor": "#8d96a3"}
_GDAL_COLOUR, _OTHER_COLOUR = "#2e5e8c", "#9fb8ad"


def save_plot(path: Path, results: Results, subtitle: str) -> bool:
    """Write a PNG.

    Returns:
        Whether there was something to draw.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {name: times_ours(section) for name, section in results.items() if section["kind"] in ("raster", "chips")}
    gdal_versions = {
        peer: entry["gdal"] for section in results.values() for peer, entry in section["peers"].items() if entry["gdal"]
    }
    panels = {name: ratios for name, ratios in panels.items() if len(ratios) > 1}
    if not panels:
        return False
    columns = min(4, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(6 * columns, 3.2 * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, (name, ratios) in zip(axes, panels.items(), strict=False):
        _draw(panel, name, ratios, gdal_versions)
    for panel in axes[len(panels) :]:
        panel.set_visible(False)
    title = "Time to write a COG, as a multiple of georeader-cog's (median, min, max of rounds)"
    figure.suptitle(f"{title}\n{subtitle}; in brackets: GDAL")
    figure.savefig(path, dpi=110)
    return True


def _draw(panel: Any, name: str, ratios: dict[str, dict[str, float]], gdal_versions: dict[str, str]) -> None:
    peers = list(ratios)[::-1]
    medians = [ratios[peer]["median"] for peer in peers]
    spread = [
        [ratios[peer]["median"] - ratios[peer]["min"] for peer in peers],
        [ratios[peer]["max"] - ratios[peer]["median"] for peer in peers],
    ]
    colours = [_COLOURS.get(peer, _GDAL_COLOUR if peer.startswith("gdal") else _OTHER_COLOUR) for peer in peers]
    labels = [
        f"{PEERS[peer].label} ({gdal_versions[peer]})" if peer in gdal_versions else PEERS[peer].label for peer in peers
    ]
    panel.barh(labels, medians, xerr=spread, color=colours, ecolor="#444444", error_kw={"elinewidth": 0.8})
    for row, peer in enumerate(peers):
        panel.text(ratios[peer]["max"], row, f" {ratios[peer]['median']:.2f}", va="center", fontsize=7)
    panel.axvline(1, color="#d1495b", linewidth=0.8)
    panel.set_title(name, fontsize=10)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
