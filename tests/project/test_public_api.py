"""The public names of georeader and geotoolz, and their signatures, compared with the listing in ``public_api.txt``.

Private modules may move and be renamed; every line of the listing must stay, unless a change is announced. To record it
anew after such a change, and to read the difference with ``git diff``::

    python tests/project/test_public_api.py

The listing has one line for each function, class, method, property and constant, with parameters and defaults, but
without annotations, which name private modules; and one for each option of the command line. The listing is the same on
every supported Python.
"""

from __future__ import annotations

import ast
import difflib
import enum
import importlib
import inspect
import re
import tempfile
import tomllib
import types
import typing
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np

from georeader._core.sentinels import Unset

RECORD = Path(__file__).with_name("public_api.txt")
PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"

#: What README.md, docs/ and docstrings import from.
MODULES = (
    "georeader",
    "georeader.abstract_reader",
    "georeader.cog_writer",
    "georeader.collection",
    "georeader.errors",
    "georeader.geotensor",
    "georeader.ground_control",
    "georeader.planning",
    "georeader.preview",
    "georeader.profile_options",
    "georeader.rasterio_reader",
    "georeader.save",
    "georeader.save_cog",
    "georeader.stac",
    "georeader.storage",
    "georeader.toolkit",
    "georeader.validation",
    "georeader.view",
    "georeader.window_utils",
    "georeader.xarray",
    "geotoolz",
    "geotoolz.catalog_ops",
    "geotoolz.cloud",
    "geotoolz.errors",
    "geotoolz.indices",
    "geotoolz.presets",
    "geotoolz.presets.s2",
)

#: Underscored functions of `georeader.save` that georeader-spaceml has, too, and that callers of it use.
COMPATIBLE = {"georeader.save": ("_add_overviews", "_save_cog")}

#: Protocols of Python, numpy and IPython; listed where a class of the project defines them.
PROTOCOLS = frozenset({
    "__array_function__", "__array_ufunc__", "__bool__", "__call__", "__contains__", "__copy__", "__deepcopy__",
    "__enter__", "__exit__", "__fspath__", "__getitem__", "__iter__", "__len__", "__or__", "__reduce__", "__repr__",
    "__setitem__", "__str__", "_repr_html_", "_repr_png_",
})  # fmt: skip


def is_ours(found: Any) -> bool:
    """Return whether a class or function is defined in this project."""
    return str(getattr(found, "__module__", "")).split(".")[0] in ("georeader", "geotoolz")


def recorded_names(module: str) -> list[str]:
    """Return the names that the listing has of a module: they count also if another module defines them by now."""
    lines = RECORD.read_text().splitlines() if RECORD.exists() else []
    rests = [line.removeprefix(f"{module}.") for line in lines if line.startswith(f"{module}.")]
    names = [rest.split("(")[0].split(":")[0].split(" ")[0] for rest in rests]
    return [name for name in names if "." not in name]


def defined_names(module: types.ModuleType) -> set[str]:
    """Return the public names that a module without ``__all__`` defines."""
    own = {name for name, found in vars(module).items() if getattr(found, "__module__", "") == module.__name__}
    for node in ast.parse(Path(str(module.__file__)).read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        own |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in own if not name.startswith("_")}


def public_names(module: types.ModuleType) -> list[str]:
    """Return what a module offers, in order."""
    names = set(getattr(module, "__all__", ())) or defined_names(module)
    names |= {name for name in recorded_names(module.__name__) if not name.startswith("_") and hasattr(module, name)}
    return sorted(names | set(COMPATIBLE.get(module.__name__, ())))


def default_text(value: Any) -> str:
    """Return a default as text."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if is_ours(type(value)):
        return repr(value) if isinstance(value, Unset) else "..."
    return getattr(value, "__name__", None) or repr(value)


def signature_text(function: Any) -> str:
    """Return parameters with their kinds and defaults, without annotations."""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        if parameter.default is inspect.Parameter.empty
        else parameter.replace(annotation=inspect.Parameter.empty, default=_Verbatim(default_text(parameter.default)))
        for parameter in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(parameters))


class _Verbatim:
    """A default whose repr is a given text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def literals(annotation: Any) -> Iterator[str]:
    """Iterate over the values of all Literals in a type alias."""
    for part in typing.get_args(annotation):
        if typing.get_origin(annotation) is typing.Literal:
            yield repr(part)
        else:
            yield from literals(part)


def member_lines(path: str, owner: type) -> Iterator[str]:
    """Iterate over the lines of the public members of a class, also of those that bases in this project define."""
    bases = [base for base in owner.__mro__ if is_ours(base)]
    found: dict[str, Any] = {}
    for base in reversed(bases):
        found |= dict.fromkeys(vars(base).get("__annotations__", {}))
        found |= vars(base)
    for name in sorted(found):
        is_field = name in getattr(owner, "__dataclass_fields__", {})
        if name in PROTOCOLS or is_field:
            yield f"{path}.{name}"
        elif not name.startswith("_"):
            yield f"{path}.{name}{member_text(owner, name, found[name])}"


def member_text(owner: type, name: str, member: Any) -> str:
    """Return what follows a member's name: its signature, its kind, or nothing for an attribute."""
    if isinstance(member, property):
        return " (property, settable)" if member.fset else " (property)"
    if isinstance(member, owner) and issubclass(owner, enum.Enum):
        return f" = {member.value!r}"
    if isinstance(member, staticmethod | classmethod):
        return f"{signature_text(getattr(owner, name))} ({type(member).__name__})"
    return signature_text(member) if callable(member) and not isinstance(member, type) else ""


def class_lines(path: str, owner: type, public: set[type]) -> Iterator[str]:
    """Iterate over the lines of a class: itself with its public bases, and its members."""
    bases = [base for base in owner.__mro__[1:] if base is not object and (not is_ours(base) or base in public)]
    kind = f": class({', '.join(base.__name__ for base in bases)})"
    if issubclass(owner, enum.Enum):
        yield f"{path}{kind}"
    elif typing.is_typeddict(owner):
        yield f"{path}{kind}"
        yield from (f"{path}[{key!r}]" for key in sorted(owner.__annotations__))
        return
    elif issubclass(owner, BaseException):
        yield f"{path}{kind}"
    else:
        yield f"{path}{signature_text(owner)}{kind}"
    yield from member_lines(path, owner)


def name_lines(path: str, found: Any, public: set[type]) -> Iterator[str]:
    """Iterate over the lines of one public name."""
    if isinstance(found, types.ModuleType):
        yield f"{path}: module"
    elif isinstance(found, type) and is_ours(found):
        yield from class_lines(path, found, public)
    elif values := sorted(set(literals(found))):
        yield f"{path}: Literal[{', '.join(values)}]"
    elif inspect.isfunction(found):
        yield f"{path}{signature_text(found)}"
    else:
        yield f"{path}: {'type' if typing.get_origin(found) or isinstance(found, type) else type(found).__name__}"


def results() -> dict[str, Any]:
    """Return objects that public functions return, by expression: their classes have no public name."""
    from georeader import CogWriter, GeoTensor, save_cog
    from georeader.validation import info, validate

    tensor = GeoTensor(np.eye(300, dtype="uint8")[None], (10, 0, 500000, 0, -10, 4000000), "EPSG:32630", nodata=0)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "a.tif"))
        receipt = save_cog(tensor, path, profile_arg={"STATISTICS": "YES"})
        report, measured = validate(path), info(path)
        with CogWriter(path, like=tensor) as writer:
            writer.write(tensor)
    statistics, viewer = receipt.statistics, report.measurement.viewer
    assert statistics is not None
    assert type(writer.receipt) is type(receipt)
    assert receipt.to_stac(datetime=datetime(2024, 5, 1, tzinfo=UTC)).id == "a"
    return {
        "save_cog()": receipt,
        "save_cog().levels[0]": receipt.levels[0],
        "save_cog().statistics[0]": statistics[0],
        "validate()": report,
        "validate().measurement": report.measurement,
        "validate().measurement.viewer": viewer,
        "info()": measured,
    }


def command_lines() -> Iterator[str]:
    """Iterate over the lines of the command line."""
    from georeader.cli import main

    assert isinstance(main, click.Group)
    for name, command in sorted(main.commands.items()):
        for parameter in command.params:
            spelled = ", ".join([*parameter.opts, *parameter.secondary_opts])
            text = spelled if isinstance(parameter, click.Option) else str(parameter.human_readable_name)
            choices = getattr(parameter.type, "choices", None)
            is_clicks = type(parameter.type).__module__.startswith("click.") and not hasattr(parameter.type, "func")
            kind = parameter.type.name.upper() if is_clicks else "VALUE"
            text += f" [{'|'.join(choices)}]" if choices else f" {kind}"
            flags = {
                "multiple": getattr(parameter, "multiple", False),
                "required": parameter.required,
                f"nargs={parameter.nargs}": parameter.nargs != 1,
            }
            yield " ".join([f"$ georeader {name} {text}", *(flag for flag, is_set in flags.items() if is_set)])


def entry_points() -> Iterator[str]:
    """Iterate over the lines of what the package installs, and of its extras."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    for group, entries in {"scripts": project["scripts"], **project["entry-points"]}.items():
        yield from (f"pyproject {group}: {name} = {target}" for name, target in entries.items())
    yield f"pyproject extras: {', '.join(sorted(project['optional-dependencies']))}"


def listing() -> list[str]:
    """Return the whole listing, a line for each name."""
    modules = []
    for name in MODULES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # georeader.save_cog
            modules.append(importlib.import_module(name))
    names = [
        (f"{module.__name__}.{name}", getattr(module, name)) for module in modules for name in public_names(module)
    ]
    public = {found for _, found in names if isinstance(found, type)}
    lines: list[str] = []
    first: dict[Any, str] = {}
    for path, found in names:
        has_parts = isinstance(found, type) or inspect.isfunction(found)
        home = first.setdefault(found, path) if has_parts else path
        lines += name_lines(path, found, public) if home == path else [f"{path} is {home}"]
    for path, found in results().items():
        lines += [f"{path}: {type(found).__name__}", *member_lines(path, type(found))]
    return [*sorted(lines), *command_lines(), *sorted(entry_points())]


def test_public_names_and_signatures_are_those_of_the_listing() -> None:
    recorded, found = RECORD.read_text().splitlines(), listing()

    difference = "\n".join(difflib.unified_diff(recorded, found, "public_api.txt", "this checkout", n=0, lineterm=""))
    assert not difference, f"{difference}\nif this is intended: python tests/project/test_public_api.py"


def test_listing_names_no_private_module() -> None:
    named = set(re.findall(r"\b(?:georeader|geotoolz)(?:\.[a-z_0-9]+)+(?=\.)", RECORD.read_text()))

    assert named <= {*MODULES}


if __name__ == "__main__":
    RECORD.write_text("\n".join(listing()) + "\n")
