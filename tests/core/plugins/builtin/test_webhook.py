"""The plugin `webhook` against a service on a real socket: what it says, and what it does wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.plugins import PluginRegistry, run_phase
from spindle.plugins.active import ActivePlugin
from spindle.plugins.builtin.webhook import SIGNATURE, TIMESTAMP, Webhook, sign
from spindle.plugins.host import CoreHost, Offer
from spindle.secrets import SecretStore
from spindle_spi.errors import (
    ConfigError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    PluginDenied,
)
from spindle_spi.plugin import Plugin, Segment, SegmentKind
from spindle_spi.secret import Secret
from tests.core.plugins.samples import (
    Entry,
    Section,
    call,
    names_of,
    open_guard,
    stream,
    text_segment,
)
from tests.support.http_server import Answered, Asked, serve_http

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

KEY = "canary-signing-key"
IMAGE = Segment(pointer="/image", kind=SegmentKind.IMAGE)


@dataclass
class Service:
    """What the service answers, and what it was asked."""

    url: str = ""
    answer: Answered = field(default_factory=Answered)
    asked: list[Asked] = field(default_factory=list[Asked])
    is_hanging: bool = False
    is_echoing: bool = False

    def says(self, body: Json) -> None:
        self.answer = Answered(body=json.dumps(body).encode())

    async def __call__(self, asked: Asked) -> Answered:
        self.asked.append(asked)

        if self.is_hanging:
            await anyio.sleep_forever()

        if self.is_echoing:
            shown = json.loads(asked.body)["segments"]
            changed = [{"id": each["id"], "text": each["text"].upper()} for each in shown]
            return Answered(body=json.dumps({"verdict": "replace", "segments": changed}).encode())

        return self.answer


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Service]:
    monkeypatch.setenv("HOOK_KEY", KEY)
    service = Service()

    async with serve_http(service) as url:
        service.url = url
        yield service


def host(*allowed: str, budget: float = 5.0) -> CoreHost:
    offer = Offer(secrets=SecretStore.from_environment({}), allowed_hosts=allowed)
    return CoreHost(offer, "hook", budget)


def hook(
    service: Service,
    *,
    budget: float = 5.0,
    path: str = "/judge",
    failures: int = 3,
    **config: Json,
) -> PluginRegistry:
    given: JsonObject = {
        "url": f"{service.url}{path}",
        "signing_key": "env:HOOK_KEY",
        "breaker": {"failures": failures},
        **config,
    }
    return bound(Webhook(given), host("127.0.0.1", budget=budget), budget)


def bound(plugin: Plugin, host: CoreHost, budget: float = 5.0) -> PluginRegistry:
    plugin.bind(host)
    active = ActivePlugin(name="hook", plugin=plugin, phases=plugin.phases, budget_seconds=budget)
    return PluginRegistry([active])


async def judge(registry: PluginRegistry, *segments: Segment) -> list[str]:
    shown = segments or (text_segment("one"), text_segment("two", "/b"))
    return [s.text for s in await run_phase(registry, names_of(registry), call(), shown)]


async def failure(registry: PluginRegistry) -> str:
    with pytest.raises(Internal) as caught:
        await judge(registry)

    return caught.value.code


async def test_the_service_is_told_what_it_needs_and_nothing_of_the_caller(
    service: Service,
) -> None:
    """Segments with ids, where they stand, and the call; signed with the moment."""
    service.says({"verdict": "allow"})
    assert await judge(hook(service)) == ["one", "two"]
    (asked,) = service.asked
    assert (asked.method, asked.target) == ("POST", "/judge")
    assert json.loads(asked.body) == {
        "version": 1,
        "phase": "post_invoke",
        "target": {"kind": "model", "name": "m"},
        "request_id": "r1",
        "segments": [
            {"id": 0, "pointer": "/text", "kind": "text", "role": "", "text": "one"},
            {"id": 1, "pointer": "/b", "kind": "text", "role": "", "text": "two"},
        ],
    }
    assert asked.headers["host"] == service.url.removeprefix("http://")
    signed = asked.headers[TIMESTAMP].encode() + b"." + asked.body
    expected = hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()
    assert asked.headers[SIGNATURE] == f"sha256={expected}"
    assert KEY not in str(asked)
    assert sign(b"k", "1", b"a") != sign(b"k", "2", b"a")


async def test_only_the_chosen_kinds_are_sent(service: Service) -> None:
    """And nobody is asked about the others."""
    service.says({"verdict": "allow"})
    registry = hook(service, kinds=["image"])
    assert await judge(registry) == ["one", "two"]
    assert service.asked == []
    await judge(registry, text_segment("one"), IMAGE)
    shown = json.loads(service.asked[0].body)["segments"]
    assert [segment["kind"] for segment in shown] == ["image"]


async def test_segments_are_replaced_by_their_ids(service: Service) -> None:
    """What is not named stays."""
    service.says({"verdict": "replace", "segments": [{"id": 1, "text": "2"}]})
    assert await judge(hook(service)) == ["one", "2"]


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("spam", "plugin.webhook.spam"),
        (None, "plugin.webhook.denied"),
        ("not a word", "plugin.webhook.denied"),
        ("x" * 65, "plugin.webhook.denied"),
        (7, "plugin.webhook.denied"),
    ],
)
async def test_a_refusal_carries_the_rule_if_it_is_one(
    service: Service, rule: Json, code: str
) -> None:
    """It is part of a code that the client sees."""
    service.says({"verdict": "deny", "rule": rule})
    registry = hook(service, failures=1)

    for _ in range(2):  # a refusal is an answer: the breaker stays closed
        with pytest.raises(PluginDenied) as caught:
            await judge(registry)

        assert caught.value.code == code


async def test_a_streamed_answer_gets_the_verdict_of_the_whole_one(service: Service) -> None:
    """It is held to its end."""
    service.is_echoing = True
    registry = hook(service)
    assert (await stream(open_guard(registry), ["he", "llo"])).released == "HELLO"
    assert await judge(registry, text_segment("hello")) == ["HELLO"]
    service.is_echoing = False
    service.says({"verdict": "deny", "rule": "no"})
    assert (await stream(open_guard(registry), ["a"])).denied == "plugin.webhook.no"


NONSENSE: list[Json] = [
    [],
    "allow",
    {},
    {"verdict": "maybe"},
    {"verdict": "replace"},
    {"verdict": "replace", "segments": ["x"]},
    {"verdict": "replace", "segments": [{"id": 2, "text": "x"}]},
    {"verdict": "replace", "segments": [{"id": -1, "text": "x"}]},
    {"verdict": "replace", "segments": [{"id": True, "text": "x"}]},
    {"verdict": "replace", "segments": [{"id": "0", "text": "x"}]},
    {"verdict": "replace", "segments": [{"id": 0, "text": 1}]},
    {"verdict": "replace", "segments": [{"id": 0, "text": "x"}, {"id": 0, "text": "y"}]},
]


@pytest.mark.parametrize("said", NONSENSE, ids=str)
async def test_nonsense_denies(service: Service, said: Json) -> None:
    """A verdict that nobody understands is none."""
    service.says(said)
    assert await failure(hook(service)) == "plugin.failed"


@pytest.mark.parametrize(
    "answer",
    [
        Answered(status=500),
        Answered(status=204),
        Answered(body=b"{"),
        Answered(body=b'{"verdict": "allow"', headers={"content-length": "100"}),
        Answered(body=b'{"verdict": "allow"}', headers={"content-encoding": "gzip"}),
        Answered(body=b"[" * 100_000),
        Answered(body=b'{"verdict": "allow", "x": "' + b"x" * 5_000_000 + b'"}'),
    ],
    ids=["error", "empty", "cut", "short", "packed", "deep", "huge"],
)
async def test_an_answer_that_is_none_denies(service: Service, answer: Answered) -> None:
    """Whatever comes after the first bytes."""
    service.answer = answer
    assert await failure(hook(service)) == "plugin.failed"


async def test_a_redirect_is_not_followed(service: Service) -> None:
    """Nobody checked the address it leads to."""
    inner = Service()
    inner.says({"verdict": "allow"})

    async with serve_http(inner) as url:
        service.answer = Answered(status=307, headers={"location": f"{url}/judge"})
        assert await failure(hook(service)) == "plugin.failed"

    assert inner.asked == []


async def test_a_private_address_is_not_asked(service: Service) -> None:
    """Unless the operator allowed the host by name; an entry cannot."""
    service.says({"verdict": "allow"})
    plugin = Webhook({"url": service.url, "signing_key": "env:HOOK_KEY"})
    assert await failure(bound(plugin, host())) == "plugin.failed"
    assert await failure(bound(plugin, host("localhost"))) == "plugin.failed"
    assert service.asked == []
    assert await judge(bound(plugin, host("127.0.0.1"))) == ["one", "two"]


async def test_a_service_that_is_down_denies_and_is_left_alone_for_a_while(
    service: Service,
) -> None:
    """After so many failures in a row; a good answer to the next trial closes the breaker."""
    now = [0.0]
    config: JsonObject = {
        "url": service.url,
        "signing_key": "env:HOOK_KEY",
        "breaker": {"failures": 2, "seconds": 0.5},
    }
    registry = bound(Webhook(config, clock=lambda: now[0]), host("127.0.0.1"))
    service.answer = Answered(status=503)
    assert [await failure(registry) for _ in range(4)] == ["plugin.failed"] * 4
    assert len(service.asked) == 2
    now[0] = 0.6
    service.says({"verdict": "allow"})
    assert await judge(registry) == ["one", "two"]
    assert len(service.asked) == 3


async def test_a_service_that_is_slow_times_out_and_counts_as_down(service: Service) -> None:
    """Within the budget of its entry."""
    service.is_hanging = True
    registry = hook(service, budget=0.2, failures=1)

    with anyio.fail_after(5):
        assert await failure(registry) == "plugin.timed_out"
        assert await failure(registry) == "plugin.failed"

    assert len(service.asked) == 1


async def test_a_caller_who_leaves_says_nothing_about_the_service(service: Service) -> None:
    """Clients that hang up cannot close the gateway for everybody."""
    service.is_hanging = True
    registry = hook(service, failures=1)

    for _ in range(2):
        with anyio.move_on_after(0.05):
            await judge(registry)

    service.is_hanging = False
    service.says({"verdict": "allow"})
    assert await judge(registry) == ["one", "two"]


async def test_without_its_key_nothing_is_sent(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unsigned question might be anybody's."""
    monkeypatch.delenv("HOOK_KEY")
    assert await failure(hook(service)) == "plugin.failed"
    assert service.asked == []


async def test_without_a_host_nothing_is_sent(service: Service) -> None:
    """A plugin that was never bound fails."""
    plugin = Webhook({"url": service.url, "signing_key": "env:HOOK_KEY"})
    active = ActivePlugin(name="w", plugin=plugin, phases=plugin.phases)
    assert await failure(PluginRegistry([active])) == "plugin.failed"


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"url": "ftp://x", "signing_key": "env:X"},
        {"url": "http://x", "signing_key": "the key itself"},
        {"url": "http://x", "signing_key": "env:X", "kinds": ["document"]},
        {"url": "http://x", "signing_key": "env:X", "allowed_hosts": ["x"]},
    ],
)
def test_settings_that_make_no_sense_are_faults(config: dict[str, Json]) -> None:
    """A key in the configuration is one of them: it is named, not written down."""
    with pytest.raises(ConfigError) as caught:
        PluginRegistry.load(Section(entries=(Entry(plugin="webhook", config=config),)))

    assert "the key itself" not in str(caught.value.faults)


def test_secrets_are_found_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the environment, in a file, in the vault."""
    (tmp_path / "key").write_text("in a file\n")
    monkeypatch.setenv("HOOK_KEY", KEY)
    secrets = SecretStore.from_environment({}, vault=lambda name: Secret(f"stored {name}"))
    found = CoreHost(Offer(secrets=secrets), "p", 1.0)
    assert found.secret("env:HOOK_KEY").reveal() == KEY
    assert found.secret(f"file:{tmp_path / 'key'}").reveal() == "in a file"
    assert found.secret("vault:hook").reveal() == "stored hook"

    for reference in ("HOOK_KEY", "env:", "ftp:x", ""):
        with pytest.raises(InvalidArgument):
            found.secret(reference)

    with pytest.raises(FailedPrecondition):
        found.secret("env:NOTHING_IS_HERE")
