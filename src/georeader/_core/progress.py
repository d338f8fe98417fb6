"""Who is told how far something is, a bar, a function, or nobody; and how a save tells it, tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from georeader._core.optional_imports import import_extra
from georeader.errors import OptionError

#: Is told how many tiles were finished since it was last called.
Advance = Callable[[int], None]


def check_progress(progress: Any) -> None:
    """Refuse what is neither True, False, None nor callable, and a bar that can't be shown.

    Raises:
        OptionError: It is something else.
        MissingExtraError: It is True, and tqdm is not installed.
    """
    if progress is True:
        import_extra("tqdm", extra="progress", purpose="progress=True")
    elif progress not in (None, False) and not callable(progress):
        raise OptionError(f"progress={progress!r} is neither True nor callable; pass True, or a function (done, total)")


def telling(progress: Any, name: str, total_tiles: int, tile_bytes: int) -> AbstractContextManager[Advance]:
    """Tell of some tiles while the block lasts.

    Args:
        progress: True: a tqdm bar on standard error; a callable: is called with (tiles done, all tiles), in the
            caller's thread, first with 0 and last with all; None or False: nothing is told.
        name: Stands before the bar.
        total_tiles: Tiles of the whole file, all levels.
        tile_bytes: Size of a tile's pixels.
    """
    if progress is True:
        return _bar(name, total_tiles, tile_bytes)
    # Not in a generator: there a StopIteration that the callable raises would become a RuntimeError.
    return nullcontext(_calls(progress, total_tiles) if callable(progress) else _nothing)


def _nothing(tiles: int) -> None:
    del tiles


def _calls(progress: Callable[[int, int], Any], total_tiles: int) -> Advance:
    done = 0

    def advance(tiles: int) -> None:
        nonlocal done
        if tiles:
            done += tiles
            progress(done, total_tiles)

    progress(0, total_tiles)
    return advance


@contextmanager
def _bar(name: str, total_tiles: int, tile_bytes: int) -> Iterator[Advance]:
    """Show tiles, bytes of pixels and the time left."""
    tqdm = import_extra("tqdm", extra="progress", purpose="progress=True").tqdm
    with tqdm(total=total_tiles, desc=name, unit=" tiles", dynamic_ncols=True) as bar:
        done = 0

        def advance(tiles: int) -> None:
            nonlocal done
            done += tiles
            bar.set_postfix_str(f"{tqdm.format_sizeof(done * tile_bytes, divisor=1024)}iB", refresh=False)
            bar.update(tiles)

        yield advance
