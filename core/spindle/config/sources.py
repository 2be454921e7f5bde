"""Merges the three sources: the YAML file, the environment over it, the command line over both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from spindle.config.faults import Fault, Path, describe_type, render_path
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


def merge_sources(
    path: FilePath | None, environ: Mapping[str, str], overrides: Mapping[str, Json]
) -> Sources:
    """Read and merge; later sources replace single values, mappings are merged key by key."""
    sources = Sources()
    # An empty variable is how deployment tools spell an absent one.
    variables = {name: environ[name] for name in sorted(environ) if name.startswith(_PREFIX)}

    if path is not None or any(variables.values()):
        _read(sources, path, {name: text for name, text in variables.items() if text})

    for inner, value in _leaves(overrides, ()):
        _place(sources, inner, value, "command line")

    return sources


def _read(sources: Sources, path: FilePath | None, variables: Mapping[str, str]) -> None:
    # Imported when there is something to read: a first start has nothing.
    from spindle.config.yaml_source import UnreadableFile, read_yaml

    if path is not None:
        try:
            found = read_yaml(path)
        except UnreadableFile as exc:
            sources.faults.append(exc.fault)
        else:
            sources.data, sources.places = found.data, found.places
            sources.faults += found.faults

    for name, text in variables.items():
        _take_variable(sources, name, text)


def _take_variable(sources: Sources, name: str, text: str) -> None:
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

    level[str(path[-1])] = value
    sources.places[path] = place


def _leaves(values: Mapping[str, Json], path: Path) -> Iterator[tuple[Path, Json]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, key))
        elif value is not None:
            yield (*path, key), value
