"""The local servers behave as the clouds document, as far as the tests of destinations rely on it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator

import fsspec
import pytest

from servers.azurite import AzureServer
from servers.fake_gcs import GcsServer
from servers.http_requests import send_request
from servers.moto_server import MotoServer
from servers.nginx import SMALL_LIMIT_BYTES, WebServer
from servers.s3 import SMALLEST_PART_BYTES, S3Server, client
from servers.sftp import SftpServer

Use = Callable[[dict[str, str]], None]


@pytest.fixture(params=["seaweed", "moto"])
def s3(request: pytest.FixtureRequest) -> S3Server:
    server: S3Server = request.getfixturevalue(request.param)
    return server


def test_s3_keeps_objects(s3: S3Server) -> None:
    s3.put("folder/ä b.tif", b"content")

    assert s3.get("folder/ä b.tif") == b"content"
    assert s3.exists("folder/ä b.tif")
    assert not s3.exists("folder")
    assert s3.keys() == ["folder/ä b.tif"]
    s3.clear()
    assert s3.keys() == []


def test_s3_refuses_to_replace_on_condition(s3: S3Server) -> None:
    s3.put("a", b"first")

    with pytest.raises(s3.client.exceptions.ClientError) as refusal:
        s3.client.put_object(Bucket=s3.bucket, Key="a", Body=b"second", IfNoneMatch="*")

    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert s3.get("a") == b"first"


def test_s3_has_open_uploads_until_they_end(s3: S3Server) -> None:
    upload = {"Bucket": s3.bucket, "Key": "a"}
    upload["UploadId"] = s3.client.create_multipart_upload(**upload)["UploadId"]
    bodies = [b"1" * SMALLEST_PART_BYTES, b"2"]
    parts = [s3.client.upload_part(PartNumber=n, Body=body, **upload) for n, body in enumerate(bodies, 1)]

    assert [one["Key"] for one in s3.open_uploads()] == ["a"]
    assert [part["Size"] for part in s3.parts(upload)] == [SMALLEST_PART_BYTES, 1]
    assert not s3.exists("a")

    numbered = [{"PartNumber": n, "ETag": part["ETag"]} for n, part in enumerate(parts, 1)]
    s3.client.complete_multipart_upload(MultipartUpload={"Parts": numbered}, **upload)
    assert s3.get("a") == b"".join(bodies)
    assert s3.open_uploads() == []


def test_s3_aborts_uploads(s3: S3Server) -> None:
    s3.client.create_multipart_upload(Bucket=s3.bucket, Key="a")

    s3.clear()

    assert s3.open_uploads() == []


def test_obstore_finds_s3_by_the_environment(s3: S3Server, use_env: Use) -> None:
    import obstore
    from obstore.store import S3Store

    use_env(s3.env())
    obstore.put(S3Store(s3.bucket), "a", b"content")

    assert s3.get("a") == b"content"


def test_s3fs_finds_s3_by_the_environment(s3: S3Server, use_env: Use) -> None:
    use_env(s3.env())
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    files.pipe_file(f"{s3.bucket}/a", b"content")

    assert s3.get("a") == b"content"


@pytest.mark.parametrize(
    ("identity", "code"),
    [
        ("reader", "AccessDenied"),
        ("a wrong secret", "SignatureDoesNotMatch"),
        ("nobody", "InvalidAccessKeyId"),
    ],
)
def test_seaweed_lets_only_the_owner_write(seaweed: S3Server, identity: str, code: str) -> None:
    pairs = {
        "reader": (seaweed.reader_key, seaweed.reader_secret),
        "a wrong secret": (seaweed.key, "wrong"),
        "nobody": ("nobody", "wrong"),
    }

    with (
        client(seaweed.endpoint, *pairs[identity], seaweed.region) as other,
        pytest.raises(other.exceptions.ClientError) as refusal,
    ):
        other.put_object(Bucket=seaweed.bucket, Key="a", Body=b"content")

    assert refusal.value.response["Error"]["Code"] == code
    assert seaweed.keys() == []


def test_seaweed_lets_the_reader_read(seaweed: S3Server) -> None:
    seaweed.put("a", b"content")

    with client(seaweed.endpoint, seaweed.reader_key, seaweed.reader_secret, seaweed.region) as reader:
        assert reader.get_object(Bucket=seaweed.bucket, Key="a")["Body"].read() == b"content"
    assert seaweed.read_only_env()["AWS_ACCESS_KEY_ID"] == seaweed.reader_key


def test_seaweed_checks_checksums(seaweed: S3Server) -> None:
    with pytest.raises(seaweed.client.exceptions.ClientError, match="BadDigest"):
        seaweed.client.put_object(Bucket=seaweed.bucket, Key="a", Body=b"content", ChecksumCRC32="AAAAAA==")


def test_seaweed_accepts_a_signed_url_until_it_expires(seaweed: S3Server) -> None:
    url = seaweed.signed_url("a", expires_in_seconds=1)

    assert send_request("PUT", url, b"content").status == 200
    assert send_request("PUT", url.replace("/a?", "/b?"), b"content").status == 403
    time.sleep(2)
    assert send_request("PUT", url, b"late").status == 403
    assert seaweed.get("a") == b"content"


@pytest.mark.parametrize("by", ["token", "service account"])
def test_obstore_writes_to_a_google_bucket_of_moto(moto: MotoServer, use_env: Use, by: str) -> None:
    import obstore
    from obstore.store import GCSStore

    use_env(moto.gcs_env() if by == "token" else moto.gcs_service_account_env())
    store = GCSStore(moto.bucket, client_options={"allow_http": True})
    obstore.put(store, "a", b"content", mode="create")
    obstore.put(store, "b", b"1" * 2 * SMALLEST_PART_BYTES, use_multipart=True)

    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store, "a", b"other", mode="create")
    assert obstore.head(store, "a")["size"] == len(b"content")
    assert (moto.get("a"), len(moto.get("b"))) == (b"content", 2 * SMALLEST_PART_BYTES)


def test_moto_refuses_a_wrong_token(moto: MotoServer, use_env: Use) -> None:
    import obstore
    from obstore.store import GCSStore

    use_env(moto.gcs_wrong_token_env())

    with pytest.raises(obstore.exceptions.UnauthenticatedError):
        obstore.put(GCSStore(moto.bucket, client_options={"allow_http": True}), "a", b"content")


def test_azurite_keeps_blobs(azurite: AzureServer) -> None:
    azurite.put("folder/ä b.tif", b"content")

    assert azurite.get("folder/ä b.tif") == b"content"
    assert azurite.exists("folder/ä b.tif")
    assert azurite.keys() == ["folder/ä b.tif"]
    azurite.clear()
    assert azurite.keys() == []


def test_azurite_accepts_a_signed_url_for_its_permissions(azurite: AzureServer) -> None:
    blob = {"x-ms-blob-type": "BlockBlob"}

    assert send_request("PUT", azurite.sas_url("a"), b"content").status == 400
    assert send_request("PUT", azurite.sas_url("a"), b"content", blob).status == 201
    assert send_request("PUT", azurite.sas_url("a"), b"other", blob | {"If-None-Match": "*"}).status == 409
    assert send_request("PUT", azurite.sas_url("a", permissions="r"), b"other", blob).status == 403
    assert send_request("PUT", azurite.sas_url("a", expires_in_seconds=-60), b"other", blob).status == 403
    assert send_request("GET", azurite.http_url("a")).status == 403
    assert send_request("GET", azurite.sas_url("a")).body == b"content"


def test_azurite_has_blocks_until_they_are_cleared(azurite: AzureServer) -> None:
    azurite.client.get_blob_client("a").stage_block("MDAwMA==", b"content")

    assert azurite.uncommitted_blobs() == ["a"]
    assert azurite.uncommitted_blocks("a") == ["MDAwMA=="]
    assert azurite.keys() == []
    azurite.clear()
    assert azurite.uncommitted_blobs() == []
    assert azurite.uncommitted_blocks("a") == []


def test_obstore_finds_azurite_by_the_environment(azurite: AzureServer, use_env: Use) -> None:
    import obstore
    from obstore.store import AzureStore

    use_env(azurite.env())
    obstore.put(AzureStore(azurite.container), "a", b"content")

    assert azurite.get("a") == b"content"


def test_adlfs_finds_azurite_by_the_environment(azurite: AzureServer, use_env: Use) -> None:
    use_env(azurite.env())
    files = fsspec.filesystem("az", skip_instance_cache=True)
    files.pipe_file(f"{azurite.container}/a", b"content")

    assert azurite.get("a") == b"content"


def test_gcsfs_finds_fake_gcs_by_the_environment(fake_gcs: GcsServer, use_env: Use) -> None:
    use_env(fake_gcs.env())
    files = fsspec.filesystem("gs", token="anon", skip_instance_cache=True)
    files.pipe_file(f"{fake_gcs.bucket}/folder/ä b.tif", b"content")

    assert fake_gcs.get("folder/ä b.tif") == b"content"
    assert fake_gcs.exists("folder/ä b.tif")
    assert fake_gcs.keys() == ["folder/ä b.tif"]
    fake_gcs.clear()
    assert not fake_gcs.exists("folder/ä b.tif")


def test_nginx_stores_files_and_serves_ranges(nginx: WebServer) -> None:
    assert send_request("PUT", nginx.url("folder/ä b.tif"), b"first").status == 201
    assert send_request("PUT", nginx.url("folder/ä b.tif"), b"content").status == 204
    assert nginx.keys() == ["folder/ä b.tif"]

    answer = send_request("GET", nginx.url("folder/ä b.tif"), headers={"Range": "bytes=1-2"})

    assert (answer.status, answer.body) == (206, b"on")


def test_nginx_refuses_what_its_configuration_forbids(nginx: WebServer) -> None:
    nginx.put("careful/a", b"first")
    condition = {"If-None-Match": "*"}

    assert send_request("PUT", nginx.refusing_url("a"), b"content").status == 405
    assert send_request("PUT", nginx.locked_url("a"), b"content").status == 401
    assert send_request("PUT", nginx.locked_url("a"), b"content", nginx.headers(password="wrong")).status == 401
    assert send_request("PUT", nginx.locked_url("a"), b"content", nginx.headers()).status == 201
    assert send_request("PUT", nginx.small_url("a"), b"1" * SMALL_LIMIT_BYTES).status == 201
    assert send_request("PUT", nginx.small_url("a"), b"1" * (SMALL_LIMIT_BYTES + 1)).status == 413
    assert send_request("PUT", nginx.busy_url("a"), b"content").status == 503
    assert send_request("PUT", nginx.moved_url("a"), b"content").headers["Location"] == nginx.url("a")
    assert send_request("PUT", nginx.careful_url("a"), b"content", condition).status == 412
    assert send_request("PUT", nginx.careful_url("b"), b"content", condition).status == 201


@pytest.fixture
def sftp_files(sftp: SftpServer) -> Iterator[fsspec.AbstractFileSystem]:
    """fsspec's filesystem, hung up at the end: fsspec itself leaves that to chance."""
    files = fsspec.filesystem("sftp", **sftp.options(), skip_instance_cache=True)
    yield files
    files.ftp.close()
    files.client.close()
    gc.collect()


def test_sftp_keeps_files(sftp: SftpServer, sftp_files: fsspec.AbstractFileSystem) -> None:
    sftp_files.makedirs("/folder")
    sftp_files.pipe_file("/folder/ä b.tif", b"content")
    sftp_files.pipe_file("/other", b"other")
    sftp_files.mv("/folder/ä b.tif", "/other")

    assert sftp.keys() == ["other"]
    assert sftp.get("other") == b"content"
