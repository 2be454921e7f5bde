"""An adapter: one upstream dialect on one side, the lingua franca on the other. No I/O."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle_llm.relay.sse import SseEvent
    from spindle_llm.relay.transport import Transport
    from spindle_spi.errors import GatewayError
    from spindle_spi.records import ProviderSpec, PublishedRecord
    from spindle_spi.secret import Secret
    from spindle_spi.types import JsonObject


class StreamDecoder(ABC):
    """Turns the events of one streamed answer into chunks of the lingua franca."""

    is_done: bool = False
    """The upstream said that the answer is complete."""

    @abstractmethod
    def take(self, event: SseEvent) -> Sequence[JsonObject]:
        """Return the chunks an event stands for, possibly none.

        Raises:
            UpstreamError: The event tells of an error, or is none of the dialect.
        """


class Adapter(ABC):
    """A provider type. Stateless; one instance serves every provider of its type."""

    passes_through: ClassVar[bool] = False
    """The upstream speaks the lingua franca: bytes need no translation."""

    @abstractmethod
    def chat_url(self, base: str) -> str:
        """Return where chats of a provider with this base URL are asked."""

    @abstractmethod
    def headers(self, spec: ProviderSpec, key: Secret | None) -> dict[str, str]:
        """Return the headers of every request to a provider."""

    @abstractmethod
    def encode(self, body: JsonObject, *, stream: bool) -> bytes:
        """Return a chat request in the upstream's dialect; `model` is the upstream's name."""

    @abstractmethod
    def decode(self, data: bytes) -> JsonObject:
        """Return a whole answer in the lingua franca.

        Raises:
            UpstreamError: It is no answer.
        """

    @abstractmethod
    def decoder(self) -> StreamDecoder:
        """Return a decoder for one streamed answer."""

    @abstractmethod
    def refusal(
        self, status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
    ) -> GatewayError:
        """Return what a client is told of an answer that is no success."""

    @abstractmethod
    def models_url(self, base: str) -> str | None:
        """Return where a provider lists its models; None when it does not."""

    @abstractmethod
    def listed_models(self, provider: str, data: bytes) -> Sequence[PublishedRecord]:
        """Return the models of such a list.

        Raises:
            UpstreamError: It is no list of models.
        """

    def transport(self, spec: ProviderSpec) -> Transport | None:
        """Return a transport of the adapter's own; None for HTTP."""
        del spec
        return None

    def built_in_models(self, provider: str) -> Sequence[PublishedRecord]:
        """Return the models that exist without being declared or discovered."""
        del provider
        return ()
