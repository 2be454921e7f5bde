"""`spindle modules list | routes`, `spindle config check`: what would run, without running it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from spindle.cli.failures import reported
from spindle.cli.tables import print_table
from spindle.gateway import make_plan
from spindle.ingress.core_routes import core_inventory
from spindle.ingress.routes import RouteTable
from spindle.loader import discover
from spindle.plugins import PluginRegistry

if TYPE_CHECKING:
    from spindle.gateway import Plan
    from spindle.home import Sources
    from spindle.ingress.routes import Mount


def check_config(sources: Sources) -> None:
    """Say every fault of the configuration, or that there is none and what it amounts to."""
    with reported():
        plan = make_plan(sources)
        PluginRegistry.load(plan.settings.plugins)

    settings = plan.settings
    kinds = Counter(record.kind.value for record in settings.declared)
    print("ok")
    print(f"home         {settings.home}")
    print(f"environment  {settings.environment}")
    print(f"listens on   {settings.server.host}:{settings.server.port}")
    print(f"modules      {', '.join(module.id for module in plan.modules) or 'none'}")
    print(
        f"declares     {', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items())) or 'nothing'}"
    )

    for warning in settings.warnings:
        print(f"warning      {warning}")

    for note in settings.notes:
        print(f"note         {note}")


def list_modules(*, as_json: bool) -> None:
    """List every installed module, broken ones with their faults."""
    discovery = discover()
    shown = [
        {
            "id": module.id,
            "distribution": module.distribution,
            "family": module.module.descriptor.protocol_family,
            "version": module.module.descriptor.module_version,
            "spi": module.spi_version,
            "serves": list(module.module.descriptor.serves),
            "faults": list[str](),
        }
        for module in discovery.modules
    ] + [
        {
            "id": name,
            "distribution": "",
            "family": "",
            "version": "",
            "spi": "",
            "serves": list[str](),
            "faults": list(faults),
        }
        for name, faults in discovery.faults.items()
    ]

    if as_json:
        print(json.dumps(shown))
        return

    print_table(
        ("ID", "VERSION", "FAMILY", "SPI", "SERVES", "FROM", "FAULTS"),
        [
            (
                str(row["id"]),
                str(row["version"]),
                str(row["family"]),
                str(row["spi"]),
                ", ".join(row["serves"]),
                str(row["distribution"]),
                "; ".join(row["faults"]) or "-",
            )
            for row in shown
        ],
    )


def list_routes(sources: Sources, *, as_json: bool) -> None:
    """List the whole route inventory: what answers, who owns it, what it asks of a caller."""
    with reported():
        table = _table(make_plan(sources))

    overlaps = [
        f"{winner.method} {winner.path} ({winner.owner}) goes before {loser.path} ({loser.owner})"
        for winner, loser in table.overlaps()
    ]

    if as_json:
        print(
            json.dumps({"routes": [_shown(mount) for mount in table.mounts], "overlaps": overlaps})
        )
        return

    print_table(
        ("METHOD", "PATH", "OWNER", "PERMISSION", "ERRORS"),
        [tuple(_shown(mount).values()) for mount in table.mounts],
    )

    for line in overlaps:
        print(line)


def _table(plan: Plan) -> RouteTable:
    return RouteTable([core_inventory(), *(module.source() for module in plan.modules)])


def _shown(mount: Mount) -> dict[str, str]:
    return {
        "method": mount.method,
        "path": mount.path,
        "owner": mount.owner,
        "permission": _permission(mount),
        "errors": mount.errors.name,
    }


def _permission(mount: Mount) -> str:
    permission = mount.route.permission
    return permission if isinstance(permission, str) else permission.value
