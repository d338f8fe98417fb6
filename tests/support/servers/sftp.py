"""An SFTP server on this machine, for fsspec's sftp://: see `sftp_process`."""

from __future__ import annotations

import importlib.util
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from servers.folder import ServedFolder
from servers.processes import Plan, need, running

_PROGRAM = Path(__file__).with_name("sftp_process.py")
_USER, _PASSWORD = "owner", "secret-of-the-owner"


@dataclass(frozen=True)
class SftpServer(ServedFolder):
    """A folder on a server.

    Attributes:
        port: Where it listens on 127.0.0.1.
        folder: What is served there, as the user's root.
    """

    port: int
    folder: Path

    def options(self) -> dict[str, Any]:
        """Options of fsspec's filesystem for the accepted user, without keys or agent of this machine's user."""
        return {
            "host": "127.0.0.1", "port": self.port, "username": _USER, "password": _PASSWORD,
            "allow_agent": False, "look_for_keys": False,
        }  # fmt: skip

    def url(self, name: str) -> str:
        """All but the last two `options` in one."""
        return f"sftp://{_USER}:{_PASSWORD}@127.0.0.1:{self.port}/{name}"


def what_is_missing() -> str | None:
    """Return how to install paramiko where it is not installed."""
    return None if importlib.util.find_spec("paramiko") else "paramiko comes with georeader-cog[test]"


@contextmanager
def running_sftp() -> Iterator[SftpServer]:
    """Run the server with an empty folder."""
    need("an SFTP server", what_is_missing())
    with running(Plan("sftp", 1, _command, _listens)) as (ports, folder):
        yield SftpServer(ports[0], folder / "files")


def _command(ports: list[int], folder: Path) -> list[str]:
    (folder / "files").mkdir()
    return [sys.executable, "-P", str(_PROGRAM), str(ports[0]), str(folder / "files"), _USER, _PASSWORD]


def _listens(ports: list[int]) -> bool:
    with socket.create_connection(("127.0.0.1", ports[0]), timeout=5) as connection:
        return connection.recv(4) == b"SSH-"
