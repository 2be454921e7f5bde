"""The catalog over REST: making, reading, changing and deleting records of every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spindle.config import load_settings
from spindle_spi.records import Kind, PublishedRecord, ToolSpec
from tests.core.catalog.desk import LOCAL, desk_over, open_desk, publish_demo, publish_models

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.types import JsonObject

BODIES: dict[str, JsonObject] = {
    "providers": {"name": "near", "urls": [LOCAL], "max_retries": 2, "options": {"a": {"b": 1}}},
    "models": {"provider": "up", "upstream_name": "org/large", "aliases": ["big"]},
    "gateways": {"name": "files", "url": LOCAL, "options": {"x": 1}},
    "servers": {"name": "shop", "gateways": ["demo"], "models": ["up~open"], "tools": ["ask"]},
    "tools": {"name": "tell", "model": "up~open"},
    "toolsets": {"name": "basics", "tools": ["ask", "demo__later"]},
}


@pytest.mark.requirement("000-core-catalogs")
@pytest.mark.requirement("000-core-registry")
@pytest.mark.parametrize("path", BODIES)
async def test_a_record_is_made_read_changed_switched_and_deleted(
    tmp_path: Path, path: str
) -> None:
    """By id and by name; each answer carries the tag of the state it shows."""
    async with open_desk(tmp_path) as desk:
        made = await desk.ask("POST", path, {**BODIES[path], "tags": ["t"], "description": "d"})
        assert made.status == 201, made.raw
        place = made.headers[b"location"].decode()
        name = str(made.data["name"])

        for where in (place, f"{path}/{name}"):
            read = await desk.ask("GET", where)
            assert (read.status, read.data, read.etag) == (200, made.data, made.etag)

        assert name in (await desk.ask("GET", path)).names

        changed = await desk.ask("PATCH", place, {"description": None, "tags": ["u"]})
        assert (changed.data["description"], changed.data["tags"]) == ("", ["u"])
        assert changed.etag != made.etag
        rest = made.data.keys() - {"description", "tags", "epoch", "updated_at"}
        assert {key: changed.data[key] for key in rest} == {key: made.data[key] for key in rest}

        off = await desk.ask("POST", f"{path}/{made.data['id']}/state", {"enabled": False})
        assert (off.status, off.data["enabled"]) == (200, False)
        assert (await desk.ask("GET", place)).data["enabled"] is False

        assert (await desk.ask("DELETE", place)).status == 204
        assert (await desk.ask("GET", place)).status == 404
        assert (await desk.ask("DELETE", place)).status == 404


@pytest.mark.parametrize("path", ["resources", "templates", "prompts"])
async def test_what_only_upstreams_publish_cannot_be_made(tmp_path: Path, path: str) -> None:
    """There is no such route."""
    async with open_desk(tmp_path) as desk:
        assert (await desk.ask("POST", path, {"name": "x"})).status == 405


async def test_a_change_merges_objects_and_replaces_the_rest(tmp_path: Path) -> None:
    """RFC 7396: a null takes a key out, a list is replaced."""
    async with open_desk(tmp_path) as desk:
        body: JsonObject = {"name": "near", "urls": [LOCAL], "options": {"a": {"b": 1, "c": 2}}}
        await desk.make("providers", body)
        told = await desk.ask(
            "PATCH",
            "providers/near",
            {"options": {"a": {"b": None}, "d": 3}, "timeout": 7, "urls": [LOCAL, f"{LOCAL}/2"]},
        )

        assert told.data["options"] == {"a": {"c": 2}, "d": 3}
        assert (told.data["timeout"], told.data["urls"]) == (7.0, [LOCAL, f"{LOCAL}/2"])
        again = await desk.ask("PATCH", "providers/near", {"timeout": None})
        assert again.data["timeout"] is None


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("providers", {"urls": [LOCAL]}, "name: is missing"),
        ("providers", {"name": ""}, "name: "),
        ("providers", {"name": "a b"}, "name: 'a b' is not a name"),
        ("providers", {"name": "x", "urls": ["ftp://x"]}, "urls[0]: is not an http(s) URL"),
        ("providers", {"name": "x", "urls": ["http://u:p@x"]}, "has credentials in it"),
        ("providers", {"name": "x", "nmae": 1}, "nmae: unknown key, did you mean 'name'?"),
        ("providers", {"name": "x", "requests_per_minute": 0}, "requests_per_minute: "),
        ("providers", {"name": "x", "options": {"address": "10.0.0.1"}}, "'address' is the"),
        ("providers", {"name": "x", "urls": ["http://169.254.1.1/"]}, "address is not allowed"),
        ("gateways", {"name": "x", "url": "http://10.0.0.1/mcp"}, "address is not allowed"),
        ("gateways", {"name": "x", "transport": "stdio"}, "command: is missing"),
        ("gateways", {"name": "x"}, "url: is missing"),
        ("gateways", {"name": "x", "transport": "builtin", "url": LOCAL}, "no address"),
        ("models", {"provider": "nobody", "upstream_name": "x"}, "There is no provider 'nobody'"),
        ("models", {"provider": "up", "upstream_name": "x", "aliases": ["a~b"]}, "unified name"),
        ("models", {"provider": "up", "upstream_name": "x", "fallbacks": ["up~x"]}, "fallbacks"),
        ("models", {"provider": "up", "upstream_name": "x", "max_output_tokens": 0}, "max_outp"),
        ("servers", {"name": "Big"}, "name: 'Big' is not a name"),
        ("servers", {"name": "s", "gateways": ["none"]}, "There is no gateway 'none'"),
        ("servers", {"name": "s", "prefix_free": True}, "prefix_free: "),
        ("servers", {"name": "s", "visibility": "team"}, "'team', but there is no team"),
        ("tools", {"name": "t", "model": "none"}, "There is no model 'none'"),
        ("toolsets", {"name": "t", "tools": ["none"]}, "There is no tool 'none'"),
        ("toolsets", [], "no object"),
    ],
)
async def test_a_body_that_is_no_record_is_refused_with_what_was_expected(
    tmp_path: Path, path: str, body: JsonObject, said: str
) -> None:
    """By the rules of the configuration; nothing is made."""
    async with open_desk(tmp_path) as desk:
        before = (await desk.ask("GET", path)).raw
        told = await desk.ask("POST", path, body)

        assert told.status == 400
        assert said in told.message
        assert (await desk.ask("GET", path)).raw == before


@pytest.mark.parametrize("raw", [b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000])
async def test_a_body_that_is_no_json_is_refused(tmp_path: Path, raw: bytes) -> None:
    """Whatever is wrong with it."""
    async with open_desk(tmp_path) as desk:
        assert (await desk.ask("POST", "toolsets", raw=raw)).message == (
            "The body is not valid JSON."
        )


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("providers/near", "name", "far"),
        ("models/up~org/large", "upstream_name", "small"),
        ("models/up~org/large", "provider", "mock"),
    ],
)
async def test_what_others_know_a_record_by_never_changes(
    tmp_path: Path, path: str, key: str, value: str
) -> None:
    """To say what it is already is no change."""
    async with open_desk(tmp_path) as desk:
        await desk.make("providers", BODIES["providers"])
        await desk.make("models", BODIES["models"])
        now = (await desk.ask("GET", path)).data[key]

        assert (await desk.ask("PATCH", path, {key: value})).code == "core.record.identity"
        assert (await desk.ask("PATCH", path, {key: now})).status == 200


async def test_a_name_leads_to_one_record(tmp_path: Path) -> None:
    """Names and aliases of a kind are one space, stored and published records together."""
    async with open_desk(tmp_path) as desk:
        publish_models(desk.core, "found")
        taken: list[tuple[str, JsonObject]] = [
            ("providers", {"name": "up", "urls": [LOCAL]}),
            ("models", {"provider": "up", "upstream_name": "open"}),
            ("models", {"provider": "up", "upstream_name": "x", "aliases": ["azure"]}),
            ("servers", {"name": "desk"}),
        ]

        for path, body in taken:
            told = await desk.ask("POST", path, body)
            assert (told.status, told.code) == (409, "core.record.taken")

        await desk.make("models", {"provider": "up", "upstream_name": "new", "aliases": ["n"]})
        told = await desk.ask("PATCH", "models/up~new", {"aliases": ["azure"]})
        assert told.code == "core.record.taken"
        # People over discovery, when they answer for everybody.
        mine: JsonObject = {"provider": "up", "upstream_name": "found", "team": "red"}
        assert (await desk.ask("POST", "models", mine, by="red")).code == "core.record.taken"
        await desk.make("models", mine)


async def test_what_others_need_is_not_deleted(tmp_path: Path) -> None:
    """The answer names what the caller may know of, and says when there is more."""
    async with open_desk(tmp_path) as desk:
        await desk.make("providers", {**BODIES["providers"], "visibility": "public"})
        await desk.make("models", {"provider": "near", "upstream_name": "a"})
        await desk.make("models", {"provider": "up", "upstream_name": "b", "fallbacks": ["near~a"]})
        hidden: JsonObject = {"name": "vip", "models": ["near~a"], "visibility": "private"}
        await desk.make("servers", hidden)
        told = await desk.ask("DELETE", "providers/near")
        assert (told.status, told.code) == (409, "core.record.needed")
        assert "model 'near~a'" in told.message

        told = await desk.ask("DELETE", "models/near~a")
        assert "model 'up~b', server 'vip'" in told.message

        for path in ("servers/vip", "models/up~b", "models/near~a", "providers/near"):
            assert (await desk.ask("DELETE", path)).status == 204


async def test_what_the_configuration_declares_is_changed_there(tmp_path: Path) -> None:
    """CONFLICT, with the section."""
    declared = {
        "providers/up": "llm.services.up",
        "models/up~open": "llm.services.up.models",
        "gateways/demo": "mcp.gateways.demo",
        "servers/desk": "servers.desk",
        "tools/ask": "model_tools.ask",
    }

    async with open_desk(tmp_path) as desk:
        for path, section in declared.items():
            kind, _, _ = path.partition("/")
            record = (await desk.ask("GET", path)).data
            asks = [
                await desk.ask("PATCH", path, {"description": "mine"}),
                await desk.ask("POST", f"{kind}/{record['id']}/state", {"enabled": False}),
                await desk.ask("DELETE", path),
            ]

            for told in asks:
                assert (told.status, told.code) == (409, "core.record.configured")
                assert f"({section})" in told.message


@pytest.mark.requirement("000-core-exposure")
async def test_a_published_record_is_governed_and_stays_governed(tmp_path: Path) -> None:
    """Who sees it, whose it is, whether it is on: over publications, and over a restart."""
    wanted: JsonObject = {"visibility": "team", "team": "red", "tags": ["x"], "description": "Our."}
    paths = [
        "tools/demo__echo",
        "resources/demo://a/b",
        "templates/demo://{a}",
        "prompts/demo__greet",
        "models/up~found",
    ]

    async with open_desk(tmp_path) as desk:
        publish_demo(desk.core)
        publish_models(desk.core, "found")

        for path in paths:
            told = await desk.ask("PATCH", path, wanted)
            assert told.status == 200, told.raw
            assert {key: told.data[key] for key in wanted} == wanted
            assert (await desk.ask("GET", path, by="blue")).status == 404
            assert (await desk.ask("GET", path, by="red")).status == 200

        publish_demo(desk.core, "echo", "other")

    async with open_desk(tmp_path) as desk:
        publish_demo(desk.core)
        publish_models(desk.core, "found")

        for path in paths:
            told = await desk.ask("GET", path)
            assert {key: told.data[key] for key in wanted} == wanted
            back = await desk.ask("PATCH", path, dict.fromkeys(wanted))
            assert (back.data["visibility"], back.data["team"]) == ("public", None)
            assert (await desk.ask("DELETE", path)).status in (405, 409)


async def test_a_published_records_own_words_are_its_sources(tmp_path: Path) -> None:
    """And what the configuration says of a tool wins, field by field."""
    extra = """
  gateways: {demo: {transport: builtin, tools: {echo: {visibility: team, team: red}}}}
"""

    async with open_desk(tmp_path) as desk:
        publish_demo(desk.core)
        told = await desk.ask("PATCH", "tools/demo__echo", {"title": "x", "team": "red"})
        assert (told.code, "title" in told.message) == ("core.record.published", True)
        told = await desk.ask("PATCH", "tools/demo__echo", {"visibility": "team", "team": "blue"})
        assert told.data["team"] == "blue"

    path = tmp_path / "spindle.yaml"
    builtin = "  gateways:\n    demo: {transport: builtin}"
    text = path.read_text().replace(builtin, extra.strip("\n"))
    path.write_text(text)

    async with desk_over(load_settings(path, home=tmp_path, environ={})) as desk:
        publish_demo(desk.core)
        shown = (await desk.ask("GET", "tools/demo__echo")).data
        assert (shown["visibility"], shown["team"]) == ("team", "red")
        told = await desk.ask("PATCH", "tools/demo__echo", {"team": "blue"})
        assert (told.code, "mcp.gateways.demo.tools.echo.team" in told.message) == (
            "core.record.configured",
            True,
        )
        assert (await desk.ask("PATCH", "tools/demo__echo", {"tags": ["a"]})).status == 200


async def test_what_is_wanted_of_a_gateways_tools_goes_with_the_gateway(tmp_path: Path) -> None:
    """A gateway of the same name is another gateway."""
    async with open_desk(tmp_path) as desk:
        body: JsonObject = {"name": "files", "url": LOCAL, "visibility": "private"}

        for turn in range(2):
            await desk.make("gateways", body)
            found = PublishedRecord(
                kind=Kind.TOOL,
                name="files__a",
                spec=ToolSpec(gateway="files", upstream_name="a"),
            )
            desk.core.snapshots.publish("mcp", "gateway:files", [found])
            tool = await desk.ask("GET", "tools/files__a")
            assert (turn, tool.data["visibility"]) == (turn, "private")
            await desk.ask("PATCH", "tools/files__a", {"visibility": "public"})
            assert (await desk.ask("GET", "tools/files__a")).data["visibility"] == "public"
            assert (await desk.ask("DELETE", "gateways/files")).status == 204
            assert (await desk.ask("GET", "tools/files__a")).status == 404
