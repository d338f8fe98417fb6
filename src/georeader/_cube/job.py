"""Work on one group of a collection's items: their files, and then the JSON of each."""

from __future__ import annotations

import traceback
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from georeader._batch.run import Outcome, Run
from georeader._collection.documents import item_document, read_item
from georeader._core.reporting import held_warnings, linked_errors
from georeader._cube.group import GroupPixels, cut_group, open_group, shares_chunks
from georeader._cube.plan import GroupPlan, ItemPlan
from georeader._export.sinks.base import Scratch
from georeader.errors import OptionError, ReadError
from georeader.save import save_cog
from georeader.stac import item_of
from georeader.storage import exists, find_file, local_path, read_bytes, write_bytes


@dataclass(frozen=True)
class ItemOutcome:
    """The result of an item as a worker returns it."""

    index: int
    error: Exception | None
    seconds: float
    receipts: Mapping[str, Any] = field(default_factory=dict)
    is_skipped: bool = False
    document: bytes = b""  #: The item's JSON.


@dataclass(frozen=True)
class GroupOutcome:
    """The results of a group, in the order of its items, without those that were not begun."""

    items: tuple[ItemOutcome, ...]
    warnings: tuple[tuple[str, type[Warning]], ...]


@dataclass(frozen=True)
class CollectionJob:
    """What is the same for each group of a collection; picklable if the cube is."""

    parts: Mapping[str, Any]
    options: Mapping[str, Any]  #: of `save_cog`
    root: str  #: The folder of the collection.
    collection_id: str
    has_items: bool  #: Whether each item has its JSON.
    skip_existing: bool
    ends_with_error: bool
    client: Any = None
    unit = "item"

    def process(self, plan: GroupPlan, run: Run | None) -> Outcome:
        """Save a group; an error becomes part of the outcome, except a KeyboardInterrupt of the run."""
        start = perf_counter()
        results: list[ItemOutcome] = []
        with held_warnings() as held:
            try:
                with closing(self._outcomes(plan, run)) as outcomes:
                    for outcome in outcomes:
                        results.append(outcome)
                        if outcome.error is not None and self.ends_with_error:
                            break
            except Exception as error:  # noqa: BLE001  (a source of the caller's may raise anything)
                _clear(error)
                seconds = perf_counter() - start
                done = {outcome.index for outcome in results}
                results += [ItemOutcome(item.index, error, seconds) for item in plan.items if item.index not in done]
        first = next((outcome.error for outcome in results if outcome.error is not None), None)
        return Outcome(None, first, perf_counter() - start, GroupOutcome(tuple(results), tuple(held)))

    def _outcomes(self, plan: GroupPlan, run: Run | None) -> Generator[ItemOutcome, None, None]:
        missing = []
        for item in plan.items:
            start = perf_counter()
            document = self._existing(item) if self.skip_existing else None
            if document is None:
                missing.append(item)
            else:
                yield ItemOutcome(item.index, None, perf_counter() - start, is_skipped=True, document=document)
            if run is not None:
                run.check()
        if not missing:
            return
        with self._opened(replace(plan, items=tuple(missing))) as pixels:
            for item in missing:
                yield self._save(item, pixels, run)

    @contextmanager
    def _opened(self, plan: GroupPlan) -> Iterator[GroupPixels]:
        """Cut a group out of the cube; on a cluster, chunks that its files share stay in memory there meanwhile."""
        if self.client is not None:
            with _persisted(self.client, cut_group(self.parts, plan), plan) as parts:
                yield GroupPixels(parts, plan)
            return
        with open_group(self.parts, plan, self._scratch(plan)) as pixels:
            yield pixels

    def _scratch(self, plan: GroupPlan) -> Scratch:
        folder = self.options.get("dir_tmpfiles")
        path = next(iter(plan.items[0].paths.values()))
        local = local_path(path, self.options.get("fs"))
        if folder is None and local is not None:
            folder = Path(local).absolute().parent
        return Scratch(path, None if folder is None else Path(folder))

    def _save(self, item: ItemPlan, pixels: GroupPixels, run: Run | None) -> ItemOutcome:
        start = perf_counter()
        receipts: dict[str, Any] = {}
        document = b""
        options = dict(self.options) | {"client": False if self.client is None else self.client}
        try:
            for key, path in item.paths.items():
                own = options if run is None else run.save_options(options)
                receipts[key] = save_cog(pixels.cut(key, item), path, **own)
            if self.has_items:
                document = self._write_document(item, receipts)
        except Exception as error:  # noqa: BLE001  (an item's error is its result)
            _clear(error)
            return ItemOutcome(item.index, error, perf_counter() - start, receipts)
        return ItemOutcome(item.index, None, perf_counter() - start, receipts, document=document)

    def _write_document(self, item: ItemPlan, receipts: Mapping[str, Any]) -> bytes:
        found = item_of(receipts, id=item.id, datetime=item.datetime, properties=item.properties)
        document = item_document(found, item.json_path, self.root, collection_id=self.collection_id)
        fs, headers = self.options.get("fs"), self.options.get("http_headers")
        write_bytes(item.json_path, document, fs, http_headers=headers)
        return document

    def _existing(self, item: ItemPlan) -> bytes | None:
        """Return the JSON of an item whose files exist as it describes them, empty without JSON; else None.

        Where a run ended between a file that it replaced and the item's JSON, their sizes differ.
        """
        fs, headers = self.options.get("fs"), self.options.get("http_headers")
        if self.has_items and not exists(item.json_path, fs, http_headers=headers):
            return None
        files = {key: find_file(path, fs, http_headers=headers) for key, path in item.paths.items()}
        sizes_bytes = {key: file.size_bytes for key, file in files.items() if file is not None}
        if len(sizes_bytes) < len(files):
            return None
        if not self.has_items:
            return b""
        with suppress(ReadError, OptionError):  # one that is not an item is written again
            document = read_bytes(item.json_path, fs, http_headers=headers)
            assets = read_item(document, item.json_path).assets
            if all(key in assets and _describes(assets[key], size) for key, size in sizes_bytes.items()):
                return document
        return None


def _describes(asset: Any, size_bytes: int | None) -> bool:
    """Return whether an asset is of a file of this size, None where a server does not report it."""
    return size_bytes is None or asset.extra_fields.get("file:size") == size_bytes


@contextmanager
def _persisted(client: Any, parts: dict[str, Any], plan: GroupPlan) -> Iterator[dict[str, Any]]:
    """Compute the parts of a cube on a cluster where files share their chunks, and keep them there meanwhile."""
    if not shares_chunks(parts, plan):
        yield parts
        return
    futures_of = import_module("distributed").futures_of
    before = {future.key for future in futures_of(list(parts.values()))}
    persisted = client.persist(list(parts.values()))
    try:
        yield dict(zip(parts, persisted, strict=True))
    finally:  # what a garbage collection would release later
        for future in futures_of(persisted):
            if future.key not in before:
                future.release()


def _clear(error: Exception) -> None:
    """Release what an error's frames hold of pixels; the lines of its traceback stay."""
    for step in linked_errors(error):
        traceback.clear_frames(step.__traceback__)
