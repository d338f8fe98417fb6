"""moto's S3, in a process of its own: a second store, which checks no signatures of S3's.

It is also where obstore's client for Google Cloud Storage can write: see `moto_process`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers.http_requests import send_request
from servers.processes import Plan, need, running
from servers.s3 import S3Server, client

_PROGRAM = Path(__file__).with_name("moto_process.py")
_BUCKET, _REGION = "tests", "us-east-1"
_OWNER = ("owner", "secret-of-the-owner")

#: The one token of Google's kind that is let in.
_TOKEN = "token-of-the-owner"


@dataclass(frozen=True)
class MotoServer(S3Server):
    """A bucket of moto's; it does not enforce read-only credentials.

    Attributes:
        service_account: A file of Google's kind that names the server, for what takes no URL of it.
    """

    service_account: Path

    def gcs_env(self) -> dict[str, str]:
        """The variables by which obstore's GCSStore finds the server; `wrong_token_env` is refused by it."""
        return {"GOOGLE_BASE_URL": self.endpoint, "GOOGLE_BEARER_TOKEN": _TOKEN, "NO_PROXY": "127.0.0.1"}

    def gcs_service_account_env(self) -> dict[str, str]:
        """The same by a file, which needs no token."""
        return {"GOOGLE_SERVICE_ACCOUNT": str(self.service_account)}

    def gcs_wrong_token_env(self) -> dict[str, str]:
        return self.gcs_env() | {"GOOGLE_BEARER_TOKEN": "token-of-nobody"}

    def gcs_url(self, key: str) -> str:
        return f"gs://{self.bucket}/{key}"


def what_is_missing() -> str | None:
    """Return how to install moto where it is not installed."""
    there = importlib.util.find_spec("moto") and importlib.util.find_spec("flask_cors")
    return None if there else "it comes with georeader-cog[test]"


@contextmanager
def running_moto() -> Iterator[MotoServer]:
    """Run moto with one bucket."""
    need("moto", what_is_missing())
    plan = Plan(
        "moto", 1,
        command=lambda ports, _: [sys.executable, "-P", str(_PROGRAM), str(ports[0]), _TOKEN],
        is_up=lambda ports: send_request("GET", _endpoint(ports) + "/moto-api/").status == 200,
    )  # fmt: skip
    with running(plan) as (ports, folder), client(_endpoint(ports), *_OWNER, _REGION) as owner:
        owner.create_bucket(Bucket=_BUCKET)
        account = {"gcs_base_url": _endpoint(ports), "disable_oauth": True, "client_email": "", "private_key": ""}
        file = folder / "service-account.json"
        file.write_text(json.dumps(account | {"private_key_id": ""}))
        yield MotoServer(_endpoint(ports), _BUCKET, _REGION, *_OWNER, *_OWNER, owner, file)


def _endpoint(ports: list[int]) -> str:
    return f"http://127.0.0.1:{ports[0]}"
