"""Upstreams follow their provider's record; old connections end with the calls on them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.fakes import FakeHost
from spindle_llm.providers.openai import OpenAiCompatibleAdapter
from spindle_llm.providers.openai_chat import OpenAiChat
from spindle_llm.providers.registry import adapters
from spindle_llm.routing.upstreams import Upstreams
from spindle_spi.config_secrets import LEASE_SECONDS
from spindle_spi.errors import FailedPrecondition, Unavailable
from spindle_spi.records import Kind
from spindle_spi.secret import Secret, SecretRef
from spindle_transport.exchange import UpstreamRequest
from tests.core.heart import open_heart
from tests.llm.support.records import SPEC, model, provider

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.anyio

CHAT = OpenAiChat()
KEYED = replace(SPEC, api_key=SecretRef(name="k"))


@pytest.fixture
def host() -> FakeHost:
    """Return a host that knows one key."""
    return FakeHost([provider(url="http://a", spec=KEYED)], secrets={"k": "one"})


@pytest.fixture
async def upstreams(host: FakeHost) -> AsyncGenerator[Upstreams]:
    """Yield upstreams over both adapters."""
    upstreams = Upstreams(host.services_for("llm"), adapters())
    yield upstreams
    await upstreams.close()


async def test_an_upstream_is_made_once_for_each_state_of_its_record(
    upstreams: Upstreams, host: FakeHost
) -> None:
    """A new epoch asks for the key again and keeps the connections, if their bounds stay."""
    record = provider(url="http://a", spec=KEYED)
    first = await upstreams.get(record)
    assert await upstreams.get(record) is first
    assert host.journal.secrets == ["k"]
    host.secrets["k"] = "two"
    second = await upstreams.get(replace(record, epoch=1))
    assert second.headers[False]["Authorization"] == "Bearer two"
    assert second.line is first.line


async def test_other_bounds_need_other_connections(upstreams: Upstreams) -> None:
    """The old ones are closed when the last call on them has ended."""
    record = provider(url="http://a")
    first = await upstreams.get(record)
    first.line.calls += 1
    second = await upstreams.get(
        replace(record, epoch=1, spec=replace(SPEC, urls=("http://a",), verify_cert=False))
    )
    assert second.line is not first.line
    assert upstreams.in_flight() == {"up": 0}
    await first.line.release()

    with pytest.raises(RuntimeError, match="closed"):
        await first.line.transport.open(_request())


def _request() -> UpstreamRequest:
    return UpstreamRequest(url="http://127.0.0.1:9/", headers={})


async def test_a_provider_that_is_gone_is_let_go(upstreams: Upstreams) -> None:
    """Its connections too; one nobody asked for is no matter."""
    record = provider(url="http://a")
    upstream = await upstreams.get(record)
    await upstreams.forget(record.id)
    await upstreams.forget("provider:other")
    assert upstreams.in_flight() == {}

    with pytest.raises(RuntimeError, match="closed"):
        await upstream.line.transport.open(_request())


async def test_several_urls_take_turns(upstreams: Upstreams) -> None:
    """One after the other."""
    spec = replace(SPEC, urls=("http://a", "http://b/v1"))
    upstream = await upstreams.get(provider(spec=spec))
    assert [upstream.url(CHAT, "m") for _ in range(3)] == [
        "http://a/v1/chat/completions",
        "http://b/v1/chat/completions",
        "http://a/v1/chat/completions",
    ]


async def test_without_urls_it_is_openais_own(upstreams: Upstreams) -> None:
    """Where `openai` is configured by its key alone."""
    upstream = await upstreams.get(provider())
    assert upstream.url(CHAT, "m") == "https://api.openai.com/v1/chat/completions"


async def test_an_unknown_type_that_speaks_openais_form_is_served(upstreams: Upstreams) -> None:
    """Any other is refused by name."""
    spec = replace(SPEC, provider_type="vllm")
    assert isinstance(upstreams.adapter(spec), OpenAiCompatibleAdapter)

    with pytest.raises(FailedPrecondition, match="cohere"):
        upstreams.adapter(replace(spec, provider_type="cohere", api_format="cohere"))


async def test_what_is_no_provider_serves_nothing(upstreams: Upstreams) -> None:
    """A record of another kind."""
    with pytest.raises(FailedPrecondition):
        await upstreams.get(model("m"))


async def test_a_key_is_asked_for_again_when_its_lease_ends(
    upstreams: Upstreams, host: FakeHost
) -> None:
    """Not before; the same key changes nothing, another one is used over the same connections."""
    record = provider(url="http://a", spec=KEYED)
    first = await upstreams.get(record)
    host.secrets["k"] = "two"
    assert await upstreams.get(record) is first
    assert 0.0 < first.expires_at - time.time() <= LEASE_SECONDS
    first.expires_at = 0.0
    second = await upstreams.get(record)
    assert second.headers[True]["Authorization"] == "Bearer two"
    assert second.line is first.line
    second.expires_at = 0.0
    assert await upstreams.get(record) is second
    assert second.expires_at > time.time()
    assert host.journal.secrets == ["k", "k", "k"]


async def test_a_key_that_is_gone_ends_with_its_lease(upstreams: Upstreams, host: FakeHost) -> None:
    """No call goes on with what was taken away."""
    record = provider(url="http://a", spec=KEYED)
    first = await upstreams.get(record)
    del host.secrets["k"]
    first.expires_at = 0.0

    with pytest.raises(Unavailable) as caught:
        await upstreams.get(record)

    assert caught.value.code == "llm.provider.credential"


async def test_a_key_changed_in_the_vault_is_used_when_the_lease_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the gateway runs, and with nothing else changed."""
    async with open_heart(tmp_path) as heart:
        core = heart.core
        await core.vault.put("k", Secret("one"))
        await core.store.catalog.upsert(provider(url="http://a", spec=KEYED))
        await core.snapshots.refresh()
        (record,) = (r for r in core.snapshots.current.by_kind[Kind.PROVIDER] if r.name == "up")
        upstreams = Upstreams(core.services_for("llm"), adapters())
        now = time.time()
        await upstreams.get(record)
        await core.vault.put("k", Secret("two"))
        before = await upstreams.get(record)
        assert before.headers[False]["Authorization"] == "Bearer one"
        monkeypatch.setattr(time, "time", lambda: now + LEASE_SECONDS + 1.0)
        after = await upstreams.get(record)
        assert after.headers[False]["Authorization"] == "Bearer two"
        await upstreams.close()
