"""OpenAI's chat dialect, which is the lingua franca, and its lesser variants."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from spindle_llm.providers.dialect import (
    EVENT_LIMIT,
    ChatDialect,
    Encoded,
    EventDecoder,
    Form,
    StreamDecoder,
)
from spindle_llm.providers.extensions import ANTHROPIC, without_extensions
from spindle_llm.providers.ledger import Ledger
from spindle_llm.providers.refusals import told_in_stream
from spindle_llm.providers.urls import join_url
from spindle_llm.relay.wire_json import encode, read_object, request_too_deep
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from spindle_llm.members import Members
    from spindle_llm.relay.sse import SseEvent
    from spindle_spi.records import ModelSpec
    from spindle_spi.types import Json, JsonObject

_DEVELOPER = b'"developer"'


class OpenAiChat(ChatDialect):
    """Chats in OpenAI's form; what a variant does not know is renamed, left out or refused."""

    form: ClassVar[Form] = Form.OPENAI

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        renamed: Mapping[str, str] | None = None,
        has_developer: bool = True,
        strict: bool = False,
    ) -> None:
        """Take the fates of parameters, new names of some, and what messages may hold.

        `has_developer`: that is a role. `strict`: the upstream is OpenAI itself, which takes no
        other words than its own, and only the newest.
        """
        self._strict = strict
        self._renamed = dict(renamed or {})
        self._has_developer = has_developer
        known = ledger or Ledger()
        self.ledger = Ledger(
            translated={**known.translated, **self._renamed},
            dropped=known.dropped,
            rejected=known.rejected,
            passed=known.passed,
            others=known.others,
        )

    def url(self, base: str, model: str) -> str:
        """Return where chats are asked."""
        del model
        return join_url(base, "/chat/completions")

    def takes(self, members: Members, body: bytes) -> bool:
        """Tell whether a request can go on byte for byte."""
        return super().takes(members, body) and (self._has_developer or _DEVELOPER not in body)

    def encode(self, request: JsonObject, *, stream: bool, spec: ModelSpec) -> Encoded:
        """Return the request as bytes.

        Raises:
            InvalidArgument: It is nested too deeply.
            Unsupported: It asks for what the upstream cannot do.
        """
        del spec
        kept, dropped = self.ledger.judge(request)

        if ANTHROPIC in request:
            dropped += without_extensions(kept, strict=self._strict)

        for old, new in self._renamed.items():
            if old in kept:
                kept.setdefault(new, kept.pop(old))

        if not self._has_developer:
            kept["messages"] = _without_developer(kept.get("messages"))

        kept["stream"] = stream

        if stream:
            options = kept.get("stream_options")
            options = options if isinstance(options, dict) else {}
            kept["stream_options"] = {**options, "include_usage": True}
        else:
            kept.pop("stream_options", None)

        try:
            return Encoded(body=encode(kept), dropped=dropped)
        except RecursionError as exc:
            raise request_too_deep() from exc

    def decode(self, data: bytes) -> JsonObject:
        """Return the answer as plain data."""
        answer, _ = read_object(data)
        check_answer(answer)
        return answer

    def decoder(self, limit: int = EVENT_LIMIT) -> StreamDecoder:
        """Return a decoder for one streamed answer."""
        return _OpenAiDecoder(limit)


class _OpenAiDecoder(EventDecoder):
    def take(self, event: SseEvent) -> Iterable[JsonObject]:
        if event.data == b"[DONE]":
            self.is_done = True
            return ()

        if not event.data:
            return ()

        chunk, _ = read_object(event.data)

        if event.name == "error" and "choices" not in chunk:
            return ({"error": chunk},)

        return (chunk,)


def check_answer(answer: JsonObject) -> None:
    """Refuse what is no chat answer.

    Raises:
        GatewayError: It is an error under status 200.
        UpstreamError: It is something else.
    """
    if answer.get("error"):
        raise told_in_stream(answer["error"])

    choices = answer.get("choices")

    if not isinstance(choices, list) or not all(
        isinstance(choice, dict) and isinstance(choice.get("message"), dict) for choice in choices
    ):
        raise UpstreamError("The upstream sent no chat answer.", code="upstream_garbage")


def _without_developer(messages: Json) -> Json:
    if not isinstance(messages, list):
        return messages

    return [
        {**message, "role": "system"}
        if isinstance(message, dict) and message.get("role") == "developer"
        else message
        for message in messages
    ]
