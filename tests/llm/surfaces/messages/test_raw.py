"""Bytes of Anthropic's clients over an upstream of its form: what is touched, and what is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.upstreams.server import Ending, Play
from spindle_llm.relay.journal import Journal
from spindle_llm.surfaces.messages.egress import MessageEgress, outgoing_message
from spindle_spi.admission import Status
from spindle_spi.errors import UpstreamError
from spindle_spi.records import ProviderSpec
from tests.llm.support.gateway import gateway
from tests.llm.support.messages import events_of, message
from tests.llm.support.records import model

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

SPEC = ProviderSpec(provider_type="anthropic", long_timeout=2.0)
WHOLE = (
    b'{"id":"msg_1",  "type":"message","role":"assistant","model":"claude","content":'
    b'[{"type":"thinking","thinking":"t","signature":"\\u0041/+=="},{"later":1.0e2}],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2,"later":{}}}'
)
EVENTS = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
    b'"role":"assistant","model":"claude","content":[],"usage":{"input_tokens":3}}}\n\n'
    b'event: ping\ndata: {"type": "ping"}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":'
    b'{"type":"thinking","thinking":"","signature":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
    b'{"type":"signature_delta","signature":"\\u0041/+=="}}\n\n'
    b'event: later\ndata: {"type":"later", "model":"claude"}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"refusal"},'
    b'"usage":{"output_tokens":9}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
NAMED = b'"model":"up~m"'


def streamed(body: bytes = EVENTS, ending: Ending = Ending.COMPLETE) -> Play:
    """Return what an upstream does that sends a stream."""
    return Play(body=body, content_type="text/event-stream", streamed=True, ending=ending)


async def test_a_request_and_its_answer_differ_in_the_models_name_alone() -> None:
    """Byte for byte: fields nobody knows, signatures, the spelling of numbers."""
    async with gateway(Play(body=WHOLE), model("m"), spec=SPEC) as up:
        body = b'{"max_tokens":5, "messages":[{"x":1.0e2}], "model":"up~m","later":"\\u0041"}'
        client = await up.ask(body, path="/v1/messages")
        assert up.upstream.seen[-1].body == body.replace(b"up~m", b"m")
        usage = up.outcomes[0].usage

    assert client.content == WHOLE.replace(b'"model":"claude"', NAMED)
    assert client.headers["request-id"] == "req-1"
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (3, 2, False)


@pytest.mark.parametrize("chunk", [0, 1, 7, 100])
async def test_a_stream_differs_in_the_models_name_alone(chunk: int) -> None:
    """In its first event; usage and stop reason go into the ledger."""
    async with gateway(streamed(), model("m"), spec=SPEC, chunk=chunk) as up:
        client = await message(up, "m", stream=True)
        (outcome,) = up.outcomes

    assert client.content == EVENTS.replace(b'"model":"claude","content"', NAMED + b',"content"')
    assert outcome.usage is not None
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (3, 9)
    assert outcome.finish_reasons == ("content_filter",)


@pytest.mark.requirement("002-2-connectors")
async def test_betas_and_version_go_to_anthropic() -> None:
    """Those of the provider's record first; its version holds, where it names one."""
    headers = {"anthropic-beta": "b2", "anthropic-version": "2026-10-21", "x-api-key": "mine"}
    own = ProviderSpec(provider_type="anthropic", options={"anthropic_beta": "b1"})
    pinned = ProviderSpec(provider_type="anthropic", api_version="2024-01-01")

    async with gateway(Play(body=WHOLE), model("m"), spec=own) as up:
        await message(up, "m", headers=headers)
        seen = up.upstream.seen[-1].headers
        assert seen["anthropic-beta"] == "b1,b2"
        assert seen["anthropic-version"] == "2026-10-21"
        assert "x-api-key" not in seen

    async with gateway(Play(body=WHOLE), model("m"), spec=pinned) as up:
        await message(up, "m", headers=headers)
        assert up.upstream.seen[-1].headers["anthropic-version"] == "2024-01-01"


async def test_defaults_are_set_in_passing() -> None:
    """Those that mean the same; a default of another name takes the long way."""
    async with gateway(Play(body=WHOLE), model("m", temperature=0.5), spec=SPEC) as up:
        await message(up, "m")
        assert up.received["temperature"] == 0.5
        assert up.received["messages"] == [{"role": "user", "content": "hi"}]

    async with gateway(Play(body=WHOLE), model("m", stop=["x"]), spec=SPEC) as up:
        await message(up, "m")
        assert up.received["stop_sequences"] == ["x"]


async def test_an_error_before_the_first_block_has_a_status_of_its_own() -> None:
    """Though the message had begun: nothing of it had gone out."""
    start = EVENTS.split(b"event: content_block_start")[0]
    told = (
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error",'
        b'"message":"sk-secret"}}\n\n'
    )

    async with gateway(streamed(start + told), model("m"), spec=SPEC) as up:
        client = await message(up, "m", stream=True)

    error: Any = client.json
    assert client.status == 503
    assert error["error"]["type"] == "overloaded_error"
    assert "secret" not in client.content.decode()


@pytest.mark.parametrize(
    "end",
    [
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"sk-x"}}\n\n',
        b"event: content_block_delta\ndata: garbage\n\n",
        b"",
    ],
)
async def test_an_error_after_it_is_the_last_event(end: bytes) -> None:
    """In the surface's own form, with our words; the call is settled as far as it went."""
    begun = EVENTS.split(b"event: later")[0]

    async with gateway(streamed(begun + end), model("m"), spec=SPEC) as up:
        client = await message(up, "m", stream=True)
        (outcome,) = up.outcomes

    *before, (name, last) = events_of(client)
    fields: Any = last
    assert client.status == 200
    assert before[-1][0] == "content_block_delta"
    assert name == "error"
    assert fields["error"]["type"] == "api_error"
    assert fields["request_id"] == "req-1"
    assert "sk-x" not in client.content.decode()
    assert outcome.status is Status.PARTIAL
    assert outcome.usage is not None
    assert outcome.usage.input_tokens == 3


@pytest.mark.parametrize("data", [b"", b"[]", b'{"type":"error","content":[]}', b'{"content":1}'])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    """An error under status 200, a page of HTML."""
    with pytest.raises(UpstreamError):
        outgoing_message(data, model="m", journal=Journal(), sent_bytes=1)


def test_a_message_that_says_a_key_twice_is_put_right() -> None:
    """Nobody could tell which model it names."""
    data = b'{"model":"a","content":[],"model":"b"}'
    made: JsonObject = json.loads(
        outgoing_message(data, model="m", journal=Journal(), sent_bytes=4)
    )
    assert made == {"model": "m", "content": []}
    start = b'data: {"type":"message_start","message":{"model":"a","model":"b"}}\n\n'
    egress = MessageEgress(model="m", limit=1000)
    stop = b'data: {"type":"message_stop"}\n\n'
    assert b'"message":{"model":"m"}' in egress.feed(start + stop)


@pytest.mark.parametrize(
    "data", [b"data: {}\n\n", b'data: {"type":"message_start"}\n\n', b'data: {"type":"a\\nb"}\n\n']
)
def test_events_that_are_none_are_refused(data: bytes) -> None:
    """They would be nothing to a client."""
    egress = MessageEgress(model="m", limit=1000)
    assert egress.feed(data) == b""
    assert isinstance(egress.failure, UpstreamError)
