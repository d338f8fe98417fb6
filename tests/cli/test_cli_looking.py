"""georeader validate, info and preview: output and exit codes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tifffile
from rio_cogeo import cog_validate

from by_command import GEOREADER, georeader, run
from georeader import save_cog, save_tiled_geotiff
from georeader.preview import preview
from georeader.validation import info, validate


@pytest.fixture
def good(make_tensor: Any, tmp_path: Path) -> Path:
    """A COG."""
    save_cog(make_tensor((1, 600, 500), fill_value_default=0), tmp_path / "good.tif")
    return tmp_path / "good.tif"


@pytest.fixture
def bad(make_tensor: Any, tmp_path: Path) -> Path:
    """A file that lost its end."""
    save_cog(make_tensor((1, 600, 500), fill_value_default=0), tmp_path / "bad.tif")
    (tmp_path / "bad.tif").write_bytes((tmp_path / "bad.tif").read_bytes()[:-1000])
    return tmp_path / "bad.tif"


# validate


def test_valid_file_exits_with_0(good: Path) -> None:
    done = run("validate", good)

    assert (done.exit_code, done.stdout) == (0, f"{validate(good)}\n")
    assert cog_validate(good)[0]


def test_invalid_file_exits_with_1_and_others_are_reported(good: Path, bad: Path) -> None:
    done = run("validate", bad, good)

    assert done.exit_code == 1
    assert done.stdout == f"{validate(bad)}\n{validate(good)}\n"
    assert "NOT a valid" in done.stdout


def test_missing_file_does_not_affect_the_others(good: Path, tmp_path: Path) -> None:
    done = run("validate", tmp_path / "missing.tif", good)

    assert done.exit_code == 1
    assert "missing.tif" in done.stderr
    assert done.stdout == f"{validate(good)}\n"


def test_pattern_is_validated_file_by_file(good: Path, bad: Path) -> None:
    done = run("validate", good.parent / "*.tif", "--json")

    assert [json.loads(line)["path"] for line in done.stdout.splitlines()] == [str(bad), str(good)]


def test_strict_turns_warnings_into_errors(make_tensor: Any, tmp_path: Path) -> None:
    save_tiled_geotiff(make_tensor((1, 600, 500), fill_value_default=0), tmp_path / "flat.tif")

    loose, strict = run("validate", tmp_path / "flat.tif"), run("validate", tmp_path / "flat.tif", "--strict")

    assert (loose.exit_code, strict.exit_code) == (
        int(not validate(tmp_path / "flat.tif").is_valid),
        int(not validate(tmp_path / "flat.tif", strict=True).is_valid),
    )
    assert strict.exit_code == 1


def test_json_equals_the_python_report(good: Path, bad: Path, tmp_path: Path) -> None:
    done = run("validate", good, bad, tmp_path / "missing.tif", "--json")
    first, second, third = (json.loads(line) for line in done.stdout.splitlines())

    assert (first, second) == (validate(good).to_dict(), validate(bad).to_dict())
    assert (third["path"], third["error"]["kind"]) == (str(tmp_path / "missing.tif"), "ReadError")


def test_no_decode_skips_decoding(good: Path) -> None:
    with tifffile.TiffFile(good) as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    content = bytearray(good.read_bytes())
    content[offset : offset + 16] = bytes(16)
    good.write_bytes(content)

    assert run("validate", good).exit_code == 1
    assert run("validate", good, "--no-decode").exit_code == 0


# info


def test_info_prints_the_table_of_python(good: Path) -> None:
    assert run("info", good).stdout == f"{info(good)}\n"
    assert run("info", good, "--json").stdout == f"{json.dumps(info(good).to_dict())}\n"


def test_info_draws_histograms(good: Path) -> None:
    found = info(good, histogram=True)

    assert run("info", good, "--histogram").stdout == f"{found}\n"
    assert json.loads(run("info", good, "--histogram", "--json").stdout) == json.loads(json.dumps(found.to_dict()))


def test_info_of_an_invalid_raster_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(b"no raster")

    done = georeader("info", tmp_path / "x.tif")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1


# preview


def test_preview_equals_the_python_call(good: Path, tmp_path: Path) -> None:
    done = run("preview", good, "-o", tmp_path / "new" / "out.png", "--max-side-px", 100, "--percentiles", 0, 100)

    assert done.exit_code == 0, done.output
    assert (tmp_path / "new" / "out.png").read_bytes() == preview(good, max_side_px=100, percentiles=(0, 100))


def test_colormap_is_that_of_python(good: Path, tmp_path: Path) -> None:
    assert run("preview", good, "-o", tmp_path / "out.png", "--colormap", "viridis").exit_code == 0

    assert (tmp_path / "out.png").read_bytes() == preview(good, colormap="viridis") != preview(good)


def test_legend_is_that_of_python(good: Path, tmp_path: Path) -> None:
    done = run("preview", good, "-o", tmp_path / "out.png", "--legend", "--class-names", "1=water")

    assert done.exit_code == 0, done.output
    assert (tmp_path / "out.png").read_bytes() == preview(good, legend=True, class_names={1: "water"})


def test_preview_refuses_a_destination_whose_sidecar_is_the_source(good: Path, tmp_path: Path) -> None:
    good.rename(tmp_path / "out.png.ovr")

    done = run("preview", tmp_path / "out.png.ovr", "-o", tmp_path / "out.png")

    assert done.exit_code == 1
    assert "is a sidecar of it" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.png.ovr"]


def test_preview_is_written_to_standard_output(good: Path) -> None:
    done = subprocess.run([GEOREADER, "preview", good, "-o", "-"], capture_output=True, check=True)

    assert done.stdout == preview(good)


@pytest.mark.parametrize("bands", [("1",), ("3", "2", "1"), ("blue", "2", "red")])
def test_bands_are_numbers_or_names(bands: tuple[str, ...], make_tensor: Any, tmp_path: Path) -> None:
    tensor = make_tensor((3, 60, 50), fill_value_default=0)
    save_cog(tensor, tmp_path / "in.tif", descriptions=["red", "green", "blue"])
    said = [word for band in bands for word in ("--bands", band)]

    assert run("preview", tmp_path / "in.tif", "-o", tmp_path / "out.png", *said).exit_code == 0

    wanted = [{"red": 1, "blue": 3}.get(band) or int(band) for band in bands]
    assert (tmp_path / "out.png").read_bytes() == preview(tmp_path / "in.tif", bands=wanted)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--max-side-px", "0"], 2),
        (["--bands", "9"], 2),
        (["--percentiles", "98", "2"], 2),
        (["--bands", "wibble"], 2),
        (["--colormap", "viridos"], 2),
        (["--legend", "--class-names", "water=1"], 2),
        (["--class-names", "1=water"], 2),
    ],
)
def test_invalid_arguments_exit_with_2_and_write_nothing(arguments: list[str], code: int, good: Path) -> None:
    done = run("preview", good, "-o", good.parent / "out.png", *arguments)

    assert done.exit_code == code, done.output
    assert not (good.parent / "out.png").exists()


def test_preview_is_written_to_a_store(good: Path, seaweed: Any, use_env: Any) -> None:
    use_env(seaweed.env())

    assert run("preview", good, "-o", seaweed.url("cli/out.png")).exit_code == 0

    assert seaweed.get("cli/out.png") == preview(good)


@pytest.mark.parametrize("arguments", [("cog", "in.tif", ""), ("cog", "", "out.tif"), ("preview", "in.tif", "-o", "")])
def test_an_empty_path_is_misuse(arguments: tuple[str, ...]) -> None:
    """A variable that is not set."""
    done = run(*arguments)
    assert done.exit_code == 2
    assert "is empty" in done.output


def test_preview_refuses_to_replace_its_raster(good: Path) -> None:
    before = good.read_bytes()
    for picture in (good, good.parent / ".." / good.parent.name / good.name, good.as_uri()):
        done = run("preview", good, "-o", picture)
        assert done.exit_code == 2
        assert "would be replaced by its picture" in done.output
    assert good.read_bytes() == before
