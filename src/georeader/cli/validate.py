"""Validates one file after the other."""

from __future__ import annotations

from collections.abc import Sequence

from georeader._storage.redaction import redact_url
from georeader.cli import printing
from georeader.cli.targets import expand_each
from georeader.errors import GeoreaderError
from georeader.validation import validate


def judge_each(paths: Sequence[str], *, strict: bool, decode: bool, as_json: bool) -> int:
    """Print for each file whether it is a good COG.

    Returns:
        The exit code, the worst of all.
    """
    names, errors = expand_each(paths)
    counts = {"valid": 0, "not valid": 0, "failed": len(errors)}
    code = printing.DONE
    for pattern, error in errors:
        code = max(code, printing.tell_failure(error, {"path": redact_url(pattern)}, as_json=as_json))
    for name in names:
        try:
            report = validate(name, strict=strict, decode=decode)
        except GeoreaderError as error:
            code = max(code, printing.tell_failure(error, {"path": redact_url(name)}, as_json=as_json))
            counts["failed"] += 1
            continue
        counts["valid" if report.is_valid else "not valid"] += 1
        code = code if report.is_valid else max(code, printing.FAILED)
        if as_json:
            printing.print_json(report.to_dict())
        else:
            printing.print_result(str(report))
    if sum(counts.values()) > 1:
        printing.print_summary(counts)
    return code
