"""An upstream that speaks Anthropic's messages; the model's name says what it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from spindle_conformance.upstreams.dialects.anthropic import ANTHROPIC
from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.faults import Failure
from spindle_conformance.upstreams.framing import dump
from spindle_conformance.upstreams.requests import Request, asked_in_anthropic
from spindle_conformance.upstreams.rules.anthropic import fault_in
from spindle_conformance.upstreams.simulator import Routes, Simulator

if TYPE_CHECKING:
    from spindle_conformance.upstreams.server import Play
    from spindle_spi.types import Json, JsonObject

_PAGE, _PAGE_LIMIT = 20, 1000


@dataclass(slots=True, kw_only=True)
class AnthropicSimulator(Simulator):
    """Anthropic."""

    dialect: Dialect = ANTHROPIC
    wants_version: bool = True
    """Whether it insists on `anthropic-version`, as others who speak its form do not."""

    key_headers: ClassVar[tuple[str, ...]] = ("x-api-key", "authorization")

    def routes(self) -> Routes:
        """Return what is served."""
        return {
            ("POST", "/v1/messages"): self.messages,
            ("POST", "/v1/messages/count_tokens"): self.count,
            ("GET", "/v1/models"): self.models,
            ("GET", "/v1/models/*"): self.model,
        }

    def messages(self, request: Request) -> Play:
        """Answer a request for a message."""
        fault = self._fault(request) or fault_in(request.body)

        if fault is not None:
            return self.refuse(Failure.INVALID, fault)

        return self.played(asked_in_anthropic(request.body, request.key))

    def count(self, request: Request) -> Play:
        """Count tokens: one for every four characters of what would be read."""
        fault = self._fault(request) or fault_in(request.body, counting=True)

        if fault is not None:
            return self.refuse(Failure.INVALID, fault)

        if (play := self.failed(request)) is not None:
            return play

        read = [request.body.get(name) for name in ("system", "tools", "messages")]
        return self.told({"input_tokens": len(dump(read).decode()) // 4})

    def models(self, request: Request) -> Play:
        """List a page of the models."""
        names, query = self.names(), request.query
        size = int(query["limit"]) if query.get("limit", "").isdigit() else _PAGE

        if not 1 <= size <= _PAGE_LIMIT:
            return self.refuse(Failure.INVALID, "limit: Input should be between 1 and 1000")

        if "before_id" in query:
            end = _place(names, query["before_id"])
            page = names[max(0, end - size) : end]
            has_more = end > size
        else:
            start = _place(names, query["after_id"]) + 1 if "after_id" in query else 0
            page = names[start : start + size]
            has_more = start + size < len(names)

        data: list[Json] = [_entry(name) for name in page]
        return self.listed(
            {
                "data": data,
                "has_more": has_more,
                "first_id": page[0] if page else None,
                "last_id": page[-1] if page else None,
            }
        )

    def model(self, request: Request) -> Play:
        """Answer with one model."""
        name = request.path.removeprefix("/v1/models/")

        if name not in self.names():
            return self.refuse(Failure.NO_MODEL, model=name)

        return self.told(_entry(name))

    def _fault(self, request: Request) -> str | None:
        if self.wants_version and "anthropic-version" not in request.seen.headers:
            return "anthropic-version: header is required"

        return None if request.is_object else "The request body is not valid JSON."


def messages_routes(host: Simulator, prefix: str = "/v1") -> Routes:
    """Return the routes of a server that speaks this form beside its own."""
    own = AnthropicSimulator(wants_version=False, quirks=host.quirks)
    return {
        ("POST", f"{prefix}/messages"): own.messages,
        ("POST", f"{prefix}/messages/count_tokens"): own.count,
    }


def _place(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else len(names)


def _entry(name: str) -> JsonObject:
    supported: JsonObject = {"supported": True}
    thinking: JsonObject = {
        "supported": True,
        "types": {"enabled": dict(supported), "adaptive": dict(supported)},
    }
    names = ("batch", "citations", "code_execution", "image_input", "pdf_input")
    return {
        "type": "model",
        "id": name,
        "display_name": name.title(),
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": None,
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
        "capabilities": {
            **{which: dict(supported) for which in names},
            "structured_outputs": dict(supported),
            "thinking": thinking,
        },
    }
