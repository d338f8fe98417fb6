"""pystac's validation without a network: schemas of the extensions are those in `stac_schemas`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pystac.validation import RegisteredValidator
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from places import SUPPORT

#: Or a folder with the real ones.
SCHEMAS = Path(os.environ.get("GEOREADER_STAC_SCHEMAS", SUPPORT / "stac_schemas"))


def offline_validator() -> JsonSchemaSTACValidator:
    """Return pystac's validator, which finds the schemas of the extensions here."""
    validator = JsonSchemaSTACValidator()
    schemas = [json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")]
    validator.schema_cache |= {schema["$id"].rstrip("#"): schema for schema in schemas}
    return validator


@contextmanager
def validating_offline() -> Iterator[None]:
    """Have pystac validate by it by default, as ``Collection.validate_all`` does."""
    earlier = RegisteredValidator.get_validator()
    RegisteredValidator.set_validator(offline_validator())
    try:
        yield
    finally:
        RegisteredValidator.set_validator(earlier)
