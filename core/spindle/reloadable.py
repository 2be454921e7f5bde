"""What of the core can change while it runs: one part for each holder of settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spindle.reload import Part, Put

if TYPE_CHECKING:
    from spindle.config import Settings
    from spindle.core import Core

_LIMITS: Final = (
    *("requests_per_minute", "tokens_per_minute"),
    *("each_user", "each_team", "roles", "users", "teams"),
)


def reloadable(core: Core) -> list[Part]:
    """Return the parts of a core. Who else keeps settings adds a part to `core.reloader`."""

    def limit(settings: Settings) -> Put:
        return lambda: core.allowance.limits.configure(settings.limits)

    def find_secrets(settings: Settings) -> Put:
        return lambda: core.secrets.configure(settings.secret_sources)

    def override(settings: Settings) -> Put:
        editing = replace(
            core.settings,
            tool_overrides=settings.tool_overrides,
            egress=settings.egress,
            programs=settings.programs,
        )

        def put() -> None:
            core.snapshots.configure(settings.tool_overrides)
            core.catalog.configure(editing)

        return put

    def switch(settings: Settings) -> Put:
        def put() -> None:
            core.features.clear()
            core.features.update(settings.features)

        return put

    return [
        Part(frozenset({"plugins"}), lambda settings: core.plugins.prepare(settings.plugins)),
        Part(frozenset(f"limits.{key}" for key in _LIMITS), limit),
        Part(frozenset({"secrets"}), find_secrets),
        Part(frozenset({"mcp.gateways.tools", "mcp.stdio.allow", "egress"}), override),
        Part(frozenset({"features"}), switch),
    ]
