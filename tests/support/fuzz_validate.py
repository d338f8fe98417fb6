"""Feeds validate by atheris: what Python's coverage finds new is kept, and changed further.

Run it by itself for as long as you like, with good files to begin with::

    python tests/fuzz_validate.py FOLDER -max_total_time=600

It ends with an error as soon as anything but a report or a ReadError comes out, or too much memory is taken.
"""

from __future__ import annotations

import sys
import tempfile
import tracemalloc
from pathlib import Path

#: What validate may take for a file of some kilobytes.
MAX_BYTES = 64 * 2**20


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["georeader.validation"]):
        from georeader.errors import ReadError
        from georeader.validation import Report, validate

    path = Path(tempfile.mkdtemp()) / "a.tif"

    def read_summary(data: bytes) -> None:
        """Validate a file, and convert the report in every way."""
        path.write_bytes(data)
        tracemalloc.reset_peak()
        before_bytes = tracemalloc.get_traced_memory()[0]  # what atheris keeps
        try:
            report = validate(path)
        except ReadError:
            return
        if not isinstance(report, Report) or not str(report) or not report.to_dict():
            raise TypeError(f"validate gave {report!r}")
        if (peak_bytes := tracemalloc.get_traced_memory()[1] - before_bytes) > MAX_BYTES:
            raise MemoryError(f"it took {peak_bytes} bytes")

    tracemalloc.start()
    atheris.Setup(sys.argv, read_summary)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
