"""`mcp.gateways.<name>.auth` in the configuration: every bad key by its path, no secret shown."""

from __future__ import annotations

import json

import pytest

from spindle_spi.records import GatewaySpec
from spindle_spi.secret import SecretRef
from tests.core.config.written import faults, load

PLACE = "mcp.gateways.a.auth"
MACHINE = {
    "type": "client_credentials",
    "issuer": "https://as.example",
    "client_id": "me",
    "client_secret_env_var": "S",
}


def written(auth: object, **gateway: object) -> str:
    said = {"url": "https://up.example/mcp", "auth": auth, **gateway}
    return json.dumps({"mcp": {"gateways": {"a": said}}})


def test_what_is_written_becomes_references_and_places() -> None:
    """Headers and the client's secret have names of their own; a file starts where its key is."""
    auth = {
        **MACHINE,
        "headers": {"X-Tenant": {"file": "tenant.txt"}},
        "scopes": ["a", "b"],
    }
    settings = load(written(auth))
    (record,) = [record for record in settings.declared if record.name == "a"]
    assert isinstance(record.spec, GatewaySpec)
    found = record.spec.auth
    assert found is not None
    assert found.client_secret == SecretRef(name=f"{PLACE}.client_secret")
    assert found.headers == {"X-Tenant": SecretRef(name=f"{PLACE}.headers.X-Tenant")}
    assert (found.client_auth, found.scopes) == ("client_secret_basic", ("a", "b"))
    assert settings.secret_sources[f"{PLACE}.client_secret"].env_var == "S"
    file = settings.secret_sources[f"{PLACE}.headers.X-Tenant"].file
    assert file is not None
    assert file.name == "tenant.txt"
    assert file.is_absolute()


def test_the_way_a_client_proves_itself_follows_from_what_it_has() -> None:
    """A key, a secret, or neither."""
    key = {**MACHINE, "client_key_file": "k.pem"}
    del key["client_secret_env_var"]
    (one,) = [r for r in load(written(key)).declared if r.name == "a"]
    assert isinstance(one.spec, GatewaySpec)
    assert one.spec.auth is not None
    assert one.spec.auth.client_auth == "private_key_jwt"


def test_the_address_of_a_document_is_a_client_id_that_belongs_to_no_issuer() -> None:
    """It is public, and servers that take documents read it themselves."""
    auth = {"type": "authorization_code", "client_id": "https://my.example/client.json"}
    text = json.dumps(
        {
            "server": {"public_url": "https://gw.example"},
            "mcp": {"gateways": {"a": {"url": "https://up.example/mcp", "auth": auth}}},
        }
    )
    (record,) = [record for record in load(text).declared if record.name == "a"]
    assert isinstance(record.spec, GatewaySpec)
    assert record.spec.auth is not None
    assert record.spec.auth.document == auth["client_id"]


@pytest.mark.parametrize(
    "auth",
    [
        {"client_id": "http://my.example/client.json"},
        {"client_id": "https://my.example"},
        {"client_id": "https://me@my.example/client.json"},
        {"client_id": "https://my.example/client.json?a=b"},
        {"client_id": "https://my.example/client.json", "client_secret_env_var": "S"},
        {"client_id": "spindle", "dynamic_registration": True},
    ],
)
def test_any_other_client_id_belongs_to_an_issuer(auth: dict[str, object]) -> None:
    """A document with a secret is none: what only one server may see goes to no other."""
    found = faults(written({"type": "authorization_code", **auth}))
    assert any(line.startswith(f"{PLACE}.issuer: is missing beside client_id") for line in found)


@pytest.mark.parametrize(
    ("auth", "gateway", "expected"),
    [
        ({}, {}, f"{PLACE}.headers: is missing; expected some header"),
        (
            {"headers": {"Host": {"env_var": "H"}}},
            {},
            f"{PLACE}.headers.Host: 'Host' is no header a gateway may set",
        ),
        (
            {"headers": {"mcp-session-id": {"env_var": "H"}}},
            {},
            f"{PLACE}.headers.mcp-session-id: 'mcp-session-id' is no header",
        ),
        (
            {"headers": {"Last-Event-ID": {"env_var": "H"}}},
            {},
            f"{PLACE}.headers.Last-Event-ID: 'Last-Event-ID' is no header",
        ),
        (
            {"headers": {"a b": {"env_var": "H"}}},
            {},
            f"{PLACE}.headers.\"a b\": 'a b' is no header",
        ),
        (
            {"headers": {"X-A": {"env_var": "H"}, "x-a": {"env_var": "H"}}},
            {},
            f"{PLACE}.headers.x-a: is 'X-A' in another spelling",
        ),
        ({"headers": {"X-A": {}}}, {}, f"{PLACE}.headers.X-A: says no place"),
        (
            {"headers": {"X-A": {"env_var": "the secret"}}},
            {},
            f"{PLACE}.headers.X-A.env_var: is not the name of an environment variable",
        ),
        (
            {"headers": {"Authorization": {"env_var": "H"}}},
            {"credential_env_var": "C"},
            f"{PLACE}.headers.Authorization: is what the credential, or a token, is sent in",
        ),
        ({"type": "magic"}, {}, f"{PLACE}.type: 'magic' is not allowed"),
        ({**MACHINE, "secret": "x"}, {}, f"{PLACE}.secret: unknown key"),
        ({**MACHINE, "issuer": "http://as.example"}, {}, f"{PLACE}.issuer: is not encrypted"),
        ({**MACHINE, "scopes": ["a b"]}, {}, f"{PLACE}.scopes[0]: is no scope"),
        (
            {"type": "client_credentials", "client_id": "me", "client_secret_env_var": "S"},
            {},
            f"{PLACE}.issuer: is missing beside client_id",
        ),
        (
            {key: value for key, value in MACHINE.items() if key != "client_secret_env_var"},
            {},
            f"{PLACE}.client_auth: proves nothing",
        ),
        (
            {**MACHINE, "client_auth": "private_key_jwt"},
            {},
            f"{PLACE}.client_key: is missing; expected what private_key_jwt needs",
        ),
        (
            MACHINE,
            {"credential_env_var": "C"},
            f"{PLACE}.type: stands beside a credential",
        ),
        (
            {**MACHINE, "type": "token_exchange"},
            {},
            f"{PLACE}.subject_key: is missing",
        ),
        (
            {**MACHINE, "type": "authorization_code"},
            {},
            f"server.public_url: is missing, and people come back to it from {PLACE}",
        ),
        (
            {**MACHINE, "type": "authorization_code", "token_url": "https://as.example/t"},
            {},
            f"{PLACE}.authorization_url: is missing",
        ),
        (
            {"type": "authorization_code"},
            {},
            f"{PLACE}.client_id: is missing",
        ),
        (
            MACHINE,
            {"transport": "builtin", "url": None},
            f"{PLACE}: a built-in gateway has nobody to prove itself to",
        ),
    ],
)
def test_every_fault_is_named_by_its_path(
    auth: dict[str, object], gateway: dict[str, object], expected: str
) -> None:
    """And a text in the wrong place is not shown: it may be the secret."""
    found = faults(written(auth, **gateway))
    assert any(line.startswith(expected) for line in found), found
    assert "the secret" not in str(found)


@pytest.mark.parametrize(
    "url",
    ["https://gw.example/", "https://gw.example/?a=b", "gw.example", "https://a:b@gw.example"],
)
def test_a_public_url_is_where_paths_begin(url: str) -> None:
    (line,) = faults(json.dumps({"server": {"public_url": url}}))
    assert line.startswith("server.public_url: ")
