"""In which order records are made: what others refer to first; and what goes round in circles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spindle.config.faults import Fault, Path
from spindle_spi.records import CatalogRecord, Kind, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spindle.bundles.document import Item
    from spindle_spi.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycles:
    """The items that stand in a circle."""

    faults: tuple[Fault, ...]
    paths: frozenset[Path]


def in_order(items: Sequence[Item]) -> list[Item]:
    """Return items so that a model comes after its fallbacks; the rest stays in order."""
    models = {item.name: item for item in items if _is_model(item)}
    done: dict[str, Item] = {}

    for start in models.values():
        # Without recursion: a chain may be long.
        stack = [(start, False)]
        entered: set[str] = set()

        while stack:
            item, is_ready = stack.pop()

            if item.name in done:
                continue

            if is_ready:
                done[item.name] = item
            elif item.name not in entered:
                entered.add(item.name)
                stack.append((item, True))
                names = _names(item.body.get("fallbacks"))
                stack += [(models[name], False) for name in reversed(names) if name in models]

    first = [item for item in items if item.kind is Kind.PROVIDER and not item.is_published]
    rest = [item for item in items if not _is_model(item) and item not in first]
    return [*first, *done.values(), *rest]


def cycles_of(items: Sequence[Item], known: Mapping[str, CatalogRecord]) -> Cycles:
    """Return the models of which the fallbacks lead back to them, by what is known beside."""
    changed: dict[str, Item] = {}
    edges: dict[str, tuple[str, ...]] = {
        name: record.spec.fallbacks
        for name, record in known.items()
        if isinstance(record.spec, ModelSpec)
    }

    for item in items:
        if _is_model(item):
            names = _names(item.body.get("fallbacks"))

            # What is so already is not this bundle's doing.
            if edges.get(item.name) != names:
                changed[item.name] = item

            edges[item.name] = names

    circles = {name: circle for name in changed if (circle := _circle(name, edges))}
    return Cycles(
        faults=tuple(
            Fault(
                path=(*changed[name].path, "fallbacks"),
                problem=f"goes round: {' → '.join(circle)}",
                expected="fallbacks that end",
            )
            for name, circle in circles.items()
        ),
        paths=frozenset(changed[name].path for name in circles),
    )


def _circle(name: str, edges: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return a way from a name back to itself; empty when there is none."""
    came_from: dict[str, str] = {}
    waiting = [name]

    while waiting:
        here = waiting.pop(0)

        for there in edges.get(here, ()):
            if there == name:
                way = [name, here]

                while way[-1] != name:
                    way.append(came_from[way[-1]])

                return tuple(reversed(way)) if here != name else (name, name)

            if there not in came_from:
                came_from[there] = here
                waiting.append(there)

    return ()


def _is_model(item: Item) -> bool:
    return item.kind is Kind.MODEL and not item.is_published


def _names(value: Json) -> tuple[str, ...]:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()
