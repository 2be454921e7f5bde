"""RE2 with types: what is used of a library that brings none."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from spindle_spi.errors import InvalidArgument

_MEMORY = 8 * 1024 * 1024


class Match(Protocol):
    """Where a pattern was found."""

    def start(self) -> int:
        """Return the first index."""
        ...

    def end(self) -> int:
        """Return the index behind the last."""
        ...


class Pattern(Protocol):
    """A compiled pattern; it takes text without surrogates only."""

    def search(self, text: str, pos: int = 0) -> Match | None:
        """Find it at or after a place."""
        ...

    def match(self, text: str, pos: int, endpos: int) -> Match | None:
        """Find it at a place, ending before another."""
        ...


class _Options(Protocol):
    log_errors: bool
    case_sensitive: bool
    max_mem: int


class _Library(Protocol):
    error: type[Exception]

    def Options(self) -> _Options: ...  # noqa: N802 - the library's name

    def compile(self, pattern: str, options: _Options) -> Pattern: ...


_RE2 = cast("_Library", import_module("re2"))


def compile_pattern(pattern: str, *, ignores_case: bool = False) -> Pattern:
    """Return a compiled pattern.

    Raises:
        InvalidArgument: RE2 does not take it; says why.
    """
    options = _RE2.Options()
    options.log_errors = False
    options.case_sensitive = not ignores_case
    options.max_mem = _MEMORY

    try:
        return _RE2.compile(pattern, options)
    except _RE2.error as exc:
        reason = exc.args[0].decode("utf-8", "replace")
        raise InvalidArgument(
            f"RE2 does not take the pattern: {reason}.", code="plugin.pattern"
        ) from None
    except UnicodeEncodeError:
        raise InvalidArgument(
            "RE2 does not take the pattern: it is no valid text.", code="plugin.pattern"
        ) from None
