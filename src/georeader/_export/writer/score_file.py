"""The file of scores beside a file of classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from georeader._core.windows import Mask, PixelWindow
from georeader._export.pipeline import NO_HOOKS, Hooks, make_engine, write_source
from georeader._export.plan.metadata import metadata_from_attrs
from georeader._export.plan.options import Profile
from georeader._export.plan.request import SaveRequest
from georeader._export.plan.resolve import choose_engine, resolve_spec
from georeader._export.plan.spec import ExportSpec, SourceSpec
from georeader._export.plan.traits import SourceTraits
from georeader._export.receipt.receipt import Receipt
from georeader._export.sinks.opening import open_sink
from georeader._export.sources.protocol import Source
from georeader._export.writer.blend_buffer import BlendBuffer
from georeader._export.writer.window_buffer import WindowBuffer
from georeader._storage.urls import Destination
from georeader.errors import OptionError


@dataclass
class ScoreSource:
    """The scores of a buffer of classes, as a source of one band."""

    buffer: BlendBuffer

    def __post_init__(self) -> None:
        self.name = f"{self.buffer.name}: scores"
        self.traits: SourceTraits = self.buffer.traits

    @property
    def spec(self) -> SourceSpec:
        """The grid of the classes."""
        return score_spec(self.buffer.spec, self.buffer.blend.dtype)

    def read(self, window: PixelWindow, bands: range) -> tuple[NDArray[Any], Mask]:  # noqa: ARG002  (there is one)
        """Read scores, NaN where there is none."""
        return self.buffer.read_scores(window)[np.newaxis], None

    def close(self) -> None:
        """Leave the buffer, which is read for the classes, too."""


def score_spec(classes: SourceSpec, dtype: np.dtype[Any]) -> SourceSpec:
    """Return the spec of scores on the grid of classes."""
    return replace(
        classes,
        count=1,
        dtype=dtype,
        fill_value=np.nan,
        fill_value_is_explicit=True,
        metadata=metadata_from_attrs({}, 1),
        overview_resamplings=(),
        holds_classes=False,
    )


class ScoreFile:
    """A file of scores, planned; its writer opens ``sink`` together with that of the classes."""

    def __init__(self, where: Destination, request: SaveRequest, classes: ExportSpec, buffer: WindowBuffer) -> None:
        """Resolve the file; raises GeoreaderError where it cannot be written.

        Args:
            where: Its destination.
            request: That of the classes, of which the profile is not taken over.
            classes: Their file.
            buffer: One like that which will be written.
        """
        if classes.encoding.warps:
            raise OptionError("score is a file on the grid of the windows; drop the options that warp the classes")
        self._request = replace(
            request, destination=where, options=Profile(), descriptions=None, tags=None, nodata=None
        )
        self.sink = open_sink(where)
        source = ScoreSource(cast(BlendBuffer, buffer))
        self._spec = resolve_spec(source.spec, self._request)
        chosen, _ = choose_engine(self._spec, self._request)
        make_engine(chosen, source, self._spec, self.sink, self._request)

    def writing(
        self, buffer: WindowBuffer, wrapped: Callable[[Source], Source] = lambda source: source, hooks: Hooks = NO_HOOKS
    ) -> Callable[[], Receipt]:
        """Return a function that writes the file of a buffer, read through a source that wraps it."""
        source = wrapped(ScoreSource(cast(BlendBuffer, buffer)))
        return partial(write_source, source, self.sink, self._request, self._spec, hooks=hooks)
