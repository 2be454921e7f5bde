"""The redaction filter: values it was told, and forms it knows by itself."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.redaction import MASK, Redactor
from spindle.tokens import mint
from spindle_spi.secret import Secret

CANARY = 'canary "value\\/ with ü & spaces'


@given(before=st.text(), after=st.text())
def test_a_registered_value_is_masked_wherever_it_stands(before: str, after: str) -> None:
    """Whatever surrounds it, the value is gone."""
    redactor = Redactor()
    redactor.register(Secret("s3cret-value"))

    assert "s3cret-value" not in redactor.text(f"{before}s3cret-value{after}")


@pytest.mark.parametrize("form", [CANARY, json.dumps(CANARY), quote(CANARY, safe="")])
def test_a_registered_value_is_masked_in_the_forms_it_travels_in(form: str) -> None:
    """Plain, inside JSON text and inside a URL."""
    redactor = Redactor()
    redactor.register(Secret(CANARY))

    assert "canary" not in redactor.text(f"failed for {form} at once")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abc.DEF-123=", "Authorization: Bearer ***"),
        ("authorization: bearer  abcdefgh", "authorization: bearer  ***"),
        ("key sk-proj-0123456789 refused", "key *** refused"),
        ("postgresql://me:pass@db/x", "postgresql://***@db/x"),
        ("redis://:pass@db/0", "redis://***@db/0"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ("key AIzaSyA-0123456789 or ghp_0123456789ab", "key *** or ***"),
        ("jwt eyJhbGciOiJI.eyJzdWIiOiJh.c2lnbmF0dXJl.", "jwt ***."),
        ("a\n-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA", "a\n*** RSA"),
        ("bearer of bad news", "bearer of bad news"),
        ("a basic explanation", "a basic explanation"),
        ("task-12345678 is no key", "task-12345678 is no key"),
        ("an ordinary line", "an ordinary line"),
    ],
)
def test_forms_of_secrets_are_masked_and_ordinary_words_are_not(text: str, masked: str) -> None:
    """A credential nobody registered is masked by its form alone."""
    assert Redactor().text(text) == masked


def test_a_token_of_ours_is_masked_without_being_registered() -> None:
    """An API token is known by its mark."""
    text = mint()[0].reveal()

    assert Redactor().text(f"token {text}.") == f"token {MASK}."


def test_every_place_of_a_structure_is_masked() -> None:
    """Keys, values, nested ones, bytes, exceptions and objects; what is no secret stays."""

    @dataclass
    class Holder:
        value: str

    redactor = Redactor()
    redactor.register(Secret("s3cret-value"))
    masked = redactor.data(
        {
            "s3cret-value": 1,
            "list": ["s3cret-value", ("s3cret-value", 2.5, None, True)],
            "bytes": b"\xff s3cret-value",
            "error": ValueError("s3cret-value"),
            "object": Holder("s3cret-value"),
            "Authorization": ["anything"],
            "api_key": "",
            "plain": "text",
        }
    )

    assert "s3cret" not in json.dumps(masked)
    assert isinstance(masked, dict)
    assert masked["Authorization"] == MASK
    assert masked["api_key"] == ""
    assert masked["plain"] == "text"
    assert masked["list"] == [MASK, [MASK, 2.5, None, True]]


def test_a_structure_without_end_is_cut() -> None:
    """A value that holds itself cannot hang a log line."""
    endless: list[object] = []
    endless.append(endless)

    assert "…" in json.dumps(Redactor().data(endless), ensure_ascii=False)


def test_a_value_inside_another_does_not_leave_its_rest() -> None:
    """Of two known values where one contains the other, the longer is masked whole."""
    redactor = Redactor()
    redactor.register(Secret("short"))
    redactor.register(Secret("short-and-long"))

    assert redactor.text("x short-and-long y") == f"x {MASK} y"


def test_very_short_values_are_not_registered() -> None:
    """Masking `a` would make every line unreadable."""
    redactor = Redactor()
    redactor.register(Secret("a"))
    redactor.register(Secret("passing"), passing=True)

    assert redactor.text("a passing word") == "a passing word"


def test_what_callers_register_is_bounded_and_leaves_the_rest_alone() -> None:
    """Thousands of passing values push out one another, never a lasting one."""
    redactor = Redactor()
    redactor.register(Secret("lasting-secret"))

    for number in range(1000):
        redactor.register(Secret(f"passing-secret-{number}"), passing=True)

    assert redactor.text("lasting-secret passing-secret-999") == f"{MASK} {MASK}"
    assert redactor.text("passing-secret-0.") == "passing-secret-0."


@pytest.mark.parametrize("mark", ["spn_", "sps_", "spi_"])
def test_sessions_and_invitations_are_masked_like_tokens(mark: str) -> None:
    """They open what a token opens."""
    text = mark + "Ab-_" * 10
    assert Redactor().text(f"GET /invitations/{text}") == "GET /invitations/***"


@pytest.mark.parametrize(
    "part", ["eyJ-", "eyJaaaaaaaa.-", "bearer ", "-----BEGIN ", "://a:", "sk-"]
)
def test_no_text_takes_long_to_look_through(part: str) -> None:
    """The time grows with the length, whatever is in it: somebody else wrote it."""
    began = time.process_time()
    Redactor().text(part * (200_000 // len(part)))
    assert time.process_time() - began < 1.0
