"""Output: results on standard output, everything else on standard error; errors in one line, with options as typed."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import click

from georeader import errors

DONE, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130

#: The destination that is standard output.
STANDARD_OUTPUT = "-"


class ErrorLine(click.Command):
    """Command whose errors are one line and an exit code: 1 after a failure, 2 after wrong usage."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Add --debug."""
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(["--debug"], is_flag=True, expose_value=False, callback=_keep_debug, help="Show tracebacks.")
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and print its error in one line."""
        try:
            _open_closed_streams()
            with _warnings_as_lines():
                return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except Exception as error:  # noqa: BLE001  (reported in one line)
            print_error(error)
            ctx.exit(exit_code(error))


def _keep_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta["georeader.debug"] = value


def _open_closed_streams() -> None:
    """Open the null device in place of standard streams that are closed (``>&-``).

    Otherwise the first files that are opened get their descriptors, and a C library prints into a raster.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error: 2 if other options are needed, else 1."""
    if isinstance(error, errors.OptionError):
        return MISUSED
    is_of_option = isinstance(error, (errors.DtypeError, errors.MetadataError, errors.NodataError))
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


def _one_line(message: object) -> str:
    """Return a message in one line, with options as they were typed."""
    return _typed_options().message(" ".join(str(message).split()))


def print_error(error: BaseException) -> None:
    """Print an error as one line, or with --debug as Python does."""
    ctx = click.get_current_context(silent=True)
    if ctx is not None and ctx.meta.get("georeader.debug"):
        click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
        return
    text = _one_line(error)
    is_ours = isinstance(error, errors.GeoreaderError)
    kind = "" if is_ours and text else f"{type(error).__name__}: "
    hint = "" if is_ours else " (--debug shows where)"
    click.echo(f"Error: {kind}{text}{hint}", err=True)


class Batch:
    """Outcomes of several files: how many of each kind, and the worst exit code."""

    def __init__(self, *kinds: str, as_json: bool) -> None:
        """Start with zeros, of "failed", too."""
        self.counts = dict.fromkeys((*kinds, "failed"), 0)
        self.code = DONE
        self.as_json = as_json

    def fail(self, error: BaseException, **of: str) -> None:
        """Print the error of a file, with its names in JSON."""
        self.counts["failed"] += 1
        self.code = max(self.code, exit_code(error))
        print_error(error)
        if self.as_json:
            print_json({**of, "error": {"kind": type(error).__name__, "message": _one_line(error)}})

    def print_summary(self) -> None:
        """Print a summary of several files on standard error, such as "49 saved, 1 failed"."""
        first = next(iter(self.counts))
        shown = [f"{count} {kind}" for kind, count in self.counts.items() if count or kind == first]
        if sum(self.counts.values()) > 1:
            click.echo(", ".join(shown), err=True)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        del category
        click.echo(f"Warning: {_one_line(message)}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def check_standard_output(destination: str, *, as_json: bool = False) -> None:
    """Check that a file and text do not go to the same standard output."""
    if destination == STANDARD_OUTPUT and (as_json or is_terminal()):
        what = "JSON goes to standard output, too" if as_json else "standard output is a terminal"
        raise click.UsageError(f"{what}; name a file, or redirect it")


def is_terminal() -> bool:
    """Return whether standard output is a terminal; a closed one is not."""
    return sys.stdout is not None and sys.stdout.isatty()


def standard_output() -> IO[bytes]:
    """Return standard output as a file of bytes."""
    if sys.stdout is None:
        raise errors.DestinationError("standard output is closed; redirect it to a file, or to /dev/null")
    return sys.stdout.buffer


def print_result(text: str) -> None:
    """Print the result of a command."""
    standard_output()
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise errors.WriteError(f"standard output cannot be written: {error.strerror}") from error


def print_json(value: Any) -> None:
    """Print a value in one line."""
    print_result(json.dumps(value, allow_nan=False))


def print_on_terminal(text: object) -> None:
    """Print a line on a terminal; nothing in a pipe, where the file is the result."""
    if is_terminal():
        click.echo(str(text))


@contextmanager
def bar(label: str, is_shown: bool) -> Iterator[Callable[[int, int], None] | bool]:
    """Show a bar on standard error while the block lasts; its value is ``progress`` for save_cog."""
    if not is_shown:
        yield False
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as shown:

        def update(done: int, total: int) -> None:
            shown.length = total
            shown.update(done - shown.pos)

        yield update


#: Start of a name outside of words, paths and quoted texts.
_BEFORE = r"(?<![\w'\"/.=-])"


@dataclass(frozen=True)
class TypedOptions:
    """Options of a command as typed, for messages that name arguments of Python."""

    spellings: Mapping[str, str]  #: {"max_memory": "--max-memory"}
    flags: Mapping[str, str] = field(default_factory=dict)  #: {"overwrite=False": "--no-overwrite"}
    given: Collection[str] = ()  #: Names of the arguments whose option was typed.
    profile_keys: Collection[str] = ()  #: Keys that were typed after ``--profile``, in lower case.

    def message(self, text: str) -> str:
        """Return a message with options in place of arguments.

        Example:
            >>> options = TypedOptions({"nodata": "--nodata", "level": "--level"})
            >>> options.message("nodata=300 cannot be held by uint8; or save as profile_arg={'dtype': ...}")
            '--nodata 300 cannot be held by uint8; or save as --profile dtype=...'
            >>> options.message("profile_arg['LEVEL']=9 and profile_arg['NBITS']=3 exclude each other")
            '--level 9 and --profile NBITS=3 exclude each other'
        """
        return self._pattern().sub(self._spell, text)

    def is_one_named_in(self, text: str) -> bool:
        """Return whether a message names an option that was typed."""
        named = {(_name(match) or "").lower() for match in self._pattern().finditer(text)}
        return not named.isdisjoint({*self.given, *self.profile_keys})

    def _pattern(self) -> re.Pattern[str]:
        names = "|".join(map(re.escape, [*self.spellings, *self.profile_keys])) or "(?!)"
        flags = "|".join(map(re.escape, self.flags)) or "(?!)"
        return re.compile(
            rf"{_BEFORE}(?P<flag>{flags})\b"
            r"|profile_arg(?:\[|=\{)['\"](?P<key>\w+)['\"](?:(?P<key_sign>\]=|: )(?P<value>'[\w.-]*'|[.]{3})?|\])\}?"
            rf"|{_BEFORE}(?P<name>(?i:{names}))(?:(?P<name_sign>=)(?P<word>'[\w.-]*')?|(?=\[))"
            rf"|^(?P<subject>(?i:{names}))\b"
            r"|(?P<profile>\bprofile_arg\b)"
            r"|(?P<nan>\bnumpy\.nan\b)"
        )

    def _spell(self, match: re.Match[str]) -> str:
        if match["flag"]:
            return self.flags[match["flag"]]
        if match["profile"] or match["nan"]:
            return "--profile" if match["profile"] else "nan"
        name = str(_name(match))
        has_value = match["key_sign"] or match["name_sign"]
        value = (match["value"] or match["word"] or "").strip("'")
        is_profile = name.lower() not in self.spellings or (
            name.lower() in self.profile_keys and name.lower() not in self.given
        )
        if is_profile:
            return f"--profile {name}" + (f"={value}" if has_value else "")
        return self.spellings[name.lower()] + (f" {value}" if has_value else "")


def _name(match: re.Match[str]) -> str | None:
    return match["key"] or match["name"] or match["subject"]
