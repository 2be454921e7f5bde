"""The tools a chat offers its model: from catalog records to functions, from calls to results."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import FailedPrecondition, GatewayError, InvalidArgument
from spindle_spi.invocation import Complete, Invocation, Result
from spindle_spi.records import CatalogRecord, Kind, Target, ToolSpec

if TYPE_CHECKING:
    from spindle_spi.catalog import CatalogService
    from spindle_spi.types import Json, JsonObject

MAX_TOOLS = 128
"""More functions than this no upstream takes."""
MAX_RESULT_CHARACTERS = 200_000
"""What is longer is cut before the model sees it."""

_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_OTHER = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call the model asks for."""

    id: str
    name: str
    """The function's name, as the model says it."""
    arguments: str
    """As the model wrote them; perhaps no JSON."""

    def as_data(self) -> JsonObject:
        """Return this call as the data of an event."""
        return {"id": self.id, "name": self.name, "arguments": self.arguments}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What a call gave, as the model shall read it."""

    content: str
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """The tools of one turn, seen and called as one caller."""

    context: AuthenticatedContext
    records: Mapping[str, CatalogRecord] = field(default_factory=dict[str, CatalogRecord])
    """By function name, in order of the records' names."""

    def functions(self) -> list[Json]:
        """Return the tools as a chat request in OpenAI's form offers them."""
        return [_function(name, record) for name, record in self.records.items()]

    async def call(
        self, catalog: CatalogService, call: ToolCall, *, depth: int, deadline: float
    ) -> ToolAnswer:
        """Carry out one call; every failure is an answer the model can read."""
        record = self.records.get(call.name)

        if record is None:
            return ToolAnswer(content=f"There is no tool {call.name!r}.", is_error=True)

        try:
            invocation = Invocation(
                target=Target(kind=Kind.TOOL, name=record.name),
                arguments=_arguments(call.arguments),
                depth=depth,
                deadline=deadline,
            )
            return _answer(await catalog.invoke(self.context, invocation))
        except GatewayError as exc:
            return ToolAnswer(content=f"The tool failed: {exc.message}", is_error=True)


def toolbox(
    context: AuthenticatedContext, records: Iterable[CatalogRecord], *, prefix_free: bool
) -> Toolbox:
    """Return the tools among `records` under the names the model may say.

    Raises:
        FailedPrecondition: They are more than a model can be offered.
    """
    named: dict[str, CatalogRecord] = {}

    for record in records:
        spec = record.spec

        if isinstance(spec, ToolSpec):
            shown = spec.upstream_name if prefix_free and spec.upstream_name else record.name
            named[function_name(shown)] = record

    if len(named) > MAX_TOOLS:
        raise FailedPrecondition(
            f"The server has {len(named)} tools; a chat takes {MAX_TOOLS}.",
            code="llm.chat.too_many_tools",
        )

    return Toolbox(context=context, records=named)


def function_name(name: str) -> str:
    """Return a name every upstream takes; the same for the same tool, whoever asks."""
    if _FUNCTION_NAME.fullmatch(name):
        return name

    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{_OTHER.sub('_', name)[:55]}_{digest}"


def calls_in(message: JsonObject) -> tuple[ToolCall, ...]:
    """Return the calls of an assistant's message, each with an id of its own."""
    entries = message.get("tool_calls")
    calls: list[ToolCall] = []
    taken: set[str] = set()

    for number, entry in enumerate(entries if isinstance(entries, list) else [], start=1):
        function = entry.get("function") if isinstance(entry, dict) else None

        if isinstance(entry, dict) and isinstance(function, dict):
            call = ToolCall(
                id=_text(entry.get("id")) or f"call_{number}",
                name=_text(function.get("name")),
                arguments=_text(function.get("arguments")),
            )

            if call.id in taken:
                call = replace(call, id=f"{call.id}_{number}")

            taken.add(call.id)
            calls.append(call)

    return tuple(calls)


def _function(name: str, record: CatalogRecord) -> JsonObject:
    spec = record.spec
    schema: JsonObject = spec.input_schema if isinstance(spec, ToolSpec) else {}
    described = spec.description if isinstance(spec, ToolSpec) else ""
    function: JsonObject = {
        "name": name,
        "description": described or record.description,
        "parameters": schema or {"type": "object", "properties": {}},
    }
    return {"type": "function", "function": function}


def _arguments(text: str) -> JsonObject:
    try:
        value: Json = json.loads(text or "{}")
    except (ValueError, RecursionError) as exc:
        raise InvalidArgument("the arguments are not JSON.") from exc

    if not isinstance(value, dict):
        raise InvalidArgument("the arguments are not a JSON object.")

    return value


def _answer(result: Result) -> ToolAnswer:
    if not isinstance(result, Complete):
        return ToolAnswer(content="The tool asks for input a chat cannot give.", is_error=True)

    payload = result.payload
    parts = payload.get("content")
    texts = [_part(part) for part in parts] if isinstance(parts, list) else []
    structured = payload.get("structuredContent")

    if not texts and structured is not None:
        texts.append(json.dumps(structured, ensure_ascii=False))

    content = "\n".join(texts)

    if len(content) > MAX_RESULT_CHARACTERS:
        content = f"{content[:MAX_RESULT_CHARACTERS]}\n[cut: {len(content)} characters in all]"

    return ToolAnswer(content=content, is_error=payload.get("isError") is True)


def _part(part: Json) -> str:
    if not isinstance(part, dict):
        return ""

    text = part.get("text")

    if isinstance(text, str):
        return text

    resource = part.get("resource")

    if isinstance(resource, dict) and isinstance(resource.get("text"), str):
        return _text(resource["text"])

    return f"[{_text(part.get('type')) or 'unknown'} content, which this chat does not show]"


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
