"""Decodes tiles in processes of their own, for codecs whose decoders a malformed tile may bring down.

liblerc reads beside its memory for some tiles whose checksum is right, and how much memory libjxl takes is in the hands
of who wrote the tile. Each thread has a process, which begins with its first such tile.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from types import TracebackType

from georeader.validation.decoder_process import receive, send
from georeader.validation.decoders import Verdict, check_tile
from georeader.validation.measurement import FaultKind
from georeader.validation.pixel_layout import PixelLayout

#: Codecs whose tiles are decoded elsewhere.
ISOLATED_CODECS = frozenset({"JXL", "LERC", "LERC_DEFLATE", "LERC_ZSTD"})

#: A tile that takes longer is not waited for.
SECONDS_PER_TILE = 60.0

#: After so many decoders that crashed, the rest of such tiles is left out: to begin a process takes a while.
MAX_CRASHES = 3


class Isolation(AbstractContextManager["Isolation"]):
    """Checks tiles, from any thread; processes end with the block."""

    def __init__(
        self,
        command: Sequence[str] | None = None,
        max_crashes: int = MAX_CRASHES,
        seconds_per_tile: float = SECONDS_PER_TILE,
    ) -> None:
        """Begin without a process.

        Args:
            command: Starts a process that does what `decoder_process` does, which is the default.
            max_crashes: See `MAX_CRASHES`.
            seconds_per_tile: See `SECONDS_PER_TILE`.
        """
        self._command = list(command or _command())
        self._max_crashes = max_crashes
        self._seconds_per_tile = seconds_per_tile
        self._of_thread = threading.local()
        self._all: list[subprocess.Popen[bytes]] = []
        self._turn = threading.Lock()
        self._crashes = 0

    def check(self, data: bytes, layout: PixelLayout, rows: int) -> Verdict | None:
        """Do what `check_tile` does, elsewhere where it could do harm."""
        name = layout.compression_name
        if name not in ISOLATED_CODECS:
            return check_tile(data, layout, rows)
        if self._crashes >= self._max_crashes:
            return Verdict(FaultKind.TILE_NOT_DECODED, f"the decoder of {name} crashed {self._crashes} times before")
        try:
            process = self._process()
        except OSError as error:
            return Verdict(FaultKind.TILE_NOT_DECODED, f"no process can be started to decode {name}: {error}")
        timer = threading.Timer(self._seconds_per_tile, process.kill)
        timer.daemon = True
        timer.start()
        try:
            return self._ask(process, data, layout, rows)
        except (EOFError, OSError):
            return self._crashed(process, name)
        finally:
            timer.cancel()

    def _ask(self, process: subprocess.Popen[bytes], data: bytes, layout: PixelLayout, rows: int) -> Verdict | None:
        if process.stdin is None or process.stdout is None:
            raise EOFError
        send(process.stdin, (data, layout, rows))  # type: ignore[arg-type]
        verdict = receive(process.stdout)  # type: ignore[arg-type]
        return verdict if isinstance(verdict, Verdict) else None

    def _crashed(self, process: subprocess.Popen[bytes], name: str) -> Verdict:
        self._of_thread.process = None
        _end(process)
        with self._turn:
            self._crashes += 1
        return Verdict(FaultKind.TILE_DECODE, f"it does not decode as {name}: its decoder crashes, or never ends")

    def _process(self) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] | None = getattr(self._of_thread, "process", None)
        if process is None:
            process = subprocess.Popen(  # noqa: S603  (of nothing that anybody passed in a file)
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self._of_thread.process = process
            with self._turn:
                self._all.append(process)
        return process

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._all:
            _end(process)


def _command() -> list[str]:
    """Give the command by which this interpreter decodes."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from georeader.validation.decoder_process import main; main()"
    return [sys.executable, "-c", code]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):  # what was not sent yet can't be
                stream.close()
    process.wait()
