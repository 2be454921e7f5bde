"""The clients and their snippets, read from the tables beside this file.

A snippet is text with `{{values}}`. A line that names a value nobody gave is left out, so a table
orders its lines such that what is left is whole.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping

    Values = Mapping[str, str | None]

_FOLDER: Final = "spindle_mcp.clients"
_TABLE: Final = ".toml"
_VALUE: Final = re.compile(r"\{\{(\w+)\}\}")


class Hint(BaseModel):
    """A sentence for whoever copies a snippet."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    when: str = ""
    """A condition of `Circumstances`; "" is always."""


class Form(BaseModel):
    """One way of telling a client."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    what: str
    """Where it goes, or what it does."""
    language: str
    """As a fenced block names it: json, sh, python, js or text."""
    snippet: str
    hints: tuple[Hint, ...] = ()


class Client(BaseModel):
    """A client; its first form is the one that is printed when none is named."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    is_anonymous: bool = False
    """It sends no token."""
    forms: tuple[Form, ...]
    hints: tuple[Hint, ...] = ()
    """Those of all its forms."""

    def form(self, identity: str | None) -> Form | None:
        """Return a form by its id, the first when none is named; None: there is no such form."""
        if identity is None:
            return self.forms[0]

        return next((form for form in self.forms if form.id == identity), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What decides which hints are given."""

    is_local: bool
    """The gateway is on this machine."""
    is_plain: bool
    """It is elsewhere, and reached without TLS."""
    has_oauth: bool
    """The endpoint answers OAuth discovery."""

    def hold(self, condition: str) -> bool:
        """Tell whether a hint's condition holds."""
        holds = {
            "": True,
            "local": self.is_local,
            "plain": self.is_plain,
            "oauth": self.has_oauth,
        }
        return holds[condition]


def names() -> tuple[str, ...]:
    """Return the names of the clients, in their order."""
    tables = (entry.name for entry in files(_FOLDER).iterdir())
    return tuple(sorted(name.removesuffix(_TABLE) for name in tables if name.endswith(_TABLE)))


@cache
def clients() -> Mapping[str, Client]:
    """Return every client by its name."""
    folder = files(_FOLDER)
    return {
        name: Client.model_validate(tomllib.loads((folder / f"{name}{_TABLE}").read_text("utf-8")))
        for name in names()
    }


def filled(form: Form, values: Values) -> str:
    """Return a form's snippet with its values, ending with a line's end."""
    lines = form.snippet.strip("\n").splitlines()
    return "".join(f"{_fill(line, values, form)}\n" for line in lines if _has_all(line, values))


def hints(client: Client, form: Form, circumstances: Circumstances, values: Values) -> list[str]:
    """Return the sentences that go with a form as things are."""
    return [
        _fill(hint.text, values)
        for hint in (*form.hints, *client.hints)
        if circumstances.hold(hint.when)
    ]


def _has_all(line: str, values: Values) -> bool:
    return all(values[name] is not None for name in _VALUE.findall(line))


def _fill(line: str, values: Values, form: Form | None = None) -> str:
    def value(found: re.Match[str]) -> str:
        text = values[found.group(1)] or ""
        return json.dumps(text)[1:-1] if form is not None and form.language == "json" else text

    return _VALUE.sub(value, line)
