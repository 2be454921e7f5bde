"""GPT4All: a strict part of OpenAI's form, and streams that are made of whole answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_conformance.upstreams.gpt4all import GPT4AllSimulator
from spindle_conformance.upstreams.repertoire import PLAIN_TEXT
from spindle_conformance.upstreams.scripts import dump
from spindle_conformance.upstreams.simulator import Quirk
from spindle_llm.providers.base import Condition
from spindle_llm.providers.gpt4all import GPT4AllAdapter
from spindle_llm.providers.gpt4all_chat import DEFAULT_MAX_TOKENS, GPT4AllChat
from spindle_llm.providers.inquiry import Reply
from spindle_llm.relay.folding import Fold
from spindle_spi.errors import InvalidArgument, Unsupported, UpstreamError
from spindle_spi.records import ModelSpec, ProviderSpec
from tests.llm.support.gateway import gateway
from tests.llm.support.records import model
from tests.llm.support.vendors import MODEL, TOOLS, chunks_of, listed, sent, spec_of, vendor

if TYPE_CHECKING:
    from spindle_conformance.upstreams.server import Play, Seen
    from spindle_spi.types import Json, JsonObject

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("001-services")]

ADAPTER = GPT4AllAdapter()
CHAT = GPT4AllChat()


def _request(*messages: Json, **more: Json) -> JsonObject:
    return {"model": "m", "messages": [*messages] or [{"role": "user", "content": "hi"}], **more}


def test_a_request_holds_what_the_server_knows_and_nothing_else() -> None:
    """Texts without parts, no `developer`, no stream, and always a number of tokens."""
    part: Json = {"type": "text", "text": "b"}
    encoded = CHAT.encode(
        _request(
            {"role": "developer", "content": "a", "name": "n"},
            {"role": "user", "content": [part, part]},
            {"role": "assistant", "content": None, "reasoning_content": "t"},
            temperature=0.5,
            stream_options={"include_usage": True},
            seed=1,
            user="u",
            unheard_of=1,
            response_format={"type": "text"},
            tool_choice="auto",
            tools=[],
        ),
        stream=True,
        spec=MODEL,
    )
    assert sent(encoded.body) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "a"},
            {"role": "user", "content": "bb"},
            {"role": "assistant", "content": ""},
        ],
        "temperature": 0.5,
        "max_tokens": DEFAULT_MAX_TOKENS,
        "stream": False,
    }
    assert encoded.dropped == ("seed", "user", "unheard_of")
    assert encoded.headers == {"Accept": "application/json"}


@pytest.mark.parametrize(
    ("more", "tokens"),
    [
        ({}, 77),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6}, 6),
        ({"max_tokens": 5, "max_completion_tokens": 6}, 6),
        ({"max_tokens": None}, 77),
    ],
)
def test_the_server_is_always_told_how_long_an_answer_may_be(more: JsonObject, tokens: int) -> None:
    """It would stop after 16 tokens."""
    spec = ModelSpec(provider="up", upstream_name="m", max_output_tokens=77)
    assert sent(CHAT.encode(_request(**more), stream=False, spec=spec).body)["max_tokens"] == tokens


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (_request(tools=TOOLS), "tools"),
        (_request(stop=["END"]), "stop"),
        (_request(response_format={"type": "json_object"}), "response_format"),
        (_request(logprobs=True), "logprobs"),
        (_request({"role": "tool", "tool_call_id": "c", "content": "r"}), "messages"),
        (_request({"role": "assistant", "tool_calls": [{}]}), "messages"),
        (_request({"role": "user", "content": [{"type": "image_url"}]}), "messages"),
    ],
)
def test_what_it_cannot_do_is_refused(request_: JsonObject, param: str) -> None:
    """Naming the parameter."""
    with pytest.raises(Unsupported) as caught:
        CHAT.encode(request_, stream=False, spec=MODEL)

    assert caught.value.param == param


def test_what_are_no_messages_is_wrong() -> None:
    """Before anybody is asked."""
    for messages in ("hi", ["hi"]):
        with pytest.raises(InvalidArgument):
            CHAT.encode({"model": "m", "messages": messages}, stream=False, spec=MODEL)  # type: ignore[dict-item]


@pytest.mark.parametrize("size", [0, 1, 9])
def test_a_stream_is_made_of_the_whole_answer(size: int) -> None:
    """Folded, it is the answer: every choice, every character, what was quoted, the usage."""
    message: Json = {"role": "assistant", "content": "  Two\n\nwords,  and 🦊 " + "x" * 500}
    quoted: Json = [{"text": "t", "title": "Fables"}]
    choices: list[Json] = [
        {"index": 0, "message": message, "finish_reason": "stop", "references": quoted},
        {"index": 1, "message": {"role": "assistant", "content": ""}, "finish_reason": "length"},
    ]
    usage: Json = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    said = dump(
        {"id": "placeholder", "created": 7, "model": "m", "choices": choices, "usage": usage}
    )
    decoder = CHAT.decoder()
    fold = Fold()

    for chunk in chunks_of(decoder, said, size):
        fold.add(chunk)

    assert decoder.is_done
    whole, folded = CHAT.decode(said), fold.answer()
    assert whole["id"] != "placeholder"

    for answer in (whole, folded):
        assert answer["usage"] == usage
        told = answer["choices"]
        assert isinstance(told, list)
        first, second = told
        assert isinstance(first, dict)
        assert isinstance(second, dict)
        assert first["message"] == {**message, "references": quoted}  # type: ignore[dict-item]
        assert (first["finish_reason"], second["finish_reason"]) == ("stop", "length")


def test_an_answer_that_is_none_is_no_stream_either() -> None:
    """Garbage, an error, too much of it."""
    for body in (b"", b"<html>", b'{"error":{"message":"m"}}', b'{"choices":3}'):
        with pytest.raises(UpstreamError):
            chunks_of(CHAT.decoder(), body)

    with pytest.raises(UpstreamError):
        chunks_of(CHAT.decoder(limit=3), b"{   }")


async def test_a_client_that_asks_for_a_stream_gets_one() -> None:
    """Of the server's whole answer."""
    async with vendor("gpt4all", "plain") as up:
        client = await up.chat("up~plain", stream=True)
        assert up.received["stream"] is False

    assert len(client.chunks) > 5
    assert client.folded()["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": PLAIN_TEXT},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]


async def test_its_models_are_those_that_are_installed() -> None:
    """None of them calls tools, whatever its name says."""
    found = await listed(ADAPTER, "gpt4all")
    plain = spec_of(found["plain"])
    assert (plain.state, plain.supports) == ("unknown", ("chat", "streaming"))
    assert plain.facts.runtime == "llama.cpp"
    assert ADAPTER.concurrency == 1


async def test_a_server_that_is_switched_off_is_told() -> None:
    """It answers 401 to everything, with nothing in it."""
    with pytest.raises(UpstreamError) as caught:
        await listed(ADAPTER, "gpt4all", quirks=[Quirk.DISABLED])

    assert caught.value.code == "upstream_auth"
    off = Reply(status=401, headers={}, body=b"")
    assert ADAPTER.condition(off) is Condition.UNAUTHORIZED


async def test_it_is_asked_one_thing_at_a_time() -> None:
    """The second call waits until the first is over."""
    begun: list[list[bool]] = []
    simulated = GPT4AllSimulator()

    def play(seen: Seen) -> Play:
        begun.append([other.ended for other in up.upstream.seen if other is not seen])
        return replace(simulated.answer(seen), delay=0.02)

    spec = ProviderSpec(provider_type="gpt4all", long_timeout=5.0)

    async with gateway(play, model("plain"), spec=spec) as up:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(up.chat, "up~plain")

        assert len(up.outcomes) == 3

    assert begun == [[], [True], [True, True]]
