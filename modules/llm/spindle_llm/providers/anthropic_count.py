"""Counting tokens on Anthropic's wire: POST /v1/messages/count_tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_llm.providers.anthropic_chat import beta_headers
from spindle_llm.providers.anthropic_ledger import LEDGER
from spindle_llm.providers.anthropic_request import Translation
from spindle_llm.providers.dialect import Encoded, TokenCountDialect
from spindle_llm.providers.urls import join_url
from spindle_llm.relay.wire_json import encode, read_object, request_too_deep
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from spindle_llm.providers.ledger import Ledger
    from spindle_spi.records import ModelSpec
    from spindle_spi.types import JsonObject

_COUNTED: Final = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"}
)
"""What of a request is counted; Anthropic refuses the rest here."""


class AnthropicTokenCount(TokenCountDialect):
    """The same request as a chat, without what only bears on its answer."""

    ledger: Ledger = LEDGER

    def url(self, base: str, model: str) -> str:
        """Return where tokens are counted."""
        del model
        return join_url(base, "/messages/count_tokens")

    def encode(self, request: JsonObject, *, spec: ModelSpec) -> Encoded:
        """Return the request as bytes."""
        try:
            made = Translation(request, spec, budgeted=False)
            counted = {name: value for name, value in made.body.items() if name in _COUNTED}
            body = encode(counted)
        except RecursionError as exc:
            raise request_too_deep() from exc

        return Encoded(body=body, headers=beta_headers((), made.betas))

    def decode(self, data: bytes) -> int:
        """Return the number of tokens."""
        fields, _ = read_object(data)
        tokens = fields.get("input_tokens")

        if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
            raise UpstreamError("The upstream counted no tokens.", code="upstream_garbage")

        return tokens
