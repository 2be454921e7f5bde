"""A refused request as those who refuse tell it to whoever keeps count of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from spindle_spi.context import AuthenticatedContext, Subject
from spindle_spi.errors import GatewayError, PluginDenied
from spindle_spi.policy import Action, permission_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_spi.admission import Outcome
    from spindle_spi.records import CatalogRecord, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What was wanted, of whom, and by which error it was refused."""

    action: str
    """The permission that was needed, or `request` where that is not known."""
    target: str
    target_kind: str
    error: GatewayError
    request_id: str
    subject: Subject | None = None
    client_ip: str | None = None


Refusals: TypeAlias = "Callable[[Refusal], None]"


def unheard(refusal: Refusal) -> None:
    """Tell nobody."""
    del refusal


def call_refused(
    context: AuthenticatedContext, target: Target, action: Action, error: GatewayError
) -> Refusal:
    """Return the refusal of a call; what is absent is told like what is hidden."""
    return Refusal(
        action=permission_for(target.kind, action),
        target=target.name,
        target_kind=target.kind.value,
        error=error,
        request_id=context.trace.request_id,
        subject=context.subject,
    )


def content_refused(
    context: AuthenticatedContext, record: CatalogRecord, action: Action, outcome: Outcome
) -> Refusal:
    """Return the refusal of an admitted call whose content a plugin did not let pass."""
    return Refusal(
        action=permission_for(record.kind, action),
        target=record.name,
        target_kind=record.kind.value,
        error=PluginDenied(
            "A plugin refused the content.", code=outcome.error_code or PluginDenied.default_code
        ),
        request_id=context.trace.request_id,
        subject=context.subject,
    )
