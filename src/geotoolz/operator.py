"""Operator: a step of work on a raster, that can be looked at, compared, printed as code and run."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from georeader.errors import OptionError
from geotoolz.config import code, plain
from geotoolz.loading import loaded

#: Arguments that say by which means a file gets to its place, and may hold secrets: a configuration leaves them out.
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
    """Called with a GeoTensor, gives a GeoTensor; a terminal one gives something else, and ends a sequence.

    To write one, derive from this class, keep each argument of the constructor under its own name (a frozen dataclass
    does), and define ``apply(gt)``; or ``__call__``, to get lazy readers as they are. Two operators are equal when
    they are of one class and have one configuration.

    Attributes:
        is_terminal: Whether what it gives is no GeoTensor, so that no other operator can follow.

    Example:
        >>> import numpy as np
        >>> from dataclasses import dataclass
        >>> from georeader import GeoTensor
        >>> @dataclass(frozen=True, repr=False)
        ... class Scale(Operator):
        ...     factor: float = 1.0
        ...     def apply(self, gt):
        ...         return gt * self.factor
        >>> Scale(0.5), Scale(0.5).get_config()
        (Scale(factor=0.5), {'factor': 0.5})
        >>> Scale(0.5)(GeoTensor(np.ones((1, 2, 2)), (1, 0, 0, 0, -1, 0), 3857)).values.max()
        np.float64(0.5)
    """

    is_terminal: bool = False

    def __call__(self, raster: Any) -> Any:
        """Load what is not in memory yet, and work on it.

        Args:
            raster: A GeoTensor, or a lazy reader (anything whose ``load()`` gives a GeoTensor). Never changed.

        Raises:
            GeoreaderError: One of its kinds (`georeader.errors`, `geotoolz.errors`).
        """
        return self.apply(loaded(raster, type(self).__name__))

    def apply(self, gt: Any) -> Any:
        """Work on a GeoTensor; each operator defines it."""
        raise NotImplementedError(f"{type(self).__name__} defines neither apply(gt) nor __call__(gt)")

    def outputs(self, row: Mapping[str, Any]) -> tuple[Output, ...]:
        """Say which files are written for a row of a catalog; none by default.

        Args:
            row: Field to value.

        Raises:
            RowError: The row lacks something.
        """
        del row
        return ()

    def get_config(self) -> dict[str, Any]:
        """Give the constructor's arguments as JSON has them, by name; ``fs``, ``http_headers``, ``progress`` left out.

        Raises:
            OptionError: An argument that can't be written in JSON.
        """
        return {name: plain(value, name) for name, value in self._arguments().items() if name not in CREDENTIAL_ARGS}

    def _arguments(self) -> dict[str, Any]:
        """Give all arguments of the constructor, which are kept under their own names."""
        found: dict[str, Any] = {}
        for name, parameter in _parameters(type(self)).items():
            value = getattr(self, name)
            found |= value if parameter.kind is parameter.VAR_KEYWORD else {name: value}
        return found

    def __repr__(self) -> str:
        """Give the call that makes this operator, without what is as it is by default; "Name(...)" if none can."""
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
            elif default is inspect.Parameter.empty or code(plain(value, name)) != code(plain(default, name)):
                shown.append(f"{name}={code(plain(value, name))}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def _key(self) -> tuple[str, tuple[Any, ...]]:
        arguments = self._arguments()
        # As text: NaN is equal to NaN there.
        return code(self.get_config()), tuple(arguments.get(name) for name in CREDENTIAL_ARGS)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        try:
            return self is other or self._key() == other._key()
        except (OptionError, AttributeError):
            return False

    def __hash__(self) -> int:
        try:
            return hash((type(self), self._key()[0]))
        except (OptionError, AttributeError):
            return object.__hash__(self)


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(cls.__init__).parameters if cls.__init__ is not object.__init__ else {}  # type: ignore[misc]
    own = dict(list(parameters.items())[1:])  # without self
    unknown = [name for name, parameter in own.items() if parameter.kind is parameter.VAR_POSITIONAL]
    if unknown:
        raise OptionError(f"{cls.__name__} takes *{unknown[0]}; an operator's arguments have names, each its own")
    return own
