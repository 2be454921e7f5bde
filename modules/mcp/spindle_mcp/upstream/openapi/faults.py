"""What is wrong with a document, and with one of its operations."""

from __future__ import annotations

from spindle_spi.errors import UpstreamError


class BadDocument(UpstreamError):
    """The document cannot be had, or is none that tools can be made of."""

    default_code = "mcp.openapi.document"

    def __init__(self, gateway: str, what: str) -> None:
        super().__init__(f"The document of the gateway {gateway!r} {what}.", retryable=False)


class LeftOut(Exception):
    """One operation cannot be a tool; the text says why."""
