"""`auth` of a gateway over the registry: values go in and never come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle.secret_inventory import uses_of
from spindle_spi.records import GatewaySpec, Kind, secrets_of
from tests.core.catalog.desk import Desk, open_desk

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.types import JsonObject

URL = "http://127.0.0.1:9/mcp"
CANARY = "canary-of-the-registry"
AUTH: JsonObject = {
    "type": "client_credentials",
    "issuer": "http://127.0.0.1:9",
    "client_id": "me",
    "client_secret": CANARY,
    "headers": {"X-Key": f"{CANARY}-2"},
}


def spec_of(desk: Desk) -> GatewaySpec:
    record = desk.record(Kind.GATEWAY, "files")
    assert record is not None
    assert isinstance(record.spec, GatewaySpec)
    return record.spec


async def values(desk: Desk) -> dict[str, str]:
    """What the module of the gateway is given, by the last part of the place."""
    config = desk.core.services_for("mcp").config_secrets
    auth = spec_of(desk).auth
    assert auth is not None
    refs = {"client_secret": auth.client_secret, **auth.headers}
    return {k: (await config.secret(r)).reveal() for k, r in refs.items() if r is not None}


async def test_secrets_of_auth_are_kept_and_never_shown(tmp_path: Path) -> None:
    """In no answer, no list, no audit entry; the module may read them."""
    async with open_desk(tmp_path) as desk:
        made = await desk.ask("POST", "gateways", {"name": "files", "url": URL, "auth": AUTH})
        assert made.status == 201, made.raw
        assert await values(desk) == {"client_secret": CANARY, "X-Key": f"{CANARY}-2"}
        paths = ("gateways", "gateways/files", "audit", "secrets")
        answers = [made, *[await desk.ask("GET", path) for path in paths]]
        assert not any(CANARY.encode() in told.raw for told in answers)
        assert made.data["auth"] is not None


async def test_what_is_not_said_again_keeps_its_secret(tmp_path: Path) -> None:
    """A change of scopes leaves them; a new value replaces one; what nobody uses is deleted."""
    async with open_desk(tmp_path) as desk:
        await desk.make("gateways", {"name": "files", "url": URL, "auth": AUTH})
        before = set(uses_of(desk.core.snapshots.current.by_kind[Kind.GATEWAY]))
        told = await desk.ask("PATCH", "gateways/files", {"auth": {"scopes": ["a"]}})
        assert told.status == 200, told.raw
        assert await values(desk) == {"client_secret": CANARY, "X-Key": f"{CANARY}-2"}
        told = await desk.ask(
            "PATCH", "gateways/files", {"auth": {"client_secret": "another-client-secret"}}
        )
        assert told.status == 200, told.raw
        assert await values(desk) == {
            "client_secret": "another-client-secret",
            "X-Key": f"{CANARY}-2",
        }
        told = await desk.ask("PATCH", "gateways/files", {"auth": {"headers": {"X-Key": None}}})
        assert await values(desk) == {"client_secret": "another-client-secret"}
        kept = {ref.name for ref in secrets_of(spec_of(desk))}
        assert not kept & before
        stored = {row.name for row in await desk.core.store.secrets.shared()}
        assert stored == kept
        await desk.ask("PATCH", "gateways/files", {"auth": None})
        assert spec_of(desk).auth is None
        assert await desk.core.store.secrets.shared() == ()


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"headers": {"Host": "x"}}, "auth.headers.Host: 'Host' is no header a gateway may set"),
        ({**AUTH, "client_secret": None}, "auth.client_auth: proves nothing"),
        ({**AUTH, "issuer": None}, "auth.issuer: is missing beside client_id"),
        ({**AUTH, "what": 1}, "auth.what: unknown key"),
        ({"type": "headers"}, "auth.headers: is missing"),
        ({**AUTH, "client_secret": 5}, "auth.client_secret: is an integer"),
    ],
)
async def test_a_bad_auth_is_refused_by_the_path_of_its_key(
    tmp_path: Path, auth: JsonObject, expected: str
) -> None:
    """And nothing is kept of it."""
    async with open_desk(tmp_path) as desk:
        told = await desk.ask("POST", "gateways", {"name": "files", "url": URL, "auth": auth})
        assert told.status == 400
        assert told.message.startswith(expected), told.message
        assert await desk.core.store.secrets.shared() == ()


async def test_addresses_of_auth_pass_the_egress_guard(tmp_path: Path) -> None:
    """Those that the operator did not allow lead nowhere, and the record is not made."""
    async with open_desk(tmp_path) as desk:
        auth = {**AUTH, "issuer": None, "token_url": "https://169.254.169.254/token"}
        told = await desk.ask("POST", "gateways", {"name": "files", "url": URL, "auth": auth})
        assert (told.status, told.code) == (400, "core.egress.refused")


async def test_a_bundle_takes_no_secret_of_auth(tmp_path: Path) -> None:
    """As of every other key; an exported one says the names of headers alone."""
    async with open_desk(tmp_path) as desk:
        await desk.make("gateways", {"name": "files", "url": URL, "auth": AUTH})
        exported = await desk.ask("GET", "config/export")
        assert CANARY.encode() not in exported.raw
        body: JsonObject = {"bundle": 1, "gateways": {"files": {"url": URL, "auth": AUTH}}}
        told = await desk.ask("POST", "config/plan", body)
        assert CANARY.encode() not in told.raw
        assert b"a secret does not belong into a bundle" in told.raw
