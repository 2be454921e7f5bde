"""A document's bytes as plain JSON values: JSON itself, or YAML that means nothing else.

YAML is read event by event, so that neither depth nor aliases cost more than what they stand for.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Final

import yaml

from spindle_mcp.text import decode
from spindle_spi.types import Json, JsonObject

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_NODES: Final = 1_000_000
MAX_DEPTH: Final = 200

_WORDS: Final[dict[str, Json]] = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,400})")
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,400})(?:\.[0-9]{0,400})?(?:[eE][-+]?[0-9]{1,4})?")


def read_document(data: bytes) -> JsonObject:
    """Return the document that bytes hold.

    Raises:
        ValueError: Neither JSON nor YAML, not an object, or beyond the bounds; says which.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"is longer than {MAX_BYTES} bytes")

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ValueError("is not UTF-8") from exc

    if text.lstrip()[:1] == "{":
        try:
            value = decode(text.encode())
        except ValueError:
            # YAML has a braced form, too.
            value = _read_yaml(text)
    else:
        value = _read_yaml(text)

    if not isinstance(value, dict):
        raise ValueError("is neither a JSON nor a YAML object")

    return value


def _read_yaml(text: str) -> Json:
    builder = _Builder()

    try:
        for event in yaml.parse(text, yaml.CSafeLoader):
            builder.take(event)
    except yaml.YAMLError as exc:
        raise ValueError("is neither JSON nor YAML") from exc

    return builder.root


@dataclass(slots=True)
class _Open:
    """A list or mapping that is not complete yet."""

    value: dict[str, Json] | list[Json]
    anchor: str | None
    size: int = 1
    key: str | None = None
    merged: list[Json] = field(default_factory=list[Json])


class _Builder:
    def __init__(self) -> None:
        self.root: Json = None
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Json, int]] = {}
        self._count = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event.

        Raises:
            ValueError: More, or deeper, than a document may be.
        """
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1

                if self._documents > 1:
                    raise ValueError("is more than one document")
            case yaml.MappingStartEvent():
                self._begin(_Open({}, event.anchor))
            case yaml.SequenceStartEvent():
                self._begin(_Open([], event.anchor))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case yaml.AliasEvent():
                value, size = self._anchors.get(str(event.anchor), (None, 1))
                # What stands behind it costs whoever walks the document as much as a copy would.
                self._count += size
                self._add(value, size)
            case yaml.ScalarEvent():
                self._scalar(event)
            case _:
                pass

    def _begin(self, opened: _Open) -> None:
        parent = self._open[-1] if self._open else None

        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            raise ValueError("has a key that is no text")

        if len(self._open) >= MAX_DEPTH:
            raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")

        self._open.append(opened)

    def _end(self) -> None:
        done = self._open.pop()
        value = done.value

        if isinstance(value, dict):
            for merged in done.merged:
                for each in merged if isinstance(merged, list) else [merged]:
                    value |= {**each, **value} if isinstance(each, dict) else {}

        self._finish(value, done.size, done.anchor)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        parent = self._open[-1] if self._open else None
        text = str(event.value)

        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            parent.key = text
            return

        is_plain = event.implicit[0] and event.style in (None, "")
        self._finish(_meaning(text) if is_plain else text, 1, event.anchor)

    def _finish(self, value: Json, size: int, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = (value, size)

        self._add(value, size)

    def _add(self, value: Json, size: int) -> None:
        self._count += 1

        if self._count > MAX_NODES:
            raise ValueError("is far too big")

        if not self._open:
            self.root = value
            return

        parent = self._open[-1]
        parent.size += size

        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is None:
            raise ValueError("has a key that is no text")
        elif parent.key == "<<" and isinstance(value, dict | list):
            parent.merged.append(value)
            parent.key = None
        else:
            parent.value[parent.key] = value
            parent.key = None


def _meaning(text: str) -> Json:
    """Return what a plain word means: no dates, no octals, no yes and no."""
    word = text.lower()

    if word in _WORDS:
        return _WORDS[word]

    if _INTEGER.fullmatch(text):
        return int(text)

    if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
        return number

    return text
