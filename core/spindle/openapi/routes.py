"""`GET /openapi.json`, and `GET /docs`: the document, and the page that shows it."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from spindle_spi.ingress import ANY_CALLER, IngressRoute
from spindle_spi.operation import OperationDoc, ResponseDoc, json_response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spindle.ingress.routes import Mount
    from spindle_spi.ingress import Call
    from spindle_spi.types import JsonObject, Receive, Scope, Send

DOCUMENT_PATH: Final = "/openapi.json"
PAGE_PATH: Final = "/docs"

_TAG: Final = "operations"


def document_routes(mounts: Callable[[], Sequence[Mount]]) -> tuple[IngressRoute, ...]:
    """Return both routes over what is mounted, which is asked for when somebody reads them."""
    shown = Documents(mounts)
    return (
        IngressRoute(
            method="GET",
            path=DOCUMENT_PATH,
            permission=ANY_CALLER,
            handler=shown.show_document,
            operation=_of_document,
        ),
        IngressRoute(
            method="GET",
            path=PAGE_PATH,
            permission=ANY_CALLER,
            handler=shown.show_page,
            operation=_of_page,
        ),
    )


def installed_version() -> str:
    """Return the version of the installed distribution; `0` when there is none."""
    try:
        return version("spindle")
    except PackageNotFoundError:
        return "0"


class Documents:
    """The handlers. What they show is made once: the routes of a process do not change."""

    def __init__(self, mounts: Callable[[], Sequence[Mount]]) -> None:
        self._mounts = mounts

    async def show_document(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer with the document."""
        del scope, receive, call
        # The first reader waits for a tenth of a second of work; nobody else does.
        body = await anyio.to_thread.run_sync(lambda: self._document)
        await _send(send, body, [(b"content-type", b"application/json")])

    async def show_page(self, scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        """Answer with the page."""
        del scope, receive, call
        body, policy = await anyio.to_thread.run_sync(lambda: self._page)
        headers = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-security-policy", policy.encode()),
        ]
        await _send(send, body, headers)

    @cached_property
    def _data(self) -> JsonObject:
        from spindle.openapi.document import document_of

        return document_of(self._mounts(), version=installed_version())

    @cached_property
    def _document(self) -> bytes:
        from spindle.api.response import to_json

        return to_json(self._data)

    @cached_property
    def _page(self) -> tuple[bytes, str]:
        from spindle.openapi.page import CONTENT_POLICY, page_of

        return page_of(self._data).encode(), CONTENT_POLICY


async def _send(send: Send, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", b"%d" % len(body))
    start = {"type": "http.response.start", "status": 200, "headers": [*headers, length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def _of_document() -> OperationDoc:
    return OperationDoc(
        summary="Read this document",
        tag=_TAG,
        responses={
            "200": json_response(
                "The OpenAPI 3.1 document of every route that is mounted.",
                {
                    "type": "object",
                    "properties": {"openapi": {"const": "3.1.0"}, "paths": {"type": "object"}},
                    "required": ["openapi", "info", "paths", "components"],
                },
            )
        },
    )


def _of_page() -> OperationDoc:
    return OperationDoc(
        summary="Read this document as a page",
        tag=_TAG,
        responses={
            "200": ResponseDoc(
                description="One page of HTML without scripts; it loads nothing.",
                content={"text/html": {"type": "string"}},
            )
        },
    )
