"""What a resource of an upstream is called here: its URI behind the name of its gateway, and back.

Nothing but the two decides it, so no URI changes because another gateway came or went. A template
is scoped in the same way: what it expands to is then the scoped form of what it expanded to.
"""

from __future__ import annotations

from typing import Final

SCHEME: Final = "spindle://"
APP: Final = "ui://"
"""Of user interfaces; their clients take no other scheme, so it stays."""


def scoped(gateway: str, uri: str) -> str:
    """Return the URI, or template, by which everybody here calls a gateway's."""
    if uri.startswith(APP):
        return f"{APP}{gateway}/{uri.removeprefix(APP)}"

    return f"{SCHEME}{gateway}/{uri}"


def unscoped(uri: str) -> tuple[str, str] | None:
    """Return the gateway a scoped URI names and the upstream's own URI; None: it is not scoped."""
    for scheme, prefix in ((SCHEME, ""), (APP, APP)):
        if uri.startswith(scheme):
            gateway, slash, rest = uri.removeprefix(scheme).partition("/")
            return (gateway, prefix + rest) if gateway and slash else None

    return None
