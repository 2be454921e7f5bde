"""The route table: which handler answers which method and path, and who owns it.

Built once from the inventory of every module and of the core. It matches and it reports; it neither
resolves callers nor calls handlers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from spindle_spi.ingress import PUBLIC, IngressPrefix, IngressRoute
from spindle_spi.shapes import ENVELOPE

if TYPE_CHECKING:
    from spindle_spi.ingress import Handler
    from spindle_spi.shapes import ErrorShape

_PARAMETER = re.compile(r"\{([a-z_][a-z0-9_]*)(:path)?\}")
_ONE, _REST = "{}", "{:path}"

Found = tuple["Mount", dict[str, str]]
Shape = tuple[str, ...]
"""A pattern without the names of its parameters: what makes two routes the same."""

CORE: Final = "core"
"""The owner of the core's own routes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSource:
    """What one owner (a module, or the core) brings to the table."""

    owner: str
    routes: Sequence[IngressRoute]
    prefixes: Sequence[IngressPrefix] = ()


class RouteFaults(Exception):
    """The inventories do not fit together; one sentence per fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class Mount:
    """One route in the table. Fixed except for the two things a restart changes."""

    __slots__ = (
        "body_limit",
        "errors",
        "handler",
        "is_public",
        "is_serving",
        "method",
        "names",
        "owner",
        "path",
        "permission",
        "route",
        "server_param",
        "shape",
    )

    def __init__(self, owner: str, route: IngressRoute) -> None:
        self.owner = owner
        self.route = route
        self.method = route.method
        self.path = route.path
        self.errors = route.errors
        self.server_param = route.server_param
        self.body_limit = route.body_limit
        self.is_public = route.permission is PUBLIC
        permission = route.permission
        self.permission = permission if isinstance(permission, str) else ""
        """Empty where none is asked for: on public routes, and those of any caller."""
        self.shape = shape_of(route.path)
        self.names = tuple(match.group(1) for match in _PARAMETER.finditer(route.path))
        self.handler: Handler = route.handler
        self.is_serving = True
        """False while the owner is down; the route then answers 503 in its own shape."""


class _Node:
    """A segment of the tree of one method."""

    __slots__ = ("literals", "mount", "parameter", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.mount: Mount | None = None
        self.rest: Mount | None = None


class RouteTable:
    """Every route of the process. Literal segments beat parameters, `{name:path}` comes last."""

    def __init__(self, sources: Iterable[RouteSource]) -> None:
        """Build the table.

        Raises:
            RouteFaults: Some routes or prefixes are impossible, or the same as another's.
        """
        self._sources = tuple(sources)
        self._exact: dict[str, dict[str, Mount]] = {}
        self._trees: dict[str, _Node] = {}
        mounts = [Mount(source.owner, route) for source in self._sources for route in source.routes]
        faults = [*_pattern_faults(mounts), *_twin_faults(mounts), *_prefix_faults(self._sources)]

        if faults:
            raise RouteFaults(faults)

        self.mounts: tuple[Mount, ...] = tuple(
            sorted(mounts, key=lambda mount: (mount.path, mount.method))
        )
        self._prefixes = sorted(
            (
                (entry.prefix.rstrip("/"), entry.errors)
                for source in self._sources
                for entry in source.prefixes
            ),
            key=lambda entry: len(entry[0]),
            reverse=True,
        )

        for mount in self.mounts:
            self._plant(mount)

    def match(self, method: str, path: str, raw_path: bytes) -> Found | None:
        """Return the route that answers, and its path parameters.

        `raw_path` is what the client sent: an encoded slash in it belongs to its segment.
        """
        is_encoded = b"%" in raw_path

        if not is_encoded:
            exact = self._exact.get(method)
            mount = None if exact is None else exact.get(path)

            if mount is not None:
                return mount, {}

        found = self._search(method, path, raw_path if is_encoded else b"")

        if found is None and method == "HEAD":
            return self.match("GET", path, raw_path)

        return found

    def methods_at(self, path: str, raw_path: bytes) -> tuple[list[str], ErrorShape]:
        """Return the methods a path has, and the error shape of its routes."""
        encoded = raw_path if b"%" in raw_path else b""
        found = {method: self._search(method, path, encoded) for method in self._trees}
        present = sorted(method for method, match in found.items() if match is not None)
        shapes = [match[0].errors for match in found.values() if match is not None]

        if "GET" in present and "HEAD" not in present:
            present.insert(present.index("GET") + 1, "HEAD")

        return present, shapes[0] if shapes else self.shape_at(path)

    def shape_at(self, path: str) -> ErrorShape:
        """Return the shape that answers for an unknown path: its longest prefix's."""
        for prefix, errors in self._prefixes:
            if path == prefix or path.startswith(f"{prefix}/"):
                return errors

        return ENVELOPE

    def suspend(self, owner: str) -> None:
        """Let an owner's routes answer 503 until `resume`."""
        for mount in self.mounts:
            if mount.owner == owner:
                mount.is_serving = False

    def resume(self, owner: str, routes: Sequence[IngressRoute]) -> None:
        """Put a new instance's handlers in place.

        Raises:
            RouteFaults: The new instance does not bring the same routes.
        """
        handlers = {(route.method, route.path): route.handler for route in routes}
        mounts = [mount for mount in self.mounts if mount.owner == owner]

        if handlers.keys() != {(mount.method, mount.path) for mount in mounts}:
            raise RouteFaults([f"a new instance of {owner} brings other routes than the first"])

        for mount in mounts:
            mount.handler = handlers[mount.method, mount.path]
            mount.is_serving = True

    def overlaps(self) -> list[tuple[Mount, Mount]]:
        """Return pairs of different owners of which the first takes some paths of the second."""
        return [
            (winner, loser)
            for winner in self.mounts
            for loser in self.mounts
            if winner.owner != loser.owner
            and winner.method == loser.method
            and _rank(winner.shape) < _rank(loser.shape)
            and _meet(winner.shape, loser.shape)
        ]

    def _plant(self, mount: Mount) -> None:
        if not mount.names:
            self._exact.setdefault(mount.method, {})[mount.path] = mount

        node = self._trees.setdefault(mount.method, _Node())

        for segment in mount.shape:
            if segment == _REST:
                node.rest = mount
                return

            if segment == _ONE:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())

        node.mount = mount

    def _search(self, method: str, path: str, encoded: bytes) -> Found | None:
        root = self._trees.get(method)

        if root is None or not path.startswith("/"):
            return None

        if encoded:
            segments = [unquote(part) for part in encoded.decode("latin-1").split("/")[1:]]
        else:
            segments = path.split("/")[1:]

        values: list[str] = []
        mount = _walk(root, segments, 0, values)
        return None if mount is None else (mount, dict(zip(mount.names, values, strict=True)))


def shape_of(path: str) -> Shape:
    """Return a pattern's segments: `/v1/models/{id:path}` -> `("v1", "models", "{:path}")`."""
    return tuple(
        _PARAMETER.sub(lambda match: _REST if match.group(2) else _ONE, part)
        for part in path.split("/")[1:]
    )


def _walk(node: _Node, segments: list[str], index: int, values: list[str]) -> Mount | None:
    if index == len(segments):
        return node.mount

    segment = segments[index]
    child = node.literals.get(segment)
    mount = None if child is None else _walk(child, segments, index + 1, values)

    # An empty segment names nothing, so no parameter takes it.
    if mount is None and node.parameter is not None and segment:
        values.append(segment)
        mount = _walk(node.parameter, segments, index + 1, values)

        if mount is None:
            values.pop()

    if mount is None and node.rest is not None and segment:
        values.append("/".join(segments[index:]))
        mount = node.rest

    return mount


def _pattern_faults(mounts: Iterable[Mount]) -> Iterator[str]:
    for mount in mounts:
        where = f"{mount.owner}: route {mount.method} {mount.path}"

        if any("{" in part and part not in (_ONE, _REST) for part in mount.shape):
            yield f"{where}: a parameter must be a whole segment"

        if _REST in mount.shape[:-1]:
            yield f"{where}: {{name:path}} must come last"


def _twin_faults(mounts: Iterable[Mount]) -> Iterator[str]:
    first: dict[tuple[str, Shape], Mount] = {}

    for mount in mounts:
        twin = first.setdefault((mount.method, mount.shape), mount)

        if twin is not mount:
            yield (
                f"{twin.owner} and {mount.owner}: the routes {twin.method} {twin.path} and "
                f"{mount.method} {mount.path} are the same"
            )


def _prefix_faults(sources: Iterable[RouteSource]) -> Iterator[str]:
    first: dict[str, str] = {}

    for source in sources:
        for entry in source.prefixes:
            prefix = entry.prefix.rstrip("/")

            if not entry.prefix.startswith("/"):
                yield f"{source.owner}: prefix {entry.prefix}: it must start with '/'"
            elif prefix in first:
                yield f"{first[prefix]} and {source.owner}: both claim the prefix {entry.prefix}"

            first.setdefault(prefix, source.owner)


def _rank(shape: Shape) -> tuple[int, ...]:
    """Order patterns as the walk tries them: literal, parameter, rest, from the left."""
    return tuple(2 if part == _REST else 1 if part == _ONE else 0 for part in shape)


def _meet(one: Shape, other: Shape) -> bool:
    """Tell whether some path fits both patterns."""
    for index in range(max(len(one), len(other))):
        if index >= len(one) or index >= len(other):
            return False

        left, right = one[index], other[index]

        if _REST in (left, right):
            return True

        if left != right and _ONE not in (left, right):
            return False

    return True
