"""Hooks of MkDocs: pages from notebooks and from outside docs/, and links that are right on the site and on GitHub."""

from __future__ import annotations

import base64
import json
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]

#: Files of the repository that are pages of the site.
PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "benchmarks/README.md": "benchmarks.md"}


class ExampleSections(griffe.Extension):
    """Reads "Example:" in docstrings as a section of code, as Griffe reads "Examples:"."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Replace the heading of the section."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/, and the pages and pictures of notebooks."""
    from mkdocs.structure.files import File

    for path, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    for notebook in sorted((ROOT / "docs").glob("**/*.ipynb")):
        page = notebook.relative_to(ROOT / "docs").with_suffix(".md")
        files.append(File.generated(config, page.as_posix(), abs_src_path=str(notebook)))
        for name, picture in _as_markdown(notebook)[1].items():
            files.append(File.generated(config, page.with_name(name).as_posix(), content=picture))
    return files


def on_page_read_source(*, page: Page, config: MkDocsConfig) -> str | None:  # noqa: ARG001
    """Return the Markdown of a notebook; None for a page that is a file of Markdown."""
    source = Path(str(page.file.abs_src_path))
    return _as_markdown(source)[0] if source.suffix == ".ipynb" else None


def _as_markdown(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """Return the cells of a notebook with their texts and PNGs as Markdown, and the PNGs by their names."""
    parts, pictures = [], {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {"text/plain": output.get("text")})
            if "image/png" in data:
                name = f"{notebook.stem}-{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode(data["image/png"])
                parts.append(f"![What the code above draws]({name})")
            else:
                parts.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
    parts.append(f'<a href="../{notebook.name}" download>This page as a notebook</a>')
    return "\n\n".join(parts), pictures


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Return the page with links that lead to pages of the site, or to the source of other files."""
    folder = Path(str(page.file.abs_src_path)).parent

    def rewritten(match: re.Match[str]) -> str:
        target, anchor = match.groups()
        file = (folder / target).resolve()
        if re.match(r"[a-z]+:", target) or not file.is_relative_to(ROOT) or not file.exists():
            return match[0]
        return f"]({_on_site(file, page.file.src_uri)}{anchor or ''})"

    return re.sub(r"\]\(([^)\s#]+)(#[^)\s]*)?\)", rewritten, markdown)


def _on_site(file: Path, page: str) -> str:
    """Return the link to a file of the repository from a page of the site."""
    path = file.relative_to(ROOT).as_posix()
    if path.startswith("docs/") and file.is_file():
        path = re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    elif path in PAGES:
        path = PAGES[path]
    else:
        return f"{SOURCE}/{'blob' if file.is_file() else 'tree'}/main/{path}"
    return Path(os.path.relpath(path, Path(page).parent)).as_posix()
