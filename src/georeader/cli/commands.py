"""Commands of the command line; also ``rio georeader ...``, as a plugin of rasterio.

Exit codes: 0 done, 1 failed, 2 misused, 130 interrupted.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import click

from georeader import __version__
from georeader._codecs.registry import CODECS, PREDICTOR_CHOICES, PREDICTORS
from georeader._resample.methods import METHODS
from georeader.cli import printing
from georeader.cli.printing import ErrorLine
from georeader.errors import GeoreaderError
from georeader.profile_options import Preset

if TYPE_CHECKING:
    from georeader.cli.targets import Found

#: Keys of profile_arg that are options of their own; ``--profile KEY=VALUE`` sets the others.
PROFILE_OPTIONS = ("preset", "compress", "level", "quality", "predictor", "blocksize", "resampling")


def _with_hyphens(name: str) -> str:
    """Return an option's name with hyphens: --dir_tmpfiles is accepted, too."""
    return name.replace("_", "-")


def _print_version(context: click.Context, _: click.Parameter, is_given: bool) -> None:
    if is_given and not context.resilient_parsing:
        from georeader._codecs.lzw import encoder_name

        click.echo(f"georeader {__version__}, LZW encoder: {encoder_name()}")
        context.exit()


@click.group(
    name="georeader", context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _with_hyphens}
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
              help="Show the version and the LZW encoder in use, and exit.")  # fmt: skip
def main() -> None:
    """Write, validate, describe, preview and view Cloud Optimized GeoTIFFs.

    Paths are local or URLs (s3://, gs://, az://, https://, ...), with credentials from the environment.
    """


def pair(text: str) -> tuple[str, str]:
    """Return key and value of KEY=VALUE, split at the first "=".

    Example:
        >>> pair("EXPR=a=b")
        ('EXPR', 'a=b')
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise click.BadParameter(f"{text!r} is not KEY=VALUE")
    return key.strip(), value


def value_and_name(text: str) -> tuple[int, str]:
    """Return value and name of VALUE=NAME.

    Example:
        >>> value_and_name("1=water")
        (1, 'water')
    """
    value, name = pair(text)
    try:
        return int(value), name
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not VALUE=NAME with an integer") from error


def number_or_none(text: str) -> int | float | str:
    """Convert a text to a number; "none" stays text. Integers are int, so that 64-bit nodata is exact.

    Example:
        >>> number_or_none("-9999"), number_or_none("NaN"), number_or_none("none")
        (-9999, nan, 'none')
    """
    word = text.strip().lower()
    if word == "none":
        return word
    for number in (int, float):
        with suppress(ValueError):
            return number(word)
    raise click.BadParameter(f"{text!r} is neither a number, nan nor none")


def _choice(*names: str) -> dict[str, Any]:
    """Return type and metavar of an option: names in any case, shown as Python has them, with underscores."""
    lower = [name.lower() for name in names]
    return {"type": click.Choice(lower, case_sensitive=False), "metavar": f"[{'|'.join(lower)}]"}


def _save_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments of `save_cog` and `save_tiled_geotiff`, by their names."""
    options = [
        click.argument("sources", metavar="SRC...", nargs=-1, required=True),
        click.argument("destination", metavar="DST"),
        click.option("--preset", **_choice(*get_args(Preset)[:4]),
                     help="Options for a purpose; those that are typed come first."),
        click.option("--compress", **_choice(*CODECS), help="Codec; lzw by default."),
        click.option("--level", type=int, help="Effort of deflate (1 to 12), zstd (1 to 22) or lzma (0 to 9)."),
        click.option("--quality", type=int, help="Of jpeg and webp, 1 to 100; 75 by default."),
        click.option("--predictor", **_choice("auto", *map(str, PREDICTORS.values()), *PREDICTOR_CHOICES),
                     help="Of lzw, deflate and zstd; by default what suits the pixels."),
        click.option("--blocksize", type=int, help="Side of a tile, in pixels; 256 by default."),
        click.option("--resampling", **_choice(*METHODS), multiple=True,
                     help="Method of the overviews; repeat it for one of each band."),
        click.option("--profile", "pairs", type=pair, metavar="KEY=VALUE", multiple=True,
                     help="Any other entry of profile_arg, such as BIGTIFF=YES."),
        click.option("--nodata", type=number_or_none, metavar="NUMBER", help="Of missing pixels; or none."),
        click.option("--descriptions", multiple=True, metavar="NAME", help="A band's name; once for each band."),
        click.option("--tags", type=pair, metavar="KEY=VALUE", multiple=True, help="Metadata of the file."),
        click.option("--engine", **_choice("auto", "stream", "gdal"), default="auto", show_default=True),
        click.option("--verify", is_flag=True, help="Decode each tile again."),
        click.option("--durable", is_flag=True, help="Flush a local file to the disk."),
        click.option("--overwrite/--no-overwrite", default=True, show_default=True),
        click.option("--http-headers", type=pair, metavar="KEY=VALUE", multiple=True, help="For http:// and https://."),
        click.option("--max-memory", metavar="SIZE", help="Beyond the source, such as 512MiB, the default."),
        click.option("--dir-tmpfiles", type=click.Path(), help="Folder for temporary files."),
        click.option("--progress/--no-progress", default=None, help="By default on a terminal."),
        click.option("--reuse-tiles/--no-reuse-tiles", default=True, show_default=True,
                     help="Take over tiles of SRC whose encoding stays what it is."),
        click.option("--dry-run", is_flag=True, help="Print what would be written; write nothing."),
        click.option("--json", "as_json", is_flag=True, help="One line of JSON for each file."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@main.command(cls=ErrorLine)
@_save_options
def cog(sources: tuple[str, ...], destination: str, **options: Any) -> None:
    """Save SRC as a Cloud Optimized GeoTIFF.

    SRC is any raster that GDAL opens. Several of them, or a pattern such as 'in/*.tif', go to the folder DST.
    DST may be - for standard output.
    """
    from georeader.save import save_cog

    _save_all(save_cog, "cog", sources, destination, options)


@main.command(cls=ErrorLine)
@_save_options
def tile(sources: tuple[str, ...], destination: str, **options: Any) -> None:
    """Save SRC as a tiled GeoTIFF, without overviews.

    SRC is any raster that GDAL opens. Several of them, or a pattern such as 'in/*.tif', go to the folder DST.
    DST may be - for standard output.
    """
    from georeader.save import save_tiled_geotiff

    _save_all(save_tiled_geotiff, "tiled", sources, destination, options)


def _save_all(
    save: Callable[..., Any], kind: str, sources: tuple[str, ...], destination: str, options: dict[str, Any]
) -> None:
    from georeader.cli.targets import pair_files

    as_json, progress = options.pop("as_json"), options.pop("progress")
    if options.pop("dry_run"):
        code = _plan_each(pair_files(sources, destination), {"kind": kind} | arguments_of(options), as_json=as_json)
        click.get_current_context().exit(code)
    printing.check_standard_output(destination, as_json=as_json)
    is_shown = sys.stderr is not None and sys.stderr.isatty() if progress is None else progress
    arguments = arguments_of(options)
    code = _save_each(save, pair_files(sources, destination), arguments, is_shown=is_shown, as_json=as_json)
    click.get_current_context().exit(code)


def arguments_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return keyword arguments of `save_cog`, without options that were not typed, which are None or ().

    Example:
        >>> arguments_of({"compress": "zstd", "pairs": (("BIGTIFF", "YES"),), "nodata": 0, "tags": (), "verify": True})
        {'profile_arg': {'compress': 'zstd', 'BIGTIFF': 'YES'}, 'nodata': 0, 'verify': True}
    """
    typed = {name: value for name, value in options.items() if value not in (None, ())}
    own = {name: typed.pop(name) for name in PROFILE_OPTIONS if name in typed}
    nodata = {"nodata": typed.pop("nodata")} if "nodata" in typed else {}
    if nodata.get("nodata") == "none":  # an entry of profile_arg, where None means none
        own, nodata = {**own, "nodata": None}, {}
    pairs: dict[str, list[str]] = {}
    for key, value in typed.pop("pairs", ()):
        pairs.setdefault(key, []).append(value)
    _check_conflicts([*own, *nodata], pairs)
    profile = {name: _one_or_list(value) for name, value in (own | pairs).items()}
    for name in ("tags", "http_headers"):
        if name in typed:
            typed[name] = dict(typed[name])
    return ({"profile_arg": profile} if profile else {}) | nodata | typed


def _one_or_list(value: Any) -> Any:
    """Return the only value of a repeated option, or the list of one for each band."""
    if not isinstance(value, (list, tuple)):
        return value
    return value[0] if len(value) == 1 else list(value)


def _check_conflicts(typed: Sequence[str], pairs: Mapping[str, Any]) -> None:
    """Check that --profile sets no option that was typed."""
    from georeader._export.plan.options import OPTIONS

    def meaning(key: str) -> str:
        option = OPTIONS.get(key.upper())
        return key.upper() if option is None else option.field

    names = {meaning(name): name for name in typed}
    for key in pairs:
        name = names.get(meaning(key))
        if name is not None:
            raise click.UsageError(f"--{name} and --profile {key} set the same option; keep one of them")


def _save_each(
    save: Callable[..., Any], found: Found, arguments: Mapping[str, Any], *, is_shown: bool, as_json: bool
) -> int:
    """Save each source, print its result, and return the worst exit code; a failing one does not affect the others."""
    from georeader.storage import redact_url

    batch = printing.Batch("saved", as_json=as_json)
    batch.counts["not begun or interrupted"] = len(found.pairs)
    try:
        for pattern, error in found.errors:
            batch.fail(error, source=redact_url(pattern))
        for source, path in found.pairs:
            names = {"source": redact_url(source), "path": redact_url(path)}
            try:
                with open_destination(path) as target, printing.bar(names["path"], is_shown) as progress:
                    receipt = save(source, target, progress=progress, **arguments)
            except GeoreaderError as error:
                batch.counts["not begun or interrupted"] -= 1
                batch.fail(error, **names)
                continue
            batch.counts["not begun or interrupted"] -= 1
            batch.counts["saved"] += 1
            if as_json:
                printing.print_json({"source": names["source"]} | receipt.to_dict())
            elif path != printing.STANDARD_OUTPUT:
                printing.print_on_terminal(receipt)
    finally:
        batch.print_summary()
    return batch.code


def _plan_each(found: Found, arguments: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the plan of each save, and return the worst exit code."""
    from georeader.planning import plan_export
    from georeader.storage import redact_url

    batch = printing.Batch("planned", as_json=as_json)
    for pattern, error in found.errors:
        batch.fail(error, source=redact_url(pattern))
    for source, path in found.pairs:
        names = {"source": redact_url(source), "path": redact_url(path)}
        try:
            with open_destination(path) as target:
                plan = plan_export(source, target, **arguments)
        except GeoreaderError as error:
            batch.fail(error, **names)
            continue
        batch.counts["planned"] += 1
        if as_json:
            printing.print_json(names | plan.to_dict())
        else:
            printing.print_result(str(plan))
    batch.print_summary()
    return batch.code


@contextmanager
def open_destination(destination: str) -> Iterator[Any]:
    """Open the destination of a save: standard output for "-", else a path whose folders are made with the file."""
    from georeader._storage.urls import PathInNewFolder

    is_standard_output = destination == printing.STANDARD_OUTPUT
    yield printing.standard_output() if is_standard_output else PathInNewFolder(destination)


#: Arguments of `edit_cog` that --remove takes.
_REMOVABLE = ("tags", "descriptions", "nodata", "crs", "scales", "offsets", "units", "colormap", "colorinterp",
              "category_names", "statistics")  # fmt: skip


@main.command(cls=ErrorLine)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--tags", type=pair, metavar="KEY=VALUE", multiple=True, help="Metadata to add or to change.")
@click.option("--remove-tag", "removed_tags", metavar="KEY", multiple=True, help="Metadata to remove.")
@click.option("--replace-tags", is_flag=True, help="--tags replaces all tags.")
@click.option("--descriptions", multiple=True, metavar="NAME", help="A band's name; once for each band.")
@click.option("--nodata", type=number_or_none, metavar="NUMBER", help="Of missing pixels; or none.")
@click.option("--crs", metavar="CRS", help="Such as EPSG:32630.")
@click.option("--transform", type=float, nargs=6, metavar="A B C D E F", help="Of pixel (column, row) to (x, y).")
@click.option("--scales", type=float, multiple=True, metavar="NUMBER", help="A band's factor; once for each band.")
@click.option("--offsets", type=float, multiple=True, metavar="NUMBER", help="A band's summand; once for each band.")
@click.option("--units", multiple=True, metavar="NAME", help="A band's unit; once for each band.")
@click.option("--colorinterp", multiple=True, metavar="NAME", help="A band's colour; once for each band.")
@click.option(
    "--class-name",
    "category_names",
    type=value_and_name,
    multiple=True,
    metavar="VALUE=NAME",
    help="A class of a raster of one band.",
)
@click.option(
    "--remove", "removed", **_choice(*_REMOVABLE), multiple=True, help="Of the metadata above, or statistics."
)
@click.option("--out", metavar="DST", help="File, or folder of several; by default each PATH is replaced.")
@click.option("--overwrite/--no-overwrite", default=True, show_default=True, help="Of files at DST.")
@click.option("--durable", is_flag=True, help="Flush a local file to the disk.")
@click.option("--dir-tmpfiles", type=click.Path(), help="Folder for temporary files.")
@click.option("--dry-run", is_flag=True, help="Print what would change; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each file.")
def edit(paths: tuple[str, ...], out: str | None, as_json: bool, dry_run: bool, **options: Any) -> None:
    """Change the metadata of each PATH, a COG or tiled GeoTIFF, without decoding a tile.

    Several of them, or a pattern such as 'in/*.tif', go to the folder DST, or are replaced.
    """
    from georeader.cli.targets import Found, expand_each, pair_files
    from georeader.storage import redact_url

    if out is None:
        names, errors = expand_each(paths)
        found = Found([(name, name) for name in names], errors)
    else:
        found = pair_files(paths, out)
    arguments = edit_arguments(options)
    printing.check_standard_output(out or "", as_json=as_json)
    edit_one = partial(_plan_edit if dry_run else _edit, is_in_place=out is None, arguments=arguments)
    batch = printing.Batch("planned" if dry_run else "edited", as_json=as_json)
    for pattern, error in found.errors:
        batch.fail(error, source=redact_url(pattern))
    for source, path in found.pairs:
        try:
            done = edit_one(source, path)
        except GeoreaderError as error:
            batch.fail(error, path=redact_url(source))
            continue
        batch.counts["planned" if dry_run else "edited"] += 1
        if as_json:
            printing.print_json(done.to_dict())
        elif dry_run:
            printing.print_result(str(done))
        else:
            printing.print_on_terminal(done)
    batch.print_summary()
    click.get_current_context().exit(batch.code)


def edit_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return keyword arguments of `edit_cog`, without options that were not typed.

    Example:
        >>> edit_arguments({"tags": (("a", "1"),), "removed_tags": ("b",), "nodata": "none", "removed": ("units",)})
        {'tags': {'a': '1', 'b': None}, 'nodata': None, 'units': None}
    """
    typed = {name: value for name, value in options.items() if value not in (None, ())}
    removed_tags, removed = typed.pop("removed_tags", ()), typed.pop("removed", ())
    if "tags" in typed or removed_tags:
        typed["tags"] = dict(typed.get("tags", ())) | dict.fromkeys(removed_tags)
    if "category_names" in typed:
        typed["category_names"] = dict(typed["category_names"])
    if typed.get("nodata") == "none":
        typed["nodata"] = None
    if str(typed.get("crs", "")).isdigit():  # an EPSG code, as rasterio takes it
        typed["crs"] = int(typed["crs"])
    for name in removed:
        if name in typed:
            raise click.UsageError(f"--remove {name} and --{_with_hyphens(name)} contradict; keep one of them")
    return typed | dict.fromkeys(removed)


def _edit(source: str, path: str, *, is_in_place: bool, arguments: Mapping[str, Any]) -> Any:
    from georeader.edit import edit_cog

    if is_in_place:
        return edit_cog(source, **{name: value for name, value in arguments.items() if name != "overwrite"})
    with open_destination(path) as target:
        return edit_cog(source, out=target, **arguments)


def _plan_edit(source: str, path: str, *, is_in_place: bool, arguments: Mapping[str, Any]) -> Any:
    from georeader.edit import plan_edit

    of_writing = ("overwrite", "durable", "dir_tmpfiles")
    changes = {name: value for name, value in arguments.items() if name not in of_writing}
    return plan_edit(source, out=None if is_in_place else path, **changes)


@main.command(cls=ErrorLine)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--strict", is_flag=True, help="Warnings are errors.")
@click.option("--decode/--no-decode", default=True, show_default=True, help="Decode every tile.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each file.")
def validate(paths: tuple[str, ...], strict: bool, decode: bool, as_json: bool) -> None:
    """Check whether each PATH is a good COG; exit code 1 if one is not."""
    from georeader.cli.targets import expand_each
    from georeader.storage import redact_url
    from georeader.validation import validate as validate_file

    names, errors = expand_each(paths)
    batch = printing.Batch("valid", "not valid", as_json=as_json)
    for pattern, error in errors:
        batch.fail(error, path=redact_url(pattern))
    for name in names:
        try:
            report = validate_file(name, strict=strict, decode=decode)
        except GeoreaderError as error:
            batch.fail(error, path=redact_url(name))
            continue
        batch.counts["valid" if report.is_valid else "not valid"] += 1
        batch.code = batch.code if report.is_valid else max(batch.code, printing.FAILED)
        if as_json:
            printing.print_json(report.to_dict())
        else:
            printing.print_result(str(report))
    batch.print_summary()
    click.get_current_context().exit(batch.code)


@main.command(cls=ErrorLine)
@click.argument("path", metavar="PATH")
@click.option("--histogram", is_flag=True, help="Draw how often values occur in each band, from a small overview.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def info(path: str, histogram: bool, as_json: bool) -> None:
    """Show layout, pyramid and georeferencing of PATH."""
    from georeader.validation import info as read_info

    found = read_info(path, histogram=histogram)
    if as_json:
        printing.print_json(found.to_dict())
    else:
        printing.print_result(str(found))


@main.command(cls=ErrorLine)
@click.argument("path", metavar="PATH")
@click.option("-o", "--output", required=True, metavar="PNG", help="Where the picture goes; - for standard output.")
@click.option("--max-side-px", type=int, default=1024, show_default=True)
@click.option("--bands", multiple=True, metavar="BAND", help="From 1, or by name; one for grey, three for colours.")
@click.option("--percentiles", type=float, nargs=2, help="What is black, and what is white; 2 98 by default.")
@click.option("--colormap", metavar="NAME", help="Of matplotlib, such as viridis or viridis_r; for one band.")
@click.option("--legend", is_flag=True, help="Add a colour bar, or the classes and their names.")
@click.option("--class-names", type=value_and_name, metavar="VALUE=NAME", multiple=True, help="For --legend.")
def preview(
    path: str, output: str, bands: tuple[str, ...], class_names: tuple[tuple[int, str], ...], **options: Any
) -> None:
    """Draw PATH as a PNG, from the smallest overview that fits."""
    from georeader._export.sinks.opening import open_sink
    from georeader._export.sinks.sidecars import check_source_stays
    from georeader._storage.urls import Destination
    from georeader.cli.targets import check_picture
    from georeader.preview import preview as draw

    printing.check_standard_output(output)
    check_picture(path, output)
    check_source_stays(path, Destination(output))
    wanted = [int(band) if band.isdecimal() else band for band in bands]
    picture = draw(path, bands=wanted or None, class_names=dict(class_names), **options)
    with open_destination(output) as target, open_sink(Destination(target, content_type="image/png")) as sink:
        sink.write_header(picture)
        sink.commit()


@main.command(cls=ErrorLine)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: any free one.")
@click.option("--browser/--no-browser", "open_browser", default=True, help="Open the page in the browser.")
def view(paths: tuple[str, ...], port: int, open_browser: bool) -> None:
    """Show each PATH, a COG, on a map in the browser, until Ctrl-C.

    The page reads them by range requests from this machine, and shows each request. Only these files are served, on
    127.0.0.1, below the random token in the address.
    """
    from georeader.cli.targets import expand_each
    from georeader.view import view as show

    names, errors = expand_each(paths)
    if errors:
        raise errors[0][1]
    with show(*names, port=port, open_browser=open_browser) as shown, suppress(KeyboardInterrupt):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        printing.print_result(shown.url)
        printing.print_on_terminal("Ctrl-C ends it.")
        while True:
            time.sleep(1)
