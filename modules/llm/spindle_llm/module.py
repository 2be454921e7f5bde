"""The LLM protocol module: its descriptor, its routes, its life."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio

from spindle_llm.chat.routes import chat_routes
from spindle_llm.embeddings.opening import open_cache
from spindle_llm.invocation import serve
from spindle_llm.providers.registry import adapters
from spindle_llm.routing.discovery import MODULE, ProviderWatch
from spindle_llm.routing.health import HealthBoard
from spindle_llm.routing.local_servers import LocalServers, local_places
from spindle_llm.routing.routes import RouteLog
from spindle_llm.routing.upstreams import Upstreams
from spindle_llm.runtime import Runtime, State
from spindle_llm.settings import SCHEMA, LlmSettings
from spindle_llm.surfaces.chat_completions import ChatCompletions
from spindle_llm.surfaces.documentation.lookup import documented
from spindle_llm.surfaces.embeddings import Embeddings
from spindle_llm.surfaces.messages.routes import message_routes
from spindle_llm.surfaces.models import Models
from spindle_llm.surfaces.provider_health import ProviderHealths
from spindle_llm.surfaces.responses.routes import Responses
from spindle_llm.surfaces.routes import route_records
from spindle_llm.surfaces.services import Services
from spindle_spi.descriptor import ModuleDescriptor, PluginParity
from spindle_spi.ingress import IngressPrefix, IngressRoute
from spindle_spi.module import Health, HealthState, Module, ModuleContext, Started
from spindle_spi.records import Kind
from spindle_spi.shapes import OPENAI

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.invocation import Invocation, ProgressSink, Result
    from spindle_spi.types import Json, JsonObject

_DESCRIPTOR = ModuleDescriptor(
    module_id=MODULE,
    protocol_family="llm",
    module_version="0.1.0",
    capabilities={
        "ingress": True,
        "request_streaming": False,
        "response_streaming": True,
        "session_state": True,
        "tool_invocation": True,
        "provider_relay": True,
        "plugin_parity": True,
        "replay": False,
        "task_state": False,
    },
    plugin_parity={
        "chat_completions": PluginParity.FULL,
        "responses": PluginParity.FULL,
        "llmchat": PluginParity.FULL,
        "llmchat_tools": PluginParity.DELEGATE,
    },
    config_section=MODULE,
    serves=(Kind.MODEL.value, Kind.TOOL.value),
)


class LlmModule(Module):
    """OpenAI-form surfaces over model providers."""

    def __init__(self) -> None:
        self._state = State()
        self._is_draining = False
        self._routes = tuple(map(documented, self._make_routes()))

    @property
    def descriptor(self) -> ModuleDescriptor:
        """Who this is."""
        return _DESCRIPTOR

    @property
    def config_schema(self) -> Mapping[str, Json]:
        """The section `llm` without `services`, which the core reads itself."""
        return SCHEMA

    @property
    def routes(self) -> Sequence[IngressRoute]:
        """The routes of all its surfaces."""
        return self._routes

    @property
    def prefixes(self) -> Sequence[IngressPrefix]:
        """Under /v1, what is unknown is answered in OpenAI's shape."""
        return (IngressPrefix(prefix="/v1", errors=OPENAI),)

    async def run(self, context: ModuleContext, started: Started) -> None:
        """Reach the providers until the host ends this task."""
        services, settings = context.services, LlmSettings.of(context.config)
        upstreams = Upstreams(services, adapters(), routing=settings.routing)
        runtime = Runtime(
            services=services,
            settings=settings,
            upstreams=upstreams,
            health=HealthBoard(upstreams, ttl=settings.routing.health_ttl_seconds),
            spawn=context.spawn,
            routes=RouteLog(most=settings.routing.records, seconds=settings.routing.record_seconds),
            embeddings=open_cache(settings.embeddings_cache, services.observability),
        )
        interval = settings.discovery_interval_seconds
        watch = ProviderWatch(services, upstreams, interval=interval)
        await watch.publish_built_in()
        self._state.set(runtime)
        started()
        places = local_places(adapters())
        local = LocalServers(services, upstreams, places, interval=interval)
        context.spawn("local servers", partial(local.run, wanted=settings.discover_local))

        try:
            await watch.run()
        finally:
            self._state.set(None)

            with anyio.CancelScope(shield=True):
                await runtime.embeddings.close()
                await upstreams.close()

    async def drain(self, deadline: float) -> None:
        """Say so; the host holds new calls back and waits for those in flight."""
        del deadline
        self._is_draining = True

    async def health(self) -> Health:
        """Tell how it is."""
        return Health(state=HealthState.DRAINING if self._is_draining else HealthState.READY)

    async def invoke(
        self,
        context: AuthenticatedContext,
        invocation: Invocation,
        progress: ProgressSink | None = None,
    ) -> Result:
        """Serve a call on a model, or on a model as a tool, from another protocol."""
        return await serve(self._state.runtime, context, invocation, progress)

    async def stats(self) -> JsonObject:
        """Return how many calls are in flight, by provider."""
        return {"in_flight": self._state.runtime.upstreams.in_flight()}

    def _make_routes(self) -> tuple[IngressRoute, ...]:
        chat = ChatCompletions(self._state)
        models = Models(self._state)
        embeddings = Embeddings(self._state)
        openai: list[IngressRoute] = []

        for prefix in ("/v1", ""):
            openai += [
                IngressRoute(
                    method="POST",
                    path=f"{prefix}/chat/completions",
                    permission="llm.invoke",
                    handler=chat,
                    errors=OPENAI,
                ),
                IngressRoute(
                    method="POST",
                    path=f"{prefix}/embeddings",
                    permission="llm.invoke",
                    handler=embeddings,
                    errors=OPENAI,
                ),
                IngressRoute(
                    method="GET",
                    path=f"{prefix}/models",
                    permission="llm.read",
                    handler=models.list,
                    errors=OPENAI,
                ),
                IngressRoute(
                    method="GET",
                    path=f"{prefix}/models/{{id:path}}",
                    permission="llm.read",
                    handler=models.get,
                    errors=OPENAI,
                ),
            ]

        return (
            *openai,
            *message_routes(self._state),
            *Services(self._state).routes(),
            *ProviderHealths(self._state).routes(),
            *Responses(self._state).routes(),
            *route_records(self._state),
            *chat_routes(self._state),
        )
