"""API tokens: their text, their prefix, their hash."""

from __future__ import annotations

import hashlib
import re

from spindle.tokens import PREFIX_LENGTH, hash_token, mint


def test_a_minted_token_has_256_random_bits_and_a_recognisable_mark() -> None:
    """The text is `spn_` and 43 URL-safe characters; prefix and hash are derived from it."""
    secret, prefix, hashed = mint()
    text = secret.reveal()

    assert re.fullmatch(r"spn_[A-Za-z0-9_-]{43}", text)
    assert prefix == text[:PREFIX_LENGTH]
    assert hashed == hashlib.sha256(text.encode()).hexdigest() == hash_token(text)


def test_no_two_tokens_are_alike() -> None:
    """Texts and hashes are all different."""
    minted = [mint() for _ in range(100)]

    assert len({secret.reveal() for secret, _, _ in minted}) == 100
    assert len({hashed for _, _, hashed in minted}) == 100


def test_the_text_of_a_minted_token_is_shown_by_no_rendering() -> None:
    """What mint returns may be logged by accident without harm."""
    secret, _, _ = mint()

    assert secret.reveal() not in f"{secret} {secret!r} {(secret,)}"


def test_any_text_has_a_hash() -> None:
    """What a client sends as a credential is hashed whatever it is."""
    assert len({hash_token(text) for text in ("", "é", "\ud800", "spn_" + "x" * 100_000)}) == 4
