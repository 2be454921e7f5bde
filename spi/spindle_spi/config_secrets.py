"""ConfigSecretsService: a module's own configuration, and the secrets it needs, no others."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from spindle_spi.errors import Unsupported
from spindle_spi.secret import Secret, SecretLease, SecretRef
from spindle_spi.types import JsonObject

LEASE_SECONDS = 60.0
"""How long a secret may be used before it has to be asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """How the host is known outside."""

    public_url: str | None = None
    """What clients and browsers put before a path of ours, without a slash at the end; None where
    the operator does not say, and the Host of a request has to do."""
    identity_providers: tuple[str, ...] = ()
    """Issuers whose access tokens are accepted; empty where only our own tokens are."""
    scopes: tuple[str, ...] | None = None
    """What clients ask an identity provider for; None is the permissions of what they call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSecret:
    """A secret that is kept for one person."""

    owner: str
    """E-mail, in lower case."""
    name: str
    secret: Secret
    version: int
    """Rises with every change of the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptName:
    """That a secret is kept, without its value; times in seconds since the epoch."""

    name: str
    created_at: float
    updated_at: float


class ConfigSecretsService(ABC):
    """Scoped to one module by the host."""

    @abstractmethod
    async def section(self) -> JsonObject:
        """Return the module's section, validated against its own schema."""

    @abstractmethod
    async def feature_enabled(self, flag: str) -> bool:
        """Tell whether a feature flag is on; unknown flags are off."""

    @abstractmethod
    async def secret(self, ref: SecretRef) -> Secret:
        """Turn a reference into the value: environment first, then file.

        Raises:
            NotFound: No record of this module refers to it.
            FailedPrecondition: It is referred to, but no value can be found; says where it looked.
        """

    @abstractmethod
    async def derived_keys(self, purpose: str) -> tuple[Secret, ...]:
        """Return keys of this module for one purpose: 32 bytes each, in URL-safe Base64.

        The first one seals, every one opens. They are the same in every process of the host and
        after a restart, until its own key is changed; none, where a host keeps no secrets.

        Raises:
            FailedPrecondition: The host has no key of its own to derive them from.
        """

    async def lease(self, ref: SecretRef) -> SecretLease:
        """Turn a reference into the value and how long it may be used: a changed one is then seen.

        Raises:
            NotFound: As `secret`.
            FailedPrecondition: As `secret`.
        """
        return SecretLease(secret=await self.secret(ref), expires_at=time.time() + LEASE_SECONDS)

    async def deployment(self) -> Deployment:
        """Return how the host is known outside, now."""
        return Deployment()

    async def address_for(self, url: str, gateway: str) -> str:
        """Judge a URL that an upstream or its authorization server named; return where to connect.

        What the configuration itself says of that gateway is the operator's choice and allowed.

        Raises:
            InvalidArgument: It is no http(s) URL, or not allowed.
            Unsupported: The host judges no addresses: then nothing may be asked.
        """
        del url, gateway
        raise Unsupported("This host judges no addresses.")

    async def keep(
        self, owner: str, name: str, value: Secret, *, version: int | None = None
    ) -> int:
        """Keep a secret of one person, encrypted, beyond this process; return its version.

        `version` is the one to replace, 0 where there must be none; None replaces whatever is
        there.

        Raises:
            Conflict: Another version is there.
            FailedPrecondition: There is no key to encrypt with.
            Unsupported: The host keeps nothing.
        """
        del owner, name, value, version
        raise Unsupported("This host keeps no secrets of persons.")

    async def kept(self, owner: str, name: str) -> KeptSecret | None:
        """Return what is kept of one person; None when there is nothing.

        Raises:
            FailedPrecondition: There is something, but no key here opens it.
        """
        del owner, name
        return None

    async def forget(self, owner: str, name: str) -> bool:
        """Delete what is kept; True for the one caller that deleted it."""
        del owner, name
        return False

    async def names_kept(self, owner: str) -> tuple[KeptName, ...]:
        """Return the names of everything this module keeps of one person."""
        del owner
        return ()

    async def newest_kept(self, name: str) -> KeptSecret | None:
        """Return what changed last of all that is kept under a name, whoever's it is."""
        del name
        return None
