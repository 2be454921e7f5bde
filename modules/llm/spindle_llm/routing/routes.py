"""Route records: why a call was answered by whom. Kept for their owners, for a while, in memory.

Beginning one costs one object. It is put into words when somebody reads it, out of what the call
left behind anyway: its permit and its journal.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from spindle_llm.routing.attempts import candidates
from spindle_llm.routing.resolution import Resolved, resolved_by
from spindle_spi.admission import Status
from spindle_spi.policy import session_owner

if TYPE_CHECKING:
    from collections.abc import Container

    from spindle_llm.relay.journal import Journal
    from spindle_spi.admission import Attempt, Permit
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import CatalogRecord
    from spindle_spi.types import Json, JsonObject


class Route:
    """One admitted call, from what it asked for to who answered."""

    __slots__ = (
        "asked",
        "at",
        "context",
        "decision_ms",
        "how",
        "journal",
        "passed_over",
        "permit",
        "task_type",
    )

    def __init__(
        self,
        context: AuthenticatedContext,
        permit: Permit,
        asked: str | None,
        how: Resolved | None,
        decision_ms: float,
    ) -> None:
        self.context = context
        self.permit = permit
        self.asked = asked
        """What the request called its model."""
        self.how = how
        """None: by its name, in one of the ways names are understood."""
        self.decision_ms = decision_ms
        self.at = time.time()
        self.journal: Journal | None = None
        self.task_type: str | None = None
        self.passed_over: tuple[CatalogRecord, ...] = ()
        """What the policy found too dear."""

    def is_of(self, reader: AuthenticatedContext) -> bool:
        """Tell whether it is the reader's own."""
        owner = session_owner(self.context)
        return owner is not None and owner == session_owner(reader)

    @property
    def models(self) -> tuple[CatalogRecord, ...]:
        """Every model it names."""
        return (self.permit.record, *self.permit.alternatives, *self.passed_over)

    def shown(self, known: Container[str], default_service: str | None) -> JsonObject:
        """Return it as JSON, naming the models of these ids alone."""
        permit, journal = self.permit, self.journal
        names = {record.name for record in self.models if record.id in known}
        status = None if journal is None else journal.status
        attempts: tuple[Attempt, ...] = () if journal is None else journal.attempts
        served = permit.record.name if journal is None else journal.served_by or permit.record.name
        how = self.how or resolved_by(self.asked, permit.record.name, default_service)
        is_answered = status in (Status.OK, Status.PARTIAL)
        return {
            "id": permit.id,
            "request_id": self.context.trace.request_id,
            "created_at": self.at,
            "status": "running" if status is None else status.value,
            "error_code": None if journal is None else journal.error_code,
            "asked": self.asked,
            "task_type": self.task_type,
            "resolved_by": how.value,
            "model": permit.record.name,
            "candidates": [
                {"model": record.name, "provider": backend.name}
                for record, backend in (candidates(permit) if permit.backend else ())
                if record.name in names
            ],
            "exclusions": self._exclusions(names),
            "attempts": [_attempt(one) for one in attempts if one.target in names],
            "served_by": served if is_answered and served in names else None,
            "decision_ms": self.decision_ms,
        }

    def _exclusions(self, names: Container[str]) -> list[Json]:
        excluded: list[Json] = [
            {"model": record.name, "reason": "cost cap", "wait_ms": None}
            for record in self.passed_over
            if record.name in names
        ]

        for record, reason, wait in () if self.journal is None else self.journal.exclusions:
            if record.name in names:
                wait_ms = None if wait is None else wait * 1000
                excluded.append({"model": record.name, "reason": reason, "wait_ms": wait_ms})

        return excluded


class RouteLog:
    """The last routes, by the id of their permit."""

    def __init__(self, *, most: int = 1000, seconds: float = 3600.0) -> None:
        """Keep at most so many, none for longer than so many seconds."""
        self._most = most
        self._seconds = seconds
        self._routes: OrderedDict[str, Route] = OrderedDict()

    def begin(
        self,
        context: AuthenticatedContext,
        permit: Permit,
        asked: str | None,
        *,
        how: Resolved | None = None,
        decision_ms: float = 0.0,
    ) -> Route:
        """Keep a route that begins."""
        routes = self._routes
        route = routes[permit.id] = Route(context, permit, asked, how, decision_ms)

        if len(routes) > self._most:
            routes.popitem(last=False)

        return route

    def of(self, permit: Permit) -> Route | None:
        """Return the route of a permit, if it is kept."""
        return self._routes.get(permit.id)

    def follow(self, permit: Permit, journal: Journal) -> None:
        """Have the route of a permit read its attempts from a journal."""
        route = self._routes.get(permit.id)

        if route is not None:
            route.journal = journal
            journal.route_id = permit.id

    def find(self, route_id: str, reader: AuthenticatedContext) -> Route | None:
        """Return a route of the reader's own; None when there is none, for whatever reason."""
        self._forget()
        route = self._routes.get(route_id)
        return route if route is not None and route.is_of(reader) else None

    def __len__(self) -> int:
        return len(self._routes)

    def _forget(self) -> None:
        oldest = time.time() - self._seconds

        while self._routes and next(iter(self._routes.values())).at < oldest:
            self._routes.popitem(last=False)


def _attempt(attempt: Attempt) -> Json:
    return {
        "provider": attempt.backend,
        "model": attempt.target,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "ms": attempt.milliseconds,
        "wait_ms": attempt.waited_ms,
    }
