"""Faults on the way to a store, as data: request, moment, kind, number, and the expected result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from faults.answers import Answer, AnswerEarly, HttpDate, azure_error, gcs_error, s3_error
from faults.exchange import Request
from faults.kinds import (
    Kind,
    ResetAfter,
    ResetBeforeAnswer,
    ResetInAnswer,
    Stall,
    StallInBody,
    Truncate,
    WrongChecksum,
    WrongSize,
)
from georeader.errors import DestinationError, ExistsError, GeoreaderError, WriteError

EARLIER_OR_NEW = "earlier or new"


@dataclass(frozen=True)
class Point:
    """A request of an upload.

    Attributes:
        name: What to call it.
        when: Tells it from others.
        skip: How many that look the same come before it.
        is_large: Whether it is one that only files of several parts have.
        is_look: It asks, and changes nothing: the object is there already, or nothing is yet.
    """

    name: str
    when: Callable[[Request], bool]
    skip: int = 0
    is_large: bool = False
    is_look: bool = False


@dataclass(frozen=True)
class Case:
    """A fault.

    Attributes:
        destination: In `fault_places.DESTINATIONS`.
        point: Which request.
        do: What is done with it.
        times: To how many such requests; None: to all.
        outcome: The error, None for success, GeoreaderError where the store decides between an error and success.
        leaves: What is there afterwards, if it is an error: "earlier", "new" or `EARLIER_OR_NEW`.
        overwrite: As passed.
        has_earlier: Whether there was an object.
        is_lazy: The source is read in windows.
    """

    destination: str
    point: Point
    do: Kind
    times: int | None = 1
    outcome: type[GeoreaderError] | None = None
    leaves: str = "earlier"
    overwrite: bool = True
    has_earlier: bool = True
    is_lazy: bool = False

    @property
    def id(self) -> str:
        """The same in every process and every run."""
        often = {1: "", None: "always"}.get(self.times, f"{self.times}x")
        words = (self.destination, self.point.name, str(self.do), often, "" if self.overwrite else "exclusive",
                 "" if self.has_earlier else "first", "lazy" if self.is_lazy else "")  # fmt: skip
        return "-".join(filter(None, words))

    @property
    def is_stall(self) -> bool:
        return isinstance(self.do, (Stall, StallInBody))

    @property
    def may_leave_an_upload(self) -> bool:
        """An upload whose creation response was lost remains (docs/destinations.md)."""
        return isinstance(self.do, (ResetBeforeAnswer, ResetInAnswer)) and self.point.name == "create"


def _is_bucket(request: Request) -> bool:
    return request.method == "HEAD" and "raster" not in request.path


def _is_look(request: Request) -> bool:
    return request.method in ("HEAD", "GET") and "raster" in request.path


def _is_put(request: Request) -> bool:
    query = request.query
    return request.method == "PUT" and "uploadId" not in query and "comp=" not in query


def _is_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber=" in request.query


def _is_create(request: Request) -> bool:
    return request.method == "POST" and request.query in ("uploads", "uploads=")


def _is_complete(request: Request) -> bool:
    return request.method == "POST" and request.query.startswith("uploadId=")


def _is_block(request: Request) -> bool:
    return request.method == "PUT" and "comp=block&" in f"{request.query}&" and "blockid=" in request.query


def _is_list(request: Request) -> bool:
    return request.method == "PUT" and "comp=blocklist" in request.query


def _is_google_put(request: Request) -> bool:
    return request.method == "POST" and "uploadType=multipart" in request.query


def _is_google_create(request: Request) -> bool:
    return request.method == "POST" and "uploadType=resumable" in request.query and "upload_id" not in request.query


def _is_google_send(request: Request) -> bool:
    return "upload_id" in request.query


BUCKET = Point("bucket", _is_bucket, is_look=True)
LOOK = Point("look", _is_look, is_look=True)
PUT = Point("put", _is_put)
CREATE = Point("create", _is_create, is_large=True)
FIRST_PART = Point("part-1", _is_part, is_large=True)
SECOND_PART = Point("part-2", _is_part, skip=1, is_large=True)
LAST_PART = Point("part-last", _is_part, skip=4, is_large=True)
COMPLETE = Point("complete", _is_complete, is_large=True)
FIRST_BLOCK = Point("block-1", _is_block, is_large=True)
LAST_BLOCK = Point("block-last", _is_block, skip=4, is_large=True)
LIST = Point("list", _is_list, is_large=True)
LARGE_PUT = Point("large-put", _is_put, is_large=True)
GOOGLE_PUT = Point("put", _is_google_put)
GOOGLE_CREATE = Point("create", _is_google_create, is_large=True)
GOOGLE_SEND = Point("send", _is_google_send, is_large=True)

#: Requests that bring bytes, and those that are about bytes that are there.
WRITES = {
    "s3": (PUT, CREATE, FIRST_PART, SECOND_PART, LAST_PART, COMPLETE),
    "s3fs": (PUT, CREATE, SECOND_PART, LAST_PART, COMPLETE),
    "s3-store": (PUT, CREATE, SECOND_PART, LAST_PART, COMPLETE),
    "azure": (PUT, FIRST_BLOCK, LAST_BLOCK, LIST),
    "sas": (PUT, LARGE_PUT),
    "adlfs": (PUT,),
    "gcs": (PUT, CREATE, SECOND_PART, LAST_PART, COMPLETE),
    "gcsfs": (GOOGLE_PUT, GOOGLE_CREATE, GOOGLE_SEND),
    "http": (PUT, LARGE_PUT),
}

_AZURE = ("azure", "sas", "adlfs")


def _said(destination: str, status: int, code: str, headers: dict[str, object] | None = None) -> Answer:
    """An error in the words of the destination."""
    if destination == "http":
        return Answer(status, headers=headers or {}, name=code)
    words = azure_error if destination in _AZURE else gcs_error if destination == "gcsfs" else s3_error
    return words(status, code, headers=headers)


def _busy(destination: str, headers: dict[str, object] | None = None) -> Answer:
    return _said(destination, 503, "ServerBusy" if destination in _AZURE else "SlowDown", headers)


# Faults that are only a delay.


def _breaks(point: Point) -> Iterator[Kind]:
    """Connections that break once, at several moments."""
    yield ResetAfter(0)
    if point.name not in ("create", "complete", "list") and not point.is_look:
        yield ResetAfter(1000)
        yield ResetAfter(1_200_000)
    if point.name in ("part-last", "large-put", "send"):
        yield ResetAfter(3_000_000)
    yield ResetBeforeAnswer()
    yield ResetInAnswer(0)


def _passing_answers(destination: str) -> Iterator[Kind]:
    yield _said(destination, 500, "InternalError")
    yield Answer(502, body=b"<html>Bad Gateway</html>")
    yield _busy(destination)
    yield Answer(504)
    yield _said(destination, 429, "TooManyRequests")


def _passing(destination: str) -> Iterator[Case]:
    for point in WRITES[destination]:
        case = Case(destination, point, ResetAfter(0))
        for kind in (*_breaks(point), *_passing_answers(destination)):
            # A session that has ended is unknown to the emulator; Google's own says once more that all is there.
            is_open = point is GOOGLE_SEND and isinstance(kind, (ResetBeforeAnswer, ResetInAnswer))
            yield replace(case, do=kind, outcome=GeoreaderError if is_open else None, leaves=EARLIER_OR_NEW)
        yield replace(case, do=_busy(destination), times=2)
        yield replace(case, do=Stall())
    for point in WRITES[destination][:1]:
        case = Case(destination, point, ResetAfter(0))
        yield replace(case, do=ResetAfter(1000), times=2, is_lazy=True)
        yield replace(case, do=StallInBody(100_000), has_earlier=False)
        yield replace(case, do=replace(_busy(destination, {"Retry-After": 1}), name="later"), has_earlier=False)
        yield replace(case, do=replace(_busy(destination, {"Retry-After": HttpDate(1)}), name="later-by-date"))


def _passing_looks(destination: str) -> Iterator[Case]:
    """The check afterwards; a URL signed for PUT is not checked."""
    if destination == "sas":
        return
    for kind in (ResetAfter(0), ResetBeforeAnswer(), Answer(500), Answer(503), Stall()):
        yield Case(destination, LOOK, kind)
    if destination in ("s3", "s3fs"):
        for kind in (ResetAfter(0), Answer(500), Answer(503), Answer(403), Stall()):
            yield Case(destination, BUCKET, kind)


# What does not.


def _lasting_answers(destination: str) -> Iterator[tuple[Answer, type[GeoreaderError]]]:
    """What a store refuses for good, and which error that is."""
    azure = destination in _AZURE
    yield _said(destination, 403, "AuthorizationFailure" if azure else "AccessDenied"), DestinationError
    yield _said(destination, 403, "AuthenticationFailed" if azure else "ExpiredToken"), DestinationError
    yield _said(destination, 400, "InvalidArgument"), WriteError
    yield _said(destination, 404, "ContainerNotFound" if azure else "NoSuchBucket"), DestinationError
    yield _said(destination, 413, "RequestBodyTooLarge" if azure else "EntityTooLarge"), DestinationError
    yield _said(destination, 507, "InsufficientStorage"), DestinationError


def _lasting(destination: str) -> Iterator[Case]:
    for number, point in enumerate(WRITES[destination]):
        case = Case(destination, point, ResetAfter(0))
        answers = list(_lasting_answers(destination))
        for answer, error in answers if number == 0 else answers[:2]:
            yield replace(case, do=answer, times=None, outcome=error)
        yield replace(case, do=_busy(destination), times=None, outcome=WriteError, has_earlier=bool(number % 2))
        yield replace(case, do=ResetAfter(1000), times=None, outcome=WriteError)
    first = Case(destination, WRITES[destination][0], ResetBeforeAnswer(), None, WriteError, EARLIER_OR_NEW)
    yield first
    # A client that is still sending when the connection is closed may miss what was said; obstore does at times.
    error = GeoreaderError if destination in ("s3-store", "azure", "gcs") else DestinationError
    yield replace(first, do=AnswerEarly(403), outcome=error, leaves="earlier", has_earlier=False)
    if destination in ("s3", "azure", "http"):
        yield replace(first, do=Stall(), leaves="earlier")
    if destination == "http":
        for status in (405, 501):
            yield replace(first, do=Answer(status), outcome=DestinationError, leaves="earlier")


def _lasting_looks(destination: str) -> Iterator[Case]:
    if destination == "sas":
        return
    case = Case(destination, LOOK, Answer(503), None, WriteError, "new")
    if destination != "http":  # it takes no offence at a server that does not answer to HEAD
        yield case
    yield replace(case, do=ResetAfter(0))
    yield replace(case, do=Answer(403), outcome=None)
    if destination != "gcsfs":  # which says it in JSON
        yield replace(case, do=WrongSize(-1))
        yield replace(case, do=WrongSize(1000), has_earlier=False)


def _of_s3(destination: str) -> Iterator[Case]:
    """What only S3 has: bodies with checksums, errors in a 200, clocks."""
    put, part, complete = (Case(destination, point, ResetAfter(0)) for point in (PUT, SECOND_PART, COMPLETE))
    yield replace(part, do=WrongChecksum(), outcome=WriteError)
    yield replace(put, do=WrongChecksum(), outcome=WriteError, leaves="new")
    yield replace(put, do=Truncate(100_000), outcome=WriteError)
    yield replace(part, do=Truncate(100_000), outcome=WriteError)
    yield replace(part, do=s3_error(403, "RequestTimeTooSkewed"), times=None, outcome=DestinationError)
    yield replace(part, do=s3_error(400, "ExpiredToken"), times=None, outcome=DestinationError)
    yield replace(part, do=s3_error(404, "NoSuchUpload"), times=None, outcome=GeoreaderError)
    yield replace(complete, do=s3_error(400, "InvalidPart"), times=None, outcome=WriteError)
    yield replace(complete, do=s3_error(200, "InternalError"))
    yield replace(complete, do=s3_error(200, "InternalError"), times=None, outcome=WriteError)
    create = replace(complete, point=CREATE, do=ResetBeforeAnswer())
    yield replace(create, times=2)
    yield replace(create, times=None, outcome=WriteError)
    yield replace(complete, do=ResetBeforeAnswer(), times=None, outcome=WriteError, leaves=EARLIER_OR_NEW)
    yield replace(put, do=s3_error(409, "ConditionalRequestConflict"), overwrite=False, has_earlier=False)
    bucket = Case(destination, BUCKET, Answer(404), None, DestinationError)
    yield bucket
    yield replace(bucket, do=Answer(503), outcome=WriteError)
    yield replace(bucket, do=ResetAfter(0), outcome=WriteError)


def _exclusive(destination: str) -> Iterator[Case]:
    """With overwrite=False: a lost answer, and the next attempt meets the object that the first one made.

    A checksum shows which file it is; a plain web server has none.
    """
    case = Case(destination, WRITES[destination][0], ResetBeforeAnswer(), overwrite=False, has_earlier=False)
    for kind in (ResetBeforeAnswer(), ResetInAnswer(0)):
        yield replace(case, do=kind, outcome=GeoreaderError if destination == "http" else None, leaves="new")
    yield replace(case, do=ResetAfter(1000))
    code = "ConditionNotMet" if destination in _AZURE else "PreconditionFailed"
    yield replace(case, do=_said(destination, 412, code), outcome=ExistsError)
    if destination in ("s3", "s3fs"):
        yield replace(case, point=COMPLETE)
        yield replace(case, point=COMPLETE, do=_busy(destination), times=2)


def _all(destination: str) -> Iterator[Case]:
    yield from _passing(destination)
    yield from _passing_looks(destination)
    yield from _lasting(destination)
    yield from _lasting_looks(destination)
    yield from _exclusive(destination)
    if destination in ("s3", "s3fs"):
        yield from _of_s3(destination)


def _some(cases: Iterator[Case], of_small: int, of_large: int) -> Iterator[Case]:
    """Every so many of them, for each takes a second; and all in which an answer is lost, where most can go wrong."""
    for number, case in enumerate(cases):
        step = of_large if case.point.is_large else of_small
        is_lost = isinstance(case.do, ResetBeforeAnswer) and not case.point.name.startswith(("part", "block", "large"))
        is_special = is_lost or isinstance(case.do, (WrongChecksum, WrongSize)) or not case.overwrite
        if is_special or number % step == 0:
            yield case


def _of_their_own_time(cases: Iterator[Case]) -> Iterator[Case]:
    """Without stalls: their timeout is a setting of the caller's filesystem, and minutes by default."""
    return (case for case in cases if not case.is_stall)


#: All of them; each has a name of its own.
CASES: list[Case] = [
    *_some(_all("s3"), 2, 6),
    *_some(_all("s3fs"), 8, 16),
    *_some(_all("s3-store"), 8, 16),
    *_some(_all("azure"), 3, 8),
    *_some(_all("sas"), 4, 8),
    *_some(_of_their_own_time(_all("adlfs")), 5, 5),
    *_some(_all("gcs"), 8, 16),
    *_some(_of_their_own_time(_all("gcsfs")), 5, 9),
    *_some(_all("http"), 2, 6),
]

BY_ID: dict[str, Case] = {case.id: case for case in CASES}
