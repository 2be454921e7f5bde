"""OpenAI's chat dialect as servers of local models understand it: most of it, and not the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_llm.providers.ledger import Ledger, unsupported
from spindle_llm.providers.openai_chat import OpenAiChat
from spindle_llm.providers.parameters import OF_OTHER_MODELS, OF_THE_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spindle_llm.members import Members
    from spindle_llm.providers.dialect import Encoded
    from spindle_spi.records import ModelSpec
    from spindle_spi.types import Json, JsonObject

MAX_TOKENS: Final = {"max_completion_tokens": "max_tokens"}
COMMON: Final = frozenset({"model", "messages", "stream", "stream_options"})
"""What every server in OpenAI's form reads."""


class LocalChat(OpenAiChat):
    """OpenAI's form without `developer`, under the old name of `max_tokens`."""

    def __init__(
        self,
        *,
        passed: frozenset[str],
        translated: Mapping[str, str] | None = None,
        dropped: frozenset[str] = frozenset(),
        rejected: frozenset[str] = frozenset(),
        fit: Callable[[JsonObject], None] | None = None,
        always: Mapping[str, Json] | None = None,
    ) -> None:
        """Take the fates of parameters, what changes a request, in place, beforehand, and more.

        `always`: what every request says that does not say it itself.
        """
        ledger = Ledger(
            passed=passed | COMMON,
            translated=translated or {},
            dropped=dropped | OF_THE_ACCOUNT - passed,
            rejected=rejected | OF_OTHER_MODELS - passed,
        )
        super().__init__(ledger, renamed=MAX_TOKENS, has_developer=False)
        self._fit = fit
        self._always = dict(always or {})

    def takes(self, members: Members, body: bytes) -> bool:
        """Tell whether a request can go on byte for byte."""
        return self._always.keys() <= members.keys() and super().takes(members, body)

    def encode(self, request: JsonObject, *, stream: bool, spec: ModelSpec) -> Encoded:
        """Return the request as bytes."""
        request = {**self._always, **request}

        if self._fit is not None:
            self._fit(request)

        return super().encode(request, stream=stream, spec=spec)


def without_tool_choice(request: JsonObject) -> None:
    """Leave `tool_choice` out of a request, in place, for a server that always chooses itself.

    Raises:
        Unsupported: It asks for a call that nobody can promise.
    """
    if "tool_choice" not in request:
        return

    wanted = request.pop("tool_choice")

    if wanted == "none":
        request.pop("tools", None)
        request.pop("parallel_tool_calls", None)
    elif wanted not in (None, "auto"):
        raise unsupported("tool_choice")


def named_tool_alone(request: JsonObject) -> None:
    """Ask for the call of one tool by its name, in place, where a server knows only `required`.

    Raises:
        Unsupported: The choice is none that can be said so.
    """
    wanted = request.get("tool_choice")

    if not isinstance(wanted, dict):
        return

    function = wanted.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    tools = request.get("tools")
    kept = [
        tool
        for tool in (tools if isinstance(tools, list) else [])
        if isinstance(tool, dict)
        and isinstance(described := tool.get("function"), dict)
        and described.get("name") == name
    ]

    if wanted.get("type") != "function" or not kept:
        raise unsupported("tool_choice")

    request["tools"] = [*kept]
    request["tool_choice"] = "required"


def require_functions(tools: Json) -> None:
    """Refuse tools that are no functions.

    Raises:
        Unsupported: One is something else.
    """
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise unsupported("tools", "The provider of this model knows no tools but functions.")


TOOL_CHOICE: Final = "left out; `none` leaves out the tools, a call that is demanded is refused"
"""What `without_tool_choice` does, for a ledger."""
NAMED_TOOL: Final = "tool_choice: a named function is `required` with that tool alone"
"""What `named_tool_alone` does, for a ledger."""


def flat_text(content: Json) -> str:
    """Return the text of a message's content, for a server that takes nothing else.

    Raises:
        Unsupported: It holds something else than text.
    """
    if content is None:
        return ""

    if not isinstance(content, list):
        return content if isinstance(content, str) else str(content)

    texts: list[str] = []

    for part in content:
        text = text_of(part)

        if text is None:
            raise unsupported("messages", "The provider of this model takes nothing but text.")

        texts.append(text)

    return "".join(texts)


def text_of(part: Json) -> str | None:
    """Return the text of a part of a message's content; None when it is no text."""
    if isinstance(part, str):
        return part

    if isinstance(part, dict) and part.get("type") in ("text", "refusal", "input_text"):
        text = part.get("text", part.get("refusal"))
        return text if isinstance(text, str) else ""

    return None
