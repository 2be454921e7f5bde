"""The catalog as one document: export, plan, apply, versions and the way back, over the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from spindle.store import TokenRow, versions
from spindle.tokens import mint
from spindle_spi.policy import ROLES
from spindle_spi.records import Kind
from tests.core.catalog.desk import LOCAL, Desk, Told, open_desk, publish_demo
from tests.core.ingress.support import HOST

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.types import Json, JsonObject

pytestmark = pytest.mark.anyio

BUNDLE: JsonObject = {
    "bundle": 1,
    "servers": {"lab": {"models": ["box~b"], "tools": ["ask-b"], "visibility": "public"}},
    "toolsets": {"kit": {"tools": ["ask-b"]}},
    "tools": {"ask-b": {"model": "box~b"}},
    "models": {
        "box~b": {"fallbacks": ["box~c"], "tags": ["x"]},
        "box~c": {},
    },
    "providers": {"box": {"urls": [LOCAL], "options": {"max_connections": 3}}},
    "gateways": {"far": {"url": "http://127.0.0.1:9/mcp"}},
}
"""In no order: what others refer to comes last."""


def changes(told: Told) -> list[tuple[str, str]]:
    """Action and name of every change."""
    assert told.status == 200, told.raw
    found = told.data["changes"]
    assert isinstance(found, list)
    return [(str(c["action"]), str(c["name"])) for c in found if isinstance(c, dict)]


def faults(told: Told) -> list[str]:
    """Every fault of a plan."""
    found = told.data["faults"]
    assert isinstance(found, list)
    return [str(fault) for fault in found]


def without(bundle: JsonObject, *sections: str) -> JsonObject:
    """A bundle without some sections."""
    return {key: value for key, value in bundle.items() if key not in sections}


async def exported(desk: Desk, *, by: str = "root", query: str = "") -> JsonObject:
    """What somebody exports, as it reads back."""
    told = await desk.ask("GET", f"config/export{query}", by=by)
    assert told.status == 200, told.raw
    assert told.headers[b"content-type"] == b"application/yaml"
    value: JsonObject = yaml.safe_load(told.raw)
    assert isinstance(value, dict)
    return value


async def send(desk: Desk, action: str, text: str, *, by: str = "root") -> Told:
    """Send a document in YAML."""
    answer = await desk.gate.ask(
        "POST",
        f"/admin/api/v1/config/{action}",
        token=desk.tokens[by],
        headers=(HOST, (b"content-type", b"application/yaml")),
        chunks=(text.encode(),),
    )
    return Told(answer.status, answer.headers, answer.body)


async def with_config(desk: Desk, team: str) -> str:
    """An administrator of a team who may use bundles."""
    name = f"{team}-config"
    secret, prefix, hashed = mint()
    row = TokenRow(
        id=name,
        name=name,
        prefix=prefix,
        hash=hashed,
        created_at=0.0,
        user_email=f"{name}@example.org",
        teams=(team,),
        permissions=(*ROLES["team_admin"], "config.read", "config.update"),
    )
    await desk.core.store.tokens.create(row)
    await desk.core.snapshots.refresh()
    desk.tokens[name] = secret.reveal()
    return name


async def test_a_bundle_is_applied_as_a_whole_and_exported_again(tmp_path: Path) -> None:
    """Whatever the order in the document; applied once more it changes nothing."""
    async with open_desk(tmp_path) as desk:
        planned = await desk.ask("POST", "config/plan", BUNDLE)
        assert desk.record(Kind.PROVIDER, "box") is None
        applied = await desk.ask("POST", "config/apply?note=first", BUNDLE)
        again = await exported(desk)
        second = await desk.ask("POST", "config/apply", again)
        record = desk.record(Kind.MODEL, "box~b")

    assert {name for _, name in changes(planned)} == {
        *("box", "box~b", "box~c", "ask-b", "kit", "lab", "far")
    }
    assert changes(applied) == changes(planned)
    assert record is not None
    assert record.tags == ("x",)
    assert again["models"]["box~b"]["fallbacks"] == ["box~c"]  # type: ignore[call-overload,index]
    assert changes(second) == []
    assert (second.data["unchanged"], second.data["version"]) == (7, None)


async def test_an_export_leaves_out_what_is_empty_and_nothing_that_was_said(tmp_path: Path) -> None:
    """No page of nulls to read; but a list that was emptied is not the one of a new record."""
    bundle: JsonObject = {
        **BUNDLE,
        "models": {
            "box~b": {"fallbacks": ["box~c"], "supports": [], "facts": {"modified_at": 0}},
            "box~c": {},
        },
    }

    async with open_desk(tmp_path) as desk:
        await desk.ask("POST", "config/apply", bundle)
        again = await exported(desk)
        second = await desk.ask("POST", "config/apply", again)

    models = again["models"]
    assert isinstance(models, dict)
    b, c = models["box~b"], models["box~c"]
    assert isinstance(b, dict)
    assert isinstance(c, dict)
    assert (b["supports"], b["facts"]) == ([], {"modified_at": 0})
    said = {"model_type", "supports", "fallback_on", "deprecated", "visibility", "enabled"}
    assert c.keys() == said
    assert changes(second) == []


async def test_a_plan_says_what_changes_field_by_field(tmp_path: Path) -> None:
    """Only the fields that differ; what a record leaves out goes back to its default."""
    async with open_desk(tmp_path) as desk:
        await desk.ask("POST", "config/apply", BUNDLE)
        wanted: JsonObject = {
            "bundle": 1,
            "providers": {"box": {"urls": ["http://127.0.0.1:8/v1"], "description": "New."}},
        }
        told = await desk.ask("POST", "config/plan", wanted)

    found = told.data["changes"]
    assert isinstance(found, list)
    (change,) = found
    assert change == {
        "action": "update",
        "kind": "provider",
        "name": "box",
        "before": {
            "urls": [LOCAL],
            "description": "",
            "options": {"max_connections": 3},
        },
        "after": {
            "urls": ["http://127.0.0.1:8/v1"],
            "description": "New.",
            "options": {},
        },
    }


async def test_only_with_prune_is_anything_deleted(tmp_path: Path) -> None:
    """Those first that need others; what the configuration declares stays."""
    async with open_desk(tmp_path) as desk:
        await desk.ask("POST", "config/apply", BUNDLE)
        small: JsonObject = {"bundle": 1, "gateways": BUNDLE["gateways"]}
        kept = await desk.ask("POST", "config/plan", small)
        gone = await desk.ask("POST", "config/apply?prune=true", small)
        left = await exported(desk)
        declared = desk.record(Kind.PROVIDER, "up")

    assert changes(kept) == []
    assert changes(gone) == [
        ("delete", name) for name in ("lab", "kit", "ask-b", "box~b", "box~c", "box")
    ]
    assert left.keys() == {"bundle", "gateways"}
    assert declared is not None


async def test_every_fault_is_told_at_once_with_its_path_and_line(tmp_path: Path) -> None:
    """And nothing is changed; what merely follows from another fault is not told."""
    text = """\
bundle: 1
provders: {}
providers:
  bad: {urls: [ftp://x]}
  box: {urls: ["http://127.0.0.1:9/v1"], api_key: canary}
models:
  bad~m: {}
  nowhere~m: {}
  box~m: {fallbacks: [box~gone], context_window: 0}
tools:
  t: {model: box~gone}
toolsets:
  kit: {tools: [kit]}
servers: [1]
"""
    async with open_desk(tmp_path) as desk:
        planned = await send(desk, "plan", text)
        applied = await send(desk, "apply", text)
        names = [r.name for r in desk.core.snapshots.current.by_kind[Kind.PROVIDER]]

    found = faults(planned)
    said = "\n".join(found)
    assert planned.data["changes"] != []

    for part in (
        "provders: unknown section, did you mean 'providers'?",
        "providers.bad: urls[0]: is not an http(s) URL",
        "(line 4)",
        "providers.box.api_key: a secret does not belong into a bundle",
        "models.\"nowhere~m\": There is no provider 'nowhere'",
        'models."box~m": context_window: 0 is not allowed',
        "tools.t: There is no model 'box~gone'",
        "toolsets.kit: There is no tool 'kit'",
        "servers: is a list; expected a mapping",
    ):
        assert part in said

    assert "bad~m" not in said
    assert "canary" not in said
    assert (applied.status, applied.code) == (400, "core.bundle.invalid")
    assert all(fault in applied.message for fault in found)
    assert names == ["up"]


async def test_fallbacks_that_go_round_are_a_fault(tmp_path: Path) -> None:
    """In the document, through what is stored already, and to the model itself."""
    async with open_desk(tmp_path) as desk:
        await desk.ask("POST", "config/apply", BUNDLE)
        around = await desk.ask(
            "POST", "config/plan", {"bundle": 1, "models": {"box~c": {"fallbacks": ["box~b"]}}}
        )
        fresh = await desk.ask(
            "POST",
            "config/plan",
            {
                "bundle": 1,
                "models": {
                    "box~1": {"fallbacks": ["box~2"]},
                    "box~2": {"fallbacks": ["box~3"]},
                    "box~3": {"fallbacks": ["box~1"]},
                    "box~4": {"fallbacks": ["box~4"]},
                    "box~5": {"fallbacks": ["box~1"]},
                },
            },
        )

    assert len(faults(around)) == 1
    assert 'models."box~c".fallbacks: goes round: box~c → box~b → box~c' in faults(around)[0]
    assert sum("goes round" in fault for fault in faults(fresh)) == 4
    assert any("box~4 → box~4" in fault for fault in faults(fresh))
    assert any("box~1 → box~2 → box~3 → box~1" in fault for fault in faults(fresh))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bundle: [", "is not YAML at line"),
        ("- 1", "is not a mapping"),
        ("bundle: 1\nmodels: &a {x: *a}", "repeats itself without end"),
        ("x: " + "[" * 100_000, "nested more than 64 levels"),
        ("bundle: 1\nmodels: {}\nmodels: {}", "stands here again"),
        ("bundle: 2", "is not a version known here; expected 1"),
        ("bundle: 1\nmodels:\n" + "".join(f"  a~{n}: {{}}\n" for n in range(1001)), "more than"),
        ("bundle: 1\npublished: {wheels: {}, tools: 1}", "unknown section"),
        ("bundle: 1\nmodels: {x: {}}", "expected provider~model"),
        ("bundle: 1\nproviders: {x: {name: y}}", "another name than the key"),
        ("bundle: 1\nproviders: {x: 5}", "is an integer; expected a mapping"),
    ],
)
async def test_what_is_no_bundle_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """Bombs and cycles of YAML among it."""
    async with open_desk(tmp_path) as desk:
        told = await send(desk, "apply", text)

    assert told.status == 400
    assert message in told.message


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "not a JSON object"),
        (b'{"bundle": 1, "models": {}, "models": {}}', "the key 'models' twice"),
        (b'{"x": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"x": ' + b"[" * 70 + b"]" * 70 + b"}", "nested too deeply"),
    ],
)
async def test_what_is_no_json_bundle_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    """By the same rules."""
    async with open_desk(tmp_path) as desk:
        told = await desk.ask("POST", "config/plan", raw=raw)

    assert (told.status, told.code) == (400, "core.bundle.unreadable")
    assert message in told.message


async def test_an_export_holds_no_secret_and_an_import_keeps_it(tmp_path: Path) -> None:
    """Only the name of its reference; made anew, the record has none, and that is said."""
    async with open_desk(tmp_path) as desk:
        await desk.make("providers", {"name": "key", "urls": [LOCAL], "api_key": "sk-canary-77"})
        told = await desk.ask("GET", "config/export")
        bundle = yaml.safe_load(told.raw)
        bundle["providers"]["key"]["description"] = "Changed."
        applied = await desk.ask("POST", "config/apply", bundle)
        before = desk.record(Kind.PROVIDER, "key")
        await desk.ask("DELETE", "providers/key")
        again = await desk.ask("POST", "config/plan", bundle)

    assert b"canary" not in told.raw
    assert bundle["providers"]["key"]["api_key_ref"].startswith("catalog.provider.")
    assert changes(applied) == [("update", "key")]
    assert before is not None
    assert before.spec.api_key is not None  # type: ignore[union-attr]
    assert "is made without its key" in str(again.data["notes"])


async def test_what_is_not_the_callers_to_change_is_read_only_in_an_export(tmp_path: Path) -> None:
    """Only on demand, and nothing that an import looks at."""
    async with open_desk(tmp_path) as desk:
        publish_demo(desk.core)
        plain = await exported(desk)
        whole = await exported(desk, query="?all=true")
        back = await desk.ask("POST", "config/plan", whole)
        as_json = await desk.gate.ask(
            "GET",
            "/admin/api/v1/config/export",
            token=desk.tokens["root"],
            headers=(HOST, (b"accept", b"application/json")),
        )

    assert plain == {"bundle": 1}
    assert json.loads(as_json.body) == {"bundle": 1}
    read_only = whole["read_only"]
    assert isinstance(read_only, dict)
    assert "up~open" in str(read_only["models"])
    assert "demo__echo" in str(read_only["tools"])
    assert (changes(back), faults(back)) == ([], [])


async def test_what_is_wanted_of_published_tools_is_part_of_a_bundle(tmp_path: Path) -> None:
    """Exported, changed, given back to the source, and rolled back."""
    hidden: JsonObject = {"visibility": "team", "team": "red"}

    async with open_desk(tmp_path) as desk:
        publish_demo(desk.core)
        bundle: JsonObject = {"bundle": 1, "published": {"tools": {"demo__echo": hidden}}}
        applied = await desk.ask("POST", "config/apply", bundle)
        shown = await exported(desk)
        same = await desk.ask("POST", "config/plan", bundle)
        record = desk.record(Kind.TOOL, "demo__echo")
        empty: JsonObject = {"bundle": 1, "published": {"tools": {"demo__echo": {}}}}
        back = await desk.ask("POST", "config/apply", empty)
        plain = desk.record(Kind.TOOL, "demo__echo")
        rolled = await desk.ask("POST", f"config/versions/{back.data['version']}/rollback")
        again = desk.record(Kind.TOOL, "demo__echo")
        unknown = await desk.ask(
            "POST", "config/plan", {"bundle": 1, "published": {"tools": {"demo__no": hidden}}}
        )

    assert changes(applied) == [("update", "demo__echo")]
    assert shown["published"] == {"tools": {"demo__echo": hidden}}
    assert changes(same) == []
    assert record is not None
    assert plain is not None
    assert again is not None
    assert (record.team, plain.team, again.team) == ("red", None, "red")
    assert changes(rolled) == [("update", "demo__echo")]
    assert "published.tools.demo__no: " in faults(unknown)[0]


async def test_a_team_administrators_bundle_touches_their_team_alone(tmp_path: Path) -> None:
    """Others' hidden records are as absent; seen ones are refused; pruning leaves them alone."""
    async with open_desk(tmp_path) as desk:
        red = await with_config(desk, "red")
        await desk.ask("POST", "config/apply", BUNDLE)
        await desk.make("toolsets", {"name": "blues", "team": "blue", "visibility": "team"})
        own: JsonObject = {"bundle": 1, "toolsets": {"reds": {"tools": []}}}
        made = await desk.ask("POST", "config/apply?prune=true", own, by=red)
        record = desk.record(Kind.TOOLSET, "reds")
        hidden = await desk.ask(
            "POST", "config/apply", {"bundle": 1, "toolsets": {"blues": {"tools": []}}}, by=red
        )
        seen = await desk.ask(
            "POST", "config/apply", {"bundle": 1, "toolsets": {"kit": {"tools": []}}}, by=red
        )
        mine = await exported(desk, by=red)
        whole = await exported(desk, by=red, query="?all=true")
        not_mine = await desk.ask("GET", "config/versions", by=red)
        first = await desk.ask("GET", "config/versions")
        plain = await desk.ask("GET", "config/export", by="red")

    assert changes(made) == [("create", "reds")]
    assert record is not None
    assert (record.team, record.owner) == ("red", "red-config@example.org")
    assert (hidden.status, seen.status) == (400, 400)
    assert "The name 'blues' is not free" in hidden.message
    assert "belongs to none of your teams" in seen.message
    assert mine["toolsets"].keys() == {"reds"}  # type: ignore[union-attr]
    assert "providers" not in mine
    assert "blues" not in str(whole)
    assert len(not_mine.data["items"]) == 1  # type: ignore[arg-type]
    assert len(first.data["items"]) == 2  # type: ignore[arg-type]
    assert plain.status == 403


async def test_a_bundle_for_another_state_is_refused(tmp_path: Path) -> None:
    """With 412 where If-Match names the state it was planned on."""
    async with open_desk(tmp_path) as desk:
        planned = await desk.ask("POST", "config/plan", BUNDLE)
        await desk.make("toolsets", {"name": "between"})
        late = await desk.ask("POST", "config/apply", BUNDLE, match=planned.etag)
        fresh = await desk.ask("GET", "config/export")
        good = await desk.ask("POST", "config/apply", BUNDLE, match=fresh.etag)

    assert (late.status, late.code) == (412, "core.bundle.changed")
    assert good.status == 200


async def test_one_refused_change_refuses_them_all(tmp_path: Path) -> None:
    """A conflict found at the write leaves everything as it was, and no version."""
    async with open_desk(tmp_path) as desk:
        bundle: JsonObject = {
            "bundle": 1,
            "toolsets": {"a": {}},
            "gateways": {"far": {"url": "http://10.1.2.3/mcp"}},
        }
        refused = await desk.ask("POST", "config/apply", bundle)
        left = await exported(desk)
        told = await desk.ask("GET", "config/versions")

    assert refused.status == 400
    assert left == {"bundle": 1}
    assert told.data["items"] == []


async def test_a_rollback_undoes_a_version_and_all_later_ones(tmp_path: Path) -> None:
    """It is a version itself, so it can be undone, too."""
    second: JsonObject = {
        "bundle": 1,
        "models": {"box~c": {"description": "Changed."}},
        "toolsets": {"late": {}},
    }

    async with open_desk(tmp_path) as desk:
        await desk.ask("POST", "config/apply?note=one", BUNDLE)
        start = await exported(desk)
        middle = await desk.ask("POST", "config/apply?note=two", second)
        deleted = await desk.ask(
            "POST", "config/apply?prune=true", {"bundle": 1, "gateways": BUNDLE["gateways"]}
        )
        assert deleted.status == 200
        number = middle.data["version"]
        rolled = await desk.ask("POST", f"config/versions/{number}/rollback", {"note": "oops"})
        after = await exported(desk)
        told = await desk.ask("GET", "config/versions?limit=2")
        cursor = told.data["next_cursor"]
        rest = await desk.ask("GET", f"config/versions?cursor={cursor}")
        one = await desk.ask("GET", f"config/versions/{number}")
        undone = await desk.ask("POST", f"config/versions/{rolled.data['version']}/rollback")
        last = await exported(desk)
        empty = await desk.ask("POST", f"config/versions/{rest_id(rest)}/rollback")
        nothing = await exported(desk)

    assert after == start
    notes = [item["note"] for item in items(told) + items(rest)]
    assert notes == ["oops", "", "two", "one"]
    assert items(told)[0]["action"] == "rollback"
    before = one.data["before"]
    assert isinstance(before, dict)
    assert before["toolsets"] == {"late": None}
    assert undone.status == 200
    assert last.keys() == {"bundle", "gateways"}
    assert empty.status == 200, empty.raw
    assert nothing == {"bundle": 1}


def items(told: Told) -> list[dict[str, Json]]:
    """The items of a page."""
    found = told.data["items"]
    assert isinstance(found, list)
    return [item for item in found if isinstance(item, dict)]


def rest_id(told: Told) -> object:
    """The id of the oldest version of a page."""
    return items(told)[-1]["id"]


async def test_a_rollback_goes_back_over_versions_the_caller_knows(tmp_path: Path) -> None:
    """What others changed since is theirs: it is neither touched nor named."""
    ours: JsonObject = {"visibility": "team", "team": "red"}
    hidden: JsonObject = {"visibility": "private", "owner": "blue@example.org"}

    async with open_desk(tmp_path) as desk:
        desk.tokens["red"] = await desk.heart.token(
            "red", permissions=("config.*", "servers.*"), user_email="red@example.org"
        )

        async def apply(by: str, **servers: JsonObject) -> JsonObject:
            told = await desk.ask(
                "POST", "config/apply", {"bundle": 1, "servers": {**servers}}, by=by
            )
            assert told.status == 200, told.raw
            return told.data

        await apply("root", plans=hidden)
        mine = await apply("red", ours=ours)
        await apply("root", plans={**hidden, "description": "Plans."})
        path = f"config/versions/{mine['version']}/rollback"
        rolled = await desk.ask("POST", path, by="red")
        record, plans = desk.record(Kind.SERVER, "ours"), desk.record(Kind.SERVER, "plans")

    assert rolled.status == 200, rolled.raw
    assert b"plans" not in rolled.raw
    assert record is None
    assert plans is not None
    assert plans.description == "Plans."


async def test_a_rollback_that_is_in_the_way_of_others_is_refused(tmp_path: Path) -> None:
    """What was made since needs the record: it says so and changes nothing."""
    async with open_desk(tmp_path) as desk:
        made = await desk.ask("POST", "config/apply", without(BUNDLE, "servers", "toolsets"))
        await desk.make("toolsets", {"name": "since", "tools": ["ask-b"]})
        refused = await desk.ask("POST", f"config/versions/{made.data['version']}/rollback")
        record = desk.record(Kind.PROVIDER, "box")

    assert refused.status == 400
    assert "still needed by toolset 'since'" in refused.message
    assert record is not None


@pytest.mark.parametrize("number", ["0", "999", "x", "9" * 30, "1²"])
async def test_an_unknown_version_is_not_found(tmp_path: Path, number: str) -> None:
    """Whatever its number looks like."""
    async with open_desk(tmp_path) as desk:
        told = await desk.ask("GET", f"config/versions/{number}")
        rolled = await desk.ask("POST", f"config/versions/{number}/rollback")

    assert (told.status, rolled.status) == (404, 404)
    assert told.code == "core.version.not_found"


async def test_versions_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest goes when one is added."""
    monkeypatch.setattr(versions, "KEPT", 2)

    async with open_desk(tmp_path) as desk:
        for number in range(3):
            await desk.ask(
                "POST",
                f"config/apply?note={number}",
                {"bundle": 1, "toolsets": {f"t{number}": {}}},
            )

        told = await desk.ask("GET", "config/versions")

    assert [item["note"] for item in items(told)] == ["2", "1"]


async def test_an_applied_bundle_is_in_the_audit_log(tmp_path: Path) -> None:
    """As a whole, and each record."""
    async with open_desk(tmp_path) as desk:
        await desk.ask("POST", "config/apply?note=because", BUNDLE)
        told = await desk.ask("GET", "audit")

    actions = [str(item["action"]) for item in items(told)]
    assert "config.apply" in actions
    assert actions.count("models.create") == 2


@pytest.mark.parametrize("query", ["?prun=true", "?prune=yes"])
async def test_a_misspelt_parameter_is_refused(tmp_path: Path, query: str) -> None:
    """A plan without what was meant must not look like one with it."""
    async with open_desk(tmp_path) as desk:
        assert (await desk.ask("POST", f"config/apply{query}", BUNDLE)).status == 400
