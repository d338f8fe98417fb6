"""validate: any malformed file is reported as not valid, within limits of time and memory."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from georeader.validation import Report, validate
from malformed import BASES, DAMAGES, PLACES, Good, good, truncated, without_order

pytestmark = pytest.mark.fuzz

#: What may be taken: of memory beside what was there, and of time on a busy machine.
MAX_BYTES, MAX_SECONDS = 64 * 2**20, 10


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Good]:
    return {name: good(tmp_path_factory.mktemp("good"), **arguments) for name, arguments in BASES.items()}


def measured(path: Path) -> Report:
    """Validate; see that it takes little memory and time."""
    tracemalloc.start()
    begun = time.monotonic()
    try:
        report = validate(path)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < MAX_BYTES
    assert time.monotonic() - begun < MAX_SECONDS
    return report


@pytest.mark.parametrize("base", BASES)
def test_undamaged_file_is_valid(bases: dict[str, Good], tmp_path: Path, base: str) -> None:
    (tmp_path / "a.tif").write_bytes(bases[base].content)
    assert validate(tmp_path / "a.tif", strict=True).problems == ()


@pytest.mark.parametrize("base", BASES)
def test_file_truncated_anywhere_is_not_valid(bases: dict[str, Good], tmp_path: Path, base: str) -> None:
    passed = []
    for place in range(PLACES):
        (tmp_path / "a.tif").write_bytes(truncated(bases[base], place))
        if measured(tmp_path / "a.tif").is_valid:
            passed.append(place)
    assert passed == []


#: In which the directories differ: each kind of damage is tried in each group.
GROUPS = {base: number % 3 for number, base in enumerate(BASES)}


@pytest.mark.covering(columns=lambda damage, base: (base, (damage, GROUPS[base])))
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("base", BASES)
def test_a_damaged_file_is_not_valid(bases: dict[str, Good], tmp_path: Path, base: str, damage: str) -> None:
    (tmp_path / "a.tif").write_bytes(DAMAGES[damage].make(bases[base]))

    report = measured(tmp_path / "a.tif")

    assert not report.is_valid
    assert DAMAGES[damage].code in {None, *(problem.code for problem in report.errors)}
    assert all("\n" not in problem.message for problem in report.problems)


@pytest.mark.parametrize("base", ["lzw", "bands apart, BigTIFF"])
def test_damaged_arrays_are_reported_without_decoding(bases: dict[str, Good], tmp_path: Path, base: str) -> None:
    for damage in ("tile past the end", "tile over another", "leader", "trailer", "tiles that changed places"):
        (tmp_path / "a.tif").write_bytes(DAMAGES[damage].make(bases[base]))
        assert DAMAGES[damage].code in {problem.code for problem in validate(tmp_path / "a.tif", decode=False).errors}


def test_levels_in_the_wrong_order_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(without_order(tmp_path))
    assert "data-order" in {problem.code for problem in validate(tmp_path / "a.tif").errors}


def test_messages_name_level_tile_and_offset(bases: dict[str, Good], tmp_path: Path) -> None:
    file = bases["bands apart"]
    offset, size = file.tile(1)
    (tmp_path / "a.tif").write_bytes(file.flip(offset - 4))

    (problem,) = validate(tmp_path / "a.tif").errors

    assert problem.message == (
        f"level 0, tile row 0 column 1 of band 1, byte {offset}: the four bytes before it say that it has "
        f"{size ^ 255} bytes, its directory says {size}; GDAL reads its size from there"
    )


def test_many_faults_of_one_kind_are_counted_not_listed(bases: dict[str, Good], tmp_path: Path) -> None:
    file = bases["lzw"]
    (tmp_path / "a.tif").write_bytes(file.set_value(259, 50000))

    errors = validate(tmp_path / "a.tif").errors

    assert [error.code for error in errors] == ["tile-decode"] * 3
    assert errors[-1].message.endswith("(and 9 more)" if len(file.values(324)) == 12 else "more)")


def test_file_of_many_directories_is_validated_in_bounded_time(bases: dict[str, Good], tmp_path: Path) -> None:
    """Each with one tag, and each leading to the next."""
    chain = bytearray(b"II*\0\x08\0\0\0")
    for _ in range(5000):
        chain += b"\x01\0" + b"\0\x01\x03\0\x01\0\0\0\x01\0\0\0" + (len(chain) + 18).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(chain)
    assert "directory-limit" in {problem.code for problem in measured(tmp_path / "a.tif").errors}
