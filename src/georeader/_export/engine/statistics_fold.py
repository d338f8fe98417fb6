"""Statistics of tiles joined in one order, whatever the order in which they come: the same digits each time."""

from __future__ import annotations

from georeader._export.statistics import BandStatistics

_Bands = tuple[BandStatistics, ...]


class StatisticsFold:
    """Joins the tiles of a row from left to right, then the rows from top to bottom.

    Memory: one entry for each row of tiles, and for each tile that came before its left neighbour.

    Example:
        >>> fold = StatisticsFold()
        >>> one, two = (BandStatistics(n, n, n, 0.0, 1, 1) for n in (1.0, 3.0))
        >>> fold.add((0, 1), (two,))
        >>> fold.add((0, 0), (one,))
        >>> fold.joined()[0].mean
        2.0
    """

    def __init__(self) -> None:
        """Begin with no tiles."""
        self._rows: dict[int, tuple[int, _Bands]] = {}
        self._waiting: dict[tuple[int, int], _Bands] = {}

    def add(self, place: tuple[int, int], statistics: _Bands) -> None:
        """Take the statistics of a tile.

        Args:
            place: (row, column) of the tile.
            statistics: One per band.
        """
        row = place[0]
        self._waiting[place] = statistics
        following, joined = self._rows.get(row, (0, ()))
        while (tile := self._waiting.pop((row, following), None)) is not None:
            joined = _join(joined, tile)
            following += 1
        self._rows[row] = (following, joined)

    def joined(self) -> _Bands:
        """Give the statistics of all tiles, one per band."""
        whole: _Bands = ()
        for row in sorted(self._rows):
            whole = _join(whole, self._rows[row][1])
        return whole


def _join(one: _Bands, other: _Bands) -> _Bands:
    return tuple(a + b for a, b in zip(one, other, strict=True)) if one else other
