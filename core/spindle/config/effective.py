"""What is in force, key by key, with where each comes from; never a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeGuard
from urllib.parse import urlsplit

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from spindle.config.faults import Path, render_path
from spindle.config.load import understand
from spindle.redaction import REDACTOR

if TYPE_CHECKING:
    from spindle.config.files import ConfigPath
    from spindle.config.modules import Schemas
    from spindle.config.sources import Sources
    from spindle_spi.types import Json

MASK: Final = "********"
DEFAULT: Final = "default"

_SECRET = re.compile(
    r"(?:.*[_-])?(?:api[_-]?key|password|passphrase|secret|token|credential|authorization)s?",
    re.IGNORECASE,
)
"""Keys in what belongs to others (options of adapters, settings of plugins) that hold secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveKey:
    """One key."""

    key: str
    """As faults name it, `server.port`."""
    value: Json
    origin: str
    """File and line, a variable, the command line, or `default`."""

    @property
    def is_default(self) -> bool:
        """Whether nobody set it."""
        return self.origin.startswith(DEFAULT)


def effective_keys(
    path: ConfigPath,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, Json] | None = None,
    schemas: Schemas | None = None,
) -> tuple[EffectiveKey, ...]:
    """Return every key in force, those nobody set among them; modules' own only where set.

    Raises:
        ConfigError: Something is wrong; carries every fault.
    """
    understood = understand(path, environ=environ, overrides=overrides, schemas=schemas)
    sources, document = understood.sources, understood.document
    keys = list(_of_model(document, ()))

    for name, section in understood.sections.items():
        keys += [
            found
            for key, value in section.items()
            if value is not None
            for found in _of_value(value, (name, key))
        ]

    return tuple(
        EffectiveKey(
            key=render_path(path),
            value=_shown(value, path, is_secret=is_secret),
            origin=_origin(sources, path),
        )
        for path, value, is_secret in sorted(keys, key=lambda found: _section_order(found[0]))
    )


def _of_model(model: BaseModel, path: Path) -> Iterator[tuple[Path, Json, bool]]:
    """Yield path, value and whether it is a secret, of everything in a model."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        yield from _of_field(value, (*path, name), is_secret=not field.repr)


def _of_field(value: object, path: Path, *, is_secret: bool) -> Iterator[tuple[Path, Json, bool]]:
    if isinstance(value, BaseModel):
        yield from _of_model(value, path)
    elif _is_mapping(value) and value:
        for key, inner in value.items():
            yield from _of_field(inner, (*path, key), is_secret=is_secret)
    elif _is_sequence(value) and any(isinstance(entry, BaseModel) for entry in value):
        for index, entry in enumerate(value):
            yield from _of_field(entry, (*path, index), is_secret=is_secret)
    elif value is not None:
        yield path, to_jsonable_python(value), is_secret


def _of_value(value: Json, path: Path) -> Iterator[tuple[Path, Json, bool]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _of_value(inner, (*path, key))
    else:
        yield path, value, False


def _is_mapping(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping)


def _is_sequence(value: object) -> TypeGuard[tuple[object, ...]]:
    return isinstance(value, tuple)


def _shown(value: Json, path: Path, *, is_secret: bool) -> Json:
    key = str(path[-1])

    if isinstance(value, str) and "://" in value and (is_secret or _has_password(value)):
        return _without_password(value)

    # The keys of the core's own models say by themselves whether they are secrets.
    if is_secret or (not _is_reference(key) and _SECRET.fullmatch(key)):
        return MASK

    return REDACTOR.data(_masked(value))


def _masked(value: Json) -> Json:
    if isinstance(value, dict):
        return {
            key: MASK if _SECRET.fullmatch(key) and not _is_reference(key) else _masked(inner)
            for key, inner in value.items()
        }

    return [_masked(entry) for entry in value] if isinstance(value, list) else value


def _is_reference(key: str) -> bool:
    return key.endswith(("_env_var", "_file", "_tokens", "max_tokens"))


def _has_password(url: str) -> bool:
    """Tell whether an address in what belongs to others, such as a module's, says a password."""
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return False


def _without_password(url: str) -> str:
    parts = urlsplit(url)

    if parts.password is None and not parts.query:
        return url

    user = "" if parts.username is None else f"{parts.username}:{MASK}@"
    host = parts.netloc.rpartition("@")[2]
    query = f"?{MASK}" if parts.query else ""
    return f"{parts.scheme}://{user}{host}{parts.path}{query}"


def _origin(sources: Sources, path: Path) -> str:
    """Return where a value comes from: its own place, or that of what it is part of."""
    value: Json = sources.data

    for part in path:
        match value, part:
            case dict(), str() if value.get(part) is not None:
                value = value[part]
            case list(), int() if part < len(value):
                value = value[part]
            case _:
                return DEFAULT

    for length in range(len(path), 0, -1):
        if path[:length] in sources.places:
            return sources.places[path[:length]]

    return DEFAULT


def _section_order(path: Path) -> str:
    return str(path[0])
