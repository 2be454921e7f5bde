"""Which route answers which path, and which inventories are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from spindle.ingress.routes import RouteFaults, RouteSource, RouteTable
from spindle_spi.ingress import PUBLIC, Call, IngressPrefix, IngressRoute
from spindle_spi.shapes import ANTHROPIC, ENVELOPE, JSON_RPC, OPENAI

if TYPE_CHECKING:
    from spindle_spi.types import Receive, Scope, Send


async def handle(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
    raise NotImplementedError


def source(owner: str, *routes: str, prefixes: tuple[IngressPrefix, ...] = ()) -> RouteSource:
    """Return an inventory of `METHOD path` texts."""
    return RouteSource(
        owner=owner,
        routes=[
            IngressRoute(
                method=text.split(" ", maxsplit=1)[0],
                path=text.split(" ", maxsplit=1)[1],
                permission=PUBLIC,
                handler=handle,
                errors=OPENAI,
            )
            for text in routes
        ],
        prefixes=prefixes,
    )


def found(table: RouteTable, method: str, raw: str) -> tuple[str, dict[str, str]] | None:
    """Return the matched pattern and parameters for a raw path."""
    match = table.match(method, unquote(raw), raw.encode())
    return None if match is None else (match[0].path, match[1])


NONE: dict[str, str] = {}
TABLE = RouteTable(
    [
        source(
            "one",
            "GET /v1/models",
            "GET /v1/models/{id:path}",
            "GET /llm/providers/{id}",
            "PATCH /llm/providers/{id}",
            "POST /llm/models/{id}/state",
            "GET /llm/models/{name:path}",
            "POST /servers/{slug}/mcp",
        ),
        source("two", "GET /llm/providers/health", "POST /llm/models/x/other"),
    ]
)


@pytest.mark.parametrize(
    ("method", "raw", "expected"),
    [
        ("GET", "/v1/models", ("/v1/models", NONE)),
        ("GET", "/v1/models/a~b:c", ("/v1/models/{id:path}", {"id": "a~b:c"})),
        ("GET", "/v1/models/a/b", ("/v1/models/{id:path}", {"id": "a/b"})),
        ("GET", "/v1/models/a%2Fb", ("/v1/models/{id:path}", {"id": "a/b"})),
        ("GET", "/v1/models/", None),
        ("GET", "/v1/mod%65ls", ("/v1/models", NONE)),
        ("GET", "/v1%2Fmodels", None),
        ("GET", "/llm/providers/health", ("/llm/providers/health", NONE)),
        ("GET", "/llm/providers/h", ("/llm/providers/{id}", {"id": "h"})),
        ("PATCH", "/llm/providers/health", ("/llm/providers/{id}", {"id": "health"})),
        ("GET", "/llm/models/a/state", ("/llm/models/{name:path}", {"name": "a/state"})),
        ("POST", "/llm/models/x/state", ("/llm/models/{id}/state", {"id": "x"})),
        ("POST", "/servers/a%2Fb/mcp", ("/servers/{slug}/mcp", {"slug": "a/b"})),
        ("POST", "/servers/a/b/mcp", None),
        ("POST", "/servers//mcp", None),
        ("HEAD", "/v1/models", ("/v1/models", NONE)),
        ("HEAD", "/v1/models/a%2Fb", ("/v1/models/{id:path}", {"id": "a/b"})),
        ("DELETE", "/v1/models", None),
        ("GET", "*", None),
        ("GET", "/v1/models/%ff%zz", ("/v1/models/{id:path}", {"id": "\ufffd%zz"})),
    ],
)
def test_a_path_finds_its_route(
    method: str, raw: str, expected: tuple[str, dict[str, str]] | None
) -> None:
    """Literals beat parameters, a rest comes last, and an encoded slash makes no segment."""
    assert found(TABLE, method, raw) == expected


def test_a_known_path_tells_its_methods() -> None:
    """HEAD goes with GET, and the shape is that of the path's own routes."""
    assert TABLE.methods_at("/v1/models", b"/v1/models") == (["GET", "HEAD"], OPENAI)
    assert TABLE.methods_at("/llm/providers/health", b"/llm/providers/health")[0] == [
        "GET",
        "HEAD",
        "PATCH",
    ]
    assert TABLE.methods_at("/nothing", b"/nothing") == ([], ENVELOPE)


def test_an_unknown_path_is_answered_in_the_shape_of_its_longest_prefix() -> None:
    """A prefix ends at a segment, and the core's envelope answers everywhere else."""
    table = RouteTable(
        [
            source("a", prefixes=(IngressPrefix(prefix="/v1", errors=OPENAI),)),
            source(
                "b",
                prefixes=(
                    IngressPrefix(prefix="/v1/messages/", errors=ANTHROPIC),
                    IngressPrefix(prefix="/mcp", errors=JSON_RPC),
                ),
            ),
        ]
    )
    assert table.shape_at("/v1/nothing") is OPENAI
    assert table.shape_at("/v1/messages/nothing") is ANTHROPIC
    assert table.shape_at("/v1/messages") is ANTHROPIC
    assert table.shape_at("/v11") is ENVELOPE
    assert table.shape_at("/mcp") is JSON_RPC


def test_two_routes_of_equal_rank_are_refused_with_both_owners() -> None:
    """The names of parameters make no difference; every fault is told at once."""
    with pytest.raises(RouteFaults) as refused:
        RouteTable(
            [
                source(
                    "a",
                    "GET /x/{id}",
                    "GET /y",
                    prefixes=(
                        IngressPrefix(prefix="/x", errors=OPENAI),
                        IngressPrefix(prefix="bad", errors=OPENAI),
                    ),
                ),
                source(
                    "b",
                    "GET /x/{name}",
                    "POST /y",
                    "GET /{rest:path}/z",
                    "GET /z-{id}",
                    prefixes=(IngressPrefix(prefix="/x/", errors=OPENAI),),
                ),
            ]
        )

    assert refused.value.faults == (
        "b: route GET /{rest:path}/z: {name:path} must come last",
        "b: route GET /z-{id}: a parameter must be a whole segment",
        "a and b: the routes GET /x/{id} and GET /x/{name} are the same",
        "a: prefix bad: it must start with '/'",
        "a and b: both claim the prefix /x/",
    )


def test_overlaps_between_owners_are_reported_winner_first() -> None:
    """One owner's literal inside another's parameter is allowed, but never silent."""
    pairs = [(one.path, other.path) for one, other in TABLE.overlaps()]
    assert pairs == [("/llm/providers/health", "/llm/providers/{id}")]
    mixed = RouteTable(
        [source("a", "GET /a/b/{x}", "GET /a/b"), source("b", "GET /a/{y}/c", "GET /{z:path}")]
    )
    assert [(one.path, other.path) for one, other in mixed.overlaps()] == [
        ("/a/b", "/{z:path}"),
        ("/a/b/{x}", "/a/{y}/c"),
        ("/a/b/{x}", "/{z:path}"),
    ]


def test_a_new_instance_must_bring_the_same_routes() -> None:
    """After a restart the handlers are the new ones; other routes would be other promises."""
    table = RouteTable([source("a", "GET /x"), source("b", "GET /y")])
    table.suspend("a")
    assert [mount.is_serving for mount in table.mounts] == [False, True]

    async def renewed(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
        raise NotImplementedError

    fresh = IngressRoute(method="GET", path="/x", permission=PUBLIC, handler=renewed)
    table.resume("a", [fresh])
    assert table.mounts[0].is_serving
    assert table.mounts[0].handler is renewed

    with pytest.raises(RouteFaults, match="other routes"):
        table.resume("b", [fresh])
