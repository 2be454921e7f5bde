"""The kinds of things a server of the protocol offers by a list, and how its words for them go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spindle_spi.records import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One kind."""

    kind: Kind
    method: str
    """Of its list."""
    key: str
    """Of the list's answer: where the items are."""
    capability: str
    """What a server declares that has such a list."""
    word: str


TOOLS: Final = Offer(
    kind=Kind.TOOL, method="tools/list", key="tools", capability="tools", word="tool"
)
RESOURCES: Final = Offer(
    kind=Kind.RESOURCE,
    method="resources/list",
    key="resources",
    capability="resources",
    word="resource",
)
TEMPLATES: Final = Offer(
    kind=Kind.RESOURCE_TEMPLATE,
    method="resources/templates/list",
    key="resourceTemplates",
    capability="resources",
    word="resource template",
)
PROMPTS: Final = Offer(
    kind=Kind.PROMPT, method="prompts/list", key="prompts", capability="prompts", word="prompt"
)

OFFERS: Final = (TOOLS, RESOURCES, TEMPLATES, PROMPTS)
BY_METHOD: Final = {offer.method: offer for offer in OFFERS}
