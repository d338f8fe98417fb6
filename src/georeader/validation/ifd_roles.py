"""Which directory is what: the raster, an overview, a mask. Pure.

References:
    TIFF 6.0, section 8 (NewSubfileType); GDAL's GTiff driver, whose reading of it this is: the first directory is the
    raster, images of reduced resolution are its overviews, and a mask belongs to the image of its size.
"""

from __future__ import annotations

from collections.abc import Sequence

from georeader.validation.measurement import Role, RoleKind

#: Bits of NewSubfileType.
REDUCED, PAGE, MASK = 1, 2, 4


def roles_of(directories: Sequence[tuple[int, tuple[int, int] | None]]) -> tuple[Role, ...]:
    """Say what each directory is.

    Args:
        directories: NewSubfileType, and (width, height) or None, of each in the order of their chain.

    Example:
        >>> roles = roles_of([(0, (900, 600)), (4, (900, 600)), (1, (450, 300)), (5, (450, 300))])
        >>> [(role.kind.value, role.level) for role in roles]
        [('image', 0), ('mask', 0), ('image', 1), ('mask', 1)]
    """
    roles = [Role(RoleKind.OTHER, None) for _ in directories]
    levels: dict[tuple[int, int], int] = {}
    images = [
        number
        for number, (subfile_type, _) in enumerate(directories)
        if number == 0 or (subfile_type & REDUCED and not subfile_type & MASK)
    ]
    for level, number in enumerate(images):
        roles[number] = Role(RoleKind.IMAGE, level)
        size = directories[number][1]
        if size is not None:
            levels.setdefault(size, level)
    masked: set[int] = set()
    for number, (subfile_type, size) in enumerate(directories):
        if number in images or not subfile_type & MASK:
            continue
        level_of_mask = None if size is None else levels.get(size)
        if level_of_mask in masked:
            level_of_mask = None
        if level_of_mask is not None:
            masked.add(level_of_mask)
        roles[number] = Role(RoleKind.MASK, level_of_mask)
    return tuple(roles)
