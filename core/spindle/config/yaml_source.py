"""Reads one YAML file into plain JSON values, with the line of every key, and every fault at once.

Plain JSON values only: dates stay text, tags and recursive aliases are refused. So are duplicate
keys, which YAML libraries silently resolve in favour of the last one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TypeAlias

import yaml
from yaml.scanner import ScannerError

from spindle.config.faults import Fault, Path
from spindle_spi.types import Json, JsonObject

_MAX_BYTES = 4 * 1024 * 1024
_MAX_NODES = 200_000
_MAX_DEPTH = 64
_TAG = "tag:yaml.org,2002:"
_Pair: TypeAlias = tuple[yaml.Node, yaml.Node]
_STRUCTURES = frozenset({f"{_TAG}map", f"{_TAG}seq"})
_MERGE, _STRING = f"{_TAG}merge", f"{_TAG}str"

_WORDS: dict[str, str] = {
    "null": r"~|null|Null|NULL|",
    "bool": r"(?:true|yes|on|false|no|off)",
    "int": r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)",
    "float": r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?",
    "merge": r"<<",
}
"""What plain words mean: YAML 1.1 without base-60 numbers, dates, bare octals, infinities."""


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers = {
        None: [
            (
                f"{_TAG}{name}",
                re.compile(rf"(?:{pattern})\Z", re.IGNORECASE if name == "bool" else 0),
            )
            for name, pattern in _WORDS.items()
        ]
    }


class _TooDeep(Exception):
    """Structures in structures, deeper than anybody means it."""


def _compose(text: str) -> yaml.Node | None:
    """Return the document's tree.

    Raises:
        YAMLError: It is none, or more than one.
        _TooDeep: It is nested too deeply.
    """
    try:
        _bound_depth(text)
    except ScannerError as exc:
        # The scanner reads ahead of the events, and has a bound of its own.
        if exc.problem == "exceeded maximum nesting depth":
            raise _TooDeep from exc

        raise

    return _Loader(text).get_single_node()


def _bound_depth(text: str) -> None:
    """Look at the depth before the tree is made: the library makes it on the C stack."""
    depth = 0

    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1

        if depth > _MAX_DEPTH:
            raise _TooDeep


class UnreadableFile(Exception):
    """A file of which nothing can be understood."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.problem)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlFile:
    """What could be understood of a file, and what could not."""

    data: JsonObject
    places: dict[Path, str]
    faults: list[Fault]


def read_yaml(path: FilePath, label: str = "") -> YamlFile:
    """Return a file's content and the place of each of its keys, under a label or its name.

    Raises:
        UnreadableFile: It cannot be read, is not YAML, or not a mapping.
    """
    name = str(path)

    try:
        with path.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise _file_fault(name, f"cannot be read: {exc.strerror or exc}") from exc

    return read_text(content, name, label or path.name)


def read_text(content: bytes, name: str, label: str) -> YamlFile:
    """Return the content of a YAML document, wherever it comes from.

    Raises:
        UnreadableFile: It is no YAML, not a mapping, or beyond the bounds.
    """
    if len(content) > _MAX_BYTES:
        raise _file_fault(name, f"is longer than {_MAX_BYTES} bytes")

    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise _file_fault(name, f"is not UTF-8 (byte {exc.start})") from exc

    reader = _Reader(label)
    data = reader.read(text, name)
    return YamlFile(data=data, places=reader.places, faults=reader.faults)


def read_value(text: str) -> Json:
    """Return what a single value, such as an environment variable, means as YAML.

    Text that is no YAML means itself, unless it opens a list or a mapping.

    Raises:
        ValueError: A list or mapping that does not parse.
    """
    reader = _Reader("")

    try:
        node = _compose(text)
        plain = reader.build(node, ()) if node is not None else None
    except (yaml.YAMLError, _TooDeep, ValueError) as exc:
        if text.lstrip()[:1] in ("[", "{"):
            raise ValueError("is not a YAML list or mapping") from exc

        return text

    # `a: b` in a variable is a text with a colon, not a mapping.
    is_text = reader.faults or (isinstance(plain, dict) and not text.lstrip().startswith("{"))
    return text if is_text else plain


class _Reader:
    """Turns YAML nodes into plain values, noting places and faults."""

    def __init__(self, name: str) -> None:
        self.faults: list[Fault] = []
        self.places: dict[Path, str] = {}
        self._name = name
        self._open: set[int] = set()
        self._checked: set[int] = set()
        self._merging: set[int] = set()
        self._merged: dict[int, list[_Pair]] = {}
        self._count = 0
        self._endless = False

    def read(self, text: str, name: str) -> JsonObject:
        """Return the document, which must be a mapping; an empty one is fine."""
        try:
            node = _compose(text)
        except _TooDeep as exc:
            raise _file_fault(name, f"is nested more than {_MAX_DEPTH} levels deep") from exc
        except yaml.MarkedYAMLError as exc:
            mark = exc.problem_mark or exc.context_mark
            where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            raise _file_fault(name, f"is not YAML{where}: {exc.problem or exc.context}") from exc
        except yaml.YAMLError as exc:
            raise _file_fault(name, f"is not YAML: {exc}") from exc

        if node is None:
            return {}

        if not isinstance(node, yaml.MappingNode):
            raise _file_fault(name, "is not a mapping of sections", "`section: {key: value}`")

        return self._mapping(node, ())

    def build(self, node: yaml.Node, path: Path) -> Json:
        """Return a node's plain value."""
        self._count += 1

        if self._count > _MAX_NODES or id(node) in self._open:
            self._refuse_endless(node, path)
            return None

        if not isinstance(node, yaml.ScalarNode) and node.tag not in _STRUCTURES:
            self._add(path, node, f"has the tag {node.tag}", "a plain list or mapping")

        self._open.add(id(node))

        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)

            if isinstance(node, yaml.SequenceNode):
                return [self.build(entry, (*path, index)) for index, entry in enumerate(node.value)]

            return self._scalar(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> JsonObject:
        if id(node) not in self._checked:
            self._checked.add(id(node))
            self._refuse_duplicates(node, path)

        plain: JsonObject = {}

        for key, value in self._pairs(node, path):
            name = str(key.value)
            inner = (*path, name)

            if key.tag != _STRING:
                self._add(inner, key, "is not a text", "a key in quotes")

            self.places[inner] = self._place(key)
            plain[name] = self.build(value, inner)

        return plain

    def _pairs(self, node: yaml.MappingNode, path: Path) -> list[_Pair]:
        """Return a mapping's own keys over those it merges (`<<`), of which the first wins.

        Each mapping is unfolded once: what is merged of what is merged grows without end.
        """
        known = self._merged.get(id(node))

        if known is not None:
            return known

        found: dict[str, _Pair] = {}
        self._merging.add(id(node))

        for merged in self._merges(node, path):
            for key, value in self._pairs(merged, path):
                self._count += 1
                found.setdefault(str(key.value), (key, value))

        for key, value in node.value:
            if key.tag != _MERGE:
                found[str(key.value)] = (key, value)

        self._merging.discard(id(node))
        pairs = self._merged[id(node)] = list(found.values())
        return pairs

    def _merges(self, node: yaml.MappingNode, path: Path) -> Iterator[yaml.MappingNode]:
        given = [value for key, value in node.value if key.tag == _MERGE]

        for value in given:
            for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(merged, yaml.MappingNode):
                    self._add(path, node, "merges something that is not a mapping")
                elif id(merged) in self._merging or self._count > _MAX_NODES:
                    self._refuse_endless(merged, path)
                else:
                    yield merged

    def _refuse_endless(self, node: yaml.Node, path: Path) -> None:
        if not self._endless:
            self._endless = True
            self._add(path, node, "repeats itself without end or is far too big")

    def _scalar(self, node: yaml.Node, path: Path) -> Json:
        text = str(node.value)

        try:
            return _MEANINGS[node.tag](text)
        except (KeyError, ValueError):
            problem = f"{text!r} is no {node.tag.removeprefix(_TAG)}"
            self._add(path, node, problem, "a plain value without a tag")
            return None

    def _refuse_duplicates(self, node: yaml.MappingNode, path: Path) -> None:
        seen: dict[str, yaml.Node] = {}

        for key, _ in node.value:
            name = str(key.value)

            if key.tag != _MERGE and name in seen:
                first = seen[name].start_mark.line + 1
                self._add((*path, name), key, f"stands here again, first at line {first}")

            seen.setdefault(name, key)

    def _add(self, path: Path, node: yaml.Node, problem: str, expected: str = "") -> None:
        place = self._place(node)
        self.faults.append(Fault(path=path, problem=problem, expected=expected, place=place))

    def _place(self, node: yaml.Node) -> str:
        return f"{self._name}, line {node.start_mark.line + 1}"


def _truth(text: str) -> bool:
    return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}[
        text.lower()
    ]


_MEANINGS: dict[str, Callable[[str], Json]] = {
    _STRING: str,
    f"{_TAG}null": lambda _: None,
    f"{_TAG}bool": _truth,
    f"{_TAG}int": lambda text: int(text.replace("_", ""), 0),
    f"{_TAG}float": float,
}


def _file_fault(name: str, problem: str, expected: str = "") -> UnreadableFile:
    return UnreadableFile(Fault(path=(), problem=f"{name} {problem}", expected=expected))
