"""A store that takes an object in parts, but only in parts of one size: they are sent when the file is whole."""

from __future__ import annotations

from georeader._export.plan.part_plan import plan_parts
from georeader._export.sinks.part_store import PartStore
from georeader._export.sinks.part_upload import SENDERS, PartUpload
from georeader._export.sinks.target import Finished


class EvenParts:
    """A `Target` before a `PartStore`. Memory: as many parts as there are senders, and one that waits."""

    def __init__(self, store: PartStore) -> None:
        """Take a store."""
        self.name = store.name
        self._store = store

    def check(self) -> None:
        """Refuse what the store refuses."""
        self._store.check()

    def send(self, finished: Finished) -> None:
        """Send the file, part by part.

        Raises:
            DestinationError: The store refuses it.
            WriteError: It can't be sent; the destination is as it was.
        """
        store = self._store
        plan = plan_parts(0, finished.size_bytes, min_part_bytes=store.min_part_bytes, max_parts=store.max_parts)
        if finished.size_bytes <= SENDERS * plan.part_bytes:
            store.put(b"".join(finished.pieces()))
            return
        upload = PartUpload(store)
        try:
            for number, piece in enumerate(finished.pieces(plan.part_bytes), start=1):
                upload.send(number, piece)
            upload.complete()
        except BaseException as error:
            upload.abort(is_urgent=not isinstance(error, Exception))
            raise
