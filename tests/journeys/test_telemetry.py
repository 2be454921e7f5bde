"""What collector, log and metrics of a gateway show of its calls, and what they do not."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
import pytest

from spindle_conformance.upstreams.server import Play, ScriptedServer, Seen
from tests.support.otlp_collector import OtlpCollector, attributes_of, running_collector
from tests.support.spindle_process import SpindleProcess, running_spindle, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from spindle_spi.types import JsonObject

TRACE, CALLER = "a" * 32, "b" * 16
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
ASKED, ANSWERED, EXCUSED = "who-is-the-heron", "the-heron-is-blue", "stack-trace-of-theirs"


def fails(seen: Seen) -> Play:
    """Fail with words of its own."""
    del seen
    return Play(status=500, body=json.dumps({"error": {"message": EXCUSED}}).encode())


def answers(seen: Seen) -> Play:
    """Answer what is asked, whole or as a stream."""
    assert isinstance(seen.json, dict)

    if seen.path.endswith("/embeddings"):
        vector = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
        usage = {"prompt_tokens": 2, "total_tokens": 2}
        found = {"object": "list", "data": [vector], "model": "vectors", "usage": usage}
        return Play(body=json.dumps(found).encode())

    head = {"id": "chatcmpl-heron", "created": 1, "model": "chat"}
    message = {"role": "assistant", "content": ANSWERED}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}

    if not seen.json.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        return Play(body=json.dumps(answer).encode())

    head["object"] = "chat.completion.chunk"
    chunks: list[dict[str, object]] = [
        {**head, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": usage},
    ]
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    body = "".join([*events, "data: [DONE]\n\n"]).encode()
    return Play(body=body, content_type="text/event-stream", streamed=True)


@dataclass(slots=True)
class Watched:
    """A gateway over a provider that fails and one that answers, and who watches it."""

    process: SpindleProcess
    client: httpx2.AsyncClient
    collector: OtlpCollector
    upstreams: list[ScriptedServer] = field(default_factory=list[ScriptedServer])

    async def chat(self, model: str = "first~chat", *, stream: bool = False) -> httpx2.Response:
        """Ask for a chat, in a trace of the client's own."""
        body: JsonObject = {
            "model": model,
            "stream": stream,
            "messages": [{"role": "user", "content": ASKED}],
        }
        return await self.client.post("/v1/chat/completions", json=body, headers=SAMPLED)

    async def spans(self, number: int) -> dict[str, Any]:
        """Wait for so many spans; return them by name."""
        await until(lambda: len(self.collector.spans) >= number, 20)
        assert len(self.collector.spans) == number
        return {span.name: span for span in self.collector.spans}


async def serve(
    server: ScriptedServer, *, task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED
) -> None:
    await server.serve(0, task_status.started)


@asynccontextmanager
async def watched(
    home: Path, first: Callable[[Seen], Play] = fails, second: Callable[[Seen], Play] = answers
) -> AsyncGenerator[Watched]:
    """Run all of it."""
    servers = [ScriptedServer(handler=first), ScriptedServer(handler=second)]

    with running_collector() as collector:
        async with anyio.create_task_group() as group:
            urls = [await group.start(serve, server) for server in servers]
            config = {
                "llm": {
                    "routing": {"breaker": {"failures": 100}},
                    "services": {
                        "first": {
                            "provider_type": "openai",
                            "urls": [f"{urls[0]}/v1"],
                            "models": [
                                {"name": "chat", "fallbacks": ["second~answering"]},
                                {"name": "alone"},
                            ],
                        },
                        "second": {
                            "provider_type": "localai",
                            "urls": [f"{urls[1]}/v1"],
                            "models": [
                                {"name": "answering"},
                                {"name": "vectors", "supports": ["embedding"]},
                            ],
                        },
                    },
                },
                "logging": {
                    "main": {
                        "console_level": "debug",
                        "file_level": "debug",
                        "file": "logs/main.log",
                    }
                },
                "telemetry": {
                    "otlp_endpoint": collector.url,
                    "sample_ratio": 0,
                    "export_seconds": 0.1,
                },
            }

            async with running_spindle(config, home=home) as process, process.client() as client:
                yield Watched(process, client, collector, servers)

            group.cancel_scope.cancel()


@pytest.mark.requirement("003-chat-span")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_fallback_is_seen_as_two_attempts_of_one_call(
    tmp_path: Path, *, stream: bool
) -> None:
    """The client's span, the request's, the call's, and one for each provider that was asked."""
    async with watched(tmp_path) as gateway:
        response = await gateway.chat(stream=stream)
        assert response.status_code == 200, response.text
        spans = await gateway.spans(4)
        sent = [server.seen[-1].headers["traceparent"] for server in gateway.upstreams]

    request = spans["POST /v1/chat/completions"]
    call = spans["chat first~chat"]
    first, second = spans["chat chat"], spans["chat answering"]
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    assert request.parent_span_id.hex() == CALLER
    assert call.parent_span_id == request.span_id
    assert first.parent_span_id == second.parent_span_id == call.span_id
    # The upstreams go on with the client's trace, under the span of its request.
    assert sent == [f"00-{TRACE}-{request.span_id.hex()}-01"] * 2

    failed, good, whole = attributes_of(first), attributes_of(second), attributes_of(call)
    assert (failed["gateway.attempt"], good["gateway.attempt"]) == (1, 2)
    assert (failed["gen_ai.provider.name"], good["gen_ai.provider.name"]) == ("openai", "localai")
    assert failed["error.type"] == "upstream_error"
    assert failed["http.response.status_code"] == 500
    assert first.status.code == 2
    assert "error.type" not in good
    assert "error.type" not in whole
    assert good["gateway.fallback.from"] == whole["gateway.fallback.from"] == "first~chat"
    assert whole["gen_ai.response.model"] == "second~answering"
    assert whole["gen_ai.response.id"] == "chatcmpl-heron"
    assert whole["gen_ai.response.finish_reasons"] == ["stop"]
    assert whole["gen_ai.usage.input_tokens"] == 3
    assert whole["gen_ai.usage.output_tokens"] == 4
    assert whole["gen_ai.request.stream"] is stream
    assert ("gen_ai.response.time_to_first_chunk" in whole) is stream
    assert whole["gateway.route.id"] == response.headers["x-spindle-route"]
    assert whole["gateway.response.bytes"] == len(response.content)
    assert first.end_time_unix_nano <= second.start_time_unix_nano


@pytest.mark.requirement("001-logging-behaviour")
async def test_the_log_tells_of_requests_and_calls_and_once_of_the_service_that_fails(
    tmp_path: Path,
) -> None:
    """Status, duration and size at debug, a call's service and model; the failure, one warning."""
    async with watched(tmp_path) as gateway:
        responses = [await gateway.chat(), await gateway.chat(stream=True), await gateway.chat()]
        requests: list[dict[str, Any]] = []

        # A line is written after the answer whose request it tells of.
        with anyio.fail_after(10):
            while len(requests) < len(responses):
                await anyio.sleep(0.02)
                requests = [
                    json.loads(line)
                    for line in gateway.process.stderr.splitlines()
                    if line.startswith("{") and '"event": "request"' in line and "/v1/chat" in line
                ]

        entries = [
            json.loads(line)
            for line in gateway.process.stderr.splitlines()
            if line.startswith("{") and '"spindle.calls"' in line
        ]

    assert [request["response_bytes"] for request in requests] == [
        len(each.content) for each in responses
    ]
    assert {(one["route"], one["method"], one["status"]) for one in requests} == {
        ("/v1/chat/completions", "POST", "200")
    }
    assert all(request["duration_ms"] > 0 for request in requests)
    calls = [entry for entry in entries if entry["event"] == "call"]
    assert [call["response_bytes"] for call in calls] == [len(each.content) for each in responses]
    assert all(call["duration_ms"] > 0 for call in calls)
    assert {(call["service"], call["model"], call["status"]) for call in calls} == {
        ("second", "first~chat", "ok")
    }
    (failure,) = [entry for entry in entries if entry["level"] == "warning"]
    assert (failure["service"], failure["model"]) == ("first", "first~chat")
    assert (failure["code"], failure["status"]) == ("upstream_error", 500)


async def test_nothing_that_was_said_is_in_a_span_a_measure_or_a_line(tmp_path: Path) -> None:
    """Neither what clients ask nor what models answer, nor how an upstream words its failures."""
    async with watched(tmp_path) as gateway:
        client = gateway.client
        turn = {"messages": [{"role": "user", "content": ASKED}], "max_tokens": 8}
        bodies: list[tuple[str, dict[str, object]]] = [
            *(
                (path, {"model": "first~chat", "stream": stream, **turn})
                for stream in (False, True)
                for path in ("/v1/chat/completions", "/v1/messages")
            ),
            ("/v1/responses", {"model": "first~chat", "input": ASKED}),
        ]

        for path, body in bodies:
            response = await client.post(path, json=body, headers=SAMPLED)
            assert response.status_code == 200, response.text
            assert ANSWERED in response.text

        vectors = {"model": "second~vectors", "input": [ASKED]}
        response = await client.post("/v1/embeddings", json=vectors, headers=SAMPLED)
        assert response.status_code == 200, response.text
        assert (await gateway.chat("first~alone")).status_code >= 500
        # Five calls with two attempts, one with vectors, one that fails; and their requests.
        spans = await gateway.spans(5 * 4 + 3 + 3)
        assert attributes_of(spans["embeddings vectors"])["gateway.attempt"] == 1
        whole = attributes_of(spans["embeddings second~vectors"])
        assert whole["gen_ai.embeddings.dimension.count"] == 2
        await until(lambda: "gen_ai.client.token.usage" in gateway.collector.metrics, 20)
        metrics = (await client.get("/metrics")).text
        log = await anyio.Path(tmp_path / "logs/main.log").read_text()
        shown = {
            "spans and measures": b"".join(gateway.collector.bodies).decode("utf-8", "replace"),
            "metrics": metrics,
            "console": gateway.process.stderr,
            "log": log,
        }

    assert '"event": "call"' in log
    assert "chat first~chat" in shown["spans and measures"]
    assert "gen_ai_client_token_usage_count" in metrics
    assert {
        place: (ASKED in text, ANSWERED in text, EXCUSED in text) for place, text in shown.items()
    } == dict.fromkeys(shown, (False, False, False))
