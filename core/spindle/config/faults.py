"""Puts what is wrong with a configuration into words: path, problem, what was expected, where."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Annotated, TypeAlias, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

Path: TypeAlias = tuple[str | int, ...]

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_SECRET_KEYS = frozenset(
    {
        *("api_key", "url", "urls", "password", "token", "secret"),
        *("credential", "headers", "client_secret", "client_key", "subject_key"),
    }
)
_SHOWN = 60
_OF_A_KEY = "[key]"
"""What pydantic puts behind the key of a mapping that is faulty itself."""
_LONGEST_KEY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong."""

    path: Path
    problem: str
    expected: str = ""
    place: str = ""
    """Where it stands, when the places of the merged sources do not tell."""


def render_fault(fault: Fault, places: Mapping[Path, str]) -> str:
    """Return a fault as one line, with the place it comes from when that is known."""
    expected = f"; expected {fault.expected}" if fault.expected else ""
    place = fault.place or _nearest(fault.path, places)
    return f"{render_path(fault.path)}: {fault.problem}{expected}{f' ({place})' if place else ''}"


def render_path(path: Path, text: str = "") -> str:
    """Return a path as `section.key[0]."odd key"`, after what `text` says already."""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            short = part if len(part) <= _LONGEST_KEY else f"{part[:_LONGEST_KEY]}…"
            shown = short if _PLAIN.fullmatch(short) else f'"{short}"'
            text += f".{shown}" if text else shown

    return text or "configuration"


def unknown_key(path: Path, known: Iterable[str], what: str = "key") -> Fault:
    """Return the fault of a key nobody knows, with the nearest one that is."""
    names = sorted(known)
    return Fault(
        path=path,
        problem=f"unknown {what}{suggest(str(path[-1]), names)}",
        expected=_one_of(names),
    )


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean …?` when something known is near, else nothing."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def model_fault(error: ErrorDetails, root: type[BaseModel]) -> Fault:
    """Return the fault a pydantic error stands for, and the policy rule it breaks if any."""
    fault = _model_fault(error, root)
    policy = _policy_at(root, fault.path)
    return replace(fault, expected=f"{fault.expected} ({policy})") if policy else fault


def _model_fault(error: ErrorDetails, root: type[BaseModel]) -> Fault:
    path, kind = error["loc"], error["type"]

    if path and path[-1] == _OF_A_KEY:
        path = path[:-1]

    context = error.get("ctx", {})

    if kind == "extra_forbidden":
        return unknown_key(path, _fields_at(root, path[:-1]))

    if kind == "missing":
        return Fault(path=path, problem="is missing", expected="a value")

    if kind == "fault":
        return Fault(path=path, problem=context["problem"], expected=context["expected"])

    wanted = _EXPECTED.get(kind)

    if wanted is not None:
        return Fault(path=path, problem=describe_type(error["input"]), expected=wanted)

    return Fault(
        path=path,
        problem=f"{_shown(path, error['input'])} is not allowed",
        expected=_bound(kind, context) or error["msg"],
    )


def describe_type(value: object) -> str:
    """Return what kind of value this is, never the value."""
    return f"is {_TYPES.get(type(value), type(value).__name__)}"


_TYPES: dict[type, str] = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "a mapping",
    type(None): "null",
}

_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}

_BOUNDS = {
    "greater_than": "a number above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "finite_number": "a finite number",
    "string_too_short": "some text",
    "literal_error": "{expected}",
    "enum": "{expected}",
}


def _bound(kind: str, context: Mapping[str, object]) -> str:
    return _BOUNDS.get(kind, "").format(**context)


def _shown(path: Path, value: object) -> str:
    names = {part for part in path if isinstance(part, str)}

    # A value may be a secret that stands in the wrong place: say only what it looks like.
    if names & _SECRET_KEYS or not isinstance(value, str | int | float):
        return "the value"

    text = repr(value)
    return text if len(text) <= _SHOWN else "the value"


def _one_of(names: Sequence[str]) -> str:
    return f"one of {', '.join(names)}" if names else "no keys here"


def _policy_at(root: type[BaseModel], path: Path) -> str | None:
    kind: object = root

    for part in path[:-1]:
        kind = _inside(kind, part)

    policies: Mapping[str, str] = getattr(kind, "policies", {})
    return policies.get(str(path[-1])) if path else None


def _fields_at(root: type[BaseModel], path: Path) -> Iterable[str]:
    kind: object = root

    for part in path:
        kind = _inside(kind, part)

    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else ()


def _inside(kind: object, part: str | int) -> object:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        found = kind.model_fields.get(str(part))
        return None if found is None else _without_none(found.annotation)

    arguments = get_args(kind)
    inner = arguments[1] if get_origin(kind) is dict else arguments[0] if arguments else None
    return _without_none(inner)


def _without_none(kind: object) -> object:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]

    options = [option for option in get_args(kind) if option is not type(None)]
    return options[0] if type(None) in get_args(kind) and len(options) == 1 else kind


def _nearest(path: Path, places: Mapping[Path, str]) -> str | None:
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]

    return None
