"""Whether a URI is one that a template stands for: RFC 6570 read backwards, and nothing wider.

The SDK's linear scan does the reading. What it forgives (parameters and fragments that the template
does not have) and values that climb out of where the template puts them are no match here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from mcp.shared.uri_template import InvalidUriTemplate, UriTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_LENGTH: Final = 1024
_MAX_VARIABLES: Final = 32
MAX_URI: Final = 8192
"""Characters of the longest URI that is looked at."""

_STEPS: Final = frozenset({".", ".."})
_DIVIDERS: Final = re.compile(r"[/\\]")
_SLASHES: Final = re.compile(r"/+")


class TemplateMatch:
    """One template, ready to be compared."""

    __slots__ = ("_literal", "_template")

    def __init__(self, template: str) -> None:
        """Read a template.

        Raises:
            ValueError: It is none, or of a form that cannot be read backwards.
        """
        try:
            self._template = UriTemplate.parse(
                template, max_length=_MAX_LENGTH, max_variables=_MAX_VARIABLES
            )
        except InvalidUriTemplate as exc:
            raise ValueError(str(exc)) from exc

        self._literal = template.partition("{")[0]

    def takes(self, uri: str) -> bool:
        """Tell whether the template stands for a URI."""
        if not uri.startswith(self._literal):
            return False

        found = self._template.match(uri, max_uri_length=MAX_URI)
        return found is not None and self._is_exact(uri) and not _climbs(found)

    def _is_exact(self, uri: str) -> bool:
        """Tell whether a URI's query and fragment hold nothing but what the template names."""
        named = self._template.query_variable_names

        if not named:
            return True

        rest, _, fragment = uri.partition("#")
        pairs = rest.partition("?")[2]
        given = [pair.partition("=")[0] for pair in pairs.split("&")] if pairs else []
        return not fragment and set(given) <= named and len(set(given)) == len(given)


def same_place(uri: str) -> str:
    """Return a form that URIs share which an upstream may take for one and the same."""
    return _SLASHES.sub("/", unquote(uri))


def _climbs(found: Mapping[str, str | list[str]]) -> bool:
    values = (
        text for value in found.values() for text in ([value] if isinstance(value, str) else value)
    )
    return any(step in _STEPS for text in values for step in _DIVIDERS.split(text))
