"""The contract as `.proto` files, generated from its types: `python -m spindle_spi.proto --help`.

One file for the types, one for each service. Field numbers are kept in `numbers.json` beside them
and never change: what is gone is reserved, what is new gets the next. Nothing here sends anything.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, get_args, get_type_hints

from spindle_spi import records
from spindle_spi.annotations import (
    Annotation,
    fields_of,
    is_dataclass,
    is_enum,
    is_json,
    options_of,
    origin_of,
)
from spindle_spi.auth import AuthPolicyService
from spindle_spi.catalog import CatalogService
from spindle_spi.codec import decode, encode
from spindle_spi.config_secrets import ConfigSecretsService
from spindle_spi.errors import ErrorEnvelope
from spindle_spi.invocation import Progress, ProgressSink, StreamEvent, Streaming
from spindle_spi.observability import ObservabilityService
from spindle_spi.plugin import PluginService, StreamGuard
from spindle_spi.secret import Secret
from spindle_spi.session_event import SessionEventService

SERVICES: dict[str, type[object]] = {
    "auth": AuthPolicyService,
    "catalog": CatalogService,
    "plugin": PluginService,
    "session": SessionEventService,
    "config": ConfigSecretsService,
    "observability": ObservabilityService,
}
"""The packages `core.spi.<name>.v1`, and the service of each."""

NUMBERS = "numbers.json"

_TYPES = "core.spi.types.v1"
_EXTRA_TYPES = (ErrorEnvelope,)
"""Types no signature names: an error travels in the status of its call."""
_UNIONS = {records.RecordSpec: "RecordSpec"}
_SCALARS: dict[Annotation, str] = {
    bool: "bool",
    int: "int64",
    float: "double",
    str: "string",
    bytes: "bytes",
    Secret: "string",
}
_OBJECTS = (dict, Mapping)
_WELL_KNOWN = "google.protobuf"

_Members: TypeAlias = Sequence[tuple[str, Annotation]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """The numbers of one message or enum."""

    names: dict[str, int]
    retired: tuple[int, ...] = ()
    """Numbers whose names are gone; never given out again."""


class Numbers:
    """Every number ever given out."""

    def __init__(self, entries: Mapping[str, Numbered]) -> None:
        self._entries = dict(entries)

    @classmethod
    def parsed(cls, text: str) -> Numbers:
        """Return the numbers a file holds."""
        return cls(decode(text.encode(), dict[str, Numbered]))

    def render(self) -> str:
        """Return the file's text."""
        plain = json.loads(encode(self._entries, dict[str, Numbered]))
        return json.dumps(plain, indent=1, sort_keys=True) + "\n"

    def assign(self, message: str, names: Iterable[str]) -> Numbered:
        """Return the numbers of a message's present names, in the order of the numbers."""
        wanted = list(names)
        before = self._entries.get(message, Numbered(names={}))
        gone = {number for name, number in before.names.items() if name not in wanted}
        kept = {name: number for name, number in before.names.items() if name in wanted}
        retired = tuple(sorted({*before.retired, *gone}))
        following = max((*kept.values(), *retired), default=0) + 1
        fresh = [name for name in wanted if name not in kept]
        kept |= {name: following + index for index, name in enumerate(fresh)}
        ordered = dict(sorted(kept.items(), key=lambda entry: entry[1]))
        self._entries[message] = Numbered(names=ordered, retired=retired)
        return self._entries[message]


def generate(numbers: Numbers) -> dict[str, str]:
    """Return the text of every file by its path, `numbers.json` included."""
    types = _Types(numbers)
    files = {_path(_package(name)): _Service(name, types).text() for name in SERVICES}

    for kind in _EXTRA_TYPES:
        types.name_of(kind)

    shared = "\n".join(types.texts[name] for name in sorted(types.texts))
    files[_path(_TYPES)] = _file(_TYPES, shared)
    return {**files, NUMBERS: numbers.render()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or tell how those of a folder differ from the types."""
    parser = argparse.ArgumentParser(prog="python -m spindle_spi.proto", description=__doc__)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--write", type=Path, metavar="DIR", help="write the files into DIR")
    choice.add_argument("--check", type=Path, metavar="DIR", help="fail if DIR is out of date")
    options = parser.parse_args(arguments)
    folder: Path = options.write or options.check
    present = _read(folder)
    files = generate(Numbers.parsed(present.get(NUMBERS, "{}")))

    if options.write:
        _write(folder, files, present)
        return 0

    differences = _differences(present, files)
    sys.stdout.writelines(differences)
    return int(bool(differences))


def _read(folder: Path) -> dict[str, str]:
    paths = [*folder.rglob("*.proto"), *folder.glob(NUMBERS)]
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in paths}


def _write(folder: Path, files: Mapping[str, str], present: Mapping[str, str]) -> None:
    for name in present.keys() - files.keys():
        (folder / name).unlink()

    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def _differences(present: Mapping[str, str], files: Mapping[str, str]) -> list[str]:
    return [
        line
        for name in sorted({*present, *files})
        for line in difflib.unified_diff(
            present.get(name, "").splitlines(keepends=True),
            files.get(name, "").splitlines(keepends=True),
            f"{name} (committed)",
            f"{name} (of the types)",
        )
    ]


def _package(name: str) -> str:
    return f"core.spi.{name}.v1"


def _path(package: str) -> str:
    return f"{package.replace('.', '/')}/{package.split('.')[-2]}.proto"


def _file(package: str, body: str) -> str:
    imports = [_path(_TYPES)] if f"{_TYPES}." in body and package != _TYPES else []
    imports += ["google/protobuf/struct.proto"] if f"{_WELL_KNOWN}." in body else []
    head = "// Generated from spindle_spi by `python -m spindle_spi.proto`; do not edit."
    lines = [head, 'syntax = "proto3";', "", f"package {package};", ""]
    lines += [*(f'import "{name}";' for name in imports), ""] if imports else []
    return "\n".join([*lines, body.replace(f"{package}.", "")])


class _Types:
    """The messages and enums of the types, collected as signatures name them."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self.texts: dict[str, str] = {}

    def message(
        self, name: str, fields: Mapping[str, str], *, doc: str = "", is_oneof: bool = False
    ) -> str:
        """Return a message's text; `is_oneof` when it holds exactly one of its fields."""
        numbered = self._numbers.assign(name, fields)
        lines = [f"{fields[field]} {field} = {number};" for field, number in numbered.names.items()]

        if is_oneof:
            lines = ["oneof value {", *(f"  {line}" for line in lines), "}"]

        return _block(f"message {_last(name)}", [*_reserved(numbered), *lines], doc)

    def fields(self, members: _Members) -> dict[str, str]:
        """Return label and type of each member."""
        return {name: self._field(kind) for name, kind in members}

    def name_of(self, kind: Annotation) -> str:
        """Return the name of a type that stands alone, and collect it."""
        if is_json(kind):
            return f"{_WELL_KNOWN}.Value"

        if kind in _SCALARS:
            return _SCALARS[kind]

        if origin_of(kind) is not None:
            # Neither `repeated` nor `map` may hold another, so the inner one becomes a message.
            return self._wrapped(kind)

        name = f"{_TYPES}.{kind.__name__}"

        if name not in self.texts:
            write = self._enum if is_enum(kind) else self._dataclass
            self.texts[name] = write(name, kind)

        return name

    def _field(self, kind: Annotation) -> str:
        options = [option for option in options_of(kind) if option is not type(None)]
        is_optional = len(options) < len(options_of(kind))

        if len(options) > 1:
            return self._union(kind, options)

        plain = options[0]

        if origin_of(plain) is None:
            has_presence = is_dataclass(plain) or is_json(plain)
            label = "optional " if is_optional and not has_presence else ""
            return label + self.name_of(plain)

        if origin_of(plain) in _OBJECTS and is_json(get_args(plain)[1]):
            return f"{_WELL_KNOWN}.Struct"

        return self._wrapped(plain) if is_optional else self._collection(plain)

    def _collection(self, kind: Annotation) -> str:
        if origin_of(kind) in _OBJECTS:
            return f"map<string, {self.name_of(get_args(kind)[1])}>"

        return f"repeated {self.name_of(get_args(kind)[0])}"

    def _wrapped(self, kind: Annotation) -> str:
        is_object = origin_of(kind) in _OBJECTS
        item = self.name_of(get_args(kind)[1 if is_object else 0])
        name = f"{_TYPES}.{_camel(_last(item))}{'Map' if is_object else 'List'}"
        self.texts[name] = self.message(name, {"values": self._collection(kind)})
        return name

    def _union(self, kind: Annotation, options: Sequence[Annotation]) -> str:
        name = f"{_TYPES}.{_UNIONS[kind]}"
        fields = {_snake(option.__name__): self.name_of(option) for option in options}
        self.texts[name] = self.message(name, fields, is_oneof=True)
        return name

    def _dataclass(self, name: str, kind: Annotation) -> str:
        return self.message(name, self.fields(fields_of(kind)), doc=_summary(kind))

    def _enum(self, name: str, kind: Annotation) -> str:
        prefix = _snake(kind.__name__).upper()
        numbered = self._numbers.assign(name, [member.name for member in kind])
        values = {"UNSPECIFIED": 0, **numbered.names}
        lines = [f"{prefix}_{value} = {number};" for value, number in values.items()]
        return _block(f"enum {kind.__name__}", [*_reserved(numbered), *lines], _summary(kind))


class _Service:
    """The calls of one service, and the messages they exchange."""

    def __init__(self, name: str, types: _Types) -> None:
        self._package = _package(name)
        self._contract = SERVICES[name]
        self._types = types
        self._messages: list[str] = []

    def text(self) -> str:
        """Return the text of the service's file."""
        calls = [
            line
            for operation, method in _operations(self._contract)
            for line in self._call(_camel(operation), method)
        ]
        service = _block(f"service {self._contract.__name__}", calls, _summary(self._contract))
        return _file(self._package, "\n".join([service, *self._messages]))

    def _call(self, name: str, method: Callable[..., Any]) -> Iterator[str]:
        asked, returns = _signature(method)
        is_guard, is_invoke = returns is StreamGuard, Streaming in options_of(returns)
        is_stream = is_guard or is_invoke or origin_of(returns) is AsyncIterator

        if is_guard:
            self._guard(name, asked)
        elif is_invoke:
            self._message(f"{name}Request", self._types.fields(asked))
            self._message(f"{name}Response", self._frames(returns), is_oneof=True)
        else:
            item = get_args(returns)[0] if is_stream else returns
            self._message(f"{name}Request", self._types.fields(asked))
            self._message(f"{name}Response", self._value(item))

        request = "stream " * is_guard + f"{name}Request"
        response = "stream " * is_stream + f"{name}Response"
        yield from _comment(_summary(method))
        yield f"rpc {name}({request}) returns ({response});"

    def _frames(self, result: Annotation) -> dict[str, str]:
        # A stream of frames: progress as it comes, then the result, whole or event by event.
        kinds = [StreamEvent if kind is Streaming else kind for kind in options_of(result)]
        return {_snake(kind.__name__): self._types.name_of(kind) for kind in (Progress, *kinds)}

    def _guard(self, name: str, asked: _Members) -> None:
        # One stream per answer: its first frame opens the guard, the others are the guard's calls.
        calls = {"open": (self._types.fields(asked), dict[str, str]())}

        for operation, method in _operations(StreamGuard):
            taken, returns = _signature(method)
            calls[operation] = (self._types.fields(taken), self._value(returns))

        for side, suffix in enumerate(("Request", "Response")):
            frames = {operation: f"Guard{_camel(operation)}{suffix}" for operation in calls}
            self._message(f"{name}{suffix}", frames, is_oneof=True)

            for operation, sides in calls.items():
                self._message(frames[operation], sides[side])

    def _value(self, kind: Annotation) -> dict[str, str]:
        return {} if kind is type(None) else self._types.fields([("value", kind)])

    def _message(self, name: str, fields: Mapping[str, str], *, is_oneof: bool = False) -> None:
        full_name = f"{self._package}.{name}"
        self._messages.append(self._types.message(full_name, fields, is_oneof=is_oneof))


def _operations(contract: type[object]) -> list[tuple[str, Callable[..., Any]]]:
    return [
        (name, member)
        for name, member in vars(contract).items()
        if inspect.isfunction(member) and not name.startswith("_")
    ]


def _signature(method: Callable[..., Any]) -> tuple[_Members, Annotation]:
    hints = get_type_hints(method)
    returns = hints.pop("return")
    # Progress comes back as frames, so nobody sends its sink.
    asked = [(name, kind) for name, kind in hints.items() if ProgressSink not in options_of(kind)]
    return asked, returns


def _summary(documented: Annotation) -> str:
    return (inspect.getdoc(documented) or "").partition("\n\n")[0]


def _comment(doc: str) -> list[str]:
    return [f"// {line}" for line in doc.splitlines()]


def _block(head: str, lines: Sequence[str], doc: str = "") -> str:
    comment = "".join(f"{line}\n" for line in _comment(doc))
    body = "".join(f"  {line}\n" for line in lines)
    return f"{comment}{head} {{\n{body}}}\n"


def _reserved(numbered: Numbered) -> list[str]:
    return [f"reserved {', '.join(map(str, numbered.retired))};"] if numbered.retired else []


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


if __name__ == "__main__":
    sys.exit(main())
