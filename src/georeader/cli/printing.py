"""Output: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import click

from georeader.cli.typed import TypedOptions

DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130

_DEBUG = "georeader.debug"


class ErrorLine(click.Command):
    """A command whose errors are one line, and an exit code: 1 for what failed, 2 for what was misused."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Add --debug."""
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(["--debug"], is_flag=True, expose_value=False, callback=_note_debug, help="Show tracebacks.")
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and print its error in one line."""
        try:
            _take_closed_descriptors()
            with _warnings_as_lines():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:  # noqa: BLE001  (whatever it is, it ends here, with one line)
            tell_error(error)
            ctx.exit(code_of(error))


def _note_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta[_DEBUG] = value


def _take_closed_descriptors() -> None:
    """Open the null device in place of standard streams that are closed (``>&-``).

    Otherwise the first files that are opened get their numbers, and what a C library prints goes into a raster.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def is_debug() -> bool:
    """Return whether --debug was typed."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(_DEBUG))


def code_of(error: BaseException) -> int:
    """Return the exit code of an error: 2 where only other options can help, else 1."""
    from georeader.errors import DtypeError, MetadataError, NodataError, OptionError

    if isinstance(error, OptionError):
        return MISUSED
    is_of_option = isinstance(error, (DtypeError, MetadataError, NodataError))
    return MISUSED if is_of_option and _typed_options().is_one_named_in(str(error)) else FAILED


def _typed_options() -> TypedOptions:
    ctx = click.get_current_context(silent=True)
    if ctx is None:
        return TypedOptions({})
    options = [param for param in ctx.command.params if isinstance(param, click.Option) and param.name]
    flags = {f"{one.name}=True": one.opts[0] for one in options if one.is_flag}
    flags |= {f"{one.name}=False": one.secondary_opts[0] for one in options if one.secondary_opts}
    typed = click.core.ParameterSource.COMMANDLINE
    return TypedOptions(
        spellings={str(one.name): max(one.opts, key=len) for one in options if not one.is_flag and one.name != "pairs"},
        flags=flags,
        given={str(one.name) for one in options if ctx.get_parameter_source(str(one.name)) is typed},
        profile_keys={key.lower() for key, _ in ctx.params.get("pairs") or ()},
    )


def message_of(error: BaseException) -> str:
    """Return the message of an error in one line, with options as they were typed."""
    return _typed_options().message(" ".join(str(error).split()))


def tell_error(error: BaseException) -> None:
    """Print an error as one line, or with --debug as Python does."""
    from georeader.errors import GeoreaderError

    if is_debug():
        click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
        return
    text = message_of(error)
    is_ours = isinstance(error, GeoreaderError)
    kind = "" if is_ours and text else f"{type(error).__name__}: "
    hint = "" if is_ours else " (--debug shows where)"
    click.echo(f"Error: {kind}{text}{hint}", err=True)


def tell_failure(error: BaseException, of: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the error of one file among several, and return its exit code."""
    tell_error(error)
    if as_json:
        print_json({**of, "error": {"kind": type(error).__name__, "message": message_of(error)}})
    return code_of(error)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        del category
        click.echo(f"Warning: {_typed_options().message(' '.join(str(message).split()))}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def refuse_a_mixture(destination: str, *, as_json: bool = False) -> None:
    """Refuse to write a file among text.

    Raises:
        click.UsageError: It is to go to standard output, and so is JSON; or that is a terminal.
    """
    if destination == "-" and (as_json or is_terminal()):
        what = "JSON goes to standard output, too" if as_json else "standard output is a terminal"
        raise click.UsageError(f"{what}; name a file, or redirect it")


def is_terminal() -> bool:
    """Return whether standard output is a terminal; a closed one is not."""
    return sys.stdout is not None and sys.stdout.isatty()


def standard_output() -> IO[bytes]:
    """Return standard output as a file of bytes.

    Raises:
        DestinationError: It is closed.
    """
    from georeader.errors import DestinationError

    if sys.stdout is None:
        raise DestinationError("standard output is closed; redirect it to a file, or to /dev/null")
    return sys.stdout.buffer


def print_result(text: str) -> None:
    """Print the result of a command.

    Raises:
        DestinationError: Standard output is closed.
        WriteError: It cannot be written; the disk may be full.
    """
    from georeader.errors import WriteError

    standard_output()
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WriteError(f"standard output can't be written: {error.strerror}") from error


def print_json(value: Any) -> None:
    """Print a value in one line."""
    print_result(json.dumps(value, allow_nan=False))


def print_for_people(text: object) -> None:
    """Print a line on a terminal; in a pipe nothing: the file is the result."""
    if is_terminal():
        click.echo(str(text))


def print_summary(counts: Mapping[str, int]) -> None:
    """Print a summary of several files on standard error, such as "49 saved, 1 failed".

    Args:
        counts: Outcome to number of files; those that are 0 are left out, except the first.
    """
    first = next(iter(counts))
    click.echo(", ".join(f"{count} {what}" for what, count in counts.items() if count or what == first), err=True)


@contextmanager
def bar(label: str, is_shown: bool) -> Iterator[Callable[[int, int], None] | bool]:
    """Show a bar on standard error while the block lasts; gives what save_cog takes for ``progress``."""
    if not is_shown:
        yield False
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as shown:

        def tell(done: int, total: int) -> None:
            shown.length = total
            shown.update(done - shown.pos)

        yield tell
