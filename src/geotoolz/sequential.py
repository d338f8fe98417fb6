"""Sequential: operators, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from georeader import GeoTensor
from georeader.errors import OptionError
from geotoolz.loading import loaded
from geotoolz.operator import Operator, Output


@dataclass(frozen=True, repr=False, eq=False)
class Sequential(Operator):
    """Runs operators in order, each on what the one before it gave; is an operator itself, so that it nests.

    One that ends with a terminal operator is terminal. Without operators it gives what it is called with. Memory:
    each result is let go of when the next one is there.

    Attributes:
        operators: In order. The configuration has each one's class name and its own configuration.

    Raises:
        OptionError: At construction: something that is no operator, or a terminal operator before the end.

    Example:
        >>> from geotoolz.cloud import MaskClouds
        >>> from geotoolz.indices import NDVI
        >>> Sequential([MaskClouds(scl_idx=4), NDVI(red_idx=2, nir_idx=3)])
        Sequential([MaskClouds(scl_idx=4), NDVI(red_idx=2, nir_idx=3)])
    """

    operators: Sequence[Operator] = ()

    def __post_init__(self) -> None:
        """Look at each operator, and at which one is terminal."""
        if isinstance(self.operators, Operator) or not isinstance(self.operators, Sequence):
            raise OptionError(f"Sequential takes a list of operators, not a {type(self.operators).__name__}")
        operators = tuple(self.operators)
        for position, operator in enumerate(operators):
            if not isinstance(operator, Operator):
                kind = "class; call it with its arguments" if isinstance(operator, type) else type(operator).__name__
                raise OptionError(f"element {position} of Sequential is no geotoolz.Operator but a {kind}")
            if operator.is_terminal and position < len(operators) - 1:
                raise OptionError(
                    f"element {position} of Sequential, a {type(operator).__name__}, is terminal: it gives "
                    f"no GeoTensor that element {position + 1} could work on; put it last"
                )
        object.__setattr__(self, "operators", operators)
        object.__setattr__(self, "is_terminal", bool(operators) and operators[-1].is_terminal)

    def __call__(self, raster: Any) -> Any:
        """Run all operators.

        Args:
            raster: A GeoTensor or a lazy reader; the first operator gets it as it is.

        Returns:
            What the last operator gives.

        Raises:
            OptionError: An operator that is not terminal gave no GeoTensor.
            GeoreaderError: What an operator raises.
        """
        result = raster if self.operators else loaded(raster, "Sequential")
        for position, operator in enumerate(self.operators):
            result = operator(result)
            if not operator.is_terminal and not isinstance(result, GeoTensor):
                raise OptionError(
                    f"element {position} of Sequential, a {type(operator).__name__}, gave a {type(result).__name__}, "
                    "no GeoTensor; an operator that ends a sequence says is_terminal = True"
                )
        return result

    def outputs(self, row: Mapping[str, Any]) -> tuple[Output, ...]:
        """Give the files that all operators together write for a row."""
        return tuple(output for operator in self.operators for output in operator.outputs(row))

    def get_config(self) -> dict[str, Any]:
        """Give each operator's class name and configuration."""
        return {
            "operators": [
                {"operator": type(operator).__name__, "config": operator.get_config()} for operator in self.operators
            ]
        }

    def __repr__(self) -> str:
        return f"Sequential([{', '.join(map(repr, self.operators))}])"

    def _key(self) -> tuple[str, tuple[Any, ...]]:
        return repr(self), tuple(self.operators)

    def __len__(self) -> int:
        return len(self.operators)

    def __iter__(self) -> Iterator[Operator]:
        return iter(self.operators)
