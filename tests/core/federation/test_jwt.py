"""Tokens of other issuers: which hold, which do not, and for whom."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jwa
from joserfc.jwk import ECKey

from spindle.store.rows import UserRow
from spindle_spi.auth import ResolveCallerRequest
from spindle_spi.errors import Unauthenticated
from tests.core.config.written import faults
from tests.core.federation.issuer import (
    ALGORITHMS,
    add_person,
    resolve,
    trusting,
)
from tests.support.http_server import Answered
from tests.support.identity_provider import (
    identity_provider,
    new_key,
    sign,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_valid_token_is_its_person_with_what_the_database_says(
    tmp_path: Path, algorithm: str
) -> None:
    async with trusting(tmp_path) as (heart, provider):
        provider.rotate("k", algorithm)
        context = await resolve(heart, provider.token(is_admin=True, role="platform_admin"))

    assert context.subject.user_email == "ann@example.com"
    assert context.subject.token_teams == ("blue", "red")
    assert not context.subject.is_admin
    assert context.subject.token_id is not None
    assert context.subject.token_id.startswith("jwt_")


async def test_a_known_token_costs_no_keys_and_no_signature(tmp_path: Path) -> None:
    async with trusting(tmp_path) as (heart, provider):
        text = provider.token()
        first = await resolve(heart, text)
        provider.raw["/jwks"] = Answered(status=500)
        assert heart.core.federation is not None
        known = heart.core.federation.callers
        again = heart.resolve(text)

        assert again.subject is first.subject
        assert known.kept() == 1
        assert provider.count("/jwks") == 1


async def test_a_disabled_person_is_refused_at_once_and_their_stream_is_cut(
    tmp_path: Path,
) -> None:
    async with trusting(tmp_path) as (heart, provider):
        text = provider.token()
        context = await resolve(heart, text)
        assert heart.core.identity.is_current(context.subject)
        users = heart.core.store.users
        ann = await users.get("ann@example.com")
        assert ann is not None
        await users.change(ann, UserRow(email=ann.email, disabled_at=time.time()))
        await heart.core.snapshots.refresh()

        assert not heart.core.identity.is_current(context.subject)

        with pytest.raises(Unauthenticated):
            heart.resolve(text)


async def test_a_lost_membership_is_lost_with_the_next_request(tmp_path: Path) -> None:
    async with trusting(tmp_path) as (heart, provider):
        text = provider.token()
        before = await resolve(heart, text)
        await heart.core.store.teams.remove_member("blue", "ann@example.com")
        await heart.core.snapshots.refresh()

        assert heart.resolve(text).subject.token_teams == ("red",)
        assert not heart.core.identity.is_current(before.subject)


@pytest.mark.parametrize(
    ("claim", "teams"),
    [
        (["red"], ("red",)),
        (["red", "green"], ("red",)),
        ("red", ("red",)),
        ([], ()),
        (None, ()),
        (7, ()),
        ({"red": True}, ()),
    ],
)
async def test_a_claim_of_teams_narrows_and_never_widens(
    tmp_path: Path, claim: object, teams: tuple[str, ...]
) -> None:
    async with trusting(tmp_path, claims={"teams": "teams"}) as (heart, provider):
        context = await resolve(heart, provider.token(teams=claim))

    assert context.subject.token_teams == teams


async def test_an_administrator_is_one_by_the_database_alone(tmp_path: Path) -> None:
    async with trusting(tmp_path) as (heart, provider):
        await add_person(heart, "root@example.com", admin=True)
        await heart.core.snapshots.refresh()
        context = await resolve(heart, provider.token(email="root@example.com", sub="u-9"))

    assert context.subject.is_admin
    assert context.subject.token_teams is None


async def test_a_service_account_is_used_through_its_tokens_alone(tmp_path: Path) -> None:
    """An issuer speaks for people; and it makes nobody with an address of ours."""
    async with trusting(tmp_path, auto_create=True) as (heart, provider):
        users = heart.core.store.users
        await users.create(UserRow(email="bot@example.com", is_service=True))
        await heart.core.snapshots.refresh()

        for email in ("bot@example.com", "new@service.spindle", "new@SERVICE.spindle"):
            with pytest.raises(Unauthenticated):
                await resolve(heart, provider.token(email=email, sub="u-7"))

        assert await users.get("new@service.spindle") is None


NOW = int(time.time())
BAD_CLAIMS: list[dict[str, Any]] = [
    {"iss": "https://other.example.com"},
    {"iss": None},
    {"iss": ["x"]},
    {"aud": "somebody-else"},
    {"aud": None},
    {"aud": []},
    {"aud": [{"spindle-api": 1}]},
    {"exp": NOW - 60},
    {"exp": None},
    {"exp": True},
    {"exp": "9999999999"},
    {"exp": 1e300},
    {"exp": 10**400},
    {"nbf": 10**400},
    {"email": "bot@service.spindle"},
    {"exp": -1},
    {"nbf": NOW + 86_400},
    {"iat": NOW + 86_400},
    {"nbf": "soon"},
    {"sub": None},
    {"sub": ""},
    {"sub": 7},
    {"email": None},
    {"email": "no-address"},
    {"email": "two@ats@example.com"},
    {"email": "with space@example.com"},
    {"email": "a" * 300 + "@example.com"},
    {"email": ["ann@example.com"]},
    {"email_verified": False},
    {"email_verified": "false"},
    {"email": "nobody@example.com"},
]


async def test_a_claim_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    async with trusting(tmp_path) as (heart, provider):
        for claims in BAD_CLAIMS:
            with pytest.raises(Unauthenticated, match=r"^The token is not valid\.$"):
                pytest.fail(f"{claims}: {await resolve(heart, provider.token(**claims))}")


async def test_an_audience_among_several_and_an_address_in_capitals_are_fine(
    tmp_path: Path,
) -> None:
    async with trusting(tmp_path, leeway_seconds=60) as (heart, provider):
        text = provider.token(
            aud=["x", "spindle-api"], email="Ann@Example.com", exp=int(time.time()) - 30
        )
        assert (await resolve(heart, text)).subject.user_email == "ann@example.com"


BAD_HEADERS: list[dict[str, Any]] = [
    {"crit": ["exp"]},
    {"alg": "none"},
    {"alg": "HS256"},
    {"alg": ["ES256"]},
    {"kid": 7},
    {"kid": "unknown"},
]


async def test_a_header_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    async with trusting(tmp_path) as (heart, provider):
        await resolve(heart, provider.token())

        for header in BAD_HEADERS:
            with pytest.raises(Unauthenticated):
                pytest.fail(f"{header}: {heart.resolve(with_header(provider.token(), header))}")


def with_header(text: str, changes: dict[str, Any]) -> str:
    """Change the header of a token, signature or not."""
    header, payload, signature = text.split(".")
    said = json.loads(base64.urlsafe_b64decode(header + "=="))
    changed = base64.urlsafe_b64encode(json.dumps({**said, **changes}).encode()).decode()
    return f"{changed.rstrip('=')}.{payload}.{signature}"


async def test_a_well_signed_token_with_critical_headers_is_refused(tmp_path: Path) -> None:
    """Whoever wrote it counts on a rule we do not know."""
    async with trusting(tmp_path) as (heart, provider):
        text = with_header(provider.token(), {"crit": ["x"], "x": 1})
        signed = text.rpartition(".")[0]
        key = provider.keys[0]
        assert isinstance(key.key, ECKey)
        mac = jwa.ESAlgorithm("ES256", "P-256", 256).sign(signed.encode(), key.key)
        signature = base64.urlsafe_b64encode(mac).decode()
        await resolve(heart, provider.token())

        with pytest.raises(Unauthenticated):
            heart.resolve(f"{signed}.{signature.rstrip('=')}")


async def test_a_token_without_signature_is_refused(tmp_path: Path) -> None:
    async with trusting(tmp_path) as (heart, provider):
        header, payload, _ = with_header(provider.token(), {"alg": "none"}).split(".")

        with pytest.raises(Unauthenticated):
            await resolve(heart, f"{header}.{payload}.")


async def test_the_public_key_is_no_shared_secret(tmp_path: Path) -> None:
    """Key confusion: HS256 with what everybody can read."""
    async with trusting(tmp_path) as (heart, provider):
        key = provider.rotate("k", "RS256")
        claims = json.loads(base64.urlsafe_b64decode(provider.token().split(".")[1] + "=="))
        await resolve(heart, provider.token())

        for public in (key.pem().encode(), json.dumps(key.published()).encode()):
            header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"k"}').decode().rstrip("=")
            body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
            import hmac

            mac = hmac.digest(public, f"{header}.{body}".encode(), "sha256")
            forged = base64.urlsafe_b64encode(mac).decode().rstrip("=")

            with pytest.raises(Unauthenticated):
                await resolve(heart, f"{header}.{body}.{forged}")


async def test_a_key_that_the_token_brings_along_is_never_looked_at(tmp_path: Path) -> None:
    """`jwk`, `jku` and `x5u` lead nowhere: no request is made to where they point."""
    async with trusting(tmp_path) as (heart, provider), identity_provider() as evil:
        mine = new_key("one")
        header = {
            "kid": "one",
            "jwk": mine.published(),
            "jku": f"{evil.url}/jwks",
            "x5u": f"{evil.url}/x",
        }
        claims = json.loads(base64.urlsafe_b64decode(provider.token().split(".")[1] + "=="))

        with pytest.raises(Unauthenticated):
            await resolve(heart, sign(claims, mine.key, "ES256", header))

        assert evil.asked == []


async def test_an_algorithm_that_is_not_on_the_list_is_refused(tmp_path: Path) -> None:
    async with trusting(tmp_path, algorithms=["RS256"]) as (heart, provider):
        with pytest.raises(Unauthenticated):
            await resolve(heart, provider.token())

        assert provider.asked == [], "a token that cannot hold makes nobody fetch keys"


NO_TOKENS = [
    "eyJ.e30.x",
    "eyJhbGciOiJFUzI1NiJ9.bm8gSlNPTg.x",
    "eyJhbGciOiJFUzI1NiJ9.W10.x",
    "eyJhbGciOiJFUzI1NiJ9.e30.!!",
    "eyJhbGciOiJFUzI1NiJ9." + "a" * 20_000 + ".x",
    "eyJhbGciOiJFUzI1NiJ9.é.x",
    "eyJhbGciOiJFUzI1NiJ9." + base64.urlsafe_b64encode(b"[" * 9000).decode() + ".x",
    "eyJ-only-one.dot",
]


async def test_what_is_no_token_is_refused_like_any_other(tmp_path: Path) -> None:
    async with trusting(tmp_path) as (heart, _):
        for text in NO_TOKENS:
            with pytest.raises(Unauthenticated):
                pytest.fail(f"{text[:40]}: {heart.resolve(text)}")


async def test_a_changed_signature_or_claim_is_refused(tmp_path: Path) -> None:
    async with trusting(tmp_path) as (heart, provider):
        header, payload, signature = provider.token().split(".")
        _, other, _ = provider.token(sub="u-2").split(".")

        for text in (f"{header}.{other}.{signature}", f"{header}.{payload}.AAAA"):
            with pytest.raises(Unauthenticated):
                await resolve(heart, text)


async def test_a_new_person_is_made_where_the_issuer_may(tmp_path: Path) -> None:
    async with trusting(
        tmp_path,
        known=False,
        auto_create=True,
        allowed_domains=["example.com"],
        default_role="platform_viewer",
        group_teams={"eng": {"team": "red"}, "ops": {"team": "missing"}},
    ) as (heart, provider):
        context = await resolve(heart, provider.token(groups=["eng", "ops"]))
        ann = await heart.core.store.users.get("ann@example.com")

        with pytest.raises(Unauthenticated):
            await resolve(heart, provider.token(sub="u-2", email="eve@evil.example"))

        assert await heart.core.store.users.get("eve@evil.example") is None

    assert context.subject.token_teams == ("red",)
    assert ann is not None
    assert (ann.role, ann.issuer, ann.subject, ann.is_admin) == (
        "platform_viewer",
        provider.url,
        "u-1",
        False,
    )


async def test_modules_with_an_ingress_of_their_own_resolve_tokens_as_well(
    tmp_path: Path,
) -> None:
    async with trusting(tmp_path) as (heart, provider):
        auth = heart.core.services_for("llm").auth
        asked = ResolveCallerRequest(
            transport="http",
            headers=(("authorization", f"Bearer {provider.token()}"),),
            client_ip="127.0.0.1",
        )
        context = await auth.resolve_caller(asked)

    assert context.subject.user_email == "ann@example.com"


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("{}", "names not exactly one place of the keys"),
        ("{key_file: a, key_env_var: B}", "names not exactly one place of the keys"),
        ("{key_file: a, algorithms: [HS256, RS256]}", "mixes a shared secret with public keys"),
        (
            "{jwks_url: 'https://id.example.com/k', algorithms: [HS256]}",
            "has a shared secret published at a URL",
        ),
        ("{key_file: a, algorithms: [none]}", "auth.jwt[0].algorithms[0]"),
        ("{jwks_url: 'http://id.example.com/k'}", "is not encrypted"),
        ("{key_file: a, allowed_domains: [Example]}", "is not a domain"),
        ("{key_env_var: 'no variable'}", "is not the name of an environment variable"),
    ],
)
def test_an_issuer_that_cannot_be_meant_is_refused(entry: str, fault: str) -> None:
    base = "issuer: 'https://id.example.com', audiences: [a]"
    given = entry.strip("{}")
    named = given if "algorithms" in given else f"algorithms: [ES256], {given}".rstrip(", ")

    assert any(fault in found for found in faults(f"auth: {{jwt: [{{{base}, {named}}}]}}"))


def test_an_issuer_is_named_once() -> None:
    one = "{issuer: i, audiences: [a], algorithms: [ES256], key_file: k}"
    (fault,) = faults(f"auth: {{jwt: [{one}, {one}]}}")

    assert "auth.jwt[1].issuer: a second 'i', the first is jwt[0]" in fault
