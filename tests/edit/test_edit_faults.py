"""Faults while S3 copies the tiles of an edit: the earlier object or the whole edited one, and no upload left open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from fault_cases import COMPLETE, CREATE, PUT, Point
from fault_places import Front, Maker, make_impatient
from faults.answers import Answer, s3_error
from faults.exchange import Request
from faults.kinds import Kind, ResetAfter, ResetBeforeAnswer
from faults.proxy import Fault
from georeader import GeoTensor, edit_cog, save_cog
from georeader.errors import ChangedError, DestinationError, GeoreaderError, WriteError

pytestmark = [pytest.mark.fault, pytest.mark.server]

EDIT = {"tags": {"checked": "yes"}}


def _is_copy(request: Request) -> bool:
    return "x-amz-copy-source" in request.headers


def _is_sent(request: Request) -> bool:
    return request.method == "PUT" and "partNumber=" in request.query and not _is_copy(request)


COPY = Point("copy", _is_copy, is_large=True)
HEADER = Point("header", _is_sent, is_large=True)

#: Request, what is done with it, how often (None: always), and the error; None: the edit succeeds.
CASES: list[tuple[Point, Kind, int | None, type[GeoreaderError] | None]] = [
    (CREATE, s3_error(503, "SlowDown"), 1, None),
    (HEADER, ResetAfter(1_000_000), 1, None),
    (COPY, s3_error(500, "InternalError"), 1, None),
    (COPY, s3_error(503, "SlowDown"), 1, None),
    (COPY, s3_error(200, "InternalError"), 1, None),
    (COPY, ResetBeforeAnswer(), 1, None),
    (COPY, s3_error(503, "SlowDown"), None, WriteError),
    (COPY, s3_error(403, "AccessDenied"), None, DestinationError),
    (COPY, s3_error(412, "PreconditionFailed"), None, ChangedError),
    (COPY, Answer(200, headers={"Content-Type": "application/xml"}, body=b"<CopyPartResult/>"), None, WriteError),
    (COMPLETE, ResetAfter(0), 1, None),
    (COMPLETE, ResetBeforeAnswer(), 1, None),
    (COMPLETE, s3_error(412, "PreconditionFailed"), None, ChangedError),
    (PUT, ResetBeforeAnswer(), 1, None),
    (PUT, s3_error(412, "PreconditionFailed"), None, ChangedError),
]


@pytest.fixture
def front(request: pytest.FixtureRequest, use_env: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    make_impatient(monkeypatch, with_stalls=False)
    with ExitStack() as stack:
        yield Maker(request, use_env, stack).make("s3")


@pytest.fixture(scope="session")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], tuple[bytes, bytes]]:
    """Return a function of whether the file is large, which returns one before and after the edit."""

    @cache
    def contents(is_large: bool) -> tuple[bytes, bytes]:
        path = tmp_path_factory.mktemp("edited") / "scene.tif"
        values = np.random.default_rng(3).integers(1, 2000, (2500, 2500) if is_large else (300, 300)).astype("uint16")
        tensor = GeoTensor(values, (10, 0, 500000, 0, -10, 4000000), "EPSG:32630", fill_value_default=0)
        save_cog(tensor, path, profile_arg={"compress": "none"})
        before = path.read_bytes()
        edit_cog(path, **EDIT)
        return before, path.read_bytes()

    return contents


@pytest.mark.parametrize(
    ("point", "do", "times", "error"), CASES, ids=[f"{point.name}-{do}-{times}" for point, do, times, _ in CASES]
)
def test_a_fault_leaves_the_earlier_object_or_the_whole_edited_one(
    point: Point, do: Kind, times: int | None, error: type[GeoreaderError] | None, front: Front, contents: Any
) -> None:
    before, after = contents(point.is_large)
    front.put(before)
    front.proxy.add(Fault(point.when, do, times, point.skip))

    if error is None:
        edit_cog(front.url, **EDIT)
    else:
        with pytest.raises(error, match=front.key) as caught:
            edit_cog(front.url, **EDIT)
        assert "overwrite=False" not in str(caught.value)

    assert front.proxy.faults_injected >= 1
    assert front.content() == (after if error is None else before)
    assert front.open_uploads() == []


def test_a_condition_of_the_copy_is_not_one_of_the_destination(front: Front, contents: Any) -> None:
    front.put(contents(True)[0])
    front.proxy.add(Fault(COPY.when, s3_error(412, "PreconditionFailed"), None))
    other = replace(front, key=f"{front.key}-other", url=f"{front.url}-other")

    with pytest.raises(ChangedError, match=front.key):
        edit_cog(front.url, out=other.url, **EDIT)

    assert other.content() is None
    assert front.open_uploads() == []
