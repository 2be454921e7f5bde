"""The plugin `pii`: what counts as an e-mail address or a card, decided within its window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spindle.plugins import run_phase
from spindle.plugins.builtin.pii import Pii
from spindle_spi.errors import PluginDenied
from spindle_spi.plugin import apply_findings
from tests.core.plugins.samples import (
    LANE,
    Word,
    bounded,
    briefly,
    call,
    cut,
    every_cut,
    make_registry,
    names_of,
    open_guard,
    places,
    stream,
    text_segment,
)

if TYPE_CHECKING:
    from spindle_spi.plugin import Finding
    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

CARD = "4111111111111111"

FRAGMENTS = [
    "@",
    ".",
    "-",
    "_",
    "+",
    " ",
    "  ",
    "\n",
    "\\",
    "\\n",
    "\\u00e9",
    "\\u",
    "x",
    "xY",
    "é",
    "e\u0301",
    "ann",
    "ann@",
    "@ex.org",
    "ann@ex.org",
    "example",
    ".com",
    ".c",
    "xn--p1ai",
    "a" * 63,
    "b." * 40,
    "cc." * 80,
    "0",
    "1",
    "4",
    "4111",
    "1111",
    " 1111",
    "-1111",
    "4111 1111",
    CARD,
    "378282246310005",
    "0.",
    "\u0664",
    "\uff14",
    "\u00a0",
    "\u2011",
    "\u8054",
    "\ud800",
    "\U0001f600",
    "[EMAIL]",
    "/",
    "=",
    "DE89",
    "DE89370400440532013000",
    "GB82 WEST 1234 5698 7654 32",
    "NO9386011117947",
    "+",
    "+49",
    "+49 30 901820",
    "+1 (212) 555-0123",
    "(212) ",
    "212-555-0123",
    "sk-",
    "spn_",
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "q8Zt3LmX0vRb7KdY2wNc5HsJ9pGf",
    "Aa1",
    "aB3" * 30,
    "eyJhbGciOiJIUzI1NiJ9",
    "-----BEGIN PRIVATE KEY-----",
]
KINDS = ["email", "card", "iban", "phone", "secret"]
near_pii = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)
configs = st.fixed_dictionaries(
    {},
    optional={
        "kinds": st.sets(st.sampled_from(KINDS), min_size=1).map(sorted),
        "action": st.sampled_from(["mask", "deny"]),
    },
)


def mask(text: str, **config: Json) -> str:
    return apply_findings(Pii(config), text_segment(text)).text


def found_at(pii: Pii, text: str, position: int) -> Finding | None:
    findings = pii.scan(text, position)
    return findings[0] if findings and findings[0].start == position else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann@example.org", "[EMAIL]"),
        ("<Ann.Lee+news@mail.example.co.uk>,", "<[EMAIL]>,"),
        ("mail 'o'brien@example.org'.", "mail '[EMAIL]'."),
        ("mailto:ann@example.org?x", "mailto:[EMAIL]?x"),
        ("to=ann@example.org&cc=bob@example.org.", "to=[EMAIL]&cc=[EMAIL]."),
        ("...ann@example.org...", "...[EMAIL]..."),
        ("jörg@müller.de \u8054\u7cfbann@ex.cn", "[EMAIL] [EMAIL]"),
        ("jo\u0308rg@mu\u0308ller.de", "[EMAIL]"),
        ("ann@\u043f\u043e\u0447\u0442\u0430.\u0440\u0444 ann@mail.xn--p1ai", "[EMAIL] [EMAIL]"),
        ("ann@10.example.org.5", "[EMAIL].5"),
        (
            r'{"a": "x\nann@ex.org", "b": "\u003cbob@ex.org\u003e"}',
            r'{"a": "x\n[EMAIL]", "b": "\u003c[EMAIL]\u003e"}',
        ),
        (r"jos\u00e9@ex.org", r"jos\[EMAIL]"),
        (r"CORP\ann@ex.org", r"CORP\[EMAIL]"),
        ("ann@ex.com." + "b." * 150 + "org", "[EMAIL]." + "b." * 150 + "org"),
        ("ann@" + "bb." * 83 + "org.uk", "[EMAIL].uk"),
        ("x" * 100 + "@ex.org", "x" * 36 + "[EMAIL]"),
        ("ann@ex.org@ex.org", "[EMAIL]@ex.org"),
        ("\ud800ann@ex.org\udfff", "\ud800[EMAIL]\udfff"),
    ],
)
def test_an_email_address_is_masked(text: str, expected: str) -> None:
    """As it stands in prose, markup, other scripts, and JSON inside text."""
    assert mask(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "ann@",
        "@ex.org",
        "ann@localhost",
        "ann @ex.org",
        "ann@ ex.org",
        "ann@ex.o",
        "...@ex.org",
        "ann@.org",
        "ann@ex..org",
        "ann@1.2",
        "ann@" + "x" * 64 + ".org",
        "ann@" + "b." * 150 + "org",
        "\ud800@ex.org",
        "@" * 50,
    ],
)
def test_what_is_no_email_address_stays(text: str) -> None:
    """A user without a host, a host without a dot, a label too long."""
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CARD, "[CARD]"),
        ("card 4111 1111 1111 1111, ok", "card [CARD], ok"),
        ("4111-1111-1111-1111.", "[CARD]."),
        ("3782 822463 10005", "[CARD]"),
        ("4222222222222", "[CARD]"),
        ("6304000000000000000 ", "[CARD] "),
        ("\uff14\uff11\uff11\uff11 1111 1111 1111", "[CARD]"),
        ("\u0664" + "\u0661" * 15, "[CARD]"),
        ("4111\u00a01111\u20111111\u202f1111", "[CARD]"),
        ("\u5361\u53f74111111111111111\u5417", "\u5361\u53f7[CARD]\u5417"),
        ("exp 12/29 4111 1111 1111 1111 123", "exp 12/29 [CARD] 123"),
        ("99 4111 1111 1111 1111", "99 [CARD]"),
        ("4904367782777 793", "[CARD]"),
        ("4904367782777 794", "[CARD] 794"),
        (r"\n4111111111111111 \u00a04111111111111111", r"\n[CARD] \u00a0[CARD]"),
        ("4111111111111111@ex.org", "[EMAIL]"),
        ("4111 1111 1111 1111@ex.org", "[CARD]@ex.org"),
        ("100000000000009", "[CARD]"),
    ],
)
def test_a_card_number_is_masked(text: str, expected: str) -> None:
    """In groups, in other digits, among other numbers, and in JSON inside text."""
    assert mask(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "411111111111",
        "4111  1111 1111 1111",
        "41111111111111111111",
        f"a{CARD}",
        f"{CARD}b",
        f"_{CARD}",
        f"0.{CARD}",
        "0000000000000000",
        "1000000000000008",
        "1700000000000",
        "4111 1111 1111 111x",
    ],
)
def test_what_is_no_card_number_stays(text: str) -> None:
    """Wrong check digit, wrong length, part of a word or of a fraction, timestamps."""
    assert mask(text) == text


def luhn_holds(digits: str) -> bool:
    """The textbook form: from the right, every second digit doubled."""
    total = 0

    for index, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if index % 2 else 1)
        total += doubled - 9 if doubled > 9 else doubled

    return total % 10 == 0


@bounded
@given(
    first=st.sampled_from("23456789"),
    rest=st.text("0123456789", min_size=12, max_size=18),
    separators=st.lists(st.sampled_from(["", " ", "-"]), min_size=19, max_size=19),
)
def test_any_number_whose_check_digit_holds_is_masked(
    first: str, rest: str, separators: list[str]
) -> None:
    """Against the textbook form of the check, for every length and grouping."""
    digits = first + rest
    text = "".join(d + s for d, s in zip(digits, separators, strict=False)).rstrip(" -")
    masked = mask(text, kinds=["card"])

    if luhn_holds(digits):
        assert masked == "[CARD]"
    else:
        assert masked != "[CARD]"


@bounded
@given(text=near_pii, config=configs)
@example(text=rf"\u00a0{CARD}", config={})
@example(text=" ".join("6304000000000000000") + "x", config={"kinds": ["card"]})
@example(text="a" * 64 + "@" + "bb." * 83 + "orgs", config={})
def test_every_position_is_decided_by_its_window(text: str, config: JsonObject) -> None:
    """What starts at a position depends only on the characters the plugin declares."""
    pii = Pii(config)

    for position in range(len(text)):
        begin = max(0, position - pii.lookbehind)
        window = text[begin : position + (pii.span or 0)]
        expected = found_at(pii, text, position)
        found = found_at(pii, window, position - begin)
        assert (expected is None) == (found is None)

        if expected is not None and found is not None:
            assert expected.end - position == found.end - found.start
            assert expected.end - position <= (pii.span or 0)


@bounded
@given(text=near_pii, config=configs)
def test_a_scan_gives_the_leftmost_positions_one_after_the_other(
    text: str, config: JsonObject
) -> None:
    """Scanning on from anywhere finds what scanning from the start finds there."""
    pii = Pii(config)
    expected: list[Finding] = []
    position = 0

    while position < len(text):
        found = found_at(pii, text, position)
        position += 1

        if found is not None:
            expected.append(found)
            position = found.end

    assert list(pii.scan(text, 0)) == expected


async def assert_same_in_every_form(config: JsonObject, text: str, chunks: list[str]) -> None:
    """Compare the SPI's simple form, the whole phase and the guard."""
    pii = Pii(config)
    registry = make_registry(pii)
    segment = text_segment(text)
    streamed = await stream(open_guard(registry), chunks)

    refused = [found for found in pii.scan(text, 0) if found.replacement is None]

    if refused:
        assert streamed.denied == f"plugin.pii.{refused[0].rule}"
        assert text[: refused[0].start].startswith(streamed.released)

        with pytest.raises(PluginDenied):
            apply_findings(pii, segment)

        with pytest.raises(PluginDenied):
            await run_phase(registry, names_of(registry), call(), [segment])

        return

    simple = apply_findings(pii, segment)
    assert streamed.denied is None
    assert streamed.released == simple.text
    assert await run_phase(registry, names_of(registry), call(), [segment]) == (simple,)


@pytest.mark.unmeasured
@bounded
@given(text=near_pii, config=configs, at=places)
async def test_any_cut_gives_what_the_whole_text_gives(
    text: str, config: JsonObject, at: list[int]
) -> None:
    """Texts full of parts of addresses and numbers, cut anywhere and everywhere."""
    await assert_same_in_every_form(config, text, cut(text, at))
    await assert_same_in_every_form(config, text, list(text))


@pytest.mark.unmeasured
@briefly
@given(
    texts=st.lists(near_pii, min_size=4, max_size=8),
    filler=st.sampled_from(["-", "a", "1 ", "x@"]),
    at=places,
)
async def test_a_long_text_cut_anywhere_gives_what_the_whole_gives(
    texts: list[str], filler: str, at: list[int]
) -> None:
    """Far longer than the window, so that most of it is decided on the way."""
    text = (filler * 300).join(texts)
    await assert_same_in_every_form({}, text, cut(text, at))
    await assert_same_in_every_form({"action": "deny"}, text, list(text))


@pytest.mark.parametrize("text", ["x a@b.co y", "4111-111", f"{CARD}"[:9], "a@b.c@d.e"])
async def test_every_cut_of_a_short_text_gives_what_the_whole_gives(text: str) -> None:
    """Exhaustively, masked and denied."""
    for chunks in every_cut(text):
        await assert_same_in_every_form({}, text, chunks)
        await assert_same_in_every_form({"action": "deny"}, text, chunks)


async def test_a_number_cut_at_each_place_is_never_released() -> None:
    """Two chunks, every place between them; what follows would not be enough to decide."""
    for text in (f"pay {CARD} now", "to ann@example.org now"):
        for place in range(len(text) + 1):
            streamed = await stream(open_guard(make_registry(Pii({}))), cut(text, [place]))
            assert streamed.released == mask(text)


async def test_another_plugin_after_it_sees_the_masks() -> None:
    """In a chain the second judges what the first wrote, in both forms."""
    registry = make_registry(Pii({}), Word("[EMAIL]", "someone"))
    text = f"ann@ex.org and {CARD} " * 40
    guard = open_guard(registry)
    streamed = await stream(guard, list(text), LANE)
    judged = await run_phase(registry, names_of(registry), call(), [text_segment(text)])
    assert streamed.released == judged[0].text == "someone and [CARD] " * 40


def test_masks_and_kinds_are_configurable() -> None:
    """Own words for each kind; a kind that is not named stays."""
    text = f"ann@ex.org {CARD}"
    assert mask(text, mask={"email": "", "card": "####"}) == " ####"
    assert mask(text, kinds=["card"]) == "ann@ex.org [CARD]"
    assert mask(text, kinds=["email"], mask={"card": "x"}) == f"[EMAIL] {CARD}"


def test_denying_names_the_rule_and_not_the_text() -> None:
    """The code is stable, the message safe to show."""
    with pytest.raises(PluginDenied) as caught:
        mask(f"x {CARD}", action="deny")

    assert caught.value.code == "plugin.pii.card"
    assert CARD not in caught.value.message


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "unit",
    [
        "1 ",
        "4111 ",
        "4",
        "@",
        "a@",
        "a",
        "a.",
        "a@b.",
        "a@a-",
        "\\",
        "\\u00e9",
        "\\u00e9@a.",
        "-",
        "0.",
        "é",
        "DE",
        "DE89 ",
        "+",
        "+1",
        "+49 (",
        "(212) ",
        "212-",
        "A",
        "Aa1",
        "q8Zt3LmX0vRb7KdY2wNc5HsJ9pGf",
        "sk-",
        "eyJ",
        "-----BEGIN ",
    ],
)
def test_no_text_costs_more_than_linear_time(unit: str) -> None:
    """Quadratic work over these lengths would not end within the suite's time limit."""
    text = unit * (300_000 // len(unit))
    Pii({}).scan(text + "@", 0)
