"""Path templates: syntax, and confinement to their folder."""

from __future__ import annotations

import os
import re
import uuid
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from georeader import RasterioReader
from georeader._storage.redaction import redact_url
from georeader.errors import ExistsError, OptionError
from geotoolz import RowError
from geotoolz.catalog_ops import WriteCOG
from geotoolz_helpers import stack_of

WHEN = datetime(2024, 5, 1, 10, 30, 5)


def path_of(template: str, **row: Any) -> str:
    return WriteCOG(template).path_for(row)


@pytest.mark.parametrize(
    ("template", "row", "path"),
    [
        ("s3://out/{tile_id}_{date}.tif", {"tile_id": "32TQM", "date": "2024-05-01"}, "s3://out/32TQM_2024-05-01.tif"),
        ("out/{n}.tif", {"n": 7}, "out/7.tif"),
        ("out/{n}.tif", {"n": np.int16(7)}, "out/7.tif"),
        ("out/{n}.tif", {"n": 0.5}, "out/0.5.tif"),
        ("{id}.tif", {"id": uuid.UUID(int=1)}, "00000000-0000-0000-0000-000000000001.tif"),
        ("out/{{{n}}}.tif", {"n": "a"}, "out/{a}.tif"),
        ("{a}/{b}/{a}.tif", {"a": "x", "b": "y"}, "x/y/x.tif"),
        ("../{a}.tif", {"a": "x"}, "../x.tif"),
        ("{name}.tif", {"name": "Zürich & co (1)+ü~x"}, "Zürich & co (1)+ü~x.tif"),
        ("{grid_code}.tif", {"grid:code": "MGRS-32TQM"}, "MGRS-32TQM.tif"),
        ("{Tile_ID}.tif", {"Tile ID": "T1"}, "T1.tif"),
        ("plain.tif", {}, "plain.tif"),
        ("C:/out/{a}.tif", {"a": "x"}, "C:/out/x.tif"),
        ("file:///out/{a}.tif", {"a": "x"}, "file:///out/x.tif"),
    ],
)
def test_fields_are_filled_in(template: str, row: dict[str, Any], path: str) -> None:
    assert WriteCOG(template).path_for(row) == path


@pytest.mark.parametrize(
    "when",
    [
        WHEN, pd.Timestamp(WHEN), np.datetime64(WHEN), np.datetime64(WHEN, "ns"), "2024-05-01T10:30:05",
        "2024-05-01T10:30:05.123456789Z", pd.Timestamp(WHEN, tz="UTC"),
    ],
    ids=repr,
)  # fmt: skip
def test_times_of_every_kind_are_formatted(when: Any) -> None:
    assert path_of("{when:%Y%m%d}_{when:%H%M}.tif", when=when) == "20240501_1030.tif"


@pytest.mark.parametrize(
    "day", [date(2024, 5, 1), np.datetime64("2024-05-01"), "2024-05-01", "20240501", 20240501], ids=repr
)
def test_days_of_every_kind_are_formatted(day: Any) -> None:
    assert path_of("{day:%Y/%m/%d}/{day:%j}.tif", day=day) == "2024/05/01/122.tif"


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (date(2024, 5, 1), "2024-05-01"),
        (datetime(2024, 5, 1), "2024-05-01"),
        (pd.Timestamp("2024-05-01"), "2024-05-01"),
        (WHEN, "2024-05-01T103005"),
        (WHEN.replace(tzinfo=UTC, microsecond=5), "2024-05-01T103005.000005Z"),
    ],
    ids=repr,
)
def test_dates_without_a_format_are_written_as_iso_8601_without_colons(when: Any, text: str) -> None:
    assert path_of("{when}.tif", when=when) == f"{text}.tif"


@pytest.mark.parametrize(
    "template",
    [
        "{a.b}.tif", "{a.__class__}.tif", "{a[0]}.tif", "{a[b]}.tif", "{a!r}.tif", "{a!s}.tif", "{}.tif", "{0}.tif",
        "{ a }.tif", "{a:>10}.tif", "{a:.2f}.tif", "{a:d}.tif", "{a:05}.tif", "{a:{b}}.tif", "{a:%Y{b}}.tif",
        "{a:%x}.tif", "{a:%-d}.tif", "{a:%%2e}.tif", "{a:Y}.tif", "{a:%Y\\%m}.tif", "{a", "a}.tif", "{a-b}.tif",
        "{grid:code}.tif", "",
    ],
)  # fmt: skip
def test_other_template_syntax_is_refused(template: str) -> None:
    with pytest.raises(OptionError, match="path_template="):
        WriteCOG(template)


@pytest.mark.parametrize(
    "template",
    [
        "{a}://out/b.tif",
        "s3://{bucket}/b.tif",
        "https://{host}/b.tif",
        "https://x{a}/b.tif",
        "{a}:/b.tif",
        "{a}{b}:x.tif",
    ],
)
def test_fields_in_host_bucket_or_drive_are_refused(template: str) -> None:
    with pytest.raises(OptionError, match="so that a catalog could choose where files go"):
        WriteCOG(template)


def test_a_url_that_pathlib_has_shortened_is_refused() -> None:
    with pytest.raises(OptionError, match="pass URLs as str"):
        WriteCOG(Path("s3://out/{a}.tif"))


@pytest.mark.parametrize("template", [7, None, b"a.tif"])
def test_a_template_that_is_not_text_is_refused(template: Any) -> None:
    with pytest.raises(OptionError, match="path_template is a"):
        WriteCOG(template)


EVIL = [
    "../x", "a/b", "/etc/passwd", "a\\b", "..", "...", ".", ". .", "a..b", "C:x", "c:", "~", "~root", " ~x", "a\0b",
    "a\nb", "a\rb", "a\x7f", "a\x85b", "a\u2028b", "a\u2029b", "\x1b[2J", "\ud800", "", "   ",
]  # fmt: skip


@pytest.mark.parametrize("template", ["out/{tile}.tif", "s3://out/{tile}.tif", "{tile}.tif", "out/x{tile}/b.tif"])
@pytest.mark.parametrize("value", EVIL, ids=ascii)
def test_values_that_leave_the_folder_are_refused_by_field_and_value(template: str, value: str) -> None:
    with pytest.raises(RowError, match="field 'tile'") as caught:
        path_of(template, tile=value)
    shown = redact_url(value)  # lone surrogates are escaped: every message can be printed
    assert repr(shown) in str(caught.value) or value == ""


@pytest.mark.parametrize("value", ["a?b", "a#b", "%2e%2e", "%2F", "a%5cb", "%252f", "a%00"])
def test_values_special_in_urls_are_refused_in_urls_only(value: str) -> None:
    with pytest.raises(RowError, match="field 'tile'"):
        path_of("https://host/out/{tile}.tif", tile=value)
    assert path_of("out/{tile}.tif", tile=value) == f"out/{value}.tif"


@pytest.mark.parametrize(
    ("template", "row"),
    [
        ("{a}{b}.tif", {"a": "C", "b": ":x"}),
        ("{a}//{b}.tif", {"a": "s3:", "b": "x"}),
        ("{a}//b/x.tif", {"a": "simplecache::memory:"}),
        ("https://host/{a}{b}/x.tif", {"a": "%2", "b": "f"}),
        ("https://host/{a}{b}{b}/x.tif", {"a": "%2e%", "b": "2"}),
        ("file:///out/{a}{b}.tif", {"a": "%0", "b": "0"}),
    ],
)
def test_values_that_together_leave_the_folder_are_refused(template: str, row: dict[str, str]) -> None:
    with pytest.raises(RowError):
        WriteCOG(template).path_for(row)


@pytest.mark.parametrize(
    "value", [None, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT", "s"), np.float32("nan")], ids=repr
)
def test_a_field_without_a_value_is_an_error(value: Any) -> None:
    with pytest.raises(RowError, match="field 'tile' has no value"):
        path_of("{tile}.tif", tile=value)


@pytest.mark.parametrize(
    "value", [["a"], {"a": 1}, b"a", np.zeros(2), Path("a"), object()], ids=lambda one: type(one).__name__
)
def test_values_of_other_kinds_are_refused(value: Any) -> None:
    with pytest.raises(RowError, match="field 'tile' is a .*; a path is made of text, numbers and dates"):
        path_of("{tile}.tif", tile=value)


@pytest.mark.parametrize("value", ["yesterday", 7, 2.5, True, "2024-13-01", ["2024-05-01"]], ids=repr)
def test_an_invalid_date_is_refused_with_a_date_format(value: Any) -> None:
    with pytest.raises(RowError, match="field 'date'.*is not a date"):
        path_of("{date:%Y}.tif", date=value)


def test_a_missing_field_is_an_error_that_lists_the_rows_fields() -> None:
    with pytest.raises(RowError, match="'tile_id' is not a field of the row; its fields are: id, date, grid:code"):
        path_of("{tile_id}.tif", id=1, date=2, **{"grid:code": 3})
    with pytest.raises(RowError, match="its fields are: none at all"):
        path_of("{tile_id}.tif")
    with pytest.raises(RowError, match="'a_b' stands for each of a:b, a-b"):
        path_of("{a_b}.tif", **{"a:b": 1, "a-b": 2})


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_row_is_refused_or_stays_in_the_folder(one: str, other: str) -> None:
    for template in ("/base/out/{one}{other}.tif", "/base/out/{one}/{other}.tif", "/base/out/x/{one}.{other}"):
        try:
            path = path_of(template, one=one, other=other)
        except RowError:
            continue
        folder = "/base/out"
        assert os.path.normpath(path).startswith(folder + "/")
        assert path.count("/") == template.count("/")
        assert not re.search(r"[\0-\x1f\x7f]", path)


def test_file_is_saved_at_the_path_of_the_row_and_the_receipt_returned(tmp_path: Path) -> None:
    gt = stack_of([1, 2], row={"tile": "T1", "date": WHEN})
    operator = WriteCOG(
        str(tmp_path / "{tile}_{date:%Y%m%d}.tif"), descriptions=["NDVI"], profile_arg={"compress": "zstd"}
    )

    receipt = operator(gt)

    assert receipt.path == str(tmp_path / "T1_20240501.tif")
    assert receipt.size_bytes == Path(receipt.path).stat().st_size
    assert RasterioReader(receipt.path).descriptions == ["NDVI"]


def test_url_is_kept_unchanged() -> None:
    gt = stack_of([1, 2], row={"tile": "T1"})

    receipt = WriteCOG("memory://geotoolz/templates/{tile}.tif")(gt)

    assert receipt.path == "memory://geotoolz/templates/T1.tif"
    assert RasterioReader("memory://geotoolz/templates/T1.tif").shape == (1, 1, 2)


def test_invalid_save_options_are_refused(tmp_path: Path) -> None:
    gt = stack_of([1, 2], row={"tile": "T1"})
    operator = WriteCOG(str(tmp_path / "{tile}.tif"), overwrite=False)
    operator(gt)

    with pytest.raises(ExistsError):
        operator(gt)


def test_a_tensor_without_a_row_is_refused() -> None:
    with pytest.raises(RowError, match=r"has no attrs\['row'\] to fill it in with"):
        WriteCOG("{tile}.tif")(stack_of([1]))


def test_messages_show_no_signature_of_a_template() -> None:
    operator = WriteCOG("https://host/{tile}.tif?sig=secret99")

    for row in ({}, {"tile": "../x"}):
        with pytest.raises(RowError) as caught:
            operator.path_for(row)
        assert "secret99" not in str(caught.value)


def test_options_of_save_cog_are_accepted_and_others_refused() -> None:
    with pytest.raises(
        OptionError, match="WriteCOG does not take compress; beyond its own arguments: descriptions, tags, profile_arg"
    ):
        WriteCOG("{a}.tif", compress="zstd")
    operator = WriteCOG("{a}.tif", verify=True, max_memory="1GB", durable=True, engine="stream", nodata=0)
    assert operator.get_config()["max_memory"] == "1GB"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compute": False}, "compute=False: WriteCOG saves when it is called; leave compute out"),
        ({"client": object()}, "client is a object: .*; pass a client as the executor of CatalogPipeline"),
    ],
    ids=["compute", "client"],
)
def test_options_of_clusters_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        WriteCOG("{a}.tif", **options)
