"""Turns references into secret values: environment, file, configuration, then the database.

Values are looked up when they are used; a rotated file is read again without a restart.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from spindle.redaction import REDACTOR, Redactor
from spindle_spi.errors import FailedPrecondition
from spindle_spi.secret import Secret, SecretRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_FILE_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """Where a secret may be found."""

    env_var: str | None = None
    file: Path | None = None
    inline: Secret | None = None


Vault: TypeAlias = "Callable[[str], Secret | None]"
"""Returns what is stored in the database under a name."""


def _no_vault(name: str) -> Secret | None:
    del name
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place where a secret is looked for; never what is there."""

    kind: Literal["environment", "file", "configuration", "database"]
    where: str
    """Variable, path, key of the configuration, or name in the database."""
    has_value: bool


@dataclass(frozen=True, slots=True)
class _Read:
    stamp: tuple[int, int]
    secret: Secret


class SecretStore:
    """Resolves the secrets the configuration names."""

    def __init__(
        self,
        sources: Mapping[str, SecretSource],
        environ: Mapping[str, str],
        redactor: Redactor = REDACTOR,
        *,
        vault: Vault = _no_vault,
    ) -> None:
        self._sources: Mapping[str, SecretSource] = {}
        self._environ = environ
        self._vault = vault
        self._redactor = redactor
        self._files: dict[Path, _Read] = {}
        self._held: dict[str, Secret] = {}

        self.configure(sources)

    @classmethod
    def from_environment(
        cls, sources: Mapping[str, SecretSource], *, vault: Vault = _no_vault
    ) -> Self:
        """Look in the environment of this process."""
        return cls(sources, os.environ, vault=vault)

    def configure(self, sources: Mapping[str, SecretSource]) -> None:
        """Look in these places from now on."""
        self._sources = sources

        for source in sources.values():
            for secret in (self._from_environment(source), source.inline):
                if secret is not None:
                    self._redactor.register(secret)

    def resolve(self, ref: SecretRef) -> Secret:
        """Return the value a reference stands for.

        Raises:
            FailedPrecondition: Nothing is there, or what is stored cannot be opened; says where
                it looked, never what it found.
        """
        held = self._held.get(ref.name)

        if held is not None:
            return held

        source = self._sources.get(ref.name, _NOWHERE)
        secret = (
            self._from_environment(source)
            or self._from_file(source)
            or source.inline
            or self._vault(ref.name)
        )

        if secret is None:
            raise FailedPrecondition(
                f"The secret {ref.name!r} has no value; {_looked(source)} and nothing is stored "
                f"under this name (`spindle secrets set {ref.name}` stores one).",
                code="core.secret.missing",
            )

        self._redactor.register(secret)
        return secret

    def places(self, name: str) -> tuple[Place, ...]:
        """Return where a secret is looked for before the database, in order."""
        source = self._sources.get(name, _NOWHERE)
        found: list[Place] = []

        if source.env_var is not None:
            has_value = self._from_environment(source) is not None
            found.append(Place(kind="environment", where=source.env_var, has_value=has_value))

        if source.file is not None:
            has_value = self._from_file(source) is not None
            found.append(Place(kind="file", where=str(source.file), has_value=has_value))

        if source.inline is not None:
            found.append(Place(kind="configuration", where=name, has_value=True))

        return tuple(found)

    def names(self) -> tuple[str, ...]:
        """Return the names the configuration gives places for."""
        return tuple(self._sources)

    def hold(self, name: str, secret: Secret) -> SecretRef:
        """Keep a secret a caller gave, under a name nobody configured; returns its reference."""
        self._held[name] = secret
        self._redactor.register(secret, passing=True)
        return SecretRef(name=name)

    def drop(self, name: str) -> None:
        """Forget a held secret. Idempotent."""
        self._held.pop(name, None)

    def _from_environment(self, source: SecretSource) -> Secret | None:
        value = self._environ.get(source.env_var) if source.env_var is not None else None
        return Secret(value) if value else None

    def _from_file(self, source: SecretSource) -> Secret | None:
        if source.file is None:
            return None

        try:
            found = source.file.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            known = self._files.get(source.file)

            if known is None or known.stamp != stamp:
                with source.file.open(encoding="utf-8") as stream:
                    text = stream.read(_MAX_FILE_BYTES).strip()

                known = self._files[source.file] = _Read(stamp, Secret(text))
        except (OSError, UnicodeDecodeError):
            return None

        return known.secret or None


_NOWHERE = SecretSource()


def _looked(source: SecretSource) -> str:
    places: list[str] = []

    if source.env_var is not None:
        places.append(f"the environment variable {source.env_var} is not set")

    if source.file is not None:
        places.append(f"the file {source.file} is missing, unreadable or empty")

    return ", ".join(places) or "the configuration names no place to look"
