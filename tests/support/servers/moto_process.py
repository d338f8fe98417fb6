"""moto's S3 at a port of 127.0.0.1, which also answers requests of obstore's client for Google Cloud Storage.

Google's XML API, which obstore speaks, is S3's but for how a request is signed and how a condition is said. Standing
between the two, `GoogleToS3` translates these, and refuses a token that it does not know. Run by `moto_server`:
arguments are the port and the token.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Start = Callable[..., Any]

#: What makes moto take a request for the owner's; it checks no signature.
_SIGNED = "AWS4-HMAC-SHA256 Credential=owner/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


class GoogleToS3:
    """A WSGI application before moto's."""

    def __init__(self, s3: Callable[[dict[str, Any], Start], Iterable[bytes]], token: str) -> None:
        self.s3 = s3
        self.token = token

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        kind, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if kind == "Bearer" and token.strip() not in ("", self.token):
            start("401 Unauthorized", [("Content-Length", "0")])
            return []
        # A service account that says "disable_oauth" has an empty token, or none at all.
        if kind == "Bearer" or not (kind or "Signature=" in environ.get("QUERY_STRING", "")):
            environ["HTTP_AUTHORIZATION"] = _SIGNED
        if environ.get("HTTP_X_GOOG_IF_GENERATION_MATCH") == "0":
            environ["HTTP_IF_NONE_MATCH"] = "*"
        return self.s3(environ, start)


if __name__ == "__main__":
    application = GoogleToS3(DomainDispatcherApplication(create_backend_app), sys.argv[2])
    make_server("127.0.0.1", int(sys.argv[1]), application, threaded=True).serve_forever()
