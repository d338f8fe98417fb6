"""What rioxarray's own calls warn of, with the xarray and affine of today: not this project's to mend."""

from __future__ import annotations

import pytest

#: Marks a test, or a class of tests, that calls rioxarray.
BY_RIOXARRAY = pytest.mark.filterwarnings(
    "ignore:Use `@` matmul instead:PendingDeprecationWarning",
    "ignore:Supplying chunks as dimension-order tuples:FutureWarning",
    "ignore:saving variable .* with floating point data as an integer dtype",
)
