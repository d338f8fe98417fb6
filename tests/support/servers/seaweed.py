"""SeaweedFS's S3 gateway: a store that checks signatures, rights and conditions.

One process runs its master, volume, filer and gateway. All of it listens on 127.0.0.1 alone, and nothing of it asks
any other host: its telemetry, on by default, is off here.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from servers.http_requests import send_request
from servers.processes import Plan, need, running
from servers.s3 import S3Server, client

_BUCKET, _REGION = "tests", "us-east-1"
_OWNER, _READER = ("owner", "secret-of-the-owner"), ("reader", "secret-of-the-reader")


def _identity(pair: tuple[str, str], actions: list[str]) -> dict[str, Any]:
    key, secret = pair
    return {"name": key, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}


def what_is_missing() -> str | None:
    """Return how to install SeaweedFS where it is not installed."""
    return None if _weed() else "on Linux it comes with georeader-cog[test]"


def _weed() -> str | None:
    """The program's path: pip puts it beside the interpreter, which need not be on the PATH."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def _command(ports: list[int], folder: Path) -> list[str]:
    """One server of small volumes, a few to a bucket, with no port that another may have."""
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = ports
    identities = [_identity(_OWNER, ["Admin", "Read", "Write", "List"]), _identity(_READER, ["Read", "List"])]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    (folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 2\n")
    (folder / "data").mkdir()
    options = {
        "dir": folder / "data", "ip": "127.0.0.1", "ip.bind": "127.0.0.1",
        "master.port": master, "master.port.grpc": master_grpc, "master.volumeSizeLimitMB": 64,
        "master.peers": "none", "master.telemetry": "false", "master.telemetry.url": "",
        "volume.port": volume, "volume.port.grpc": volume_grpc, "volume.max": 200, "volume.minFreeSpace": "1MiB",
        "filer": "true", "filer.port": filer, "filer.port.grpc": filer_grpc, "filer.localSocket": folder / "filer.sock",
        "s3": "true", "s3.port": s3, "s3.port.grpc": s3_grpc, "s3.localSocket": folder / "s3.sock",
        "s3.config": folder / "s3.json", "s3.iam": "false", "s3.autoCreateBucket": "false",
        "s3.port.iceberg": 0, "s3.port.lance": 0, "webdav": "false", "iam": "false", "sftp": "false",
        "mq.broker": "false", "mq.agent": "false",
    }  # fmt: skip
    return [str(_weed()), "-logtostderr", "server", *(f"-{name}={value}" for name, value in options.items())]


@contextmanager
def running_seaweed() -> Iterator[S3Server]:
    """Run SeaweedFS with one bucket, in which the first object can be written at once."""
    need("SeaweedFS", what_is_missing())
    plan = Plan("seaweed", 8, _command, _takes_a_bucket, kill=True)
    with running(plan) as (ports, _):
        try:
            with client(_endpoint(ports), *_OWNER, _REGION) as owner:
                yield S3Server(_endpoint(ports), _BUCKET, _REGION, *_OWNER, *_READER, owner)
        finally:
            _remove_sockets(ports)


def _endpoint(ports: list[int]) -> str:
    return f"http://127.0.0.1:{ports[6]}"


def _takes_a_bucket(ports: list[int]) -> bool:
    """Whether a bucket can be made and written to: the gateway answers before there is a volume to write in."""
    from botocore.exceptions import BotoCoreError, ClientError

    send_request("GET", _endpoint(ports))
    with client(_endpoint(ports), *_OWNER, _REGION) as owner, suppress(BotoCoreError, ClientError):
        if _BUCKET not in [bucket["Name"] for bucket in owner.list_buckets()["Buckets"]]:
            owner.create_bucket(Bucket=_BUCKET)
        owner.put_object(Bucket=_BUCKET, Key="first", Body=b"first")
        owner.delete_object(Bucket=_BUCKET, Key="first")
        return True
    return False


def _remove_sockets(ports: list[int]) -> None:
    """Remove what SeaweedFS leaves in /tmp when it is killed, independent of TMPDIR."""
    for port in ports:
        for socket in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):  # SeaweedFS has no option for it
            socket.unlink(missing_ok=True)
