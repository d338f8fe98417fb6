"""Azurite, Microsoft's own emulator of Azure's blobs, under Node, with all that it stores in its memory.

Its version is one from before telemetry, so that no option has to turn it off.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from servers.http_requests import send_request
from servers.processes import Plan, need, running

_MAIN = Path(__file__).parent / "node" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
_CONTAINER = "tests"

#: The emulator's account, which is the same for everybody and written in Azure's documents.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True)
class AzureServer:
    """A container on a server.

    Attributes:
        endpoint: The account's URL, which has the account's name as its path.
        container: The container, which was made at the start.
        account: The account's name.
        key: Its key.
        client: azure-storage-blob's client of the container.
    """

    endpoint: str
    container: str
    account: str
    key: str
    client: Any

    def env(self) -> dict[str, str]:
        """The variables by which obstore and adlfs find the server; GDAL, too."""
        return {
            "AZURE_STORAGE_ACCOUNT_NAME": self.account,
            "AZURE_STORAGE_ACCOUNT_KEY": self.key,
            "AZURE_STORAGE_ENDPOINT": self.endpoint,
            "AZURE_STORAGE_CONNECTION_STRING": self.connection_string,
            "AZURE_ALLOW_HTTP": "true",
        }

    @property
    def connection_string(self) -> str:
        """What adlfs takes for a server that is not Azure's."""
        credential = f"AccountName={self.account};AccountKey={self.key}"
        return f"DefaultEndpointsProtocol=http;{credential};BlobEndpoint={self.endpoint};"

    def url(self, name: str) -> str:
        return f"az://{self.container}/{name}"

    def http_url(self, name: str) -> str:
        return f"{self.endpoint}/{self.container}/{name}"

    def sas_url(self, name: str, permissions: str = "rcw", expires_in_seconds: float = 3600) -> str:
        """A SAS URL of one blob with `permissions`: r(ead), c(reate), w(rite)."""
        from azure.storage.blob import BlobSasPermissions, generate_blob_sas

        query = generate_blob_sas(
            self.account, self.container, name,
            account_key=self.key,
            permission=BlobSasPermissions.from_string(permissions),
            start=datetime.now(UTC) - timedelta(hours=1),
            expiry=datetime.now(UTC) + timedelta(seconds=expires_in_seconds),
        )  # fmt: skip
        return f"{self.http_url(name)}?{query}"

    def get(self, name: str) -> bytes:
        content: bytes = self.client.download_blob(name).readall()
        return content

    def put(self, name: str, content: bytes) -> None:
        self.client.upload_blob(name, content, overwrite=True)

    def exists(self, name: str) -> bool:
        return bool(self.client.get_blob_client(name).exists())

    def keys(self) -> list[str]:
        """The names of the blobs that are there, without those of which no more than blocks were sent."""
        return [blob.name for blob in self.client.list_blobs()]

    def uncommitted_blobs(self) -> list[str]:
        """The names of the blobs of which blocks were sent, but no list that would make a blob of them."""
        return sorted({blob.name for blob in self.client.list_blobs(include=["uncommittedblobs"])} - set(self.keys()))

    def uncommitted_blocks(self, name: str) -> list[str]:
        """The ids of a blob's blocks that no list has made a part of it."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            _, blocks = self.client.get_blob_client(name).get_block_list("all")
        except ResourceNotFoundError:
            return []
        return [block.id for block in blocks]

    def clear(self) -> None:
        """Remove all blobs, and all blocks that wait to become one: a list of no blocks takes them away."""
        for name in self.uncommitted_blobs():
            self.client.get_blob_client(name).commit_block_list([])
        for name in self.keys():
            self.client.delete_blob(name)


def what_is_missing() -> str | None:
    """Return how to install Azurite where it is not installed."""
    if shutil.which("node") is None:
        return "install Node and npm, and say `make test` again"
    return None if _MAIN.exists() else "`make tests/support/servers/node/node_modules` installs it"


@contextmanager
def running_azurite() -> Iterator[AzureServer]:
    """Run Azurite with one container."""
    need("Azurite", what_is_missing())
    plan = Plan("azurite", 1, _command, lambda ports: send_request("GET", _endpoint(ports)).status >= 400)
    with running(plan) as (ports, _):
        from azure.storage.blob import ContainerClient

        with ContainerClient(_endpoint(ports), _CONTAINER, credential=_KEY, retry_total=0) as client:
            client.create_container()
            yield AzureServer(_endpoint(ports), _CONTAINER, _ACCOUNT, _KEY, client)


def _command(ports: list[int], _: Path) -> list[str]:
    where = ["--blobHost", "127.0.0.1", "--blobPort", str(ports[0]), "--inMemoryPersistence"]
    return ["node", str(_MAIN), *where, "--skipApiVersionCheck", "--silent"]


def _endpoint(ports: list[int]) -> str:
    return f"http://127.0.0.1:{ports[0]}/{_ACCOUNT}"
