"""Upstreams that fail, before the first byte and after it, on the raw and on the hooked path."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.openai import answer
from spindle_conformance.upstreams.plays import SECRET_TEXT, script_for
from spindle_conformance.upstreams.scripts import dump
from spindle_conformance.upstreams.server import Ending, Play
from spindle_spi.admission import Limits, Status
from tests.llm.support.gateway import gateway
from tests.llm.support.records import SPEC, Word, model

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

FAST = replace(SPEC, long_timeout=0.2)
FAILURES = {
    "error-400": (400, "upstream_code", "upstream"),
    "error-401": (502, "upstream_auth", "upstream"),
    "error-403": (502, "upstream_auth", "upstream"),
    "error-404": (502, "upstream_model_missing", "upstream"),
    "error-418": (502, "upstream_refused", "upstream"),
    "error-429": (429, "rate_limit_exceeded", "upstream"),
    "error-500": (502, "upstream_error", "upstream"),
    "error-503": (503, "upstream_overloaded", "upstream"),
    "html-502": (503, "upstream_unreachable", "upstream"),
    "html": (502, "upstream_garbage", "upstream"),
    "hang": (504, "upstream_timeout", "upstream"),
    "cut-before": (502, "upstream_closed", "upstream"),
    "cut-head": (502, "upstream_cut", "upstream"),
    "error-first": (502, None, "upstream"),
}


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", FAILURES)
async def test_a_failing_upstream_is_told_honestly_and_says_nothing_itself(
    name: str, stream: bool, hooked: bool
) -> None:
    """A real status before the first byte, the origin, and none of the upstream's own words."""
    status, code, origin = FAILURES[name]

    async with gateway(answer, model(name), model("plain"), spec=FAST) as up:
        if hooked:
            up.host.plugins.append(Word())

        client = await up.chat(f"up~{name}", stream=stream)
        outcome = up.outcomes[0]
        up.host.plugins.clear()
        assert (await up.chat("up~plain")).status == 200

    assert client.status == status
    assert code is None or client.error["code"] == code
    assert client.headers["x-spindle-origin"] == origin
    assert client.is_complete
    assert SECRET_TEXT.split(" ")[1].encode() not in client.content
    assert b"Bad gateway" not in client.content
    assert b"org-upstream" not in client.content
    assert (outcome.status, outcome.error_code) == (Status.ERROR, client.error["code"])


async def test_an_upstreams_limits_are_passed_on_with_its_waits() -> None:
    """Clients wait as long as the vendor asks."""
    headers = (
        ("retry-after", "7"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "6m0s"),
        ("x-secret-account", "acme"),
        ("set-cookie", "a=b"),
    )

    async with gateway(Play(status=429, headers=headers, body=b"{}")) as up:
        client = await up.chat()

    assert client.headers["retry-after"] == "7"
    assert client.headers["retry-after-ms"] == "7000"
    assert client.headers["x-ratelimit-reset-requests"] == "6m0s"
    assert "x-secret-account" not in client.headers
    assert "set-cookie" not in client.headers


async def test_an_upstreams_limits_are_shown_with_good_answers_too() -> None:
    """Users read them to pace themselves."""
    body = script_for({"model": "plain", "messages": []}).unary_bytes()
    headers = (("x-ratelimit-limit-tokens", "9"), ("openai-processing-ms", "12"))

    async with gateway(Play(body=body, headers=headers)) as up:
        client = await up.chat()

    assert client.headers["x-ratelimit-limit-tokens"] == "9"
    assert client.headers["openai-processing-ms"] == "12"


async def test_an_exhausted_quota_is_not_worth_a_retry() -> None:
    """The client is told so."""
    error: JsonObject = {"error": {"message": "pay", "code": "insufficient_quota"}}

    async with gateway(Play(status=429, body=dump(error))) as up:
        client = await up.chat()

    assert (client.status, client.error["code"]) == (429, "insufficient_quota")
    assert client.headers["x-should-retry"] == "false"
    assert b"pay" not in client.content


@pytest.mark.parametrize("name", ["cut", "cut-clean", "hang-after-first", "in-stream-error"])
@pytest.mark.parametrize("hooked", [False, True])
async def test_a_stream_that_fails_in_the_middle_ends_in_an_error(name: str, hooked: bool) -> None:
    """No finish reason is made up, and no [DONE] is sent."""
    async with gateway(answer, model(name), spec=FAST) as up:
        if hooked:
            up.host.plugins.append(Word())

        client = await up.chat(f"up~{name}", stream=True)

    *chunks, _ = client.events
    assert client.status == 200
    assert client.error["type"] == "server_error"
    assert client.is_complete
    assert "[DONE]" not in client.events
    assert chunks
    assert all(json.loads(one)["choices"][0]["finish_reason"] is None for one in chunks)
    outcome = up.host.outcome
    assert (outcome.status, outcome.error_code) == (Status.PARTIAL, client.error["code"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"choices":1}',
        b'{"choices":[{}]}',
        b'{"error":{"message":"x"}}',
        b'{"choices":[],"x":"\xff"}',
        b"[" * 5000,
    ],
)
async def test_a_whole_answer_that_is_none_is_a_bad_gateway(body: bytes) -> None:
    """Status 200 does not make an answer of it."""
    async with gateway(Play(body=body)) as up:
        client = await up.chat()

    assert client.status == 502


@pytest.mark.parametrize("hooked", [False, True])
async def test_a_sloppy_whole_answer_is_put_right(hooked: bool) -> None:
    """Arguments become text, the finish reason says that tools were called."""
    call: JsonObject = {"function": {"name": "f", "arguments": {"x": 1}}}
    message: JsonObject = {"content": None, "tool_calls": [call]}
    choice: JsonObject = {"message": message, "finish_reason": "stop"}

    async with gateway(Play(body=dump({"model": "x", "choices": [choice]}))) as up:
        if hooked:
            up.host.plugins.append(Word())

        client = await up.chat()

    choices = client.json["choices"]
    assert isinstance(choices, list)
    assert isinstance(choices[0], dict)
    sent = choices[0]["message"]
    assert isinstance(sent, dict)
    assert choices[0]["finish_reason"] == "tool_calls"
    assert sent["tool_calls"] == [
        {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    ]
    assert (client.json["model"], sent["role"]) == ("up~m", "assistant")


async def test_an_answer_that_is_too_large_is_given_up() -> None:
    """Whole or in one event."""
    section: JsonObject = {"answer_limit_bytes": 2048}

    async with gateway(answer, model("big"), section=section) as up:
        assert (await up.chat("up~big")).error["code"] == "upstream_too_large"

    event = b"data: " + b"x" * 10_000

    async with gateway(
        Play(body=event, streamed=True, content_type="text/event-stream"), section=section
    ) as up:
        assert (await up.chat(stream=True)).status == 502


async def test_a_permits_patience_bounds_an_upstreams_silence() -> None:
    """When it is shorter than the provider's."""
    async with gateway(Play(silent=True, ending=Ending.HANG)) as up:
        up.host.limits = Limits(timeout=0.05)
        client = await up.chat()

    assert client.status == 504


async def test_a_fallback_answers_in_place_of_a_failing_model() -> None:
    """Before the first byte, within the permit's attempts, and the ledger knows who served."""
    failing = model("error-500", fallbacks=("up~plain", "up~hang"))

    async with gateway(answer, failing, model("plain"), model("hang")) as up:
        up.host.limits = Limits(max_attempts=2)
        client = await up.chat("up~error-500", stream=True)

    assert client.chunks[0]["model"] == "up~plain"
    outcome = up.host.outcome
    assert (outcome.status, outcome.served_by) == (Status.OK, "up~plain")
    assert [attempt.outcome for attempt in outcome.attempts] == ["upstream_error", "ok"]


async def test_a_failure_that_is_the_clients_own_is_not_tried_elsewhere() -> None:
    """A wrong request is wrong everywhere."""
    failing = model("error-400", fallbacks=("up~plain",))

    async with gateway(answer, failing, model("plain")) as up:
        up.host.limits = Limits(max_attempts=2)
        client = await up.chat("up~error-400")

    assert client.status == 400
    assert len(up.upstream.seen) == 1
