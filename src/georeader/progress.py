"""Who is told how far something is: a bar, a function, or nobody."""

from __future__ import annotations

from typing import Any

from georeader.errors import OptionError
from georeader.extras import import_extra


def check_progress(progress: Any) -> None:
    """Refuse what is neither True, False, None nor callable, and a bar that can't be shown.

    Raises:
        OptionError: It is something else.
        MissingExtraError: It is True, and tqdm is not installed.
    """
    if progress is True:
        import_extra("tqdm", extra="progress", purpose="progress=True")
    elif progress not in (None, False) and not callable(progress):
        raise OptionError(f"progress={progress!r} is neither True nor callable; pass True, or a function (done, total)")
