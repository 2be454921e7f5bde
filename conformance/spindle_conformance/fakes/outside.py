"""How a fake host is known outside, where it lets modules connect, what it keeps for persons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spindle_spi.config_secrets import Deployment, KeptName, KeptSecret
from spindle_spi.errors import Conflict, InvalidArgument

if TYPE_CHECKING:
    from spindle_spi.secret import Secret


@dataclass(frozen=True, slots=True)
class Held:
    """A kept secret with its times."""

    secret: KeptSecret
    created_at: float
    updated_at: float


@dataclass(slots=True)
class FakeOutside:
    """Everything may be changed by a test at any time."""

    deployment: Deployment = Deployment()
    addresses: dict[str, str] = field(
        default_factory=lambda: {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1"}
    )
    """Where hosts are that may be asked; every other one is refused."""
    held: dict[tuple[str, str, str], Held] = field(default_factory=dict[tuple[str, str, str], Held])
    """By module, person and name."""

    def address_for(self, url: str) -> str:
        """Return where a URL's host is.

        Raises:
            InvalidArgument: It is not among `addresses`.
        """
        address = self.addresses.get(urlsplit(url).hostname or "")

        if address is None:
            raise InvalidArgument("This address is not allowed.", code="core.egress.refused")

        return address

    def keep(
        self, key: tuple[str, str, str], value: Secret, version: int | None, now: float
    ) -> int:
        """Put a value in the place of a version.

        Raises:
            Conflict: Another version is there.
        """
        before = self.held.get(key)
        found = 0 if before is None else before.secret.version

        if version is not None and version != found:
            raise Conflict("Somebody else has kept another value.", code="core.secret.changed")

        _, owner, name = key
        kept = KeptSecret(owner=owner, name=name, secret=value, version=found + 1)
        created_at = now if before is None else before.created_at
        self.held[key] = Held(kept, created_at, now)
        return kept.version

    def names(self, module: str, owner: str) -> tuple[KeptName, ...]:
        """Return what a module keeps of one person."""
        return tuple(
            KeptName(name=key[2], created_at=held.created_at, updated_at=held.updated_at)
            for key, held in sorted(self.held.items(), key=lambda entry: entry[0])
            if key[:2] == (module, owner)
        )

    def newest(self, module: str, name: str) -> KeptSecret | None:
        """Return what changed last under a name."""
        found = [held for key, held in self.held.items() if (key[0], key[2]) == (module, name)]
        return max(found, key=lambda held: held.updated_at).secret if found else None
