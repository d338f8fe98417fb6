"""An SFTP server on 127.0.0.1 for one user and one folder, of what paramiko has for that. Run by `sftp`.

Arguments: the port, the folder, the user and the password.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import paramiko
from paramiko import SFTPAttributes, SFTPHandle, SFTPServer, SFTPServerInterface

#: More than one write of SFTP's: the end of one that needed two packets would wait for 40 ms (Nagle's algorithm).
_PACKET_BYTES = 2**16


class Door(paramiko.ServerInterface):
    """Accepts one user, by password."""

    def __init__(self, user: str, password: str) -> None:
        self.credentials = (user, password)

    def check_auth_password(self, username: str, password: str) -> int:
        known = (username, password) == self.credentials
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED if kind == "session" else paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED


class Folder(SFTPServerInterface):
    """What SFTP may do, done below one folder."""

    root: Path

    def _path(self, name: str) -> Path:
        return self.root / self.canonicalize(name).lstrip("/")

    def _do(self, function: Any, *arguments: Any) -> int:
        try:
            function(*arguments)
        except OSError as error:
            return SFTPServer.convert_errno(error.errno)
        return paramiko.SFTP_OK

    def list_folder(self, path: str) -> Any:
        try:
            return [SFTPAttributes.from_stat(one.stat(), one.name) for one in self._path(path).iterdir()]
        except OSError as error:
            return SFTPServer.convert_errno(error.errno)

    def stat(self, path: str) -> Any:
        try:
            return SFTPAttributes.from_stat(self._path(path).stat())
        except OSError as error:
            return SFTPServer.convert_errno(error.errno)

    lstat = stat

    def open(self, path: str, flags: int, attr: SFTPAttributes) -> Any:
        mode = {os.O_WRONLY: "wb", os.O_RDWR: "r+b"}.get(flags & (os.O_WRONLY | os.O_RDWR), "rb")
        mode = "ab" if flags & os.O_APPEND else mode
        try:
            file = os.fdopen(os.open(self._path(path), flags, 0o666), mode)
        except OSError as error:
            return SFTPServer.convert_errno(error.errno)
        handle = SFTPHandle(flags)
        handle.filename = str(self._path(path))
        handle.readfile = handle.writefile = file
        return handle

    def remove(self, path: str) -> int:
        return self._do(os.remove, self._path(path))

    def rename(self, oldpath: str, newpath: str) -> int:
        """As the protocol has it: never over a file that is there."""
        if self._path(newpath).exists():
            return paramiko.SFTP_FAILURE
        return self.posix_rename(oldpath, newpath)

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        return self._do(os.replace, self._path(oldpath), self._path(newpath))

    def mkdir(self, path: str, attr: SFTPAttributes) -> int:
        return self._do(os.mkdir, self._path(path))

    def rmdir(self, path: str) -> int:
        return self._do(os.rmdir, self._path(path))

    def chattr(self, path: str, attr: SFTPAttributes) -> int:
        return self._do(SFTPServer.set_file_attr, str(self._path(path)), attr)


def talk(connection: socket.socket, key: paramiko.PKey, door: Door) -> None:
    """Serve one client, in threads of paramiko's."""
    transport = paramiko.Transport(connection, default_max_packet_size=_PACKET_BYTES)
    transport.add_server_key(key)
    transport.set_subsystem_handler("sftp", SFTPServer, Folder)
    try:
        transport.start_server(server=door)
    except (paramiko.SSHException, EOFError):
        # It closed, as a check whether the port is open does.
        transport.close()


def serve(port: int, root: Path, door: Door) -> None:
    """Take clients until the process ends."""
    Folder.root = root
    key = paramiko.ECDSAKey.generate()
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection, key, door), daemon=True).start()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]), Door(sys.argv[3], sys.argv[4]))
