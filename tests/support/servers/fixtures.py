"""The servers as fixtures: each starts with the first test of a process that uses it, and is empty in every test.

GDAL and fsspec remember what they saw under a name: a test that reads by them had better write under a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from servers.azurite import AzureServer, running_azurite
from servers.environment import use
from servers.fake_gcs import GcsServer, running_fake_gcs
from servers.moto_server import MotoServer, running_moto
from servers.nginx import WebServer, running_nginx
from servers.s3 import S3Server
from servers.seaweed import running_seaweed
from servers.sftp import SftpServer, running_sftp


def check_marked(request: pytest.FixtureRequest) -> None:
    """Fail a test that would run although it is deselected by ``-m "not server"``."""
    if request.node.get_closest_marker("server") is None:
        pytest.fail("this test starts a server: mark it with pytest.mark.server")


@pytest.fixture
def use_env(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Return a function that sets a server's `env()` for this test, and removes all other variables of clouds."""
    return lambda variables: use(monkeypatch, variables)


@pytest.fixture(scope="session")
def running_seaweed_server() -> Iterator[S3Server]:
    with running_seaweed() as server:
        yield server


@pytest.fixture
def seaweed(request: pytest.FixtureRequest, running_seaweed_server: S3Server) -> S3Server:
    """S3 that checks signatures, rights, conditions and checksums."""
    check_marked(request)
    running_seaweed_server.clear()
    return running_seaweed_server


@pytest.fixture(scope="session")
def running_moto_server() -> Iterator[MotoServer]:
    with running_moto() as server:
        yield server


@pytest.fixture
def moto(request: pytest.FixtureRequest, running_moto_server: MotoServer) -> MotoServer:
    """Another S3, and what obstore's GCSStore can write to."""
    check_marked(request)
    running_moto_server.clear()
    return running_moto_server


@pytest.fixture(scope="session")
def running_azurite_server() -> Iterator[AzureServer]:
    with running_azurite() as server:
        yield server


@pytest.fixture
def azurite(request: pytest.FixtureRequest, running_azurite_server: AzureServer) -> AzureServer:
    """Azure's blobs."""
    check_marked(request)
    running_azurite_server.clear()
    return running_azurite_server


@pytest.fixture(scope="session")
def running_fake_gcs_server() -> Iterator[GcsServer]:
    with running_fake_gcs() as server:
        yield server


@pytest.fixture
def fake_gcs(request: pytest.FixtureRequest, running_fake_gcs_server: GcsServer) -> GcsServer:
    """What gcsfs writes to."""
    check_marked(request)
    running_fake_gcs_server.clear()
    return running_fake_gcs_server


@pytest.fixture(scope="session")
def running_nginx_server() -> Iterator[WebServer]:
    with running_nginx() as server:
        yield server


@pytest.fixture
def nginx(request: pytest.FixtureRequest, running_nginx_server: WebServer) -> WebServer:
    """A web server that takes PUT."""
    check_marked(request)
    running_nginx_server.clear()
    return running_nginx_server


@pytest.fixture(scope="session")
def running_sftp_server() -> Iterator[SftpServer]:
    with running_sftp() as server:
        yield server


@pytest.fixture
def sftp(request: pytest.FixtureRequest, running_sftp_server: SftpServer) -> SftpServer:
    """What fsspec's sftp:// writes to."""
    check_marked(request)
    running_sftp_server.clear()
    return running_sftp_server
