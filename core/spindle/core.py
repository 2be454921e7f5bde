"""The core assembled: what the host starts, and what it hands to each module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import anyio

from spindle.admission import Admission
from spindle.allowance import Allowance
from spindle.api.inventory import api_routes
from spindle.audit import Audit
from spindle.budgets import Budgets
from spindle.bundles.service import Bundles
from spindle.catalog.editing import CatalogEditor
from spindle.config.records import TELEMETRY_HEADERS
from spindle.definition_review import DefinitionReview
from spindle.directory import Directory
from spindle.events import build_events
from spindle.identity import Identity
from spindle.invocations import Invoker
from spindle.ledger import Ledger
from spindle.limits import Limits
from spindle.master_key import MasterKeys
from spindle.plugins.administration import PluginAdministration
from spindle.plugins.host import Offer
from spindle.plugins.policy import PluginPolicy
from spindle.reload import Reloader
from spindle.reloadable import reloadable
from spindle.retention import Janitor, core_rules
from spindle.secrets import SecretStore
from spindle.services.auth import AuthPolicy
from spindle.services.catalog import Catalog
from spindle.services.config_secrets import ConfigSecrets, KeptOnes
from spindle.services.observability import Observability
from spindle.services.plugin import Plugins
from spindle.services.session_event import SessionEvents
from spindle.snapshots import Snapshots
from spindle.store import Store
from spindle.telemetry.calls import CallObserver
from spindle.telemetry.metrics import Metrics
from spindle.telemetry.setup import build_collector, build_tracing
from spindle.token_uses import TokenUses
from spindle.vault import Vault
from spindle_spi.services import Services

if TYPE_CHECKING:
    from spindle.config import Settings
    from spindle.decision_point import DecisionPoint
    from spindle.events.dispatcher import Dispatcher
    from spindle.federation.runtime import Federation
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.ingress import IngressRoute
    from spindle_spi.invocation import Invocation, Result
    from spindle_spi.module import Module


class Core:
    """Policy, records and everything that is kept; knows no protocol and no module by name."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self.metrics = Metrics()
        self.audit = Audit(store, settings.audit, count=self.metrics.count)
        self.retention = Janitor(store.database, settings.retention, count=self.metrics.count)
        self.retention.add(*core_rules(settings.retention))
        self.master_keys = MasterKeys.of(settings)
        self.vault = Vault(store, self.master_keys)
        self.secrets = SecretStore.from_environment(
            settings.secret_sources, vault=self.vault.reveal
        )
        self.plugins = PluginPolicy(
            settings.plugins,
            store.plugins,
            meter=self.metrics,
            offer=Offer(secrets=self.secrets, invoke=self._invoke),
        )
        named = settings.telemetry.otlp_headers_env_var is not None
        headers = self.secrets.resolve(TELEMETRY_HEADERS) if named else None
        self.collector = build_collector(settings.telemetry, headers, self.metrics)
        self.tracing = build_tracing(settings.telemetry, self.collector)
        self.owners: dict[str, Module] = {}
        self.snapshots = Snapshots(
            store,
            overrides=settings.tool_overrides,
            poll_seconds=settings.store.revision_poll_seconds,
            on_change=settings.on_change,
        )
        self.snapshots.followers.append(self.vault)
        self.snapshots.followers.append(self.plugins)
        self.catalog = CatalogEditor(
            store=store,
            snapshots=self.snapshots,
            vault=self.vault,
            audit=self.audit,
            settings=settings,
        )
        self.bundles = Bundles(
            store=store,
            editor=self.catalog,
            audit=self.audit,
            is_production=settings.environment == "production",
        )
        self.uses = TokenUses(store)
        self.identity = Identity(self.snapshots, note_use=self.uses.note)
        self.federation = self.identity.federation = self._build_federation()
        self.ledger = Ledger(
            store,
            flush_seconds=settings.usage.flush_seconds,
            max_pending=settings.usage.max_pending,
        )
        self.allowance = self._followed_allowance()
        self.admission = Admission(
            snapshots=self.snapshots,
            plugins=self.plugins,
            allowance=self.allowance,
            ledger=self.ledger,
            observer=CallObserver(self.metrics, self.tracing),
        )
        self.events = self._connected_events()
        self.refusals = self.admission.refusals = self.audit.refused

        if settings.audit.calls:
            self.admission.admitted = self.audit.admitted

        self.decision_point = self._attach_decision_point()
        self.leases = self.admission.leases
        self.invoker = Invoker(admission=self.admission, owners=self.owners)
        self.sessions = SessionEvents(store)
        self.features = dict(settings.features)
        self.reloader = Reloader(settings, store, self.snapshots)
        self.reloader.parts += reloadable(self)
        self._work: anyio.CancelScope | None = None
        self._is_idle = anyio.Event()
        self._is_idle.set()

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Open the store, put the declared records into it, compile the first snapshot."""
        store = await Store.open(settings.store_url)

        try:
            core = cls(settings, store)
            await store.catalog.replace("config", settings.declared)
            await core.snapshots.refresh()
        except BaseException:
            await store.close()
            raise

        return core

    def _build_federation(self) -> Federation | None:
        auth = self.settings.auth

        if not auth.jwt and auth.oidc is None:
            return None

        from spindle.federation.runtime import build_federation

        return build_federation(
            auth,
            secrets=self.secrets,
            store=self.store,
            snapshots=self.snapshots,
            count=self.metrics.count,
            public_url=self.settings.server.public_url,
        )

    def _attach_decision_point(self) -> DecisionPoint | None:
        policy = self.settings.policy

        # Production has no bypass: the configuration refuses it.
        if policy.decision_point is None or policy.bypass:
            return None

        from spindle.decision_point import build_decision_point

        point = build_decision_point(policy.decision_point, self.secrets, self.metrics)
        self.admission.gates.append(point)
        return point

    def services_for(self, module_id: str, section: str | None = None) -> Services:
        """Return the six services as one module may use them; its section is named by its id."""
        return Services(
            auth=AuthPolicy(
                identity=self.identity, snapshots=self.snapshots, sessions=self.sessions
            ),
            catalog=Catalog(
                module_id=module_id,
                snapshots=self.snapshots,
                identity=self.identity,
                admission=self.admission,
                invoker=self.invoker,
                secrets_held=self.secrets,
                programs=self.catalog.programs,
            ),
            plugin=Plugins(admission=self.admission),
            session_event=self.sessions,
            config_secrets=ConfigSecrets(
                module_id=module_id,
                section=self.settings.section(section or module_id),
                features=self.features,
                snapshots=self.snapshots,
                secrets=self.secrets,
                kept=KeptOnes(self.store, self.vault, lambda: self.reloader.current),
                master_keys=self.master_keys,
            ),
            observability=Observability(
                module_id=module_id, metrics=self.metrics, audit=self.audit
            ),
        )

    @property
    def plugin_administration(self) -> PluginAdministration:
        """Return what changes plugins; a change is in force when it returns."""
        return PluginAdministration(
            self.plugins, self.store.plugins, self.audit, self.snapshots.refresh
        )

    def _followed_allowance(self) -> Allowance:
        limits = Limits(
            self.settings.limits,
            rows=self.store.rate_limits,
            strangers=self.identity.strangers,
            is_production=self.settings.environment == "production",
        )
        budgets = Budgets(self.store, self.settings.budgets)
        self.ledger.on_spent = budgets.written
        self.snapshots.followers += [limits, budgets]
        return Allowance(limits, budgets)

    def _connected_events(self) -> Dispatcher | None:
        events = build_events(self.settings.events, self.store)

        if events is not None:
            self.admission.completions = events.completions
            self.ledger.on_event = events.wake

        return events

    async def _invoke(self, context: AuthenticatedContext, invocation: Invocation) -> Result:
        # The plugins are built before what they call.
        return await self.invoker.invoke(context, invocation)

    @property
    def definitions(self) -> DefinitionReview:
        """What upstreams changed in their definitions, for those who decide on it."""
        return DefinitionReview(
            store=self.store, snapshots=self.snapshots, audit=self.audit, editor=self.catalog
        )

    @property
    def directory(self) -> Directory:
        """People and tokens, as administrators keep them."""
        return Directory(self.store, self.audit)

    @property
    def is_store_available(self) -> bool:
        """Whether the database was there when it was last needed."""
        return self.store.is_available

    def routes(self) -> tuple[IngressRoute, ...]:
        """Return the routes of the control plane over this core."""
        return api_routes(self)

    async def run(self) -> None:
        """Follow the store, flush usage and end leases, until cancelled or closed."""
        self._is_idle = anyio.Event()

        try:
            async with anyio.create_task_group() as group:
                self._work = group.cancel_scope
                group.start_soon(self.snapshots.run)

                if self.store.database.is_postgresql:
                    group.start_soon(self._listen)

                group.start_soon(self.ledger.run)
                group.start_soon(self.uses.run)
                group.start_soon(self.leases.run)
                group.start_soon(self.allowance.budgets.run)
                group.start_soon(self.audit.run)
                group.start_soon(self.retention.run)

                if self.federation is not None:
                    group.start_soon(self.federation.run)

                if self.events is not None:
                    group.start_soon(self.events.run)

                if self.collector is not None:
                    group.start_soon(self.collector.run)
        finally:
            self._work = None
            self._is_idle.set()

    async def _listen(self) -> None:
        from spindle.store.notify import Notifications

        await Notifications(self.store.database.url, self.snapshots.wake).run()

    async def close(self) -> None:
        """Settle what is open, write what is pending, close the store."""
        with anyio.CancelScope(shield=True):
            if self._work is not None:
                # Nothing must look at a store that is closed: that would open it again.
                self._work.cancel()
                await self._is_idle.wait()

            try:
                await self.leases.close()
                await self.ledger.close()
                await self.uses.flush()
                await self.allowance.close()

                if self.events is not None:
                    await self.events.close()

                await self.audit.close()

                if self.decision_point is not None:
                    await self.decision_point.close()
            finally:
                await self.store.close()

                if self.collector is not None:
                    await self.collector.close()
