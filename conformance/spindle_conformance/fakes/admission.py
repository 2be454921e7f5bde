"""Where a fake host decides a call and where it ends one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spindle_conformance.fakes.journal import Admitted, Settled
from spindle_conformance.fakes.leases import FakeLeases
from spindle_conformance.fakes.phases import plan_of
from spindle_spi.admission import (
    Estimate,
    Limits,
    Outcome,
    Permit,
    Status,
    is_unhooked,
    limits_of,
)
from spindle_spi.errors import ContractViolation, NotFound
from spindle_spi.plugin import HookPhase
from spindle_spi.policy import (
    Action,
    allow,
    is_same_caller,
    permission_for,
    permitted,
    usable_backend,
)
from spindle_spi.records import CatalogRecord, Kind, Target, fallbacks_of, secret_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spindle_conformance.fakes.journal import Journal
    from spindle_conformance.fakes.records import FakeRecords
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.plugin import Plugin


@dataclass(slots=True)
class OpenPermit:
    """A permit that is not settled yet, with the phases that left their receipt."""

    admitted: Admitted
    receipts: set[HookPhase] = field(default_factory=set["HookPhase"])

    @property
    def permit(self) -> Permit:
        """The permit itself."""
        return self.admitted.permit


class FakeAdmission:
    """Admits and settles."""

    def __init__(
        self,
        *,
        records: FakeRecords,
        journal: Journal,
        plugins: Sequence[Plugin],
        clock: Callable[[], float],
    ) -> None:
        self._records = records
        self._journal = journal
        self._plugins = plugins
        self._numbers = itertools.count(1)
        self.open: dict[str, OpenPermit] = {}
        self.leases = FakeLeases(self._lose, clock)
        self.limits: Limits | None = None
        """The limits of every permit from now on; None takes them from the backend's record."""

    def admit(
        self,
        context: AuthenticatedContext,
        target: Target,
        action: Action,
        estimate: Estimate | None = None,
        *,
        lease_id: str | None = None,
        module: str = "",
    ) -> Permit:
        """Decide one call for a module, or for the host itself; see `CatalogService.admit`."""
        record = self._records.seen(context, target)
        allow(context, permission_for(record.kind, action), record)
        backend = usable_backend(record, self._records.backend_of(record))
        others = tuple(self._alternatives(context, record))
        secret = None if backend is None else secret_of(backend.spec)
        permit_id = f"permit-{next(self._numbers)}"
        permit = Permit(
            id=permit_id,
            lease_id=self.leases.attach(context, lease_id, permit_id),
            record=record,
            backend=backend,
            alternatives=tuple(other for other, _ in others),
            alternative_backends=tuple(serving for _, serving in others),
            secrets=() if secret is None else (secret,),
            hooks=plan_of(self._plugins, record.kind),
            limits=self.limits or limits_of(backend, 1 + len(others)),
        )
        admitted = Admitted(
            permit=permit, context=context, action=action, estimate=estimate, module=module
        )
        self.open[permit_id] = OpenPermit(admitted)
        self._journal.admitted.append(admitted)
        return permit

    def held(self, context: AuthenticatedContext, permit_id: str) -> OpenPermit:
        """Return an unsettled permit of this caller.

        Raises:
            NotFound: No such permit, or not this caller's.
        """
        self.leases.end_expired()
        held = self.open.get(permit_id)

        if held is None or not is_same_caller(held.admitted.context, context):
            raise _no_permit()

        return held

    def settle(self, permit_id: str, outcome: Outcome, *, module: str = "") -> None:
        """End a permit of a module; see `CatalogService.settle`."""
        self.leases.end_expired()
        held = self.open.get(permit_id)

        if held is None or held.admitted.module != module:
            raise _no_permit()

        if not is_unhooked(held.permit, outcome, held.receipts):
            self._conclude(held, outcome)
            return

        code = "core.settle.unhooked"
        self._conclude(held, replace(outcome, status=Status.ERROR, error_code=code))
        record = held.permit.record
        raise ContractViolation(
            f"The hooks of the {record.kind.value} {record.name!r} did not run.", code=code
        )

    def _lose(self, permit_id: str) -> None:
        held = self.open.get(permit_id)

        if held is not None:
            self._conclude(held, Outcome(status=Status.LOST))

    def _conclude(self, held: OpenPermit, outcome: Outcome) -> None:
        del self.open[held.permit.id]
        self.leases.detach(held.permit.lease_id, held.permit.id)
        self._journal.settled.append(Settled(permit=held.permit, outcome=outcome))

    def _alternatives(
        self, context: AuthenticatedContext, record: CatalogRecord
    ) -> list[tuple[CatalogRecord, CatalogRecord]]:
        own = self._records.backend_of(record)
        names = fallbacks_of(record.spec, None if own is None else own.spec)
        permission = permission_for(Kind.MODEL, Action.EXECUTE)
        found: dict[str, tuple[CatalogRecord, CatalogRecord]] = {}

        for name in names:
            # A fallback the caller may not see, or not use, is not in the permit at all.
            other = self._records.see(context, Target(kind=Kind.MODEL, name=name))

            if other is None or other.id == record.id or not permitted(context, permission, other):
                continue

            backend = self._records.backend_of(other)

            if backend is not None and backend.enabled:
                found.setdefault(other.id, (other, backend))

        return list(found.values())


def _no_permit() -> NotFound:
    return NotFound("No such permit.", code="core.permit.not_found")
