"""Reports to callers: progress, warnings at their line, chains of errors, missing extras, values for JSON."""

from __future__ import annotations

import html
import importlib
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from georeader.errors import MissingExtraError, OptionError

_PACKAGES = ("georeader", "geotoolz")

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

        def advance(count: int) -> None:
            if item_bytes:
                done_bytes = (bar.n + count) * item_bytes
                bar.set_postfix_str(f"{tqdm.format_sizeof(done_bytes, divisor=1024)}iB", refresh=False)
            bar.update(count)

        yield advance


#: Warnings of this thread that are taken down, to be given in another process.
_HELD: ContextVar[list[tuple[str, type[Warning]]] | None] = ContextVar("_HELD", default=None)


@contextmanager
def held_warnings() -> Iterator[list[tuple[str, type[Warning]]]]:
    """Take down this thread's warnings of this project, as (message, category), instead of giving them."""
    held: list[tuple[str, type[Warning]]] = []
    token = _HELD.set(held)
    try:
        yield held
    finally:
        _HELD.reset(token)


def warn_at_caller(message: str, category: type[Warning]) -> None:
    """Warn at the innermost line outside this project's packages, however many functions lie between.

    contextlib does not count: it calls what a ``with`` statement of this project enters.
    """
    held = _HELD.get()
    if held is not None:
        held.append((message, category))
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (
        *_PACKAGES,
        "contextlib",
    ):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def linked_errors(error: BaseException) -> list[BaseException]:
    """Return an error with its causes, its contexts and the errors of its groups: each once, the nearest first.

    Example:
        >>> error = ValueError("outer")
        >>> error.__cause__ = KeyError("inner")
        >>> error.__cause__.__cause__ = error
        >>> [type(one).__name__ for one in linked_errors(error)]
        ['ValueError', 'KeyError']
    """
    found: dict[int, BaseException] = {}
    waiting = [error]
    while waiting:
        step = waiting.pop(0)
        if id(step) not in found:
            found[id(step)] = step
            waiting += directly_linked(step)
    return list(found.values())


def directly_linked(error: BaseException) -> list[BaseException]:
    """Return an error's cause and context, and the errors of its group."""
    linked = (error.__cause__, error.__context__, *getattr(error, "exceptions", ()))
    return [one for one in linked if isinstance(one, BaseException)]


def import_extra(module: str, *, extra: str, purpose: str, package: str | None = None) -> Any:
    """Import ``module``, or raise a MissingExtraError that names the extra with its package, by default of its name."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = package or module.partition(".")[0]
        raise MissingExtraError(
            f"{purpose} needs {package}: pip install {package} (it comes with georeader-cog's extra {extra!r})"
        ) from error


def preformatted(text: str) -> str:
    """Return text as HTML: escaped, with its lines and columns, in a monospaced font.

    Example:
        >>> preformatted("a < b")
        '<pre style="font-family: monospace; white-space: pre">a &lt; b</pre>'
    """
    return f'<pre style="font-family: monospace; white-space: pre">{html.escape(text)}</pre>'


def to_jsonable(value: Any) -> Any:
    """Convert a value to types of JSON: tuples to lists, and numbers that JSON does not have to text.

    Example:
        >>> to_jsonable({"bounds": (0.0, float("nan")), "nodata": float("-inf")})
        {'bounds': [0.0, 'nan'], 'nodata': '-inf'}
    """
    if isinstance(value, dict):
        return {name: to_jsonable(part) for name, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_jsonable(part) for part in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(float(value))
