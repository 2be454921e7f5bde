"""Chats over sockets: answers, streams, errors, departures; every call is settled exactly once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spindle_conformance.upstreams.openai import answer
from spindle_conformance.upstreams.plays import script_for
from spindle_spi.admission import Status
from spindle_spi.errors import ContractViolation, NotFound, PermissionDenied, RateLimited
from spindle_spi.records import ModelSpec, Visibility
from tests.llm.relay.test_folding import without_nulls
from tests.llm.support.gateway import SAID, Client, gateway
from tests.llm.support.records import model

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("000-chat-completions")]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_a_whole_answer_comes_back_under_the_unified_name(path: str) -> None:
    """Nothing else of it changes, and the ledger has its usage."""
    async with gateway(answer, model("plain")) as up:
        client = await up.ask({**SAID, "model": "up~plain"}, path=path)

    said = script_for({"model": "plain", "messages": []}).answer()
    assert client.status == 200
    assert client.json == {**said, "model": "up~plain"}
    assert client.is_complete
    outcome = up.host.outcome
    assert (outcome.status, outcome.stream, outcome.error_code) == (Status.OK, False, None)
    assert outcome.usage is not None
    assert (outcome.usage.input_tokens, outcome.usage.cache_read_tokens) == (11, 3)
    assert outcome.usage.output_tokens == 19
    assert not outcome.usage.estimated
    assert outcome.finish_reasons == ("stop",)
    assert outcome.first_byte_ms is not None
    assert 0 < outcome.first_byte_ms <= outcome.total_ms
    (attempt,) = outcome.attempts
    assert (attempt.backend, attempt.target, attempt.outcome) == ("up", "up~plain", "ok")


@pytest.mark.parametrize("chunk", [0, 1, 7, 1000])
@pytest.mark.parametrize("name", ["plain", "reasoning", "parallel-tools", "choices", "crlf"])
async def test_a_folded_stream_is_the_whole_answer(name: str, chunk: int) -> None:
    """However the upstream cuts its bytes."""
    async with gateway(answer, model(name), chunk=chunk) as up:
        streamed = await up.chat(f"up~{name}", stream=True, stream_options={"include_usage": True})
        whole = await up.chat(f"up~{name}")

    assert without_nulls(streamed.folded()) == without_nulls(whole.json)
    assert streamed.is_complete
    one, two = up.outcomes
    assert (one.usage, one.finish_reasons) == (two.usage, two.finish_reasons)
    assert one.stream


async def test_a_stream_has_the_headers_that_keep_it_flowing() -> None:
    """No cache and no proxy may hold it back."""
    async with gateway(answer, model("plain")) as up:
        client = await up.chat("up~plain", stream=True)

    headers = client.headers
    assert headers["content-type"].startswith("text/event-stream")
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")
    assert headers["x-request-id"] == "req-1"
    assert int(headers["openai-processing-ms"]) >= 0


async def test_usage_is_asked_for_always_and_shown_only_to_those_who_ask() -> None:
    """The ledger wants it with every stream."""
    async with gateway(answer, model("plain")) as up:
        client = await up.chat("up~plain", stream=True)

    assert up.received["stream_options"] == {"include_usage": True}
    assert not any(chunk.get("usage") for chunk in client.chunks)
    assert up.host.outcome.usage is not None
    assert up.host.outcome.usage.output_tokens == 19


async def test_an_upstream_that_tells_no_usage_is_charged_by_estimate() -> None:
    """Whole and streamed."""
    async with gateway(answer, model("usage-less")) as up:
        await up.chat("up~usage-less")
        await up.chat("up~usage-less", stream=True)

    for outcome in up.outcomes:
        assert outcome.usage is not None
        assert outcome.usage.estimated
        assert outcome.usage.input_tokens > 0
        assert outcome.usage.output_tokens > 0


async def test_unknown_and_hidden_models_are_answered_alike() -> None:
    """Byte for byte, with the name that was asked."""
    secret = model("m", visibility=Visibility.TEAM, team="blue")

    async with gateway(answer, secret) as up:
        hidden = await up.chat("up~m")
        up.host.records.remove(secret)
        unknown = await up.chat("up~m")

    assert (hidden.status, hidden.headers) == (404, unknown.headers)
    assert hidden.content == unknown.content
    assert (hidden.error["code"], hidden.error["param"]) == ("model_not_found", "model")
    assert up.upstream.seen == []


@pytest.mark.parametrize(
    ("refusal", "status", "code", "origin"),
    [
        (PermissionDenied("No."), 403, "permission_denied", "policy"),
        (RateLimited("Slow down.", retry_after=1.5), 429, "rate_limit_exceeded", "policy"),
    ],
)
async def test_what_the_core_refuses_is_told_in_openais_shape(
    refusal: PermissionDenied, status: int, code: str, origin: str
) -> None:
    """Nothing was admitted, so nothing is settled."""
    async with gateway(answer) as up:
        up.host.refuse("admit", refusal)
        client = await up.chat()

    assert (client.status, client.error["code"]) == (status, code)
    assert client.headers["x-spindle-origin"] == origin
    assert (client.headers.get("retry-after-ms") == "1500") == (status == 429)
    assert up.outcomes == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("refusal", [ContractViolation("No receipt."), NotFound("Lost.")])
async def test_an_answer_the_core_refuses_to_settle_does_not_go_out(
    refusal: ContractViolation, stream: bool
) -> None:
    """Settling comes before the last bytes."""
    async with gateway(answer, model("plain"), chunk=0) as up:
        up.host.refuse("settle", refusal)
        client = await up.chat("up~plain", stream=stream)

    assert client.status == 500
    assert client.error["type"] == "server_error"
    assert client.is_complete
    assert len(up.outcomes) == 1


async def test_a_body_that_is_too_large_is_refused_while_it_is_read() -> None:
    """The host bounds it; the surface gives the answer its shape."""
    async with gateway(answer) as up:
        client = await up.ask(client=Client(b"", too_large=True))

    assert (client.status, client.error["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"model":"a","model":"b","messages":[1]}'])
async def test_a_bad_body_is_refused_before_anything_is_admitted(body: bytes) -> None:
    """With status 400 and the origin `client`; the next request is answered."""
    async with gateway(answer, model("plain")) as up:
        client = await up.ask(body)
        assert (await up.chat("up~plain")).status == 200

    assert (client.status, client.headers["x-spindle-origin"]) == (400, "client")
    assert len(up.host.journal.admitted) == 1


async def test_a_request_without_model_takes_the_default() -> None:
    """Without one, it is refused."""
    async with gateway(answer, model("plain"), section={"default_model": "up~plain"}) as up:
        client = await up.ask(SAID)

    assert client.json["model"] == "up~plain"
    assert up.received["model"] == "plain"

    async with gateway(answer) as up:
        client = await up.ask(SAID)

    assert (client.status, client.error["code"]) == (400, "llm.model.missing")


@pytest.mark.requirement("001-config-global")
async def test_a_name_without_service_is_looked_for_in_the_default_service() -> None:
    """Before the name as it stands, which may be another model's alias."""
    other = model("echo")
    assert isinstance(other.spec, ModelSpec)
    other = replace(other, spec=replace(other.spec, aliases=("plain", "alias")))

    async with gateway(answer, model("plain"), other, section={"default_service": "up"}) as up:
        client = await up.chat("plain")
        alias = await up.chat("alias")
        unknown = await up.chat("nothing")
        shown = await up.ask(path="/v1/models/plain", method="GET")
        absent = await up.ask(path="/v1/models/nothing", method="GET")

    assert client.json["model"] == "up~plain"
    assert alias.json["model"] == "up~echo"
    assert unknown.status == 404
    assert "'nothing'" in str(unknown.error["message"])
    assert shown.json["id"] == "up~plain"
    assert absent.status == 404


async def test_nothing_is_left_in_flight() -> None:
    """After whole answers and after streams."""
    async with gateway(answer, model("plain")) as up:
        whole = await up.chat("up~plain")
        streamed = await up.chat("up~plain", stream=True)
        stats = await up.module.stats()

    assert (whole.status, streamed.status) == (200, 200)
    assert stats["in_flight"] == {"up": 0}
