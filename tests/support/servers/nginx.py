"""nginx with its DAV module: a web server that takes PUT, as behind an upload form or a presigned URL.

It is one process without a master, and all that it writes is in its own folder.
"""

from __future__ import annotations

import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

from servers.folder import ServedFolder
from servers.http_requests import send_request
from servers.processes import Plan, need, running

#: What the location that has a small limit takes at most.
SMALL_LIMIT_BYTES = 1000

_USER, _PASSWORD = "owner", "secret of the owner"

_CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/log warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  root {folder}/files;
  client_body_temp_path {folder}/bodies;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  types {{ }}
  default_type application/octet-stream;
  client_max_body_size 4g;
  server {{
    listen 127.0.0.1:{port};
    location / {{ dav_methods PUT DELETE; create_full_put_path on; }}
    location /refusing/ {{ }}
    location /locked/ {{
      dav_methods PUT DELETE; create_full_put_path on;
      auth_basic "the tests"; auth_basic_user_file {folder}/users;
    }}
    location /small/ {{ dav_methods PUT DELETE; create_full_put_path on; client_max_body_size {small}; }}
    location /busy/ {{ return 503; }}
    location ~ ^/moved/(.*)$ {{ return 307 /$1; }}
    location /careful/ {{
      dav_methods PUT DELETE; create_full_put_path on;
      set $condition "$http_if_none_match";
      if (-f $request_filename) {{ set $condition "$condition over a file"; }}
      if ($condition = "* over a file") {{ return 412; }}
    }}
  }}
}}
"""


@dataclass(frozen=True)
class WebServer(ServedFolder):
    """A folder that is served, and written to by PUT.

    Attributes:
        base: The server's URL.
        folder: What is served there.
    """

    base: str
    folder: Path

    def url(self, name: str) -> str:
        """Where PUT is answered with 201 for a new file, with 204 for one that was there, and ranges are served."""
        return f"{self.base}/{quote(name)}"

    def refusing_url(self, name: str) -> str:
        """Where PUT is answered with 405."""
        return self.url(f"refusing/{name}")

    def locked_url(self, name: str) -> str:
        """Where all but `headers` is answered with 401."""
        return self.url(f"locked/{name}")

    def small_url(self, name: str) -> str:
        """Where PUT of more than `SMALL_LIMIT_BYTES` is answered with 413."""
        return self.url(f"small/{name}")

    def busy_url(self, name: str) -> str:
        """Where everything is answered with 503."""
        return self.url(f"busy/{name}")

    def moved_url(self, name: str) -> str:
        """Where everything is sent on, by 307, to `url`."""
        return self.url(f"moved/{name}")

    def careful_url(self, name: str) -> str:
        """Where `If-None-Match: *` is honoured, with 412; nginx itself has no such condition for PUT."""
        return self.url(f"careful/{name}")

    def headers(self, user: str = _USER, password: str = _PASSWORD) -> dict[str, str]:
        """Basic authentication, by default of the user that is accepted."""
        return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}

    def env(self) -> dict[str, str]:
        """Only NO_PROXY for this machine."""
        return {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


@cache
def what_is_missing() -> str | None:
    """Return how to install nginx with its DAV module where it is not installed."""
    program = _program()
    if program is not None:
        said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr
        if "http_dav_module" in said:
            return None
    return "on Debian: apt-get install nginx-light"


def _program() -> str | None:
    """Debian puts it where a user's PATH need not lead; `make test` where there is none."""
    unpacked = Path(__file__).with_name("debian") / "usr/sbin"
    return shutil.which("nginx") or shutil.which("nginx", path=f"/usr/sbin:/usr/local/sbin:{unpacked}")


@contextmanager
def running_nginx() -> Iterator[WebServer]:
    """Run nginx with an empty folder."""
    need("nginx", what_is_missing())
    plan = Plan("nginx", 1, _command, lambda ports: send_request("GET", f"http://127.0.0.1:{ports[0]}/").status > 0)
    with running(plan) as (ports, folder):
        yield WebServer(f"http://127.0.0.1:{ports[0]}", folder / "files")


def _command(ports: list[int], folder: Path) -> list[str]:
    (folder / "files").mkdir()
    (folder / "users").write_text(f"{_USER}:{{PLAIN}}{_PASSWORD}\n")
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=ports[0], small=SMALL_LIMIT_BYTES))
    return [str(_program()), "-e", str(folder / "log"), "-p", str(folder), "-c", str(configuration)]
