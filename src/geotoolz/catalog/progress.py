"""How many rows are done, told to a callable or shown as a bar; the same words as in `georeader.save_cog`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from georeader._core.optional_imports import import_extra


@contextmanager
def telling(progress: Any, rows: int) -> Iterator[Callable[[int], None]]:
    """Tell of rows while the block lasts.

    Args:
        progress: As in `geotoolz.catalog_ops.CatalogPipeline`.
        rows: How many there are.
    """
    if progress is True:
        tqdm = import_extra("tqdm", extra="progress", purpose="progress=True").tqdm
        with tqdm(total=rows, desc="catalog", unit=" rows", dynamic_ncols=True) as bar:
            yield lambda done: bar.update(done - bar.n)
        return

    def tell(done: int) -> None:
        if callable(progress):
            progress(done, rows)

    tell(0)
    yield tell
