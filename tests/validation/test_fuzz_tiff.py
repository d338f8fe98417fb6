"""validate and info on files that chance has changed: a report or a ReadError, and nothing else ever."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tracemalloc
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effort import often
from georeader import GeoTensor, save_cog
from georeader._readers.byte_source import open_bytes
from georeader._readers.measurement import Measurement
from georeader.errors import ReadError
from georeader.validation import Report, validate
from georeader.validation.measure import Tiles, measure
from malformed import BASES, good, pixels
from places import SUPPORT

pytestmark = [pytest.mark.fuzz, pytest.mark.slow]

MAX_BYTES = 64 * 2**20

#: Atheris runs for so long.
FUZZ_SECONDS = often(60, usually=3)

#: Numbers that are wrong in interesting ways, as bytes.
NUMBERS = [
    (number % 2 ** (8 * width)).to_bytes(width, order)
    for width in (1, 2, 4, 8)
    for number in (0, 1, -1, 2**7, 2**15, 2**31, 2**63, 2**16, 2**32, 5, 8, 50000, 16, 65520)
    for order in ("little", "big")
]

#: (position, bytes): positions below 1 are a part of the file, from 1 on they are counted from its start.
edits = st.lists(
    st.tuples(
        st.one_of(st.integers(1, 2500), st.floats(0, 1, exclude_max=True)),
        st.one_of(st.sampled_from(NUMBERS), st.binary(min_size=1, max_size=9)),
    ),
    min_size=1,
    max_size=4,
)


@cache
def content_of(base: str) -> bytes:
    """A good file."""
    with tempfile.TemporaryDirectory() as folder:
        return good(Path(folder), **BASES[base]).content


def edited(content: bytes, changes: list[tuple[float, bytes]]) -> bytes:
    changed = bytearray(content)
    for position, data in changes:
        at = int(position * len(content)) if position < 1 else min(int(position), len(content) - 1)
        changed[at : at + len(data)] = data
    return bytes(changed[: len(content)])


def checked(path: Path) -> Report | None:
    """Validate, and see that nothing else than a report or a ReadError comes of it, in little memory."""
    tracemalloc.start()
    try:
        report = validate(path)
        assert tracemalloc.get_traced_memory()[1] < MAX_BYTES
    except ReadError:
        return None
    finally:
        tracemalloc.stop()
    assert str(report)
    assert report.to_dict()["is_valid"] is report.is_valid
    return report


@settings(
    deadline=None, max_examples=often(40, usually=15), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("base", BASES)
@given(changes=edits)
def test_changed_valid_file_gives_a_report(tmp_path: Path, base: str, changes: list[tuple[float, bytes]]) -> None:
    (tmp_path / "a.tif").write_bytes(edited(content_of(base), changes))
    assert checked(tmp_path / "a.tif") is not None


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    beginning=st.sampled_from([b"", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"]),
    rest=st.binary(max_size=400),
)
def test_any_bytes_give_a_report(tmp_path: Path, beginning: bytes, rest: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(beginning + rest)
    report = checked(tmp_path / "a.tif")
    assert report is not None
    assert not report.is_valid


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=edits, base=st.sampled_from(sorted(BASES)))
def test_info_measurement_has_facts_for_any_bytes(
    tmp_path: Path, base: str, changes: list[tuple[float, bytes]]
) -> None:
    (tmp_path / "a.tif").write_bytes(edited(content_of(base), changes))
    with open_bytes(tmp_path / "a.tif") as source:
        measurement = measure(source, tiles=Tiles.UNREAD)
    assert isinstance(measurement, Measurement)
    assert measurement.to_dict()["size_bytes"] == len(content_of(base))


def write_corpus(folder: Path) -> None:
    """Small good files, of each codec that is decoded in this process."""
    folder.mkdir()
    tensor = GeoTensor(pixels(3, 40, 50), (10, 0, 5e5, 0, -10, 4e6), 3857, None)
    for codec in ("none", "lzw", "deflate", "zstd", "lzma", "packbits", "jpeg", "webp"):
        save_cog(tensor, folder / f"{codec}.tif", profile_arg={"compress": codec, "BLOCKSIZE": 16, "OVERVIEW_COUNT": 1})


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed: pip install atheris")
def test_atheris_finds_nothing(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    harness = SUPPORT / "fuzz_validate.py"
    options = [f"-max_total_time={FUZZ_SECONDS}", "-rss_limit_mb=1024", "-timeout=10", f"-artifact_prefix={tmp_path}/"]

    # By a shell: what libFuzzer takes for the peak of its memory counts that of the process that started it.
    done = subprocess.run(
        ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, str(harness), str(tmp_path / "corpus"), *options],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-4000:]
    assert "DONE" in done.stderr
