"""What each model name of the simulated OpenAI upstream does.

A name may end in `@n`: the body is then written `n` bytes at a time, whatever the server's setting.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from spindle_conformance.upstreams.scripts import (
    BARE_FRAMING,
    CRLF_FRAMING,
    Framing,
    Script,
    ToolCall,
    dump,
    frame,
    split_text,
)
from spindle_conformance.upstreams.server import Ending, Play
from spindle_spi.types import Json, JsonObject

PLAIN_TEXT = "Grüße! The quick brown fox (狐) jumps over the lazy dog 🦊 and says “hello”."
PII_TEXT = "Write to ada.lovelace@example.org or pay with 4111 1111 1111 1111 before noon."
BIG_TEXT = "0123456789abcdef" * 16_384
SECRET_TEXT = "key sk-upstream-secret-0123456789 of org-upstream"
"""What an upstream's errors say and no client of the gateway may ever read."""

UPSTREAM_ERROR: JsonObject = {
    "error": {
        "message": f"The upstream's own words: {SECRET_TEXT}.",
        "type": "server_error",
        "param": None,
        "code": "upstream_code",
    }
}
HTML = b"<!DOCTYPE html><html><head><title>502</title></head><body>Bad gateway</body></html>"

ScriptMaker: TypeAlias = Callable[[str, JsonObject], Script]
Player: TypeAlias = Callable[[str, JsonObject], Play]


def play_for(body: JsonObject) -> Play:
    """Return what happens to a chat request."""
    name = _string(body.get("model"))
    model, _, suffix = name.partition("@")
    player = _PLAYERS.get(model)

    if player is not None:
        play = player(model, body)
    elif model in _SCRIPTS:
        play = _played(script_for(body), body)
    elif model.startswith("error-") and model[6:].isdigit():
        play = _refused(int(model[6:]), body)
    else:
        play = Play(status=404, body=dump(_error(f"The model {name} does not exist.")))

    return replace(play, chunk=int(suffix)) if suffix.isdigit() else play


def script_for(body: JsonObject) -> Script:
    """Return the script of a request whose model answers by one.

    Raises:
        KeyError: The model does something else than answering.
    """
    name = _string(body.get("model"))
    return replace(_SCRIPTS[name.partition("@")[0]](name, body), model=name)


def model_names() -> tuple[str, ...]:
    """Return every model the simulator lists."""
    return tuple(sorted({*_SCRIPTS, *_PLAYERS, "error-400", "error-401", "error-429", "error-500"}))


def _text(model: str, text: str, size: int = 4) -> Script:
    return Script(model=model, content=text, pieces=split_text(text, size))


def _plain(model: str, body: JsonObject) -> Script:
    del body
    return _text(model, PLAIN_TEXT)


def _echo(model: str, body: JsonObject) -> Script:
    return _text(model, _last_text(body, "user"))


def _reasoning(model: str, body: JsonObject) -> Script:
    del body
    script = _text(model, "The answer is 42.")
    return replace(script, reasoning=split_text("First I think, then I answer.", 6))


def _calls(model: str, calls: tuple[ToolCall, ...]) -> Script:
    return Script(model=model, calls=calls, finish_reason="tool_calls")


def _tools(model: str, body: JsonObject) -> Script:
    """Call the first tool that is offered, then tell what it said."""
    return _told(model, body) or _calls(model, _wanted_calls(body)[:1])


def _parallel_tools(model: str, body: JsonObject) -> Script:
    """Call every tool that is offered at once, then tell what they said."""
    return _told(model, body) or _calls(model, _wanted_calls(body))


def _endless_tools(model: str, body: JsonObject) -> Script:
    return _calls(model, _wanted_calls(body)[:1])


def _unknown_tool(model: str, body: JsonObject) -> Script:
    call = ToolCall(name="never_offered", arguments="{}")
    return _told(model, body) or _calls(model, (call,))


def _bad_arguments(model: str, body: JsonObject) -> Script:
    call = replace(_wanted_calls(body)[0], arguments='{"city": "Par')
    return _told(model, body) or _calls(model, (call,))


def _told(model: str, body: JsonObject) -> Script | None:
    """Return the answer that follows tool results; None when none came yet."""
    messages = _objects(body.get("messages"))
    results = [_content(entry) for entry in messages if entry.get("role") == "tool"]

    if not messages or messages[-1].get("role") != "tool":
        return None

    return _text(model, "The tools said: " + " | ".join(results), 7)


def _wanted_calls(body: JsonObject) -> tuple[ToolCall, ...]:
    """Return a call of each offered tool; arguments are the last user message, if it is JSON."""
    said = _last_text(body, "user")
    offered: list[str] = []

    for tool in _objects(body.get("tools")):
        function = tool.get("function")
        offered += [_string(function.get("name"))] if isinstance(function, dict) else []

    arguments = said if _is_object(said) else '{"city":"Zürich","days":2}'
    return tuple(
        ToolCall(id=f"call_{number}", name=name, arguments=arguments)
        for number, name in enumerate(offered or ["get_weather", "get_time"], start=1)
    )


_SCRIPTS: dict[str, ScriptMaker] = {
    "plain": _plain,
    "echo": _echo,
    "reasoning": _reasoning,
    "tools": _tools,
    "parallel-tools": _parallel_tools,
    "endless-tools": _endless_tools,
    "unknown-tool": _unknown_tool,
    "bad-arguments": _bad_arguments,
    "pii": lambda model, _: _text(model, PII_TEXT, 3),
    "big": lambda model, _: _text(model, BIG_TEXT, 256),
    "slow": _plain,
    "choices": lambda model, body: replace(_plain(model, body), choices=2),
    "length": lambda model, body: replace(_plain(model, body), finish_reason="length"),
    "empty": lambda model, _: Script(model=model, content=""),
    "usage-less": lambda model, body: replace(_plain(model, body), with_usage=False),
    "crlf": lambda model, body: replace(_plain(model, body), framing=CRLF_FRAMING),
    "no-done": lambda model, body: replace(_plain(model, body), framing=BARE_FRAMING),
}
"""The models that answer."""


def _played(script: Script, body: JsonObject) -> Play:
    if body.get("stream") is not True:
        return Play(body=script.unary_bytes(), headers=(("x-request-id", "req-upstream"),))

    options = body.get("stream_options")
    include_usage = isinstance(options, dict) and options.get("include_usage") is True
    return _stream(script.stream_bytes(include_usage=include_usage))


def _stream(body: bytes, ending: Ending = Ending.COMPLETE) -> Play:
    return Play(
        body=body, streamed=True, content_type="text/event-stream; charset=utf-8", ending=ending
    )


def _refused(status: int, body: JsonObject) -> Play:
    del body
    error = dict(UPSTREAM_ERROR)
    headers = (("retry-after", "2"), ("retry-after-ms", "1500")) if status == 429 else ()
    return Play(status=status, headers=headers, body=dump(error))


def _events(body: JsonObject) -> list[JsonObject]:
    return list(_plain(_string(body.get("model")), body).chunks())


def _opened(body: JsonObject, count: int, ending: Ending) -> Play:
    """Play the first `count` events, or half of a unary answer, and then the ending."""
    if body.get("stream") is not True:
        answer = _plain(_string(body.get("model")), body).unary_bytes()
        return Play(body=answer[: len(answer) // 2], ending=ending)

    return _stream(frame(_events(body)[:count], Framing(done=False)), ending)


def _in_stream_error(model: str, body: JsonObject) -> Play:
    del model

    if body.get("stream") is not True:
        return Play(body=dump(UPSTREAM_ERROR))

    return _stream(frame([*_events(body)[:3], UPSTREAM_ERROR], Framing(done=False)))


def _slow(model: str, body: JsonObject) -> Play:
    return replace(_played(_plain(model, body), body), chunk=192, pause=0.02)


def _sloppy(model: str, body: JsonObject) -> Play:
    """Repeat the role and change id and time with every chunk; say nothing of usage."""
    if body.get("stream") is not True:
        return _played(replace(_plain(model, body), with_usage=False), body)

    chunks: list[JsonObject] = []

    for number, chunk in enumerate(_plain(model, body).chunks(include_usage=False)):
        chunks.append({**chunk, "id": f"chatcmpl-{number}", "created": number})
        choice = _objects(chunk["choices"])[0]
        delta = choice["delta"]

        if isinstance(delta, dict) and delta:
            choice["delta"] = {"role": "assistant", **delta}

    return _stream(frame(chunks))


def _sloppy_tools(model: str, body: JsonObject) -> Play:
    """Count tools from one, repeat their ids and names, and end with `stop`."""
    calls = _wanted_calls(body)
    script = replace(_calls(model, calls), finish_reason="stop")

    if body.get("stream") is not True:
        return _played(script, body)

    chunks = list(script.chunks(include_usage=False))

    for chunk in chunks:
        delta = _objects(chunk["choices"])[0]["delta"]

        for entry in _objects(delta.get("tool_calls")) if isinstance(delta, dict) else ():
            index, function = entry["index"], entry["function"]

            if isinstance(index, int) and isinstance(function, dict):
                call = calls[index]
                entry.update(index=index + 1, id=call.id, type="function")
                function["name"] = call.name

    return _stream(frame(chunks))


_PLAYERS: dict[str, Player] = {
    "html": lambda _, body: Play(content_type="text/html", body=HTML),
    "html-502": lambda _, body: Play(status=502, content_type="text/html", body=HTML),
    "cut": lambda _, body: _opened(body, 4, Ending.CUT),
    "cut-before": lambda _, body: Play(silent=True, ending=Ending.CUT),
    "cut-head": lambda _, body: _opened(body, 0, Ending.CUT),
    "cut-clean": lambda _, body: _opened(body, 4, Ending.COMPLETE),
    "hang": lambda _, body: Play(silent=True, ending=Ending.HANG),
    "hang-after-first": lambda _, body: _opened(body, 1, Ending.HANG),
    "in-stream-error": _in_stream_error,
    "error-first": lambda _, body: _stream(frame([UPSTREAM_ERROR], Framing(done=False))),
    "slow": _slow,
    "sloppy": _sloppy,
    "sloppy-tools": _sloppy_tools,
}
"""The models that do something else than answering well."""


def _error(message: str) -> JsonObject:
    return {
        "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
    }


def _last_text(body: JsonObject, role: str) -> str:
    texts = [
        _content(entry) for entry in _objects(body.get("messages")) if entry.get("role") == role
    ]
    return texts[-1] if texts else ""


def _content(message: JsonObject) -> str:
    content = message.get("content")

    if isinstance(content, list):
        return "".join(_string(part.get("text")) for part in _objects(content))

    return _string(content)


def _objects(value: Json) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _string(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _is_object(text: str) -> bool:
    try:
        value: Json = json.loads(text)
    except ValueError:
        return False

    return isinstance(value, dict)
