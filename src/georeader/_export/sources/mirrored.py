"""Sources whose rows are written in reverse order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from georeader._core.windows import MaskedPixels, PixelWindow
from georeader._export.plan.spec import ExportSpec, SourceSpec
from georeader._export.plan.traits import SourceTraits
from georeader._export.sources.protocol import Source
from georeader._export.sources.sliced import Cut, cuts_of


def in_order_of_file(source: Source, spec: ExportSpec) -> Source:
    """Return a source with its rows in the order of the file; closing it is left to the owner of ``source``."""
    return MirroredSource(source, spec) if spec.is_mirrored else source


@dataclass
class MirroredSource:
    """A source that is read from its last row to its first, in place of any file of its own."""

    source: Source
    file_spec: ExportSpec
    name: str = field(init=False)
    spec: SourceSpec = field(init=False)
    traits: SourceTraits = field(init=False)

    def __post_init__(self) -> None:
        self.name, self.traits = self.source.name, self.source.traits
        self.spec = replace(self.source.spec, transform=self.file_spec.transform)
        chunks = self.traits.chunks
        if chunks is not None and chunks.row_edges_px:
            edges_px = tuple(self.spec.height_px - edge for edge in reversed(chunks.row_edges_px))
            self.traits = replace(self.traits, chunks=replace(chunks, row_edges_px=edges_px))

    @property
    def sources(self) -> tuple[Source, ...]:
        """The source that it reads through."""
        return (self.source,)

    def cuts(self, region: PixelWindow, bands: range) -> list[Cut]:
        """Return the boxes of arrays that `read` needs."""
        return cuts_of(self.source, self._mirrored(region), bands)

    def read(self, region: PixelWindow, bands: range) -> MaskedPixels:
        """Read a window, and reverse its rows."""
        pixels, mask = self.source.read(self._mirrored(region), bands)
        return pixels[:, ::-1], None if mask is None else mask[::-1]

    def close(self) -> None:
        """Close the source."""
        self.source.close()

    def _mirrored(self, region: PixelWindow) -> PixelWindow:
        height_px = self.spec.height_px
        return region._replace(row_start=height_px - region.row_stop, row_stop=height_px - region.row_start)
