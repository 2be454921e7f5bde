"""Every route of the control plane, in one place: a file's `ROUTES` is served when it is here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.api import (
    audit,
    budgets,
    catalog,
    config,
    definitions,
    invitations,
    limits,
    login,
    me,
    plugins,
    registry,
    reload,
    roles,
    secrets,
    teams,
    tokens,
    usage,
    users,
)
from spindle.api.routing import ApiRoute, mounted

if TYPE_CHECKING:
    from spindle.core import Core
    from spindle_spi.ingress import IngressRoute

ROUTES: tuple[ApiRoute, ...] = (
    *plugins.ROUTES,
    *audit.ROUTES,
    *definitions.ROUTES,
    *catalog.ROUTES,
    *registry.ROUTES,
    *config.ROUTES,
    *reload.ROUTES,
    *login.ROUTES,
    *secrets.ROUTES,
    *me.ROUTES,
    *users.ROUTES,
    *teams.ROUTES,
    *invitations.ROUTES,
    *roles.ROUTES,
    *tokens.ROUTES,
    *usage.ROUTES,
    *budgets.ROUTES,
    *limits.ROUTES,
)


def api_routes(core: Core | None) -> tuple[IngressRoute, ...]:
    """Return the routes over a core; without one, their inventory alone."""
    return mounted(ROUTES, core)
