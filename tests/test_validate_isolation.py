"""validate: a decoder that crashes, hangs or takes all memory does so in a process of its own."""

from __future__ import annotations

import sys
import time

import imagecodecs
import numpy as np
import pytest

from georeader.validation.isolation import Isolation
from georeader.validation.pixel_layout import PixelLayout

LERC = PixelLayout(16, 16, True, 16, 16, bits=16, sample_format=2, compression=34887)


def a_tile() -> bytes:
    return bytes(imagecodecs.lerc_encode(np.arange(256, dtype="int16").reshape(16, 16), level=0.0, version=4))


def checksum(data: bytes) -> int:
    """Fletcher's, of 32 bits, as LERC has it."""
    first = second = 0xFFFF
    padded = data + b"\0" * (len(data) % 2)
    for number, (high, low) in enumerate(zip(padded[::2], padded[1::2], strict=True)):
        first += (high << 8) + low
        second += first
        if number % 359 == 358:
            first, second = (first & 0xFFFF) + (first >> 16), (second & 0xFFFF) + (second >> 16)
    for _ in range(2):
        first, second = (first & 0xFFFF) + (first >> 16), (second & 0xFFFF) + (second >> 16)
    return second << 16 | first


def test_a_good_tile_has_no_verdict_and_processes_end_with_the_block() -> None:
    with Isolation() as isolation:
        assert [isolation.check(a_tile(), LERC, 16) for _ in range(3)] == [None] * 3
        (process,) = isolation._all
    assert process.poll() is not None


def test_codecs_that_do_no_harm_are_decoded_here() -> None:
    with Isolation(["/nowhere"]) as isolation:
        assert (
            isolation.check(bytes([129, 0, 129, 0]), PixelLayout(16, 16, True, 16, 16, compression=32773), 16) is None
        )


def test_any_change_of_a_tile_with_the_right_checksum_is_survived() -> None:
    """liblerc reads where there is nothing for some of these."""
    good = a_tile()
    assert good[10:14] == checksum(good[14:]).to_bytes(4, "little")
    with Isolation() as isolation:
        for position in range(90, len(good)):
            for value in (0x80, 0x20, 0xFF):
                body = good[14:position] + bytes([value]) + good[position + 1 :]
                isolation.check(good[:10] + checksum(body).to_bytes(4, "little") + body, LERC, 16)


@pytest.mark.parametrize("does", ["import os; os.abort()", "", "print('a reply of no kind' * 99)"])
def test_a_decoder_that_crashes_is_the_tiles_fault(does: str) -> None:
    with Isolation([sys.executable, "-c", does]) as isolation:
        verdict = isolation.check(a_tile(), LERC, 16)
    assert verdict is not None
    assert verdict.kind == "tile-decode"


def test_a_decoder_that_never_ends_is_not_waited_for() -> None:
    begun = time.monotonic()
    with Isolation([sys.executable, "-c", "import time; time.sleep(60)"], seconds_per_tile=0.2) as isolation:
        verdict = isolation.check(a_tile(), LERC, 16)
    assert verdict is not None
    assert "never ends" in verdict.detail
    assert time.monotonic() - begun < 10


def test_after_some_crashes_the_rest_is_left_out() -> None:
    with Isolation([sys.executable, "-c", ""], max_crashes=2) as isolation:
        kinds = [isolation.check(a_tile(), LERC, 16).kind for _ in range(4)]  # type: ignore[union-attr]
        assert len(isolation._all) == 2
    assert kinds == ["tile-decode", "tile-decode", "tile-not-decoded", "tile-not-decoded"]


def test_where_no_process_can_be_started_tiles_are_left_out() -> None:
    with Isolation(["/nowhere/python"]) as isolation:
        verdict = isolation.check(a_tile(), LERC, 16)
    assert verdict is not None
    assert verdict.kind == "tile-not-decoded"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process may hold")
def test_the_process_that_decodes_holds_no_gigabyte() -> None:
    code = (
        "from georeader.validation.decoder_process import _limit; _limit()\n"
        "try: bytes(2**30)\nexcept MemoryError: raise SystemExit(7)"
    )
    import subprocess

    assert subprocess.run([sys.executable, "-c", code]).returncode == 7
