"""Checks a module's promises before it may start; every fault is reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

from spindle_spi.descriptor import CAPABILITIES, ModuleDescriptor
from spindle_spi.ingress import AnyCaller, IngressRoute, Public
from spindle_spi.module import Module
from spindle_spi.records import Kind

_ID = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PARAMETER = re.compile(r"\{([a-z_][a-z0-9_]*)(:path)?\}")
_RUNTIME_MODES = frozenset({"embedded", "sidecar"})
_INGRESS_MODES = frozenset({"core-routed", "direct"})
_KINDS = frozenset(kind.value for kind in Kind)
_VERSION = re.compile(r"\d+\.\d+")
_PERMISSION = re.compile(r"[a-z_]+\.[a-z_]+|admin\.\*|\*")


def faults_in(module: Module) -> list[str]:
    """Return what is wrong with a module, one sentence each; empty when it may start."""
    return [
        *_descriptor_faults(module.descriptor),
        *(fault for route in module.routes for fault in _route_faults(route)),
        *(
            f"prefix {entry.prefix}: the path must start with '/'"
            for entry in module.prefixes
            if not entry.prefix.startswith("/")
        ),
        *_honesty_faults(module),
    ]


def _descriptor_faults(descriptor: ModuleDescriptor) -> Iterator[str]:
    if not _ID.fullmatch(descriptor.module_id):
        yield f"moduleId {descriptor.module_id!r} is not a lower-case name"

    for name, value in (
        ("protocolFamily", descriptor.protocol_family),
        ("moduleVersion", descriptor.module_version),
        ("implementationLanguage", descriptor.implementation_language),
        ("spiVersions", descriptor.spi_versions),
        ("runtimeModes", descriptor.runtime_modes),
        ("ingressModes", descriptor.ingress_modes),
    ):
        if not value:
            yield f"{name} is empty"

    for version in descriptor.spi_versions:
        if not _VERSION.fullmatch(version):
            yield f"spiVersions has the malformed version {version!r}"

    for name, given, known in (
        ("runtimeModes", descriptor.runtime_modes, _RUNTIME_MODES),
        ("ingressModes", descriptor.ingress_modes, _INGRESS_MODES),
        ("capabilities", descriptor.capabilities, CAPABILITIES),
        ("serves", descriptor.serves, _KINDS),
    ):
        for entry in sorted(set(given) - known):
            yield f"{name} names the unknown {entry!r}"


def _route_faults(route: IngressRoute) -> Iterator[str]:
    where = f"route {route.method} {route.path}"

    if route.method not in _METHODS:
        yield f"{where}: unknown method"

    if not route.path.startswith("/"):
        yield f"{where}: the path must start with '/'"

    rest = _PARAMETER.sub("", route.path)

    if "{" in rest or "}" in rest:
        yield f"{where}: a parameter is written {{name}} or {{name:path}}"

    named = [match.group(1) for match in _PARAMETER.finditer(route.path)]

    if len(named) != len(set(named)):
        yield f"{where}: a parameter is named twice"

    if route.server_param is not None and route.server_param not in named:
        yield f"{where}: server_param {route.server_param!r} is not in the path"

    permission = route.permission

    if not isinstance(permission, Public | AnyCaller) and not _PERMISSION.fullmatch(permission):
        yield f"{where}: permission {permission!r} is neither PUBLIC, ANY_CALLER nor family.action"


def _honesty_faults(module: Module) -> Iterator[str]:
    descriptor = module.descriptor
    overrides_invoke = type(module).invoke is not Module.invoke
    overrides_perform = type(module).perform is not Module.perform

    if descriptor.serves and not overrides_invoke:
        yield "serves names kinds, but invoke is not implemented"

    if overrides_invoke and not descriptor.serves:
        yield "invoke is implemented, but serves names no kind"

    if module.actions and not overrides_perform:
        yield "actions are declared, but perform is not implemented"

    if descriptor.capabilities.get("ingress", False) and not module.routes:
        yield "capability ingress is declared, but there are no routes"

    if module.routes and not descriptor.capabilities.get("ingress", False):
        yield "routes are given, but capability ingress is not declared"
