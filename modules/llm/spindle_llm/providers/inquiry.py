"""Small questions to a provider beside its models' work: what does it list, is it there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from spindle_llm.relay.wire_json import UNREADABLE
from spindle_spi.errors import UpstreamError

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer to a small question."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> JsonObject:
        """Return the body as a JSON object.

        Raises:
            UpstreamError: It is none.
        """
        try:
            value: Json = msgspec.json.decode(self.body)
        except UNREADABLE as exc:
            raise UpstreamError(
                "The upstream sent something that is not JSON.", code="upstream_garbage"
            ) from exc

        if not isinstance(value, dict):
            raise UpstreamError("The upstream sent no JSON object.", code="upstream_garbage")

        return value


class Inquiry(Protocol):
    """Asks one provider, within its short timeout; every answer is bounded."""

    @property
    def provider(self) -> str:
        """Name of the provider's record."""
        ...

    @property
    def base(self) -> str:
        """The base URL that is asked."""
        ...

    async def get(self, url: str) -> Reply:
        """Ask with GET.

        Raises:
            UpstreamError: No answer, or not in time. A refusal is an answer.
        """
        ...

    async def post(self, url: str, body: JsonObject) -> Reply:
        """Ask with POST and a JSON body.

        Raises:
            UpstreamError: No answer, or not in time. A refusal is an answer.
        """
        ...


def require_success(reply: Reply, what: str) -> JsonObject:
    """Return the JSON object of a good answer.

    Raises:
        UpstreamError: It is a refusal, or no JSON object.
    """
    if not 200 <= reply.status < 300:
        raise UpstreamError(
            f"The upstream refused {what} with status {reply.status}.",
            code="upstream_auth" if reply.status in (401, 403) else "upstream_refused",
        )

    return reply.json()
