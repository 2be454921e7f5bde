"""A module's promises are checked at load: each fault is found, and all are told at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spindle_spi.descriptor import ModuleDescriptor
from spindle_spi.ingress import PUBLIC, Call, IngressPrefix, IngressRoute
from spindle_spi.invocation import Complete, Invocation, ProgressSink, Result
from spindle_spi.module import ActionSpec, Module, ModuleContext, Started
from spindle_spi.shapes import ENVELOPE
from spindle_spi.verification import faults_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import JsonObject, Receive, Scope, Send

HONEST = ModuleDescriptor(module_id="acme", protocol_family="a2a", module_version="1.0")
SERVING = replace(HONEST, capabilities={"ingress": True})


async def answer(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
    raise NotImplementedError


def route_of(**changed: Any) -> IngressRoute:
    route = IngressRoute(
        method="GET", path="/a/{id}", permission="agents.read", handler=answer, server_param=None
    )
    return replace(route, **changed)


class Claiming(Module):
    """Says of itself what it is told to say."""

    def __init__(
        self,
        descriptor: ModuleDescriptor = HONEST,
        *,
        routes: Sequence[IngressRoute] = (),
        prefixes: Sequence[IngressPrefix] = (),
        actions: Sequence[ActionSpec] = (),
    ) -> None:
        self._descriptor = descriptor
        self._routes = routes
        self._prefixes = prefixes
        self._actions = actions

    @property
    def descriptor(self) -> ModuleDescriptor:
        return self._descriptor

    @property
    def routes(self) -> Sequence[IngressRoute]:
        return self._routes

    @property
    def prefixes(self) -> Sequence[IngressPrefix]:
        return self._prefixes

    @property
    def actions(self) -> Sequence[ActionSpec]:
        return self._actions

    async def run(self, context: ModuleContext, started: Started) -> None:
        raise NotImplementedError


class Able(Claiming):
    """Serves calls and performs actions."""

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        return Complete(payload={})

    async def perform(
        self,
        context: AuthenticatedContext,
        action: str,
        parameters: JsonObject,
        progress: ProgressSink,
    ) -> JsonObject:
        return {}


CLEAN = ActionSpec(name="clean", entity="model")


@pytest.mark.parametrize(
    "module",
    [
        Claiming(),
        Claiming(SERVING, routes=[route_of(), route_of(permission=PUBLIC)]),
        Claiming(SERVING, routes=[route_of(path="/a/{id}/{rest:path}", server_param="id")]),
        Claiming(SERVING, routes=[route_of(permission="admin.*"), route_of(permission="*")]),
        Claiming(prefixes=[IngressPrefix(prefix="/a", errors=ENVELOPE)]),
        Able(replace(HONEST, serves=("tool",)), actions=[CLEAN]),
    ],
)
def test_an_honest_module_has_no_faults(module: Module) -> None:
    """It may start."""
    assert faults_in(module) == []


@pytest.mark.parametrize(
    ("module", "fault"),
    [
        (Claiming(replace(HONEST, module_id="A c")), "moduleId 'A c' is not a lower-case name"),
        (Claiming(replace(HONEST, protocol_family="")), "protocolFamily is empty"),
        (Claiming(replace(HONEST, module_version="")), "moduleVersion is empty"),
        (Claiming(replace(HONEST, implementation_language="")), "implementationLanguage is empty"),
        (Claiming(replace(HONEST, spi_versions=())), "spiVersions is empty"),
        (
            Claiming(replace(HONEST, spi_versions=("1.0", "one"))),
            "spiVersions has the malformed version 'one'",
        ),
        (Claiming(replace(HONEST, runtime_modes=())), "runtimeModes is empty"),
        (
            Claiming(replace(HONEST, runtime_modes=("embedded", "thread"))),
            "runtimeModes names the unknown 'thread'",
        ),
        (Claiming(replace(HONEST, ingress_modes=())), "ingressModes is empty"),
        (
            Claiming(replace(HONEST, ingress_modes=("sideways",))),
            "ingressModes names the unknown 'sideways'",
        ),
        (
            Claiming(replace(HONEST, capabilities={"telepathy": False})),
            "capabilities names the unknown 'telepathy'",
        ),
        (Able(replace(HONEST, serves=("tool", "sock"))), "serves names the unknown 'sock'"),
        (
            Claiming(SERVING, routes=[route_of(method="get")]),
            "route get /a/{id}: unknown method",
        ),
        (
            Claiming(SERVING, routes=[route_of(path="a")]),
            "route GET a: the path must start with '/'",
        ),
        (
            Claiming(SERVING, routes=[route_of(path="/{Id}")]),
            "route GET /{Id}: a parameter is written {name} or {name:path}",
        ),
        (
            Claiming(SERVING, routes=[route_of(path="/{id}/{id}")]),
            "route GET /{id}/{id}: a parameter is named twice",
        ),
        (
            Claiming(SERVING, routes=[route_of(server_param="slug")]),
            "route GET /a/{id}: server_param 'slug' is not in the path",
        ),
        (
            Claiming(SERVING, routes=[route_of(permission="")]),
            "route GET /a/{id}: permission '' is neither PUBLIC, ANY_CALLER nor family.action",
        ),
        (
            Claiming(prefixes=[IngressPrefix(prefix="a", errors=ENVELOPE)]),
            "prefix a: the path must start with '/'",
        ),
        (
            Claiming(replace(HONEST, serves=("tool",))),
            "serves names kinds, but invoke is not implemented",
        ),
        (Able(HONEST), "invoke is implemented, but serves names no kind"),
        (Claiming(actions=[CLEAN]), "actions are declared, but perform is not implemented"),
        (Claiming(SERVING), "capability ingress is declared, but there are no routes"),
        (
            Claiming(routes=[route_of()]),
            "routes are given, but capability ingress is not declared",
        ),
    ],
)
def test_each_fault_is_told_in_one_sentence(module: Module, fault: str) -> None:
    """It, and nothing else."""
    assert faults_in(module) == [fault]


def test_all_faults_are_told_at_once() -> None:
    """Whoever wrote the module mends them in one go."""
    module = Claiming(
        replace(HONEST, module_id="", serves=("sock",)), routes=[route_of(method="get", path="a")]
    )
    assert len(faults_in(module)) == 6
