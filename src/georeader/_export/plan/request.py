"""The arguments of a save: parsed and checked once, before the source is opened. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from georeader._core.reporting import check_progress
from georeader._core.sentinels import UNSET, Unset
from georeader._export.plan.metadata import check_tags, parse_descriptions
from georeader._export.plan.options import TILE_SIDE_PX, TILE_SIDES, Profile, parse_profile
from georeader.errors import OptionError

if TYPE_CHECKING:
    from georeader._storage.urls import Destination

ENGINES = ("auto", "stream", "gdal")

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True)
class SaveRequest:
    """The parsed arguments of `georeader.save_cog`; `resolve.resolve_spec` checks whether they fit the raster."""

    kind: str  #: "cog", or "tiled" for a tiled GeoTIFF without overviews
    destination: Destination
    defaults: Profile  #: Options that apply where ``options`` has none
    options: Profile
    descriptions: tuple[str | None, ...] | None
    tags: Mapping[str, str] | None
    nodata: Any
    engine: str  #: One of `ENGINES`
    verify: bool
    max_memory_bytes: int
    max_memory_is_explicit: bool  #: A default is exceeded where a few tiles need more
    progress: bool | Callable[[int, int], Any] | None
    client: Any = None  #: Of dask.distributed; False: none; None: the current one, for dask's arrays
    reuse_tiles: bool = True  #: Tiles of a file that is saved again are taken over where their encoding stays
    client_is_required: bool = True  #: A client that cannot be used is an error

    @classmethod
    def parse(  # noqa: PLR0913
        cls,
        kind: str,
        destination: Destination,
        *,
        default_profile: Mapping[str, Any],
        default_memory_bytes: int = 512 * 2**20,
        profile_arg: Any = None,
        profile: Any = None,
        blocksize: Any = UNSET,
        descriptions: Any = None,
        tags: Any = None,
        nodata: Any = None,
        engine: Any = "auto",
        verify: Any = False,
        max_memory: Any = UNSET,
        progress: Any = False,
        client: Any = None,
        reuse_tiles: Any = True,
    ) -> SaveRequest:
        """Parse the arguments of `georeader.save_cog`, `georeader.save_tiled_geotiff` or `georeader.CogWriter`."""
        if profile_arg is not None and profile is not None:
            raise OptionError("profile_arg and profile are two names of one argument; pass profile_arg alone")
        options = parse_profile(profile if profile_arg is None else profile_arg, kind)
        options = _with_blocksize(options, blocksize)
        check_progress(progress)
        is_explicit = not isinstance(max_memory, Unset)
        max_memory_bytes = memory_bytes(max_memory) if is_explicit else default_memory_bytes
        if engine not in ENGINES:
            raise OptionError(f"engine={engine!r} is unknown; allowed: {', '.join(ENGINES)}")
        return cls(
            kind=kind,
            destination=destination,
            defaults=parse_profile(default_profile, kind, "PROFILE_TILED_GEOTIFF_DEFAULT"),
            options=options,
            descriptions=None if descriptions is None else parse_descriptions(descriptions),
            tags=None if tags is None else check_tags(tags),
            nodata=nodata,
            engine=str(engine),
            verify=bool(verify),
            max_memory_bytes=max_memory_bytes,
            max_memory_is_explicit=is_explicit,
            progress=progress,
            client=client,
            reuse_tiles=bool(reuse_tiles),
        )

    @property
    def requested_nodata(self) -> Any:
        """The nodata that the caller passes: None for a file without, `UNSET` where nothing is passed."""
        return self.options.raster.get("NODATA", UNSET) if self.nodata is None else self.nodata


def _with_blocksize(options: Profile, blocksize: Any) -> Profile:
    """Add the argument ``blocksize`` to the options, if it is passed."""
    if isinstance(blocksize, Unset):
        return options
    side_px = TILE_SIDE_PX.parse("blocksize", blocksize)
    for name in TILE_SIDES:
        if options.fields.get(name, side_px) != side_px:
            raise OptionError(
                f"blocksize={blocksize} and profile_arg[{options.spelling[name]!r}]={options.fields[name]} contradict; "
                "keep one"
            )
    return replace(
        options,
        fields={**options.fields, **dict.fromkeys(TILE_SIDES, side_px)},
        spelling={**dict.fromkeys(TILE_SIDES, "BLOCKSIZE"), **options.spelling},
    )


def memory_bytes(size: Any) -> int:
    """Convert ``max_memory`` to bytes."""
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is not None:
        number, letter, binary = found.groups()
        parsed = int(float(number) * (1024 if binary else 1000) ** _POWERS[letter.lower()])
    elif hasattr(size, "__index__") and not isinstance(size, bool):
        parsed = operator.index(size)
    else:
        raise OptionError(f"max_memory={size!r} is not a size; pass bytes, or text such as '512MiB' or '2GB'")
    if parsed <= 0:
        raise OptionError(f"max_memory must be greater than 0, got {size!r}; pass bytes, or text such as '512MiB'")
    return parsed
