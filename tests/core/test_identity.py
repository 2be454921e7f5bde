"""Identity: which credential is whom, and through which server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from spindle_spi.errors import NotFound, Unauthenticated
from spindle_spi.records import Kind, Target
from tests.core.heart import Heart, open_heart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path) as heart:
        yield heart


@pytest.mark.parametrize("credential", [None, "", "spn_nobody", "x" * 10_000, "\udcff"])
async def test_no_good_credential_is_no_caller(heart: Heart, credential: str | None) -> None:
    """Nothing, nonsense and strangers get the same refusal."""
    with pytest.raises(Unauthenticated):
        heart.resolve(credential)


async def test_an_expired_or_misplaced_token_does_not_hold(heart: Heart) -> None:
    """Expiry and address ranges are kept."""
    with pytest.raises(Unauthenticated):
        heart.resolve(await heart.token("red", expires_at=time.time() - 1))

    with pytest.raises(Unauthenticated):
        heart.resolve(await heart.token("red", ip_restrictions=("10.0.0.0/8",)))

    caller = heart.resolve(await heart.token("red", ip_restrictions=("127.0.0.0/8",)))
    assert caller.subject.token_teams == ("red",)


async def test_a_server_narrows_its_caller(heart: Heart) -> None:
    """Through the desk only the desk's records are there."""
    text = await heart.token("red")
    snapshot = heart.core.snapshots.current
    wide, narrow = heart.resolve(text), heart.resolve(text, "desk")
    red = Target(kind=Kind.MODEL, name="up~red")
    assert snapshot.see(wide, red) is not None
    assert snapshot.see(narrow, red) is None
    assert snapshot.see(narrow, Target(kind=Kind.MODEL, name="up~open")) is not None


@pytest.mark.parametrize("slug", ["nowhere", "closet"])
async def test_a_hidden_server_is_an_absent_one(heart: Heart, slug: str) -> None:
    """To blue the closet is not there, to nobody without a token is either."""
    text = await heart.token("blue")

    with pytest.raises(NotFound) as caught:
        heart.resolve(text, slug)

    assert caught.value.message == f"The server {slug!r} does not exist."

    with pytest.raises(Unauthenticated) as refused:
        heart.resolve(None, slug)

    with pytest.raises(Unauthenticated) as plain:
        heart.resolve(None, "desk")

    assert refused.value.envelope() == plain.value.envelope()


async def test_a_token_bound_to_a_server_stays_there(heart: Heart) -> None:
    """It opens its own server and no other."""
    desk = heart.core.snapshots.current.by_name[Kind.SERVER, "desk"]
    text = await heart.token("red", server_id=desk.id)
    assert heart.resolve(text, "desk").visibility_scope.server_id == desk.id
    assert heart.resolve(text).visibility_scope.server_id == desk.id

    with pytest.raises(NotFound):
        heart.resolve(text, "lobby")


async def test_an_anonymous_server_takes_callers_without_a_token(heart: Heart) -> None:
    """They get a public view, `servers.use` and the record's permissions, nothing else."""
    caller = heart.resolve(None, "lobby")
    assert caller.subject.token_id is None
    assert set(caller.visibility_scope.permissions) == {
        "servers.use",
        "tools.read",
        "tools.execute",
    }
    assert heart.core.identity.is_current(caller.subject)

    with pytest.raises(Unauthenticated):
        heart.resolve("spn_bad", "lobby")
