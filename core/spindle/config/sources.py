"""Merges the sources: the YAML files in order, the environment over them, the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from spindle.config.faults import Fault, Path, describe_type, render_path
from spindle.config.files import ConfigPath, as_paths, merge_files, nested
from spindle_spi.types import Json, JsonObject

_PREFIX = "SPINDLE__"


@dataclass(slots=True, kw_only=True)
class Sources:
    """The merged values, where each comes from, and what is wrong so far."""

    data: JsonObject = field(default_factory=dict[str, Json])
    places: dict[Path, str] = field(default_factory=dict[Path, str])
    texts: dict[Path, str] = field(default_factory=dict[Path, str])
    """What environment variables say before it is read as YAML."""
    faults: list[Fault] = field(default_factory=list[Fault])
    notes: list[Fault] = field(default_factory=list[Fault])
    """What is as the operator wants it, and still worth a look: a file that overrides another."""
    bases: dict[Path, FilePath] = field(default_factory=dict[Path, FilePath])
    """Directory of the file a value comes from."""

    def forget(self, path: Path) -> None:
        """Drop what is known of a value that is going to be replaced, and of what is in it."""
        value: Json = self.data

        for part in path:
            value = value.get(str(part)) if isinstance(value, dict) else None

        for inner in nested(value, path):
            self.places.pop(inner, None)
            self.bases.pop(inner, None)


def merge_sources(
    path: ConfigPath, environ: Mapping[str, str], overrides: Mapping[str, Json]
) -> Sources:
    """Read and merge; later sources replace single values, mappings are merged key by key."""
    sources = Sources()
    # An empty variable is how deployment tools spell an absent one.
    variables = {name: environ[name] for name in sorted(environ) if name.startswith(_PREFIX)}

    merge_files(sources, as_paths(path))

    for name, text in variables.items():
        if text:
            _take_variable(sources, name, text)

    for inner, value in _leaves(overrides, ()):
        _place(sources, inner, value, "command line")

    return sources


def _take_variable(sources: Sources, name: str, text: str) -> None:
    # Imported when there is something to read: a first start has nothing.
    from spindle.config.yaml_source import read_value

    parts = [part.lower() for part in name.removeprefix(_PREFIX).split("__")]

    if not all(parts):
        problem = "names no key"
        expected = f"{_PREFIX}SECTION__KEY"
        sources.faults.append(Fault(path=(), problem=f"{name} {problem}", expected=expected))
        return

    path = _spelled(sources.data, parts)

    try:
        value = read_value(text)
    except ValueError as exc:
        sources.faults.append(Fault(path=path, problem=str(exc), place=name))
        return

    sources.texts[path] = text
    _place(sources, path, value, name)


def _spelled(data: JsonObject, parts: list[str]) -> Path:
    """Return the path as the file spells it: variables know neither case nor hyphens."""
    spelled: list[str] = []
    level: Json = data

    for part in parts:
        known = level if isinstance(level, dict) else {}
        same = (key for key in known if key.lower().replace("-", "_") == part)
        key = part if part in known else next(same, part)
        spelled.append(key)
        level = known.get(key)

    return tuple(spelled)


def _place(sources: Sources, path: Path, value: Json, place: str) -> None:
    level = sources.data

    for depth, part in enumerate(path[:-1], start=1):
        inner = level.get(str(part))

        if inner is None:
            inner = level[str(part)] = {}

        if not isinstance(inner, dict):
            problem = f"{render_path(path[:depth])} {describe_type(inner)}, it has no keys to set"
            sources.faults.append(Fault(path=path, problem=problem, place=place))
            return

        level = inner

    sources.forget(path)
    level[str(path[-1])] = value
    sources.places[path] = place


def _leaves(values: Mapping[str, Json], path: Path) -> Iterator[tuple[Path, Json]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        elif value is not None:
            yield (*path, key), value
