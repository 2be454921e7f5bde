"""What holds for every vendor: its flags, its ledger, its errors, its streams and answers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.faults import SECRET_TEXT
from spindle_conformance.upstreams.scripts import dump
from spindle_conformance.upstreams.server import Play
from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.ledger import Fate
from spindle_llm.providers.ollama_chat import OllamaChat
from spindle_llm.providers.parameters import CHAT_PARAMETERS
from spindle_llm.providers.readings import object_in, objects_in
from spindle_llm.providers.registry import adapters
from spindle_spi.errors import Category
from spindle_spi.records import ProviderSpec
from tests.llm.support.gateway import gateway
from tests.llm.support.records import model
from tests.llm.support.vendors import MODEL, TOOLS, made_of, vendor

if TYPE_CHECKING:
    from spindle_llm.providers.dialect import ChatDialect
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

ADAPTERS = adapters()
VENDORS = ("lm_studio", "jan", "gpt4all", "localai", "cortexso", "openrouter", "azure_openai")
FLAGS = {
    "ollama": "install import update load unload delete cancel timeout hf ollama embedding",
    "lm_studio": "install update load unload progress cancel timeout hf embedding",
    "jan": "embedding",
    "gpt4all": "-streaming",
    "localai": "install import update load unload delete timeout hf ollama embedding",
    "cortexso": "install import update load unload delete timeout hf embedding",
    "openai": "embedding",
    "anthropic": "",
}
_LONG = {
    "progress": "load_model_progress",
    "cancel": "load_model_cancel",
    "timeout": "load_model_timeout",
    "hf": "huggingface_models_supported",
    "ollama": "ollama_models_supported",
    "embedding": "embedding",
}


@pytest.mark.requirement("001-service-capabilities")
@pytest.mark.requirement("001-services")
@pytest.mark.parametrize("kind", FLAGS)
def test_every_service_says_what_it_can_do(kind: str) -> None:
    """Flag by flag, as its vendor's API has it."""
    words = FLAGS[kind].split()
    wanted = {_LONG.get(word, f"{word}_model"): True for word in words if word[0] != "-"}
    wanted |= {word[1:]: False for word in words if word[0] == "-"}
    assert ADAPTERS[kind].capabilities == ServiceCapabilities(**wanted)
    assert set(ADAPTERS[kind].capabilities.shown()) == set(ServiceCapabilities().shown())


def _dialects() -> list[tuple[str, ChatDialect]]:
    found: list[tuple[str, ChatDialect]] = [("ollama in its own form", OllamaChat())]

    for kind, adapter in ADAPTERS.items():
        found.append((kind, adapter.chat(ProviderSpec(provider_type=kind), MODEL, {})))

    return found


@pytest.mark.requirement("003-chat-select")
@pytest.mark.parametrize(("kind", "dialect"), _dialects(), ids=lambda value: str(value)[:24])
def test_every_parameter_has_a_fate_that_somebody_chose(kind: str, dialect: ChatDialect) -> None:
    """Nothing is passed, dropped or refused because nobody thought of it."""
    ledger = dialect.ledger
    listed = (*ledger.translated, *ledger.dropped, *ledger.rejected, *ledger.passed)
    missing = CHAT_PARAMETERS - set(listed)
    assert not missing, kind
    twice = {name for name in CHAT_PARAMETERS if listed.count(name) > 1}
    assert not twice, kind
    assert all(isinstance(ledger.fate(name), Fate) for name in CHAT_PARAMETERS)


NAMES = (
    *("plain", "echo", "empty", "length", "reasoning", "tools", "parallel-tools"),
    *("text-and-tools", "usage-less", "choices", "crlf", "logprobs"),
)


@pytest.mark.parametrize("kind", VENDORS)
async def test_a_stream_says_what_a_whole_answer_says(kind: str) -> None:
    """For all that a vendor can say, however its bytes were cut."""
    async with vendor(kind, *NAMES, *(f"{name}@3" for name in NAMES)) as up:
        for name in NAMES:
            tools: Json = TOOLS if "tools" in name else []
            whole = await up.chat(f"up~{name}", tools=tools)

            if kind == "gpt4all" and "tools" in name:
                assert (whole.status, whole.error["param"]) == (400, "tools")
                continue

            if whole.status == 404:
                # A vendor that cannot say it has no such model.
                continue

            told = [_plain(made_of(whole))]

            for asked in (name, f"{name}@3"):
                usage: Json = {"include_usage": True}
                client = await up.chat(
                    f"up~{asked}", stream=True, tools=tools, stream_options=usage
                )
                told.append(_plain(made_of(client)))

            assert told[1] == told[0], name
            assert told[2] == told[0], name

        assert sum(outcome.status == "ok" for outcome in up.outcomes) > 12


def _plain(told: Json) -> JsonObject:
    value: JsonObject = json.loads(json.dumps(told))
    value["model"] = str(value.get("model")).partition("@")[0]

    for choice in objects_in(value, "choices"):
        choice.pop("content_filter_results", None)
        choice.pop("native_finish_reason", None)
        message = object_in(choice, "message")

        if not message.get("content"):
            message.pop("content", None)

        for call in objects_in(message, "tool_calls"):
            call.pop("id", None)

    return value


CONTEXT = (400, "context_length_exceeded", Category.INVALID_ARGUMENT, False)
QUOTA = (429, "insufficient_quota", Category.RATE_LIMITED, False)
KEY = (502, "upstream_auth", Category.UPSTREAM_ERROR, False)
RATE = (429, "rate_limit_exceeded", Category.RATE_LIMITED, True)
OVERLOAD = (503, "upstream_overloaded", Category.UNAVAILABLE, True)
FAILED = (502, "upstream_error", Category.UPSTREAM_ERROR, True)
MISSING = (404, "upstream_model_missing", Category.NOT_FOUND, False)
FILTERED = (400, "content_filter", Category.INVALID_ARGUMENT, False)
USUAL = {
    "error-context": CONTEXT,
    "error-quota": QUOTA,
    "error-key": KEY,
    "error-rate": RATE,
    "error-overloaded": OVERLOAD,
    "error-500": FAILED,
    "error-401": KEY,
    "error-429": RATE,
    "text-503": OVERLOAD,
    "html-502": (503, "upstream_unreachable", Category.UNAVAILABLE, True),
    "no-body-500": FAILED,
    "unknown-model": MISSING,
}
ODD: dict[str, dict[str, tuple[int, str, Category, bool]]] = {
    # None of them speaks of money; what they say at status 429 is that it is too much at once.
    "lm_studio": {"error-quota": RATE},
    "jan": {"error-quota": RATE},
    "localai": {"error-quota": RATE},
    # Its failures have no body, and an unknown model is answered by another one.
    "gpt4all": {"error-quota": RATE, "error-context": FAILED},
    # Nearly everything is a bad request.
    "cortexso": {"error-quota": FAILED, "error-rate": FAILED, "error-overloaded": FAILED},
    "openrouter": {"error-filtered": FILTERED},
    "azure_openai": {"error-filtered": FILTERED},
}


@pytest.mark.requirement("001-error-mapping")
@pytest.mark.parametrize("kind", ["ollama", *VENDORS])
async def test_refusals_have_one_meaning_whoever_refuses(kind: str) -> None:
    """Before the first byte: status, code, and no word or key of the upstream's."""
    wanted = {**USUAL, **ODD.get(kind, {})}

    if kind == "gpt4all":
        del wanted["unknown-model"]

    for name, (status, code, _, retryable) in wanted.items():
        # One each: a provider that fails often is not asked for a while.
        async with vendor(kind, name) as up:
            for stream in (False, True):
                client = await up.chat(f"up~{name}", stream=stream)
                said = (client.status, client.error["code"])
                assert said == (status, code), (name, stream)
                assert client.headers["x-spindle-origin"] == "upstream"
                assert client.headers.get("x-should-retry", "") != str(not retryable).lower()
                _assert_says_nothing(client.content)


@pytest.mark.requirement("001-error-mapping")
@pytest.mark.parametrize("kind", [kind for kind in ("ollama", *VENDORS) if kind != "gpt4all"])
async def test_an_error_after_the_first_byte_ends_the_stream(kind: str) -> None:
    """An event that tells of it, and no end of a stream; GPT4All has no such thing."""
    async with vendor(kind, "in-stream-error", "cut") as up:
        for name in ("in-stream-error", "cut"):
            client = await up.chat(f"up~{name}", stream=True)
            assert client.status == 200
            assert b"[DONE]" not in client.content
            assert str(client.error["code"]).startswith("upstream_")
            _assert_says_nothing(client.content)


def _assert_says_nothing(content: bytes) -> None:
    for secret in (SECRET_TEXT.split(" ")[1], "org-upstream", "upgrade to", "rpc error", "<html"):
        assert secret.encode() not in content


TABLE: list[tuple[int, tuple[int, Category, bool]]] = [
    (401, (502, Category.UPSTREAM_ERROR, False)),
    (402, (429, Category.RATE_LIMITED, False)),
    (403, (502, Category.UPSTREAM_ERROR, False)),
    (404, (502, Category.UPSTREAM_ERROR, False)),
    (408, (504, Category.UPSTREAM_ERROR, True)),
    (429, (429, Category.RATE_LIMITED, True)),
    (500, (502, Category.UPSTREAM_ERROR, True)),
    (502, (503, Category.UNAVAILABLE, True)),
    (503, (503, Category.UNAVAILABLE, True)),
    (504, (504, Category.UPSTREAM_ERROR, True)),
    (529, (503, Category.UNAVAILABLE, True)),
]
BODIES = [
    b"",
    b"secret words",
    b"<html>secret words</html>",
    dump("secret words"),
    dump({"error": "secret words"}),
    dump({"message": "secret words"}),
    dump({"error": {"message": "secret words", "code": 1305, "type": ""}}),
    dump({"error": {"message": "secret words", "code": None}}),
    b"[" * 5000,
]


@pytest.mark.requirement("001-error-mapping")
@pytest.mark.parametrize(("status", "wanted"), TABLE)
@pytest.mark.parametrize("kind", ["openai", "ollama", *VENDORS])
def test_a_status_means_the_same_with_any_body(
    kind: str, status: int, wanted: tuple[int, Category, bool]
) -> None:
    """Objects, texts, numbers, pages, nothing."""
    for body in BODIES:
        error = ADAPTERS[kind].refusal(status, {"retry-after": "3"}, body, None)
        assert (error.http_status, error.category, error.retryable) == wanted, body
        assert "secret" not in error.message
        is_waiting = status in (408, 429, 500, 502, 503, 504, 529)
        assert error.retry_after == (3.0 if is_waiting else None)


@pytest.mark.requirement("001-services")
@pytest.mark.parametrize("kind", ["openai", "ollama", "anthropic", *VENDORS])
def test_every_service_says_who_it_is_and_where_its_health_is(kind: str) -> None:
    """A name for records, one for people, an address by default, and one to ask."""
    adapter = ADAPTERS[kind]
    assert adapter.provider_type == kind
    assert adapter.title
    assert adapter.default_base is not None or kind == "azure_openai"
    url = adapter.health_url("http://host:1/v1")
    assert url is not None
    assert url.startswith("http://host:1/")


async def test_parameters_that_are_dropped_are_named() -> None:
    """In a header, for whoever wonders."""
    spec = ProviderSpec(provider_type="jan")

    async with gateway(Play(status=500), model("m"), spec=replace(spec, long_timeout=2.0)) as up:
        client = await up.chat(user="u", verbosity="high", n=1)
        assert up.received.keys() == {"model", "messages", "stream"}

    assert client.status == 502
