"""Discovery: providers are asked for their models in the background; a bad one hurts nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from spindle_conformance.fakes import FakeHost
from spindle_conformance.upstreams.server import Ending, Play, Seen
from spindle_spi.records import CatalogRecord, Kind, ModelSpec, ProviderSpec
from spindle_spi.secret import SecretRef
from tests.llm.support.gateway import Gateway, gateway, running, until
from tests.llm.support.records import SPEC, model, provider

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

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
        (Play(body=b"<html>"), "upstream_garbage"),
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


def _changed(up: Gateway, spec: ProviderSpec, **more: object) -> CatalogRecord:
    record = up.host.records.find(Kind.PROVIDER, "up")
    assert record is not None
    epoch = record.epoch + 1
    return replace(record, spec=spec, epoch=epoch, **more)  # type: ignore[arg-type]


async def test_a_provider_that_changes_is_asked_again() -> None:
    """For what it is now: one that is not to be asked any more takes its models along."""
    async with gateway(LISTING, spec=SPEC) as up:
        asking = replace(ASKING, urls=(up.url,))
        up.host.records.add(_changed(up, asking))
        await until(lambda: "up~new" in _names(up))
        assert len(up.upstream.seen) == 1

        # Whose it is changes nothing of what it would answer.
        up.host.records.add(_changed(up, asking, team="red"))
        up.host.records.add(_changed(up, replace(asking, enable_discovery=False)))
        await until(lambda: "up~new" not in _names(up))
        assert len(up.upstream.seen) == 1


async def test_a_provider_that_comes_while_the_gateway_runs_is_asked() -> None:
    """One that goes, is switched off, or changes while it is asked, is asked no more."""
    async with gateway(LISTING, spec=SPEC) as up:
        late = provider(url=up.url, spec=replace(ASKING, urls=(up.url,)))
        late = replace(late, id="late", name="late")
        up.host.records.add(late)
        await until(lambda: "late~new" in _names(up))

        up.host.records.add(replace(late, enabled=False, epoch=late.epoch + 1))

        with anyio.fail_after(5):
            while "late" in str(await up.module.stats()):
                await anyio.lowlevel.checkpoint()

        up.host.records.add(replace(late, epoch=late.epoch + 2))
        await until(lambda: len(up.upstream.seen) == 2)
        up.host.records.remove(late)
        await until(lambda: "late~new" not in _names(up))


async def test_a_change_ends_the_asking_before_it() -> None:
    """A provider that hangs is not waited for once its record says something else."""
    async with gateway(Play(silent=True, ending=Ending.HANG), spec=SPEC) as up:
        slow = replace(ASKING, urls=(up.url,), short_timeout=60.0)
        up.host.records.add(_changed(up, slow))
        await until(lambda: len(up.upstream.seen) == 1)
        up.host.records.add(_changed(up, replace(slow, max_retries=1)))
        await until(lambda: len(up.upstream.seen) == 2)
        up.host.records.add(_changed(up, SPEC, enabled=False))
        await until(lambda: up.host.records.find(Kind.PROVIDER, "up") is not None)


@pytest.mark.requirement("001-discovery")
@pytest.mark.requirement("001-logging-behaviour")
async def test_a_list_is_asked_again_and_what_is_new_is_published() -> None:
    """What is gone is gone, and that the number changed is logged."""
    listings = [LISTING]
    often: JsonObject = {"discovery_interval_seconds": 0.01}
    spec = replace(ASKING, provider_type="jan")

    async with gateway(lambda _: listings[-1], spec=spec, section=often) as up:
        await until(lambda: "up~new" in _names(up))
        listings.append(Play(body=b'{"data":[{"id":"newer"}]}'))
        await until(lambda: "up~newer" in _names(up))
        assert "up~new" not in _names(up)

    counted = [
        line.fields for line in up.host.journal.logged if line.event == "llm.provider.models"
    ]
    about = {"provider": "up", "provider_type": "jan"}
    assert counted == [{**about, "models": 2}, {**about, "models": 1}]


@pytest.mark.requirement("001-discovery")
@pytest.mark.requirement("001-logging-behaviour")
async def test_a_provider_that_goes_keeps_its_models_and_is_noticed_when_it_is_back() -> None:
    """Their state says that nobody is there; each change is logged once."""
    gone = Play(silent=True, ending=Ending.CUT)
    plays = [LISTING]
    often: JsonObject = {"discovery_interval_seconds": 0.01}
    spec = replace(ASKING, provider_type="jan")

    def state(up: Gateway) -> str:
        record = up.host.records.find(Kind.MODEL, "up~new")
        assert record is not None
        assert isinstance(record.spec, ModelSpec)
        return record.spec.state

    async with gateway(lambda _: plays[-1], spec=spec, section=often) as up:
        await until(lambda: "up~new" in _names(up))
        assert state(up) == "loaded"
        plays.append(gone)
        await until(lambda: state(up) == "unavailable")
        asked = len(up.upstream.seen)
        await until(lambda: len(up.upstream.seen) > asked + 3)
        plays.append(Play(status=500))
        await until(lambda: state(up) == "unknown")
        plays.append(LISTING)
        await until(lambda: state(up) == "loaded")

    events = [line.event for line in up.host.journal.logged]
    assert events.count("llm.provider.unavailable") == 1
    assert events.count("llm.provider.available") == 1
    assert events.count("llm.discovery_failed") == 2


@pytest.mark.requirement("001-logging-behaviour")
async def test_what_an_operator_has_to_mend_is_an_error() -> None:
    """A provider without an address is named."""
    spec = replace(ASKING, provider_type="openai_compatible")
    host = FakeHost([provider(spec=spec)])

    with anyio.fail_after(10):
        async with running(host):
            await until(lambda: bool(host.journal.logged))

    logged = host.journal.logged[0]
    assert (logged.level, logged.event) == ("error", "llm.discovery_failed")
    assert logged.fields["code"] == "llm.provider.no_address"
