"""What a chat sends upstream, and what it must never send there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.upstreams.openai import answer
from spindle_llm.routing.defaults import defaults_for, missing_defaults
from spindle_llm.settings import LlmSettings
from spindle_spi.errors import FailedPrecondition
from spindle_spi.records import ModelSpec
from spindle_spi.secret import SecretRef
from tests.llm.support.gateway import SAID, gateway
from tests.llm.support.records import CONTEXT, REQUEST, SPEC, Word, model

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

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


@pytest.mark.requirement("001-config-global")
@pytest.mark.parametrize("hooked", [False, True])
async def test_a_request_wins_over_the_model_and_the_model_over_the_section(hooked: bool) -> None:
    """What nobody says is not sent; with plugins and without."""
    section: JsonObject = {"temperature": 0.7, "max_tokens": 4096}
    models = (model("plain"), model("own", temperature=0.1), model("not", temperature=None))

    async with gateway(answer, *models, section=section) as up:
        if hooked:
            up.host.plugins.append(Word("", None, REQUEST))

        sent: list[JsonObject] = []

        for name, said in (
            ("plain", {}),
            ("plain", {"temperature": None, "max_completion_tokens": 5}),
            ("own", {"max_tokens": 7}),
            ("not", {}),
        ):
            await up.chat(f"up~{name}", stream=hooked, **said)
            sent.append(up.received)

    said_of = [(one.get("temperature", "-"), one.get("max_tokens", "-")) for one in sent]
    assert said_of == [(0.7, 4096), (None, "-"), (0.1, 7), ("-", 4096)]
    assert sent[1]["max_completion_tokens"] == 5


@pytest.mark.requirement("001-config-global")
async def test_without_them_in_the_section_nothing_is_added() -> None:
    """No value is built in: a request passes as it came."""
    async with gateway(answer, model("plain")) as up:
        await up.chat("up~plain")

    assert up.received.keys() == {"model", "messages", "stream"}


@pytest.mark.requirement("001-config-global")
@pytest.mark.parametrize(
    ("name", "changes", "added"),
    [
        ("plain", {"max_output_tokens": 100}, {"temperature": 0.7, "max_tokens": 100}),
        ("plain", {"max_output_tokens": 9000}, {"temperature": 0.7, "max_tokens": 4096}),
        ("plain", {"supports": ("embedding",)}, {}),
        ("o3-mini", {}, {"max_completion_tokens": 4096}),
        ("openai/gpt-5.1", {}, {"max_completion_tokens": 4096}),
        ("o3-mini", {"defaults": {"max_tokens": 3}}, {"max_tokens": 3}),
        ("gpt-5-chat-latest", {}, {"temperature": 0.7, "max_tokens": 4096}),
        ("o1ga", {}, {"temperature": 0.7, "max_tokens": 4096}),
    ],
)
def test_a_model_gets_what_it_takes(
    name: str, changes: dict[str, Any], added: dict[str, object]
) -> None:
    """No more tokens than it has, none for what does not chat, none it is known to refuse."""
    settings = LlmSettings(temperature=0.7, max_tokens=4096)
    spec = replace(ModelSpec(provider="up", upstream_name=name), **changes)

    assert missing_defaults(defaults_for(spec, SPEC, settings), ()) == added


@pytest.mark.requirement("001-config-global")
@pytest.mark.parametrize("hooked", [False, True])
async def test_a_provider_stands_between_its_models_and_the_section(hooked: bool) -> None:
    """A null of a model or a provider ends the search for everybody behind it."""
    spec = replace(SPEC, defaults={"temperature": 0.3, "top_p": 0.9, "max_tokens": None})
    models = (model("plain"), model("own", temperature=0.1, top_p=None))
    section: JsonObject = {"temperature": 0.7, "max_tokens": 4096}
    sent: list[JsonObject] = []

    async with gateway(answer, *models, spec=spec, section=section) as up:
        if hooked:
            up.host.plugins.append(Word("", None, REQUEST))

        for name in ("plain", "own"):
            await up.chat(f"up~{name}")
            sent.append({**up.received})

    keys = ("temperature", "top_p", "max_tokens")
    assert [[one.get(key) for key in keys] for one in sent] == [[0.3, 0.9, None], [0.1, None, None]]
    assert "max_tokens" not in sent[0]


async def test_a_provider_without_its_key_cannot_be_used() -> None:
    """The client is not told where the key should be; the operator is, in the log."""
    async with gateway(answer, spec=replace(SPEC, api_key=SecretRef(name="provider:up"))) as up:
        up.host.refuse("secret", FailedPrecondition("Nothing at provider:up in /etc/keys."))
        client = await up.chat()

    assert (client.status, client.error["code"]) == (503, "llm.provider.credential")
    assert client.headers["x-should-retry"] == "false"
    assert b"/etc/keys" not in client.content
    assert "/etc/keys" in str(up.host.journal.logged)
