"""Arguments, results and answers by an operator's schema."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle.plugins import run_phase
from spindle.plugins.builtin.pii import Pii
from spindle.plugins.builtin.schema import Schema
from spindle.plugins.registry import PluginRegistry
from spindle_spi.errors import ConfigError, ContractViolation, PluginDenied
from spindle_spi.payloads import (
    lift_arguments,
    lift_chat_answer,
    lift_document,
    lift_tool_result,
    write_back,
)
from spindle_spi.plugin import HookPhase, HookPlan, Segment
from spindle_spi.records import CatalogRecord, Kind, ModelSpec, ToolSpec
from tests.core.plugins.samples import (
    CONTEXT,
    Entry,
    Section,
    call,
    make_registry,
    names_of,
    open_guard,
    stream,
)

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

ADDRESS: JsonObject = {
    "type": "object",
    "properties": {
        "to": {"type": "string", "pattern": "^[a-z]+@ours\\.example$"},
        "copies": {"type": "integer", "maximum": 3},
    },
    "required": ["to"],
    "additionalProperties": False,
}
MAIL: JsonObject = {"tools": {"mail__*": {"arguments": ADDRESS, "result": {"required": ["id"]}}}}
ANSWER: JsonObject = {"answer": {"type": "object", "required": ["city"]}}
PLAN = HookPlan(request=("schema",), documents=True)


async def judge(
    plugin: Schema, segments: tuple[Segment, ...], *, name: str, kind: Kind, phase: HookPhase
) -> str | None:
    registry = make_registry(plugin)
    asked = replace(call(phase), target_name=name, target_kind=kind)

    try:
        judged = await run_phase(registry, names_of(registry), asked, segments)
    except PluginDenied as refused:
        return refused.code

    assert judged == segments
    return None


async def judge_tool(arguments: JsonObject, name: str = "mail__send") -> str | None:
    segments = (*lift_arguments(arguments), *lift_document(PLAN, arguments, "arguments"))
    return await judge(
        Schema(MAIL), segments, name=name, kind=Kind.TOOL, phase=HookPhase.PRE_INVOKE
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"to": "ann@else.example"},
        {"to": "ann@ours.example", "copies": 4},
        {"to": "ann@ours.example", "copies": "2"},
        {"to": "ann@ours.example", "more": None},
        {"copies": 1},
        {},
    ],
)
async def test_arguments_beyond_the_schema_are_refused(arguments: JsonObject) -> None:
    """Numbers, missing members and members too many are seen, not only texts."""
    assert await judge_tool(arguments) == "plugin.schema.arguments"


async def test_what_the_schema_takes_passes_as_it_is() -> None:
    assert await judge_tool({"to": "ann@ours.example", "copies": 3}) is None
    assert await judge_tool({"to": 7}, name="other__send") is None
    assert await judge_tool({"to": "ann\ud800@ours.example"}) == "plugin.schema.arguments"


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"structuredContent": {"id": 1}}, None),
        ({"structuredContent": {}}, "plugin.schema.result"),
        ({"content": [{"type": "text", "text": "no structure"}]}, None),
    ],
)
async def test_a_structured_result_is_judged(result: JsonObject, code: str | None) -> None:
    segments = (*lift_tool_result(result), *lift_document(PLAN, result, "result"))
    found = await judge(
        Schema(MAIL), segments, name="mail__send", kind=Kind.TOOL, phase=HookPhase.POST_INVOKE
    )
    assert found == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"city": "Ulm"}', None),
        ("{}", "plugin.schema.answer"),
        ("Ulm", "plugin.schema.answer.not_json"),
        ("[" * 2_000, "plugin.schema.answer.not_json"),
    ],
)
async def test_an_answer_is_judged_alike_unary_and_as_a_stream(text: str, code: str | None) -> None:
    body: JsonObject = {"choices": [{"message": {"role": "assistant", "content": text}}]}
    plugin = Schema(ANSWER)
    found = await judge(
        plugin,
        lift_chat_answer(body),
        name="m",
        kind=Kind.MODEL,
        phase=HookPhase.POST_INVOKE,
    )
    assert found == code
    streamed = await stream(open_guard(make_registry(plugin)), list(text[:60]) + [text[60:]])
    assert streamed.denied == code
    assert streamed.released == (text if code is None else "")


async def test_a_request_and_thoughts_are_no_answer() -> None:
    body: JsonObject = {
        "choices": [{"message": {"reasoning_content": "hm", "refusal": "no", "content": "{}"}}]
    }
    plugin = Schema({"answer": {"type": "object"}})
    kind, phase = Kind.MODEL, HookPhase.POST_INVOKE
    assert await judge(plugin, lift_chat_answer(body), name="m", kind=kind, phase=phase) is None
    asked = (Segment(pointer="/messages/0/content", kind=lift_chat_answer(body)[0].kind, text="x"),)
    found = await judge(plugin, asked, name="m", kind=kind, phase=HookPhase.PRE_INVOKE)
    assert found is None


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"answer": {"type": "thing"}}, "answer is no JSON Schema"),
        ({"tools": {"t": {"result": {"pattern": "(?=a)"}}}}, "tools.t.result: RE2 does not take"),
        ({"answer": {"pattern": "\ud800"}}, "it is no valid text"),
        ({"answer": {"anyOf": [{"$ref": "http://127.0.0.1/x"}]}}, "refers to another document"),
        ({"answer": {"patternProperties": {"a": True}}}, "patternProperties is not taken"),
    ],
)
def test_a_schema_that_cannot_hold_is_refused_with_the_reason(
    config: JsonObject, reason: str
) -> None:
    entry = Entry(name="mine", plugin="schema", config=config)

    with pytest.raises(ConfigError) as caught:
        PluginRegistry.load(Section(entries=(entry,)))

    (fault,) = caught.value.faults
    assert fault.startswith("plugins.entries[0].config: ")
    assert reason in fault


async def test_a_reference_into_itself_that_leads_nowhere_refuses() -> None:
    schema: Json = {"$ref": "#/nowhere"}
    segments = lift_document(PLAN, {}, "arguments")
    plugin = Schema({"tools": {"*": {"arguments": schema}}})
    phase = HookPhase.PRE_INVOKE
    code = await judge(plugin, segments, name="t", kind=Kind.TOOL, phase=phase)
    assert code == "plugin.schema.arguments"


def test_documents_are_lifted_for_tools_whose_plan_asks_for_them() -> None:
    """Nothing is written out twice for plugins that look at pieces."""
    tool = CatalogRecord(id="t", kind=Kind.TOOL, name="t", spec=ToolSpec())
    model = CatalogRecord(
        id="m", kind=Kind.MODEL, name="m", spec=ModelSpec(provider="p", upstream_name="m")
    )
    with_schema, without = make_registry(Schema(MAIL)), make_registry(Pii())
    assert with_schema.plan(tool, CONTEXT).documents
    assert not with_schema.plan(model, CONTEXT).documents
    assert not without.plan(tool, CONTEXT).documents
    assert lift_document(HookPlan(request=("pii",)), {"a": 1}, "arguments") == ()
    (document,) = lift_document(PLAN, {"a": 1}, "arguments")
    assert json.loads(document.text) == {"a": 1}


def test_a_document_is_judged_and_never_replaced() -> None:
    before = lift_document(PLAN, {"a": 1}, "arguments")

    with pytest.raises(ContractViolation):
        write_back({"a": 1}, before, [replace(before[0], text="{}")])
