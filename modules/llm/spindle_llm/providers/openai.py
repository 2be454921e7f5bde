"""The adapter of everything that speaks OpenAI's chat form; there is nothing to translate.

A base URL whose path has a version segment (`https://host/v1`, `https://host/openai/v1`,
`https://host/v1beta/openai`) is taken as it is; to any other, `/v1` is added.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

import msgspec

from spindle_llm.providers.base import Adapter, StreamDecoder
from spindle_llm.providers.refusals import refusal_of
from spindle_llm.relay.wire_json import UNREADABLE, encode, read_object, request_too_deep
from spindle_spi.errors import GatewayError, UpstreamError
from spindle_spi.records import Kind, ModelSpec, ProviderSpec, PublishedRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_llm.relay.sse import SseEvent
    from spindle_spi.secret import Secret
    from spindle_spi.types import JsonObject

MAX_LISTED_MODELS = 2000

_VERSION = re.compile(r"v\d+[a-z0-9]*")


class OpenAiAdapter(Adapter):
    """OpenAI's dialect, which is the lingua franca."""

    passes_through: ClassVar[bool] = True

    def chat_url(self, base: str) -> str:
        """Return where chats are asked."""
        return join_url(base, "/chat/completions")

    def models_url(self, base: str) -> str | None:
        """Return where models are listed."""
        return join_url(base, "/models")

    def headers(self, spec: ProviderSpec, key: Secret | None) -> dict[str, str]:
        """Return the headers of every request; packing would hold text back, so none is asked."""
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "spindle",
        }

        for option, name in (
            ("organization", "OpenAI-Organization"),
            ("project", "OpenAI-Project"),
        ):
            value = spec.options.get(option)

            if isinstance(value, str):
                headers[name] = value

        if key:
            headers["Authorization"] = f"Bearer {key.reveal()}"

        return headers

    def encode(self, body: JsonObject, *, stream: bool) -> bytes:
        """Return the request as bytes.

        Raises:
            InvalidArgument: It is nested too deeply.
        """
        request: JsonObject = {**body, "stream": stream}

        if stream:
            options = body.get("stream_options")
            options = options if isinstance(options, dict) else {}
            request["stream_options"] = {**options, "include_usage": True}

        try:
            return encode(request)
        except RecursionError as exc:
            raise request_too_deep() from exc

    def decode(self, data: bytes) -> JsonObject:
        """Return the answer as plain data."""
        answer, _ = read_object(data)
        check_answer(answer)
        return answer

    def decoder(self) -> StreamDecoder:
        """Return a decoder for one streamed answer."""
        return _OpenAiDecoder()

    def refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
    ) -> GatewayError:
        """Return what a client is told."""
        return refusal_of(status, headers, body, key)

    def listed_models(self, provider: str, data: bytes) -> Sequence[PublishedRecord]:
        """Return the models of `{"data": [{"id", "created"}]}`."""
        try:
            listing = msgspec.json.decode(data, type=_Listing)
        except UNREADABLE as exc:
            raise UpstreamError("The upstream's list of models cannot be read.") from exc

        return [
            PublishedRecord(
                kind=Kind.MODEL,
                name=f"{provider}~{entry.id}",
                spec=ModelSpec(
                    provider=provider, upstream_name=entry.id, created=entry.created or 0
                ),
            )
            for entry in listing.data[:MAX_LISTED_MODELS]
            if entry.id
        ]


class _OpenAiDecoder(StreamDecoder):
    def take(self, event: SseEvent) -> Sequence[JsonObject]:
        if event.data == b"[DONE]":
            self.is_done = True
            return ()

        if not event.data or self.is_done:
            return ()

        chunk, _ = read_object(event.data)

        if event.name == "error" and "choices" not in chunk:
            return ({"error": chunk},)

        return (chunk,)


class _Listed(msgspec.Struct):
    id: str
    created: int | None = None


class _Listing(msgspec.Struct):
    data: list[_Listed]


def join_url(base: str, path: str) -> str:
    """Return the URL of a path under a base, with `/v1` between when the base has no version."""
    segments = urlsplit(base).path.split("/")
    has_version = any(_VERSION.fullmatch(segment) for segment in segments)
    return base.rstrip("/") + ("" if has_version else "/v1") + path


def check_answer(answer: JsonObject) -> None:
    """Refuse what is no chat answer.

    Raises:
        UpstreamError: It is an error under status 200, or something else.
    """
    if answer.get("error"):
        raise UpstreamError("The upstream failed.")

    choices = answer.get("choices")

    if not isinstance(choices, list) or not all(
        isinstance(choice, dict) and isinstance(choice.get("message"), dict) for choice in choices
    ):
        raise UpstreamError("The upstream sent no chat answer.", code="upstream_garbage")
