"""Rows of windows that arrive row by row: which are complete, which are freed, and when writers wait."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from georeader._core.windows import PixelWindow
from georeader._export.writer.ordered import RowOrder
from georeader.errors import IndexingError, WriteError

HEIGHT_PX, BLOCK_PX = 1000, 100


def window(top: int, height: int = 100) -> PixelWindow:
    return PixelWindow(top, min(top + height, HEIGHT_PX), 0, 50)


def ordered(*, reads: bool = True) -> RowOrder:
    """Return the rows of a raster of 50 columns, with one save that reads one band."""
    order = RowOrder("out.tif", HEIGHT_PX, BLOCK_PX)
    if reads:
        order.expect_reads(1, 50)
    return order


def write(order: RowOrder, *tops: int) -> None:
    for top in tops:
        with order.writing(window(top)):
            pass


class TestComplete:
    @pytest.mark.parametrize(
        ("tops", "complete_px"),
        [((), 0), ((0,), 0), ((0, 80), 0), ((0, 80, 160), 80), ((0, 0, 80, 80, 160, 240), 160), ((50, 60), 50)],
    )
    def test_rows_above_the_last_but_one_row_of_windows(self, tops: tuple[int, ...], complete_px: int) -> None:
        order = ordered()
        write(order, *tops)
        assert order.complete_px == complete_px

    def test_windows_of_two_rows_may_come_in_any_order(self) -> None:
        order = ordered()
        write(order, 0, 80, 0, 80, 0)
        assert order.complete_px == 0

    def test_window_at_work_keeps_its_rows(self) -> None:
        order = ordered()
        with order.writing(window(0)):
            write(order, 80, 160, 240)
            assert order.complete_px == 0
        assert order.complete_px == 160

    def test_window_of_complete_rows_is_refused(self) -> None:
        order = ordered()
        write(order, 0, 80, 160)
        with pytest.raises(IndexingError, match="row by row"):
            write(order, 79)
        write(order, 80)

    def test_all_rows_at_the_end(self) -> None:
        order = ordered()
        write(order, 0)
        order.finish()
        assert order.complete_px == HEIGHT_PX


class TestListed:
    """Windows that are known before they are written."""

    def listed(self, *tops: int) -> RowOrder:
        return RowOrder("out.tif", HEIGHT_PX, HEIGHT_PX, map(window, tops))  # so that no writer waits

    @pytest.mark.parametrize(
        ("written", "complete_px"),
        [((), 0), ((80, 160, 240), 0), ((0,), 80), ((80, 0), 160), ((0, 80, 160, 240), HEIGHT_PX)],
    )
    def test_rows_above_the_first_that_is_missing_are_complete(
        self, written: tuple[int, ...], complete_px: int
    ) -> None:
        order = self.listed(0, 80, 160, 240)
        write(order, *written)
        assert order.complete_px == complete_px

    def test_window_at_work_is_missing(self) -> None:
        order = self.listed(0, 80)
        with order.writing(window(0)):
            assert order.complete_px == 0
        assert order.complete_px == 80

    def test_window_that_is_listed_twice_is_written_twice(self) -> None:
        order = self.listed(0, 0, 80)
        write(order, 0)
        assert order.complete_px == 0
        write(order, 0)
        assert order.complete_px == 80

    def test_window_that_is_not_listed_is_refused_though_its_rows_are_not_complete(self) -> None:
        """Otherwise it would depend on the time when it comes."""
        order = self.listed(0, 80)
        write(order, 0)
        assert order.complete_px == 80
        for top in (0, 90):
            with pytest.raises(IndexingError, match="windows="):
                write(order, top)

    def test_no_window_at_all(self) -> None:
        assert self.listed().complete_px == HEIGHT_PX

    def test_window_that_never_comes(self) -> None:
        order = self.listed(0, 80)
        write(order, 80)
        order.finish()
        assert order.complete_px == HEIGHT_PX


class TestReads:
    def test_blocks_are_done_when_all_saves_have_read_all_bands(self) -> None:
        order = ordered()
        order.expect_reads(2, 50)
        assert order.count_read(window(0, 150), 1) == []
        assert order.count_read(window(0, 100), 2) == [(0, 100)]
        assert order.count_read(PixelWindow(100, 200, 0, 50), 2) == []
        assert order.count_read(PixelWindow(150, 200, 0, 50), 1) == [(100, 200)]

    def test_last_block_is_smaller(self) -> None:
        order = RowOrder("out.tif", 250, 100)
        order.expect_reads(1, 50)
        assert order.count_read(PixelWindow(0, 250, 0, 50), 1) == [(0, 100), (100, 200), (200, 250)]

    def test_read_waits_for_its_rows(self) -> None:
        order = ordered()
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(order.await_rows, 80)
            write(order, 0, 80)
            assert not read.done()
            write(order, 160)
            read.result(10)

    def test_error_ends_a_read_that_waits(self) -> None:
        order = ordered()
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(order.await_rows, 80)
            order.fail(WriteError("the disk is full"))
            with pytest.raises(WriteError, match="the disk is full"):
                read.result(10)


class TestWriters:
    def test_wait_until_a_save_has_read_rows_that_are_complete(self) -> None:
        order = ordered()
        write(order, 0, 100, 200, 300)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(write, order, 400)  # rows up to 300 become complete, of which 200 may wait
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
            order.count_read(window(0), 1)
            waiting.result(10)

    def test_go_on_while_a_save_waits_for_rows(self) -> None:
        order = ordered()
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(order.await_rows, 700)
            write(order, *range(0, 900, 100))
            read.result(10)

    def test_wait_for_the_slower_of_two_saves(self) -> None:
        order = ordered()
        order.expect_reads(1, 50)
        with ThreadPoolExecutor(2) as pool:
            fast = pool.submit(order.await_rows, 700)
            write(order, 0, 100, 200, 300)
            waiting = pool.submit(write, order, 400)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
            order.count_read(window(0), 2)
            waiting.result(10)
            order.fail(WriteError("the end"))
            with pytest.raises(WriteError):
                fast.result(10)

    def test_get_the_first_error_of_a_save(self) -> None:
        order = ordered()
        order.fail(WriteError("the first"))
        order.fail(WriteError("the second"))
        with pytest.raises(WriteError, match="the first"):
            write(order, 0)

    def test_that_wait_get_the_error(self) -> None:
        order = ordered()
        write(order, 0, 100, 200, 300)
        begun = threading.Event()

        def write_on() -> None:
            begun.set()
            write(order, 400)

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(write_on)
            begun.wait(10)
            order.fail(WriteError("the disk is full"))
            with pytest.raises(WriteError, match="the disk is full"):
                waiting.result(10)
