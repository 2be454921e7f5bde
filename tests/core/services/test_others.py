"""Callers by header, configuration and secrets of one module, and what modules say."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import structlog

from spindle_spi.auth import ResolveCallerRequest
from spindle_spi.errors import InvalidArgument, NotFound, Unauthenticated
from spindle_spi.observability import AuditEvent, Level
from spindle_spi.records import Kind
from spindle_spi.secret import SecretRef
from tests.core.heart import Heart, open_heart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path, "\nfeatures: {shiny: true}\n") as heart:
        yield heart


def asking(*headers: tuple[str, str], server: str | None = None) -> ResolveCallerRequest:
    return ResolveCallerRequest(
        transport="stdio", headers=headers, client_ip="127.0.0.1", requested_server_id=server
    )


async def test_a_caller_is_resolved_from_headers(heart: Heart) -> None:
    """Each time a request of its own, narrowed to the server it names by id."""
    auth = heart.core.services_for("mcp").auth
    said = ("Authorization", f"Bearer {await heart.token('red')}")
    one, other = await auth.resolve_caller(asking(said)), await auth.resolve_caller(asking(said))
    assert one.subject == other.subject
    assert one.trace.request_id != other.trace.request_id
    desk = heart.core.snapshots.current.by_name[Kind.SERVER, "desk"]
    narrowed = await auth.resolve_caller(asking(said, server=desk.id))
    assert narrowed.visibility_scope.server_id == desk.id
    lobby = heart.core.snapshots.current.by_name[Kind.SERVER, "lobby"]
    nobody = await auth.resolve_caller(asking(server=lobby.id))
    assert nobody.subject.token_id is None


async def test_a_hidden_server_says_nothing_of_itself(heart: Heart) -> None:
    """Asked for by its id, the answer has the id and not the name."""
    auth = heart.core.services_for("mcp").auth
    said = ("authorization", f"Bearer {await heart.token('blue')}")
    closet = heart.core.snapshots.current.by_name[Kind.SERVER, "closet"]

    for server_id in (closet.id, "nowhere"):
        with pytest.raises(NotFound) as caught:
            await auth.resolve_caller(asking(said, server=server_id))

        assert caught.value.message == f"The server {server_id!r} does not exist."

        with pytest.raises(Unauthenticated):
            await auth.resolve_caller(asking(server=server_id))


async def test_two_credentials_are_none(heart: Heart) -> None:
    """Who says who they are twice is refused; nonsense is no credential."""
    auth = heart.core.services_for("mcp").auth
    said = ("authorization", f"Bearer {await heart.token('red')}")

    with pytest.raises(InvalidArgument):
        await auth.resolve_caller(asking(said, ("Authorization", "Bearer other")))

    with pytest.raises(Unauthenticated):
        await auth.resolve_caller(
            asking(("authorization", "Bearer \udcff"), ("x", "1"), ("x", "2"))
        )


async def test_an_expired_credential_is_not_current(
    heart: Heart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the second it ends, for what was begun under it too."""
    ends = time.time() + 100
    caller = await heart.caller("red", expires_at=ends)
    assert heart.core.identity.is_current(caller.subject)
    monkeypatch.setattr(time, "time", lambda: ends)
    assert not heart.core.identity.is_current(caller.subject)


async def test_a_module_has_its_own_section_and_secrets(heart: Heart) -> None:
    """Flags are off unless on; a secret no record of the module refers to is absent."""
    config = heart.core.services_for("llm").config_secrets
    assert isinstance(await config.section(), dict)
    assert await config.feature_enabled("shiny")
    assert not await config.feature_enabled("dull")

    with pytest.raises(NotFound):
        await config.secret(SecretRef(name="anything"))


async def test_a_module_may_log_any_field(heart: Heart) -> None:
    """Fields that the logger has a meaning for are kept under another name."""
    with structlog.testing.capture_logs() as logs:
        observability = heart.core.services_for("llm").observability
        observability.log(Level.WARNING, "x", {"event": "a", "level": "b", "self": 1, "n": 2})
        observability.log(Level.DEBUG, "y")

    assert logs[0] == {
        "event": "x",
        "log_level": "warning",
        "event_": "a",
        "level_": "b",
        "self_": 1,
        "n": 2,
    }


async def test_what_a_module_measures_and_audits_is_kept(heart: Heart) -> None:
    """Counters and histograms in the metrics, audit with the caller in the log."""
    observability = heart.core.services_for("llm").observability
    observability.count("llm_x_total", 2.0, {"a": "b"})
    observability.observe("llm_y_seconds", 0.5)
    caller = await heart.caller("red")
    assert observability.trace(caller) is caller.trace

    with structlog.testing.capture_logs() as logs:
        await observability.audit(caller, AuditEvent(action="a", target="t", decision="allow"))

    assert logs[0]["token_id"] == caller.subject.token_id
    shown = heart.core.metrics.render()
    assert b'llm_x_total{a="b"} 2' in shown
    assert b"llm_y_seconds_count 1" in shown


async def test_keys_of_modules_are_derived_from_the_masters(heart: Heart, tmp_path: Path) -> None:
    """The same every time and in every process, another for each module and purpose."""
    services = heart.core.services_for("mcp")
    (key,) = await services.config_secrets.derived_keys("one")
    (other,) = await services.config_secrets.derived_keys("two")
    (foreign,) = await heart.core.services_for("llm").config_secrets.derived_keys("one")
    assert (key,) == await services.config_secrets.derived_keys("one")
    assert len({key, other, foreign}) == 3
    assert len(key.reveal()) == 44
    (master,) = heart.core.master_keys.read()
    assert master not in (key, other, foreign)
