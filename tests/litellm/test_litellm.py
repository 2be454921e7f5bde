"""A gateway with the extra `litellm`, in an environment of its own, before two vendors' wires.

LiteLLM is asked for an `openai/…` and an `anthropic/…` model; both vendors are the kit's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from tests.support.environments import ROOT, EnvironmentUnavailable, python_environment
from tests.support.spindle_process import SpindleProcess, running_spindle
from tests.support.upstream_process import Upstream, running_upstream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import httpx2

    from spindle_spi.types import Json, JsonObject

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

KEY = "sk-long-tail-0123456789"
FOREIGN_KEY = "sk-of-the-environment-0123456789"
IMPORTED = re.compile(r"\| +litellm\.")
"""In the lines by which the interpreter reports what is imported: a module of the package."""
VENDORS = ("openai", "anthropic")
MODELS = (
    *("plain", "echo", "tools", "parallel-tools", "reasoning", "length", "cut", "hang"),
    *("hang-after-first", "in-stream-error", "error-401", "error-429", "error-400", "error-503"),
    *("error-context", "error-key", "error-overloaded", "error-quota"),
)
TOOLS: Json = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """The gateway and the two upstreams behind it."""

    process: SpindleProcess
    upstreams: dict[str, Upstream]
    imported_at_rest: bool
    """Whether the package was imported before a provider of the type was asked."""

    async def ask(
        self, model: str, more: JsonObject | None = None, path: str = "chat/completions"
    ) -> httpx2.Response:
        """Ask for a model of the long tail."""
        body: JsonObject = {"model": model, **(more or {})}

        if path == "chat/completions":
            body.setdefault("messages", [{"role": "user", "content": "hi"}])

        async with self.process.client() as client:
            return await client.post(f"/v1/{path}", json=body, timeout=120.0)

    async def stream(self, model: str, more: JsonObject) -> list[JsonObject]:
        """Return the chunks of a streamed chat; its end has to be there."""
        answer = await self.ask(
            model, {"stream": True, "stream_options": {"include_usage": True}, **more}
        )
        assert answer.status_code == 200, answer.text
        events = [event.removeprefix("data: ") for event in answer.text.split("\n\n") if event]
        events = [event for event in events if not event.startswith(":")]
        assert events[-1] == "[DONE]", events[-1]
        return [json.loads(event) for event in events[:-1]]


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Rig]:
    try:
        folder = await anyio.to_thread.run_sync(_environment)
    except EnvironmentUnavailable as exc:
        pytest.skip(f"NO ENVIRONMENT FOR LITELLM: not tested. {exc}")

    environment = {
        "LONG_TAIL_KEY": KEY,
        "OPENAI_API_KEY": FOREIGN_KEY,
        "PYTHONPROFILEIMPORTTIME": "1",
        "NO_PROXY": "*",
    }

    async with (
        running_upstream() as openai,
        running_upstream("anthropic", module="spindle_conformance.upstreams") as anthropic,
        running_spindle(
            _configuration(openai.url, anthropic.url),
            home=tmp_path_factory.mktemp("litellm"),
            env=environment,
            python=str(folder / "bin" / "python"),
        ) as process,
    ):
        mine = Rig(
            process=process,
            upstreams={"openai": openai, "anthropic": anthropic},
            imported_at_rest=await _is_imported(process),
        )
        # The first call imports the package; the tests' own are not to wait for that.
        assert (await mine.ask(_name("openai", "plain"))).status_code == 200
        yield mine


def _environment() -> Path:
    lock = ROOT / "requirements-litellm.lock"
    return python_environment(ROOT / ".cache" / "litellm", lock, (ROOT / "spi", ROOT))


async def _is_imported(process: SpindleProcess) -> bool:
    """Use the gateway in every way but this, and look."""
    async with process.client() as client:
        assert (await client.get("/v1/models")).status_code == 200
        body: JsonObject = {
            "model": "mock~plain",
            "messages": [{"role": "user", "content": "hi"}],
        }
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200

    return IMPORTED.search(process.stderr) is not None


def _configuration(openai: str, anthropic: str) -> JsonObject:
    bases = {"openai": f"{openai}/v1", "anthropic": anthropic}
    services: JsonObject = {
        vendor: {
            "provider_type": "litellm",
            "urls": [bases[vendor]],
            "api_key_env_var": "LONG_TAIL_KEY",
            "models": [
                *_declared(vendor, MODELS, ["chat", "streaming", "function_calling"]),
                *_declared(vendor, ("embed",), ["embedding"]),
            ],
        }
        for vendor in VENDORS
    }
    services["keyless"] = {
        "provider_type": "litellm",
        "urls": [bases["openai"]],
        "models": [*_declared("openai", ("plain",), ["chat"]), {"name": "nobody-plain"}],
    }
    services["closed"] = {
        "provider_type": "litellm",
        "urls": ["http://127.0.0.1:9/v1"],
        "models": _declared("openai", ("plain",), ["chat"]),
    }
    services["mock"] = {"provider_type": "mock"}
    patience: JsonObject = {"breaker": {"failures": 1_000_000, "ratio_calls": 1_000_000}}
    return {"llm": {"services": services, "routing": patience}}


def _declared(vendor: str, names: tuple[str, ...], supports: list[Json]) -> list[Json]:
    return [{"name": f"{vendor}/{name}", "supports": supports} for name in names]


def _name(vendor: str, model: str) -> str:
    return f"{vendor}~{vendor}/{model}"


@pytest.mark.requirement("003-chat-select")
async def test_nothing_is_imported_before_a_provider_of_the_type_is_asked(rig: Rig) -> None:
    """Not at the start, not for the list of models, not for another provider; then it is."""
    assert not rig.imported_at_rest
    assert IMPORTED.search(rig.process.stderr)


@pytest.mark.requirement("003-chat-select")
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("model", ["plain", "reasoning", "length", "tools", "parallel-tools"])
async def test_a_stream_says_what_the_whole_answer_says(rig: Rig, vendor: str, model: str) -> None:
    """Text, thoughts, calls, the reason to end, and the tokens; under the gateway's name."""
    more: JsonObject = {"tools": TOOLS} if "tools" in model else {}
    answer = await rig.ask(_name(vendor, model), more)
    assert answer.status_code == 200, answer.text
    whole = answer.json()
    chunks = await rig.stream(_name(vendor, model), more)
    assert {str(chunk["model"]) for chunk in chunks} == {whole["model"]} == {_name(vendor, model)}
    assert len({str(chunk["id"]) for chunk in chunks}) == 1
    said = _folded(chunks)
    message = whole["choices"][0]["message"]
    assert said["content"] == (message["content"] or "")
    assert said["reasoning_content"] == message.get("reasoning_content", "")
    assert said["calls"] == [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls", [])
    ]
    assert said["finish_reason"] == whole["choices"][0]["finish_reason"]
    usage = chunks[-1]["usage"]
    assert isinstance(usage, dict)
    assert usage["prompt_tokens"] == whole["usage"]["prompt_tokens"] > 0
    assert usage["completion_tokens"] == whole["usage"]["completion_tokens"] > 0
    assert bool(said["calls"]) == ("tools" in model)


def _folded(chunks: list[JsonObject]) -> dict[str, object]:
    texts = {"content": "", "reasoning_content": ""}
    calls: dict[int, list[str]] = {}
    finish: Json = None

    for chunk in chunks:
        choices = chunk["choices"]
        assert isinstance(choices, list)

        for choice in choices:
            assert isinstance(choice, dict)
            finish = choice.get("finish_reason") or finish
            delta = choice["delta"]
            assert isinstance(delta, dict)

            for name in texts:
                texts[name] += str(delta.get(name) or "")

            entries = delta.get("tool_calls")

            for entry in entries if isinstance(entries, list) else []:
                assert isinstance(entry, dict)
                function = entry["function"]
                assert isinstance(function, dict)
                call = calls.setdefault(int(str(entry["index"])), ["", "", ""])
                call[0] += str(entry.get("id") or "")
                call[1] += str(function.get("name") or "")
                call[2] += str(function.get("arguments") or "")

    made = [(call[0], call[1], json.loads(call[2])) for _, call in sorted(calls.items())]
    return {**texts, "calls": made, "finish_reason": finish}


@pytest.mark.requirement("003-chat-select")
async def test_the_vendor_is_asked_in_its_own_form_with_the_configured_key(rig: Rig) -> None:
    """LiteLLM has translated: Anthropic's address, header and version; the key is the service's."""
    await rig.upstreams["anthropic"].reset()
    await rig.ask(_name("anthropic", "plain"), {"max_tokens": 77, "top_k": 5})
    (seen,) = await rig.upstreams["anthropic"].log()
    headers, body = seen["headers"], seen["body"]
    assert isinstance(headers, dict)
    assert isinstance(body, dict)
    assert seen["path"] == "/v1/messages"
    assert headers["x-api-key"] == KEY
    assert (body["model"], body["max_tokens"], body["top_k"]) == ("plain", 77, 5)


async def test_no_key_is_taken_from_the_environment(rig: Rig) -> None:
    """A provider without a key is asked without one, whatever variables the process has."""
    await rig.upstreams["openai"].reset()
    answer = await rig.ask("keyless~openai/plain")
    (seen,) = await rig.upstreams["openai"].log()
    assert answer.status_code == 200
    assert FOREIGN_KEY not in json.dumps(seen)


async def test_an_order_to_litellm_in_a_request_is_left_out_and_named(rig: Rig) -> None:
    """No client sends the operator's key to another address, or has an answer made up."""
    await rig.upstreams["openai"].reset()
    orders: JsonObject = {
        "api_base": "http://127.0.0.1:9/v1",
        "base_url": "http://127.0.0.1:9/v1",
        "mock_response": "made up",
        "extra_headers": {"x-a": "b"},
        "fallbacks": ["openai/echo"],
        "metadata": {"a": "b"},
    }
    answer = await rig.ask(_name("openai", "plain"), orders)
    (seen,) = await rig.upstreams["openai"].log()
    body = seen["body"]
    assert answer.status_code == 200, answer.text
    assert "made up" not in answer.text
    assert isinstance(body, dict)
    assert orders.keys().isdisjoint(body)
    dropped = answer.headers["x-spindle-dropped-params"]
    assert {name.strip() for name in dropped.split(",")} == set(orders)


async def test_what_a_vendor_does_not_support_is_refused_and_named(rig: Rig) -> None:
    """Nothing is dropped behind the client's back."""
    answer = await rig.ask(_name("anthropic", "plain"), {"logprobs": True})
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["param"] == "logprobs"
    assert error["code"] == "unsupported_parameter"


REFUSALS = {
    "error-401": (502, "upstream_auth"),
    "error-key": (502, "upstream_auth"),
    "error-429": (429, "rate_limit_exceeded"),
    "error-503": (503, "upstream_overloaded"),
    "error-context": (400, "context_length_exceeded"),
    "error-quota": (429, "insufficient_quota"),
    "cut": (502, "upstream_cut"),
}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("model", REFUSALS)
async def test_a_failure_is_told_in_our_words(rig: Rig, vendor: str, model: str) -> None:
    """Status and code by the table of all providers; no key, and nothing of the operator's."""
    status, code = REFUSALS[model]

    for stream in (False, True) if model != "cut" else (False,):
        answer = await rig.ask(_name(vendor, model), {"stream": stream})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
        assert "secret" not in answer.text
        assert KEY not in answer.text
        assert "litellm" not in answer.text.replace(_name(vendor, model), "").lower()


async def test_how_long_to_wait_is_told_on(rig: Rig) -> None:
    """Where LiteLLM has kept what the vendor said of it."""
    answer = await rig.ask(_name("openai", "error-429"))
    assert int(answer.headers["retry-after"]) >= 1


async def test_what_is_wrong_with_the_request_is_passed_on_without_the_key(rig: Rig) -> None:
    """The vendor's words about the client's own input, scrubbed."""
    for vendor in VENDORS:
        answer = await rig.ask(_name(vendor, "error-400"))
        message = answer.json()["error"]["message"]
        assert answer.status_code == 400
        assert message.startswith("The upstream's own words")
        assert "sk-" not in message


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("model", ["cut", "in-stream-error"])
async def test_a_stream_that_fails_ends_as_one(rig: Rig, vendor: str, model: str) -> None:
    """An error is its last event, without the upstream's words; it does not end well."""
    answer = await rig.ask(_name(vendor, model), {"stream": True})
    *_, last = [event for event in answer.text.split("\n\n") if "data: {" in event]
    assert "error" in json.loads(last.partition("data: ")[2]), answer.text
    assert "own words" not in answer.text
    assert '"finish_reason":"stop"' not in answer.text


async def test_an_address_where_nobody_is_is_told_as_such(rig: Rig) -> None:
    """The same as for a provider that is asked over HTTP."""
    answer = await rig.ask("closed~openai/plain")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unreachable")


async def test_a_name_that_litellm_does_not_know_is_the_operators_mistake(rig: Rig) -> None:
    """The record has to say `provider/model`."""
    answer = await rig.ask("keyless~nobody-plain")
    assert answer.json()["error"]["code"] == "llm.model.upstream_name", answer.text


@pytest.mark.requirement("003-chat-select")
async def test_vectors_come_in_the_order_of_the_inputs(rig: Rig) -> None:
    """And as many tokens as the upstream counted."""
    answer = await rig.ask(_name("openai", "embed"), {"input": ["one", "two"]}, "embeddings")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert [entry["index"] for entry in found["data"]] == [0, 1]
    assert found["data"][0]["embedding"] != found["data"][1]["embedding"]
    assert found["usage"]["prompt_tokens"] > 0


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("model", ["hang", "hang-after-first"])
async def test_a_client_that_leaves_lets_go_of_the_upstream(
    rig: Rig, vendor: str, model: str
) -> None:
    """Before the first byte and in the middle of a stream."""
    upstream = rig.upstreams[vendor]
    await upstream.reset()

    async with anyio.create_task_group() as group:

        async def leave_early() -> None:
            await rig.ask(_name(vendor, model), {"stream": True})
            raise AssertionError("It has answered.")

        group.start_soon(leave_early)

        with anyio.fail_after(20):
            while not await upstream.log():
                await anyio.sleep(0.02)

        group.cancel_scope.cancel()

    (seen,) = await upstream.log(ended=1)
    assert seen["client_left"] is True
