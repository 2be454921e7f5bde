"""The sealed header that carries a call to a sidecar."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_spi.context_header import SealedCall, seal, unseal
from spindle_spi.errors import Unauthenticated
from spindle_spi.ingress import Call
from tests.spi.derived import bounded, sample_of, values_of

TOKEN = b"channel token"
SEALED: SealedCall = sample_of(SealedCall)


def call_of(sealed: SealedCall) -> Call:
    return Call(
        sealed.context,
        view_key=sealed.view_key,
        deadline=sealed.deadline,
        depth=sealed.depth,
        server_slug=sealed.server_slug,
    )


def parts_of(call: Call) -> list[object]:
    return [getattr(call, name) for name in Call.__slots__]


@given(sealed=values_of(SealedCall), token=st.binary(min_size=1))
@bounded
def test_a_call_comes_out_as_it_went_in(sealed: SealedCall, token: bytes) -> None:
    """The handler behind the channel sees the same call, in printable ASCII on the way."""
    call = call_of(sealed)
    header = seal(call, token)
    assert header.isascii()
    assert header.isprintable()
    assert parts_of(unseal(header, token)) == parts_of(call)


@given(position=st.integers(min_value=0), letter=st.sampled_from("Aa0.-_é\ud800"))
@bounded
def test_a_changed_header_does_not_hold(position: int, letter: str) -> None:
    """Whichever character is another one."""
    header = seal(call_of(SEALED), TOKEN)
    position %= len(header)
    changed = header[:position] + letter + header[position + 1 :]

    if changed != header:
        with pytest.raises(Unauthenticated):
            unseal(changed, TOKEN)


@pytest.mark.parametrize("value", ["", ".", "no dot", "a.b"])
def test_nonsense_does_not_hold(value: str) -> None:
    """An empty header neither."""
    with pytest.raises(Unauthenticated):
        unseal(value, TOKEN)


def test_another_channel_has_another_token() -> None:
    """What was sealed for one sidecar says nothing to the next."""
    with pytest.raises(Unauthenticated):
        unseal(seal(call_of(SEALED), b"another token"), TOKEN)


@pytest.mark.parametrize("payload", ["!", base64.urlsafe_b64encode(b"{}").decode()])
def test_a_well_sealed_header_of_another_contract_does_not_hold(payload: str) -> None:
    """The sidecar refuses the call instead of failing."""
    mac = hmac.new(TOKEN, payload.encode(), hashlib.sha256).hexdigest()

    with pytest.raises(Unauthenticated):
        unseal(f"{payload}.{mac}", TOKEN)
