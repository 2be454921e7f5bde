"""Type aliases shared by the whole contract: JSON values and the ASGI callables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
    """A JSON value as plain Python data."""

    JsonObject: TypeAlias = dict[str, Json]
    """A JSON object as plain Python data."""
else:
    # Whoever reads annotations at run time (the codec, pydantic) cannot follow a recursive alias.
    # No other annotation of the contract is `Any`, so there it means JSON.
    Json = Any
    JsonObject = dict[str, Any]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
