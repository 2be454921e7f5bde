"""One turn of a chat: ask the model, carry out the tools it calls, ask again, until it answers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from spindle_llm.chat.history import EventType, assistant_message, tool_message
from spindle_llm.chat.sessions import ChatSession, TurnLog
from spindle_llm.chat.settings import ChatSettings
from spindle_llm.chat.tools import ToolAnswer, Toolbox, ToolCall, calls_in
from spindle_llm.relay.answers import message_of, text_of
from spindle_llm.runtime import Runtime
from spindle_llm.turn import error_code_of, take_turn
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import GatewayError, NotFound, Unavailable, UpstreamError, UpstreamTimeout
from spindle_spi.records import Kind, Target
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectSendStream

MAX_CALLS = 32
"""More calls than this in one answer of the model end the turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnAnswer:
    """What a turn gave."""

    text: str
    called: tuple[str, ...] = ()
    """Names of the tools that were called, one for each call."""


@dataclass(slots=True, kw_only=True)
class Turn:
    """A turn while it runs."""

    runtime: Runtime
    settings: ChatSettings
    context: AuthenticatedContext
    session: ChatSession
    toolbox: Toolbox
    log: TurnLog
    messages: list[Json]
    depth: int
    deadline: float
    called: list[str] = field(default_factory=list[str])

    async def run(self, message: str) -> TurnAnswer:
        """Say something to the model and return what it answers.

        Raises:
            Unavailable: The session's model is not there any more.
            UpstreamTimeout: The turn took too long.
            UpstreamError: The upstream failed, or asks for tools without end.
        """
        await self.log.add(EventType.USER, {"content": message})
        self.messages.append({"role": "user", "content": message})

        try:
            with anyio.fail_after(max(0.0, self.deadline - time.monotonic())):
                text = await self._converse()
        except TimeoutError as exc:
            await self.log.fail("timeout")
            raise UpstreamTimeout(
                "The chat did not answer in time.", code="llm.chat.timeout"
            ) from exc
        except BaseException as exc:
            await self.log.fail(error_code_of(exc) or "cancelled")
            raise

        return TurnAnswer(text=text, called=tuple(self.called))

    async def _converse(self) -> str:
        for rounds_left in range(self.settings.max_tool_rounds, -1, -1):
            answer = await self._ask(may_call=rounds_left > 0)
            message = message_of(answer)
            calls = calls_in(message)

            if not calls:
                text = text_of(answer)
                await self.log.add(EventType.ASSISTANT, {"content": text})
                return text

            if rounds_left == 0 or len(calls) > MAX_CALLS:
                break

            content = message.get("content")
            await self._carry_out(content if isinstance(content, str) else None, calls)

        raise UpstreamError(
            "The model asks for more tools than a turn may call.",
            code="llm.chat.too_many_tool_calls",
            retryable=False,
        )

    async def _ask(self, *, may_call: bool) -> JsonObject:
        body: JsonObject = {**self.session.options, "messages": list(self.messages)}
        functions = self.toolbox.functions()

        if functions:
            body["tools"] = functions

            if not may_call:
                body["tool_choice"] = "none"

        target = Target(kind=Kind.MODEL, name=self.session.model)

        try:
            completion = await take_turn(
                self.runtime, self.context, target, body, deadline=self.deadline
            )
        except NotFound as exc:
            raise Unavailable(
                "The model of this chat is not available any more; connect again.",
                code="llm.chat.session_unusable",
                retryable=False,
            ) from exc

        return completion.answer

    async def _carry_out(self, content: str | None, calls: tuple[ToolCall, ...]) -> None:
        """Carry out calls side by side; each result is written down as soon as it is there."""
        await self.log.add(EventType.ASSISTANT, {"content": content, "calls_tools": True})

        for call in calls:
            await self.log.add(EventType.TOOL_CALL, call.as_data())

        answers = await self._answers(calls)
        self.called += [call.name for call in calls if call.name in self.toolbox.records]
        self.messages.append(assistant_message(content, [call.as_data() for call in calls]))
        self.messages += [tool_message(call.id, answers[call.id].content) for call in calls]

    async def _answers(self, calls: tuple[ToolCall, ...]) -> dict[str, ToolAnswer]:
        limiter = anyio.CapacityLimiter(self.settings.parallel_tools)
        send, receive = anyio.create_memory_object_stream[tuple[ToolCall, ToolAnswer]](0)
        answers: dict[str, ToolAnswer] = {}
        failure: GatewayError | None = None

        async with receive, anyio.create_task_group() as group:
            async with send:
                for call in calls:
                    group.start_soon(self._call, call, limiter, send.clone())

            # An error that leaves a task group comes out wrapped, so it is carried by hand.
            try:
                async for call, answer in receive:
                    answers[call.id] = answer
                    await self.log.add(EventType.TOOL_RESULT, _result(call, answer))
            except GatewayError as exc:
                failure = exc
                group.cancel_scope.cancel()

        if failure is not None:
            raise failure

        return answers

    async def _call(
        self,
        call: ToolCall,
        limiter: anyio.CapacityLimiter,
        send: MemoryObjectSendStream[tuple[ToolCall, ToolAnswer]],
    ) -> None:
        async with send, limiter:
            deadline = min(self.deadline, time.monotonic() + self.settings.tool_timeout)
            catalog = self.runtime.services.catalog
            answer = await self.toolbox.call(catalog, call, depth=self.depth + 1, deadline=deadline)
            await send.send((call, answer))


def _result(call: ToolCall, answer: ToolAnswer) -> JsonObject:
    return {
        "id": call.id,
        "name": call.name,
        "content": answer.content,
        "is_error": answer.is_error,
    }
