"""How many bytes of its answer a client was given, and what the answer calls itself."""

from __future__ import annotations

import json

import pytest

from spindle_conformance.upstreams.server import Play
from spindle_spi.admission import Status
from tests.llm.support.gateway import gateway, play_of
from tests.llm.support.records import model
from tests.llm.surfaces.messages.test_raw import EVENTS, SPEC, WHOLE

HELLO = {"max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.requirement("001-logging-behaviour")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
async def test_the_outcome_has_the_size_of_the_answer(path: str, *, stream: bool) -> None:
    """Every byte the client got is counted once, whatever the surface's form."""
    given = {"input": "hi"} if path.endswith("responses") else HELLO
    body = json.dumps({"model": "up~m", "stream": stream, **given}).encode()

    async with gateway(play_of("plain", stream=stream)) as up:
        client = await up.ask(body, path=path)
        (outcome,) = up.outcomes

    assert client.status == 200, client.content
    assert outcome.response_bytes == len(client.content)
    assert outcome.response_id


@pytest.mark.parametrize("stream", [False, True])
async def test_the_outcome_has_the_id_of_the_answer(*, stream: bool) -> None:
    """A chat's own id, as its client sees it."""
    async with gateway(play_of("plain", stream=stream)) as up:
        client = await up.chat(stream=stream)
        (outcome,) = up.outcomes

    shown = client.chunks[0] if stream else client.json
    assert outcome.response_id == shown["id"]


@pytest.mark.parametrize(
    ("play", "stream"),
    [
        (Play(body=WHOLE), False),
        (Play(body=EVENTS, content_type="text/event-stream", streamed=True), True),
    ],
)
async def test_a_message_that_is_passed_on_raw_has_its_size_and_id(
    play: Play, *, stream: bool
) -> None:
    """An upstream of Anthropic's form is counted as any other."""
    body = json.dumps({"model": "up~m", "stream": stream, **HELLO}).encode()

    async with gateway(play, model("m"), spec=SPEC) as up:
        client = await up.ask(body, path="/v1/messages")
        (outcome,) = up.outcomes

    assert client.status == 200, client.content
    assert (outcome.response_bytes, outcome.response_id) == (len(client.content), "msg_1")


async def test_of_a_broken_stream_what_went_out_before_is_counted() -> None:
    """The event that tells of the failure is no part of the answer."""
    async with gateway(play_of("cut")) as up:
        client = await up.chat(stream=True)
        (outcome,) = up.outcomes

    told = len(f"data: {client.events[-1]}\n\n")
    assert outcome.status is Status.PARTIAL
    assert outcome.response_bytes == len(client.content) - told


async def test_a_refusal_has_no_size() -> None:
    """Nothing of an answer was given to a client that got an error."""
    async with gateway(play_of("error-500", stream=False)) as up:
        client = await up.chat()
        (outcome,) = up.outcomes

    assert client.status >= 500
    assert (outcome.response_bytes, outcome.response_id) == (None, None)
