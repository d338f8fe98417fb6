"""Numbers as a person reads them. Pure."""

from __future__ import annotations


def bytes_text(size_bytes: int) -> str:
    """Give a size in the unit that fits.

    Example:
        >>> bytes_text(812), bytes_text(16384), bytes_text(3 * 2**30)
        ('812 bytes', '16 KiB', '3 GiB')
    """
    size, unit = float(size_bytes), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"


def count_text(count: int, one: str) -> str:
    """Give a number of things.

    Example:
        >>> count_text(1, "tile"), count_text(12000, "tile")
        ('1 tile', '12,000 tiles')
    """
    return f"{count:,} {one if count == 1 else one + 's'}"
