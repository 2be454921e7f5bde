"""`POST /admin/api/v1/reload`: read the configuration again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.api.response import Response, ok
from spindle.api.routing import ApiRoute
from spindle.audit import AuditEntry
from spindle_spi.errors import ConfigError, InvalidArgument

if TYPE_CHECKING:
    from spindle.api.request import Request
    from spindle.core import Core
    from spindle_spi.types import JsonObject


async def reload(core: Core, request: Request) -> Response:
    """Apply the configuration as it is now; a faulty one changes nothing and is explained."""
    request.check_query()

    try:
        done = await core.reloader.reload()
    except ConfigError as exc:
        await core.audit.record(
            request.context,
            AuditEntry(action="config.reload", target="config", decision="failed", reason=str(exc)),
        )
        raise InvalidArgument(
            "The configuration has faults, and nothing was changed. " + "; ".join(exc.faults),
            code="core.config.invalid",
        ) from exc

    shown: JsonObject = {"applied": list(done.applied), "needs_restart": list(done.needs_restart)}
    await core.audit.record(
        request.context, AuditEntry(action="config.reload", target="config", after=shown)
    )
    return ok(shown)


ROUTES = (
    ApiRoute(
        method="POST",
        path="/admin/api/v1/reload",
        permission="config.update",
        answer=reload,
        is_platform=True,
    ),
)
