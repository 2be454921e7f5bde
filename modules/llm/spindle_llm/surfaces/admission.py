"""Which model a request means, and the core's leave to ask it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from spindle_llm.routing.names import model_names
from spindle_llm.routing.resolution import (
    AUTO,
    Resolved,
    chosen_by,
    loaded_models,
    no_model_for,
    task_type_of,
)
from spindle_llm.surfaces.errors import model_not_found
from spindle_spi.errors import InvalidArgument, NotFound, PermissionDenied, shortened
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_llm.runtime import Runtime
    from spindle_spi.admission import Estimate, Permit
    from spindle_spi.ingress import Call


async def admitted(
    runtime: Runtime,
    call: Call,
    model: str | None,
    estimate: Estimate,
    *,
    lease_id: str | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> Permit:
    """Have the core decide a call on what a client calls a model.

    The permit belongs to `lease_id`, by default to the lease of the request. A request that leaves
    the choice to the policy may say in `headers` what kind of task it is.

    Raises:
        InvalidArgument: The request names no model, and there is none for such requests.
        NotFound: The model is absent or hidden.
        PermissionDenied: Visible, not permitted.
        RateLimited: A limit or a budget is exhausted.
    """
    request = _Request(runtime, call, model, estimate, lease_id)
    policy = runtime.settings.routing.policy

    if policy and (model is None or model == AUTO):
        task_type = task_type_of(headers)

        if model is not None or task_type is not None:
            return await request.by_policy(task_type or "")

    if model is None:
        return await request.by_default()

    return await request.by_name(model)


class _Request:
    """One request while its model is looked for."""

    __slots__ = ("_asked", "_call", "_estimate", "_lease_id", "_runtime", "_started")

    def __init__(
        self,
        runtime: Runtime,
        call: Call,
        asked: str | None,
        estimate: Estimate,
        lease_id: str | None,
    ) -> None:
        self._runtime = runtime
        self._call = call
        self._asked = asked
        self._estimate = estimate
        self._lease_id = lease_id
        self._started = time.perf_counter()

    async def by_name(self, name: str, how: Resolved | None = None) -> Permit:
        """Have the first record admitted that a name may stand for."""
        for candidate in model_names(name, self._runtime.settings):
            try:
                return await self._admit(candidate, how)
            except NotFound:
                continue

        raise model_not_found(self._asked or name)

    async def by_default(self) -> Permit:
        """Have a model admitted for a request that names none: the default, else one loaded."""
        settings, catalog = self._runtime.settings, self._runtime.services.catalog
        refusal: PermissionDenied | None = None

        if settings.default_model is not None:
            # It may be hidden from this caller, who is not to learn its name.
            with suppress(NotFound):
                return await self.by_name(settings.default_model, Resolved.DEFAULT_MODEL)

        for name in await loaded_models(catalog, self._call.context):
            try:
                return await self._admit(name, Resolved.FIRST_LOADED)
            except NotFound:
                continue
            except PermissionDenied as exc:
                refusal = refusal or exc

        raise refusal or InvalidArgument(
            "The request names no model.", code="llm.model.missing", param="model"
        )

    async def by_policy(self, task_type: str) -> Permit:
        """Have the model admitted that the policy names for a kind of task."""
        runtime, context = self._runtime, self._call.context
        chosen = await chosen_by(
            runtime.settings.routing.policy,
            runtime.services.catalog,
            context,
            task_type,
            self._estimate,
        )

        if chosen.model is not None:
            permit = await self.by_name(chosen.model, Resolved.POLICY)
        elif task_type:
            raise no_model_for(task_type, is_known=chosen.is_known)
        else:
            permit = await self.by_default()

        route = runtime.routes.of(permit)

        if route is not None:
            route.task_type = shortened(task_type) or None
            route.passed_over = chosen.passed_over

        return permit

    async def _admit(self, name: str, how: Resolved | None) -> Permit:
        runtime, context = self._runtime, self._call.context
        permit = await runtime.services.catalog.admit(
            context,
            Target(kind=Kind.MODEL, name=name),
            Action.EXECUTE,
            self._estimate,
            lease_id=self._lease_id,
        )
        milliseconds = (time.perf_counter() - self._started) * 1000
        runtime.routes.begin(context, permit, self._asked, how=how, decision_ms=milliseconds)
        return permit
