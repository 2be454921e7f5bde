"""Who may govern a record: the control plane's rules on top of the two layers of access.

The request path asks `visible` and `permitted`. Here a record that is switched off is still there
for those who could switch it on, and to change a record one must have a part in it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spindle.catalog.kinds import KINDS
from spindle_spi.errors import PermissionDenied
from spindle_spi.policy import Action, allow, granted, holds_in, visible
from spindle_spi.records import CatalogRecord, ModelSpec, ProviderSpec, ServerSpec, Visibility

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import Kind

PLATFORM: Final = "admin.catalog"
"""Permission for what concerns everybody: public records, those of no team, anonymous servers."""


def manageable(context: AuthenticatedContext, record: CatalogRecord) -> bool:
    """Tell whether a caller may know of a record here: seen, or switched off and theirs to switch.

    A record that is switched off does not exist for those who only use records.
    """
    if record.enabled:
        return visible(context, record)

    return visible(context, replace(record, enabled=True)) and may_change(
        context, record, Action.UPDATE
    )


def readable(context: AuthenticatedContext, record: CatalogRecord, permission: str) -> bool:
    """Tell whether a record stands in a caller's list."""
    return manageable(context, record) and holds_in(
        context.visibility_scope, permission, record.team
    )


def without_unknown(
    context: AuthenticatedContext,
    record: CatalogRecord,
    by_name: Mapping[tuple[Kind, str], CatalogRecord],
) -> CatalogRecord:
    """Return a record as a caller may read it: its chain names nothing that is hidden, or gone.

    Who governs the platform reads it as it is.
    """
    spec = record.spec

    if not isinstance(spec, ModelSpec | ProviderSpec) or not spec.fallbacks or is_platform(context):
        return record

    known = tuple(
        name
        for name in spec.fallbacks
        if (other := by_name.get((record.kind, name))) is not None and manageable(context, other)
    )
    return (
        record if known == spec.fallbacks else replace(record, spec=replace(spec, fallbacks=known))
    )


def is_platform(context: AuthenticatedContext) -> bool:
    """Tell whether a caller governs what concerns everybody."""
    return granted(context.visibility_scope.permissions, PLATFORM)


def may_change(context: AuthenticatedContext, record: CatalogRecord, action: Action) -> bool:
    """Tell whether a caller holds the permission, and has a part in the record."""
    permission = KINDS[record.kind].permission(action)
    return holds_in(context.visibility_scope, permission, record.team) and has_part(context, record)


def check_change(context: AuthenticatedContext, record: CatalogRecord, action: Action) -> None:
    """Check that a caller, who knows of a record, may change it.

    Raises:
        PermissionDenied: The permission is lacking, or the record is somebody else's.
    """
    allow(context, KINDS[record.kind].permission(action), record)

    if not has_part(context, record):
        raise PermissionDenied(
            f"The {record.kind.value} {record.name!r} belongs to none of your teams and not to "
            f"you: to change it, its team or the permission {PLATFORM} is needed.",
            code="core.record.foreign",
        )


def has_part(context: AuthenticatedContext, record: CatalogRecord) -> bool:
    """Tell whether a record is a caller's own, their team's, or everything is theirs."""
    subject = context.subject

    if is_platform(context):
        return True

    if record.team is not None and record.team in (subject.token_teams or ()):
        return True

    return record.owner is not None and record.owner == subject.user_email


def check_holding(
    context: AuthenticatedContext, before: CatalogRecord | None, record: CatalogRecord
) -> None:
    """Check who gets a record, and who will see it, against who makes it so.

    Raises:
        PermissionDenied: Out of the caller's hands, or into everybody's view.
    """
    if is_platform(context):
        return

    if not has_part(context, record):
        raise _refused(
            "It would belong to none of your teams and not to you: name one of your teams."
        )

    was_team = None if before is None else before.team

    if record.team not in (None, was_team, *(context.subject.token_teams or ())):
        raise _refused("It would belong to a team that is none of yours.")

    was_owner = None if before is None else before.owner

    if record.owner not in (None, was_owner, context.subject.user_email):
        raise _refused("It would belong to somebody else: only you can be its owner.")

    is_widened = before is None or before.visibility is not Visibility.PUBLIC

    if record.visibility is Visibility.PUBLIC and is_widened:
        raise _refused(f"To show it to everybody, the permission {PLATFORM} is needed.")

    if _opens(record) and (before is None or before.spec != record.spec):
        raise _refused(
            f"To make or change a server for callers without a token, {PLATFORM} is needed."
        )

    if not visible(context, replace(record, enabled=True)):
        raise _refused("You would not see it yourself: give it one of your teams.")


def default_holding(context: AuthenticatedContext, *, is_production: bool) -> Visibility:
    """Return who sees a new record when nobody says it; see decision 16."""
    if is_production:
        return Visibility.PRIVATE

    return Visibility.PUBLIC if is_platform(context) else Visibility.TEAM


def _opens(record: CatalogRecord) -> bool:
    return isinstance(record.spec, ServerSpec) and record.spec.anonymous


def _refused(message: str) -> PermissionDenied:
    return PermissionDenied(message, code="core.record.holding")
