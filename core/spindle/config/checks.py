"""Checks across the configuration: what single keys cannot tell. Faults, and warnings."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from spindle.config.catalog import GatewayEntry, ModelEntry, Owned, ServerEntry, ServiceEntry
from spindle.config.document import Document
from spindle.config.faults import Fault, Path, render_path, suggest
from spindle.config.federation import auth_faults, policy_faults, policy_warnings
from spindle.config.gateway_auth import gateway_auth_faults
from spindle.config.model_tools import model_tool_faults
from spindle.config.names import NAME, PREFIX, SLUG, TOOL, NameRule, tool_beginning
from spindle.config.openapi import TRANSPORT, openapi_faults
from spindle.config.programs import transport_faults
from spindle.config.records import (
    BUILTIN_GATEWAY,
    BUILTIN_SERVICE,
    gateway_auth,
    gateways_of,
    provider_type_of,
    services_of,
)
from spindle_spi.gateway_auth import AUTHORIZATION_CODE
from spindle_spi.records import Visibility
from spindle_spi.types import Json, JsonObject

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EVERYWHERE = frozenset({"0.0.0.0", "::"})


@dataclass(frozen=True, slots=True)
class _Known:
    """Names that exist, also those of entries too faulty to be in the document."""

    services: Collection[str]
    gateways: Collection[str]
    prefixes: Collection[str]
    """What names of gateways' tools begin with."""
    toolsets: Collection[str]
    aliases: Collection[str]
    model_tools: Collection[str]


def cross_faults(document: Document, data: JsonObject) -> list[Fault]:
    """Return what is wrong between the parts of a configuration."""
    known = _known(document, data)
    return [
        *_service_faults(document, known),
        *_alias_faults(document),
        *_gateway_faults(document),
        *_server_faults(document, known),
        *_model_tool_faults(document, known),
        *_toolset_faults(document, known),
        *_plugin_faults(document),
        *_module_faults(document),
        *_lockout_faults(document, data),
        *auth_faults(document.auth),
        *policy_faults(document.policy, document.environment),
    ]


def warnings_of(document: Document) -> list[Fault]:
    """Return what is allowed but should be known to the operator."""
    found = [
        Fault(
            path=("llm", "services", name, "api_key"),
            problem="a key in the configuration; name an environment variable or a file instead",
        )
        for name, service in services_of(document).items()
        if service.api_key is not None
    ]

    for slug, server in document.servers.items():
        path = ("servers", slug, "anonymous")

        if server.anonymous and document.environment == "production":
            found.append(Fault(path=path, problem="anybody may use this server without a token"))

        if server.anonymous and server.visibility not in (None, Visibility.PUBLIC):
            problem = "without effect, only a public server is seen without a token"
            found.append(Fault(path=path, problem=problem))

    hosts = document.server.allowed_hosts

    if (
        document.server.host in _EVERYWHERE
        and "allowed_hosts" not in document.server.model_fields_set
    ):
        problem = f"other machines are refused until their name for this one is added to {hosts}"
        found.append(Fault(path=("server", "allowed_hosts"), problem=problem))

    found.extend(policy_warnings(document.policy))

    return found


def _known(document: Document, data: JsonObject) -> _Known:
    services, gateways = services_of(document), gateways_of(document)
    return _Known(
        services={*services, *_names(data, "llm", "services", BUILTIN_SERVICE)},
        gateways={*gateways, *_names(data, "mcp", "gateways", BUILTIN_GATEWAY)},
        prefixes={each.prefix or name for name, each in gateways.items()},
        toolsets={*document.toolsets, *_keys(data.get("toolsets"))},
        aliases={a for s in services.values() for model in s.models for a in model.aliases},
        model_tools={*document.model_tools, *_keys(data.get("model_tools"))},
    )


def _names(data: JsonObject, section: str, key: str, builtin: str) -> Collection[str]:
    given = data.get(section)
    entries = given.get(key) if isinstance(given, dict) else None
    return (builtin,) if entries is None else _keys(entries)


def _keys(value: Json | None) -> Collection[str]:
    return value.keys() if isinstance(value, dict) else ()


def _service_faults(document: Document, known: _Known) -> Iterator[Fault]:
    for name, service in services_of(document).items():
        path: Path = ("llm", "services", name)
        yield from _name_faults(path, name, NAME)
        yield from owner_faults(path, service)
        yield from _variable_faults((*path, "api_key_env_var"), service.api_key_env_var)

        yield from address_faults(path, provider_type_of(name, service), service.urls)

        yield from _chain_faults(path, name, service, known)
        yield from _model_faults(path, name, service, known)


def _chain_faults(path: Path, name: str, service: ServiceEntry, known: _Known) -> Iterator[Fault]:
    for number, other in enumerate(service.fallbacks):
        inner = (*path, "fallbacks", number)

        if other == name:
            yield Fault(path=inner, problem="the service itself", expected="another service")
        elif other not in known.services:
            yield _unknown(inner, "service", other, known.services)


def _model_faults(
    path: Path, provider: str, service: ServiceEntry, known: _Known
) -> Iterator[Fault]:
    seen: dict[str, int] = {}

    for index, model in enumerate(service.models):
        where = (*path, "models", index)
        first = seen.setdefault(model.name, index)

        if first != index:
            problem = f"a second model {model.name!r}, the first is models[{first}]"
            yield Fault(path=(*where, "name"), problem=problem, expected="one record per name")

        yield from owner_faults(where, _seen_through(model, service))

        for number, fallback in enumerate(model.fallbacks):
            inner = (*where, "fallbacks", number)

            if fallback == f"{provider}~{model.name}":
                yield Fault(path=inner, problem="the model itself", expected="another model")
            else:
                yield from _model_reference_faults(inner, fallback, known)


def _seen_through(model: ModelEntry, service: ServiceEntry) -> Owned:
    return Owned(
        visibility=model.visibility or service.visibility,
        team=model.team or service.team,
        owner=model.owner or service.owner,
    )


def _alias_faults(document: Document) -> Iterator[Fault]:
    owners: dict[str, str] = {}

    for provider, service in services_of(document).items():
        for index, model in enumerate(service.models):
            unified = f"{provider}~{model.name}"

            for number, alias in enumerate(model.aliases):
                other = owners.setdefault(alias, unified)
                path = ("llm", "services", provider, "models", index, "aliases", number)

                if other != unified:
                    yield Fault(path=path, problem=f"{alias!r} is already an alias of {other!r}")

                if "~" in alias:
                    problem = f"{alias!r} looks like a unified name"
                    yield Fault(path=path, problem=problem, expected="a name without '~'")


def _gateway_faults(document: Document) -> Iterator[Fault]:
    gateways = gateways_of(document)
    owners = {name: name for name in gateways}

    for name, gateway in gateways.items():
        path: Path = ("mcp", "gateways", name)
        yield from _name_faults(path, name, NAME)

        if gateway.prefix is not None:
            yield from _prefix_faults((*path, "prefix"), gateway.prefix, name, owners)

        yield from owner_faults(path, gateway)
        yield from _variable_faults((*path, "credential_env_var"), gateway.credential_env_var)
        yield from transport_faults(path, gateway)
        yield from _auth_faults(path, name, gateway, document)

        if gateway.transport == "stdio" and (
            gateway.credential_env_var is not None or gateway.credential_file is not None
        ):
            key = "credential_env_var" if gateway.credential_env_var else "credential_file"
            problem = "nothing is sent along with the messages to a program"
            yield Fault(path=(*path, key), problem=problem, expected="a secret in env")

        if gateway.transport == TRANSPORT:
            yield from openapi_faults(path, gateway.options, gateway.url, is_configured=True)

        for tool, entry in gateway.tools.items():
            team = entry.team or gateway.team
            seen = Owned(visibility=entry.visibility, team=team, owner=entry.owner)
            yield from owner_faults((*path, "tools", tool), seen)


def _prefix_faults(path: Path, prefix: str, name: str, owners: dict[str, str]) -> Iterator[Fault]:
    yield from _name_faults(path, prefix, PREFIX)
    other = owners.setdefault(prefix, name)

    if other != name:
        yield Fault(
            path=path,
            problem=f"{prefix!r} is already what names of the gateway {other!r} begin with",
            expected="a prefix that is no other gateway's prefix or name",
        )


def _auth_faults(
    path: Path, name: str, gateway: GatewayEntry, document: Document
) -> Iterator[Fault]:
    auth = gateway_auth(name, gateway)

    if gateway.auth is None or auth is None:
        return

    inner = (*path, "auth")

    for key, variable, file in gateway.auth.places():
        first, *rest = key
        is_header = bool(rest)
        named = (*inner, *key, "env_var") if is_header else (*inner, f"{first}_env_var")
        yield from _variable_faults(named, variable)

        if is_header and variable is None and file is None:
            yield Fault(path=(*inner, *key), problem="says no place", expected="env_var or file")

    has_credential = (gateway.credential_env_var or gateway.credential_file) is not None
    yield from gateway_auth_faults(
        inner, auth, transport=gateway.transport, has_credential=has_credential
    )

    if auth.type == AUTHORIZATION_CODE and document.server.public_url is None:
        yield Fault(
            path=("server", "public_url"),
            problem=f"is missing, and people come back to it from {render_path(inner)}",
            expected="https://HOST[:PORT]",
        )


def _server_faults(document: Document, known: _Known) -> Iterator[Fault]:
    names: dict[str, str] = {slug: slug for slug in document.servers}

    for slug, server in document.servers.items():
        path: Path = ("servers", slug)
        yield from _name_faults(path, slug, SLUG)
        yield from owner_faults(path, server)
        yield from _member_faults(path, server, known)
        owner = names.setdefault(server.name or slug, slug)

        if owner != slug:
            problem = f"the server {owner!r} has this name"
            yield Fault(path=(*path, "name"), problem=problem, expected="one record per name")


def _member_faults(path: Path, server: ServerEntry, known: _Known) -> Iterator[Fault]:
    for index, name in enumerate(server.gateways):
        if name not in known.gateways:
            yield _unknown((*path, "gateways", index), "gateway", name, known.gateways)

    for index, name in enumerate(server.models):
        yield from _model_reference_faults((*path, "models", index), name, known)

    yield from _tool_reference_faults((*path, "tools"), server.tools, known)

    for index, name in enumerate(server.toolsets):
        if name not in known.toolsets:
            yield _unknown((*path, "toolsets", index), "toolset", name, known.toolsets)

    if server.prefix_free and len(server.gateways) != 1:
        yield Fault(
            path=(*path, "prefix_free"),
            problem=f"needs names of one upstream, this server has {len(server.gateways)} gateways",
            expected="exactly one gateway",
        )


def _tool_reference_faults(path: Path, tools: Sequence[str], known: _Known) -> Iterator[Fault]:
    prefixes = tuple(map(tool_beginning, (*known.gateways, *known.prefixes)))

    for index, name in enumerate(tools):
        # What an upstream offers is known only when it is connected; whose it would be is known.
        if name not in known.model_tools and not name.startswith(prefixes):
            offered = {*known.model_tools, *(f"{prefix}__…" for prefix in known.prefixes)}
            yield _unknown((*path, index), "tool", name, offered)


def _toolset_faults(document: Document, known: _Known) -> Iterator[Fault]:
    for name, toolset in document.toolsets.items():
        path: Path = ("toolsets", name)
        yield from _name_faults(path, name, NAME)
        yield from owner_faults(path, toolset)
        yield from _tool_reference_faults((*path, "tools"), toolset.tools, known)


def _model_tool_faults(document: Document, known: _Known) -> Iterator[Fault]:
    for name, tool in document.model_tools.items():
        path: Path = ("model_tools", name)
        yield from _name_faults(path, name, TOOL)
        yield from owner_faults(path, tool)
        yield from _model_reference_faults((*path, "model"), tool.model, known)
        yield from model_tool_faults(path, tool)


def _plugin_faults(document: Document) -> Iterator[Fault]:
    seen: dict[str, int] = {}

    for index, entry in enumerate(document.plugins.entries):
        first = seen.setdefault(entry.name, index)

        if first != index:
            yield Fault(
                path=("plugins", "entries", index, "name"),
                problem=f"a second plugin {entry.name!r}, the first is entries[{first}]",
                expected="one entry per name",
            )


def _module_faults(document: Document) -> Iterator[Fault]:
    both = set(document.modules.enabled or ()) & set(document.modules.disabled)

    for name in sorted(both):
        yield Fault(path=("modules",), problem=f"{name!r} is both enabled and disabled")


def _lockout_faults(document: Document, data: JsonObject) -> Iterator[Fault]:
    """Refuse what would let nobody in, not even those who could mend it."""
    server = data.get("server")
    said = server.get("allowed_hosts") if isinstance(server, dict) else None

    # Entries that are faulty themselves have been taken out: that is another fault.
    if not document.server.allowed_hosts and not said:
        yield Fault(
            path=("server", "allowed_hosts"),
            problem="is empty, so every request would be refused",
            expected="the names this server is reached by, or *",
        )


def _model_reference_faults(path: Path, name: str, known: _Known) -> Iterator[Fault]:
    provider, separator, _ = name.partition("~")

    if not separator:
        if name not in known.aliases:
            yield _unknown(path, "model", name, known.aliases, "provider~model or a declared alias")
    elif provider not in known.services:
        yield _unknown(path, "provider", provider, known.services)


def _unknown(path: Path, kind: str, name: str, known: Collection[str], expected: str = "") -> Fault:
    return Fault(
        path=path,
        problem=f"unknown {kind} {name!r}{suggest(name, known)}",
        expected=expected or f"one of {', '.join(sorted(known)) or 'none, there are none'}",
    )


def _name_faults(path: Path, name: str, rule: NameRule) -> Iterator[Fault]:
    if not rule.admits(name):
        yield Fault(path=path, problem=f"{name!r} is not a name", expected=rule.words)


def _variable_faults(path: Path, name: str | None) -> Iterator[Fault]:
    if name is not None and not _VARIABLE.fullmatch(name):
        # It may well be the secret itself: do not show it.
        yield Fault(path=path, problem="is not the name of an environment variable")


def address_faults(path: Path, provider_type: str, urls: Collection[str]) -> Iterator[Fault]:
    """Return what is wrong between a provider's type and its addresses."""
    if not urls and provider_type != "mock":
        yield Fault(path=(*path, "urls"), problem="is missing", expected="at least one URL")


def owner_faults(path: Path, entry: Owned) -> Iterator[Fault]:
    """Return what is wrong between who sees a record and whose it is."""
    if entry.visibility is Visibility.TEAM and entry.team is None:
        yield Fault(
            path=(*path, "visibility"),
            problem="'team', but there is no team",
            expected="a team beside it",
        )
