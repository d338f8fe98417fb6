"""A measurement as JSON has it. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from georeader.validation.measurement import Directory, Measurement
from georeader.validation.pixel_layout import PHOTOMETRICS


def as_dict(measurement: Measurement) -> dict[str, Any]:
    """Give the facts; of tiles, their numbers alone."""
    ghost, viewer = measurement.ghost, measurement.viewer
    return {
        "size_bytes": measurement.size_bytes,
        "version": measurement.version,
        "byte_order": measurement.byte_order,
        "structural_metadata": None if ghost is None else dict(ghost.items),
        "directories": [directory_dict(one) for one in measurement.directories],
        "viewer": None if viewer is None else asdict(viewer),
        "tiles_decoded": measurement.tiles_decoded,
        "has_checked_frames": measurement.has_checked_frames,
        "has_external_overviews": measurement.has_external_overviews,
    }


def directory_dict(directory: Directory) -> dict[str, Any]:
    """Give what is known of a directory."""
    found: dict[str, Any] = {
        "role": directory.role.kind.value,
        "level": directory.role.level,
        "offset_bytes": directory.extent.offset_bytes,
        "tiles": len(directory.tile_offsets_bytes),
        "tiles_sparse": len(directory.tile_offsets_bytes) - int(directory.present.sum()),
        "tiles_bytes": directory.tiles_bytes,
    }
    layout = directory.layout
    if layout is None:
        return found
    return found | {
        "width_px": layout.width_px,
        "height_px": layout.height_px,
        "is_tiled": layout.is_tiled,
        "tile_width_px": layout.tile_width_px,
        "tile_height_px": layout.tile_height_px,
        "samples": layout.samples,
        "dtype": layout.kind_name,
        "photometric": PHOTOMETRICS.get(-1 if layout.photometric is None else layout.photometric, layout.photometric),
        "compression": layout.compression_name,
        "predictor": layout.predictor,
        "interleave": layout.interleave,
    }
