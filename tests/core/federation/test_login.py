"""People log in at their provider: only their own login ends in a session."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from spindle.store.audit import AuditFilter
from spindle.store.rows import MembershipRow, UserRow
from spindle_spi.errors import ConfigError
from tests.core.config.written import faults
from tests.core.federation.browser import HOST, Browser, Site, site
from tests.core.heart import open_heart
from tests.support.http_server import Answered
from tests.support.identity_provider import new_key, query

if TYPE_CHECKING:
    from pathlib import Path

COOKIE = "__Host-spindle_session"
BEGUN = "__Secure-spindle_login"
ORIGIN = f"https://{HOST}"


async def test_a_person_logs_in_works_and_logs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        browser = gate.browser()
        assert (await browser.go("GET", "/me")).status == 401
        done = await gate.log_in(browser)
        assert (done.status, done.location) == (303, "/admin")
        mine = await browser.go("GET", "/me")
        assert mine.data == {"email": "ann@example.com", "teams": ["red"]}
        held = dict(browser.jar)
        subject = gate.heart.resolve(browser.jar[COOKIE]).subject
        out = await browser.go("POST", "/auth/logout", origin=ORIGIN)
        assert out.status == 204
        assert browser.jar == {}
        browser.jar = held
        assert (await browser.go("GET", "/me")).status == 401
        await gate.heart.core.snapshots.refresh()
        assert not gate.heart.core.identity.is_current(subject)
        rows = await gate.heart.core.store.audit.page(AuditFilter(action="auth.*"), limit=10)
        assert [(row.action, row.target) for row in reversed(rows)] == [
            ("auth.login", "ann@example.com"),
            ("auth.logout", "ann@example.com"),
        ]


async def test_the_cookies_are_bound_to_this_host_and_out_of_reach_of_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        browser = gate.browser()
        begun = await browser.go("GET", "/auth/login?return_to=/admin/users?page=2")
        (cookie,) = begun.cookies
        assert cookie.startswith(f"{BEGUN}=")
        assert "Path=/auth/callback; HttpOnly; SameSite=Lax; Max-Age=600; Secure" in cookie
        done = await browser.go(
            "GET", f"/auth/callback?{query(gate.provider.approve(begun.location))}"
        )
        session, gone = done.cookies
        assert session.startswith(f"{COOKIE}=sps_")
        assert session.endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
        assert "Max-Age=0" in gone
        assert done.location == "/admin/users?page=2"
        text = browser.jar[COOKIE]
        (row,) = await gate.heart.core.store.logins.live()
        assert text not in str(row)


async def test_on_loopback_without_https_the_cookies_have_plain_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:8080/auth/callback"

    async with site(tmp_path, monkeypatch, redirect_url=url) as gate:
        browser = gate.browser()
        assert (await gate.log_in(browser)).status == 303
        assert set(browser.jar) == {"spindle_session"}
        assert (await browser.go("GET", "/me")).status == 200


async def test_neither_the_address_nor_the_provider_learns_what_the_cookie_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        browser = gate.browser()
        begun = await browser.go("GET", "/auth/login")
        asked = parse_qs(urlsplit(begun.location).query)
        seed = browser.jar[BEGUN].split(".")[1]

        assert seed not in begun.location
        assert len({*asked["state"], *asked["nonce"], *asked["code_challenge"]}) == 3
        assert asked["redirect_uri"] == [f"{ORIGIN}/auth/callback"]
        assert asked["scope"] == ["openid email profile"]


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "admin",
        "",
        "/a\r\nb",
        "/a b",
        "/" + "a" * 1100,
    ],
)
async def test_a_login_leads_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        begun = await gate.browser().go("GET", f"/auth/login?{query({'return_to': path})}")

    assert begun.status == 400
    assert begun.cookies == []


async def test_a_forged_way_back_in_the_cookie_is_not_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        for back in (base64.urlsafe_b64encode(b"//evil.example").decode().rstrip("="), "_w"):
            browser = gate.browser()
            begun = await browser.go("GET", "/auth/login")
            at, seed, _ = browser.jar[BEGUN].split(".")
            browser.jar[BEGUN] = f"{at}.{seed}.{back}"
            answer = query(gate.provider.approve(begun.location))
            assert (await browser.go("GET", f"/auth/callback?{answer}")).location == "/admin"


async def refused(gate: Site, browser: Browser, parameters: dict[str, str]) -> None:
    """A callback that must not end in a session."""
    before = gate.sessions.count()
    page = await browser.go("GET", f"/auth/callback?{query(parameters)}")

    assert page.status == 401
    assert page.code == "core.login.failed"
    assert page.cookies == []
    assert b"SECRET-OF-IDP" not in page.body
    assert gate.sessions.count() == before


async def test_a_callback_that_is_not_this_browsers_login_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State, code, issuer, cookie, age: each alone is enough to refuse."""
    async with site(tmp_path, monkeypatch) as gate:
        for changes in (
            {"state": "x"},
            {"state": "é"},
            {"code": ""},
            {"iss": "https://other.example.com"},
            {"error": "access_denied", "error_description": "SECRET-OF-IDP"},
        ):
            browser = gate.browser()
            begun = await browser.go("GET", "/auth/login")
            await refused(gate, browser, gate.provider.approve(begun.location, **changes))

        browser = gate.browser()
        begun = await browser.go("GET", "/auth/login")
        answer = gate.provider.approve(begun.location)
        await refused(gate, gate.browser(), answer)
        await refused(gate, browser, {k: v for k, v in answer.items() if k != "iss"})

        other = gate.browser()
        await other.go("GET", "/auth/login")
        await refused(gate, other, answer)

        federation = gate.heart.core.federation
        assert federation is not None
        assert federation.login is not None
        federation.login.clock = lambda: time.time() + 700
        await refused(gate, browser, answer)
        federation.login.clock = time.time
        assert gate.provider.count("/token") == 0, "nobody asks the provider for these"
        browser.jar[BEGUN] = "nonsense"
        await refused(gate, browser, answer)


async def test_a_code_works_once_and_for_who_began_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        browser = gate.browser()
        begun = await browser.go("GET", "/auth/login")
        answer = gate.provider.approve(begun.location)
        held = dict(browser.jar)
        await browser.go("GET", f"/auth/callback?{query(answer)}")
        browser.jar = held
        page = await browser.go("GET", f"/auth/callback?{query(answer)}")

        assert page.status == 503
        assert b"SECRET-OF-IDP" not in page.body


NOW = int(time.time())


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another-client"},
        {"aud": ["spindle", "x"], "azp": "x"},
        {"iss": "https://other.example.com"},
        {"exp": NOW - 600},
        {"iat": NOW + 86_400},
    ],
    # No times: what is run by several workers is collected in each of them.
    ids=lambda claims: "-".join(claims),
)
async def test_a_word_of_the_provider_that_is_not_for_this_login_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claims: dict[str, Any]
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        browser = gate.browser()
        gate.provider.id_claims = claims
        begun = await browser.go("GET", "/auth/login")
        await refused(gate, browser, gate.provider.approve(begun.location))


async def test_a_word_that_another_signed_is_refused_and_new_keys_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        assert (await gate.log_in(gate.browser())).status == 303
        published = {"keys": [gate.provider.keys[0].published()]}
        gate.provider.raw["/jwks"] = Answered(body=json.dumps(published).encode())
        gate.provider.keys = [new_key("one")]
        browser = gate.browser()
        begun = await browser.go("GET", "/auth/login")
        await refused(gate, browser, gate.provider.approve(begun.location))

        del gate.provider.raw["/jwks"]
        gate.provider.rotate("two")
        federation = gate.heart.core.federation
        assert federation is not None
        assert federation.login is not None
        keys = federation.login.at.keys
        clock = keys.clock
        keys.clock = lambda: clock() + 4000
        assert (await gate.log_in(gate.browser())).status == 303


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/.well-known/openid-configuration", Answered(status=500)),
        ("/.well-known/openid-configuration", Answered(body=b"<html>")),
        ("/.well-known/openid-configuration", Answered(body=b'{"issuer": "https://evil"}')),
    ],
)
async def test_without_its_metadata_nobody_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, raw: Answered
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        gate.provider.raw[path] = raw

        for _ in range(3):
            page = await gate.browser().go("GET", "/auth/login")
            assert page.status == 503
            assert page.code == "core.login.provider_unavailable"

        assert gate.provider.count(path) == 1, "it is left alone for a while"


@pytest.mark.parametrize(
    "metadata",
    [
        {"token_endpoint": None},
        {"token_endpoint": 7},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
async def test_metadata_that_lacks_an_endpoint_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata: dict[str, Any]
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        gate.provider.metadata = metadata
        assert (await gate.browser().go("GET", "/auth/login")).status == 503


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/token", "http://localhost:1/token", "https://x y/"]
)
async def test_an_endpoint_the_provider_names_may_not_lead_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """The operator named the issuer's host; every other host has to be a public one."""
    async with site(tmp_path, monkeypatch) as gate:
        gate.provider.metadata = {"token_endpoint": url}
        assert (await gate.log_in(gate.browser())).status == 503


@pytest.mark.parametrize(
    "raw",
    [
        Answered(status=500),
        *(Answered(body=body) for body in (b"[]", b"7", b"null", b'["id_token"]', b'"ab"')),
        Answered(body=b"[" * 100_000),
        Answered(body=b"x" * 2_000_000),
        Answered(status=302, headers={"location": "/elsewhere"}),
        Answered(status=400, body=b'{"error": "invalid_client"}'),
    ],
)
async def test_a_provider_that_gives_no_tokens_logs_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: Answered
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        gate.provider.raw["/token"] = raw
        page = await gate.log_in(gate.browser())

        assert page.status == 503
        assert gate.provider.count("/elsewhere") == 0


async def test_an_answer_without_identity_logs_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        body = b'{"access_token": "a", "token_type": "Bearer"}'
        gate.provider.raw["/token"] = Answered(body=body)
        browser = gate.browser()
        begun = await browser.go("GET", "/auth/login")
        await refused(gate, browser, gate.provider.approve(begun.location))


async def test_groups_may_come_from_userinfo_about_the_same_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch) as gate:
        gate.provider.userinfo = {"sub": "u-1", "groups": ["ops"], "email": "eve@example.com"}
        gate.provider.id_claims = {"groups": None}
        browser = gate.browser()
        assert (await gate.log_in(browser)).status == 303
        mine = await browser.go("GET", "/me")
        assert mine.data == {"email": "ann@example.com", "teams": ["blue"]}

        gate.provider.userinfo = {"sub": "u-2", "groups": ["ops"]}
        browser = gate.browser()
        begun = await browser.go("GET", "/auth/login")
        await refused(gate, browser, gate.provider.approve(begun.location))


async def test_groups_give_and_take_their_own_memberships_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an administrator gave stays, whatever the groups say; a group's role follows it."""
    async with site(tmp_path, monkeypatch) as gate:
        store = gate.heart.core.store
        await gate.log_in(gate.browser())
        await store.teams.put_member(
            MembershipRow(email="ann@example.com", team="blue", role="viewer")
        )
        gate.provider.person["groups"] = ["ops"]
        browser = gate.browser()
        await gate.log_in(browser)
        held = {
            row.team: (row.role, row.origin) for row in (await store.users.everybody()).memberships
        }
        assert held == {"blue": ("viewer", "api")}
        gate.provider.person["groups"] = []
        await gate.log_in(browser)
        (blue,) = await store.teams.members("blue")
        assert (blue.role, blue.origin) == ("viewer", "api")
        assert (await browser.go("GET", "/me")).data["teams"] == ["blue"]

        gate.provider.person["groups"] = ["eng"]
        await gate.log_in(gate.browser())
        (red,) = await store.teams.members("red")
        assert (red.role, red.origin) == ("developer", "oidc")
        await store.teams.put_member(
            MembershipRow(email="ann@example.com", team="red", role="viewer", origin="oidc")
        )
        await gate.log_in(gate.browser())
        (red,) = await store.teams.members("red")
        assert red.role == "developer"


async def test_who_may_not_come_in_gets_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown, disabled, a service, another domain, an unproven address, somebody's old address."""
    async with site(
        tmp_path, monkeypatch, auto_create=False, allowed_domains=["example.com"]
    ) as gate:
        users = gate.heart.core.store.users
        await users.create(UserRow(email="off@example.com", disabled_at=1.0))
        await users.create(UserRow(email="bot@example.com", is_service=True))
        await users.create(UserRow(email="old@example.com", issuer=gate.provider.url, subject="u0"))
        await users.create(UserRow(email="out@elsewhere.com"))
        await users.create(UserRow(email="ann@example.com"))

        for person in (
            {"email": "new@example.com"},
            {"email": "off@example.com"},
            {"email": "bot@example.com", "sub": "u-2"},
            {"email": "old@example.com", "sub": "u-3"},
            {"email": "out@elsewhere.com", "sub": "u-4"},
            {"email_verified": False},
            {"email": None},
        ):
            gate.provider.id_claims = person
            page = await gate.log_in(gate.browser())
            assert (page.status, page.code) == (403, "core.login.no_account"), person

        gate.provider.id_claims = {"sub": "u-7"}
        assert (await gate.log_in(gate.browser())).status == 303
        ann = await users.get("ann@example.com")
        assert ann is not None
        assert (ann.issuer, ann.subject) == (gate.provider.url, "u-7")
        gate.provider.id_claims = {"sub": "u-7", "email": "ann.new@example.com"}
        browser = gate.browser()
        assert (await gate.log_in(browser)).status == 303
        assert (await browser.go("GET", "/me")).data["email"] == "ann@example.com"
        assert gate.sessions.count() == 2


async def test_where_nobody_logs_in_there_is_no_login(tmp_path: Path) -> None:
    """The very answer of a path that is not there."""
    from spindle.ingress.app import Ingress, IngressSettings
    from spindle.ingress.routes import RouteSource, RouteTable

    async with open_heart(tmp_path) as heart:
        core = heart.core
        ingress = Ingress(
            table=RouteTable([RouteSource(owner="core", routes=core.routes())]),
            callers=core.identity,
            leases=core.leases,
            meter=core.metrics,
            settings=IngressSettings(body_limit=10, allowed_hosts=(HOST,)),
        )
        browser = Browser(ingress=ingress)
        login = await browser.go("GET", "/auth/login")
        absent = await browser.go("GET", "/auth/nothing")

        assert login.status == absent.status == 404
        assert login.code == absent.code == "core.path_unknown"
        assert core.federation is None
        cookie = Browser(ingress=ingress, jar={COOKIE: "sps_x"})
        assert (await cookie.go("POST", "/auth/logout")).status == 401


async def test_a_public_client_proves_itself_by_pkce_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch, client_secret_env_var=None) as gate:
        assert (await gate.log_in(gate.browser())).status == 503
        (asked,) = [asked for asked in gate.provider.asked if asked.target == "/token"]
        form = parse_qs(asked.body.decode())
        assert form["client_id"] == ["spindle"]
        assert form["code_verifier"]
        assert "authorization" not in asked.headers


async def test_without_its_secret_the_gateway_does_not_start(tmp_path: Path) -> None:
    oidc = {
        "issuer": "https://id.example.com",
        "client_id": "spindle",
        "client_secret_env_var": "NOT_SET_ANYWHERE",
        "redirect_url": f"{ORIGIN}/auth/callback",
    }

    with pytest.raises(ConfigError, match="NOT_SET_ANYWHERE"):
        async with open_heart(tmp_path, f"auth: {json.dumps({'oidc': oidc})}\n"):
            pass


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"issuer": "http://id.example.com"}, "auth.oidc.issuer: is not encrypted"),
        ({"redirect_url": f"{ORIGIN}/elsewhere"}, "is not where the login comes back"),
        ({"redirect_url": f"http://{HOST}/auth/callback"}, "is not encrypted"),
        ({"scopes": ["email"]}, "auth.oidc.scopes: lacks openid"),
        ({"algorithms": ["HS256"]}, "auth.oidc.algorithms[0]"),
        ({"client_secret_env_var": "the secret itself"}, "is not the name of"),
    ],
)
def test_a_login_that_cannot_be_meant_is_refused(keys: dict[str, Any], fault: str) -> None:
    oidc = {
        "issuer": "https://id.example.com",
        "client_id": "spindle",
        "redirect_url": f"{ORIGIN}/auth/callback",
        **keys,
    }
    found = faults(f"auth: {json.dumps({'oidc': oidc})}\n")

    assert any(fault in text for text in found)
    assert "the secret itself" not in "".join(found)
