"""Operators: steps of work on a raster that can be compared, printed as code and run; and sequences of them."""

from __future__ import annotations

import enum
import inspect
import math
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from affine import Affine

from georeader import GeoTensor
from georeader.errors import OptionError
from geotoolz._rasters import load_raster

#: A longer repr has a line for each argument, or for each operator of a sequence.
LINE_LETTERS = 100

#: Arguments of the transport, which may hold secrets: a configuration leaves them out.
CREDENTIAL_ARGS = ("fs", "http_headers", "progress")


@dataclass(frozen=True)
class Output:
    """A file that an operator is about to write.

    Attributes:
        path: Local path or URL, as a string; it may hold secrets, and the repr leaves it out.
        fs: A filesystem of fsspec or a store of obstore, or None.
        http_headers: Sent with requests for it, or None.
    """

    path: str = field(repr=False)
    fs: Any = field(default=None, repr=False)
    http_headers: Mapping[str, str] | None = field(default=None, repr=False)


class Operator:
    """Callable from GeoTensor to GeoTensor; a terminal one returns something else, and ends a sequence.

    To write one, derive from this class, keep each argument of the constructor under its own name (a frozen dataclass
    does), and define ``apply(gt)``; or ``__call__``, to receive lazy readers. Operators of one class and equal
    configurations are equal.

    Attributes:
        is_terminal: Whether it returns something other than a GeoTensor, so that no operator can follow.

    Example:
        >>> import numpy as np
        >>> from dataclasses import dataclass
        >>> from georeader import GeoTensor
        >>> @dataclass(frozen=True, repr=False)
        ... class Scale(Operator):
        ...     factor: float = 1.0
        ...     def apply(self, gt: GeoTensor) -> GeoTensor:
        ...         return gt * self.factor
        >>> Scale(0.5), Scale(0.5).get_config()
        (Scale(factor=0.5), {'factor': 0.5})
        >>> Scale(0.5)(GeoTensor(np.ones((1, 2, 2)), (1, 0, 0, 0, -1, 0), 3857)).values.max()
        np.float64(0.5)
    """

    is_terminal: bool = False

    def __call__(self, raster: Any) -> Any:
        """Load the raster if it is lazy, and apply the operator.

        Args:
            raster: A GeoTensor, or a lazy reader (anything whose ``load()`` returns a GeoTensor). Never changed.
        """
        return self.apply(load_raster(raster, type(self).__name__))

    def apply(self, gt: Any) -> Any:
        """Return the result for a GeoTensor; each operator defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines neither apply(gt) nor __call__(gt)")

    def outputs(self, row: Mapping[str, Any]) -> tuple[Output, ...]:
        """Return the files that are written for a row of a catalog, a dict of field to value; none by default."""
        del row
        return ()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as types of JSON, without ``fs``, ``http_headers`` and ``progress``.

        Raises:
            OptionError: An argument cannot be written in JSON.
        """
        return {
            name: to_jsonable(value, name) for name, value in self._arguments().items() if name not in CREDENTIAL_ARGS
        }

    def _arguments(self) -> dict[str, Any]:
        """Return all arguments of the constructor, which are kept under their own names."""
        found: dict[str, Any] = {}
        for name, parameter in _parameters(type(self)).items():
            value = getattr(self, name)
            found |= value if parameter.kind is parameter.VAR_KEYWORD else {name: value}
        return found

    def __repr__(self) -> str:
        """Return the call that builds this operator, without defaults; "Name(...)" if there is none."""
        try:
            return self._code()
        except (OptionError, AttributeError):  # an argument that no configuration holds, or that is not kept
            return f"{type(self).__name__}(...)"

    def _code(self) -> str:
        parameters = _parameters(type(self))
        shown = []
        for name, value in self._arguments().items():
            default = parameters[name].default if name in parameters else inspect.Parameter.empty
            if name in CREDENTIAL_ARGS:
                shown += [] if value is None else [f"{name}=..."]
                continue
            code = to_code(to_jsonable(value, name))
            if default is inspect.Parameter.empty or code != to_code(to_jsonable(default, name)):
                shown.append(f"{name}={code}")
        line = f"{type(self).__name__}({', '.join(shown)})"
        return line if len(line) <= LINE_LETTERS else _in_lines(f"{type(self).__name__}(", shown, ")")

    def _key(self) -> tuple[str, tuple[Any, ...]]:
        """Return what is compared: the configuration as text, in which NaN equals NaN, and the credentials."""
        try:
            arguments = self._arguments()
            return to_code(self.get_config()), tuple(arguments.get(name) for name in CREDENTIAL_ARGS)
        except (OptionError, AttributeError):  # an argument that no configuration holds, or that is not kept
            return f"{id(self)}", ()

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self), self._key()[0]))


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(cls.__init__).parameters if cls.__init__ is not object.__init__ else {}  # type: ignore[misc]
    own = dict(list(parameters.items())[1:])  # without self
    unknown = [name for name, parameter in own.items() if parameter.kind is parameter.VAR_POSITIONAL]
    if unknown:
        raise OptionError(f"{cls.__name__} takes *{unknown[0]}; an operator's arguments have names, each its own")
    return own


@dataclass(frozen=True, repr=False, eq=False)
class Sequential(Operator):
    """Operator that applies several in order, each to the result of the one before; sequences nest.

    One that ends with a terminal operator is terminal. Without operators it returns its input. Memory: each result is
    released when the next one is computed.

    Attributes:
        operators: In order. The configuration has each one's class name and its own configuration.

    Raises:
        OptionError: At construction: an element is not an operator, or a terminal operator is not the last.

    Example:
        >>> from geotoolz.cloud import MaskClouds
        >>> from geotoolz.indices import NDVI
        >>> Sequential([MaskClouds(scl_idx=4), NDVI(red_idx=2, nir_idx=3)])
        Sequential([MaskClouds(scl_idx=4), NDVI(red_idx=2, nir_idx=3)])
    """

    operators: Sequence[Operator] = ()

    def __post_init__(self) -> None:
        """Check each operator, and that only the last is terminal."""
        if isinstance(self.operators, Operator) or not isinstance(self.operators, Sequence):
            raise OptionError(f"Sequential takes a list of operators, not a {type(self.operators).__name__}")
        operators = tuple(self.operators)
        for position, operator in enumerate(operators):
            if not isinstance(operator, Operator):
                kind = "class; call it with its arguments" if isinstance(operator, type) else type(operator).__name__
                raise OptionError(f"element {position} of Sequential must be a geotoolz.Operator, got a {kind}")
            if operator.is_terminal and position < len(operators) - 1:
                raise OptionError(
                    f"element {position} of Sequential, a {type(operator).__name__}, is terminal: it returns "
                    f"no GeoTensor for element {position + 1}; put it last"
                )
        object.__setattr__(self, "operators", operators)
        object.__setattr__(self, "is_terminal", bool(operators) and operators[-1].is_terminal)

    def __call__(self, raster: Any) -> Any:
        """Apply all operators, and return the result of the last one.

        Args:
            raster: A GeoTensor or a lazy reader, which is passed to the first operator unchanged.

        Raises:
            OptionError: An operator that is not terminal returned something other than a GeoTensor.
        """
        result = raster if self.operators else load_raster(raster, "Sequential")
        for position, operator in enumerate(self.operators):
            result = operator(result)
            if not operator.is_terminal and not isinstance(result, GeoTensor):
                kind, returned = type(operator).__name__, type(result).__name__
                raise OptionError(
                    f"element {position} of Sequential, a {kind}, returned a {returned}, not a GeoTensor; an operator "
                    "that ends a sequence sets is_terminal = True"
                )
        return result

    def outputs(self, row: Mapping[str, Any]) -> tuple[Output, ...]:
        """Return the files that all operators together write for a row."""
        return tuple(output for operator in self.operators for output in operator.outputs(row))

    def get_config(self) -> dict[str, Any]:
        """Return each operator's class name and configuration."""
        return {
            "operators": [
                {"operator": type(operator).__name__, "config": operator.get_config()} for operator in self.operators
            ]
        }

    def __repr__(self) -> str:
        operators = [repr(operator) for operator in self.operators]
        line = f"Sequential([{', '.join(operators)}])"
        return line if len(line) <= LINE_LETTERS else _in_lines("Sequential([", operators, "])")

    def _key(self) -> tuple[str, tuple[Any, ...]]:
        return repr(self), tuple(self.operators)

    def __len__(self) -> int:
        return len(self.operators)

    def __iter__(self) -> Iterator[Operator]:
        return iter(self.operators)


def _in_lines(opening: str, parts: Sequence[str], closing: str) -> str:
    return "\n".join([opening, *(textwrap.indent(f"{part},", "    ") for part in parts), closing])


def to_jsonable(value: Any, name: str) -> Any:
    """Convert a value to types of JSON, always a new one: None, bool, int, float, str, lists and dicts of these.

    Taken are also numpy's scalars and dtypes, enums (by name), CRSs (as WKT), Affines, paths and tuples.

    Example:
        >>> to_jsonable({"dtype": np.dtype("uint8"), "level": np.int64(3), "of": (1, 2)}, "profile_arg")
        {'dtype': 'uint8', 'level': 3, 'of': [1, 2]}
    """
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if callable(getattr(value, "to_wkt", None)):  # a CRS of rasterio or of pyproj
        return str(value.to_wkt())
    if isinstance(value, Affine):
        return list(value[:6])
    if isinstance(value, os.PathLike):
        return to_jsonable(os.fspath(value), name)
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: to_jsonable(entry, f"{name}[{key!r}]") for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_jsonable(entry, f"{name}[{place}]") for place, entry in enumerate(value)]
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, (np.generic, bool, int, float))):
        return np.dtype(value).name
    raise OptionError(
        f"{name} is a {type(value).__name__}, which an operator's configuration cannot hold; pass text, numbers, or "
        "lists and mappings (with names for keys) of these"
    )


def to_code(value: Any) -> str:
    """Return Python code for a value of `to_jsonable`.

    Example:
        >>> to_code({"nodata": float("nan"), "of": [1, None]})
        "{'nodata': float('nan'), 'of': [1, None]}"
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {to_code(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_code, value)) + "]"
    return repr(value)
