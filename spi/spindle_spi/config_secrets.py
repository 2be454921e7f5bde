"""ConfigSecretsService: a module's own configuration, and the secrets it needs, no others."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from spindle_spi.secret import Secret, SecretLease, SecretRef
from spindle_spi.types import JsonObject

LEASE_SECONDS = 60.0
"""How long a secret may be used before it has to be asked for again."""


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
