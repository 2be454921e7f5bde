"""Several configuration files as one: later ones win, mappings are merged key by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, TypeAlias

from spindle.config.faults import Fault, Path

if TYPE_CHECKING:
    from spindle.config.sources import Sources
    from spindle.config.yaml_source import YamlFile
    from spindle_spi.types import Json, JsonObject

ConfigPath: TypeAlias = FilePath | Sequence[FilePath] | None
"""A file, a directory of files, several of both in order, or none."""

_SUFFIX = ".yaml"
_MAX_FILES = 100


def as_paths(given: ConfigPath) -> tuple[FilePath, ...]:
    """Return what was given as a list."""
    if given is None:
        return ()

    return (given,) if isinstance(given, FilePath) else tuple(given)


def merge_files(sources: Sources, given: Sequence[FilePath]) -> None:
    """Read files and directories into `sources`, in order; what is wrong with them is noted."""
    if not given:
        return

    # Imported when there is something to read: a first start has nothing.
    from spindle.config.yaml_source import UnreadableFile, read_yaml

    files: list[FilePath] = []

    for path in given:
        files += _files_of(sources, path)

    if len(files) > _MAX_FILES:
        problem = f"is spread over {len(files)} files"
        sources.faults.append(Fault(path=(), problem=problem, expected=f"at most {_MAX_FILES}"))
        return

    names = [path.name for path in files]

    for path in files:
        # Two files of one name are told apart by their directories.
        label = path.name if names.count(path.name) == 1 else str(path)

        try:
            found = read_yaml(path, label)
        except UnreadableFile as exc:
            sources.faults.append(exc.fault)
        else:
            sources.faults += found.faults
            _Merge(sources, found, path.parent).merge(sources.data, found.data, ())


def nested(value: Json, path: Path) -> Iterator[Path]:
    """Yield a path and every path inside its value."""
    yield path

    if isinstance(value, dict):
        for key, inner in value.items():
            yield from nested(inner, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from nested(entry, (*path, index))


def _files_of(sources: Sources, path: FilePath) -> list[FilePath]:
    """Return a file, or a directory's files in name order."""
    if not path.is_dir():
        return [path]

    try:
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as exc:
        problem = f"{path} cannot be read: {exc.strerror or exc}"
        sources.faults.append(Fault(path=(), problem=problem))
        return []

    found = [entry for entry in entries if entry.suffix == _SUFFIX and not entry.is_dir()]
    sources.notes += [
        Fault(path=(), problem=f"{entry} is not read; a directory's files end in {_SUFFIX}")
        for entry in entries
        if entry.suffix in (".yml", ".json")
    ]

    if not found:
        problem = f"{path} has no configuration in it"
        sources.faults.append(Fault(path=(), problem=problem, expected=f"files *{_SUFFIX}"))

    return found


class _Merge:
    """Merges one file over those before it."""

    def __init__(self, sources: Sources, found: YamlFile, base: FilePath) -> None:
        self._sources = sources
        self._found = found
        self._base = base

    def merge(self, into: JsonObject, given: JsonObject, path: Path) -> None:
        """Merge a mapping into what stands at its path."""
        for key, value in given.items():
            self._merge_key(into, key, value, (*path, key))

    def _merge_key(self, into: JsonObject, key: str, value: Json, path: Path) -> None:
        before = into.get(key)

        if isinstance(before, dict) and isinstance(value, dict):
            self.merge(before, value, path)
            return

        if isinstance(before, dict) and value is None:
            return  # A section without content says nothing.

        if before is not None and value is not None and _kind(before) != _kind(value):
            problem = f"is {_kind(value)} here, but {_kind(before)} in {self._place_of(path)}"
            self._sources.faults.append(
                Fault(path=path, problem=problem, place=self._found.places.get(path, ""))
            )
            return

        if before is not None and before != value:
            problem = f"replaces what {self._place_of(path)} says"
            self._sources.notes.append(
                Fault(path=path, problem=problem, place=self._found.places.get(path, ""))
            )

        self._sources.forget(path)
        into[key] = value

        for inner in nested(value, path):
            self._sources.bases[inner] = self._base

            if inner in self._found.places:
                self._sources.places[inner] = self._found.places[inner]

    def _place_of(self, path: Path) -> str:
        return self._sources.places.get(path, "an earlier file")


def _kind(value: Json) -> str:
    if isinstance(value, dict):
        return "a mapping"

    return "a list" if isinstance(value, list) else "a single value"
