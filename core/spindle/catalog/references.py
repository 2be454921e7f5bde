"""What catalog records say of each other by name: what is unknown, what is still needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from spindle.catalog.auth import faults_of
from spindle.config.names import tool_beginning
from spindle_spi.errors import Conflict, InvalidArgument, shortened
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    ModelSpec,
    ProviderSpec,
    RecordSpec,
    ServerSpec,
    ToolsetSpec,
    ToolSpec,
    backend_name,
    other_names,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAX_NAMED = 10


class Known(Protocol):
    """The records a caller can name."""

    def named(self, kind: Kind, name: str) -> CatalogRecord | None:
        """Return a record by name or other name; None when absent or hidden."""
        ...

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Return the names of a kind."""
        ...


def resolved(spec: RecordSpec, before: RecordSpec | None, known: Known) -> RecordSpec:
    """Return a spec whose models are called by their unified names.

    Raises:
        InvalidArgument: It names something that is absent or hidden, and did not before.
    """
    fresh = set(_named_by(spec)) - (set() if before is None else set(_named_by(before)))

    for kind, name in sorted(fresh):
        if known.named(kind, name) is None and not (
            kind is Kind.TOOL and name.startswith(_beginnings(known))
        ):
            # What an upstream offers is known when it is connected; whose it would be is known.
            raise InvalidArgument(
                f"There is no {kind.value} {shortened(name)!r}.", code="core.reference.unknown"
            )

    def unified(name: str) -> str:
        found = known.named(Kind.MODEL, name)
        return name if found is None else found.name

    match spec:
        case ModelSpec():
            return replace(spec, fallbacks=tuple(map(unified, spec.fallbacks)))
        case ServerSpec():
            return replace(spec, models=tuple(map(unified, spec.models)))
        case ToolSpec(model=str(model)):
            return replace(spec, model=unified(model))
        case _:
            return spec


def _beginnings(known: Known) -> tuple[str, ...]:
    gateways = (known.named(Kind.GATEWAY, name) for name in known.names(Kind.GATEWAY))
    words = (word for each in gateways if each is not None for word in _words(each))
    return tuple(map(tool_beginning, words))


def check_shape(record: CatalogRecord) -> None:
    """Refuse a spec that contradicts itself.

    Raises:
        InvalidArgument: It does.
    """
    spec = record.spec

    if isinstance(spec, ModelSpec) and record.name in spec.fallbacks:
        raise InvalidArgument("fallbacks: the model itself; expected another model.")

    if isinstance(spec, ProviderSpec) and record.name in spec.fallbacks:
        raise InvalidArgument("fallbacks: the provider itself; expected another provider.")

    faults = faults_of(spec) if isinstance(spec, GatewaySpec) else ()

    if faults:
        raise InvalidArgument(f"{'; '.join(faults)}.", code="core.record.invalid")

    if isinstance(spec, ServerSpec) and spec.prefix_free and len(spec.gateways) != 1:
        raise InvalidArgument(
            f"prefix_free: needs names of one upstream, this server has {len(spec.gateways)} "
            "gateways; expected exactly one gateway."
        )


def check_words(record: CatalogRecord, others: Iterable[CatalogRecord]) -> None:
    """Refuse a name or an alias that already leads to another record.

    Raises:
        Conflict: One does, be it visible to the caller or not: a name can stand for one thing.
    """
    words = _words(record)

    for other in others:
        if other.kind is not record.kind or other.id == record.id:
            continue

        # An alias may be the word of several published models; a name is one record's.
        for word in words & _words(other):
            raise taken(record.kind, word)


def _words(record: CatalogRecord) -> set[str]:
    return {record.name, *other_names(record.spec)}


def taken(kind: Kind, word: str) -> Conflict:
    """Return the refusal of a name that is taken, whoever may see by what."""
    return Conflict(
        f"The name {shortened(word)!r} is not free for a {kind.value}.", code="core.record.taken"
    )


def referrers(record: CatalogRecord, records: Iterable[CatalogRecord]) -> Iterator[CatalogRecord]:
    """Return the records that would be left without this one."""
    key = (record.kind, record.name)
    words = {key, *((record.kind, word) for word in other_names(record.spec))}

    for other in records:
        if other.id != record.id and words.intersection(_named_by(other.spec)):
            yield other


def still_needed(
    record: CatalogRecord, shown: Iterable[CatalogRecord], *, others: bool
) -> Conflict:
    """Return the refusal to delete; names what the caller may know of."""
    named = sorted(f"{other.kind.value} {other.name!r}" for other in shown)
    listed = named[:_MAX_NAMED]

    if len(named) > _MAX_NAMED:
        listed.append(f"{len(named) - _MAX_NAMED} more")

    if others:
        listed.append("records you do not see")

    return Conflict(
        f"The {record.kind.value} {record.name!r} is still needed by {', '.join(listed)}: "
        "delete or change these first.",
        code="core.record.needed",
    )


def _named_by(spec: RecordSpec) -> Iterator[tuple[Kind, str]]:
    backend = backend_name(spec)

    if backend is not None:
        yield backend

    match spec:
        case ProviderSpec():
            yield from ((Kind.PROVIDER, name) for name in spec.fallbacks)
        case ModelSpec():
            yield from ((Kind.MODEL, name) for name in spec.fallbacks)
        case ToolSpec(model=str(model)):
            yield Kind.MODEL, model
        case ToolsetSpec():
            yield from ((Kind.TOOL, name) for name in spec.tools)
        case ServerSpec():
            yield from ((Kind.GATEWAY, name) for name in spec.gateways)
            yield from ((Kind.TOOL, name) for name in spec.tools)
            yield from ((Kind.TOOLSET, name) for name in spec.toolsets)
            yield from ((Kind.MODEL, name) for name in spec.models)
        case _:
            pass
