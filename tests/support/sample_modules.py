"""Modules that do one thing each, most of them wrong, and a way to have them installed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

from spindle_spi.descriptor import ModuleDescriptor
from spindle_spi.errors import InvalidArgument
from spindle_spi.ingress import PUBLIC, Call, IngressPrefix, IngressRoute
from spindle_spi.module import Health, HealthState, Module, ModuleContext, Started
from spindle_spi.shapes import OPENAI

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from spindle_spi.types import Json, Receive, Scope, Send

ROOT_MODULE = "tests.support.sample_modules"


def descriptor(module_id: str = "sample", **changes: object) -> ModuleDescriptor:
    """Return an honest descriptor with some fields changed."""
    fields: dict[str, object] = {
        "module_id": module_id,
        "protocol_family": "sample",
        "module_version": "1.0",
        "capabilities": {"ingress": True},
        **changes,
    }
    return ModuleDescriptor(**fields)  # type: ignore[arg-type]


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    """Send a whole answer."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Sample(Module):
    """Keeps every promise. Its routes show what ingress does around a handler."""

    module_id = "sample"

    @property
    def descriptor(self) -> ModuleDescriptor:
        return descriptor(self.module_id)

    @property
    def config_schema(self) -> Mapping[str, Json]:
        return {"type": "object", "properties": {"word": {"type": "string"}}}

    @property
    def prefixes(self) -> Sequence[IngressPrefix]:
        return (IngressPrefix(prefix="/sample", errors=OPENAI),)

    @property
    def routes(self) -> Sequence[IngressRoute]:
        def route(
            method: str, path: str, handler: object, *, permission: object = "llm.invoke"
        ) -> IngressRoute:
            return IngressRoute(
                method=method,
                path=path,
                permission=permission,  # type: ignore[arg-type]
                handler=handler,  # type: ignore[arg-type]
                errors=OPENAI,
            )

        return (
            route("GET", "/sample/word", self._say_word, permission=PUBLIC),
            route("POST", "/sample/length", self._say_length),
            route("GET", "/sample/stream", self._stream),
            route("GET", "/sample/fail", self._fail, permission=PUBLIC),
            route("POST", "/sample/break", self._break),
        )

    def __init__(self) -> None:
        self.word = "nothing"
        self.broken = anyio.Event()

    async def run(self, context: ModuleContext, started: Started) -> None:
        self.word = str(context.config.get("word", "nothing"))
        started()
        await self.broken.wait()
        raise InvalidArgument("broken on request")

    async def _say_word(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, call
        await answer(send, self.word.encode())

    async def _say_length(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, call
        length = 0
        has_more = True

        while has_more:
            message = await receive()
            length += len(message.get("body", b""))
            has_more = message.get("more_body", False)

        await answer(send, str(length).encode())

    async def _stream(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Send a line ten times a second until the client leaves."""
        del scope, call
        await send({"type": "http.response.start", "status": 200, "headers": []})

        async with anyio.create_task_group() as group:

            async def leave() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass

                group.cancel_scope.cancel()

            group.start_soon(leave)

            while True:
                await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
                await anyio.sleep(0.1)

    async def _fail(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, send, call
        raise RuntimeError("the secret of the handler")

    async def _break(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        del scope, receive, call
        await answer(send, b"breaking")
        self.broken.set()


class Quiet(Module):
    """No routes; does nothing but live. The base of what goes wrong below."""

    @property
    def descriptor(self) -> ModuleDescriptor:
        return descriptor("quiet", capabilities={})

    async def run(self, context: ModuleContext, started: Started) -> None:
        del context
        started()
        await anyio.sleep_forever()


class Liar(Quiet):
    """Says what is not so, three times over."""

    @property
    def descriptor(self) -> ModuleDescriptor:
        return descriptor(
            "other", capabilities={"ingress": True, "magic": True}, runtime_modes=("sidecar",)
        )


class Antique(Quiet):
    """Speaks an SPI nobody here speaks."""

    @property
    def descriptor(self) -> ModuleDescriptor:
        return descriptor("quiet", capabilities={}, spi_versions=("0.1",))


class Unbuildable(Quiet):
    """Cannot be built."""

    def __init__(self) -> None:
        raise RuntimeError("no hardware")


class Twin(Sample):
    """Brings a route that Sample has too."""

    module_id = "twin"

    @property
    def prefixes(self) -> Sequence[IngressPrefix]:
        return ()


class NeverReady(Quiet):
    """Hangs in initialisation."""

    async def run(self, context: ModuleContext, started: Started) -> None:
        del context, started
        await anyio.sleep_forever()


class Unyielding(Quiet):
    """Hangs in initialisation and resists its cancellation."""

    async def run(self, context: ModuleContext, started: Started) -> None:
        del context, started

        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()


class Blocking(Quiet):
    """Blocks the whole event loop in initialisation."""

    async def run(self, context: ModuleContext, started: Started) -> None:
        del context, started

        while True:
            time.sleep(1)  # noqa: ASYNC251 - that is its fault


class EarlyLeaver(Quiet):
    """Returns as if its work were done."""

    async def run(self, context: ModuleContext, started: Started) -> None:
        del context, started


class BadStarter(Quiet):
    """Fails in initialisation."""

    async def run(self, context: ModuleContext, started: Started) -> None:
        del context, started
        raise OSError("the disk is gone")


class SlowDrainer(Quiet):
    """Never finishes draining."""

    async def drain(self, deadline: float) -> None:
        del deadline
        await anyio.sleep_forever()


class Stayer(Quiet):
    """Does not shut down."""

    async def run(self, context: ModuleContext, started: Started) -> None:
        del context
        started()

        with anyio.CancelScope(shield=True):
            await anyio.sleep_forever()


class Degraded(Quiet):
    """Works, but not as well as it should."""

    async def health(self) -> Health:
        return Health(state=HealthState.DEGRADED, message="an upstream is away")


def install(folder: Path, **classes: type[Module] | str) -> dict[str, str]:
    """Install classes as modules of a distribution `samples 1.2`; return the environment for it."""
    info = folder / "samples-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: samples\nVersion: 1.2\n")
    lines = [
        f"{name} = {kind if isinstance(kind, str) else f'{ROOT_MODULE}:{kind.__name__}'}"
        for name, kind in classes.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(["[spindle.modules]", *lines, ""]))
    return {"PYTHONPATH": str(folder)}
