"""What else a fake host gives a module: its section and secrets, and an ear."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle_conformance.fakes.journal import Audited, Journal, Logged, Measured
from spindle_conformance.fakes.outside import FakeOutside
from spindle_conformance.fakes.records import FakeRecords
from spindle_conformance.fakes.refusals import Refusals
from spindle_spi.config_secrets import (
    ConfigSecretsService,
    Deployment,
    KeptName,
    KeptSecret,
)
from spindle_spi.errors import FailedPrecondition, NotFound
from spindle_spi.observability import AuditEvent, Level, ObservabilityService
from spindle_spi.records import secrets_of
from spindle_spi.secret import Secret, SecretRef
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from spindle_spi.context import AuthenticatedContext, TraceContext
    from spindle_spi.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeConfigSecrets(ConfigSecretsService):
    """One module's section, the host's flags, and the secrets the module's records refer to."""

    module_id: str
    sections: Mapping[str, JsonObject]
    features: Mapping[str, bool]
    secrets: Mapping[str, str]
    records: FakeRecords
    journal: Journal
    refusals: Refusals
    outside: FakeOutside
    clock: Callable[[], float]

    async def section(self) -> JsonObject:
        self.refusals.check("section")
        return self.sections.get(self.module_id, {})

    async def feature_enabled(self, flag: str) -> bool:
        self.refusals.check("feature_enabled")
        return self.features.get(flag, False)

    async def secret(self, ref: SecretRef) -> Secret:
        self.journal.secrets.append(ref.name)
        self.refusals.check("secret")
        own = (record for record in self.records if record.module == self.module_id)

        if not any(ref in secrets_of(record.spec) for record in own):
            raise NotFound(
                f"No record of the module {self.module_id} refers to this secret.",
                code="core.secret.not_found",
            )

        value = self.secrets.get(ref.name)

        if value is None:
            raise FailedPrecondition(f"The secret {ref.name} is not among FakeHost.secrets.")

        return Secret(value)

    async def deployment(self) -> Deployment:
        self.refusals.check("deployment")
        return self.outside.deployment

    async def address_for(self, url: str, gateway: str) -> str:
        self.refusals.check("address_for")
        return self.outside.address_for(url)

    async def keep(
        self, owner: str, name: str, value: Secret, *, version: int | None = None
    ) -> int:
        self.refusals.check("keep")
        key = (self.module_id, owner.lower(), name)
        return self.outside.keep(key, value, version, self.clock())

    async def kept(self, owner: str, name: str) -> KeptSecret | None:
        self.refusals.check("kept")
        held = self.outside.held.get((self.module_id, owner.lower(), name))
        return None if held is None else held.secret

    async def forget(self, owner: str, name: str) -> bool:
        self.refusals.check("forget")
        return self.outside.held.pop((self.module_id, owner.lower(), name), None) is not None

    async def names_kept(self, owner: str) -> tuple[KeptName, ...]:
        self.refusals.check("names_kept")
        return self.outside.names(self.module_id, owner.lower())

    async def newest_kept(self, name: str) -> KeptSecret | None:
        self.refusals.check("newest_kept")
        return self.outside.newest(self.module_id, name)

    async def derived_keys(self, purpose: str) -> tuple[Secret, ...]:
        self.refusals.check("derived_keys")
        digest = hashlib.sha256(f"{self.module_id}:{purpose}".encode()).digest()
        return (Secret(base64.urlsafe_b64encode(digest).decode()),)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeObservability(ObservabilityService):
    """Notes down what a module says. Like the core's, it fails nobody."""

    module_id: str
    journal: Journal

    def log(self, level: Level, event: str, fields: Mapping[str, Json] | None = None) -> None:
        self.journal.logged.append(
            Logged(module=self.module_id, level=level, event=event, fields=dict(fields or {}))
        )

    def count(self, name: str, value: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        self.journal.counted.append(Measured(name=name, value=value, labels=dict(labels or {})))

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        self.journal.observed.append(Measured(name=name, value=value, labels=dict(labels or {})))

    def trace(self, context: AuthenticatedContext) -> TraceContext:
        return context.trace

    async def audit(self, context: AuthenticatedContext, event: AuditEvent) -> None:
        self.journal.audited.append(Audited(context=context, event=event))
