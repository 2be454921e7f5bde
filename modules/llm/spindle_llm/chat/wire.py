"""The bodies of `/llmchat` requests, as clients send them."""

from __future__ import annotations

import json
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spindle_spi.errors import InvalidArgument

Text = Annotated[str, Field(min_length=1, max_length=512)]
Body = TypeVar("Body", bound=BaseModel)


class _Wire(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ServerChoice(_Wire):
    """Where the tools come from: a virtual server of the catalog, or an address."""

    slug: Text | None = None
    name: Text | None = None
    id: Text | None = None
    url: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    transport: Literal["streamable_http", "sse", "stdio"] | None = None
    auth_token: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> ServerChoice:
        named = (self.slug, self.name, self.id, self.url)

        if self.transport != "stdio" and sum(value is not None for value in named) != 1:
            raise ValueError("name a server by exactly one of slug, name, id and url")

        if self.transport not in (None, "stdio") and self.url is None:
            raise ValueError("a transport belongs to a url")

        return self


class LlmChoice(_Wire):
    """The model that answers, and how."""

    model: Text | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None


class ConnectRequest(_Wire):
    """`POST /llmchat/connect`."""

    user_id: Text
    server: ServerChoice | None = None
    llm: LlmChoice
    streaming: bool = False


class ChatRequest(_Wire):
    """`POST /llmchat/chat`."""

    user_id: Text
    message: str
    streaming: bool = False


class DisconnectRequest(_Wire):
    """`POST /llmchat/disconnect`."""

    user_id: Text


def parse(kind: type[Body], body: bytes) -> Body:
    """Return a request's body as data.

    Raises:
        InvalidArgument: It is not JSON, or not of that form; names the place.
    """
    try:
        value = kind.model_validate_json(body)
        # The validator bounds the depth, so this reader comes second.
        json.loads(body, object_pairs_hook=_refuse_repeated)
        return value
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        text = f"{place}: {first['msg']}." if place else f"{first['msg']}."
        code = "llm.request.invalid_json" if first["type"] == "json_invalid" else None
        raise InvalidArgument(text, code=code, param=place or None) from exc


def _refuse_repeated(pairs: list[tuple[str, object]]) -> None:
    """Refuse a key said twice: of two models, users or servers none is surely the one meant."""
    seen: set[str] = set()

    for key, _ in pairs:
        if key in seen:
            raise InvalidArgument(
                f"The request says {key!r} twice.", code="llm.request.duplicate_key", param=key
            )

        seen.add(key)
