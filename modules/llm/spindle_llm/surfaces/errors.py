"""How this module's surfaces send errors and whole answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_spi.errors import GatewayError, NotFound, shortened
from spindle_spi.shapes import OPENAI

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_spi.shapes import ErrorShape
    from spindle_spi.types import Send

Header = tuple[bytes, bytes]


async def send_json(
    send: Send,
    body: bytes,
    request_id: str,
    headers: Iterable[Header] = (),
    *,
    shape: ErrorShape = OPENAI,
) -> None:
    """Send a whole JSON answer with status 200; the shape says which header holds its id."""
    await _send(
        send,
        200,
        [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            id_header(shape, request_id),
            *headers,
        ],
        body,
    )


async def send_error(
    send: Send,
    error: GatewayError,
    request_id: str,
    headers: Iterable[Header] = (),
    *,
    shape: ErrorShape = OPENAI,
) -> None:
    """Send an error in a surface's shape, with its real status."""
    rendered = shape.render(error, request_id)
    await _send(
        send,
        rendered.status,
        [
            *(
                (name.encode("latin-1"), value.encode("latin-1", "replace"))
                for name, value in rendered.headers
            ),
            (b"content-length", b"%d" % len(rendered.body)),
            *headers,
        ],
        rendered.body,
    )


def id_header(shape: ErrorShape, request_id: str) -> Header:
    """Return the header in which a surface's clients look for the id of a request."""
    return shape.request_id_header.encode(), request_id.encode("latin-1", "replace")


def model_not_found(name: str) -> NotFound:
    """Return the answer for a model that is absent, or hidden: nobody can tell which."""
    return NotFound(
        f"The model {shortened(name)!r} does not exist, or you have no access to it.",
        code="llm.model.not_found",
        param="model",
    )


async def _send(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
