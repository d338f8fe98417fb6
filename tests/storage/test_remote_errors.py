"""Errors of stores and networks: one line with the destination and advice."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Any

import fsspec
import pytest
from obstore.store import S3Store

from chains import assert_no_cycle
from faults.answers import azure_error, gcs_error, s3_error
from faults.proxy import Fault, FaultProxy, Match, refused_url
from georeader import RasterioReader, save_cog
from georeader._storage import remote_errors
from georeader._storage.remote_errors import ADVICE
from georeader.errors import DestinationError, GeoreaderError, ReadError
from servers.azurite import AzureServer
from servers.fake_gcs import GcsServer
from servers.moto_server import MotoServer
from servers.nginx import WebServer
from servers.s3 import S3Server
from sink_contract import small

UseEnv = Callable[[dict[str, str]], None]

#: A host that no one has (RFC 6761).
UNKNOWN = "http://store.invalid"


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_errors, "ATTEMPTS", 2)
    monkeypatch.setattr(remote_errors, "FIRST_WAIT_SECONDS", 0.001)


def check(error: GeoreaderError, name: str, advice: str) -> None:
    """Check that an error is one line with the destination and its advice."""
    text = str(error)
    assert "\n" not in text
    assert len(text) < 600
    assert name in text
    assert advice in text


def refusal(path: str, advice: str, name: str = "", **options: Any) -> GeoreaderError:
    """Save, which has to fail; return the error."""
    with pytest.raises(GeoreaderError) as caught:
        save_cog(small(), path, **options)
    check(caught.value, name or path, ADVICE.get(advice, advice))
    assert_no_cycle(caught.value)
    assert isinstance(caught.value, DestinationError)
    return caught.value


def read_refusal(path: str, name: str = "", **options: Any) -> ReadError:
    """Open, which has to fail; return the error."""
    with pytest.raises(ReadError) as caught:
        RasterioReader(path, **options)
    check(caught.value, name or path, "")
    assert_no_cycle(caught.value)
    return caught.value


def unique(name: str = "out.tif") -> str:
    """GDAL and fsspec remember what they saw under a name."""
    return f"{secrets.token_hex(4)}/{name}"


# S3.


@pytest.fixture(params=["boto", "s3fs", "a given store"])
def s3_options(
    request: pytest.FixtureRequest, use_env: UseEnv, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, str]], dict[str, Any]]:
    """Return a function that makes the options by which a client gets to S3, from variables of the environment."""

    def make(env: dict[str, str]) -> dict[str, Any]:
        use_env(env | {"NO_PROXY": "127.0.0.1"})
        if request.param == "boto":
            return {}
        key, secret = env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
        if request.param == "s3fs":
            fs = fsspec.filesystem("s3", key=key, secret=secret, endpoint_url=env["AWS_ENDPOINT_URL"],
                                   config_kwargs={"retries": {"total_max_attempts": 1}},
                                   client_kwargs={"region_name": "us-east-1"}, skip_instance_cache=True)  # fmt: skip
            fs.retries = 1
            return {"fs": fs}
        store = S3Store("tests", access_key_id=key, secret_access_key=secret, endpoint=env["AWS_ENDPOINT_URL"],
                        region="us-east-1", client_options={"allow_http": True},
                        retry_config={"max_retries": 0})  # fmt: skip
        return {"fs": store}

    return make


def test_missing_bucket_of_s3_is_reported(seaweed: S3Server, s3_options: Any) -> None:
    options = s3_options(seaweed.env())
    path = f"s3://no-such-bucket/{unique()}"
    if type(options.get("fs")).__name__ == "S3Store":
        options = {"fs": S3Store("no-such-bucket", access_key_id=seaweed.key, secret_access_key=seaweed.secret,
                                 endpoint=seaweed.endpoint, region="us-east-1",
                                 client_options={"allow_http": True})}  # fmt: skip

    refusal(path, "bucket", **options)


@pytest.mark.parametrize("overwrite", [True, False])
def test_read_only_credentials_are_reported(seaweed: S3Server, s3_options: Any, overwrite: bool) -> None:
    refusal(seaweed.url(unique()), "denied", overwrite=overwrite, **s3_options(seaweed.read_only_env()))


@pytest.mark.parametrize("change", [{"AWS_SECRET_ACCESS_KEY": "wrong-secret"}, {"AWS_ACCESS_KEY_ID": "nobody"}],
                         ids=["secret", "key"])  # fmt: skip
def test_wrong_credentials_of_s3_are_reported(seaweed: S3Server, s3_options: Any, change: dict[str, str]) -> None:
    refusal(seaweed.url(unique()), "credentials", **s3_options(seaweed.env() | change))


@pytest.mark.parametrize(
    ("code", "status", "advice"),
    [
        ("ExpiredToken", 400, "expired"),
        ("RequestTimeTooSkewed", 403, "clock"),
        ("AccessDenied", 403, "denied"),
        ("InvalidToken", 400, "credentials"),
        ("AllAccessDisabled", 403, "denied"),
        ("EntityTooLarge", 400, "large"),
    ],
)
def test_other_error_codes_of_s3_have_their_advice(
    seaweed: S3Server, s3_options: Any, code: str, status: int, advice: str
) -> None:
    with FaultProxy(seaweed.endpoint) as proxy:
        proxy.add(Fault(when=Match(method="PUT POST"), do=s3_error(status, code, f"{code}, it says"), times=None))

        error = refusal(seaweed.url(unique()), advice, **s3_options(seaweed.env() | {"AWS_ENDPOINT_URL": proxy.url}))

    assert f"{code}, it says" in str(error)


@pytest.mark.parametrize("endpoint", ["refused", UNKNOWN], ids=["refused", "unknown host"])
def test_unreachable_s3_is_reported(seaweed: S3Server, s3_options: Any, endpoint: str) -> None:
    endpoint = refused_url() if endpoint == "refused" else endpoint

    refusal(seaweed.url(unique()), "unreachable", **s3_options(seaweed.env() | {"AWS_ENDPOINT_URL": endpoint}))


NOTHING = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "HOME": "/nowhere",
           "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip


@pytest.mark.parametrize(
    ("env", "message"),
    [({}, ""), ({"AWS_PROFILE": "nobody"}, "nobody"), ({"AWS_ACCESS_KEY_ID": "AKID"}, "secret")],
    ids=["nothing", "no such profile", "half"],
)
def test_missing_credentials_of_s3_are_reported(
    seaweed: S3Server, use_env: UseEnv, env: dict[str, str], message: str
) -> None:
    use_env(NOTHING | env | {"AWS_ENDPOINT_URL": seaweed.endpoint})

    error = refusal(seaweed.url(unique()), "none")

    assert message in str(error).lower()


def test_reading_without_credentials_names_the_variables(seaweed: S3Server, use_env: UseEnv) -> None:
    use_env(NOTHING | {"AWS_ENDPOINT_URL": seaweed.endpoint})

    with pytest.raises(ReadError, match=r"set .*AWS_ACCESS_KEY_ID.*; AWS_NO_SIGN_REQUEST=YES reads a public bucket"):
        RasterioReader(seaweed.url(unique()))


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "ftp://host", "http://host:port"])
def test_invalid_endpoint_of_s3_is_reported(seaweed: S3Server, use_env: UseEnv, endpoint: str) -> None:
    use_env(seaweed.env() | {"AWS_ENDPOINT_URL": endpoint})
    url = seaweed.url(unique())

    with pytest.raises(GeoreaderError) as caught:
        save_cog(small(), url)

    check(caught.value, url, "")


@pytest.mark.parametrize("bucket", ["UPPER", "a", "with space", "a..b", "ä"])
def test_invalid_bucket_name_is_reported(seaweed: S3Server, use_env: UseEnv, bucket: str) -> None:
    use_env(seaweed.env())
    url = f"s3://{bucket}/out.tif"

    with pytest.raises(DestinationError) as caught:
        save_cog(small(), url)

    check(caught.value, url, "")


def test_too_long_key_is_reported(seaweed: S3Server, use_env: UseEnv) -> None:
    use_env(seaweed.env())

    with pytest.raises(GeoreaderError) as caught:
        save_cog(small(), seaweed.url("x" * 2000))

    assert "\n" not in str(caught.value)


# Azure.


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Azure's own client waits 15 seconds and more before it tries again."""
    from azure.storage.blob._shared.policies_async import AsyncStorageRetryPolicy

    async def sleep(*args: Any) -> None:
        del args

    monkeypatch.setattr(AsyncStorageRetryPolicy, "sleep", sleep)


@pytest.fixture(params=["obstore", "adlfs"])
def azure_options(
    request: pytest.FixtureRequest, use_env: UseEnv, no_sleep: None
) -> Callable[[dict[str, str]], dict[str, Any]]:
    def make(env: dict[str, str]) -> dict[str, Any]:
        if request.param == "obstore":
            use_env(env | {"AZURE_ALLOW_HTTP": "true", "NO_PROXY": "127.0.0.1"})
            return {}
        use_env({"NO_PROXY": "127.0.0.1"})
        text = env["AZURE_STORAGE_CONNECTION_STRING"]
        return {"fs": fsspec.filesystem("abfs", connection_string=text, skip_instance_cache=True)}

    return make


def connection(azurite: AzureServer, endpoint: str = "", key: str = "") -> dict[str, str]:
    text = azurite.connection_string.replace(azurite.endpoint, endpoint or azurite.endpoint)
    return {"AZURE_STORAGE_CONNECTION_STRING": text.replace(azurite.key, key or azurite.key)}


def test_missing_container_of_azure_is_reported(azurite: AzureServer, azure_options: Any) -> None:
    refusal(f"az://no-such-container/{unique()}", "bucket", **azure_options(connection(azurite)))


def test_wrong_key_of_azure_is_reported(azurite: AzureServer, azure_options: Any) -> None:
    refusal(azurite.url(unique()), "credentials", **azure_options(connection(azurite, key="d3Jvbmc=")))


@pytest.mark.parametrize("endpoint", ["refused", UNKNOWN], ids=["refused", "unknown host"])
def test_unreachable_azure_is_reported(azurite: AzureServer, azure_options: Any, endpoint: str) -> None:
    endpoint = refused_url() if endpoint == "refused" else endpoint

    refusal(azurite.url(unique()), "unreachable", **azure_options(connection(azurite, f"{endpoint}/devstoreaccount1")))


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({}, ""),
        ({"AZURE_STORAGE_CONNECTION_STRING": "nonsense"}, ""),
        ({"AZURE_STORAGE_ACCOUNT": "me", "AZURE_STORAGE_KEY": "no base64!"}, ""),
    ],
    ids=["nothing", "nonsense", "no key"],
)
def test_unusable_credentials_of_azure_are_reported(use_env: UseEnv, env: dict[str, str], message: str) -> None:
    use_env(env)

    with pytest.raises(DestinationError) as caught:
        save_cog(small(), "az://container/out.tif")

    check(caught.value, "az://container/out.tif", message)
    assert "base64!" not in str(caught.value)


def test_read_only_sas_url_is_reported(azurite: AzureServer, use_env: UseEnv) -> None:
    use_env({"NO_PROXY": "127.0.0.1"})
    url = azurite.sas_url(unique(), permissions="r")

    refusal(url, "denied", name=url.partition("?")[0] + "?***")


def test_expired_sas_url_is_reported(azurite: AzureServer, use_env: UseEnv) -> None:
    """In Azure's wording: Azurite does not return the reason."""
    use_env({"NO_PROXY": "127.0.0.1"})
    url = azurite.sas_url(unique(), expires_in_seconds=-60)
    said = "Signature not valid in the specified time frame: Start [a] - Expiry [b] - Current [c]"

    refusal(url, "HTTP 403", name=url.partition("?")[0] + "?***")
    with FaultProxy(azurite.endpoint.rpartition("/")[0]) as proxy:
        proxy.add(Fault(when=Match(method="PUT"), do=azure_error(403, "AuthenticationFailed", said), times=None))
        url = url.replace(azurite.endpoint.rpartition("/")[0], proxy.url)
        refusal(url, "expired", name=url.partition("?")[0] + "?***")


@pytest.mark.parametrize("broken", ["signature", "container"])
def test_modified_sas_url_is_reported(azurite: AzureServer, use_env: UseEnv, broken: str) -> None:
    use_env({"NO_PROXY": "127.0.0.1"})
    url = azurite.sas_url(unique())
    url = url.replace("/tests/", "/other/") if broken == "container" else re.sub(r"sig=.{5}", "sig=AAAAA", url)

    with pytest.raises(DestinationError) as caught:
        save_cog(small(), url)

    check(caught.value, url.partition("?")[0] + "?***", "HTTP 40")


# GCS.


def test_wrong_token_of_google_is_reported(moto: MotoServer, use_env: UseEnv) -> None:
    use_env(moto.gcs_wrong_token_env())

    refusal(moto.gcs_url(unique()), "credentials")


def test_missing_bucket_of_google_is_reported(moto: MotoServer, use_env: UseEnv) -> None:
    use_env(moto.gcs_env())

    refusal(f"gs://no-such-bucket/{unique()}", "bucket")


@pytest.mark.parametrize("endpoint", ["refused", UNKNOWN], ids=["refused", "unknown host"])
def test_unreachable_google_is_reported(moto: MotoServer, use_env: UseEnv, endpoint: str) -> None:
    use_env(moto.gcs_env() | {"GOOGLE_BASE_URL": refused_url() if endpoint == "refused" else endpoint})

    refusal(moto.gcs_url(unique()), "unreachable")


@pytest.fixture
def gcs_files(fake_gcs: GcsServer, use_env: UseEnv) -> Callable[[str], Any]:
    """Return a function that makes gcsfs's filesystem for an endpoint; it tries once."""
    use_env(fake_gcs.env())

    def make(endpoint: str) -> Any:
        fs = fsspec.filesystem("gcs", token="anon", endpoint_url=endpoint, skip_instance_cache=True)
        fs.retries = 1
        return fs

    return make


@pytest.mark.parametrize(
    ("status", "reason", "advice"),
    [
        (403, "forbidden", "denied"),
        (401, "authError", "credentials"),
        (404, "notFound", ""),
        (413, "tooLarge", "large"),
    ],
)
def test_errors_of_gcsfs_have_their_advice(
    fake_gcs: GcsServer, gcs_files: Any, status: int, reason: str, advice: str
) -> None:
    with FaultProxy(fake_gcs.endpoint) as proxy:
        proxy.add(Fault(when=Match(method="PUT POST"), do=gcs_error(status, reason), times=None))

        refusal(fake_gcs.url(unique()), advice, fs=gcs_files(proxy.url))


def test_missing_bucket_of_gcsfs_is_reported(fake_gcs: GcsServer, gcs_files: Any) -> None:
    with pytest.raises(DestinationError) as caught:
        save_cog(small(), "gs://no-such-bucket/out.tif", fs=gcs_files(fake_gcs.endpoint))

    check(caught.value, "gs://no-such-bucket/out.tif", "")


# HTTP.


@pytest.mark.parametrize(
    ("place", "advice"),
    [("locked", "credentials"), ("refusing", "static"), ("small", "large")],
)
def test_a_refusal_of_nginx_has_its_advice(nginx: WebServer, use_env: UseEnv, place: str, advice: str) -> None:
    use_env(nginx.env())

    refusal(getattr(nginx, f"{place}_url")(unique()), advice)


@pytest.mark.parametrize("base", ["refused", UNKNOWN, "http://127.0.0.1:1"], ids=["refused", "unknown host", "port 1"])
def test_unreachable_server_is_reported(use_env: UseEnv, base: str) -> None:
    use_env({"NO_PROXY": "*"})

    refusal(f"{refused_url() if base == 'refused' else base}/out.tif", "unreachable")


@pytest.mark.parametrize("url", ["http://host:port/out.tif", "http://[::1/out.tif", "http://host:99999/out.tif",
                                 "http://a b/out.tif", "http://.../out.tif"])  # fmt: skip
def test_invalid_url_is_reported(use_env: UseEnv, url: str) -> None:
    use_env({"NO_PROXY": "*"})

    with pytest.raises(DestinationError) as caught:
        save_cog(small(), url)

    check(caught.value, url, "")


@pytest.mark.parametrize("server", ["seaweed", "moto"])
def test_expired_presigned_url_is_reported(server: str, use_env: UseEnv, request: pytest.FixtureRequest) -> None:
    s3: S3Server = request.getfixturevalue(server)
    if server == "moto":
        pytest.skip("moto does not check the time")
    use_env({"NO_PROXY": "127.0.0.1"})
    url = s3.signed_url(unique(), expires_in_seconds=1)
    time.sleep(2)

    refusal(url, "expired", name=url.partition("?")[0] + "?***")


def test_presigned_url_of_another_object_is_reported(seaweed: S3Server, use_env: UseEnv) -> None:
    use_env({"NO_PROXY": "127.0.0.1"})
    url = seaweed.signed_url(unique()).replace("out.tif", "other.tif")

    refusal(url, "credentials", name=url.partition("?")[0] + "?***")


def test_read_only_presigned_url_is_reported(seaweed: S3Server, use_env: UseEnv) -> None:
    use_env({"NO_PROXY": "127.0.0.1"})
    wanted = {"Bucket": seaweed.bucket, "Key": unique()}
    url = seaweed.client.generate_presigned_url("get_object", Params=wanted, ExpiresIn=600)

    refusal(url, "credentials", name=url.partition("?")[0] + "?***")


# Filesystems of files.


@pytest.mark.parametrize("scheme", ["sftp", "ftp"])
def test_unreachable_sftp_server_is_reported(use_env: UseEnv, scheme: str) -> None:
    use_env({})
    url = f"{scheme}://127.0.0.1:{refused_url().rpartition(':')[2]}/out.tif"

    refusal(url, "unreachable")
    read_refusal(url)


# Reading.


@pytest.mark.parametrize("wrong", ["bucket", "key", "secret", "key id", "endpoint"])
def test_a_failed_read_from_s3_names_the_reason(seaweed: S3Server, s3_options: Any, wrong: str) -> None:
    changes = {"secret": {"AWS_SECRET_ACCESS_KEY": "wrong"}, "key id": {"AWS_ACCESS_KEY_ID": "nobody"},
               "endpoint": {"AWS_ENDPOINT_URL": refused_url()}}.get(wrong, {})  # fmt: skip
    env = {name: value for name, value in (seaweed.env() | changes).items() if name != "AWS_S3_ENDPOINT"}
    options = s3_options(env | {"GDAL_HTTP_MAX_RETRY": "0"})
    if wrong == "bucket" and type(options.get("fs")).__name__ == "S3Store":
        pytest.skip("a store is bound to its bucket")

    read_refusal(f"s3://{'no-such-bucket' if wrong == 'bucket' else seaweed.bucket}/{unique()}", **options)


@pytest.mark.parametrize("wrong", ["container", "blob", "key"])
def test_a_failed_read_from_azure_names_the_reason(azurite: AzureServer, azure_options: Any, wrong: str) -> None:
    options = azure_options(connection(azurite, key="d3Jvbmc=" if wrong == "key" else ""))

    read_refusal(f"az://{'no-such-container' if wrong == 'container' else azurite.container}/{unique()}", **options)


@pytest.mark.parametrize("wrong", ["bucket", "object", "token"])
def test_a_failed_read_from_google_names_the_reason(moto: MotoServer, use_env: UseEnv, wrong: str) -> None:
    use_env(moto.gcs_wrong_token_env() if wrong == "token" else moto.gcs_env())

    read_refusal(f"gs://{'no-such-bucket' if wrong == 'bucket' else moto.bucket}/{unique()}")


@pytest.mark.parametrize("place", ["", "locked_", "busy_"])
def test_a_failed_read_from_a_server_names_the_reason(nginx: WebServer, use_env: UseEnv, place: str) -> None:
    use_env(nginx.env())

    read_refusal(getattr(nginx, f"{place}url")(unique()))


def test_reading_by_fs_names_a_missing_bucket(seaweed: S3Server, s3_options: Any) -> None:
    options = s3_options(seaweed.env())
    if "fs" not in options:
        pytest.skip("GDAL words the message")

    error = read_refusal(seaweed.url(unique()), **options)

    assert re.search("no such object|no such folder", str(error))
