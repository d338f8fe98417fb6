"""A process that decodes tiles for another one: what a decoder does to it, it does to nobody else.

It takes tiles on its standard input, and gives verdicts on its standard output, each as a pickle behind its length.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
from contextlib import suppress
from typing import Any, BinaryIO

from georeader.validation.decoders import check_tile

#: What a decoder may take, beside what Python takes.
MEMORY_BYTES = 2**29

_LENGTH = struct.Struct("<Q")

#: No message is longer: a tile that is decoded has less.
_LONGEST_BYTES = 2**30


def send(stream: BinaryIO, message: object) -> None:
    """Write a message."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read a message of a process that is of this project.

    Raises:
        EOFError: There is none any more, or it is none.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length) if length <= _LONGEST_BYTES else b""
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)  # noqa: S301  (the other end is this package)


def main() -> None:
    """Decode until there is nothing to decode."""
    _limit()
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no reply
    with suppress(EOFError):
        while True:
            send(replies, check_tile(*receive(sys.stdin.buffer)))


def _limit() -> None:
    """Limit memory, where the system can; and leave no image of a process that crashed."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
