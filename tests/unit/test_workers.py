"""Workers: results in order, work ahead bounded, nothing left running."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from georeader._core import threads as workers
from georeader._core.threads import Task, Workers, thread_count


@pytest.mark.parametrize("threads", [0, 1, 2, 5])
def test_results_are_in_the_order_of_the_tasks(threads: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number

    with Workers(threads) as pool:
        results = list(pool.ordered(Task(lambda n=n: work(n), 1) for n in range(40)))

    assert results == list(range(40))


def test_tasks_run_in_the_callers_thread_without_threads() -> None:
    with Workers(0) as pool:
        assert list(pool.ordered([Task(threading.get_ident, 1)])) == [threading.get_ident()]


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_error_is_raised_at_the_position_of_its_task(threads: int) -> None:
    def fail() -> int:
        raise ValueError("the third")

    with Workers(threads) as pool:
        results = pool.ordered([Task(lambda: 1, 1), Task(lambda: 2, 1), Task(fail, 1), Task(lambda: 4, 1)])
        assert [next(results), next(results)] == [1, 2]
        with pytest.raises(ValueError, match="the third"):
            next(results)


@pytest.mark.parametrize(("size", "most"), [(1, 100), (40, 2 + 1 + 2), (1000, 2 + 1)])
def test_queued_tasks_are_bounded_in_bytes(size: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While results are not taken, no more tasks begin than fit in the bound, or than keep each thread busy."""
    monkeypatch.setattr(workers, "AHEAD_BYTES", 200)
    begun: list[int] = []
    release = threading.Event()

    def tasks() -> Iterator[Task[int]]:
        for number in range(100):
            begun.append(number)
            yield Task(lambda: release.wait(10) and 0, size)

    with Workers(2) as pool:
        results = pool.ordered(tasks())
        taker = threading.Thread(target=lambda: next(results))
        taker.start()
        time.sleep(0.1)
        ahead = len(begun)
        release.set()
        taker.join()

    assert 3 <= ahead <= most + 1


def test_exception_in_the_block_cancels_queued_tasks() -> None:
    done: list[int] = []

    def work(number: int) -> int:
        time.sleep(0.01)
        done.append(number)
        return number

    with pytest.raises(KeyboardInterrupt), Workers(2) as pool:
        for _ in pool.ordered(Task(lambda n=n: work(n), 1) for n in range(500)):
            raise KeyboardInterrupt

    assert len(done) < 50
    assert not any(thread.name.startswith("georeader") for thread in threading.enumerate())


@pytest.mark.parametrize(("wanted", "cpus", "tasks", "threads"), [
    ("ALL_CPUS", 4, 100, 4), ("ALL_CPUS", 4, 2, 2), (3, 8, 100, 3), (16, 2, 100, 16), (1, 8, 100, 1), (4, 4, 0, 1),
])  # fmt: skip
def test_there_are_never_more_threads_than_tasks(wanted: str | int, cpus: int, tasks: int, threads: int) -> None:
    assert thread_count(wanted, cpus, tasks) == threads
