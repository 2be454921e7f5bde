"""Which gateways may be programs: those of the configuration, and others only as it allows them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import structlog

from spindle.catalog.access import PLATFORM, is_platform
from spindle_spi.errors import PermissionDenied
from spindle_spi.records import GatewaySpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.config.programs import AllowedProgram
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.records import CatalogRecord, RecordSpec

_LOG = structlog.get_logger("spindle.programs")

STDIO = "stdio"
_CONFIG = "config"


class Programs:
    """The allow-list in force."""

    def __init__(self, allowed: Sequence[AllowedProgram]) -> None:
        self._allowed = allowed
        self._told: set[tuple[str, int]] = set()

    def configure(self, allowed: Sequence[AllowedProgram]) -> None:
        """Decide by another list from now on."""
        self._allowed = allowed
        self._told.clear()

    def permits(self, record: CatalogRecord) -> bool:
        """Tell whether a record may be served: it was allowed when it was made, is it still?"""
        reason = None if record.origin == _CONFIG else refused(record.spec, self._allowed)

        if reason is None:
            return True

        if (record.id, record.epoch) not in self._told:
            self._told.add((record.id, record.epoch))
            _LOG.warning("gateway not started", gateway=record.name, reason=reason)

        return False


def check_program(
    context: AuthenticatedContext,
    before: RecordSpec | None,
    spec: RecordSpec,
    allowed: Sequence[AllowedProgram],
) -> None:
    """Check that somebody may make, or change, a gateway that is a program.

    Raises:
        PermissionDenied: It takes another permission, or is not on the list.
    """
    if spec == before or not _is_program(spec):
        return

    if not is_platform(context):
        raise PermissionDenied(
            f"A gateway that starts a program is made with the permission {PLATFORM} only.",
            code="core.gateway.program",
        )

    reason = refused(spec, allowed)

    if reason is not None:
        raise PermissionDenied(f"{reason}.", code="core.gateway.program")


def refused(spec: RecordSpec, allowed: Sequence[AllowedProgram]) -> str | None:
    """Return why a spec may not be served outside of the configuration; None when it may."""
    if not isinstance(spec, GatewaySpec) or not _is_program(spec):
        return None

    entries = [entry for entry in allowed if _begins(spec.command, entry)]

    if not entries:
        return (
            f"The command {spec.command[:1][0]!r} with these arguments is not on the list "
            "mcp.stdio.allow of the configuration"
            if spec.command
            else "There is no command"
        )

    for entry in entries:
        reason = _beyond(spec, entry)

        if reason is None:
            return None

    return _beyond(spec, entries[0])


def _is_program(spec: RecordSpec) -> bool:
    return isinstance(spec, GatewaySpec) and (spec.transport == STDIO or bool(spec.command))


def _begins(command: Sequence[str], entry: AllowedProgram) -> bool:
    words = shlex.split(entry.command)
    return bool(words) and list(command[: len(words)]) == words


def _beyond(spec: GatewaySpec, entry: AllowedProgram) -> str | None:
    for name in (*spec.environment, *spec.environment_secrets):
        if name not in entry.env:
            # Variables decide what is executed: PATH, LD_PRELOAD, NODE_OPTIONS, …
            return f"mcp.stdio.allow does not let {entry.command!r} have the variable {name!r}"

    if spec.directory is not None and spec.directory not in entry.cwd:
        return f"mcp.stdio.allow does not let {entry.command!r} run in {spec.directory!r}"

    return None
