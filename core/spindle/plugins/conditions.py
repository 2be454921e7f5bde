"""When an entry applies: patterns over the caller's teams, the server and what is called."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple, Protocol

from spindle_spi.records import CatalogRecord, Kind, ServerSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from spindle_spi.context import AuthenticatedContext


class ConditionLists(Protocol):
    """The part `conditions` of an entry, as the settings hold it."""

    @property
    def teams(self) -> Sequence[str]:
        """Patterns of the caller's teams."""
        ...

    @property
    def servers(self) -> Sequence[str]:
        """Patterns of the virtual server the call came through."""
        ...

    @property
    def tools(self) -> Sequence[str]:
        """Patterns of tools called."""
        ...

    @property
    def models(self) -> Sequence[str]:
        """Patterns of models called, fallbacks included."""
        ...

    @property
    def kinds(self) -> Collection[str]:
        """Kinds of records called."""
        ...


class Facts(NamedTuple):
    """What conditions look at; equal facts have equal plans. Made for every call: a tuple."""

    kind: Kind
    names: tuple[str, ...]
    """The record's name and those of its fallbacks: any of them may see the content."""
    server: str | None
    """Slug of the virtual server."""
    teams: tuple[str, ...] | None
    """The caller's teams; None acts for every team."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """All that an entry asks for: every list that is not empty has to match."""

    teams: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    kinds: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.teams or self.servers or self.tools or self.models or self.kinds)

    def concern(self, teams: Sequence[str]) -> bool:
        """Tell whether calls of somebody in these teams can be among those."""
        return not self.teams or _any(self.teams, teams)

    def hold(self, facts: Facts) -> bool:
        """Tell whether a call is one of those the entry is for."""
        if self.teams and not (facts.teams is None or _any(self.teams, facts.teams)):
            return False

        if self.servers and not (facts.server is not None and _any(self.servers, (facts.server,))):
            return False

        return self.cover(facts.kind, facts.names)

    def cover(self, kind: Kind, names: Sequence[str]) -> bool:
        """Tell whether calls of these records can be among those, whoever makes them."""
        if self.kinds and kind.value not in self.kinds:
            return False

        if not self.tools and not self.models:
            return True

        # Both lists name what is called, so that a call needs to be in one of them only.
        wanted = {Kind.TOOL: self.tools, Kind.MODEL: self.models}.get(kind, ())
        return _any(wanted, names)


EVERYWHERE = Conditions()


def conditions_of(lists: ConditionLists) -> Conditions:
    """Return what an entry's lists say."""
    return Conditions(
        teams=tuple(lists.teams),
        servers=tuple(lists.servers),
        tools=tuple(lists.tools),
        models=tuple(lists.models),
        kinds=frozenset(lists.kinds),
    )


def server_of(context: AuthenticatedContext, by_id: Mapping[str, CatalogRecord]) -> str | None:
    """Return the slug of the virtual server a call came through."""
    server_id = context.visibility_scope.server_id
    server = None if server_id is None else by_id.get(server_id)
    spec = None if server is None else server.spec
    return spec.slug if isinstance(spec, ServerSpec) else None


def names_of(record: CatalogRecord, others: Sequence[CatalogRecord]) -> tuple[str, ...]:
    """Return the names of a record and its fallbacks."""
    return (record.name, *(other.name for other in others)) if others else (record.name,)


def _any(patterns: Iterable[str], names: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)
