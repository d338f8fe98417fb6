"""How many faults a run of the tests injected, summed over the processes that ran them.

A test says ``record_property("faults", n)``; pytest-xdist carries that to the process that reports. In conftest.py:

    from faults.count import pytest_terminal_summary  # noqa: F401  (a hook)
"""

from __future__ import annotations

from typing import Any

#: Under which a test notes its faults.
PROPERTY = "faults"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the sum at the end of a run in which there was any."""
    reports = [one for found in terminalreporter.stats.values() for one in found if getattr(one, "when", "") == "call"]
    counts = [count for report in reports for name, count in report.user_properties if name == PROPERTY and count]
    if counts:
        terminalreporter.write_line(f"{sum(counts)} faults were injected into uploads, in {len(counts)} tests")
