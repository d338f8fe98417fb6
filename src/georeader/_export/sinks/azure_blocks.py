"""A blob in Azure that is made of blocks, which several processes may send.

obstore signs a URL for the blob (a service SAS, which needs the account's key, or a user delegation SAS); blocks are
sent to it. Blocks of an upload that is given up have no effect; Azure removes them after a week, or with the next save
of the blob.

References:
    Azure Blob Storage REST API: "Put Block", "Put Block List" (50,000 blocks, ids of one length), "Create a service
    SAS".
"""

from __future__ import annotations

import base64
import io
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from georeader._core.reporting import import_extra
from georeader._export.sinks.http_put import failure_of
from georeader._export.sinks.obstore_put import SAVE_NAME, ObstorePut
from georeader._storage.http_client import Answer, RefusedError, explain, request
from georeader._storage.remote_errors import RemoteErrors
from georeader.errors import ExistsError

#: Signed URLs are valid for so long, and used for half of it.
URL_SECONDS = 4 * 3600

#: Digits of a block's number in its id.
_DIGITS = 6


@dataclass(repr=False, eq=False)
class AzureBlocks:
    """A `PartObject`: a blob of a store of obstore, which ``target`` checks before and after."""

    target: ObstorePut
    errors: RemoteErrors  #: Of requests to the signed URL
    _signed: tuple[str, float] = field(default=("", 0.0), init=False)

    min_part_bytes = 1
    max_parts = 50_000

    @property
    def name(self) -> str:
        """The blob, without secrets."""
        return self.target.name

    def check(self) -> None:
        """Check the store, whether it signs, and that no blob exists where it may not be replaced."""
        self.target.check()
        self._url()

    def put(self, body: bytes) -> None:
        """Send the blob as one block."""
        upload = self.begin()
        self.complete(upload, {1: self.send(upload, 1, body)}, len(body))

    def begin(self) -> str:
        """Return what ids of this upload's blocks begin with; nothing is sent."""
        return secrets.token_hex(6)

    def send(self, upload: str, number: int, body: bytes) -> str:
        """Send a block; return its id."""
        block = base64.b64encode(f"{upload}{number:0{_DIGITS}d}".encode()).decode()
        query = f"comp=block&blockid={quote(block)}"
        self.errors.call(lambda: self._put(query, body, {}), f"block {number} cannot be sent")
        return block

    def complete(self, upload: str, parts: Mapping[int, str], size_bytes: int) -> None:
        """Make the blob of its blocks."""
        listed = "".join(f"<Latest>{parts[number]}</Latest>" for number in sorted(parts))
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        headers = {"x-ms-blob-content-type": self.target.content_type}
        if not self.target.overwrite:
            headers |= {"If-None-Match": "*", f"x-ms-meta-{SAVE_NAME}": upload}
        try:
            self.errors.call(lambda: self._put("comp=blocklist", body, headers))
        except ExistsError:
            # The answer to an earlier attempt may have been lost.
            if not self.target.has_mark(upload, size_bytes):
                raise
        self.target.check_sent(size_bytes)

    def abort(self, upload: str) -> None:
        """Do nothing: blocks that are in no list have no effect."""

    def _put(self, query: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        sent = {"Content-Length": str(len(body)), "x-ms-version": "2021-08-06", **headers}
        answer = request("PUT", f"{self._url()}&{query}", sent, io.BytesIO(body))
        if not 200 <= answer.status < 300:
            raise RefusedError(failure_of(answer))
        return answer

    def _url(self) -> str:
        url, until = self._signed
        if time.monotonic() >= until:
            url = self.target.errors.call(lambda: _sign(self.target), "no URL can be signed for it")
            self._signed = url, time.monotonic() + URL_SECONDS / 2
        return url


def _sign(target: ObstorePut) -> str:
    obstore: Any = import_extra("obstore", extra="cloud", purpose=repr(target.name))
    return str(obstore.sign(target.make_store(0), "PUT", target.key, timedelta(seconds=URL_SECONDS)))


def can_sign(target: ObstorePut) -> bool:
    """Return whether a store signs URLs: one with a SAS token of its own does not."""
    try:
        _sign(target)
    except Exception:  # noqa: BLE001  (obstore raises anything; the caller has another way)
        return False
    return True


def azure_blocks(target: ObstorePut) -> AzureBlocks:
    """Return the blob of a target, to be made of blocks."""
    return AzureBlocks(target, RemoteErrors(target.name, target.errors.redactor, explain, client_retries=True))
