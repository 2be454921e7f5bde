"""A whole gateway from its configuration: settings, modules, core, host and server in one run.

The commands use it; nothing here prints.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
import structlog

from spindle.administrator import Administrator, ensure_administrator
from spindle.config import Settings, load_settings
from spindle.config.auth import session_cookie
from spindle.config.deployment import deployment_of
from spindle.core import Core
from spindle.home import RUNNING_FILE, find_running
from spindle.host import Host, HostOptions
from spindle.ingress.app import IngressSettings
from spindle.ingress.bounds import Bounds, Doorkeeper
from spindle.ingress.challenges import Advertised
from spindle.ingress.core_routes import core_inventory
from spindle.ingress.proxies import TrustedProxies
from spindle.lifecycle import Timings
from spindle.loader import Discovery, LoadedModule, discover
from spindle.reload import Part, Put
from spindle.server import run_host, watch_hangups
from spindle.snapshot import Snapshot
from spindle.telemetry.logs import configure_logging
from spindle.watchdog import watchdog
from spindle_spi.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from spindle.config import ServerSettings
    from spindle.home import Sources
    from spindle.server import Listener, Stop

_LOG = structlog.get_logger("spindle.gateway")

_IMPORT_SECONDS = 60.0
"""How long the code of all modules may take to import."""

_SERVER_KEYS: Final = (
    *("body_limit_bytes", "allowed_hosts", "allowed_origins"),
    *("max_request_line_bytes", "max_header_bytes", "max_headers"),
    *("header_timeout_seconds", "body_timeout_seconds"),
    *("max_connections", "max_connections_per_address", "trusted_proxies", "proxy_header"),
)
"""What of `server` can change while it serves; of connections, for the next ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A configuration that holds, and the modules that shall run under it."""

    settings: Settings
    modules: tuple[LoadedModule, ...]
    discovery: Discovery
    load: Callable[[], Settings]
    """Reads the configuration again; raises as `make_plan` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A gateway that accepts requests."""

    url: str
    administrator: Administrator
    snapshot: Snapshot


def make_plan(sources: Sources) -> Plan:
    """Load modules and settings and check everything that can be checked before a start.

    Raises:
        ConfigError: The configuration is wrong; carries every fault.
        ModulesRejected: Some modules must not start; carries every fault.
    """
    loading = "none"

    if not structlog.is_configured():
        # Until logging is set up by the settings; standard output may carry a protocol.
        structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))

    def remember(name: str) -> None:
        nonlocal loading
        loading = name

    with watchdog(
        _IMPORT_SECONDS,
        lambda: f"module {loading}: did not load within {_IMPORT_SECONDS:g} seconds (phase import)",
    ):
        discovery = discover(on_load=remember)

    def load() -> Settings:
        return load_settings(
            sources.config,
            home=sources.home,
            environ=sources.environ,
            overrides=sources.overrides,
            schemas=discovery.schemas,
        )

    settings = load()
    modules = discovery.select(
        enabled=settings.modules.enabled,
        disabled=settings.modules.disabled,
        core=core_inventory(),
    )
    return Plan(settings=settings, modules=modules, discovery=discovery, load=load)


async def run_gateway(
    plan: Plan, listener: Listener, stop: Stop, announce: Callable[[Running], None]
) -> None:
    """Run until `stop`; `announce` is called when requests are accepted.

    Raises:
        ConfigError: The store cannot be used, or a plugin cannot be built.
        StartFailed: Some modules did not become ready.
        PortTaken: Somebody else listens at the address by now.
    """
    for warning in plan.settings.warnings:
        _LOG.warning(warning)

    try:
        await _run(plan, listener, stop, announce)
    finally:
        listener.close()

        if find_running(plan.settings.home) == listener.url:
            (plan.settings.home / RUNNING_FILE).unlink(missing_ok=True)


async def _run(
    plan: Plan, listener: Listener, stop: Stop, announce: Callable[[Running], None]
) -> None:
    home = plan.settings.home
    core = await Core.open(plan.settings)

    try:
        administrator = await ensure_administrator(core.store, home)
        await core.snapshots.refresh()
        core.metrics.watch("spindle_permits_open", lambda: float(core.admission.has_open()))
        core.metrics.watch("spindle_tasks", lambda: float(len(anyio.get_running_tasks())))
        host = Host(core, plan.modules, host_options(plan.settings))
        core.reloader.load = plan.load
        core.reloader.parts += _serving_parts(host)
    except BaseException:
        # From here on the host closes it.
        await core.close()
        raise

    def announce_running() -> None:
        said = json.dumps({"url": listener.url, "pid": os.getpid()})
        (home / RUNNING_FILE).write_text(said)
        announce(
            Running(url=listener.url, administrator=administrator, snapshot=core.snapshots.current)
        )

    async with anyio.create_task_group() as group:
        group.start_soon(watch_hangups, core.reloader.try_reload)
        await run_host(host, listener, stop, announce_running)
        group.cancel_scope.cancel()


def _serving_parts(host: Host) -> list[Part]:
    """Return what of the sections `server` and `logging` can change while it serves."""

    def serve(settings: Settings) -> Put:
        options = host_options(settings)

        def put() -> None:
            host.ingress.configure(options.ingress)
            host.options.door.bounds = options.door.bounds

        return put

    def write_logs(settings: Settings) -> Put:
        main = settings.logging.main

        if main.file is not None:
            check_log_file(settings.home / main.file)

        return lambda: configure_logging(main, home=settings.home)

    return [
        Part(frozenset(f"server.{key}" for key in _SERVER_KEYS), serve),
        Part(frozenset({"logging"}), write_logs),
    ]


def host_options(settings: Settings) -> HostOptions:
    """Return what the host needs of the settings."""
    server = settings.server
    return HostOptions(
        ingress=IngressSettings(
            body_limit=server.body_limit_bytes,
            allowed_hosts=tuple(server.allowed_hosts),
            allowed_origins=tuple(server.allowed_origins),
            session_cookie=session_cookie(settings.auth),
            advertised=advertised_of(settings),
        ),
        section=settings.section,
        environment=settings.environment,
        is_loopback=settings.spi.transport == "loopback",
        metrics_on_loopback=server.metrics_on_loopback,
        drain_seconds=server.drain_seconds,
        keep_alive_seconds=server.keep_alive_seconds,
        door=Doorkeeper(bounds_of(server)),
        timings=Timings(start_seconds=server.start_seconds),
    )


def advertised_of(settings: Settings) -> Advertised | None:
    """Return what refused clients are told; None where nobody vouches for them."""
    deployment = deployment_of(settings)

    if not deployment.identity_providers:
        return None

    return Advertised(public_url=deployment.public_url, scopes=deployment.scopes)


def check_log_file(path: Path) -> None:
    """Refuse a log file that cannot be written.

    Raises:
        ConfigError: It cannot.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    except OSError as exc:
        raise ConfigError([f"logging.main.file: {path} cannot be written: {exc}"]) from exc


def bounds_of(server: ServerSettings) -> Bounds:
    """Return what connections are bounded by."""
    proxies = server.trusted_proxies
    return Bounds(
        request_line_bytes=server.max_request_line_bytes,
        header_bytes=server.max_header_bytes,
        header_count=server.max_headers,
        header_seconds=server.header_timeout_seconds,
        body_seconds=server.body_timeout_seconds,
        max_connections=server.max_connections,
        max_connections_per_address=server.max_connections_per_address,
        proxies=TrustedProxies(proxies, server.proxy_header) if proxies else None,
    )
