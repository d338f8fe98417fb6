"""GDAL's structural metadata: lines between the header and the first directory, which no tag points to.

References:
    GDAL's COG driver page, "Header ghost area".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from georeader.validation.directories import Header, Read
from georeader.validation.measurement import Extent, Fault, FaultKind, FaultLog, Ghost

_BEGINNING = b"GDAL_STRUCTURAL_METADATA_SIZE="
_FIRST_LINE = re.compile(rb"GDAL_STRUCTURAL_METADATA_SIZE=(\d{6}) bytes\n")
_FIRST_LINE_BYTES = 43

#: What GDAL writes, and which values mean something.
VALUES: Mapping[str, tuple[str, ...]] = {
    "LAYOUT": ("IFDS_BEFORE_DATA",),
    "BLOCK_ORDER": ("ROW_MAJOR",),
    "BLOCK_LEADER": ("SIZE_AS_UINT4",),
    "BLOCK_TRAILER": ("LAST_4_BYTES_REPEATED",),
    "INTERLEAVE": ("BAND", "PIXEL", "TILE"),
    "MASK_INTERLEAVED_WITH_IMAGERY": ("YES", "NO"),
    "KNOWN_INCOMPATIBLE_EDITION": ("YES", "NO"),
}


def read_ghost(read: Read, header: Header, log: FaultLog) -> Ghost | None:
    """Read it; None where there is none.

    Args:
        read: Reads the file.
        header: Of the file.
        log: Takes what is wrong.
    """
    start = header.version.header_bytes
    first = read(start, min(header.size_bytes, start + _FIRST_LINE_BYTES))
    if not first.startswith(_BEGINNING):
        return None
    found = _FIRST_LINE.fullmatch(first)
    end = start + _FIRST_LINE_BYTES + (int(found[1]) if found else 0)
    if found is None or end > header.size_bytes:
        detail = f"GDAL's structural metadata begin with {first[:_FIRST_LINE_BYTES]!r}, whose length makes no sense"
        log.add(Fault(FaultKind.GHOST_MALFORMED, detail, offset_bytes=start))
        return None
    items: dict[str, str] = {}
    for line in read(start + _FIRST_LINE_BYTES, end).decode("latin-1").split("\n"):
        name, _, value = line.strip(" \0").partition("=")
        items |= {name: value} if name in VALUES else {}
        if value not in VALUES.get(name, ("",)) or (name and name not in VALUES):
            kind = FaultKind.GHOST_MALFORMED if name in VALUES else FaultKind.GHOST_UNKNOWN
            log.add(
                Fault(kind, f"GDAL's structural metadata hold {line!r}, which GDAL does not know", offset_bytes=start)
            )
    return Ghost(Extent(start, end - start), items)
