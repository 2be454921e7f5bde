"""ConfigSecretsService: one module's section, and the secrets its own records refer to."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

from spindle_spi.config_secrets import ConfigSecretsService
from spindle_spi.errors import NotFound
from spindle_spi.records import CatalogRecord, Kind, secrets_of
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle.master_key import MasterKeys
    from spindle.secrets import SecretStore
    from spindle.snapshots import Snapshots
    from spindle_spi.secret import SecretRef
    from spindle_spi.types import JsonObject


class ConfigSecrets(ConfigSecretsService):
    """Scoped to one module."""

    def __init__(
        self,
        *,
        module_id: str,
        section: JsonObject,
        features: Mapping[str, bool],
        snapshots: Snapshots,
        secrets: SecretStore,
        master_keys: MasterKeys,
    ) -> None:
        self._module_id = module_id
        self._section = section
        self._features = features
        self._snapshots = snapshots
        self._secrets = secrets
        self._master_keys = master_keys

    async def section(self) -> JsonObject:
        return self._section

    async def feature_enabled(self, flag: str) -> bool:
        return self._features.get(flag, False)

    async def secret(self, ref: SecretRef) -> Secret:
        if not any(ref in secrets_of(record.spec) for record in self._own_records()):
            raise NotFound(
                f"No record of the module {self._module_id} refers to this secret.",
                code="core.secret.not_found",
            )

        return self._secrets.resolve(ref)

    async def derived_keys(self, purpose: str) -> tuple[Secret, ...]:
        keys = self._master_keys.read_or_make()
        return tuple(_derived(key, f"{self._module_id}:{purpose}") for key in keys)

    def _own_records(self) -> list[CatalogRecord]:
        by_kind = self._snapshots.current.by_kind
        return [
            record
            for kind in (Kind.PROVIDER, Kind.GATEWAY)
            for record in by_kind[kind]
            if record.module == self._module_id
        ]


def _derived(key: Secret, purpose: str) -> Secret:
    """Return another key, which tells nothing of the first one nor of those of other purposes."""
    message = f"spindle derived key v1:{purpose}".encode()
    digest = hmac.digest(key.reveal().encode(), message, "sha256")
    return Secret(base64.urlsafe_b64encode(digest).decode())
