"""Which model a request means, and the core's leave to ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_llm.routing.names import model_names
from spindle_llm.surfaces.errors import model_not_found
from spindle_spi.errors import InvalidArgument, NotFound
from spindle_spi.policy import Action
from spindle_spi.records import Kind, Target

if TYPE_CHECKING:
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
) -> Permit:
    """Have the core decide a call on what a client calls a model.

    The permit belongs to `lease_id`, by default to the lease of the request.

    Raises:
        InvalidArgument: The request names no model, and there is no default.
        NotFound: The model is absent or hidden.
        PermissionDenied: Visible, not permitted.
        RateLimited: A limit or a budget is exhausted.
    """
    settings = runtime.settings
    name = model or settings.default_model

    if name is None:
        raise InvalidArgument(
            "The request names no model.", code="llm.model.missing", param="model"
        )

    for candidate in model_names(name, settings):
        try:
            return await runtime.services.catalog.admit(
                call.context,
                Target(kind=Kind.MODEL, name=candidate),
                Action.EXECUTE,
                estimate,
                lease_id=lease_id,
            )
        except NotFound:
            continue

    raise model_not_found(name)
