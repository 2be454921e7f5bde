"""The addresses a gateway's record names, and where each is pinned once it has been judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spindle.config.openapi import TRANSPORT
from spindle_spi.records import GatewaySpec, ProviderSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_spi.records import RecordSpec
    from spindle_spi.types import Json

PINS: Final = ("address", "document_address")
"""Options that only the gateway itself writes: where a judged URL is."""


def urls_of(spec: RecordSpec) -> tuple[str, ...]:
    """Return every address that a record has somebody ask."""
    if isinstance(spec, ProviderSpec):
        return spec.urls

    if not isinstance(spec, GatewaySpec):
        return ()

    named = tuple(_pinnable(spec).values())
    return named if spec.auth is None else (*named, *spec.auth.urls())


def pinned(spec: RecordSpec, pins: Mapping[str, str], old: RecordSpec | None) -> RecordSpec:
    """Return a spec with what was judged of its URLs, now or when the record had them before."""
    if not isinstance(spec, GatewaySpec):
        return spec

    options = dict(spec.options)
    known: dict[str, Json] = {}

    if isinstance(old, GatewaySpec):
        # By URL: what was judged in one place of the record may move to another.
        known = {url: old.options.get(key) for key, url in _pinnable(old).items()}

    for key, url in _pinnable(spec).items():
        address = pins.get(url) or known.get(url)

        if isinstance(address, str):
            options[key] = address

    return spec if options == spec.options else replace(spec, options=options)


def _pinnable(spec: GatewaySpec) -> dict[str, str]:
    """Return the URLs of a gateway by the option each is pinned in."""
    address, document_address = PINS
    urls = {} if spec.url is None else {address: spec.url}
    document = spec.options.get("document")

    if spec.transport == TRANSPORT and isinstance(document, str):
        urls[document_address] = document

    return urls
