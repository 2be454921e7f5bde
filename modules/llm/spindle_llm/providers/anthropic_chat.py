"""Chats on Anthropic's wire: POST /v1/messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from spindle_llm.providers.anthropic_answer import read_answer
from spindle_llm.providers.anthropic_ledger import LEDGER
from spindle_llm.providers.anthropic_request import Translation
from spindle_llm.providers.anthropic_stream import AnthropicDecoder
from spindle_llm.providers.dialect import EVENT_LIMIT, ChatDialect, Encoded, Form, StreamDecoder
from spindle_llm.providers.urls import join_url
from spindle_llm.relay.wire_json import encode, request_too_deep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_llm.members import Members
    from spindle_llm.providers.ledger import Ledger
    from spindle_spi.records import ModelSpec
    from spindle_spi.types import JsonObject

BETA: Final = "anthropic-beta"
"""The header that asks for what is not yet released."""


class AnthropicChat(ChatDialect):
    """Chats in Anthropic's form."""

    form: ClassVar[Form] = Form.ANTHROPIC
    ledger: Ledger = LEDGER

    def __init__(self, *, budgeted: bool = False, betas: tuple[str, ...] = ()) -> None:
        """Say how thoughts are asked for, and which betas the provider's record asks for."""
        self._budgeted = budgeted
        self.betas = betas

    def url(self, base: str, model: str) -> str:
        """Return where messages are asked."""
        del model
        return join_url(base, "/messages")

    def takes(self, members: Members, body: bytes) -> bool:
        """Tell that every request in Anthropic's own form can go on byte for byte."""
        del members, body
        return True

    def encode(self, request: JsonObject, *, stream: bool, spec: ModelSpec) -> Encoded:
        """Return the request as bytes."""
        try:
            made = Translation({**request, "stream": stream}, spec, budgeted=self._budgeted)
            body = encode(made.body)
        except RecursionError as exc:
            raise request_too_deep() from exc

        return Encoded(
            body=body, dropped=made.dropped, headers=beta_headers(self.betas, made.betas)
        )

    def decode(self, data: bytes) -> JsonObject:
        """Return the message as an answer of the lingua franca."""
        return read_answer(data)

    def decoder(self, limit: int = EVENT_LIMIT) -> StreamDecoder:
        """Return a decoder for one streamed message."""
        return AnthropicDecoder(limit)


def beta_headers(own: Iterable[str], asked: Iterable[str]) -> dict[str, str]:
    """Return the header for the betas of a provider and those that a client asks for, each once."""
    betas = dict.fromkeys((*own, *asked))
    return {BETA: ",".join(betas)} if betas else {}
