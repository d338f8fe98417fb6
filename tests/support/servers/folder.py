"""Files of a server's folder, read directly from the disk."""

from __future__ import annotations

import shutil
from pathlib import Path


class ServedFolder:
    """Files by their names.

    Attributes:
        folder: Where they are.
    """

    folder: Path

    def get(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def put(self, name: str, content: bytes) -> None:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_bytes(content)

    def exists(self, name: str) -> bool:
        return (self.folder / name).exists()

    def keys(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def clear(self) -> None:
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
