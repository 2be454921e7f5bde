"""Every route of the inventory against every way of being refused, over a real process.

The rows come from the inventory, so a route that is added is tested by being there; one that
names something new fails until it is said here what a stranger must not find. A cell without a
meaning is in `NOT_APPLICABLE`, with its reason. What is hidden is compared, byte for byte, with
what is absent.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx2
import pytest

from spindle.store import Store, TokenRow
from spindle.tokens import mint
from spindle_spi.context import TimeWindow
from spindle_spi.policy import ROLES
from tests.journeys.gateway import Gateway, in_force, running_gateway, spindle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

    from spindle_spi.types import JsonObject

PUBLIC = {
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/auth/login"),
    ("GET", "/auth/callback"),
    ("GET", "/invitations/{secret}"),
    ("GET", "/.well-known/oauth-protected-resource"),
    ("GET", "/.well-known/oauth-protected-resource/mcp"),
    ("GET", "/.well-known/oauth-protected-resource/servers/{slug}/mcp"),
    ("GET", "/.well-known/oauth-protected-resource/servers/{slug}/sse"),
    ("GET", "/.well-known/oauth-protected-resource/sse"),
    ("GET", "/mcp/client-metadata.json"),
    ("POST", "/admin/api/v1/invitations/accept"),
}
SHAPES = {
    "openai": {"message", "type", "param", "code"},
    "envelope": {"category", "code", "message", "origin", "retryable", "traceId"},
    "json-rpc": {"code", "message", "data"},
    "anthropic": {"type", "message"},
}

BY_CREDENTIAL = ("no token", "bad", "expired", "revoked", "wrong IP", "outside hours")
KINDS = (*BY_CREDENTIAL, "no permission", "wrong team", "wrong server")

NOT_APPLICABLE = {
    "public": "a public route asks for no caller",
    "any caller": "the route shows each caller their own, and asks for no permission",
    "names nothing": "neither the path nor the body names something that may be hidden",
    "of no team": "what it names belongs to the platform and to no team",
    "of no server": "what it names is shown by no virtual server",
}

ABSENT = "absent-0000"

# What stands behind the parameter of a path, by the path up to it.
NAMED = {
    "/admin/api/v1/providers": "provider",
    "/admin/api/v1/models": "model",
    "/admin/api/v1/gateways": "gateway",
    "/admin/api/v1/servers": "server",
    "/admin/api/v1/tools": "tool",
    "/admin/api/v1/toolsets": "toolset",
    "/admin/api/v1/teams": "team",
    "/admin/api/v1/tokens": "token",
    "/admin/api/v1/invitations": "invitation",
    "/admin/api/v1/budgets": "budget",
    "/admin/api/v1/limits": "limit",
    "/llm/providers": "provider",
    "/llm/services": "provider",
    "/llm/models": "model",
    "/models": "model",
    "/v1/models": "model",
    "/servers": "slug",
    "/mcp/authorize": "gateway",
    "/mcp/grants": "gateway",
    # These upstreams publish none of them, so the same is asked of a tool's name.
    "/admin/api/v1/resources": "tool",
    "/admin/api/v1/templates": "tool",
    "/admin/api/v1/prompts": "tool",
}
OF_NO_TEAM = {
    "/admin/api/v1/config/versions",
    "/admin/api/v1/plugins",
    "/admin/api/v1/roles",
    "/admin/api/v1/secrets",
    "/admin/api/v1/service-accounts",
    "/admin/api/v1/users",
    "/llmchat/status",
    # Each caller's own; a stranger's are told apart from none by nobody, and tested where they are.
    "/llm/routes",
    "/v1/responses",
}
OF_NO_SERVER = {"team", "token", "invitation", "budget", "limit", "provider", "gateway", "toolset"}

VALID = {
    "state": '{"enabled": true}',
    "{team}": '{"description": "x"}',
    "{email}": '{"role": "viewer"}',
}
"""Bodies by the end of a path, where a body is read before the name is looked up."""

BODIES: dict[tuple[str, str], str] = {
    (
        "POST",
        "/v1/chat/completions",
    ): '{"model": "%s", "messages": [{"role": "user", "content": "x"}]}',
    (
        "POST",
        "/chat/completions",
    ): '{"model": "%s", "messages": [{"role": "user", "content": "x"}]}',
}
"""Bodies that name a model."""


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    permission: str
    errors: str

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.path

    @property
    def is_public(self) -> bool:
        return self.permission == "PUBLIC"

    @property
    def prefix(self) -> str | None:
        """The path up to its first parameter."""
        before, brace, _ = self.path.partition("/{")
        return before if brace else None

    def filled(self, name: str) -> str:
        """The path with its first parameter filled, and any other with a plain word."""
        first = re.sub(r"\{[^}]*\}", name, self.path, count=1)
        return re.sub(r"\{[^}]*\}", "x", first)


@dataclass(frozen=True)
class Scene:
    """A gateway, its routes, a token for each kind of refusal, and what strangers must not find."""

    client: httpx2.AsyncClient
    routes: tuple[Route, ...]
    tokens: dict[str, str]
    hidden: dict[str, str]

    async def ask(
        self, route: Route, path: str, token: str, body: str | None = None
    ) -> httpx2.Response:
        headers = {"content-type": "application/json"}

        if token:
            headers["authorization"] = f"Bearer {token}"

        body = VALID.get(route.path.rpartition("/")[2], "{}") if body is None else body
        return await self.client.request(route.method, path, content=body, headers=headers)


def row(text: str, digest: str, **changes: Any) -> TokenRow:
    made = TokenRow(
        id=uuid4().hex,
        name="matrix",
        prefix=text[:8],
        hash=digest,
        created_at=time.time(),
        teams=("red",),
        permissions=ROLES["team_admin"],
        role="team_admin",
    )
    return replace(made, **changes)


def other_hours() -> TimeWindow:
    """Return a window of the week that does not hold now, nor in the next days."""
    return TimeWindow(days=((time.gmtime().tm_wday + 3) % 7,))


async def make_tokens(home: Path, server_id: str) -> dict[str, str]:
    settings: dict[str, dict[str, Any]] = {
        "good": {},
        "expired": {"expires_at": time.time() - 1},
        "revoked": {"revoked_at": time.time() - 1},
        "wrong IP": {"ip_restrictions": ("192.0.2.0/24",)},
        "outside hours": {"time_restrictions": (other_hours(),)},
        "no permission": {"permissions": ("nothing.at_all",), "role": ""},
        "wrong team": {"teams": ("blue",)},
        "wrong server": {"server_id": server_id},
    }
    store = await Store.open(f"sqlite+aiosqlite:///{home / 'spindle.db'}")
    tokens = {"no token": "", "bad": "spn_nobody"}

    try:
        for kind, changes in settings.items():
            secret, _, digest = mint()
            tokens[kind] = secret.reveal()
            await store.tokens.create(row(tokens[kind], digest, **changes))
    finally:
        await store.close()

    return tokens


async def make_hidden(gateway: Gateway, admin: str) -> dict[str, str]:
    """Make one of everything that belongs to the team red, as an administrator."""
    owned: JsonObject = {"visibility": "team", "team": "red"}
    base = "/admin/api/v1"

    async with gateway.process.client(admin) as client:

        async def make(path: str, body: JsonObject) -> Any:
            answer = await client.post(f"{base}/{path}", json=body)
            assert answer.status_code == 201, (path, answer.text)
            return answer.json()

        await make("teams", {"name": "red"})
        await make("teams", {"name": "blue"})
        url = gateway.upstream.url
        await make("providers", {"name": "dark", "urls": [f"{url}/v1"], **owned})
        await make("models", {"provider": "dark", "upstream_name": "m", **owned})
        await make("gateways", {"name": "cellar", "transport": "builtin", **owned})
        await make("servers", {"name": "crypt", "gateways": ["demo"], **owned})
        await make("servers", {"name": "shop", "gateways": ["demo"], "visibility": "public"})
        await make("tools", {"name": "whisper", "model": "up~plain", **owned})
        await make("toolsets", {"name": "kit", "tools": ["whisper"], **owned})
        token = await make("tokens", {"unowned": True, "teams": ["red"], "role": "viewer"})
        invitation = await make("invitations", {"team": "red"})
        budget = await make(
            "budgets", {"scope": "team", "name": "red", "period": "day", "limit_usd": 5}
        )
        limit = await make("limits", {"scope": "team", "name": "red", "requests_per_minute": 9999})
        return {
            "provider": "dark",
            "model": "dark~m",
            "gateway": "cellar",
            "server": "crypt",
            "slug": "crypt",
            "tool": "whisper",
            "toolset": "kit",
            "team": "red",
            "token": token["id"],
            "invitation": invitation["id"],
            "budget": budget["id"],
            "limit": limit["id"],
        }


@pytest.fixture(scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Scene]:
    home: Path = tmp_path_factory.mktemp("home")

    async with running_gateway(home, local=True) as gateway:
        listed = json.loads(await spindle(home, "modules", "routes", "--json"))
        routes = tuple(
            Route(one["method"], one["path"], one["permission"], one["errors"])
            for one in listed["routes"]
        )
        admin = (home / "admin-token").read_text().strip()
        hidden = await make_hidden(gateway, admin)

        async with gateway.process.client(admin) as client:
            shop = (await client.get("/admin/api/v1/servers/shop")).json()

        tokens = await make_tokens(home, shop["id"])
        await in_force(gateway.process, tokens["wrong server"])
        await in_force(gateway.process, tokens["no permission"])

        async with gateway.process.client("") as client:
            yield Scene(client, routes, tokens, hidden)


def cells(scene: Scene, kind: str) -> Iterator[Route]:
    """Return the routes for which a kind of refusal has a meaning."""
    return (route for route in scene.routes if why_not(route, kind) is None)


def why_not(route: Route, kind: str) -> str | None:
    """Return the key of the reason why a cell has no meaning; None when it has one."""
    if route.is_public:
        return "public"

    if kind in BY_CREDENTIAL:
        return None

    if kind == "no permission":
        return "any caller" if route.permission == "ANY_CALLER" else None

    if route.key in BODIES:
        return None

    if route.prefix is None:
        return "names nothing"

    if route.prefix in OF_NO_TEAM:
        return "of no team"

    assert route.prefix in NAMED, f"say in NAMED what a stranger must not find at {route.path}"
    return (
        "of no server" if kind == "wrong server" and NAMED[route.prefix] in OF_NO_SERVER else None
    )


def assert_refused(response: httpx2.Response, route: Route, status: int, kind: str) -> None:
    where = (kind, *route.key, response.status_code, response.text)
    assert response.status_code == status, where
    assert response.json()["error"].keys() == SHAPES[route.errors], where
    assert response.headers["x-spindle-origin"] in ("client", "policy"), where
    assert ("www-authenticate" in response.headers) == (status == 401), where


def without_names(response: httpx2.Response, name: str) -> tuple[int, str, list[str]]:
    """Return what an answer says, but for the name that was asked for and ids of this request."""
    said = response.text.replace(name, "NAME")
    said = re.sub(r"req_[0-9a-f]+", "REQ", said)
    headers = sorted(key for key in response.headers if key not in ("date", "content-length"))
    return response.status_code, said, headers


async def test_the_public_routes_are_the_named_ones(scene: Scene) -> None:
    """A route that needs no caller is a decision, written down here."""
    assert {route.key for route in scene.routes if route.is_public} == PUBLIC


async def test_every_cell_runs_or_has_its_reason(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Says how many cells run for each kind, and how many have which reason not to."""
    runs: Counter[str] = Counter()
    reasons: Counter[str] = Counter()

    for kind in KINDS:
        for route in scene.routes:
            reason = why_not(route, kind)
            runs[kind] += reason is None
            reasons.update([] if reason is None else [reason])

    assert reasons.keys() <= NOT_APPLICABLE.keys()
    assert all(runs[kind] > 5 for kind in KINDS)
    assert runs["bad"] == len(scene.routes) - len(PUBLIC)

    with capsys.disabled():
        sys.stdout.write(f"\nrefusals: {dict(runs)}; not applicable: {dict(reasons)}\n")


@pytest.mark.parametrize("kind", BY_CREDENTIAL)
async def test_a_credential_that_does_not_hold_is_refused_everywhere(
    scene: Scene, kind: str
) -> None:
    for route in cells(scene, kind):
        name = "desk" if route.prefix == "/servers" else "x"
        response = await scene.ask(route, route.filled(name), scene.tokens[kind])
        assert_refused(response, route, 401, kind)


async def test_a_caller_without_the_permission_is_refused_by_its_name(scene: Scene) -> None:
    for route in cells(scene, "no permission"):
        name = "desk" if route.prefix == "/servers" else "x"
        response = await scene.ask(route, route.filled(name), scene.tokens["no permission"])
        assert_refused(response, route, 403, "no permission")
        assert route.permission in response.text


@pytest.mark.parametrize("kind", ["wrong team", "wrong server"])
async def test_what_is_hidden_is_answered_like_what_is_absent(scene: Scene, kind: str) -> None:
    token = scene.tokens[kind]

    for route in cells(scene, kind):
        if route.prefix is None:
            hidden = scene.hidden["model"]
            bodies = [BODIES[route.key] % name for name in (hidden, ABSENT)]
            answers = [await scene.ask(route, route.path, token, body) for body in bodies]
        else:
            hidden = scene.hidden[NAMED[route.prefix]]
            answers = [
                await scene.ask(route, route.filled(name), token) for name in (hidden, ABSENT)
            ]

        shown, absent = without_names(answers[0], hidden), without_names(answers[1], ABSENT)
        assert shown == absent, (kind, route.key)
        # A caller who lacks the permission is told that, whatever the name; nobody is let in.
        assert shown[0] in (403, 404), (kind, route.key, shown)


async def test_the_same_things_are_found_by_their_own_team(scene: Scene) -> None:
    """Else the comparison above compares two absences."""
    for prefix, kind in NAMED.items():
        route = Route("GET", f"{prefix}/{{id}}", "", "")

        # Whom a gateway acts for is asked where gateways of that kind are.
        if kind == "slug" or prefix.endswith(("resources", "templates", "prompts")):
            continue

        if prefix.startswith("/mcp/"):
            continue

        answer = await scene.ask(route, route.filled(scene.hidden[kind]), scene.tokens["good"])
        allowed = (200, 403) if kind in ("provider", "limit", "budget") else (200,)
        assert answer.status_code in allowed, (prefix, answer.text)


async def test_a_public_route_answers_anybody(scene: Scene) -> None:
    for path in ("/health", "/ready"):
        route = Route("GET", path, "PUBLIC", "envelope")
        assert (await scene.ask(route, path, "")).status_code == 200
