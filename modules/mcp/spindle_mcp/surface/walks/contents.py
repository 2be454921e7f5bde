"""What plugins make of contents, messages and completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spindle_mcp.surface.walks.judge import Judge
    from spindle_spi.types import Json, JsonObject


async def judged_contents(judge: Judge, result: JsonObject) -> JsonObject:
    """Return a neutral result with what plugins made of it, without what they were not shown.

    Raises:
        PluginDenied: A plugin refused it.
    """
    completion = result.get("completion")

    if isinstance(completion, dict):
        values = completion.get("values")
        texts = values if isinstance(values, list) else []
        shown = await judge.contents({"contents": [{"text": value} for value in texts]})
        return {**result, "completion": {**completion, "values": _texts(shown)}}

    result = {name: value for name, value in result.items() if name != "description"}
    judged = await judge.contents(result)
    return judged if judged is result else _addressed(result, judged)


def _texts(shown: JsonObject) -> list[Json]:
    contents = shown.get("contents")
    parts = contents if isinstance(contents, list) else []
    return [part.get("text") for part in parts if isinstance(part, dict)]


def _addressed(before: JsonObject, after: JsonObject) -> JsonObject:
    """Give contents that a plugin replaced altogether the URI that they had."""
    old, new = before.get("contents"), after.get("contents")

    if not isinstance(old, list) or not isinstance(new, list):
        return after

    contents: list[Json] = [
        {"uri": was["uri"], "text": now.get("text")}
        if isinstance(was, dict) and isinstance(now, dict) and "uri" not in now
        else now
        for was, now in zip(old, new, strict=True)
    ]
    return {**after, "contents": contents}
