"""ConfigSecretsService: one module's section, and the secrets its own records refer to."""

from __future__ import annotations

import base64
import hmac
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spindle.config.deployment import deployment_of
from spindle.egress import safe_address
from spindle.store.kept import kept_name
from spindle_spi.config_secrets import ConfigSecretsService, KeptName, KeptSecret
from spindle_spi.errors import Conflict, InvalidArgument, NotFound
from spindle_spi.records import CatalogRecord, GatewaySpec, Kind, Target, secrets_of
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spindle.config import Settings
    from spindle.master_key import MasterKeys
    from spindle.secrets import SecretStore
    from spindle.snapshots import Snapshots
    from spindle.store import Store
    from spindle.store.secrets import SealedRow
    from spindle.vault import Vault
    from spindle_spi.config_secrets import Deployment
    from spindle_spi.secret import SecretRef
    from spindle_spi.types import JsonObject

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,120}")
_CONFIG = "config"


class ConfigSecrets(ConfigSecretsService):
    """Scoped to one module."""

    def __init__(  # noqa: PLR0913 - one for each thing it is asked for
        self,
        *,
        module_id: str,
        section: JsonObject,
        features: Mapping[str, bool],
        snapshots: Snapshots,
        secrets: SecretStore,
        kept: KeptOnes,
        master_keys: MasterKeys,
    ) -> None:
        self._module_id = module_id
        self._section = section
        self._features = features
        self._snapshots = snapshots
        self._secrets = secrets
        self._kept = kept
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

    async def deployment(self) -> Deployment:
        return deployment_of(self._kept.settings())

    async def address_for(self, url: str, gateway: str) -> str:
        target = Target(kind=Kind.GATEWAY, name=gateway)
        record = self._snapshots.current.by_name.get((target.kind, target.name))
        allowed = set(self._kept.settings().egress.allowed_hosts)

        if record is not None and record.module == self._module_id and record.origin == _CONFIG:
            allowed |= _hosts_of(record)

        return await safe_address(url, allowed)

    async def keep(
        self, owner: str, name: str, value: Secret, *, version: int | None = None
    ) -> int:
        return await self._kept.put(self._row(owner, name), owner.lower(), value, version)

    async def kept(self, owner: str, name: str) -> KeptSecret | None:
        return self._kept.opened(await self._kept.rows.get(self._row(owner, name)), name)

    async def forget(self, owner: str, name: str) -> bool:
        return await self._kept.rows.delete(self._row(owner, name))

    async def names_kept(self, owner: str) -> tuple[KeptName, ...]:
        rows = await self._kept.rows.of_owner(self._module_id, owner.lower())
        return tuple(
            KeptName(
                name=row.name.split("/")[2], created_at=row.created_at, updated_at=row.updated_at
            )
            for row in rows
        )

    async def newest_kept(self, name: str) -> KeptSecret | None:
        _check_name(name)
        return self._kept.opened(await self._kept.rows.newest(self._module_id, name), name)

    def _row(self, owner: str, name: str) -> str:
        _check_name(name)

        if not owner or owner != owner.strip():
            raise InvalidArgument("Secrets are kept for a person, by their e-mail address.")

        return kept_name(self._module_id, name, owner.lower())

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


class KeptOnes:
    """Secrets of persons, as every module's service reaches them."""

    def __init__(self, store: Store, vault: Vault, settings: Callable[[], Settings]) -> None:
        self.rows = store.kept_secrets
        self.settings = settings
        """What is in force."""
        self._vault = vault

    async def put(self, row_name: str, owner: str, value: Secret, version: int | None) -> int:
        """Seal a value and store it in the place of a version.

        Raises:
            Conflict: Another version is there.
        """
        sealed, sealed_with = await self._vault.seal(row_name, value)
        done = await self.rows.put(
            row_name, sealed, key_id=sealed_with, owner=owner, version=version
        )

        if done is None:
            raise Conflict("Somebody else has kept another value.", code="core.secret.changed")

        self._vault.conceal(value)
        return done

    def opened(self, row: SealedRow | None, name: str) -> KeptSecret | None:
        """Return what a row holds."""
        if row is None:
            return None

        value = self._vault.unseal(row)
        self._vault.conceal(value)
        return KeptSecret(owner=row.updated_by, name=name, secret=value, version=row.epoch)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"The name of what is kept is of the form {_NAME.pattern}.")


def _hosts_of(record: CatalogRecord) -> set[str]:
    spec = record.spec

    if not isinstance(spec, GatewaySpec):
        return set()

    urls = [] if spec.url is None else [spec.url]

    if spec.auth is not None:
        urls += spec.auth.urls()

    return {host for url in urls if (host := urlsplit(url).hostname) is not None}


def _derived(key: Secret, purpose: str) -> Secret:
    """Return another key, which tells nothing of the first one nor of those of other purposes."""
    message = f"spindle derived key v1:{purpose}".encode()
    digest = hmac.digest(key.reveal().encode(), message, "sha256")
    return Secret(base64.urlsafe_b64encode(digest).decode())
