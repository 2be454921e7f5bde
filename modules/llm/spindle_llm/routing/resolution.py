"""Which model a request means: what it names, what the policy names for its task, or a default."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from spindle_llm.routing.policy import Reason, cost_per_1k
from spindle_spi.errors import InvalidArgument, NotFound, PermissionDenied, shortened
from spindle_spi.records import CatalogRecord, Kind, ModelSpec, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_llm.routing.policy import RoutingPolicy
    from spindle_spi.admission import Estimate
    from spindle_spi.catalog import CatalogService
    from spindle_spi.context import AuthenticatedContext

AUTO: Final = "auto"
"""What a request calls its model that leaves the choice to the policy."""
TASK_TYPE: Final = b"x-spindle-task-type"
"""The header in which a request says what kind of task it is."""
_LOADED: Final = "loaded"


class Resolved(StrEnum):
    """What led from a request to its model."""

    NAME = "name"
    ALIAS = "alias"
    DEFAULT_SERVICE = "default_service"
    DEFAULT_MODEL = "default_model"
    FIRST_LOADED = "first_loaded"
    POLICY = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The model a policy chose for one caller, and those it passed over."""

    model: str | None
    """None: neither a rule nor the policy's default has one that this caller may know of."""
    passed_over: tuple[CatalogRecord, ...] = ()
    """Too dear for their rules."""
    is_known: bool = False
    """A rule is for this kind of task."""


def task_type_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the kind of task that a request's headers say; None when they say none."""
    for name, value in headers:
        if name == TASK_TYPE:
            return value.decode("latin-1").strip() or None

    return None


async def chosen_by(
    policy: RoutingPolicy,
    catalog: CatalogService,
    context: AuthenticatedContext,
    task_type: str,
    estimate: Estimate,
) -> Chosen:
    """Return the model a policy names for a task, at the prices of the records.

    A rule whose model the caller may not know of is no rule for this caller.
    """
    passed: list[CatalogRecord] = []
    is_known = False

    for _, rule in policy.rules_for(task_type):
        record = await _seen(catalog, context, rule.model)

        if record is None:
            continue

        is_known = True
        spec = record.spec
        cost = cost_per_1k(spec, estimate) if isinstance(spec, ModelSpec) else None
        choice = rule.choose(cost)

        if choice is not None and choice[1] is Reason.RULE:
            return Chosen(model=rule.model, passed_over=tuple(passed), is_known=True)

        passed.append(record)

        if choice is not None and await _seen(catalog, context, choice[0]) is not None:
            return Chosen(model=choice[0], passed_over=tuple(passed), is_known=True)

    default = policy.default

    if default is not None and await _seen(catalog, context, default) is None:
        default = None

    return Chosen(model=default, passed_over=tuple(passed), is_known=is_known)


async def loaded_models(catalog: CatalogService, context: AuthenticatedContext) -> tuple[str, ...]:
    """Return the models the caller sees that are loaded and chat, in the order of the list."""
    try:
        page = await catalog.list(context, Kind.MODEL)
    except PermissionDenied:
        return ()

    return tuple(
        record.name
        for record in page.records
        if isinstance(record.spec, ModelSpec)
        and record.spec.state == _LOADED
        and "chat" in record.spec.supports
    )


def no_model_for(task_type: str, *, is_known: bool) -> InvalidArgument:
    """Return the refusal of a task that no model is for."""
    if is_known:
        return InvalidArgument(
            f"No model for tasks of the type {shortened(task_type)!r} is cheap enough.",
            code="llm.routing.no_match",
            param="model",
        )

    return InvalidArgument(
        f"No model is for tasks of the type {shortened(task_type)!r}.",
        code="llm.routing.unknown_task_type",
        param="model",
    )


def resolved_by(asked: str | None, found: str, default_service: str | None) -> Resolved:
    """Return how a name led to the record of another name, or of the same."""
    if asked == found:
        return Resolved.NAME

    is_of_service = default_service is not None and found == f"{default_service}~{asked}"
    return Resolved.DEFAULT_SERVICE if is_of_service else Resolved.ALIAS


async def _seen(
    catalog: CatalogService, context: AuthenticatedContext, name: str
) -> CatalogRecord | None:
    """Return a model the caller may know of; whether it may be used is judged when it is."""
    try:
        return await catalog.fetch(context, Target(kind=Kind.MODEL, name=name))
    except (NotFound, PermissionDenied):
        return None
