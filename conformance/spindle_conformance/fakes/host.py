"""The fake host itself: what a test sets up, hands to a module, and looks at afterwards."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from spindle_conformance.fakes.admission import FakeAdmission
from spindle_conformance.fakes.callers import FakeAuthPolicy, FakeCallers
from spindle_conformance.fakes.catalog import FakeCatalog
from spindle_conformance.fakes.invocations import FakeInvoker
from spindle_conformance.fakes.journal import Journal
from spindle_conformance.fakes.outside import FakeOutside
from spindle_conformance.fakes.plugins import FakeGuard, FakePlugins
from spindle_conformance.fakes.records import FakeRecords
from spindle_conformance.fakes.refusals import Refusals
from spindle_conformance.fakes.services import FakeConfigSecrets, FakeObservability
from spindle_conformance.fakes.sessions import FakeSessions
from spindle_spi.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spindle_spi.admission import Limits, Outcome, Permit
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.errors import GatewayError
    from spindle_spi.module import Module
    from spindle_spi.plugin import Plugin
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import JsonObject


class FakeHost:
    """A core in memory. Every attribute may be changed at any time, and holds from then on.

    `services_for` gives a module its six services; all of them stand on this one state. Time is
    `clock`, so a test that sets it decides when leases and sessions end.
    """

    def __init__(
        self,
        records: Iterable[CatalogRecord] = (),
        *,
        plugins: Iterable[Plugin] = (),
        callers: dict[str, AuthenticatedContext] | None = None,
        secrets: dict[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.records = FakeRecords(records)
        """The catalog."""
        self.plugins: list[Plugin] = list(plugins)
        """The plugins in force, in order; each is enforced under its own name."""
        self.callers = FakeCallers(self.records, {} if callers is None else callers)
        """Who may come in, by credential, for `resolve_caller`. Other services believe the
        contexts they are given, such as those of `caller`."""
        self.secrets: dict[str, str] = {} if secrets is None else secrets
        """Values by the names of references."""
        self.sections: dict[str, JsonObject] = {}
        """The configuration of modules, by id."""
        self.outside = FakeOutside()
        """How it is known outside, whom modules may ask, and what it keeps for persons."""
        self.features: dict[str, bool] = {}
        self.owners: dict[str, Module] = {}
        """The modules that serve cross-protocol calls, by id. Nobody runs them here."""
        self.journal = Journal()
        """Everything that happened."""
        self.guards: list[FakeGuard] = []
        """The guards of streamed answers that were opened."""
        self.clock = clock
        self._refusals = Refusals()
        self.sessions = FakeSessions(refusals=self._refusals, clock=self._now)
        self._admission = FakeAdmission(
            records=self.records, journal=self.journal, plugins=self.plugins, clock=self._now
        )
        self._plugins = FakePlugins(
            plugins=self.plugins,
            admission=self._admission,
            journal=self.journal,
            refusals=self._refusals,
            guards=self.guards,
        )
        self._invoker = FakeInvoker(
            admission=self._admission, plugins=self._plugins, owners=self.owners
        )

    def services_for(self, module_id: str) -> Services:
        """Return the six services as one module may use them."""
        return Services(
            auth=FakeAuthPolicy(
                callers=self.callers,
                records=self.records,
                sessions=self.sessions,
                refusals=self._refusals,
            ),
            catalog=FakeCatalog(
                module_id=module_id,
                records=self.records,
                admission=self._admission,
                invoker=self._invoker,
                journal=self.journal,
                refusals=self._refusals,
                secrets=self.secrets,
            ),
            plugin=self._plugins,
            session_event=self.sessions,
            config_secrets=FakeConfigSecrets(
                module_id=module_id,
                sections=self.sections,
                features=self.features,
                secrets=self.secrets,
                records=self.records,
                journal=self.journal,
                refusals=self._refusals,
                outside=self.outside,
                clock=self._now,
            ),
            observability=FakeObservability(module_id=module_id, journal=self.journal),
        )

    def refuse(self, operation: str, error: GatewayError | None) -> None:
        """Let an operation of the services fail from now on, by its name; None lets it be again.

        For what a test cannot bring about otherwise: a limit that is reached, a store that is
        away. A refused `settle` has ended the permit, as it has at the core.
        """
        if error is None:
            self._refusals.errors.pop(operation, None)
        else:
            self._refusals.errors[operation] = error

    @property
    def limits(self) -> Limits | None:
        """The limits of every permit from now on; None takes them from the backend's record."""
        return self._admission.limits

    @limits.setter
    def limits(self, limits: Limits | None) -> None:
        self._admission.limits = limits

    @property
    def open_permits(self) -> tuple[Permit, ...]:
        """What is admitted and not settled."""
        return tuple(held.permit for held in self._admission.open.values())

    @property
    def open_leases(self) -> tuple[str, ...]:
        """The leases that `open_lease` gave and that have not ended; those of requests are not."""
        return self._admission.leases.opened()

    @property
    def outcome(self) -> Outcome:
        """How the only call here ended.

        Raises:
            AssertionError: It is still open, or it is not the only one.
        """
        assert not self.open_permits, "a permit is open"
        assert len(self.journal.settled) == 1, f"{len(self.journal.settled)} permits are settled"
        return self.journal.settled[0].outcome

    def has_lease(self, lease_id: str) -> bool:
        """Tell whether a lease, or a request by its id, still holds something."""
        return self._admission.leases.has_open(lease_id)

    def end_lease(self, lease_id: str) -> None:
        """End a lease, or a request by its id as the ingress does when its handler returns.

        What is unsettled there is settled as lost. Idempotent.
        """
        self._admission.leases.end(lease_id)

    def end_expired_leases(self) -> None:
        """End the leases whose time is over; the core does so every few seconds."""
        self._admission.leases.end_expired()

    def _now(self) -> float:
        return self.clock()
