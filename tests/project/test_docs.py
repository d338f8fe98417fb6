"""The documentation site is complete: each page shows something, each public name is in the reference.

``make docs-build`` checks its links; test_readme.py checks those of the repository and runs the code.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

from by_command import run
from georeader import GeoTensor, save_cog
from places import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]

#: Pages that the hook of the site takes from outside docs/.
OUTSIDE = {
    "contributing": ROOT / "CONTRIBUTING.md",
    "changelog": ROOT / "CHANGELOG.md",
    "benchmarks": ROOT / "benchmarks" / "README.md",
}


def source_of(path: str) -> Path:
    """Return the file of a page of the site."""
    name = path.strip("/")
    candidates = [OUTSIDE.get(name), DOCS / f"{name}.md", DOCS / name / "index.md", DOCS / name / "README.md"]
    return next((file for file in candidates if file and file.is_file()), DOCS / f"{name}.md")


@pytest.mark.parametrize("page", [*PAGES, *OUTSIDE.values()], ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_page_has_a_picture_code_or_a_table(page: Path) -> None:
    assert re.search(r"^(```|!\[|\| ?-|\|-|::: )", page.read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", ["command_line.md", "moving.md"])
def test_commands_of_a_page_succeed(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_cog(GeoTensor(np.ones((600, 500), "float32"), (10, 0, 0, 0, -10, 0), "EPSG:32630", nodata=np.nan), "ndvi.tif")

    commands = re.findall(r"^\$ georeader (.*)$", (DOCS / page).read_text(), re.MULTILINE)
    assert len(commands) > 3
    for line in commands:
        if not line.startswith("view "):  # it serves until Ctrl-C
            done = run(*shlex.split(line))
            assert done.exit_code == 0, done.output


def test_pages_have_no_code_that_is_not_tested() -> None:
    tested = {"python", "console", "text", "json", "js", ""}
    for page in PAGES:
        text = page.read_text()
        fences = re.findall(r"^```(.*)$", text, re.MULTILINE)
        assert set(fences) <= tested, page
        outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
        assert not re.search(r"\n\n    \S", outside), page


def test_links_of_the_readme_to_the_site_have_a_page_and_a_heading() -> None:
    site = re.escape(URLS["Documentation"])
    links = re.findall(rf"\]\({site}([^)#]*)(?:#([^)]*))?\)", (ROOT / "README.md").read_text())

    assert len(links) > 5
    for path, anchor in links:
        page = source_of(path)
        assert page.is_file(), path
        headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, anchor


def test_urls_of_the_project_are_pages_of_the_site_or_of_its_source() -> None:
    site = URLS["Documentation"]

    assert URLS["Issues"].startswith(URLS["Source"])
    assert source_of(URLS["Changelog"].removeprefix(site)).is_file()
    assert f"site_url: {site}\n" in (ROOT / "mkdocs.yml").read_text()


def test_public_names_are_in_the_reference() -> None:
    pages = "\n".join(page.read_text() for page in DOCS.glob("api/*.md"))
    # A function with the name of a module is shown by the name that it has in the module.
    shown = {re.sub(r"\.(view|save)\.([a-z])", r".\2", name) for name in re.findall(r"^::: (.*)$", pages, re.MULTILINE)}
    lines = (ROOT / "tests/project/public_api.txt").read_text().splitlines()
    # Other names of what has its own line, and modules, are left out.
    named = [line for line in lines if re.match(r"geo(reader|toolz)\.[A-Za-z]", line) and " is " not in line]
    names = {re.split(r"[(:\[ ]", line)[0] for line in named if not line.endswith(": module")}

    def is_shown(name: str) -> bool:
        return any(part in shown for part in (name.rsplit(".", count)[0] for count in range(name.count("."))))

    assert [name for name in sorted(names) if "._" not in name and not is_shown(name)] == []
