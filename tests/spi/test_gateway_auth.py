"""What a gateway shows its upstream: which secrets and addresses that names."""

from __future__ import annotations

from spindle_spi.gateway_auth import AUTHORIZATION_CODE, GatewayAuth
from spindle_spi.secret import SecretRef


def test_every_secret_it_refers_to_is_told() -> None:
    """Headers first, then those that it has of a client."""
    header, secret, key = (SecretRef(name=name) for name in ("header", "secret", "key"))
    auth = GatewayAuth(
        type=AUTHORIZATION_CODE,
        headers={"x-key": header},
        client_secret=secret,
        subject_key=key,
    )
    assert list(auth.secrets()) == [header, secret, key]
    assert auth.is_personal
    assert list(GatewayAuth(type="headers").secrets()) == []


def test_every_address_it_names_is_told() -> None:
    """Those somebody wrote, and no others."""
    auth = GatewayAuth(
        type=AUTHORIZATION_CODE, issuer="https://as.example", token_url="https://as.example/token"
    )
    assert set(auth.urls()) == {"https://as.example", "https://as.example/token"}
    assert list(GatewayAuth(type="headers").urls()) == []


def test_an_https_address_is_a_document_unless_it_belongs_to_a_server() -> None:
    """What an issuer has given as an id is that, whatever it looks like."""
    address = "https://my.example/client.json"
    assert GatewayAuth(client_id=address).document == address
    assert GatewayAuth(client_id="http://my.example/client.json").document is None
    assert GatewayAuth(client_id="spindle").document is None
    assert GatewayAuth().document is None
    assert GatewayAuth(client_id=address, issuer="https://as.example").document is None
    assert GatewayAuth(client_id=address, token_url="https://as.example/t").document is None
