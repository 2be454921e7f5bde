"""The adapter of LiteLLM without the package, and its transport over a package that is scripted.

The package itself is met in `tests/litellm`, in an environment of its own.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from spindle_llm.providers.litellm import NOWHERE, LitellmAdapter
from spindle_llm.providers.litellm_package import Package
from spindle_llm.providers.litellm_transport import CHATS, EMBEDDINGS, LitellmTransport
from spindle_llm.providers.registry import adapters
from spindle_llm.relay.wire_json import encode
from spindle_spi.errors import (
    FailedPrecondition,
    GatewayError,
    Unsupported,
    UpstreamError,
    UpstreamTimeout,
)
from spindle_spi.records import ProviderSpec
from spindle_spi.secret import Secret
from spindle_spi.types import JsonObject
from spindle_transport.exchange import UpstreamRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from spindle_spi.types import Json

pytestmark = pytest.mark.anyio

SPEC = ProviderSpec(provider_type="litellm", long_timeout=5.0)
CHUNK: JsonObject = {"choices": [{"index": 0, "delta": {"content": "a", "citations": []}}]}
ANSWER: JsonObject = {
    "choices": [{"message": {"role": "assistant", "thinking_blocks": [], "tool_calls": []}}]
}


class RefusedByModel(Exception):
    """Stands for the package's errors."""

    def __init__(self, message: str, status_code: object = 500) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code


class NotSupported(RefusedByModel):
    """A parameter the vendor does not know."""


class ContextWindowExceededError(RefusedByModel):
    """One whose name says what it is about."""


class NotReached(RefusedByModel):
    """No connection."""


class Broken(RefusedByModel):
    """A connection that broke."""


@dataclass
class Answer:
    """Something with the method by which its models become plain data."""

    value: JsonObject

    def model_dump(self, *, mode: str, exclude_none: bool) -> JsonObject:
        """Return the plain data."""
        assert (mode, exclude_none) == ("json", True)
        return self.value


@dataclass
class Stream:
    """Chunks, and what is raised after them."""

    end: Exception | None = None
    hangs: bool = False
    is_closed: bool = False
    _left: int = 1

    def __aiter__(self) -> AsyncIterator[Answer]:
        """Return itself."""
        return self

    async def __anext__(self) -> Answer:
        """Return the one chunk, then end."""
        if self._left:
            self._left -= 1
            return Answer(CHUNK)

        if self.hangs:
            await anyio.sleep_forever()

        raise self.end or StopAsyncIteration

    async def aclose(self) -> None:
        """Remember it."""
        self.is_closed = True


@dataclass
class Scripted:
    """A package that remembers what it was asked."""

    outcome: Any
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    closed: int = 0
    package: Package | None = None

    async def ask(self, **asked: Any) -> Any:
        """Remember, and do as the script says."""
        self.asked.append(asked)

        if isinstance(self.outcome, Exception):
            raise self.outcome

        return self.outcome

    async def close(self) -> None:
        """Remember."""
        self.closed += 1

    def provider_of(self, *, model: str, api_base: str | None) -> object:
        """Know every model with a provider."""
        del api_base

        if "/" not in model:
            raise RefusedByModel("LLM Provider NOT provided", 400)

        return None

    def transport(self, spec: ProviderSpec = SPEC) -> LitellmTransport:
        """Return a transport over it."""

        async def load() -> Package:
            self.package = self.package or Package(
                acompletion=self.ask,
                aembedding=self.ask,
                provider_of=self.provider_of,
                close_clients=self.close,
                errors=(RefusedByModel,),
                unsupported=NotSupported,
                unreached=(NotReached,),
                broken=(Broken,),
            )
            return self.package

        return LitellmTransport(spec, nowhere=NOWHERE, load=load)


def request(
    body: JsonObject | None = None,
    *,
    path: str = CHATS,
    spec: ProviderSpec = SPEC,
    key: str = "",
    deadline: float | None = None,
    silence: float | None = None,
) -> UpstreamRequest:
    """Return a request as the module makes it."""
    asked: JsonObject = {"model": "acme/one", "messages": [], **(body or {})}
    return UpstreamRequest(
        url=(spec.urls[0] if spec.urls else NOWHERE) + path,
        headers=LitellmAdapter().headers(spec, Secret(key) if key else None),
        body=encode(asked),
        deadline=deadline,
        silence=silence,
    )


async def read(scripted: Scripted, asked: UpstreamRequest | None = None) -> tuple[int, bytes]:
    """Return status and body of an answer."""
    response = await scripted.transport().open(asked or request())
    body = b"".join([data async for data in response.chunks()])
    await response.aclose()
    return response.status, body


async def test_without_the_extra_a_call_says_what_to_install() -> None:
    """Nothing is imported to find that out, and every other provider works."""
    assert "litellm" in adapters()
    assert "litellm" not in sys.modules

    with pytest.raises(FailedPrecondition, match=r"pip install 'spindle\[litellm\]'") as caught:
        await LitellmTransport(SPEC, nowhere=NOWHERE).open(request())

    assert caught.value.code == "llm.provider.extra_missing"
    assert "litellm" not in sys.modules


async def test_a_call_carries_key_and_settings_and_nothing_of_its_own_accord() -> None:
    """Key and address are the record's, retries and choices of parameters are ours."""
    spec = ProviderSpec(
        provider_type="litellm",
        urls=("http://acme.test/api",),
        api_version="7",
        options={"region_name": "eu", "success_callback": ["spy"]},
        long_timeout=7.0,
        verify_cert=False,
    )
    scripted = Scripted(Answer(ANSWER))
    response = await scripted.transport(spec).open(
        request(
            {"temperature": 1, "api_base": "http://evil", "mock_response": "made up"},
            spec=spec,
            key="k",
        )
    )
    (asked,) = scripted.asked
    assert response.status == 200
    assert asked.pop("timeout") == 7.0
    assert asked == {
        "model": "acme/one",
        "messages": [],
        "temperature": 1,
        "api_version": "7",
        "api_base": "http://acme.test/api",
        "api_key": "k",
        "ssl_verify": False,
        "num_retries": 0,
        "max_retries": 0,
        "drop_params": False,
        "no-log": True,
        "caching": False,
        "region_name": "eu",
    }


@pytest.mark.parametrize(("options", "shown"), [({}, True), ({"use_environment": True}, False)])
async def test_credentials_of_the_environment_are_used_when_the_operator_says_so(
    options: dict[str, Json], shown: bool
) -> None:
    """Else something that is no key stands where one would be looked for."""
    spec = ProviderSpec(provider_type="litellm", options=options)
    scripted = Scripted(Answer(ANSWER))
    await scripted.transport(spec).open(request(spec=spec))
    (asked,) = scripted.asked
    assert ("api_key" in asked) is shown
    assert "use_environment" not in asked
    assert "api_base" not in asked


async def test_an_answer_has_no_member_that_is_of_litellm_alone() -> None:
    """Whole or in pieces."""
    status, body = await read(Scripted(Answer(ANSWER)))
    assert status == 200
    assert b"thinking_blocks" not in body
    assert b'"content":null' in body
    _, events = await read(Scripted(Stream()), request({"stream": True}))
    assert events == (
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
        b"data: [DONE]\n\n"
    )


async def test_vectors_are_asked_without_what_only_chats_have() -> None:
    """And never as a stream."""
    scripted = Scripted(Answer({"data": []}))
    asked = request({"input": ["a"], "stream": True, "encoding_format": "float"}, path=EMBEDDINGS)
    await read(scripted, asked)
    assert scripted.asked[0].keys().isdisjoint({"messages", "stream", "encoding_format"})


@pytest.mark.parametrize(
    ("raised", "kind", "code"),
    [
        (NotSupported("acme does not support parameters: ['n', 'x'],"), Unsupported, "n"),
        (NotSupported("Setting dimensions is not supported"), Unsupported, "dimensions"),
        (NotSupported("not so"), Unsupported, None),
        (NotReached("host:9"), UpstreamError, "upstream_unreachable"),
        (RefusedByModel("late", 408), UpstreamTimeout, "upstream_timeout"),
        (Broken("read"), UpstreamError, "upstream_cut"),
    ],
)
async def test_a_call_that_nobody_answered_fails_as_such(
    raised: Exception, kind: type[GatewayError], code: str | None
) -> None:
    """Before an answer and inside a stream, in our words."""
    with pytest.raises(kind) as caught:
        await Scripted(raised).transport().open(request())

    error: GatewayError = caught.value
    assert (error.param if kind is Unsupported else error.code) == code
    assert str(raised) not in error.message

    with pytest.raises(kind):
        await read(Scripted(Stream(end=raised)), request({"stream": True}))


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("litellm.BadRequestError: AcmeException - too hot", '{"message":"too hot"}'),
        ('AcmeException - {"error":{"message":"a"}}', '{"message":"a"}'),
        ('AcmeException - b\'{"error":{"message":"a\\\'s"}}\'', '{"message":"a\'s"}'),
        ("AcmeException - b'cut", "{}"),
        ("AcmeException - [1]", "{}"),
    ],
)
async def test_the_words_of_a_refusal_are_read_from_whatever_form_they_have(
    message: str, told: str
) -> None:
    """The names of classes before them are not the vendor's."""
    status, body = await read(Scripted(RefusedByModel(message, 400)))
    assert (status, body.decode()) == (400, f'{{"error":{told}}}')


async def test_a_code_of_a_vendors_own_is_no_status() -> None:
    """It failed; how is not for us to guess."""
    status, _ = await read(Scripted(RefusedByModel("no", "upstream_code")))
    assert status == 500


async def test_what_litellm_has_found_out_is_a_code() -> None:
    """A context that is too small is told as such, in a stream as well."""
    raised = ContextWindowExceededError("no", 400)
    _, body = await read(Scripted(raised))
    assert body == b'{"error":{"message":"no","code":"context_length_exceeded"}}'
    _, events = await read(Scripted(Stream(end=raised)), request({"stream": True}))
    assert events.endswith(b'data: {"error":{"message":"","code":"context_length_exceeded"}}\n\n')


async def test_a_model_that_litellm_cannot_place_is_the_operators_mistake() -> None:
    """Its name has to say whose it is."""
    with pytest.raises(FailedPrecondition) as caught:
        await Scripted(None).transport().open(request({"model": "one"}))

    assert caught.value.code == "llm.model.upstream_name"


async def test_silence_and_deadline_end_a_call() -> None:
    """Whichever comes first, before an answer and between its pieces."""
    stream = Stream(hangs=True)

    with pytest.raises(UpstreamTimeout):
        await read(Scripted(stream), request({"stream": True}, silence=0.05))

    with pytest.raises(UpstreamTimeout):
        await read(Scripted(Answer(ANSWER)), request(deadline=time.monotonic() - 1))


async def test_closing_an_answer_closes_the_stream_it_comes_from() -> None:
    """And nothing more is read."""
    stream = Stream()
    response = await Scripted(stream).transport().open(request({"stream": True}))
    await response.aclose()
    assert stream.is_closed
    assert [data async for data in response.chunks()] == []


async def test_the_last_transport_closes_the_connections_of_all() -> None:
    """They belong to the package, not to a provider."""
    scripted = Scripted(Answer(ANSWER))
    first, second = scripted.transport(), scripted.transport()

    for transport in (first, second):
        await transport.open(request())

    await first.close()
    assert scripted.closed == 0
    await second.close()
    await second.close()
    assert scripted.closed == 1
