"""What a chat sends upstream, and what it must never send there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spindle_conformance.upstreams.openai import answer
from spindle_spi.errors import FailedPrecondition
from spindle_spi.secret import SecretRef
from tests.llm.support.gateway import SAID, gateway
from tests.llm.support.records import CONTEXT, REQUEST, SPEC, Word, model

pytestmark = pytest.mark.anyio


async def test_only_what_concerns_the_upstream_is_sent_there() -> None:
    """Its own key and a few headers; never the caller's credentials or the client library's."""
    async with gateway(
        answer, model("plain"), spec=replace(SPEC, api_key=SecretRef(name="provider:up"))
    ) as up:
        up.host.secrets["provider:up"] = "sk-upstream"
        await up.ask(
            {**SAID, "model": "up~plain"},
            headers={
                "authorization": "Bearer spn_caller",
                "x-api-key": "spn_caller",
                "cookie": "session=caller",
                "x-stainless-lang": "python",
                "connection": "close",
                "idempotency-key": "k-1",
                "openai-beta": "b=1",
                "x-forwarded-for": "10.0.0.1",
            },
        )
        await up.chat("up~plain")

    first = up.upstream.seen[0]
    assert first.headers == {
        "host": up.url.removeprefix("http://"),
        "content-type": "application/json",
        "accept-encoding": "identity",
        "user-agent": "spindle",
        "authorization": "Bearer sk-upstream",
        "accept": "application/json",
        "idempotency-key": "k-1",
        "openai-beta": "b=1",
        "content-length": str(len(first.body)),
    }
    assert first.path == "/v1/chat/completions"
    assert up.host.journal.secrets == ["provider:up"]


async def test_the_trace_goes_on_to_the_upstream() -> None:
    """When the call has one."""
    trace = replace(CONTEXT.trace, traceparent="00-1-2-01")

    async with gateway(answer, model("plain")) as up:
        await up.ask({**SAID, "model": "up~plain"}, context=replace(CONTEXT, trace=trace))

    assert up.upstream.seen[0].headers["traceparent"] == "00-1-2-01"


@pytest.mark.parametrize("hooked", [False, True])
async def test_the_operators_defaults_fill_what_a_request_leaves_out(hooked: bool) -> None:
    """On both paths alike."""
    async with gateway(answer, model("plain", temperature=0.5, max_tokens=9, top_p=1)) as up:
        if hooked:
            up.host.plugins.append(Word("", None, REQUEST))

        await up.chat("up~plain", temperature=0, max_completion_tokens=3)

    sent = up.received
    assert (sent["temperature"], sent["top_p"]) == (0, 1)
    assert "max_tokens" not in sent


async def test_a_provider_without_its_key_cannot_be_used() -> None:
    """The client is not told where the key should be; the operator is, in the log."""
    async with gateway(answer, spec=replace(SPEC, api_key=SecretRef(name="provider:up"))) as up:
        up.host.refuse("secret", FailedPrecondition("Nothing at provider:up in /etc/keys."))
        client = await up.chat()

    assert (client.status, client.error["code"]) == (503, "llm.provider.credential")
    assert client.headers["x-should-retry"] == "false"
    assert b"/etc/keys" not in client.content
    assert "/etc/keys" in str(up.host.journal.logged)
