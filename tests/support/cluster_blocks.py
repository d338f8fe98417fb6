"""Sizes of blocks and runs on a cluster, so small that rasters of a few megabytes have many of them."""

from __future__ import annotations

import pytest

from georeader._export.plan import cluster_plan
from georeader._export.plan.traits import SinkTraits
from georeader._export.sinks.local import LocalSink

#: Settings by name: limits of the plan, in bytes. "strips": a block belongs to several runs.
BLOCKS: dict[str, dict[str, int]] = {
    "default": {},
    "small": {"BLOCK_BYTES": 1, "RUN_BYTES": 1, "INLINE_BYTES": 1},
    "strips": {"BLOCK_BYTES": 4 * 2**20, "RUN_BYTES": 1, "MOST_RUN_BYTES": 1, "INLINE_BYTES": 2**16},
}


def set_blocks(monkeypatch: pytest.MonkeyPatch, name: str = "small", **limits_bytes: int) -> None:
    """Set limits of the plan, which this process makes; a step of a delayed graph is planned by a worker."""
    for limit, value in {**BLOCKS[name], **limits_bytes}.items():
        monkeypatch.setattr(cluster_plan, limit, value)
    if name == "strips":  # blocks of a folder need not be divided
        monkeypatch.setattr(LocalSink, "traits", SinkTraits())
