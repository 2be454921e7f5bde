"""Plugins over the control plane: created, changed, removed and tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from spindle_spi.errors import Internal
from spindle_spi.invocation import Invocation
from spindle_spi.records import Kind, Target
from tests.core.heart import Heart, Owner, open_heart
from tests.core.plugins.plane import BASE, Plane, plane, read

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

DECLARED = "\nplugins:\n  entries: [{name: declared, plugin: pii, config: {action: deny}}]\n"
MASK: JsonObject = {"name": "mask", "plugin": "pii", "priority": 5}


@pytest.fixture
async def heart(tmp_path: Path) -> AsyncGenerator[Heart]:
    async with open_heart(tmp_path, DECLARED) as heart:
        yield heart


@pytest.fixture
async def admin(heart: Heart) -> Plane:
    return plane(heart.core, await heart.token(role="platform_admin", admin=True))


def code(body: dict[str, Json]) -> str:
    error = body["error"]
    assert isinstance(error, dict)
    return str(error["code"])


def message(body: dict[str, Json]) -> str:
    error = body["error"]
    assert isinstance(error, dict)
    return str(error["message"])


async def test_an_entry_is_created_shown_changed_and_removed(admin: Plane) -> None:
    """Every answer has the state and its tag; the way round is closed."""
    made = await admin.ask("POST", "", MASK)
    assert (made.status, made.headers[b"location"]) == (201, f"{BASE}/mask".encode())
    shown = await admin.ask("GET", "/mask")
    assert (shown.status, shown.headers[b"etag"]) == (200, made.headers[b"etag"])
    assert read(shown) == read(made)
    assert {key: read(shown)[key] for key in ("state", "origin", "priority", "mode")} == {
        "state": "active",
        "origin": "api",
        "priority": 5,
        "mode": "enforce",
    }
    changed = await admin.ask("PATCH", "/mask", {"mode": "disabled", "priority": None})
    assert changed.status == 200
    assert (read(changed)["state"], read(changed)["priority"]) == ("disabled", 100)
    gone = await admin.ask("DELETE", "/mask", match=changed.headers[b"etag"].decode())
    assert (gone.status, gone.body) == (204, b"")
    assert (await admin.ask("GET", "/mask")).status == 404


async def test_a_lost_update_is_refused(admin: Plane) -> None:
    """The second of two administrators reads again."""
    tag = (await admin.ask("POST", "", MASK)).headers[b"etag"].decode()
    assert (await admin.ask("PATCH", "/mask", {"priority": 1}, match=tag)).status == 200

    for method, body in (("PATCH", {"priority": 2}), ("DELETE", None)):
        late = await admin.ask(method, "/mask", body, match=tag)
        assert (late.status, code(read(late))) == (412, "core.record.changed")

    assert read(await admin.ask("GET", "/mask"))["priority"] == 1


async def test_another_process_in_between_is_a_lost_update_too(heart: Heart, admin: Plane) -> None:
    """What this one has not seen yet does not get lost."""
    await admin.ask("POST", "", MASK)
    row = await heart.core.store.plugins.get("mask")
    assert row is not None
    await heart.core.store.plugins.update(row, '{"plugin": "pii", "name": "mask"}', by="other")
    assert (await admin.ask("PATCH", "/mask", {"priority": 2})).status == 412
    assert (await admin.ask("DELETE", "/mask")).status == 412


async def test_what_the_configuration_declares_is_changed_there(admin: Plane) -> None:
    """And its name is taken."""
    for method, path, body in (
        ("PATCH", "/declared", {"priority": 1}),
        ("DELETE", "/declared", None),
        ("POST", "", {"name": "declared", "plugin": "pii"}),
    ):
        answer = await admin.ask(method, path, body)
        assert answer.status == 409, (method, path)

    await admin.ask("POST", "", MASK)
    assert code(read(await admin.ask("POST", "", MASK))) == "core.plugin.exists"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"name": "x", "plugin": "nothing"}, "plugin: unknown plugin 'nothing'"),
        ({"name": "x", "plugin": "pii", "config": {"kinds": [1]}}, "config.kinds[0]: "),
        ({"name": "x", "plugin": "pii", "colour": "red"}, "colour: unknown key"),
        ({"name": "x", "plugin": "pii", "conditions": {"kinds": ["x"]}}, "conditions.kinds[0]: "),
        ({"name": "x", "plugin": "pii", "conditions": {"teams": [""]}}, "conditions.teams[0]: "),
        ({"name": "x", "plugin": "pii", "budget_seconds": 1.0}, "budget_seconds: "),
        ({"name": "x", "plugin": "pii", "budget_seconds": 0}, "budget_seconds: "),
        ({"name": "a/b", "plugin": "pii"}, "name: "),
        ({"name": "try", "plugin": "pii"}, "name: "),
        ({}, "plugin: is missing"),
    ],
)
async def test_a_fault_is_named_by_its_path(admin: Plane, body: JsonObject, fault: str) -> None:
    """On creating, and the same on trying; nothing is stored."""
    answer = await admin.ask("POST", "", body)
    assert answer.status == 400
    assert fault in message(read(answer))
    assert [item["name"] for item in await items(admin)] == ["declared"]


async def items(admin: Plane) -> list[JsonObject]:
    listed = read(await admin.ask("GET", ""))["items"]
    assert isinstance(listed, list)
    return [item for item in listed if isinstance(item, dict)]


async def test_a_change_that_makes_a_fault_changes_nothing(admin: Plane) -> None:
    """Neither by its own keys nor by those of the plugin."""
    await admin.ask("POST", "", MASK)

    wrong: list[JsonObject] = [
        {"mode": "loud"},
        {"config": {"action": "x"}},
        {"plugin": "gone"},
        {"name": "y"},
        {"budget_seconds": -1.0},
        {"conditions": {"teams": [""]}},
    ]

    for body in wrong:
        assert (await admin.ask("PATCH", "/mask", body)).status == 400

    assert read(await admin.ask("GET", "/mask"))["config"] == {}


async def test_the_list_says_what_can_be_configured(admin: Plane) -> None:
    """Built-in plugins and installed ones with their schemas, in pages."""
    await admin.ask("POST", "", MASK)
    first = read(await admin.ask("GET", ""))
    available = first["available"]
    assert isinstance(available, list)
    found = {each["plugin"]: each for each in available if isinstance(each, dict)}
    assert {"pii", "webhook", "moderation"} <= set(found)
    pii = found["pii"]
    assert (pii["source"], pii["faults"]) == ("builtin", [])
    assert isinstance(pii["config_schema"], dict)
    assert [item["name"] for item in await items(admin)] == ["declared", "mask"]
    assert (await admin.ask("GET", "/none")).status == 404


async def test_a_stored_entry_that_cannot_be_used_is_shown_and_can_be_mended(
    heart: Heart, admin: Plane
) -> None:
    """GET says why; a PATCH that names a plugin makes it whole."""
    await heart.core.store.plugins.create("x", "no JSON", by="test")
    await heart.core.store.plugins.create("y", '{"plugin": "gone", "name": "y"}', by="test")
    await heart.core.snapshots.refresh()
    shown = read(await admin.ask("GET", "/y"))
    assert shown["state"] == "unusable"
    assert "unknown plugin 'gone'" in str(shown["faults"])
    tried = await admin.ask("POST", "/y/try", {"sample": {"text": "a"}})
    assert code(read(tried)) == "plugin.unusable"
    assert (await admin.ask("PATCH", "/x", {"priority": 1})).status == 400
    mended = await admin.ask("PATCH", "/x", {"plugin": "pii"})
    assert read(mended)["state"] == "active"


async def test_a_team_sees_the_entries_that_may_judge_its_calls(heart: Heart, admin: Plane) -> None:
    """Those of other teams are absent, byte for byte; changing them takes more than seeing."""
    await admin.ask("POST", "", {**MASK, "name": "reds", "conditions": {"teams": ["red"]}})
    await admin.ask("POST", "", {**MASK, "name": "blues", "conditions": {"teams": ["b*"]}})
    red = plane(heart.core, await heart.token("red", role="team_admin"))
    assert [item["name"] for item in await items(red)] == ["declared", "reds"]
    hidden, absent = await red.ask("GET", "/blues"), await red.ask("GET", "/blueX")
    assert hidden.status == absent.status == 404
    assert message(read(hidden)).replace("blues", "X") == message(read(absent)).replace(
        "blueX", "X"
    )
    assert (await red.ask("PATCH", "/reds", {"priority": 1})).status == 403
    assert (await red.ask("POST", "/try", {})).status == 403
    poor = plane(heart.core, await heart.token("red", role="viewer"))
    assert (await poor.ask("GET", "")).status == 403


async def test_changes_are_audited_without_secrets(heart: Heart, admin: Plane) -> None:
    """Who, what, before and after."""
    config: JsonObject = {"url": "https://u:canary-pass@example.org/x", "signing_key": "env:KEY"}
    await admin.ask("POST", "", {"name": "hook", "plugin": "webhook", "config": config})
    shown = await admin.ask("GET", "/hook")
    assert b"canary-pass" not in shown.body
    await admin.ask("PATCH", "/hook", {"mode": "permissive"})
    await admin.ask("DELETE", "/hook")

    async with heart.core.store.database.reading() as connection:
        query = text("SELECT action, target, before, after FROM audit ORDER BY at, id")
        rows = [tuple(row) for row in await connection.execute(query)]

    kept = [row for row in rows if str(row[0]).startswith("plugins.")]
    assert sorted((row[0], row[1]) for row in kept) == [
        ("plugins.create", "hook"),
        ("plugins.delete", "hook"),
        ("plugins.update", "hook"),
    ]
    assert "canary-pass" not in str(kept)


SAMPLES: list[tuple[JsonObject, str, list[str]]] = [
    ({"text": "to a@example.org"}, "replace", ["to [EMAIL]"]),
    ({"text": "nothing"}, "allow", ["nothing"]),
    ({"arguments": {"q": "a@example.org", "n": 1}}, "replace", ["[EMAIL]"]),
    (
        {"messages": [{"role": "user", "content": "a@example.org"}], "phase": "post_invoke"},
        "replace",
        ["[EMAIL]"],
    ),
]


@pytest.mark.parametrize(("sample", "verdict", "texts"), SAMPLES)
async def test_a_sample_is_judged_and_nothing_is_written(
    heart: Heart, admin: Plane, sample: JsonObject, verdict: str, texts: list[str]
) -> None:
    """By an entry that is given, and by one that is there, disabled or not."""
    await admin.ask("POST", "", {**MASK, "mode": "disabled"})
    before, metrics = await heart.core.store.revision(), heart.core.metrics.render()
    given = await admin.ask("POST", "/try", {"entry": {"plugin": "pii"}, "sample": sample})
    there = await admin.ask("POST", "/mask/try", {"sample": sample})

    for answer in (given, there):
        body = read(answer)
        segments = body["segments"]
        assert isinstance(segments, list)
        assert body["verdict"] == verdict
        assert [segment["text"] for segment in segments if isinstance(segment, dict)] == texts
        assert isinstance(body["milliseconds"], float)

    assert await heart.core.store.revision() == before
    assert b"spindle_plugin" not in metrics
    assert b"spindle_plugin" not in heart.core.metrics.render()


async def test_a_try_says_rule_and_place_of_each_finding(admin: Plane) -> None:
    """And, of a refusal, what the client would be told."""
    body = read(await admin.ask("POST", "/declared/try", {"sample": {"text": "to a@example.org"}}))
    assert (body["verdict"], body["code"]) == ("deny", "plugin.pii.email")
    assert body["findings"] == [
        {
            "pointer": "/text",
            "start": 3,
            "end": 16,
            "rule": "email",
            "action": "deny",
            "replacement": None,
        }
    ]


@pytest.mark.parametrize(
    "sample", [{}, {"text": "a", "arguments": {}}, {"text": 1}, {"text": "a", "phase": "lunch"}]
)
async def test_a_sample_is_exactly_one_thing(admin: Plane, sample: JsonObject) -> None:
    """Anything else is refused."""
    answer = await admin.ask("POST", "/declared/try", {"sample": sample})
    assert answer.status == 400


async def test_a_plugin_that_fails_on_a_sample_is_told_as_an_error(admin: Plane) -> None:
    """Here because nothing is at the address."""
    entry: JsonObject = {
        "plugin": "webhook",
        "config": {"url": "http://127.0.0.1:9/", "signing_key": "env:X"},
    }
    body = read(await admin.ask("POST", "/try", {"entry": entry, "sample": {"text": "a"}}))
    assert (body["verdict"], body["code"]) == ("error", "plugin.failed")
    bad = {**entry, "config": {}}
    faulty = await admin.ask("POST", "/try", {"entry": bad, "sample": {"text": "a"}})
    assert (faulty.status, "config: " in message(read(faulty))) == (400, True)


async def test_a_change_over_the_api_is_in_force_when_it_is_answered(
    heart: Heart, admin: Plane
) -> None:
    """And a broken entry closes what it judges."""
    owner = heart.core.owners["llm"] = Owner()
    await admin.ask("POST", "", {**MASK, "conditions": {"tools": ["ask"]}})
    caller = await heart.caller("red")
    wish = Invocation(target=Target(kind=Kind.TOOL, name="ask"), arguments={"prompt": "a@b.org"})
    await heart.core.invoker.invoke(caller, wish)
    assert owner.seen[0].arguments == {"prompt": "[EMAIL]"}
    await heart.core.store.plugins.create("z", "{}", by="test")
    await heart.core.snapshots.refresh()

    with pytest.raises(Internal):
        await heart.core.invoker.invoke(caller, wish)
