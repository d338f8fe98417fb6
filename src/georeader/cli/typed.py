"""Error messages that name options as they were typed, not as arguments of Python. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

#: Not within a word, a path or a quoted text.
_BEFORE = r"(?<![\w'\"/.=-])"


@dataclass(frozen=True)
class TypedOptions:
    """The options of a command, and which of them were typed.

    Attributes:
        spellings: Name of an argument in Python to the option, such as ``{"max_memory": "--max-memory"}``.
        flags: Arguments that are True or False to the flag, such as ``{"overwrite=False": "--no-overwrite"}``.
        given: Names of the arguments whose option was typed.
        profile_keys: Keys that were typed behind ``--profile``, in lower case.
    """

    spellings: Mapping[str, str]
    flags: Mapping[str, str] = field(default_factory=dict)
    given: Collection[str] = ()
    profile_keys: Collection[str] = ()

    def message(self, text: str) -> str:
        """Return a message with options in place of arguments.

        Example:
            >>> options = TypedOptions({"nodata": "--nodata", "level": "--level"})
            >>> options.message("nodata=300 can't be held by uint8; or save as profile_arg={'dtype': ...}")
            "--nodata 300 can't be held by uint8; or save as --profile dtype=..."
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
