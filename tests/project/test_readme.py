"""The README and the pages of docs/ are right: their code runs, their commands exist, their links lead somewhere."""

from __future__ import annotations

import codeop
import re
import shlex
from pathlib import Path

import pytest

from by_command import run
from places import ROOT

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]

#: Pages whose code needs more than a folder to run in; modules of their own test them.
TESTED_ELSEWHERE = {"clouds.md", "validation.md", "xarray.md"}
WITH_CODE = [page for page in PAGES if "```python\n" in page.read_text() and page.name not in TESTED_ELSEWHERE]


def blocks_of(page: Path) -> list[str]:
    """Return the Python code of a page."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.filterwarnings(
    "ignore:Use `@` matmul:PendingDeprecationWarning",  # of affine, by rioxarray
    "ignore:The 'shapely.ops.transform:DeprecationWarning",  # by odc-geo
)
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_code_of_a_page_runs_and_prints_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}

    for block in blocks_of(page):
        exec(compile(block, page.name, "exec"), names)

    shown = [line[2:] for block in blocks_of(page) for line in block.splitlines() if line.startswith("# ")]
    assert capsys.readouterr().out.splitlines() == shown


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=lambda page: page.name)
def test_code_of_a_page_can_be_pasted_into_an_interpreter(page: Path) -> None:
    """A plain interpreter ends a loop or a function at an empty line and nowhere else; only a class may hold one."""
    for block in [block for block in blocks_of(page) if "class " not in block]:
        lines: list[str] = []
        for line in [*block.splitlines(), ""]:
            lines.append(line)
            is_whole = codeop.compile_command("\n".join(lines), symbol="single") is not None
            lines = [] if is_whole else lines
        assert lines == []


def test_commands_of_the_readme_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks_of(ROOT / "README.md")[0], "README.md", "exec"), {})

    for line in re.findall(r"^\$ (georeader .*)$", README, re.MULTILINE):
        done = run(*shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.tif", "ndvi.tif", "out.png", "out.tif"]


def test_readme_has_at_most_90_lines() -> None:
    assert README.count("\n") <= 90


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_have_existing_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE) if anchor else []
        slugs = [re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings]
        assert not anchor or anchor in slugs, target


def test_the_commands_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"demo", "test"} <= targets
    assert set(re.findall(r"^make ([\w-]+)", README, re.MULTILINE)) <= targets
