"""Plugins over everything that passes while a call runs, in both directions.

What comes from the client's side is judged as arguments, what comes from the upstream's as result
text: a question is something the upstream says, the answer something the user gives it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spindle_mcp.surface.dialogue.peers import WrappedPeer
from spindle_spi.errors import PluginDenied
from spindle_spi.invocation import Progress
from spindle_spi.payloads import (
    lift_arguments,
    lift_contents,
    lift_document,
    lift_tool_result,
    write_back,
)
from spindle_spi.plugin import HookPhase, Segment, phases_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_mcp.surface.walks.request import GovernedRequest
    from spindle_mcp.upstream.connections.base import Peer
    from spindle_spi.admission import Permit
    from spindle_spi.ingress import Call
    from spindle_spi.services import Services
    from spindle_spi.types import Json, JsonObject

_SAMPLING: Final = "sampling/createMessage"


class Judge:
    """The plugins of one permit."""

    def __init__(self, services: Services, call: Call, permit: Permit) -> None:
        self._services = services
        self._context = call.context
        self._permit = permit
        self._before, self._after = phases_of(permit.record.kind) or (
            HookPhase.PRE_INVOKE,
            HookPhase.POST_INVOKE,
        )
        self.judges_requests = bool(permit.hooks.request)
        self.judges_answers = bool(permit.hooks.answer)

    async def arguments(self, arguments: JsonObject) -> JsonObject:
        """Return a call's arguments as plugins leave them.

        Raises:
            PluginDenied: A plugin refused them.
        """
        if not self.judges_requests:
            return arguments

        document = lift_document(self._permit.hooks, arguments, "arguments")
        return await self._run(self._before, arguments, (*lift_arguments(arguments), *document))

    async def result(self, result: JsonObject) -> JsonObject:
        """Return a call's result as plugins leave it.

        Raises:
            PluginDenied: A plugin refused it.
        """
        if not self.judges_answers:
            return result

        document = lift_document(self._permit.hooks, result, "result")
        return await self._run(self._after, result, (*lift_tool_result(result), *document))

    async def payload(self, payload: JsonObject) -> JsonObject:
        """Return what is said to read or render something as plugins leave it.

        Raises:
            PluginDenied: A plugin refused it.
        """
        if not self.judges_requests:
            return payload

        return await self._run(self._before, payload, lift_arguments(payload))

    async def contents(self, contents: JsonObject) -> JsonObject:
        """Return contents of a resource, or messages of a prompt, as plugins leave them.

        Raises:
            PluginDenied: A plugin refused them.
        """
        if not self.judges_answers:
            return contents

        return await self._run(self._after, contents, lift_contents(contents))

    async def reply(self, reply: JsonObject) -> JsonObject:
        """Return what the client answered as plugins leave it.

        Raises:
            PluginDenied: A plugin refused it.
        """
        if not self.judges_requests:
            return reply

        return await self._run(self._before, reply, lift_arguments(reply))

    async def said(self, said: JsonObject) -> JsonObject:
        """Return what the upstream says meanwhile as plugins leave it.

        Raises:
            PluginDenied: A plugin refused it.
        """
        if not self.judges_answers:
            return said

        payload: JsonObject = {"structuredContent": said}
        judged = await self._run(self._after, payload, lift_tool_result(payload))
        return _object(judged["structuredContent"])

    async def question(self, method: str, params: JsonObject) -> JsonObject:
        """Return what the upstream asks the client as plugins leave it.

        Raises:
            PluginDenied: A plugin refused it.
        """
        if not self.judges_answers or method != _SAMPLING:
            return await self.said(params)

        messages = params.get("messages")
        rest = {name: value for name, value in params.items() if name != "messages"}
        entries = [entry for entry in _list(messages) if isinstance(entry, dict)]
        # Images and sound are parts of messages, and are judged as such.
        parts = [_list(entry.get("content")) for entry in entries]
        payload: JsonObject = {
            "content": [part for group in parts for part in group],
            "structuredContent": rest,
        }
        judged = await self._run(self._after, payload, lift_tool_result(payload))
        left = iter(_list(judged["content"]))
        return {
            **_object(judged["structuredContent"]),
            "messages": [
                {**entry, "content": _like(entry.get("content"), [next(left) for _ in group])}
                for entry, group in zip(entries, parts, strict=True)
            ],
        }

    async def _run(
        self, phase: HookPhase, payload: JsonObject, before: Sequence[Segment]
    ) -> JsonObject:
        after = await self._services.plugin.execute_hook(
            self._context, self._permit.id, phase, before
        )
        return write_back(payload, before, after)


async def prepared(judge: Judge, request: GovernedRequest) -> GovernedRequest:
    """Return a request whose answers, peer and metadata plugins have a say in.

    Raises:
        PluginDenied: A plugin refused what the client answered.
    """
    return replace(
        request,
        responses={
            key: await judge.reply(reply) if isinstance(reply, dict) else reply
            for key, reply in request.responses.items()
        },
        # Nobody judges what is beside the arguments, so it does not go on.
        meta={} if judge.judges_requests else request.meta,
        peer=None if request.peer is None else JudgedPeer(request.peer, judge),
    )


class JudgedPeer(WrappedPeer):
    """A client between whom and the upstream plugins stand."""

    def __init__(self, peer: Peer, judge: Judge) -> None:
        super().__init__(peer)
        self._judge = judge

    async def progress(self, update: Progress) -> None:
        """See `Peer`: a message is content, and is not waited for; only the numbers pass."""
        if self._judge.judges_answers:
            update = Progress(progress=update.progress, total=update.total)

        await self._peer.progress(update)

    async def log(self, params: JsonObject) -> None:
        """See `Peer`."""
        try:
            params = {**params, **await self._judge.said(_content_of(params))}
        except PluginDenied:
            return

        await self._peer.log(params)

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """See `Peer`."""
        asked = await self._judge.question(method, params)
        return await self._judge.reply(await self._peer.ask(method, asked))


def _content_of(params: JsonObject) -> JsonObject:
    return {name: value for name, value in params.items() if name != "level"}


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    if isinstance(value, list):
        return value

    return [] if value is None else [value]


def _like(before: Json, parts: list[Json]) -> Json:
    """Return parts in the form they had: a list, or one by itself."""
    if isinstance(before, list):
        return parts

    return parts[0] if parts else None
