"""The code of docs/clouds.md runs against servers on this machine, by the credentials that each section describes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from places import ROOT
from servers.azurite import AzureServer
from servers.moto_server import MotoServer
from servers.nginx import WebServer

UseEnv = Callable[[dict[str, str]], None]

INTRODUCTION, *SECTIONS = re.split(r"^## ", (ROOT / "docs" / "clouds.md").read_text(), flags=re.MULTILINE)

pytestmark = pytest.mark.server


def code_of(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run_section(title: str, replaced: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Run the introduction and a section, with names of buckets and hosts that exist."""
    (section,) = [text for text in SECTIONS if text.startswith(f"{title}\n")]
    names: dict[str, Any] = {}
    blocks = [*code_of(INTRODUCTION), *code_of(section)]
    for block in blocks:
        code = block
        for written, actual in replaced.items():
            code = code.replace(written, actual)
        exec(compile(code, f"clouds.md, {title}", "exec"), names)
    shown = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("# ")]
    assert capsys.readouterr().out.splitlines() == shown


def test_s3(moto: MotoServer, use_env: UseEnv, capsys: pytest.CaptureFixture[str]) -> None:
    use_env(moto.env())
    run_section("S3", {"//bucket/": f"//{moto.bucket}/"}, capsys)
    assert {"scene.tif", "by-s3fs.tif"} <= set(moto.keys())


def test_google_cloud_storage(moto: MotoServer, use_env: UseEnv, capsys: pytest.CaptureFixture[str]) -> None:
    use_env(moto.gcs_env())
    run_section("Google Cloud Storage", {"//bucket/": f"//{moto.bucket}/"}, capsys)
    assert "scene.tif" in moto.keys()  # noqa: SIM118  (a server, not a mapping)


def test_azure(azurite: AzureServer, use_env: UseEnv, capsys: pytest.CaptureFixture[str]) -> None:
    use_env(azurite.env())
    run_section("Azure", {"//container/": f"//{azurite.container}/"}, capsys)
    assert {"scene.tif", "by-adlfs.tif"} <= set(azurite.keys())


def test_http(nginx: WebServer, use_env: UseEnv, capsys: pytest.CaptureFixture[str]) -> None:
    use_env(nginx.env())
    run_section("HTTP", {"https://host/": nginx.url("")}, capsys)
    assert (nginx.folder / "scene.tif").exists()


def test_a_server_to_try_it(moto: MotoServer, use_env: UseEnv, capsys: pytest.CaptureFixture[str]) -> None:
    use_env(moto.env())
    run_section("A server to try it", {"http://127.0.0.1:5000": moto.endpoint, '"bucket"': '"tried"'}, capsys)
    run_section("S3", {"//bucket/": "//tried/"}, capsys)


def test_each_section_is_tested() -> None:
    titles = {text.partition("\n")[0] for text in SECTIONS}
    assert titles == {"A server to try it", "S3", "Google Cloud Storage", "Azure", "HTTP"}
