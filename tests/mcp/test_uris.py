from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spindle_mcp.uris import scoped, unscoped

GATEWAYS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
URIS = st.one_of(
    st.text(max_size=40),
    st.builds("{}://{}".format, st.sampled_from(["file", "ui", "spindle", "UI"]), st.text()),
)


@given(GATEWAYS, URIS)
def test_a_scoped_uri_says_whose_it_is_and_what_it_is_there(gateway: str, uri: str) -> None:
    """Whatever the upstream calls it."""
    assert unscoped(scoped(gateway, uri)) == (gateway, uri)


@given(GATEWAYS, URIS, GATEWAYS, URIS)
def test_no_two_are_called_alike(one: str, uri: str, other: str, another: str) -> None:
    """Two gateways, or two URIs of one: they stay apart."""
    assert (scoped(one, uri) == scoped(other, another)) is ((one, uri) == (other, another))


def test_user_interfaces_keep_the_scheme_their_clients_look_for() -> None:
    """Everything else is behind one of ours."""
    assert scoped("up", "ui://clock/main.html") == "ui://up/clock/main.html"
    assert scoped("up", "file:///README.md") == "spindle://up/file:///README.md"
    assert scoped("up", "note://{a}/b{?c}") == "spindle://up/note://{a}/b{?c}"


def test_what_is_not_scoped_is_nobodys() -> None:
    """A URI of an upstream's, or half of one of ours."""
    for uri in ("file:///README.md", "spindle://up", "spindle:///x", "ui://up", "spindle:up/x", ""):
        assert unscoped(uri) is None
