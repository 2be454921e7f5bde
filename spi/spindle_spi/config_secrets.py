"""ConfigSecretsService: a module's own configuration, and the secrets it needs, no others."""

from __future__ import annotations

from abc import ABC, abstractmethod

from spindle_spi.secret import Secret, SecretRef
from spindle_spi.types import JsonObject


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
