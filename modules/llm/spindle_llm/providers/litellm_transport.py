"""A transport without a wire of its own: LiteLLM is called, and answers in OpenAI's form."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import anyio

from spindle_llm.providers.litellm_errors import event_of, failure_of, no_provider, refusal_in
from spindle_llm.providers.litellm_package import Package, package
from spindle_llm.providers.parameters import CHAT_PARAMETERS
from spindle_llm.relay.wire_json import encode, read_object
from spindle_spi.errors import UpstreamTimeout
from spindle_transport.exchange import Transport, UpstreamRequest, UpstreamResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from spindle_spi.records import ProviderSpec
    from spindle_spi.types import Json, JsonObject

CHAT_PASSED: Final = CHAT_PARAMETERS - {"metadata", "moderation", "prompt_cache_options"} | {
    "top_k"
}
"""Members of a chat that go on. `metadata` would end in LiteLLM's own records."""
EMBEDDINGS_PASSED: Final = frozenset({"model", "input", "dimensions", "user"})
SETTINGS: Final = "x-litellm-settings"
"""The header in which an adapter tells what LiteLLM is told beside the request; it is not sent."""
_NO_KEY: Final = "none"
"""Given in place of a key, so that none is taken from the environment unasked."""
CHATS: Final = "/chat/completions"
EMBEDDINGS: Final = "/embeddings"
"""What follows a base in the URL of an operation; LiteLLM puts a vendor's own path there."""
_LOCAL: Final = ("provider_specific_fields", "thinking_blocks", "citations")
"""Members of answers that are LiteLLM's own."""


class LitellmTransport(Transport):
    """Calls the package for one provider."""

    def __init__(
        self,
        spec: ProviderSpec,
        *,
        nowhere: str,
        load: Callable[[], Awaitable[Package]] = package,
    ) -> None:
        """Take a provider; `nowhere` is the address that stands for the vendor's own."""
        self._load = load
        self._nowhere = nowhere
        self._silence = spec.long_timeout
        self._is_verified = spec.verify_cert
        self._package: Package | None = None

    async def open(self, request: UpstreamRequest) -> UpstreamResponse:
        """Ask, and return the answer or what came of it."""
        silence = min(request.silence or self._silence, self._silence)
        bounds = Bounds(silence, request.deadline)

        if self._package is None:
            self._package = await self._load()
            self._package.users.add(self)

        used = self._package
        body, _ = read_object(request.body)
        is_embedding = request.url.endswith(EMBEDDINGS)

        # The ledger has chosen already; what would be an order to LiteLLM must not depend on it.
        passed = EMBEDDINGS_PASSED if is_embedding else CHAT_PASSED
        asked: dict[str, Any] = {name: body[name] for name in body if name in passed}
        asked |= self._access(request)
        is_stream = not is_embedding and body.get("stream") is True

        if is_stream:
            asked["stream"] = True
        else:
            asked.pop("stream", None)

        try:
            used.provider_of(model=asked["model"], api_base=asked.get("api_base"))
        except used.errors as exc:
            raise no_provider() from exc

        ask = used.aembedding if is_embedding else used.acompletion

        try:
            answer = await bounds.wait(ask(**asked, timeout=bounds.left(), **_ONCE))
        except used.errors as exc:
            failure = failure_of(exc, used)

            if failure is not None:
                raise failure from exc

            return WholeAnswer(*refusal_in(exc))

        if is_stream:
            return StreamedAnswer(answer, used, bounds)

        return WholeAnswer(200, {"content-type": "application/json"}, _whole(answer))

    async def close(self) -> None:
        """Close the package's connections when nobody else uses it."""
        used, self._package = self._package, None

        if used is not None:
            used.users.discard(self)

            if not used.users:
                await used.close_clients()

    def _access(self, request: UpstreamRequest) -> dict[str, Any]:
        """Return address, key, and whatever else the operator has set for a call."""
        settings, _ = read_object(request.headers.get(SETTINGS, "{}").encode())
        access: dict[str, Any] = {**settings}
        takes_environment = access.pop("use_environment", None) is True
        base = request.url.removesuffix(CHATS).removesuffix(EMBEDDINGS)

        if base != self._nowhere:
            access["api_base"] = base

        key = request.headers.get("Authorization", "").removeprefix("Bearer ")

        if key or not takes_environment:
            access["api_key"] = key or _NO_KEY

        if not self._is_verified:
            access["ssl_verify"] = False

        return access


_ONCE: Final[Mapping[str, Any]] = {
    "num_retries": 0,
    "max_retries": 0,
    "drop_params": False,
    "no-log": True,
    "caching": False,
}
"""Retries are the gateway's, and so is the record of a call; nothing is left out unsaid."""


class Bounds:
    """How long an answer, or its next piece, may take."""

    __slots__ = ("_deadline", "_silence")

    def __init__(self, silence: float, deadline: float | None) -> None:
        self._silence = silence
        self._deadline = deadline

    def left(self) -> float:
        """Return the seconds the upstream has from now.

        Raises:
            UpstreamTimeout: None.
        """
        if self._deadline is None:
            return self._silence

        seconds = min(self._silence, self._deadline - time.monotonic())

        if seconds <= 0:
            raise _late()

        return seconds

    async def wait(self, awaited: Any) -> Any:
        """Return what is awaited.

        Raises:
            UpstreamTimeout: It took too long.
        """
        try:
            with anyio.fail_after(self.left()):
                return await awaited
        except TimeoutError as exc:
            raise _late() from exc


class WholeAnswer(UpstreamResponse, AsyncIterator[bytes]):
    """An answer or a refusal that is here."""

    __slots__ = ("_body", "_headers", "_status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._status = status
        self._headers = headers
        self._body = body

    @property
    def status(self) -> int:
        """The status."""
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, their names in lower case."""
        return self._headers

    def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the one piece."""
        return self

    async def __anext__(self) -> bytes:
        """Return the body once."""
        body, self._body = self._body, b""

        if not body:
            raise StopAsyncIteration

        return body

    async def aclose(self, *, patience: float = 0.0) -> None:
        """Let go of the body."""
        del patience
        self._body = b""


class StreamedAnswer(UpstreamResponse, AsyncIterator[bytes]):
    """Chunks of LiteLLM's as server-sent events; a failure among them is an event, too."""

    __slots__ = ("_bounds", "_is_over", "_package", "_stream")

    def __init__(self, stream: Any, package: Package, bounds: Bounds) -> None:
        self._stream = stream
        self._package = package
        self._bounds = bounds
        self._is_over = False

    @property
    def status(self) -> int:
        """The status: it has begun."""
        return 200

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        return {"content-type": "text/event-stream"}

    def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the events."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next event."""
        if self._is_over:
            raise StopAsyncIteration

        try:
            chunk = await self._bounds.wait(self._stream.__anext__())
        except StopAsyncIteration:
            self._is_over = True
            return b"data: [DONE]\n\n"
        except self._package.errors as exc:
            self._is_over = True
            failure = failure_of(exc, self._package)

            if failure is not None:
                raise failure from exc

            return event_of(exc)

        return b"data: " + encode(_chunk(chunk)) + b"\n\n"

    async def aclose(self, *, patience: float = 0.0) -> None:
        """End the stream, and with it the connection it comes from."""
        del patience
        self._is_over = True
        await self._stream.aclose()


def _whole(answer: Any) -> bytes:
    """Return an answer as bytes."""
    plain: JsonObject = answer.model_dump(mode="json", exclude_none=True)

    for choice in _objects(plain.get("choices")):
        message = choice.get("message")
        choice.pop("provider_specific_fields", None)

        if isinstance(message, dict):
            _clean(message)
            message.setdefault("content", None)

    return encode(plain)


def _chunk(chunk: Any) -> JsonObject:
    plain: JsonObject = chunk.model_dump(mode="json", exclude_none=True)

    for choice in _objects(plain.get("choices")):
        delta = choice.get("delta")
        choice.setdefault("finish_reason", None)
        choice.pop("provider_specific_fields", None)

        if isinstance(delta, dict):
            _clean(delta)

    return plain


def _clean(message: JsonObject) -> None:
    for name in _LOCAL:
        message.pop(name, None)


def _objects(value: Json) -> list[JsonObject]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _late() -> UpstreamTimeout:
    return UpstreamTimeout("The upstream did not answer in time.")
