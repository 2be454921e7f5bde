"""What the worst servers do to the chunks of a stream in OpenAI's form; changed in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spindle_conformance.upstreams.answers import Call
    from spindle_spi.types import Json, JsonObject


def repeat_roles(chunks: list[JsonObject]) -> None:
    """Repeat the role in every delta, and change id and time with every chunk."""
    for number, chunk in enumerate(chunks):
        chunk.update(id=f"chatcmpl-{number}", created=number)

        for choice in _objects(chunk["choices"]):
            delta = choice["delta"]

            if isinstance(delta, dict) and delta:
                choice["delta"] = {"role": "assistant", **delta}


def miscount_calls(chunks: list[JsonObject], calls: Sequence[Call]) -> None:
    """Count tool calls from one, and repeat their id, type and name in every delta."""
    for entry in _call_entries(chunks):
        index, function = entry["index"], entry["function"]
        assert isinstance(index, int)
        assert isinstance(function, dict)
        call = calls[index]
        entry.update(index=index + 1, id=call.id, type="function")
        function["name"] = call.name


def _call_entries(chunks: list[JsonObject]) -> Iterator[JsonObject]:
    for chunk in chunks:
        for choice in _objects(chunk["choices"]):
            delta = choice["delta"]
            yield from _objects(delta.get("tool_calls")) if isinstance(delta, dict) else ()


def _objects(value: Json) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
