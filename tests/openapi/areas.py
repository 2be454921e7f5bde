"""Every operation belongs to one area: a file of cases each, so that they run side by side."""

from __future__ import annotations

from typing import Final

from tests.openapi.inventory import operations

PEOPLE: Final = ("users", "service-accounts", "teams", "invitations", "roles", "tokens", "me")
CATALOG: Final = ("providers", "models", "gateways", "servers", "tools", "resources", "templates",
                  "prompts", "toolsets")  # fmt: skip
_ADMIN: Final = "/admin/api/v1/"
_ORDER: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def area_of(label: str) -> str:
    path = label.partition(" ")[2]
    word = path.removeprefix(_ADMIN).partition("/")[0]

    if path.startswith(_ADMIN):
        return "people" if word in PEOPLE else "catalog" if word in CATALOG else "administration"

    return "surfaces"


def labels(area: str) -> list[str]:
    """Return the operations of an area: what deletes comes last, members before their team."""
    found = [label for label in operations() if area_of(label) == area]
    return sorted(found, key=_place)


def _place(label: str) -> tuple[int, int, str]:
    method, _, path = label.partition(" ")
    return _ORDER.index(method), -len(path) if method == "DELETE" else 0, label
