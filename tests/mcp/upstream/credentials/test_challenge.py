"""What a refusal says about the way in, however it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle_mcp.upstream.credentials.challenge import Refusal, refusal_in, scopes_in

if TYPE_CHECKING:
    from spindle_spi.types import Json

PLACE = "https://up.example/where"


@pytest.mark.parametrize(
    ("challenges", "refusal"),
    [
        ([], Refusal(status=401)),
        (["Basic realm=x"], Refusal(status=401)),
        (["Bearer"], Refusal(status=401)),
        ([f'Bearer resource_metadata="{PLACE}"'], Refusal(status=401, metadata=PLACE)),
        ([f"bearer RESOURCE_METADATA={PLACE}"], Refusal(status=401, metadata=PLACE)),
        (['Bearer realm="a, scope=b", scope="c d"'], Refusal(status=401, scopes=("c", "d"))),
        (['Bearer realm="say \\"no\\"" , scope=c'], Refusal(status=401, scopes=("c",))),
        (['Bearer scope="", error="x"'], Refusal(status=401, error="x")),
        (['Basic realm="a", Bearer scope="c", Digest scope=d'], Refusal(status=401, scopes=("c",))),
        (['Digest scope="d"', 'Bearer scope="c"'], Refusal(status=401, scopes=("c",))),
        (['Bearer scope="c", scope="d"'], Refusal(status=401, scopes=("c",))),
        ([f'Bearer resource_metadata="{"x" * 3000}"'], Refusal(status=401)),
    ],
)
def test_a_bearer_challenge_is_read_and_no_other(challenges: list[str], refusal: Refusal) -> None:
    """Quoted or not, among others or alone, the first of several."""
    assert refusal_in(401, challenges) == refusal


@pytest.mark.parametrize(
    ("status", "error", "is_about_scope", "may_be_mended"),
    [
        (401, "invalid_token", False, True),
        (401, "insufficient_scope", False, True),
        (403, "insufficient_scope", True, True),
        (403, "invalid_token", False, False),
        (403, "", False, False),
        (500, "insufficient_scope", False, False),
    ],
)
def test_a_lack_of_scope_is_a_403_that_says_so(
    status: int, error: str, is_about_scope: bool, may_be_mended: bool
) -> None:
    """Any other 403 is final."""
    refusal = Refusal(status=status, error=error)
    assert (refusal.is_about_scope, refusal.may_be_mended) == (is_about_scope, may_be_mended)


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ("a b a", ("a", "b")),
        (["a", "b c", 7, "d"], ("a", "d")),
        ('a "b" \\ ä', ("a",)),
        ("x" * 201, ()),
        (None, ()),
        (7, ()),
    ],
)
def test_scopes_are_words_of_the_standard(said: Json, scopes: tuple[str, ...]) -> None:
    """What is none is left out."""
    assert scopes_in(said) == scopes


def test_there_is_a_bound_on_scopes() -> None:
    """An upstream cannot make an address without end of them."""
    assert len(scopes_in(" ".join(str(number) for number in range(1000)))) == 100
