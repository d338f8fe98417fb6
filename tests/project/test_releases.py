"""What a release consists of says the same everywhere: version, dependencies, licence."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

import georeader
from places import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = (ROOT / "conda" / "meta.yaml").read_text()


def requirements_of(lines: list[str]) -> set[str]:
    return {line.replace(" ", "") for line in lines}


@pytest.mark.parametrize(
    "found",
    [
        georeader.__version__,
        re.findall(r'set version = "(.*)"', RECIPE)[0],
        re.findall(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[0],
    ],
    ids=["__version__", "conda", "CITATION.cff"],
)
def test_version_is_that_of_the_project(found: str) -> None:
    assert found == PROJECT["version"]


def test_changelog_begins_with_what_is_unreleased_and_the_dated_version() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    date = re.findall(r"^date-released: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[0]

    assert headings[:2] == ["Unreleased", f"{PROJECT['version']} - {date}"]


def test_recipe_has_the_dependencies_of_the_project() -> None:
    run = re.findall(r"\n  run:\n((?:    - .*\n)+)", RECIPE)[0]

    found = requirements_of(re.findall(r"- (.*)", run))

    assert found == requirements_of([f"python{PROJECT['requires-python']}", *PROJECT["dependencies"]])


def test_recipe_has_the_licence_files_and_summary_of_the_project() -> None:
    assert PROJECT["description"] in RECIPE
    assert all(f"    - {name}\n" in RECIPE for name in PROJECT["license-files"])
