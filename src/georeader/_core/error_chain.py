"""Traversal of an exception's causes and contexts."""

from __future__ import annotations


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
