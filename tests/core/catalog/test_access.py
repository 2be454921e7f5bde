"""Who may do what with records: hidden is absent, and a part is needed to change."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from spindle.administrator import local_context
from spindle.api.catalog import ROUTES as CATALOG_ROUTES
from spindle.api.registry import ROUTES as REGISTRY_ROUTES
from spindle_spi.errors import Unsupported
from spindle_spi.records import GatewaySpec, Kind
from tests.core.catalog.desk import LOCAL, Desk, open_desk, publish_demo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spindle.store.catalog import Amendment, Contents
    from spindle_spi.types import JsonObject

RED: JsonObject = {"visibility": "team", "team": "red"}
HIDDEN: dict[str, JsonObject] = {
    "providers": {"name": "ghost", "urls": [LOCAL], **RED},
    "models": {"provider": "up", "upstream_name": "ghost", **RED},
    "gateways": {"name": "ghost", "url": LOCAL, **RED},
    "servers": {"name": "ghost", **RED},
    "tools": {"name": "ghost", "model": "up~open", **RED},
    "toolsets": {"name": "ghost", **RED},
}
PUBLISHED = {
    "tools": "demo__ghost",
    "resources": "demo://a/b",
    "templates": "demo://{a}",
    "prompts": "demo__greet",
}
VALID: dict[str, JsonObject] = {
    "PATCH": {"description": "mine"},
    "POST": {"enabled": False},
}


@pytest.mark.requirement("000-core-exposure")
async def test_a_hidden_record_answers_like_one_that_is_not_there(tmp_path: Path) -> None:
    """On every route with a record in its path, by id and by name: the same status and bytes."""
    routes = [route for route in (*CATALOG_ROUTES, *REGISTRY_ROUTES) if "{" in route.path]
    cells = 0

    async with open_desk(tmp_path) as desk:
        # Blue may do anything at all, to what it sees.
        desk.tokens["blue"] = await desk.heart.token("blue", role="platform_admin")
        publish_demo(desk.core, "ghost")
        made = {path: await desk.make(path, body) for path, body in HIDDEN.items()}

        for path, name in PUBLISHED.items():
            assert (await desk.ask("PATCH", f"{path}/{name}", RED)).status == 200

        for route in routes:
            collection = route.path.removeprefix("/admin/api/v1/").removeprefix("/llm/")
            collection, _, _ = collection.partition("/")
            words = [PUBLISHED[collection]] if collection in PUBLISHED else []

            if collection in made:
                words += [str(made[collection]["name"]), str(made[collection]["id"])]

            for word in words:
                if "/" in word and route.path.endswith("/state"):
                    continue

                hidden, absent = [
                    await desk.ask(
                        route.method,
                        re.sub(r"\{[a-z:]+\}", said, route.path),
                        VALID.get(route.method),
                        by="blue",
                    )
                    for said in (word, "x" * len(word))
                ]
                assert hidden.status == absent.status == 404, (route, word, hidden.raw)
                assert _alike(hidden.raw, word) == _alike(absent.raw, "x" * len(word))
                cells += 1

    assert cells >= 60


def _alike(raw: bytes, word: str) -> bytes:
    text = raw.replace(word.encode(), b"WORD")
    head, mark, _ = text.partition(b'"traceId"')
    return head + mark


async def test_a_list_shows_what_the_caller_sees(tmp_path: Path) -> None:
    """Records of other teams are in nobody else's list, nor does a filter find them."""
    async with open_desk(tmp_path) as desk:
        for path, body in HIDDEN.items():
            await desk.make(path, body)

            if path != "providers":
                assert any("ghost" in n for n in (await desk.ask("GET", path, by="red")).names)
                for query in ("", "?q=ghost", "?team=red", "?visibility=team"):
                    told = await desk.ask("GET", f"{path}{query}", by="blue")
                    assert not any("ghost" in name for name in told.names)

        assert (await desk.ask("GET", "providers", by="red")).status == 403


async def test_what_is_switched_off_is_there_for_those_who_could_switch_it_on(
    tmp_path: Path,
) -> None:
    """For users it is gone; for others of the team, who only read, too."""
    async with open_desk(tmp_path) as desk:
        desk.tokens["reader"] = await desk.heart.token("red", role="viewer")
        body = HIDDEN["models"]
        await desk.make("models", body, by="red")
        assert (await desk.ask("GET", "/llm/models/up~ghost", by="reader")).status == 200
        where = "/llm/models/up~ghost/state"
        assert (await desk.ask("POST", where, {"enabled": False}, by="red")).status == 200

        assert (await desk.ask("GET", "/llm/models/up~ghost", by="reader")).status == 404
        assert "up~ghost" not in (await desk.ask("GET", "/llm/models", by="reader")).names
        assert "up~ghost" in (await desk.ask("GET", "/llm/models?enabled=false", by="red")).names
        assert (await desk.ask("POST", where, {"enabled": True}, by="red")).status == 200
        assert (await desk.ask("GET", "/llm/models/up~ghost", by="reader")).status == 200


async def test_to_change_a_record_one_must_have_a_part_in_it(tmp_path: Path) -> None:
    """Seen and permitted is not enough for what belongs to others, or to everybody."""
    async with open_desk(tmp_path) as desk:
        await desk.make("servers", {"name": "reds", "team": "red", "visibility": "public"})
        await desk.make("servers", {"name": "all", "visibility": "public"})

        for name in ("reds", "all"):
            told = await desk.ask("PATCH", f"servers/{name}", {"tags": ["x"]}, by="blue")
            assert (told.status, told.code) == (403, "core.record.foreign")
            assert (await desk.ask("DELETE", f"servers/{name}", by="blue")).status == 403

        assert (await desk.ask("PATCH", "servers/reds", {"tags": ["x"]}, by="red")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"visibility": "public"},
        {"team": "blue"},
        {"team": "blue", "owner": "red@example.org", "visibility": "private"},
        {"owner": "eve@example.org"},
        {"anonymous": True},
    ],
)
async def test_nobody_gives_a_record_to_others_or_to_everybody(
    tmp_path: Path, body: JsonObject
) -> None:
    """Neither when it is made nor later; a platform's administrator may."""
    async with open_desk(tmp_path) as desk:
        told = await desk.ask("POST", "servers", {"name": "mine", **body}, by="red")
        assert (told.status, told.code) == (403, "core.record.holding")

        await desk.make("servers", {"name": "ours"}, by="red")
        told = await desk.ask("PATCH", "servers/ours", body, by="red")
        assert (told.status, told.code) == (403, "core.record.holding")
        assert (await desk.ask("PATCH", "servers/ours", body)).status == 200


async def test_a_new_record_is_its_makers_unless_it_says_otherwise(tmp_path: Path) -> None:
    """In development the team sees it, in production its owner alone."""
    async with open_desk(tmp_path) as desk:
        ours = await desk.make("servers", {"name": "a"}, by="red")
        assert (ours["team"], ours["owner"], ours["visibility"]) == (
            "red",
            "red@example.org",
            "team",
        )
        assert (await desk.make("servers", {"name": "b"}))["visibility"] == "public"

    home = tmp_path / "production"
    home.mkdir()

    async with open_desk(home, "environment: production\n") as desk:
        assert (await desk.make("servers", {"name": "a"}, by="red"))["visibility"] == "private"
        assert (await desk.make("servers", {"name": "b"}))["visibility"] == "private"


async def test_nobody_makes_what_they_would_not_see(tmp_path: Path) -> None:
    """A token of no person and several teams has to say which."""
    async with open_desk(tmp_path) as desk:
        desk.tokens["bot"] = await desk.heart.token("red", "blue", role="team_admin")
        assert (await desk.ask("POST", "servers", {"name": "a"}, by="bot")).status == 403
        told = await desk.ask("POST", "servers", {"name": "a", "team": "red"}, by="bot")
        assert told.status == 201
        private: JsonObject = {"name": "b", "team": "red", "visibility": "private"}
        assert (await desk.ask("POST", "servers", private, by="bot")).status == 403


async def test_the_permission_of_the_kind_is_needed_as_well(tmp_path: Path) -> None:
    """A developer's token makes servers and deletes none."""
    async with open_desk(tmp_path) as desk:
        desk.tokens["dev"] = await desk.heart.token(
            "red", role="developer", user_email="dev@example.org"
        )
        await desk.make("servers", {"name": "mine"}, by="dev")
        told = await desk.ask("DELETE", "servers/mine", by="dev")
        assert (told.status, told.code) == (403, "permission_denied")
        assert (await desk.ask("POST", "toolsets", {"name": "t"}, by="dev")).status == 403


async def test_a_teams_gateway_connects_to_the_address_that_was_judged(tmp_path: Path) -> None:
    """Its name may lead elsewhere later; that would be another decision."""
    async with open_desk(tmp_path) as desk:
        told = await desk.make("gateways", {"name": "ours", "url": LOCAL}, by="red")
        record = desk.record(Kind.GATEWAY, "ours")
        assert record is not None
        assert isinstance(record.spec, GatewaySpec)
        assert record.spec.options == {"address": "127.0.0.1"}
        await desk.ask("PATCH", "gateways/ours", {"timeout": 3}, by="red")
        again = desk.record(Kind.GATEWAY, "ours")
        assert again is not None
        assert again.spec == replace(record.spec, timeout=3.0)
        assert told["options"] == {"address": "127.0.0.1"}


async def test_a_teams_rest_api_and_its_document_are_where_they_were_judged_to_be(
    tmp_path: Path,
) -> None:
    """Each pinned by its URL, wherever in the record that stands; neither is for callers to set."""
    document = "http://127.0.0.1:10/openapi.json"
    rest: JsonObject = {"name": "ours", "transport": "openapi", "url": LOCAL}

    async with open_desk(tmp_path) as desk:
        await desk.make("gateways", {**rest, "options": {"document": document}}, by="red")
        assert _options(desk) == {
            "document": document,
            "address": "127.0.0.1",
            "document_address": "127.0.0.1",
        }
        told = await desk.ask("PATCH", "gateways/ours", {"options": {"document": LOCAL}}, by="red")
        assert told.status == 200, told.raw
        assert _options(desk)["document_address"] == "127.0.0.1"
        told = await desk.ask(
            "PATCH", "gateways/ours", {"options": {"document": "http://10.0.0.1/d"}}, by="red"
        )
        assert (told.status, told.code) == (400, "core.egress.refused")
        told = await desk.ask(
            "PATCH", "gateways/ours", {"options": {"document_address": "10.0.0.1"}}, by="red"
        )
        assert told.status == 400
        assert _options(desk)["document"] == LOCAL


def _options(desk: Desk) -> JsonObject:
    record = desk.record(Kind.GATEWAY, "ours")
    assert record is not None
    assert isinstance(record.spec, GatewaySpec)
    return record.spec.options


async def test_an_address_nobody_judged_is_not_written_whoever_changes_it_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there when it was judged is another address by the time it is written."""
    async with open_desk(tmp_path) as desk:
        await desk.make("gateways", {"name": "ours", "url": LOCAL}, by="red")
        catalog = desk.core.store.catalog
        amend = catalog.amend
        other: JsonObject = {"url": "http://127.0.0.1:10/v1"}
        changes = [other]

        async def amend_late(decide: Callable[[Contents], Amendment]) -> None:
            if changes:
                told = await desk.ask("PATCH", "gateways/ours", changes.pop(), by="red")
                assert told.status == 200, told.raw

            await amend(decide)

        monkeypatch.setattr(catalog, "amend", amend_late)
        told = await desk.ask("PATCH", "gateways/ours", {"url": LOCAL}, by="red")
        assert (told.status, told.code) == (412, "core.record.changed"), told.raw
        record = desk.record(Kind.GATEWAY, "ours")
        assert record is not None
        assert isinstance(record.spec, GatewaySpec)
        assert record.spec.url == other["url"]
        assert record.spec.options == {"address": "127.0.0.1"}


async def test_ephemeral_gateways_are_nobodys_to_administer(tmp_path: Path) -> None:
    """They live for one lease of one caller."""
    async with open_desk(tmp_path) as desk:
        record = desk.record(Kind.GATEWAY, "demo")
        assert record is not None
        mine = replace(record, id="e", name="own-1", origin="ephemeral")
        desk.core.snapshots.add_ephemeral(mine)

        assert "own-1" not in (await desk.ask("GET", "gateways")).names
        for word in ("own-1", "e"):
            assert (await desk.ask("GET", f"gateways/{word}")).status == 404
            assert (await desk.ask("PATCH", f"gateways/{word}", {"tags": []})).status == 404


async def test_who_came_through_a_server_governs_what_it_shows(tmp_path: Path) -> None:
    """And nothing else, whatever their permissions are."""
    async with open_desk(tmp_path) as desk:
        server = (await desk.ask("GET", "servers/desk")).data
        desk.tokens["bound"] = await desk.heart.token(
            role="platform_admin", admin=True, server_id=str(server["id"])
        )
        publish_demo(desk.core)
        assert (await desk.ask("GET", "models", by="bound")).names == ["up~open"]
        assert (await desk.ask("PATCH", "tools/demo__echo", RED, by="bound")).status == 200
        assert (await desk.ask("PATCH", "models/up~red", {"tags": []}, by="bound")).status == 404
        assert (await desk.ask("PATCH", "models/up~open", {"tags": []}, by="bound")).status == 409
        assert (await desk.ask("DELETE", "tools/demo__echo", by="bound")).status == 409


async def test_what_a_program_asks_for_is_refused_as_well(tmp_path: Path) -> None:
    """The editor does not rely on there being no route."""
    async with open_desk(tmp_path) as desk:
        with pytest.raises(Unsupported):
            await desk.core.catalog.create(local_context(), Kind.RESOURCE_TEMPLATE, {})
