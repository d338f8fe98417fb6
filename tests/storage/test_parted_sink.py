"""A file in parts, of which the last are sent first, to a store that records requests and can fail at any."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from georeader import GeoTensor, save_cog, save_tiled_geotiff
from georeader._export.pipeline import write_source
from georeader._export.plan import traits
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.traits import PART_BYTES, SectionSizes, plan_parts
from georeader._export.sinks import multipart
from georeader._export.sinks.multipart import SENDERS, PartedSink, PartUpload
from georeader._export.sources import open_source
from georeader._storage.urls import Destination
from georeader.errors import WriteError
from georeader.save import PROFILE_TILED_GEOTIFF_DEFAULT
from part_store import MIB, PartStore
from sink_contract import Lazy

KIB = 1024


def a_request(kind: str, profile_arg: dict[str, Any], max_memory: str) -> SaveRequest:
    return SaveRequest.parse(
        kind,
        Destination("out.tif"),
        default_profile=PROFILE_TILED_GEOTIFF_DEFAULT,
        profile_arg=profile_arg,
        engine="stream",
        max_memory=max_memory,
    )


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set parts of 8 KiB."""
    monkeypatch.setattr(traits, "PART_BYTES", 8 * KIB)
    monkeypatch.setattr(traits, "_STEP_BYTES", KIB)


def write(sink: PartedSink, header: bytes, head: bytes, tail: bytes, step_bytes: int, *, tail_first: bool) -> None:
    """Write as an export does: head and tail piece by piece, in either order, and the header at the end."""

    def pieces(data: bytes, write: Callable[..., None]) -> None:
        for offset in range(0, len(data), step_bytes):
            write(offset, data[offset : offset + step_bytes])

    sink.begin(SectionSizes(len(header), len(head), len(tail)))
    if tail_first:
        pieces(tail, sink.write_full_resolution)
    pieces(head, sink.write_overviews)
    if not tail_first:
        pieces(tail, sink.write_full_resolution)
    sink.write_header(header)


@settings(max_examples=150, deadline=None)
@given(
    header=st.integers(1, 40), head=st.integers(0, 90), tail=st.integers(0, 200), step=st.integers(1, 60),
    tail_first=st.booleans(),
)  # fmt: skip
def test_object_is_header_overviews_and_full_resolution_for_any_sizes(
    header: int, head: int, tail: int, step: int, tail_first: bool
) -> None:
    """In kilobytes, with parts of 8."""
    rng = np.random.default_rng(header + head + tail)
    parts = [rng.bytes(size * KIB + 1 if size else 0) for size in (header, head, tail)]
    part_store = PartStore(min_part_bytes=5 * KIB)
    with pytest.MonkeyPatch.context() as patch:
        small_parts(patch)
        with PartedSink(part_store) as sink:
            write(sink, *parts, step * KIB, tail_first=tail_first)
            sink.commit()

    assert part_store.content == b"".join(parts)
    assert part_store.uploads == {}


@pytest.mark.parametrize("most_head_mib", [0, 1, 100, 10_000, 300_000])
@pytest.mark.parametrize("most_tail_mib", [0, 1, 1_000, 80_000, 4_000_000])
def test_all_parts_have_numbers_and_none_is_too_small(most_head_mib: int, most_tail_mib: int) -> None:
    plan = plan_parts(most_head_mib * MIB, most_tail_mib * MIB, min_part_bytes=5 * MIB, max_parts=10_000)

    assert plan.part_bytes >= PART_BYTES
    head_parts = -(-most_head_mib * MIB // plan.part_bytes)
    assert head_parts + 2 <= plan.first_tail_number - 1
    assert plan.first_tail_number - 1 + -(-most_tail_mib * MIB // plan.part_bytes) <= 10_000


def test_small_file_is_sent_by_one_request() -> None:
    part_store = PartStore()

    with PartedSink(part_store) as sink:
        write(sink, b"header", b"head" * 1000, b"tail" * 100_000, 50_000, tail_first=True)
        sink.commit()

    assert part_store.asked == {"check": 1, "put": 1}


def test_the_full_resolution_is_sent_while_it_is_written() -> None:
    part_store = PartStore()

    with PartedSink(part_store) as sink:
        sink.begin(SectionSizes(MIB, 0, 100 * MIB))
        for number in range(100):
            sink.write_full_resolution(number * MIB, bytes(MIB))
        assert len(part_store.numbers) >= 100 // 8 - 1 - SENDERS - 1
        sink.write_header(b"header")
        sink.commit()

    assert part_store.content == b"header" + bytes(100 * MIB)


def test_writer_faster_than_the_upload_is_blocked() -> None:
    part_store = PartStore()
    part_store.slow_seconds = 0.05

    with PartedSink(part_store) as sink:
        sink.begin(SectionSizes(MIB, 0, 120 * MIB))
        for sent_mib in range(0, 120, 8):
            sink.write_full_resolution(sent_mib * MIB, bytes(8 * MIB))
            # Held back, under way, or in the making; all else has arrived.
            assert sent_mib // 8 - len(part_store.numbers) <= 1 + SENDERS + 1
        sink.write_header(b"header")
        sink.commit()

    assert part_store.most_at_once <= SENDERS


@pytest.mark.parametrize("fails_at", ["begin 1", "send 1", "send 3", "send 9", "complete 1"])
def test_upload_is_aborted_after_a_failure(fails_at: str) -> None:
    part_store = PartStore(fails_at=fails_at)

    with pytest.raises(WriteError, match="the store broke"), PartedSink(part_store) as sink:
        write(sink, b"header", bytes(10 * MIB), bytes(60 * MIB), MIB, tail_first=True)
        sink.commit()

    assert part_store.content is None
    assert part_store.uploads == {}


def test_an_upload_that_cannot_be_aborted_is_named_with_its_remedy(caplog: pytest.LogCaptureFixture) -> None:
    part_store = PartStore(fails_at="abort 1")

    with pytest.raises(ZeroDivisionError), PartedSink(part_store) as sink:
        write(sink, b"header", b"", bytes(60 * MIB), MIB, tail_first=True)
        raise ZeroDivisionError

    assert "memstore://out.tif: the upload upload cannot be aborted: the store broke" in caplog.text
    assert "AbortIncompleteMultipartUpload" in caplog.text


def test_a_part_that_arrives_after_the_abort_is_aborted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "URGENT_PATIENCE_SECONDS", 0.0)
    part_store = PartStore()
    part_store.slow_seconds = 0.3

    with pytest.raises(KeyboardInterrupt), PartedSink(part_store) as sink:
        write(sink, b"header", b"", bytes(13 * MIB), MIB, tail_first=True)
        while not part_store.at_once:
            time.sleep(0.001)
        raise KeyboardInterrupt

    deadline = time.monotonic() + 10
    while part_store.asked["abort"] < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert part_store.asked["abort"] == 2
    assert part_store.uploads == {}


def test_interrupt_does_not_wait_for_an_unresponsive_store() -> None:
    part_store = PartStore()
    part_store.slow_seconds = 5.0
    begun = time.monotonic()

    with pytest.raises(KeyboardInterrupt), PartedSink(part_store) as sink:
        write(sink, b"header", b"", bytes(20 * MIB), MIB, tail_first=True)
        raise KeyboardInterrupt

    assert time.monotonic() - begun < 1.0


def test_a_gap_in_a_section_is_refused() -> None:
    with pytest.raises(WriteError, match="the next offset must be 0, got 8"), PartedSink(PartStore()) as sink:
        sink.begin(SectionSizes(0, MIB, MIB))
        sink.write_overviews(8, b"overviews")


def test_more_overviews_than_planned_is_an_error() -> None:
    part_store = PartStore()

    with (
        pytest.raises(WriteError, match="overviews take more parts than were planned for"),
        PartedSink(part_store) as sink,
    ):
        sink.begin(SectionSizes(0, MIB, MIB))
        for number in range(100):
            sink.write_overviews(number * MIB, bytes(MIB))

    assert part_store.uploads == {}


@pytest.mark.parametrize(
    "use",
    [lambda sink: sink.write_header(b""), lambda sink: sink.open_spool(), lambda sink: sink.commit(),
     lambda sink: sink.staging_path],
    ids=["write", "spool", "commit", "path"],
)  # fmt: skip
def test_use_outside_of_a_with_block_is_an_error(use: Any) -> None:
    with pytest.raises(WriteError, match="use it in a with block"):
        use(PartedSink(PartStore()))


def test_commit_without_a_file_raises() -> None:
    with pytest.raises(WriteError, match="there is no file to send"), PartedSink(PartStore()) as sink:
        sink.commit()


class TestExports:
    """Whole exports: the same bytes as on a disk for any order of work."""

    @staticmethod
    def raster(**attrs: Any) -> GeoTensor:
        values = np.random.default_rng(0).integers(0, 60, (3, 700, 600)).astype("uint8")
        return GeoTensor(values, Affine(10, 0, 0, 0, -10, 0), "EPSG:3857", fill_value_default=3, attrs=attrs)

    @pytest.mark.parametrize("is_lazy", [False, True], ids=["memory", "stream"])
    @pytest.mark.parametrize("options", [
        {}, {"interleave": "band"}, {"OVERVIEWS": "NONE"}, {"STATISTICS": "YES"}, {"SPARSE_OK": "YES"},
        {"compress": "none", "BIGTIFF": "YES"}, {"compress": "jpeg"}, {"BLOCKSIZE": 16, "RESAMPLING": "cubic"},
    ], ids=str)  # fmt: skip
    @pytest.mark.filterwarnings("ignore:nodata=3 is left out")
    @pytest.mark.parametrize("with_mask", [False, True], ids=["no mask", "mask"])
    def test_uploaded_bytes_equal_the_local_file(
        self, options: dict[str, Any], is_lazy: bool, with_mask: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        small_parts(monkeypatch)
        attrs = {"mask": np.random.default_rng(1).random((700, 600)) > 0.1} if with_mask else {}
        raster = self.raster(**attrs)
        part_store = PartStore(min_part_bytes=5 * KIB)
        request = a_request("cog", options, "64MiB")

        with PartedSink(part_store) as sink:
            receipt = write_source(open_source(Lazy(raster) if is_lazy else raster), sink, request)

        save_cog(Lazy(raster) if is_lazy else raster, tmp_path / "out.tif", profile_arg=options)
        assert part_store.content == (tmp_path / "out.tif").read_bytes()
        assert receipt.size_bytes == len(part_store.content)
        assert part_store.asked["begin"] == 1

    @pytest.mark.parametrize("options", [{}, {"interleave": "band"}, {"compress": "none", "BIGTIFF": "YES"}], ids=str)
    @pytest.mark.parametrize("is_lazy", [False, True], ids=["memory", "stream"])
    def test_uploaded_tiled_geotiff_equals_the_local_file(
        self, options: dict[str, Any], is_lazy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        small_parts(monkeypatch)
        raster = self.raster(mask=np.random.default_rng(1).random((700, 600)) > 0.1)
        part_store = PartStore(min_part_bytes=5 * KIB)
        request = a_request("tiled", options, "64MiB")

        with PartedSink(part_store) as sink:
            write_source(open_source(Lazy(raster) if is_lazy else raster), sink, request)

        save_tiled_geotiff(raster, tmp_path / "out.tif", profile_arg=options)
        assert part_store.content == (tmp_path / "out.tif").read_bytes()
        assert b"GDAL_STRUCTURAL_METADATA" not in part_store.content

    def test_a_streaming_source_spools_no_full_resolution(self, tmp_path: Path) -> None:
        """It is sent as it is encoded; only overviews are buffered, and they fit in memory."""
        values = np.random.default_rng(0).integers(0, 60000, (1, 4000, 4000)).astype("uint16")
        raster = GeoTensor(values, Affine(10, 0, 0, 0, -10, 0), "EPSG:3857", fill_value_default=None)
        sink = PartedSink(PartStore(), dir_tmpfiles=tmp_path)
        spools: list[Any] = []
        open_spool = sink.open_spool

        def noted() -> Any:
            spools.append(open_spool())
            return spools[-1]

        sink.open_spool = noted  # type: ignore[method-assign]
        request = a_request("cog", {"compress": "none"}, "512MiB")

        with sink:
            write_source(open_source(Lazy(raster)), sink, request)

        assert spools == []


def test_abort_of_an_upload_not_begun_sends_nothing() -> None:
    part_store = PartStore()

    PartUpload(part_store).abort()

    assert part_store.asked == {}


def test_destination_in_the_receipt_is_redacted() -> None:
    assert multipart.PartedSink(PartStore()).given == "memstore://out.tif"
