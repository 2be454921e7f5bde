"""Puts streams together, in the plainest way, to compare them with whole answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spindle_conformance.upstreams.framing import PLAIN_FRAMING, Framing

if TYPE_CHECKING:
    from spindle_conformance.upstreams.answers import Answer
    from spindle_conformance.upstreams.dialects.base import Dialect


def events_of(body: bytes) -> list[dict[str, Any]]:
    """Return the JSON of server-sent events, or of lines; `[DONE]` and comments left out."""
    text = body.decode().removeprefix("\ufeff")

    if text.startswith("{"):
        return [json.loads(line) for line in text.splitlines()]

    events: list[dict[str, Any]] = []

    for block in text.replace("\r\n", "\n").split("\n\n"):
        lines = [line.removeprefix("data:") for line in block.split("\n") if line[:5] == "data:"]
        data = "\n".join(lines).strip()
        events += [json.loads(data)] if data and data != "[DONE]" else []

    return events


def told(dialect: Dialect, answer: Answer, framing: Framing = PLAIN_FRAMING) -> Any:
    """Return what the stream of an answer says, in the form of `said`."""
    events = events_of(dialect.stream(answer, framing))

    if dialect.name == "anthropic":
        return _anthropic_told(events)

    if dialect.name == "ollama":
        return _ollama_told(events)

    return _openai_told(events)


def said(dialect: Dialect, answer: Answer) -> Any:
    """Return what the whole answer says."""
    body = json.loads(dialect.unary(answer))

    if dialect.name == "anthropic":
        return [*body["content"], body["stop_reason"], body["stop_sequence"], body.get("usage")]

    if dialect.name == "ollama":
        message = body.pop("message")
        calls = message.get("tool_calls", [])
        return [message["content"], message.get("thinking", ""), calls, body]

    return [*map(_openai_said, body["choices"]), body.get("usage"), body["id"]]


def _openai_said(choice: dict[str, Any]) -> dict[str, Any]:
    message = {name: value for name, value in choice["message"].items() if value}
    probable: list[Any] = choice["logprobs"]["content"] if choice["logprobs"] else []
    details = message.pop("reasoning_details", [])
    return {
        "message": message,
        "finish": choice["finish_reason"],
        "logprobs": probable,
        "details": [(one["type"], one.get("text"), one.get("signature")) for one in details],
    }


def _openai_told(events: list[dict[str, Any]]) -> Any:
    events = [event for event in events if event["id"]]
    choices: dict[int, dict[str, Any]] = {}
    usage = None

    for event in events:
        usage = event.get("usage") or usage
        assert event["id"] == events[0]["id"]

        for choice in event["choices"]:
            one = choices.setdefault(
                choice["index"], {"message": {}, "finish": None, "logprobs": [], "details": []}
            )
            _add_delta(one, choice["delta"])
            one["finish"] = choice["finish_reason"] or one["finish"]
            one["logprobs"] += choice["logprobs"]["content"] if choice["logprobs"] else []

    for one in choices.values():
        one["message"] = {name: value for name, value in one["message"].items() if value}

    return [*(choices[index] for index in sorted(choices)), usage, events[0]["id"]]


def _add_delta(one: dict[str, Any], delta: dict[str, Any]) -> None:
    message = one["message"]

    for name, value in delta.items():
        if name == "tool_calls":
            _add_calls(message.setdefault("tool_calls", []), value)
        elif name == "reasoning_details":
            _add_details(one["details"], value[0])
        else:
            assert isinstance(value, str)
            message[name] = message.get(name, "") + value


def _add_calls(calls: list[dict[str, Any]], deltas: list[dict[str, Any]]) -> None:
    for delta in deltas:
        index = delta.pop("index", len(calls) - 1 + ("id" in delta))

        if index == len(calls):
            calls.append(delta)
        else:
            calls[index]["function"]["arguments"] += delta["function"]["arguments"]


def _add_details(details: list[tuple[str, str | None, str | None]], detail: dict[str, Any]) -> None:
    index: int = detail["index"]

    if index == len(details):
        details.append((detail["type"], detail.get("text", ""), detail.get("signature")))
    else:
        kind, text, signature = details[index]
        text = (text or "") + detail.get("text", "")
        details[index] = (kind, text, detail.get("signature", signature))

    if details[-1][0] == "reasoning.encrypted":
        details[-1] = ("reasoning.encrypted", None, None)


def _anthropic_told(events: list[dict[str, Any]]) -> Any:
    blocks: list[dict[str, Any]] = []
    pieces: list[str] = []
    end: dict[str, Any] = {}

    for event in events:
        index: int = event.get("index", 0)

        match event["type"]:
            case "content_block_start":
                assert index == len(blocks)
                blocks.append(event["content_block"])
                pieces.append("")
            case "content_block_delta":
                delta, block = event["delta"], blocks[index]

                if delta["type"] == "citations_delta":
                    block["citations"].append(delta["citation"])
                elif delta["type"] == "input_json_delta":
                    pieces[index] += delta["partial_json"]
                else:
                    name = delta["type"].removesuffix("_delta")
                    block[name] += delta[name]
            case "content_block_stop" if pieces[index]:
                blocks[index]["input"] = json.loads(pieces[index])
            case "message_delta":
                end = event
            case _:
                pass

    assert [events[0]["type"], events[-1]["type"]] == ["message_start", "message_stop"]
    return [*blocks, end["delta"]["stop_reason"], end["delta"]["stop_sequence"], end.get("usage")]


def _ollama_told(events: list[dict[str, Any]]) -> Any:
    messages = [event.pop("message") for event in events]
    logprobs = [one for event in events for one in event.pop("logprobs", [])]
    content = "".join(message["content"] for message in messages)
    thinking = "".join(message.get("thinking", "") for message in messages)
    calls = [call for message in messages for call in message.get("tool_calls", [])]
    assert [event["done"] for event in events] == [False] * (len(events) - 1) + [True]
    last = {**events[-1], "logprobs": logprobs} if logprobs else events[-1]
    return [content, thinking, calls, last]
