"""Destinations on real servers, all of this machine: what every destination has to do, for each of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import fsspec
import pytest
from obstore.store import AzureStore, S3Store

from servers.azurite import AzureServer
from servers.fake_gcs import GcsServer
from servers.moto_server import MotoServer
from servers.nginx import WebServer
from servers.s3 import S3Server
from servers.sftp import SftpServer
from sink_contract import Place, SinkContract

#: aiohttp's advice to adlfs and gcsfs.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly with raw bytes:ResourceWarning")

UseEnv = Callable[[dict[str, str]], None]


def place_on(server: Any, url: Callable[[str], Any], folder: str = "", **more: Any) -> Place:
    """A folder of its own on a server, since GDAL and fsspec remember names.

    Args:
        server: Has get, put, exists and keys.
        url: Gives what is passed as the path, for a key.
        folder: Of the server, that ``url`` is about.
        more: For `Place`.
    """
    own = f"{secrets.token_hex(4)}/"

    def get(name: str) -> bytes | None:
        key = folder + own + name
        return server.get(key) if server.exists(key) else None

    def left_over() -> list[Any]:
        odd = [key for key in list(server.keys()) if key.endswith(".part")]
        uploads = server.open_uploads() if hasattr(server, "open_uploads") else []
        blocks = server.uncommitted_blobs() if hasattr(server, "uncommitted_blobs") else []
        return [*odd, *uploads, *blocks]

    return Place(**{"url": lambda name: url(own + name), "get": get, "left_over": left_over,
                    "put": lambda name, content: server.put(folder + own + name, content)} | more)  # fmt: skip


class TestS3(SinkContract):
    """By botocore, as is the default: parts in any order, while the file is made."""

    @pytest.fixture
    def place(self, seaweed: S3Server, use_env: UseEnv) -> Place:
        use_env(seaweed.env())
        return place_on(seaweed, seaweed.url)


class TestS3ByS3fs(SinkContract):
    @pytest.fixture
    def place(self, seaweed: S3Server, use_env: UseEnv) -> Place:
        use_env({})
        fs = fsspec.filesystem("s3", key=seaweed.key, secret=seaweed.secret, endpoint_url=seaweed.endpoint,
                               client_kwargs={"region_name": seaweed.region}, skip_instance_cache=True)  # fmt: skip
        return place_on(seaweed, seaweed.url, fs=fs)


@pytest.mark.thorough  # the same client, made in another way
class TestS3ByAGivenStore(SinkContract):
    @pytest.fixture
    def place(self, seaweed: S3Server, use_env: UseEnv) -> Place:
        use_env({})
        store = S3Store(seaweed.bucket, access_key_id=seaweed.key, secret_access_key=seaweed.secret,
                        endpoint=seaweed.endpoint, region=seaweed.region,
                        client_options={"allow_http": True})  # fmt: skip
        return place_on(seaweed, seaweed.url, fs=store)


class TestAzure(SinkContract):
    """By obstore, as is the default."""

    @pytest.fixture
    def place(self, azurite: AzureServer, use_env: UseEnv) -> Place:
        use_env(azurite.env())
        return place_on(azurite, azurite.url)


@pytest.mark.thorough  # the same client, made in another way
class TestAzureByConnectionString(SinkContract):
    @pytest.fixture
    def place(self, azurite: AzureServer, use_env: UseEnv) -> Place:
        use_env({"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string})
        return place_on(azurite, lambda key: f"abfs://{azurite.container}/{key}")


class TestAzureByAdlfs(SinkContract):
    @pytest.fixture
    def place(self, azurite: AzureServer, use_env: UseEnv) -> Place:
        use_env({})
        fs = fsspec.filesystem("abfs", connection_string=azurite.connection_string, skip_instance_cache=True)
        return place_on(azurite, azurite.url, fs=fs)


@pytest.mark.thorough  # the same client, made in another way
class TestAzureByAGivenStore(SinkContract):
    @pytest.fixture
    def place(self, azurite: AzureServer, use_env: UseEnv) -> Place:
        use_env({})
        store = AzureStore(azurite.container, account_name=azurite.account, account_key=azurite.key,
                           endpoint=azurite.endpoint, client_options={"allow_http": True})  # fmt: skip
        return place_on(azurite, azurite.url, fs=store)


class TestAzureBySasUrl(SinkContract):
    @pytest.fixture
    def place(self, azurite: AzureServer, use_env: UseEnv) -> Place:
        use_env({"NO_PROXY": "127.0.0.1"})
        return place_on(azurite, azurite.sas_url)


class TestGcs(SinkContract):
    """By obstore, as is the default."""

    @pytest.fixture
    def place(self, moto: MotoServer, use_env: UseEnv) -> Place:
        use_env(moto.gcs_env())
        return place_on(moto, moto.gcs_url)


class TestGcsByGcsfs(SinkContract):
    @pytest.fixture
    def place(self, fake_gcs: GcsServer, use_env: UseEnv) -> Place:
        use_env(fake_gcs.env())
        fs = fsspec.filesystem("gcs", token="anon", endpoint_url=fake_gcs.endpoint, skip_instance_cache=True)
        return place_on(fake_gcs, fake_gcs.url, fs=fs)


class TestHttp(SinkContract):
    @pytest.fixture
    def place(self, nginx: WebServer, use_env: UseEnv) -> Place:
        use_env(nginx.env())
        return place_on(nginx, nginx.careful_url, folder="careful/")


class TestHttpFileSystem(SinkContract):
    @pytest.fixture
    def place(self, nginx: WebServer, use_env: UseEnv) -> Place:
        use_env(nginx.env())
        fs = fsspec.filesystem("http", skip_instance_cache=True)
        return place_on(nginx, nginx.url, fs=fs)


class TestSftp(SinkContract):
    @pytest.fixture
    def place(self, sftp: SftpServer, use_env: UseEnv) -> Place:
        use_env({})
        return place_on(sftp, lambda key: f"/{key}", fs=fsspec.filesystem("sftp", **sftp.options()))
