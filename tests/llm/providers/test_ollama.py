"""Ollama: OpenAI's form where it is enough, its own form where something else is asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.scripts import dump
from spindle_conformance.upstreams.server import Play, Seen
from spindle_conformance.upstreams.simulator import Quirk
from spindle_llm.providers.local_models import MAX_ASKED
from spindle_llm.providers.ollama import OllamaAdapter
from spindle_llm.providers.ollama_chat import COMPATIBLE, OllamaChat, seconds_of
from spindle_llm.providers.readings import object_in, objects_in
from spindle_llm.relay.folding import Fold
from spindle_spi.errors import InvalidArgument, Unsupported, UpstreamError
from spindle_spi.records import Kind, ModelSpec, ProviderSpec
from tests.llm.support.gateway import gateway, until
from tests.llm.support.records import model
from tests.llm.support.vendors import (
    MODEL,
    TOOLS,
    chunks_of,
    listed,
    made_of,
    sent,
    spec_of,
    vendor,
)

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("001-services")]

ADAPTER = OllamaAdapter()
NATIVE = OllamaChat()
SPEC = ProviderSpec(provider_type="ollama")
HI: list[Json] = [{"role": "user", "content": "hi"}]
NAMES = (
    *("plain", "echo", "empty", "length", "reasoning", "tools", "parallel-tools", "no-index"),
    *("text-and-tools", "usage-less", "usage-zero", "no-finish", "logprobs", "big-line"),
)
KEEPING = ProviderSpec(provider_type="ollama", options={"keep_alive": "5m", "num_ctx": 4096})


def _sent(request: JsonObject, *, stream: bool = False, chat: OllamaChat = NATIVE) -> JsonObject:
    return sent(
        chat.encode({"model": "m", "messages": HI, **request}, stream=stream, spec=MODEL).body
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spec", [SPEC, KEEPING], ids=["compatible", "native"])
async def test_a_stream_says_what_a_whole_answer_says(name: str, spec: ProviderSpec) -> None:
    """In both forms, and however its bytes were cut."""
    said: list[Json] = []
    sizes = ("", "@1", "@7") if name != "big-line" else ("", "@4096")

    async with vendor("ollama", *(name + size for size in sizes), spec=spec) as up:
        said.append(made_of(await up.chat(f"up~{name}", tools=TOOLS)))

        for size in sizes:
            usage: JsonObject = {"include_usage": True}
            client = await up.chat(
                f"up~{name}{size}", stream=True, tools=TOOLS, stream_options=usage
            )
            said.append(made_of(client))

        paths = {seen.path for seen in up.upstream.seen}

    # Calls without ids get new ones each time.
    first, *others = map(_without_ids, said)
    assert all(other == first for other in others)
    assert paths == {"/v1/chat/completions" if spec is SPEC else "/api/chat"}


def _without_ids(told: Json) -> JsonObject:
    value: JsonObject = json.loads(json.dumps(told))
    value["model"] = str(value["model"]).partition("@")[0]

    for choice in objects_in(value, "choices"):
        # Of a whole answer nobody mends that it says no reason.
        choice.setdefault("finish_reason", "stop")

        for call in objects_in(object_in(choice, "message"), "tool_calls"):
            call.pop("id")

    return value


async def test_its_own_form_is_spoken_where_something_asks_for_it() -> None:
    """The provider's options, the model's defaults, or the request itself."""
    with_default = ModelSpec(provider="up", upstream_name="m", defaults={"num_ctx": 9})
    assert ADAPTER.chat(SPEC, MODEL, {"temperature"}) is COMPATIBLE
    assert isinstance(ADAPTER.chat(KEEPING, MODEL, {}), OllamaChat)
    assert ADAPTER.chat(KEEPING, MODEL, {}) is ADAPTER.chat(KEEPING, MODEL, {})
    assert isinstance(ADAPTER.chat(SPEC, with_default, {}), OllamaChat)

    for name in ("keep_alive", "num_ctx", "options", "top_k", "think"):
        assert isinstance(ADAPTER.chat(SPEC, MODEL, {name}), OllamaChat)

    async with vendor("ollama", "plain") as up:
        await up.chat("up~plain", num_ctx=2048, keep_alive=60, top_k=3, options={"seed": 1})
        assert up.upstream.seen[-1].path == "/api/chat"
        assert up.received["keep_alive"] == 60
        assert up.received["options"] == {"seed": 1, "num_ctx": 2048, "top_k": 3}


async def test_a_default_of_the_model_is_translated_too() -> None:
    """In OpenAI's form it is renamed where a request would be."""
    async with vendor("ollama") as up:
        del up

    async with gateway(
        Play(status=500), model("m", max_completion_tokens=7, user="u"), spec=SPEC
    ) as up:
        await up.chat()
        assert up.received["max_tokens"] == 7
        assert {"max_completion_tokens", "user"}.isdisjoint(up.received)


def test_parameters_become_options() -> None:
    """The provider's own hold where the request gives none."""
    chat = OllamaChat({"num_ctx": 4096, "keep_alive": "5m", "options": {"top_k": 1, "seed": 2}})
    body = _sent(
        {
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
            "stop": "END",
            "max_tokens": 5,
            "max_completion_tokens": 6,
            "frequency_penalty": 1,
            "presence_penalty": 2,
            "stream_options": {"include_usage": True},
        },
        stream=True,
        chat=chat,
    )
    assert body == {
        "model": "m",
        "messages": HI,
        "stream": True,
        "keep_alive": "5m",
        "options": {
            "num_ctx": 4096,
            "top_k": 1,
            "temperature": 0.5,
            "top_p": 0.9,
            "seed": 3,
            "stop": ["END"],
            "num_predict": 6,
            "frequency_penalty": 1,
            "presence_penalty": 2,
        },
    }


@pytest.mark.parametrize(
    ("effort", "think"),
    [
        *(("none", False), ("minimal", "low"), ("low", "low"), ("medium", "medium")),
        *(("high", "high"), ("xhigh", "high"), ("max", "max")),
    ],
)
def test_an_effort_is_how_it_thinks(effort: str, think: Json) -> None:
    """What only other models know is the nearest it knows."""
    assert _sent({"reasoning_effort": effort})["think"] == think
    assert _sent({"reasoning_effort": effort, "think": True})["think"] is True
    compatible = COMPATIBLE.encode({"reasoning_effort": effort}, stream=False, spec=MODEL)
    known = {"minimal": "low", "xhigh": "high"}.get(effort, effort)
    assert sent(compatible.body)["reasoning_effort"] == known


@pytest.mark.parametrize(
    ("wanted", "format_"),
    [
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}}}, {"a": 1}),
        ({"type": "json_schema"}, "json"),
        ({"type": "text"}, None),
    ],
)
def test_a_response_format_is_a_format(wanted: JsonObject, format_: Json) -> None:
    """JSON, or a schema."""
    assert _sent({"response_format": wanted}).get("format") == format_


def test_messages_are_said_its_own_way() -> None:
    """Pictures apart, arguments as objects, the tool of a result by its name."""
    picture: Json = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    text: Json = {"type": "text", "text": "a"}
    call: Json = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    bare: Json = {"type": "function", "function": {"name": "g", "arguments": ""}}
    messages: list[Json] = [
        {"role": "developer", "content": "d"},
        {"role": "user", "content": [text, picture, {"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "t",
            "tool_calls": [call, bare],
        },
        {"role": "tool", "tool_call_id": "c", "content": "r"},
        {"role": "function", "name": "g", "content": "s"},
    ]
    assert _sent({"messages": messages})["messages"] == [
        {"role": "system", "content": "d"},
        {"role": "user", "content": "ab", "images": ["AAAA"]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "t",
            "tool_calls": [
                {"id": "c", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}},
                {"function": {"index": 1, "name": "g", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "r", "tool_call_id": "c", "tool_name": "f"},
        {"role": "tool", "content": "s", "tool_name": "g"},
    ]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": [{"name": "f"}]}, "functions"),
    ],
)
def test_what_it_cannot_do_is_refused(more: JsonObject, param: str) -> None:
    """In both forms, naming the parameter."""
    for chat in (NATIVE, COMPATIBLE):
        with pytest.raises(Unsupported) as caught:
            chat.encode({"model": "m", "messages": HI, **more}, stream=False, spec=MODEL)

        assert caught.value.param == param


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}],
        [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}],
        [{"type": "file", "file": {"file_id": "f"}}],
    ],
)
def test_pictures_come_as_bytes(content: Json) -> None:
    """An address is nothing it would fetch; sounds and files are nothing it knows."""
    with pytest.raises(Unsupported) as caught:
        _sent({"messages": [{"role": "user", "content": content}]})

    assert caught.value.param == "messages"


@pytest.mark.parametrize("arguments", ["{", "[]", 3, '"x"'])
def test_arguments_that_are_no_object_are_wrong(arguments: Json) -> None:
    """Nobody can say them as one."""
    call: Json = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}

    with pytest.raises(InvalidArgument):
        _sent({"messages": [{"role": "assistant", "tool_calls": [call]}]})


def test_what_changes_no_answer_is_left_out_and_said() -> None:
    """And `tool_choice: none` takes the tools along."""
    request: JsonObject = {
        "model": "m",
        "messages": HI,
        "user": "u",
        "parallel_tool_calls": False,
        "tools": TOOLS,
        "tool_choice": "auto",
    }

    for chat in (NATIVE, COMPATIBLE):
        encoded = chat.encode(request, stream=False, spec=MODEL)
        assert encoded.dropped == ("user", "parallel_tool_calls")
        assert sent(encoded.body)["tools"] == TOOLS
        assert "tool_choice" not in sent(encoded.body)
        without = chat.encode({**request, "tool_choice": "none"}, stream=False, spec=MODEL)
        assert "tools" not in sent(without.body)


def test_a_metric_that_is_missing_is_zero() -> None:
    """As long as something is measured at all."""
    done: JsonObject = {
        "message": {"content": "x"},
        "done": True,
        "created_at": "2026-01-01T00:00:00Z",
    }
    answer = NATIVE.decode(dump({**done, "total_duration": 5, "eval_count": 2}))
    assert answer["usage"] == {"prompt_tokens": 0, "completion_tokens": 2, "total_tokens": 2}
    assert answer["created"] == 1_767_225_600
    assert "usage" not in NATIVE.decode(dump(done))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ({"error": "secret words"}, "upstream_error"),
        ({"message": 3, "done": True}, "upstream_garbage"),
        ({"done": True}, "upstream_garbage"),
    ],
)
def test_an_error_in_a_line_ends_the_stream(line: JsonObject, code: str) -> None:
    """What came before comes first; the words stay with us."""
    said = dump({"message": {"content": "a"}, "done": False}) + b"\n" + dump(line) + b"\n"
    chunks = NATIVE.decoder().feed(said)
    assert next(chunks)["choices"] == [
        {"index": 0, "delta": {"content": "a"}, "finish_reason": None}
    ]

    with pytest.raises(UpstreamError) as caught:
        next(chunks)

    assert caught.value.code == code
    assert "secret" not in caught.value.message

    with pytest.raises(UpstreamError):
        NATIVE.decode(dump(line))


def test_calls_are_numbered_here() -> None:
    """Older servers call each of them number 0, and give no ids."""
    calls: list[Json] = [
        {"function": {"index": 0, "name": name, "arguments": {"x": 1}}} for name in ("f", "g", "h")
    ]
    first: Json = {"message": {"content": "", "tool_calls": calls[:2]}, "done": False}
    second: Json = {"message": {"content": "", "tool_calls": calls[2:]}, "done": False}
    end: Json = {"message": {"content": ""}, "done": True, "done_reason": "stop"}
    said = b"\n".join(map(dump, [first, second, end]))
    fold = Fold()

    for chunk in chunks_of(NATIVE.decoder(), said):
        fold.add(chunk)

    (choice,) = objects_in(fold.answer(), "choices")
    told = objects_in(object_in(choice, "message"), "tool_calls")
    assert choice["finish_reason"] == "tool_calls"
    assert [object_in(call, "function") for call in told] == [
        {"name": name, "arguments": '{"x":1}'} for name in ("f", "g", "h")
    ]
    assert len({str(call["id"]) for call in told}) == 3


@pytest.mark.parametrize("size", [0, 1, 2, 5])
def test_lines_may_be_cut_anywhere(size: int) -> None:
    """The last needs no end, empty ones are nothing, and what follows the end does not count."""
    lines: list[Json] = [{"message": {"content": word}, "done": False} for word in ("a", "🦊", "c")]
    end: Json = {"message": {"content": ""}, "done": True, "done_reason": "length"}
    said = b"\r\n\n".join(map(dump, [*lines, end]))
    chunks = chunks_of(NATIVE.decoder(), said, size)
    texts = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]  # type: ignore[index, call-overload, union-attr]
    assert texts == ["a", "🦊", "c", None]
    decoder = NATIVE.decoder()
    assert len(chunks_of(decoder, said + b"\ngarbage\n")) == 4
    assert decoder.is_done


def test_a_line_has_bounds() -> None:
    """An upstream that never ends its line is no upstream."""
    decoder = NATIVE.decoder(limit=10)
    assert list(decoder.feed(b"{" * 10)) == []

    with pytest.raises(UpstreamError):
        list(decoder.feed(b"{"))


def test_a_whole_answer_that_is_not_done_was_cut() -> None:
    """It would be taken for all of it."""
    with pytest.raises(UpstreamError) as caught:
        NATIVE.decode(dump({"message": {"content": "a"}, "done": False}))

    assert caught.value.code == "upstream_cut"


@pytest.mark.parametrize("name", ["cut", "cut-clean", "in-stream-error", "error-first"])
@pytest.mark.parametrize("spec", [SPEC, KEEPING], ids=["compatible", "native"])
async def test_a_stream_that_breaks_is_told(name: str, spec: ProviderSpec) -> None:
    """As an error with no end of a stream after it, in none of the upstream's words."""
    async with vendor("ollama", name, spec=spec) as up:
        client = await up.chat(f"up~{name}", stream=True)
        assert str(client.error["code"]).startswith("upstream_")
        assert b"[DONE]" not in client.content
        assert b"secret" not in client.content


@pytest.mark.requirement("001-model-entity")
async def test_its_models_are_told_with_all_it_says() -> None:
    """Those that are loaded come first, the one that stays longest before the others."""
    found = await listed(ADAPTER, "ollama")
    assert list(found)[:2] == ["plain", "echo"]
    plain = spec_of(found["plain"])
    assert (plain.state, spec_of(found["big"]).state) == ("loaded", "not_loaded")
    assert plain.model_type == "llm"
    assert plain.supports == ("chat", "streaming", "function_calling")
    assert plain.context_window == 8192
    assert plain.facts.architecture == "llama"
    assert plain.facts.quantization == "Q4_K_M"
    assert plain.facts.parameters == 7_600_000_000
    assert plain.facts.size == 4_000_000_000
    assert plain.facts.runtime == "llama.cpp"
    assert plain.facts.is_gguf
    assert plain.facts.instructed
    assert plain.facts.modified_at == 1_767_225_600
    embed = spec_of(found["embed"])
    assert (embed.model_type, embed.supports, embed.dimensions) == ("embeddings", ("embedding",), 8)


async def test_an_older_server_is_asked_about_each() -> None:
    """A bounded number of them."""
    found = await listed(ADAPTER, "ollama", quirks=[Quirk.OLD, Quirk.ODD_NAMES])
    told = [spec_of(record) for record in found.values() if spec_of(record).context_window]
    assert len(told) == min(MAX_ASKED, len(found))
    assert told[0].facts.parameters == 7_615_616_512
    assert spec_of(found["hf.co/Größe/模型🦊:Q8_0"]).facts.publisher == "Größe"


async def test_a_server_that_does_not_say_what_runs_has_models_all_the_same() -> None:
    """Whose state nobody knows."""
    tags = dump({"models": [{"name": "m:latest"}, {"x": 1}, 3]})

    def play(seen: Seen) -> Play:
        return Play(body=tags) if seen.path == "/api/tags" else Play(status=404)

    spec = ProviderSpec(provider_type="ollama", enable_discovery=True)

    async with gateway(play, model("declared"), spec=spec) as up:
        await until(lambda: up.host.records.find(Kind.MODEL, "up~m:latest") is not None)
        record = up.host.records.find(Kind.MODEL, "up~m:latest")

    assert record is not None

    assert isinstance(record.spec, ModelSpec)
    assert record.spec.state == "unknown"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-01T00:00:00.123456789Z", 1_767_225_600),
        ("2025-12-31T17:00:00-07:00", 1_767_225_600),
        ("2026-01-01T00:00:00", 1_767_225_600),
        ("2026-13-01T00:00:00Z", None),
        ("soon", None),
        (7, None),
    ],
)
def test_a_time_is_read_as_go_writes_it(text: Json, seconds: int | None) -> None:
    """With nanoseconds and with any zone."""
    assert seconds_of(text) == seconds


def test_embeddings_are_asked_in_its_own_form() -> None:
    """Texts only."""
    dialect = ADAPTER.embeddings(SPEC)
    assert dialect is not None
    assert dialect.url("http://host/v1", "m") == "http://host/api/embed"
    request: JsonObject = {"model": "m", "input": ["a"], "dimensions": 4, "user": "u"}
    encoded = dialect.encode({**request, "encoding_format": "base64"}, spec=MODEL)
    assert sent(encoded.body) == {"model": "m", "input": ["a"], "dimensions": 4}
    assert encoded.dropped == ("user",)
    told = dialect.decode(b'{"embeddings":[[1,2],[3,4]],"prompt_eval_count":5}')
    assert (told.vectors, told.input_tokens) == ([[1, 2], [3, 4]], 5)

    with pytest.raises(Unsupported):
        dialect.encode({"model": "m", "input": [[1, 2]]}, spec=MODEL)

    with pytest.raises(UpstreamError):
        dialect.decode(b'{"embedding":[1]}')
