"""Discovery: providers are asked for their models in the background; a bad one hurts nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spindle_conformance.upstreams.server import Ending, Play, Seen
from spindle_spi.records import Kind
from spindle_spi.secret import SecretRef
from tests.llm.support.gateway import Gateway, gateway, until
from tests.llm.support.records import SPEC, model

pytestmark = pytest.mark.anyio

ASKING = replace(SPEC, enable_discovery=True, short_timeout=0.2)
LISTING = Play(body=b'{"data":[{"id":"m"},{"id":"new","created":5}]}')


def _names(up: Gateway) -> list[str]:
    return [record.name for record in up.host.records if record.kind is Kind.MODEL]


async def test_an_upstreams_models_are_published() -> None:
    """What is declared already stays as it was declared."""
    seen: list[Seen] = []

    def play(request: Seen) -> Play:
        seen.append(request)
        return LISTING

    async with gateway(play, model("m", temperature=1), spec=ASKING) as up:
        await until(lambda: "up~new" in _names(up))

    assert _names(up) == ["up~m", "up~new"]
    declared = up.host.records.find(Kind.MODEL, "up~m")
    assert declared is not None
    assert declared.origin == "api"
    assert (seen[0].method, seen[0].path) == ("GET", "/v1/models")


@pytest.mark.parametrize(
    ("play", "code"),
    [
        (Play(status=401, body=b"no"), "upstream_auth"),
        (Play(body=b"<html>"), "upstream_error"),
        (Play(silent=True, ending=Ending.HANG), "upstream_timeout"),
        (Play(silent=True, ending=Ending.CUT), "upstream_closed"),
        (Play(body=b"x" * (5 * 1024 * 1024)), "upstream_too_large"),
    ],
)
async def test_a_provider_that_cannot_be_asked_is_logged(play: Play, code: str) -> None:
    """The module serves on."""
    async with gateway(play, spec=ASKING) as up:
        await until(lambda: bool(up.host.journal.logged))
        assert (await up.ask(path="/v1/models", method="GET")).status == 200

    logged = up.host.journal.logged[-1]
    assert logged.event == "llm.discovery_failed"
    assert (logged.fields["provider"], logged.fields["code"]) == ("up", code)


async def test_a_provider_without_its_key_is_not_asked() -> None:
    """And is named in the log."""
    spec = replace(ASKING, api_key=SecretRef(name="k"))

    async with gateway(LISTING, spec=spec) as up:
        await until(lambda: len(up.host.journal.logged) > 1)

    assert up.upstream.seen == []


async def test_nobody_is_asked_who_should_not_be() -> None:
    """Discovery is a provider's own choice."""
    async with gateway(LISTING) as up:
        await up.chat()

    assert [seen.path for seen in up.upstream.seen] == ["/v1/chat/completions"]
