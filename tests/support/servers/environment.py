"""The environment of a test that talks to a server of this machine: the server's variables, and no others."""

from __future__ import annotations

import os

import pytest

#: What names a cloud's credentials or endpoints, or a proxy, for one of the clients in these tests.
_OF_CLOUDS = ("AWS_", "GOOGLE_", "GCS_", "GCSFS_", "GCLOUD_", "CLOUDSDK_", "AZURE_", "AZURITE_", "OSS_", "FSSPEC_")
_OF_CLOUDS_WHOLE = {"STORAGE_EMULATOR_HOST", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "BOTO_CONFIG"}


def use(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Set `variables` for one test, and remove all others that name another store or user."""
    for name in list(os.environ):
        if name.upper().startswith(_OF_CLOUDS) or name.upper() in _OF_CLOUDS_WHOLE:
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
