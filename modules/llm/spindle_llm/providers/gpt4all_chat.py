"""GPT4All's dialect: a strict part of OpenAI's form, without tools, parts, and streams.

A stream is made of the whole answer, so that a client that asks for one gets one.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, ClassVar, Final

from spindle_llm.providers.dialect import EVENT_LIMIT, ChatDialect, Encoded, StreamDecoder
from spindle_llm.providers.ledger import Fate, Ledger, unsupported
from spindle_llm.providers.local_chat import flat_text
from spindle_llm.providers.openai_chat import check_answer
from spindle_llm.providers.parameters import OF_OTHER_MODELS, OF_THE_ACCOUNT
from spindle_llm.providers.readings import objects_in
from spindle_llm.providers.urls import join_url
from spindle_llm.relay.wire_json import encode, read_object, request_too_deep
from spindle_spi.errors import InvalidArgument, UpstreamError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.records import ModelSpec
    from spindle_spi.types import Json, JsonObject

DEFAULT_MAX_TOKENS: Final = 4096
"""Most tokens of an answer where nobody says: the server itself would stop after 16."""
_ACCEPTED: Final = {"Accept": "application/json"}
_ROLES: Final = {"system": "system", "developer": "system", "user": "user"}
_PIECE: Final = re.compile(r"\s*\S{1,200}\s*|\s+")
"""A word of a text, with the space around it."""


class GPT4AllChat(ChatDialect):
    """`POST /chat/completions`, as GPT4All reads it."""

    ledger = Ledger(
        passed=frozenset({"model", "temperature", "top_p", "min_p", "n", "max_tokens"}),
        translated={
            "messages": "messages: roles and texts, nothing else",
            "max_completion_tokens": "max_tokens, before `max_tokens`; 4096 where neither is said",
            "stream": "nothing: the answer comes whole, and a stream is made of it",
            "stream_options": "nothing: the usage always comes",
        },
        dropped=OF_THE_ACCOUNT
        | {
            *("frequency_penalty", "presence_penalty", "logit_bias", "seed", "verbosity"),
            *("reasoning_effort", "parallel_tool_calls"),
        },
        rejected=OF_OTHER_MODELS
        | {"stop", "response_format", "tools", "tool_choice", "logprobs", "top_logprobs"},
        others=Fate.DROPPED,
    )

    def url(self, base: str, model: str) -> str:
        """Return where chats are asked."""
        del model
        return join_url(base, "/chat/completions")

    def encode(self, request: JsonObject, *, stream: bool, spec: ModelSpec) -> Encoded:
        """Return a request as bytes; it never asks for a stream.

        Raises:
            InvalidArgument: It is nested too deeply, or its messages are none.
            Unsupported: It asks for what GPT4All cannot do.
        """
        del stream
        kept, dropped = self.ledger.judge(request)
        kept.pop("stream_options", None)
        tokens = kept.pop("max_completion_tokens", None) or kept.get("max_tokens")
        kept["max_tokens"] = tokens or spec.max_output_tokens or DEFAULT_MAX_TOKENS
        kept["messages"] = _messages(kept.get("messages"))
        kept["stream"] = False

        try:
            return Encoded(body=encode(kept), dropped=dropped, headers=_ACCEPTED)
        except RecursionError as exc:
            raise request_too_deep() from exc

    def decode(self, data: bytes) -> JsonObject:
        """Return the answer, under an id of its own, with what was quoted in the message."""
        answer, _ = read_object(data)
        check_answer(answer)
        answer["id"] = f"chatcmpl-{uuid.uuid4().hex}"

        for choice in objects_in(answer, "choices"):
            quoted, message = choice.pop("references", None), choice["message"]

            if quoted and isinstance(message, dict):
                message["references"] = quoted

        return answer

    def decoder(self, limit: int = EVENT_LIMIT) -> StreamDecoder:
        """Return a decoder that makes a stream of the whole answer."""
        return _WholeDecoder(self, limit)


class _WholeDecoder(StreamDecoder):
    media_types: ClassVar[tuple[str, ...]] = ("application/json",)

    def __init__(self, dialect: GPT4AllChat, limit: int) -> None:
        self._dialect = dialect
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[JsonObject]:
        """Keep the bytes; there is nothing to say before the last."""
        self._size += len(data)

        if self._size > self._limit:
            raise UpstreamError("The upstream's answer is too large.", code="upstream_too_large")

        self._pieces.append(data)
        return iter(())

    def close(self) -> Iterator[JsonObject]:
        """Yield the answer as a stream would have said it."""
        answer = self._dialect.decode(b"".join(self._pieces))
        self.is_done = True
        yield from streamed(answer)


def streamed(answer: JsonObject) -> Iterator[JsonObject]:
    """Yield a whole answer as the chunks of a stream: roles, texts in pieces, ends, usage."""
    head = {name: answer.get(name) for name in ("id", "created", "model")}
    head["object"] = "chat.completion.chunk"

    for choice in objects_in(answer, "choices"):
        message, index = choice["message"], choice.get("index", 0)
        said = message if isinstance(message, dict) else {}
        text = said.get("content")
        more = {name: value for name, value in said.items() if name not in ("role", "content")}
        deltas: list[JsonObject] = [{"role": "assistant", "content": "", **more}]
        deltas += [
            {"content": piece} for piece in (_PIECE.findall(text) if isinstance(text, str) else ())
        ]

        for delta in deltas:
            yield _chunk(head, index, delta, None)

        yield _chunk(head, index, {}, choice.get("finish_reason") or "stop")

    if isinstance(answer.get("usage"), dict):
        yield {**head, "choices": [], "usage": answer["usage"]}


def _chunk(head: JsonObject, index: Json, delta: JsonObject, finish: Json) -> JsonObject:
    return {**head, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def _messages(messages: Json) -> list[Json]:
    """Return messages as GPT4All takes them.

    Raises:
        InvalidArgument: One is none.
        Unsupported: One is of a role, or holds something, that GPT4All does not know.
    """
    if not isinstance(messages, list):
        raise InvalidArgument("'messages' must be a list.", param="messages")

    return [_message(message) for message in messages]


def _message(message: Json) -> JsonObject:
    if not isinstance(message, dict):
        raise InvalidArgument("A message must be an object.", param="messages")

    role = message.get("role")
    calls = message.get("tool_calls") or message.get("function_call")

    if (role not in _ROLES and role != "assistant") or calls:
        raise unsupported("messages", "The provider of this model knows no tools.")

    return {"role": _ROLES.get(str(role), role), "content": flat_text(message.get("content"))}
