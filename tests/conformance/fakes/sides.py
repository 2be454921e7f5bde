"""The two hosts every scenario is played to: the core over a store, and the fake."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.fakes import FakeHost
from spindle_spi.admission import Outcome, Status
from spindle_spi.errors import (
    GatewayError,
)
from spindle_spi.plugin import Segment, SegmentKind
from spindle_spi.records import Kind, Target
from tests.core.heart import Heart

if TYPE_CHECKING:
    from collections.abc import Awaitable, MutableMapping

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.module import Module
    from spindle_spi.services import Services


OPEN = Target(kind=Kind.MODEL, name="up~open")
RED = Target(kind=Kind.MODEL, name="up~red")
DONE = Outcome(status=Status.OK)
MAIL = "write to ada@example.org today"
EXTRA = """
features: {shiny: true}
"""
MASK = "\nplugins:\n  entries: [{name: pii, plugin: pii, config: {action: mask}}]\n"
BLOCK = "\nplugins:\n  entries: [{name: pii, plugin: pii, config: {action: deny}}]\n"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two hosts; the records, callers and plugins of both are the same."""

    heart: Heart
    fake: FakeHost | None

    def services(self, module: str = "llm") -> Services:
        return (self.fake or self.heart.core).services_for(module)

    @property
    def owners(self) -> MutableMapping[str, Module]:
        return (self.fake or self.heart.core).owners

    async def token(self, *teams: str, permissions: tuple[str, ...] | None = None) -> str:
        """Mint a token that both hosts know."""
        if permissions is None:
            text = await self.heart.token(*teams)
        else:
            text = await self.heart.token(*teams, permissions=permissions)

        if self.fake is not None:
            self.fake.callers.known[text] = self.heart.resolve(text)

        return text

    async def caller(
        self, *teams: str, permissions: tuple[str, ...] | None = None, email: str = ""
    ) -> AuthenticatedContext:
        """Return a caller; the one of an e-mail is a person."""
        context = self.heart.resolve(await self.token(*teams, permissions=permissions))
        return replace(context, subject=replace(context.subject, user_email=email or None))

    async def end_request(self, context: AuthenticatedContext) -> None:
        """End the lease of a request, as the ingress does."""
        if self.fake is None:
            await self.heart.core.leases.end(context.trace.request_id)
        else:
            self.fake.end_lease(context.trace.request_id)

    def statuses(self) -> Counter[str]:
        """Return how calls ended, as the host recorded it."""
        if self.fake is not None:
            return Counter(one.outcome.status.value for one in self.fake.journal.settled)

        said = self.heart.core.metrics.render().decode()
        found = re.findall(r'spindle_calls_total\{kind="\w+",status="(\w+)"\} (\d+)', said)
        statuses: Counter[str] = Counter()

        for status, times in found:
            statuses[status] += int(times)

        return statuses


def side_of(heart: Heart, *, is_fake: bool) -> Side:
    core = heart.core

    if not is_fake:
        return Side(heart, None)

    fake = FakeHost(
        core.snapshots.current.by_id.values(),
        plugins=[active.plugin for active in core.plugins.current.active],
    )
    fake.features = dict(core.settings.features)
    fake.sections["llm"] = core.settings.section("llm")
    return Side(heart, fake)


async def refused(work: Awaitable[object]) -> tuple[type[GatewayError], str, str]:
    """Return with what class, code and message something is refused."""
    with pytest.raises(GatewayError) as caught:
        await work

    return type(caught.value), caught.value.code, caught.value.message


def text(said: str, pointer: str = "/messages/0/content") -> Segment:
    return Segment(pointer=pointer, kind=SegmentKind.TEXT, text=said)
