"""What counts as a bank account, a telephone number and a secret, and what does not."""

from __future__ import annotations

import secrets
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle.plugins.builtin.pii import Pii
from spindle_spi.plugin import apply_findings
from tests.core.plugins.samples import bounded, text_segment


def mask(text: str, kind: str) -> str:
    return apply_findings(Pii({"kinds": [kind]}), text_segment(text)).text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DE89370400440532013000", "[IBAN]"),
        ("to DE89 3704 0044 0532 0130 00.", "to [IBAN]."),
        ("gb82 west 1234 5698 7654 32", "[IBAN]"),
        ("NO93-8601-1117-947", "[IBAN]"),
        ("MT84MALT011000012345MTLCAST001S,", "[IBAN],"),
        (r"\nFR1420041010050500013M02606", r"\n[IBAN]"),
        ("(CH9300762011623852957)", "([IBAN])"),
    ],
)
def test_an_account_number_is_masked(text: str, expected: str) -> None:
    assert mask(text, "iban") == expected


@pytest.mark.parametrize(
    "text",
    [
        "DE88370400440532013000",
        "DE8937040044053201300",
        "DE893704004405320130001",
        "XX89370400440532013000",
        "xDE89370400440532013000",
        "DE89  3704 0044 0532 0130 00",
        "DE8 93704 0044 0532 0130 00",
        "DE89370400440532013000_",
        "ab12",
        "",
    ],
)
def test_what_is_no_account_number_stays(text: str) -> None:
    assert mask(text, "iban") == text


@bounded
@given(country=st.sampled_from(["DE", "AT", "PL"]), digits=st.integers(0, 10**24 - 1))
def test_any_account_whose_check_digits_hold_is_masked(country: str, digits: int) -> None:
    length = {"DE": 22, "AT": 20, "PL": 28}[country]
    body = f"{digits:024d}"[-(length - 4) :]
    numeric = "".join(str(int(letter, 36)) for letter in f"{body}{country}00")
    check = 98 - int(numeric) % 97
    iban = f"{country}{check:02d}{body}"
    assert mask(f"x {iban} y", "iban") == "x [IBAN] y"
    wrong = f"{country}{check % 97 + 1:02d}{body}"
    assert mask(wrong, "iban") == wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+49 30 901820", "[PHONE]"),
        ("call +1 (212) 555-0123!", "call [PHONE]!"),
        ("+442071838750", "[PHONE]"),
        ("tel:+33-1-42-68-53-00.", "tel:[PHONE]."),
        ("(212) 555-0123", "[PHONE]"),
        ("212-555-0123", "[PHONE]"),
        ("1 800 555.0199", "[PHONE]"),
        (r"\n+4930901820", r"\n[PHONE]"),
    ],
)
def test_a_telephone_number_is_masked(text: str, expected: str) -> None:
    assert mask(text, "phone") == expected


@pytest.mark.parametrize(
    "text",
    [
        "+1234567",
        "+1234567890123456",
        "2026-11-20 16:14:36",
        "192.168.100.200",
        "1,234,567.89",
        "12125550123",
        "112-555-0123",
        "212-555-01234",
        "a+b+4930901820",
        "5.212 555 0123",
        "0212-555-0123",
        "id_212-555-0123",
        "3.14159265358979",
        "1732118400",
    ],
)
def test_what_is_no_telephone_number_stays(text: str) -> None:
    assert mask(text, "phone") == text


TOKENS = [
    "sk-proj-abcdEFGH1234567890abcdEFGH",
    "sk-ant-api03-abcdefghijklmnop",
    "spn_abcdefghijklmnopqrstuvwxyz",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0abcdefghijkl_mnop",
    "glpat-abcdefghij_ABCDEFGHIJ",
    "xoxb-123456789012-abcdef",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "hf_abcdefghijABCDEFGHIJabcdefghijABCD",
    "npm_abcdefghijABCDEFGHIJabcdefghijABCDEF",
    "sk_live_abcdefghij123456",
    "SG.abcdefghijklmnop.abcdefghijklmnopq",
    "ya29.abcdefghijklmnopqrstuv",
    "q8Zt3LmX0vRb7KdY2wNc5HsJ9pGf",
    "-----BEGIN RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("key=", ";"), ('{"k":"', '"}'), ("\\n", "\\n"), ("é ", ".")]
)
def test_a_secret_is_masked_wherever_it_stands(token: str, before: str, after: str) -> None:
    masked = mask(f"{before}{token}{after}", "secret")
    assert token not in masked
    assert "[SECRET]" in masked
    assert masked.endswith(after)


def test_each_part_of_a_web_token_is_masked() -> None:
    head = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"
    body = "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0"
    signature = "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
    masked = mask(f"Bearer {head}.{body}.{signature}", "secret")
    assert not any(part in masked for part in (head, body, signature))


@given(st.text(string.ascii_letters + string.digits, min_size=40, max_size=200))
@bounded
def test_no_more_of_a_chance_word_than_its_edge_is_left(noise: str) -> None:
    """A word of chance is masked as a whole, whatever stands around it."""
    token = secrets.token_urlsafe(32)
    masked = mask(f"{noise} {token} {noise}", "secret")
    has_cases = any(map(str.isupper, token)) and any(map(str.islower, token))

    if has_cases and sum(map(str.isdigit, token)) >= 3 and len(set(token)) > 24:
        assert token not in masked


@pytest.mark.parametrize(
    "text",
    [
        "antidisestablishmentarianismantidisestablishmentarianism",
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "/usr/local/lib/python3.11/site-packages/spindle/__init__.py",
        "getUserByIdForOrganisationAndTeamOrNone",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA1111bbbb",
        "https://example.org/some/very/long/path/with/many/words",
        "sk-short",
        "risk-assessment-of-everything",
        "==========================================",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text, "secret") == text
