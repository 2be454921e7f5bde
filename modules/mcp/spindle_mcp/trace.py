"""Trace context inside MCP messages (SEP-414): `_meta.traceparent`, in and out."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from spindle_spi.ingress import Call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_spi.types import JsonObject

TRACEPARENT: Final = "traceparent"
TRACE_KEYS: Final = frozenset({TRACEPARENT, "tracestate", "baggage"})
"""What a client may add to any request about its trace."""

_HOP: Final = frozenset({"progressToken", "progress_token", *TRACE_KEYS})
_PROTOCOL: Final = "io.modelcontextprotocol/"
"""What the protocol itself says in `_meta`, it says to one hop."""
_FORM = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def traceparent_in(meta: Mapping[str, object] | None) -> str | None:
    """Return the trace a message names, in a valid form only."""
    said = None if meta is None else meta.get(TRACEPARENT)
    return said if isinstance(said, str) and _FORM.fullmatch(said) else None


def relayed_meta(meta: Mapping[str, object] | None) -> JsonObject:
    """Return what of a message's `_meta` goes on: nothing that belongs to one hop."""
    if not meta:
        return {}

    return cast(
        "JsonObject",
        {
            name: value
            for name, value in meta.items()
            if name not in _HOP and not name.startswith(_PROTOCOL)
        },
    )


def traced(call: Call, traceparent: str | None) -> Call:
    """Return the call under the trace its message names.

    A trace in the header has been taken by the host, and is the nearer one: it stays.
    """
    trace = call.context.trace

    if traceparent is None or trace.traceparent is not None:
        return call

    context = replace(call.context, trace=replace(trace, traceparent=traceparent))
    return Call(
        context,
        view_key=call.view_key,
        deadline=call.deadline,
        depth=call.depth,
        server_slug=call.server_slug,
    )
