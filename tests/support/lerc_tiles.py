"""Tiles encoded as LERC, with a checksum that matches their changed bytes."""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np

#: Pixels by how LERC stores them.
PIXELS: dict[str, Any] = {
    "bits": lambda rng, shape: rng.normal(100, 6, shape),
    "table": lambda rng, shape: np.repeat(rng.choice([0, 100, 120], (shape[0], shape[1] // 4 + 1)), 4, axis=1)[
        :, : shape[1]
    ],
    "ramp": lambda rng, shape: np.arange(np.prod(shape)).reshape(shape) // 99,
    "constant": lambda rng, shape: np.full(shape, 7),
}


def lerc(pixels: Any, **options: Any) -> bytes:
    return bytes(imagecodecs.lerc_encode(pixels, **{"level": 0.0, "version": 4} | options))


def with_checksum(blob: bytes) -> bytes:
    """Put the right checksum (Fletcher's, of 32 bits) into a blob."""
    data = blob[14:]
    first = second = 0xFFFF
    padded = data + b"\0" * (len(data) % 2)
    for number, (high, low) in enumerate(zip(padded[::2], padded[1::2], strict=True)):
        first += (high << 8) + low
        second += first
        if number % 359 == 358:
            first, second = (first & 0xFFFF) + (first >> 16), (second & 0xFFFF) + (second >> 16)
    for _ in range(2):
        first, second = (first & 0xFFFF) + (first >> 16), (second & 0xFFFF) + (second >> 16)
    return blob[:10] + (second << 16 | first).to_bytes(4, "little") + data
