"""A caller, a provider, models and a plugin, for tests of the LLM module."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spindle_spi.context import AuthenticatedContext, Subject, TraceContext, VisibilityScope
from spindle_spi.plugin import Finding, HookPhase, Plugin, SegmentKind
from spindle_spi.records import CatalogRecord, Kind, ModelSpec, ProviderSpec, Visibility

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_spi.types import Json

CONTEXT = AuthenticatedContext(
    subject=Subject(user_email="ada@x", token_id="t1", token_teams=("red",)),
    visibility_scope=VisibilityScope(permissions=("llm.*",)),
    trace=TraceContext(request_id="req-1"),
)


SPEC = ProviderSpec(provider_type="openai", long_timeout=2.0)


def provider(name: str = "up", url: str = "", *, spec: ProviderSpec = SPEC) -> CatalogRecord:
    """Return the record of a provider."""
    return CatalogRecord(
        id=f"provider:{name}",
        kind=Kind.PROVIDER,
        name=name,
        module="llm",
        visibility=Visibility.PUBLIC,
        spec=replace(spec, urls=(url,)) if url else spec,
    )


def model(
    name: str,
    *,
    of: str = "up",
    visibility: Visibility = Visibility.PUBLIC,
    team: str | None = None,
    fallbacks: tuple[str, ...] = (),
    **defaults: Json,
) -> CatalogRecord:
    """Return the record of a model; further keywords are its request defaults."""
    return CatalogRecord(
        id=f"model:{of}~{name}",
        kind=Kind.MODEL,
        name=f"{of}~{name}",
        module="llm",
        visibility=visibility,
        team=team,
        spec=ModelSpec(
            provider=of,
            upstream_name=name,
            created=1_700_000_000,
            defaults=defaults,
            fallbacks=fallbacks,
        ),
    )


REQUEST, ANSWER = HookPhase.PRE_INVOKE, HookPhase.POST_INVOKE


class Word(Plugin):
    """Replaces one word by another of the same length, or refuses it; "" changes nothing."""

    name = "test"
    kinds = frozenset(SegmentKind)

    def __init__(self, word: str = "", replacement: str | None = None, *phases: HookPhase) -> None:
        super().__init__()
        self.word = word
        self.replacement = replacement
        self.phases = frozenset(phases or (REQUEST, ANSWER))
        self.span = max(1, len(word))

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        findings: list[Finding] = []
        at = text.find(self.word, start) if self.word else -1

        while at >= 0:
            end = at + len(self.word)
            findings.append(Finding(start=at, end=end, rule="word", replacement=self.replacement))
            at = text.find(self.word, end)

        return findings
