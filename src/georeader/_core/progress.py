"""Progress reporting: a tqdm bar, a callback, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from georeader._core.optional_imports import import_extra
from georeader.errors import OptionError

#: Called with the number of items finished since the last call.
Advance = Callable[[int], None]


def check_progress(progress: Any) -> None:
    """Check that ``progress`` is True, False, None or callable, and that a bar can be shown.

    Raises:
        OptionError: It is something else.
        MissingExtraError: It is True, and tqdm is not installed.
    """
    if progress is True:
        import_extra("tqdm", extra="progress", purpose="progress=True")
    elif progress not in (None, False) and not callable(progress):
        raise OptionError(f"progress={progress!r} is neither True nor callable; pass True, or a function (done, total)")


def report_progress(
    progress: Any, total: int, *, name: str, unit: str = "tiles", item_bytes: int = 0
) -> AbstractContextManager[Advance]:
    """Report progress while the block lasts.

    Args:
        progress: True: a tqdm bar on standard error; a callable: is called with (items done, all items), in the
            caller's thread, first with 0 and last with all; None or False: nothing is reported.
        total: Number of items.
        name: Text before the bar.
        unit: Name of the items, in the plural.
        item_bytes: Size of one item; the bar then shows bytes, too.

    Returns:
        A context manager; its value is called with the number of items finished since the last call.

    Example:
        >>> with report_progress(lambda done, total: print(done, total), 3, name="rows") as advance:
        ...     advance(2)
        ...     advance(1)
        0 3
        2 3
        3 3
    """
    if progress is True:
        return _bar(total, name, unit, item_bytes)
    # Not in a generator: there a StopIteration that the callable raises would become a RuntimeError.
    return nullcontext(_calls(progress, total) if callable(progress) else lambda _: None)


def _calls(progress: Callable[[int, int], Any], total: int) -> Advance:
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        if count:
            done += count
            progress(done, total)

    progress(0, total)
    return advance


@contextmanager
def _bar(total: int, name: str, unit: str, item_bytes: int) -> Iterator[Advance]:
    tqdm = import_extra("tqdm", extra="progress", purpose="progress=True").tqdm
    with tqdm(total=total, desc=name, unit=f" {unit}", dynamic_ncols=True) as bar:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if item_bytes:
                bar.set_postfix_str(f"{tqdm.format_sizeof(done * item_bytes, divisor=1024)}iB", refresh=False)
            bar.update(count)

        yield advance
