"""A bucket of an S3 server on this machine, as a test sees and changes it: by boto3, which no one here wrote."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

#: An object's parts have at least 5 MiB in S3, but the last.
SMALLEST_PART_BYTES = 5 * 2**20


@dataclass(frozen=True)
class S3Server:
    """A bucket on a server.

    Attributes:
        endpoint: The server's URL.
        bucket: The bucket, which was made at the start.
        region: What the server says it is in.
        key: The access key of the owner, with all permissions.
        secret: Its secret.
        reader_key: The access key of the reader, who may only read and list.
        reader_secret: Its secret.
        client: boto3's, of the owner.
    """

    endpoint: str
    bucket: str
    region: str
    key: str
    secret: str
    reader_key: str
    reader_secret: str
    client: Any

    def env(self) -> dict[str, str]:
        """The variables by which boto3, obstore, s3fs and GDAL find the server, and no file of the user's."""
        return self._env(self.key, self.secret)

    def read_only_env(self) -> dict[str, str]:
        """`env` of the reader."""
        return self._env(self.reader_key, self.reader_secret)

    def _env(self, key: str, secret: str) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ALLOW_HTTP": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            # GDAL's: it knows no AWS_ENDPOINT_URL.
            "AWS_S3_ENDPOINT": self.endpoint.removeprefix("http://"),
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }

    def url(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def signed_url(self, key: str, expires_in_seconds: int = 3600) -> str:
        """A URL at which one object can be PUT without credentials."""
        wanted = {"Bucket": self.bucket, "Key": key}
        url: str = self.client.generate_presigned_url("put_object", Params=wanted, ExpiresIn=expires_in_seconds)
        return url

    def get(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=content)

    def exists(self, key: str) -> bool:
        try:
            self.client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return False
        return True

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def open_uploads(self) -> list[dict[str, Any]]:
        """The multipart uploads that were neither completed nor aborted: each has Key and UploadId."""
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket)
        return [upload for page in pages for upload in page.get("Uploads", [])]

    def parts(self, upload: dict[str, Any]) -> list[dict[str, Any]]:
        """What an unfinished upload has so far: each part has PartNumber, Size and ETag."""
        pages = self.client.get_paginator("list_parts").paginate(
            Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
        )
        return [part for page in pages for part in page.get("Parts", [])]

    def clear(self) -> None:
        """Remove all objects and abort all uploads."""
        for key in self.keys():
            self.client.delete_object(Bucket=self.bucket, Key=key)
        for upload in self.open_uploads():
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])


@contextmanager
def client(endpoint: str, key: str, secret: str, region: str) -> Iterator[Any]:
    """A boto3 client without retries and without the user's settings, closed at the end."""
    import boto3
    from botocore.config import Config

    config = Config(
        signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={}
    )
    session = boto3.session.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name=region)
    made = session.client("s3", endpoint_url=endpoint, config=config)
    try:
        yield made
    finally:
        made.close()
