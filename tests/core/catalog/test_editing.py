"""Several people at once: lost updates are refused, pages hold, secrets and tables follow."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spindle.administrator import local_context
from spindle.catalog.editing import Edit, open_editor
from spindle_spi.errors import Conflict, GatewayError, InvalidArgument
from spindle_spi.policy import Action
from spindle_spi.records import Kind, ProviderSpec, secret_of
from tests.core.catalog.desk import LOCAL, Desk, open_desk, publish_demo

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.secret import SecretRef
    from spindle_spi.types import Json, JsonObject

NEAR: JsonObject = {"name": "near", "urls": [LOCAL], "api_key": "sk-first-secret"}
MODEL_COLUMNS = [
    *("type", "state", "description", "publisher", "modified_at", "architecture"),
    *("quantization", "name", "max_tokens", "size", "streaming", "instructed", "coding"),
    *("tooling", "is_mlx", "is_gguf", "parameters", "runtime_name", "service", "file_path"),
]
SERVICE_COLUMNS = [
    *("service_name", "api_format", "api_key_env_var", "urls", "short_timeout_sec"),
    *("long_timeout_sec", "verify_cert", "enable_discovery"),
]


def rows(home: Path, table: str, columns: list[str], where: str) -> list[dict[str, object]]:
    """Return rows of a table by SQL, beside the store."""
    connection = sqlite3.connect(home / "spindle.db")

    try:
        query = f"SELECT {', '.join(columns)} FROM {table} WHERE {where}"
        return [dict(zip(columns, row, strict=True)) for row in connection.execute(query)]
    finally:
        connection.close()


async def test_the_second_of_two_editors_is_refused(tmp_path: Path) -> None:
    """412 on every way to change a record, stored or published; a list of tags and `*` hold."""
    async with open_desk(tmp_path) as desk:
        publish_demo(desk.core)
        await desk.make("servers", {"name": "s"})

        for path in ("servers/s", "tools/demo__echo"):
            read = await desk.ask("GET", path)
            first = await desk.ask("PATCH", path, {"tags": ["one"]}, match=read.etag)
            assert first.status == 200
            identity = first.data["id"]
            kind = path.partition("/")[0]
            late = [
                await desk.ask("PATCH", path, {"tags": ["two"]}, match=read.etag),
                await desk.ask("PATCH", path, {"tags": ["two"]}, match='"x"'),
                await desk.ask(
                    "POST", f"{kind}/{identity}/state", {"enabled": False}, match=read.etag
                ),
            ]

            if kind == "servers":
                late.append(await desk.ask("DELETE", path, match=read.etag))

            assert {(told.status, told.code) for told in late} == {(412, "core.record.changed")}
            assert (await desk.ask("GET", path)).data["tags"] == ["one"]
            both = f"W/{read.etag}, {first.etag}"
            assert (await desk.ask("PATCH", path, {"tags": ["2"]}, match=both)).status == 200
            assert (await desk.ask("PATCH", path, {"tags": ["3"]}, match="*")).status == 200


@pytest.mark.unmeasured
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(plans=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=2, max_size=5))
async def test_no_update_is_lost_whoever_writes_at_once(
    tmp_path_factory: pytest.TempPathFactory, plans: list[list[int]]
) -> None:
    """Editors add their mark to what they read, under If-Match: every mark accepted is kept."""
    async with open_desk(tmp_path_factory.mktemp("lost")) as desk:
        await desk.make("servers", {"name": "s"})
        kept: list[str] = []

        async def edit(editor: int, plan: list[int]) -> None:
            for turn, pause in enumerate(plan):
                read = await desk.ask("GET", "servers/s")

                for _ in range(pause):
                    await anyio.lowlevel.checkpoint()

                mark = f"{editor}.{turn}"
                tags = read.data["tags"]
                assert isinstance(tags, list)
                wanted: list[Json] = [*tags, mark]
                told = await desk.ask("PATCH", "servers/s", {"tags": wanted}, match=read.etag)
                assert told.status in (200, 412)

                if told.status == 200:
                    kept.append(mark)

        async with anyio.create_task_group() as group:
            for editor, plan in enumerate(plans):
                group.start_soon(edit, editor, plan)

        assert (await desk.ask("GET", "servers/s")).data["tags"] == kept
        assert kept


@pytest.mark.unmeasured
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    limit=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from("abxyz"), st.booleans()), max_size=8),
)
async def test_pages_neither_repeat_nor_skip_while_records_come_and_go(
    tmp_path_factory: pytest.TempPathFactory, limit: int, steps: list[tuple[str, bool]]
) -> None:
    """What was there all the time is met once; what came or went, at most once."""
    async with open_desk(tmp_path_factory.mktemp("pages")) as desk:
        stable = [f"m{number}" for number in range(7)]

        for name in stable:
            await desk.make("toolsets", {"name": name})

        met: list[str] = []
        cursor = ""
        moves = iter(steps)

        while True:
            page = await desk.ask("GET", f"toolsets?limit={limit}{cursor}")
            met += page.names
            assert len(page.names) <= limit

            for name, is_coming in [move for move in [next(moves, None)] if move is not None]:
                if is_coming:
                    await desk.ask("POST", "toolsets", {"name": f"{name}-new"})
                else:
                    await desk.ask("DELETE", f"toolsets/{name}-new")

            if page.data["next_cursor"] is None:
                break

            cursor = f"&cursor={page.data['next_cursor']}"

        assert len(met) == len(set(met))
        assert [name for name in met if name in stable] == stable
        assert (await desk.ask("GET", "toolsets?cursor=%21")).status == 400


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("visibility=team", ["up~blue", "up~red"]),
        ("team=red", ["up~red"]),
        ("owner=nobody", []),
        ("enabled=false", []),
        ("origin=config", ["up~blue", "up~open", "up~red"]),
        ("origin=api", ["up~new"]),
        ("tag=cheap", ["up~new"]),
        ("provider=up", ["up~blue", "up~new", "up~open", "up~red"]),
        ("provider=mock", []),
        ("q=UP~R", ["up~red"]),
        ("q=chea", ["up~new"]),
        ("q=fast", ["up~new"]),
        ("limit=2", ["up~blue", "up~new"]),
    ],
)
async def test_lists_are_filtered(tmp_path: Path, query: str, names: list[str]) -> None:
    """By every key, and by words in name, description and tags."""
    async with open_desk(tmp_path) as desk:
        new: JsonObject = {"provider": "up", "upstream_name": "new", "tags": ["cheap"]}
        await desk.make("models", {**new, "description": "Very fast."})
        assert (await desk.ask("GET", f"models?{query}")).names == names


@pytest.mark.parametrize("query", ["visibilty=team", "visibility=x", "enabled=1", "limit=0"])
async def test_a_filter_that_is_none_is_refused(tmp_path: Path, query: str) -> None:
    """It must not widen the answer."""
    async with open_desk(tmp_path) as desk:
        assert (await desk.ask("GET", f"models?{query}")).status == 400
        assert (await desk.ask("GET", f"servers/desk?{query}")).status == 400


def _ref(desk: Desk) -> SecretRef | None:
    record = desk.record(Kind.PROVIDER, "near")
    assert record is not None
    return secret_of(record.spec)


async def test_a_key_is_taken_and_never_given_back(tmp_path: Path) -> None:
    """It is in no answer, no audit entry and no catalog row; the module gets it by reference."""
    async with open_desk(tmp_path) as desk:
        made = await desk.ask("POST", "providers", NEAR)
        assert (made.data["api_key_set"], b"sk-first" in made.raw) == (True, False)
        first = _ref(desk)
        assert first is not None
        assert made.data["api_key_ref"] == first.name
        assert desk.core.secrets.resolve(first).reveal() == "sk-first-secret"

        # Refused, a new key changes nothing: not even the old one.
        told = await desk.ask("PATCH", "providers/near", {"api_key": "sk-no"}, match='"1"')
        assert told.status == 412
        assert await stored(desk) == [first.name]
        assert desk.core.secrets.resolve(first).reveal() == "sk-first-secret"

        assert (await desk.ask("PATCH", "providers/near", {"api_key": "sk-two"})).status == 200
        second = _ref(desk)
        assert second is not None
        assert second != first
        assert desk.core.secrets.resolve(second).reveal() == "sk-two"
        assert await stored(desk) == [second.name]
        await desk.ask("PATCH", "providers/near", {"timeout": 3})
        assert _ref(desk) == second

        none = await desk.ask("PATCH", "providers/near", {"api_key": None})
        assert (none.data["api_key_set"], none.data["api_key_ref"]) == (False, None)
        assert await stored(desk) == []

        gateway: JsonObject = {"name": "files", "url": LOCAL, "credential": "sk-three"}
        assert (await desk.make("gateways", gateway))["credential_set"] is True
        assert (await desk.ask("DELETE", "gateways/files")).status == 204
        assert await stored(desk) == []

    whole = (tmp_path / "spindle.db").read_bytes()
    assert [word for word in (b"sk-first", b"sk-two", b"sk-three") if word in whole] == []


async def stored(desk: Desk) -> list[str]:
    """Return the names of the stored secrets."""
    return [row.name for row in await desk.core.store.secrets.all()]


@pytest.mark.requirement("001-table-models")
async def test_a_models_row_says_what_its_record_says(tmp_path: Path) -> None:
    """Written with it, changed with it, gone with it; read by SQL."""
    facts: JsonObject = {
        "publisher": "org",
        "architecture": "llama3",
        "quantization": "q4",
        "size": 4_000_000_000,
        "parameters": 8_000_000_000,
        "runtime": "llama.cpp",
        "file_path": "/models/large.gguf",
        "modified_at": 1_700_000_000,
        "instructed": True,
        "coding": True,
        "is_gguf": True,
    }
    body: JsonObject = {
        "provider": "up",
        "upstream_name": "large",
        "description": "Big.",
        "context_window": 8192,
        "supports": ["chat", "function_calling"],
        "facts": facts,
    }

    async with open_desk(tmp_path) as desk:
        made = await desk.make("models", body)
        where = f"record_id = '{made['id']}'"
        (row,) = rows(tmp_path, "llm_models", MODEL_COLUMNS, where)
        assert row == {
            **{key: value for key, value in facts.items() if key != "runtime"},
            "runtime_name": "llama.cpp",
            "type": "llm",
            "state": "unknown",
            "description": "Big.",
            "name": "up~large",
            "max_tokens": 8192,
            "streaming": False,
            "tooling": True,
            "is_mlx": False,
            "service": "up",
        }
        await desk.ask("PATCH", "models/up~large", {"facts": {"size": 5}, "context_window": None})
        (row,) = rows(tmp_path, "llm_models", MODEL_COLUMNS, where)
        assert (row["size"], row["max_tokens"], row["publisher"]) == (5, None, "org")

        declared = rows(tmp_path, "llm_models", ["name"], "service = 'up'")
        assert {row["name"] for row in declared} == {"up~open", "up~red", "up~blue", "up~large"}
        await desk.ask("DELETE", "models/up~large")
        assert rows(tmp_path, "llm_models", ["name"], where) == []


@pytest.mark.requirement("001-table-config")
async def test_a_providers_row_says_what_its_record_says(tmp_path: Path) -> None:
    """Declared ones too, and where the configuration takes the key from."""
    async with open_desk(tmp_path) as desk:
        made = await desk.make("providers", {**NEAR, "short_timeout": 2.5})
        where = f"record_id = '{made['id']}'"
        (row,) = rows(tmp_path, "llm_service_configs", SERVICE_COLUMNS, where)
        urls = json.loads(str(row.pop("urls")))
        assert (urls, row) == (
            [LOCAL],
            {
                "service_name": "near",
                "api_format": "openai",
                "api_key_env_var": None,
                "short_timeout_sec": 3,
                "long_timeout_sec": 180,
                "verify_cert": True,
                "enable_discovery": False,
            },
        )
        await desk.ask("PATCH", "providers/near", {"verify_cert": False})
        (row,) = rows(tmp_path, "llm_service_configs", SERVICE_COLUMNS, where)
        assert row["verify_cert"] == 0
        assert rows(tmp_path, "llm_service_configs", ["service_name"], "service_name = 'up'")
        await desk.ask("DELETE", "providers/near")
        assert rows(tmp_path, "llm_service_configs", SERVICE_COLUMNS, where) == []


async def test_every_change_is_in_the_audit_log_with_what_it_changed(tmp_path: Path) -> None:
    """In the transaction of the change: none without the other, and no secret in it."""
    async with open_desk(tmp_path) as desk:
        await desk.make("providers", NEAR)
        await desk.ask("PATCH", "providers/near", {"description": "new"})
        await desk.ask("PATCH", "providers/near", {"name": "no"})
        await desk.ask("DELETE", "providers/near")
        columns = ["action", "target", "before", "after"]
        found = rows(tmp_path, "audit", columns, "target = 'near' AND decision = 'allowed'")

        assert [row["action"] for row in found] == [
            "providers.create",
            "providers.update",
            "providers.delete",
        ]
        assert (found[0]["before"], found[2]["after"]) == (None, None)
        assert json.loads(str(found[1]["before"]))["description"] == ""
        assert json.loads(str(found[1]["after"]))["description"] == "new"
        assert "sk-first" not in str(found)


async def test_edits_are_carried_out_together_or_not_at_all(tmp_path: Path) -> None:
    """Each is judged by what the ones before made; a command takes the same way as the API."""
    near: JsonObject = {"name": "near", "urls": ["http://10.0.0.1/v1"]}
    model: JsonObject = {"provider": "near", "upstream_name": "a"}
    edits = [
        Edit(action=Action.CREATE, kind=Kind.PROVIDER, data=near),
        Edit(action=Action.CREATE, kind=Kind.MODEL, data=model),
        Edit(action=Action.UPDATE, kind=Kind.PROVIDER, name="near", data={"timeout": 3}),
    ]
    wrong = Edit(action=Action.DELETE, kind=Kind.PROVIDER, name="near")
    me = local_context()

    async with (
        open_desk(tmp_path) as desk,
        open_editor(desk.core.store, desk.core.settings) as editor,
    ):
        with pytest.raises(Conflict):
            await editor.apply(me, [*edits, wrong])

        await desk.core.snapshots.refresh()
        assert desk.record(Kind.PROVIDER, "near") is None

        with pytest.raises(InvalidArgument):
            await editor.apply(me, [Edit(action=Action.READ, kind=Kind.PROVIDER)])

        contents = await desk.core.store.catalog.contents()
        assert len(editor.plan(me, edits, contents)) == 3
        changes = await editor.apply(me, edits)
        assert [change.record.name for change in changes] == ["near", "near~a", "near"]
        await desk.core.snapshots.refresh()
        record = desk.record(Kind.PROVIDER, "near")
        assert record is not None
        assert isinstance(record.spec, ProviderSpec)
        assert record.spec.timeout == 3.0


async def test_a_secret_that_cannot_be_kept_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a record nor those of its secrets that could be."""
    async with open_desk(tmp_path) as desk:
        real = desk.core.vault.put
        calls: list[str] = []

        async def put(name: str, value: object, **_: object) -> SecretRef:
            calls.append(name)

            if len(calls) == 2:
                raise InvalidArgument("no")

            kept: SecretRef = await real(name, value)  # type: ignore[arg-type]
            return kept

        monkeypatch.setattr(desk.core.vault, "put", put)
        both = [
            Edit(action=Action.CREATE, kind=Kind.PROVIDER, data={**NEAR, "name": name, **key})
            for name, key in (("a", {}), ("b", {"api_key": "sk-other"}))
        ]

        with pytest.raises(GatewayError):
            await desk.core.catalog.apply(local_context(), both)

        assert len(calls) == 2
        assert await stored(desk) == []


async def test_of_two_changes_of_one_state_at_once_one_is_made(tmp_path: Path) -> None:
    """Both pass every check before the transaction; only there it is decided."""
    async with open_desk(tmp_path) as desk:
        made = await desk.ask("POST", "servers", {"name": "s"})
        statuses: list[int] = []

        async def change(tag: str) -> None:
            told = await desk.ask("PATCH", "servers/s", {"tags": [tag]}, match=made.etag)
            statuses.append(told.status)

        async with anyio.create_task_group() as group:
            for tag in "abc":
                group.start_soon(change, tag)

        assert sorted(statuses) == [200, 412, 412]


async def test_a_change_that_fails_at_its_end_leaves_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was put aside for it is forgotten."""
    async with open_desk(tmp_path) as desk:

        async def amend(decide: object) -> int:
            assert await stored(desk) != []
            raise Conflict("Somebody was quicker.")

        monkeypatch.setattr(desk.core.store.catalog, "amend", amend)
        assert (await desk.ask("POST", "providers", NEAR)).status == 409
        assert await stored(desk) == []
