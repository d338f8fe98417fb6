"""Chains of exceptions: what was raised, its causes and contexts, and that none leads back to itself."""

from __future__ import annotations


def assert_no_cycle(error: BaseException) -> None:
    """Check that no exception in the chain of causes, contexts and groups is its own ancestor.

    What walks a chain without a memory, as loggers and reporters of errors do, would never end.
    """
    _walk(error, [], set())


def _walk(error: BaseException, above: list[BaseException], done: set[int]) -> None:
    assert not any(error is one for one in above), f"a chain leads back to {error!r}: {above!r}"
    for step in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        if step is not None and id(step) not in done:
            _walk(step, [*above, error], done)
    done.add(id(error))
