"""LM Studio, Jan, LocalAI and Cortex: their lists of models, and their own ways with parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.cortexso import CATALOGUE
from spindle_conformance.upstreams.simulator import Quirk
from spindle_llm.providers.base import Condition
from spindle_llm.providers.cortexso import CortexsoAdapter
from spindle_llm.providers.inquiry import Reply
from spindle_llm.providers.jan import JanAdapter
from spindle_llm.providers.lm_studio import LMStudioAdapter
from spindle_llm.providers.localai import LocalAIAdapter
from spindle_spi.errors import Unsupported
from spindle_spi.records import ProviderSpec
from tests.llm.support.vendors import MODEL, TOOLS, listed, sent, spec_of, vendor

if TYPE_CHECKING:
    from spindle_llm.providers.openai import OpenAiAdapter
    from spindle_spi.types import Json, JsonObject

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.requirement("001-services"),
    pytest.mark.requirement("001-model-entity"),
]

LM_STUDIO, JAN, LOCALAI, CORTEX = (
    LMStudioAdapter(),
    JanAdapter(),
    LocalAIAdapter(),
    CortexsoAdapter(),
)
HI: list[Json] = [{"role": "user", "content": "hi"}]
NAMED: Json = {"type": "function", "function": {"name": "g"}}


def _sent(adapter: OpenAiAdapter, options: JsonObject | None = None, **more: Json) -> JsonObject:
    provider = ProviderSpec(provider_type=adapter.provider_type, options=options or {})
    chat = adapter.chat(provider, MODEL, more)
    return sent(chat.encode({"model": "m", "messages": HI, **more}, stream=False, spec=MODEL).body)


async def test_lm_studio_tells_all_of_its_models() -> None:
    """By its API v1: what is loaded comes first, and what it says of the weights is kept."""
    found = await listed(LM_STUDIO, "lm_studio")
    assert set(list(found)[:2]) == {"plain", "echo"}
    plain = spec_of(found["plain"])
    assert (plain.state, spec_of(found["big"]).state) == ("loaded", "not_loaded")
    assert plain.context_window == 8192
    assert plain.supports == ("chat", "streaming", "function_calling")
    facts = plain.facts
    assert (facts.publisher, facts.architecture, facts.quantization) == (
        "simulator",
        "llama",
        "Q4_K_M",
    )
    assert (facts.parameters, facts.size, facts.is_gguf) == (7_000_000_000, 4_000_000_000, True)
    assert spec_of(found["embed"]).model_type == "embeddings"


async def test_an_older_lm_studio_is_asked_by_v0() -> None:
    """Which tells less."""
    found = await listed(LM_STUDIO, "lm_studio", quirks=[Quirk.OLD, Quirk.NOTHING_RUNNING])
    plain = spec_of(found["plain"])
    assert (plain.state, plain.context_window) == ("not_loaded", 8192)
    assert (plain.facts.architecture, plain.facts.is_gguf) == ("llama", True)
    assert spec_of(found["embed"]).supports == ("embedding",)


async def test_what_speaks_openais_form_only_is_listed_all_the_same() -> None:
    """A server of another kind at its address has names at least."""
    found = await listed(LM_STUDIO, "jan")
    assert spec_of(found["plain"]).state == "unknown"


def test_lm_studio_is_asked_in_the_words_it_knows() -> None:
    """One tool by name is that tool alone; any JSON is a schema; a time to live by option."""
    body = _sent(
        LM_STUDIO,
        {"ttl": 60},
        tools=TOOLS,
        tool_choice=NAMED,
        response_format={"type": "json_object"},
        max_completion_tokens=5,
    )
    assert (body["tools"], body["tool_choice"]) == ([TOOLS[1]], "required")
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}},
    }
    assert (body["ttl"], body["max_tokens"]) == (60, 5)
    assert _sent(LM_STUDIO, {"ttl": 60}, ttl=5)["ttl"] == 5
    assert "ttl" not in _sent(LM_STUDIO)
    assert _sent(LM_STUDIO, tools=TOOLS, tool_choice="required")["tool_choice"] == "required"

    for choice in ({"type": "function", "function": {"name": "h"}}, {"type": "allowed_tools"}):
        with pytest.raises(Unsupported):
            _sent(LM_STUDIO, tools=TOOLS, tool_choice=choice)  # type: ignore[arg-type]


async def test_a_time_to_live_goes_with_every_request() -> None:
    """Also where bytes would have passed as they are."""
    spec = ProviderSpec(provider_type="lm_studio", options={"ttl": 60})

    async with vendor("lm_studio", "plain", spec=spec) as up:
        await up.chat("up~plain")
        assert up.received["ttl"] == 60
        await up.chat("up~plain", ttl=5)
        assert up.received["ttl"] == 5


async def test_vectors_come_as_numbers_whatever_was_asked() -> None:
    """LM Studio knows no other encoding, and counts nothing."""
    dialect = LM_STUDIO.embeddings(ProviderSpec(provider_type="lm_studio"))
    assert dialect is not None
    encoded = dialect.encode(
        {"model": "m", "input": ["a"], "encoding_format": "base64"}, spec=MODEL
    )
    assert sent(encoded.body)["encoding_format"] == "float"
    told = dialect.decode(b'{"data":[{"embedding":[0.5],"index":0}],"usage":{"prompt_tokens":0}}')
    assert (told.vectors, told.input_tokens) == ([[0.5]], None)


async def test_jan_lists_what_runs() -> None:
    """And is asked under the host it trusts."""
    found = await listed(JAN, "jan", path="/v1")
    plain = spec_of(found["plain"])
    assert (plain.state, plain.created, plain.facts.runtime) == ("loaded", 0, "llama.cpp")
    assert plain.facts.is_gguf
    assert await listed(JAN, "jan", quirks=[Quirk.NOTHING_RUNNING]) == {}


async def test_jan_without_a_model_that_runs_is_unavailable() -> None:
    """It says so in plain text."""
    async with vendor("jan", "plain", quirks=[Quirk.NOTHING_RUNNING]) as up:
        client = await up.chat("up~plain")
        assert up.upstream.seen[0].headers["host"].startswith("127.0.0.1:")

    assert (client.status, client.error["code"]) == (503, "upstream_overloaded")


async def test_jan_may_be_told_another_host() -> None:
    """The name under which it is reached is none that it trusts."""
    spec = ProviderSpec(provider_type="jan", options={"host": "localhost:1337"})

    async with vendor("jan", "plain", spec=spec) as up:
        assert (await up.chat("up~plain")).status == 200
        assert up.upstream.seen[0].headers["host"] == "localhost:1337"


def test_jans_engine_is_told_the_effort_its_own_way() -> None:
    """As an argument of the chat template, under those of the request."""
    body = _sent(JAN, reasoning_effort="low", chat_template_kwargs={"x": 1})
    assert body["chat_template_kwargs"] == {"reasoning_effort": "low", "x": 1}
    assert "reasoning_effort" not in body


async def test_localai_says_what_is_loaded_and_what_each_can_do() -> None:
    """Its list has neither times nor owners."""
    found = await listed(LOCALAI, "localai")
    assert set(list(found)[:2]) == {"plain", "echo"}
    plain = spec_of(found["plain"])
    assert (plain.state, plain.created) == ("loaded", 0)
    assert plain.supports == ("chat", "streaming", "function_calling")
    assert plain.facts.runtime == "llama.cpp"
    assert spec_of(found["big"]).state == "not_loaded"
    assert spec_of(found["embed"]).model_type == "embeddings"


async def test_a_localai_without_those_lists_has_models_all_the_same() -> None:
    """Nobody knows what is loaded."""
    found = await listed(LOCALAI, "jan", path="/v1")
    assert spec_of(found["plain"]).state == "unknown"


async def test_cortex_lists_what_is_downloaded() -> None:
    """And whether each runs."""
    found = await listed(CORTEX, "cortexso", quirks=[Quirk.ODD_NAMES])
    assert set(CATALOGUE).isdisjoint(found)
    plain = spec_of(found["plain"])
    assert (plain.context_window, plain.max_output_tokens) == (8192, 4096)
    assert (plain.facts.runtime, plain.facts.size) == ("llama.cpp", 4_000_000_000)
    assert "org/model:7b-q4_K_M" in found
    echo = await listed(CORTEX, "cortexso", quirks=[Quirk.NOTHING_RUNNING])
    assert {spec_of(record).state for record in echo.values()} <= {"not_loaded", "unknown"}
    states = {name: spec_of(record).state for name, record in found.items()}
    assert states["org/model:7b-q4_K_M"] == "not_loaded"
    assert "loaded" in states.values()


@pytest.mark.parametrize(
    ("adapter", "url"),
    [
        (LM_STUDIO, "http://host:1/v1/models"),
        (JAN, "http://host:1/v1/models"),
        (LOCALAI, "http://host:1/readyz"),
        (CORTEX, "http://host:1/healthz"),
    ],
)
def test_health_is_asked_where_it_is_cheap(adapter: OpenAiAdapter, url: str) -> None:
    """Beside the version of the API, where the vendor has it there."""
    assert adapter.health_url("http://host:1/v1") == url
    starting = Reply(status=503, headers={}, body=b'{"status":"starting"}')
    assert adapter.condition(starting) is Condition.DOWN
    assert adapter.condition(Reply(status=200, headers={}, body=b"")) is Condition.OK
