"""A graph of tasks, parted into units that are computed as one: what is shared is found, so as to be made once. Pure.

A task graph cut into windows computes a task anew for each window that needs it, unless its result is kept. A unit is a
task whose result more than one other unit needs (or an output), with all tasks before it that serve it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any


@dataclass(frozen=True)
class Units:
    """The units of a graph, each named by the task that gives its result.

    Attributes:
        needs: Each unit to the units whose results it needs, those first that others of them need.
        users: Each unit to the number of units that need its result.
    """

    needs: Mapping[Any, tuple[Any, ...]]
    users: Mapping[Any, int]


def units_of(dependencies: Mapping[Any, Iterable[Any]], outputs: Iterable[Any]) -> Units:
    """Part a graph.

    Args:
        dependencies: Each task to the tasks whose results it needs; all of them are keys.
        outputs: Tasks whose results are wanted.

    Example:
        >>> units = units_of({"file": [], "left": ["file"], "right": ["file"], "sharp": ["right"]}, ["left", "sharp"])
        >>> units.needs
        {'file': (), 'left': ('file',), 'sharp': ('file',)}
        >>> units.users["file"]
        2
    """
    order = list(TopologicalSorter(dependencies).static_order())
    unit = _unit_of_each(dependencies, order, set(outputs))
    needs: dict[Any, dict[Any, None]] = {task: {} for task in order if unit[task] == task}
    for task in order:
        for needed in dependencies[task]:
            if unit[needed] != unit[task]:
                needs[unit[task]][needed] = None
    users = dict.fromkeys(needs, 0)
    for needed_units in needs.values():
        for needed in needed_units:
            users[needed] += 1
    rank = {task: position for position, task in enumerate(order)}
    return Units({task: tuple(sorted(others, key=rank.__getitem__)) for task, others in needs.items()}, users)


def _unit_of_each(dependencies: Mapping[Any, Iterable[Any]], order: list[Any], outputs: set[Any]) -> dict[Any, Any]:
    """Go from the outputs backwards: a task belongs to the unit of those that need it, if that is a single one."""
    unit: dict[Any, Any] = {}
    claims: dict[Any, Any] = {}
    shared: set[Any] = set()
    for task in reversed(order):
        is_own = task in outputs or task in shared or task not in claims
        unit[task] = task if is_own else claims[task]
        for needed in dependencies[task]:
            if claims.setdefault(needed, unit[task]) != unit[task]:
                shared.add(needed)
    return unit
