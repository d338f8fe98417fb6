"""How much the tests try: ``make test-thorough`` does more of what takes long, as before a release."""

from __future__ import annotations

import os

#: Whether GEOREADER_THOROUGH is set.
IS_THOROUGH = bool(os.environ.get("GEOREADER_THOROUGH"))


def often(thorough: int, usually: int) -> int:
    """Give how often to do something."""
    return thorough if IS_THOROUGH else usually
