"""Processes of their own for code of the tests: what they import is imported once, then one is forked for each.

For code that is killed, that a limit of its process stops, that measures what it holds, or that has to import georeader
itself: nothing of georeader is imported when it begins. The server that forks is the one of `multiprocessing`, which
ends together with the tests, however they end.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from subprocess import CompletedProcess
from typing import IO, Any

import pytest

#: What takes long to import; what is not installed is left out.
PRELOADED = ["numpy", "rasterio", "rasterio.warp", "dask.array", "xarray", "botocore.session", "obstore.store", "s3fs"]


@dataclass(frozen=True)
class Forked:
    """One process.

    Attributes:
        process: What `multiprocessing` knows of it.
        stdout: What it prints, to be read while it runs.
    """

    process: ForkServerProcess
    stdout: IO[str]
    _errors: IO[bytes]

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def wait(self) -> int | None:
        """Wait for its end; return its exit code, negative for a signal."""
        self.process.join()
        return self.process.exitcode

    def errors(self) -> str:
        """Return what it has written to standard error so far."""
        return os.pread(self._errors.fileno(), 2**20, 0).decode()


@contextmanager
def forked(
    code: str, *arguments: object, env: Mapping[str, str] | None = None, filterwarnings: str = "default"
) -> Iterator[Forked]:
    """Run code in a process of its own, which is killed when the block ends.

    Args:
        code: Python, which is run as ``__main__``.
        arguments: What ``sys.argv`` has from 1 on.
        env: Variables beside those of the tests.
        filterwarnings: What becomes of warnings: an action of `warnings.simplefilter`.
    """
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    reading, writing = context.Pipe(duplex=False)
    with tempfile.TemporaryFile() as errors, Connection(os.dup(errors.fileno()), readable=False) as error_end:
        argv = [str(one) for one in arguments]
        variables = {**os.environ, **(env or {})}
        process = context.Process(target=_live, args=(code, argv, variables, filterwarnings, writing, error_end))
        process.start()
        writing.close()
        with reading, os.fdopen(os.dup(reading.fileno())) as stdout:
            one = Forked(process, stdout, errors)
            try:
                yield one
            finally:
                one.kill()
                process.close()


def run(code: str, *arguments: object, **how: Any) -> CompletedProcess[str]:
    """Run code to its end as `forked` does; return what `subprocess.run` would."""
    with forked(code, *arguments, **how) as one:
        said = one.stdout.read()
        returncode = one.wait()
        assert returncode is not None
        return CompletedProcess(list(arguments), returncode, said, one.errors())


def _live(
    code: str, argv: list[str], env: dict[str, str], filterwarnings: Any, out: Connection, errors: Connection
) -> None:
    for end, standard in ((out, 1), (errors, 2)):
        os.dup2(end.fileno(), standard)
        end.close()
    sys.stdout = TextIOWrapper(os.fdopen(1, "wb", closefd=False), line_buffering=False)
    sys.stderr = TextIOWrapper(os.fdopen(2, "wb", closefd=False), line_buffering=True)
    sys.argv = ["-c", *argv]
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    warnings.simplefilter(filterwarnings)
    exec(compile(code, "<the test>", "exec"), {"__name__": "__main__"})
