"""What a person, or a program, is told: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

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
        """Run it."""
        try:
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


def is_debug() -> bool:
    """Whether --debug was said."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.meta.get(_DEBUG))


def code_of(error: BaseException) -> int:
    """Give the exit code of an error."""
    from georeader.errors import OptionError

    return MISUSED if isinstance(error, OptionError) else FAILED


def tell_error(error: BaseException) -> None:
    """Print an error as one line, or with --debug as Python does."""
    from georeader.errors import GeoreaderError

    if is_debug():
        click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
        return
    said = " ".join(str(error).split())
    is_ours = isinstance(error, GeoreaderError)
    kind = "" if is_ours and said else f"{type(error).__name__}: "
    hint = "" if is_ours else " (--debug shows where)"
    click.echo(f"Error: {kind}{said}{hint}", err=True)


def tell_failure(error: BaseException, of: Mapping[str, Any], *, as_json: bool) -> int:
    """Print the error of one file among several, and give its exit code."""
    tell_error(error)
    if as_json:
        print_json({**of, "error": {"kind": type(error).__name__, "message": str(error)}})
    return code_of(error)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        del category
        click.echo(f"Warning: {' '.join(str(message).split())}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def refuse_a_mixture(destination: str, *, as_json: bool = False) -> None:
    """Refuse to write a file among text.

    Raises:
        click.UsageError: It is to go to standard output, and so is JSON; or that is a terminal.
    """
    if destination == "-" and (as_json or sys.stdout.isatty()):
        what = "JSON goes to standard output, too" if as_json else "standard output is a terminal"
        raise click.UsageError(f"{what}; name a file, or redirect it")


def print_json(value: Any) -> None:
    """Print a value in one line."""
    click.echo(json.dumps(value, allow_nan=False))


def print_for_people(text: object) -> None:
    """Print a line on a terminal; in a pipe nothing: the file is the result."""
    if sys.stdout.isatty():
        click.echo(str(text))


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
