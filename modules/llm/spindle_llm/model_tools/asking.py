"""A model asked as a tool. Its tokens are counted on the model's permit, never on the tool's."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from spindle_llm.model_tools.arguments import (
    chat_request,
    check_arguments,
    embeddings_request,
    fault_in,
)
from spindle_llm.model_tools.embedding import embed_hooked
from spindle_llm.relay.answers import first_choice, text_of
from spindle_llm.turn import (
    admitted,
    can_stream,
    complete_hooked,
    estimate_of,
    folded,
    stream_hooked,
)
from spindle_spi.admission import Estimate
from spindle_spi.errors import FailedPrecondition, NotFound
from spindle_spi.invocation import Complete, Progress
from spindle_spi.records import Kind, Target

if TYPE_CHECKING:
    from spindle_llm.runtime import Completion, Runtime
    from spindle_llm.turn import Hear
    from spindle_spi.admission import Permit
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.invocation import Invocation, ProgressSink
    from spindle_spi.records import ToolSpec
    from spindle_spi.types import Json, JsonObject

_BETWEEN_SECONDS = 0.1
"""Between two words on how far an answer is."""


async def ask(
    runtime: Runtime,
    context: AuthenticatedContext,
    invocation: Invocation,
    permit: Permit,
    spec: ToolSpec,
    progress: ProgressSink | None = None,
) -> Complete:
    """Ask the model of a tool for the caller, who has to be permitted to use it, too.

    Raises:
        InvalidArgument: The arguments are not what the tool takes.
        FailedPrecondition: The model is not there for this caller.
        UpstreamError: The upstream failed.
    """
    question = _Question(runtime, context, invocation, permit, spec)

    try:
        if spec.task == "embeddings":
            return await question.embed()

        return await question.chat(progress)
    except NotFound as exc:
        # The model's own message would name a record this caller may not know of.
        raise FailedPrecondition(
            f"The tool {permit.record.name!r} cannot be used: its model is not available.",
            code="llm.model_tool.unavailable",
        ) from exc


class _Question:
    def __init__(
        self,
        runtime: Runtime,
        context: AuthenticatedContext,
        invocation: Invocation,
        permit: Permit,
        spec: ToolSpec,
    ) -> None:
        self._runtime = runtime
        self._context = context
        self._invocation = invocation
        self._spec = spec
        self._target = Target(kind=Kind.MODEL, name=spec.model or "")
        self._lease_id = invocation.lease_id or permit.lease_id

    async def chat(self, progress: ProgressSink | None) -> Complete:
        """Return an answer as text and as data."""
        body = chat_request(self._invocation.arguments)
        check_arguments(self._spec.input_schema, self._invocation.arguments)
        form = _form_of(self._spec)

        if form is not None:
            body["response_format"] = form

        hear = None if progress is None else _Heard(progress).hear
        completion = await self._answer(body, hear)
        text = text_of(completion.answer)

        if form is not None:
            return _formed(text, self._spec.output_schema or {})

        return _result(text, _told(text, completion))

    async def _answer(self, body: JsonObject, hear: Hear | None) -> Completion:
        runtime, context, deadline = self._runtime, self._context, self._invocation.deadline
        turn = admitted(runtime, context, self._target, estimate_of(body), lease_id=self._lease_id)

        async with turn as (permit, journal):
            if hear is None or not can_stream(permit):
                return await complete_hooked(
                    runtime, context, permit, body, deadline=deadline, journal=journal
                )

            chunks = stream_hooked(
                runtime, context, permit, body, deadline=deadline, journal=journal
            )
            return await folded(chunks, journal, hear, runtime.settings.answer_limit_bytes)

    async def embed(self) -> Complete:
        """Return vectors as data, and the same as text for those who read only that."""
        arguments = self._invocation.arguments
        request = embeddings_request(arguments)
        check_arguments(self._spec.input_schema, arguments)
        # Vectors are no tokens: there is no choice to pay for.
        estimate = Estimate(input_bytes=len(json.dumps(arguments)), choices=0)

        async with admitted(
            self._runtime, self._context, self._target, estimate, lease_id=self._lease_id
        ) as (permit, journal):
            kept = await embed_hooked(
                self._runtime,
                self._context,
                permit,
                request,
                journal,
                deadline=self._invocation.deadline,
            )

        vectors: list[Json] = [[*entry.vector.numbers] for entry in kept]
        found: JsonObject = {
            "model": permit.record.name,
            "embeddings": vectors,
            "usage": {"input_tokens": sum(entry.tokens for entry in kept)},
        }
        return _result(json.dumps(found), found)


class _Heard:
    """Tells how much of an answer is there: how long it is, not what it says."""

    def __init__(self, progress: ProgressSink) -> None:
        self._progress = progress
        self._count = 0
        self._next = 0.0

    async def hear(self, chunk: JsonObject) -> None:
        """Take the next chunk."""
        choices = chunk.get("choices")

        for choice in choices if isinstance(choices, list) else ():
            delta = choice.get("delta") if isinstance(choice, dict) else None
            content = delta.get("content") if isinstance(delta, dict) else None
            self._count += len(content) if isinstance(content, str) else 0

        now = time.monotonic()

        if self._count and now >= self._next:
            self._next = now + _BETWEEN_SECONDS
            said = f"{self._count} characters"
            await self._progress(Progress(progress=float(self._count), message=said))


def _told(text: str, completion: Completion) -> JsonObject:
    usage = completion.usage
    return {
        "text": text,
        "model": completion.answer.get("model"),
        "finish_reason": first_choice(completion.answer).get("finish_reason"),
        "usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
    }


def _form_of(spec: ToolSpec) -> JsonObject | None:
    """Return the form an answer has to have, where the tool's maker gave it one."""
    schema = spec.output_schema

    if spec.task != "object" or schema is None:
        return None

    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _formed(text: str, schema: JsonObject) -> Complete:
    try:
        value: Json = json.loads(text)
    except (ValueError, RecursionError):
        return _unfit(text, "it is no JSON")

    fault = "it is no object" if not isinstance(value, dict) else fault_in(schema, value)
    return _result(text, value) if fault is None else _unfit(text, fault)


def _unfit(text: str, fault: str) -> Complete:
    note = f"The model's answer is not what the tool promises ({fault}). It is:\n{text}"
    return Complete(payload={"content": [{"type": "text", "text": note}], "isError": True})


def _result(text: str, structured: Json) -> Complete:
    parts: list[Json] = [{"type": "text", "text": text}]
    return Complete(payload={"content": parts, "structuredContent": structured})
