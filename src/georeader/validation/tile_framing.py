"""What stands around each tile: its size before it, its last bytes once more behind it. Pure.

References:
    GDAL's COG driver page, "Tile data leader and trailer".
"""

from __future__ import annotations

from dataclasses import dataclass

from georeader.validation.measurement import Ghost


@dataclass(frozen=True)
class Frames:
    """What stands around each tile, as the file says.

    Attributes:
        has_leader: Four bytes with its size before it.
        has_trailer: Its last four bytes once more behind it.
    """

    has_leader: bool
    has_trailer: bool

    def __bool__(self) -> bool:
        return self.has_leader or self.has_trailer


def frames_of(ghost: Ghost | None) -> Frames:
    """Say what stands around each tile, by GDAL's structural metadata."""
    if ghost is None:
        return Frames(has_leader=False, has_trailer=False)
    return Frames(ghost.says("BLOCK_LEADER", "SIZE_AS_UINT4"), ghost.says("BLOCK_TRAILER", "LAST_4_BYTES_REPEATED"))
