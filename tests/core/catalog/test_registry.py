"""`/llm/providers` and `/llm/models`: the registry's words over the same records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spindle_spi.records import Kind, ModelSpec, ProviderSpec
from tests.core.catalog.desk import LOCAL, open_desk, publish_models

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.types import JsonObject

CONFIG: JsonObject = {
    "timeout": 30.0,
    "inactivity_timeout": 20.0,
    "connect_timeout": 2.0,
    "max_retries": 3,
    "rpm": 60,
    "tpm": 90_000,
    "verify_cert": False,
    "enable_discovery": True,
}
PROVIDER: JsonObject = {
    "name": "near",
    "description": "Close by.",
    "provider_type": "openai",
    "api_base": LOCAL,
    "api_key": "sk-registry",
    "api_version": "2026-01-01",
    "config": CONFIG,
    "default_model": "large",
    "default_temperature": 0.2,
    "default_max_tokens": 100,
}


@pytest.mark.requirement("003-provider-config")
@pytest.mark.requirement("000-core-registry")
async def test_a_provider_is_registered_with_its_configuration(tmp_path: Path) -> None:
    """Id, name, type, endpoint, reference to its key, active or not; timeouts, retries, rates."""
    async with open_desk(tmp_path) as desk:
        made = await desk.ask("POST", "/llm/providers", PROVIDER)
        assert made.status == 201, made.raw
        where = made.headers[b"location"].decode()
        assert where == f"/llm/providers/{made.data['id']}"
        said = made.data
        given = {key: value for key, value in PROVIDER.items() if key not in ("api_key", "config")}
        assert {key: said[key] for key in given} == given
        assert said["config"] == {**CONFIG, "options": {}}
        assert (said["endpoint"], said["slug"], said["is_active"]) == (LOCAL, "near", True)
        assert said["api_key_set"] is True
        assert str(said["api_key_ref"]).startswith("catalog.provider.")
        assert b"sk-registry" not in made.raw

        record = desk.record(Kind.PROVIDER, "near")
        assert record is not None
        assert isinstance(record.spec, ProviderSpec)
        assert record.spec.defaults == {"temperature": 0.2, "max_tokens": 100}
        assert record.spec.requests_per_minute == 60

        changes: JsonObject = {"config": {"rpm": None, "timeout": 5}, "default_temperature": None}
        told = await desk.ask("PATCH", where, changes, match=made.etag)
        assert told.data["config"] == {
            **CONFIG,
            "rpm": None,
            "timeout": 5.0,
            "options": {},
        }
        assert (told.data["default_temperature"], told.data["default_max_tokens"]) == (None, 100)
        assert (await desk.ask("PATCH", where, {}, match=made.etag)).status == 412
        bases: JsonObject = {"api_bases": [LOCAL, f"{LOCAL}/b"]}
        assert (await desk.ask("PATCH", where, bases)).data["api_bases"] == bases["api_bases"]
        off = await desk.ask("POST", f"{where}/state", {"enabled": False})
        assert (off.data["is_active"], off.data["enabled"]) == (False, False)
        assert (await desk.ask("GET", "/llm/providers?enabled=false")).names == ["near"]
        assert (await desk.ask("GET", "/llm/providers/near")).data["id"] == said["id"]
        assert (await desk.ask("DELETE", where)).status == 204
        assert (await desk.ask("GET", where)).status == 404


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"api_base": LOCAL}, "name: is missing"),
        ({**PROVIDER, "name": " "}, "is not a name"),
        ({**PROVIDER, "config": {"rpm": 0}}, "requests_per_minute"),
        ({**PROVIDER, "config": {"retries": 0}}, "config.retries: unknown key"),
        ({**PROVIDER, "default_max_tokens": 0}, "default_max_tokens"),
    ],
)
async def test_a_provider_without_a_name_or_with_a_bad_number_is_refused(
    tmp_path: Path, body: JsonObject, said: str
) -> None:
    """POL-LLM-001, and the bounds of the configuration."""
    async with open_desk(tmp_path) as desk:
        told = await desk.ask("POST", "/llm/providers", body)
        assert (told.status, said in told.message) == (400, True), told.raw


@pytest.mark.requirement("000-core-registry", "001-api-models")
async def test_a_model_is_registered_under_a_provider(tmp_path: Path) -> None:
    """By the provider's id or name; found by id, qualified name and alias."""
    body: JsonObject = {
        "model_id": "org/large",
        "model_alias": "large",
        "type": "vlm",
        "description": "Sees.",
        "supports_vision": True,
        "supports_streaming": False,
        "context_window": 8192,
        "max_output_tokens": 1024,
        "input_price": 1.0,
        "cache_read_price": 0.25,
        "output_price": 2.0,
        "fallbacks": ["up~open"],
        "facts": {"architecture": "llama3", "is_gguf": True},
    }

    async with open_desk(tmp_path) as desk:
        up = (await desk.ask("GET", "/llm/providers/up")).data
        made = await desk.ask("POST", "/llm/models", {**body, "provider_id": up["id"]})
        assert made.status == 201, made.raw
        said = made.data
        assert {
            key: said[key]
            for key in ("model_name", "model_id", "model_alias", "provider", "provider_id")
        } == {
            "model_name": "up~org/large",
            "model_id": "org/large",
            "model_alias": "large",
            "provider": "up",
            "provider_id": up["id"],
        }
        assert (said["type"], said["provider_type"], said["is_available"]) == (
            "vlm",
            "openai",
            True,
        )
        assert said["feature_flags"] == ["chat", "vision"]
        assert (said["supports_chat"], said["supports_streaming"]) == (True, False)
        assert (said["max_tokens"], said["context_window"]) == (1024, 8192)
        assert said["cost_metrics"] == {
            "input": 1.0,
            "output": 2.0,
            "cache_read": 0.25,
            "cache_write": None,
        }
        assert (said["architecture"], said["is_gguf"], said["state"]) == (
            "llama3",
            True,
            "unknown",
        )

        for word in (said["id"], "up~org/large", "large"):
            assert (await desk.ask("GET", f"/llm/models/{word}")).data == said

        where = f"/llm/models/{said['id']}"
        told = await desk.ask("PATCH", where, {"supports_streaming": True, "model_alias": None})
        assert told.data["feature_flags"] == ["chat", "streaming", "vision"]
        assert (told.data["aliases"], told.data["deprecated"]) == ([], False)
        late: JsonObject = {"supports_chat": False}
        assert (await desk.ask("PATCH", where, late, match=made.etag)).status == 412
        told = await desk.ask("PATCH", where, {"deprecated": True, "aliases": ["a", "b"]})
        assert (told.data["model_alias"], told.data["deprecated"]) == ("a", True)
        off = await desk.ask("POST", f"{where}/state", {"enabled": False})
        assert (off.data["enabled"], off.data["is_available"]) == (False, False)
        assert (await desk.ask("DELETE", where)).status == 204

        for word in ("nobody", "x" * 300):
            told = await desk.ask("POST", "/llm/models", {**body, "provider_id": word})
            assert (told.status, told.code) == (404, "core.provider.not_found")


@pytest.mark.requirement("001-api-models")
async def test_a_discovered_model_shows_its_state_and_not_its_hidden_provider(
    tmp_path: Path,
) -> None:
    """What runs is published; a provider the caller does not see has no id here."""
    async with open_desk(tmp_path) as desk:
        publish_models(desk.core, "found")
        where = "/llm/models/up~found"
        assert (await desk.ask("GET", where)).data["state"] == "loaded"
        assert "up~found" in (await desk.ask("GET", "/llm/models?provider=up")).names

        hidden: JsonObject = {"name": "dark", "urls": [LOCAL], "visibility": "private"}
        await desk.make("providers", hidden)
        model: JsonObject = {"provider": "dark", "upstream_name": "m", "visibility": "public"}
        await desk.make("models", model)
        seen = await desk.ask("GET", "/llm/models/dark~m", by="red")
        assert (seen.data["provider_id"], seen.data["provider_type"]) == (None, None)
        record = desk.record(Kind.MODEL, "dark~m")
        assert record is not None
        assert isinstance(record.spec, ModelSpec)


async def test_permissions_of_the_registry_are_its_own(tmp_path: Path) -> None:
    """A viewer reads models and no providers; a team's administrator makes no provider."""
    async with open_desk(tmp_path) as desk:
        desk.tokens["viewer"] = await desk.heart.token("red", role="viewer")
        asks = [
            ("GET", "/llm/models", "viewer", 200),
            ("GET", "/llm/models/up~open", "viewer", 200),
            ("GET", "/llm/providers", "viewer", 403),
            ("GET", "/llm/providers/up", "viewer", 403),
            ("POST", "/llm/models", "viewer", 403),
            ("POST", "/llm/providers", "red", 403),
            ("POST", "/llm/models", "red", 201),
        ]

        for method, path, by, status in asks:
            body: JsonObject = {"provider_id": "up", "model_id": "mine"}
            told = await desk.ask(method, path, body if method == "POST" else None, by=by)
            assert told.status == status, (path, told.raw)


async def test_a_record_remembers_who_made_it_and_who_changed_it(tmp_path: Path) -> None:
    """In both vocabularies, to the second; what the configuration made is `config`'s."""
    async with open_desk(tmp_path) as desk:
        ann = "ann@example.org"
        desk.tokens["ann"] = await desk.heart.token(
            role="platform_admin", admin=True, user_email=ann
        )
        made = await desk.ask("POST", "/llm/providers", PROVIDER, by="ann")
        assert made.status == 201, made.raw
        assert made.data["created_by"] == made.data["updated_by"] == ann
        assert made.data["created_at"] == made.data["updated_at"]
        record = desk.record(Kind.PROVIDER, "near")
        assert record is not None
        authors = desk.heart.core.snapshots.authors
        first = authors.of(record)
        where = f"/admin/api/v1/providers/{record.id}"
        await desk.ask("PATCH", where, {"description": "Nearer."})
        told = (await desk.ask("GET", where)).data
        root = desk.heart.resolve(desk.tokens["root"]).subject
        assert (told["created_by"], told["updated_by"]) == (
            ann,
            f"token:{root.token_id}",
        )
        last = authors.of(record)
        assert (last.created_at, last.created_by) == (first.created_at, ann)
        assert (last.updated_at or 0.0) > (first.updated_at or 0.0) > 0.0
        listed = json.loads((await desk.ask("GET", "/llm/providers?q=nearer")).raw)["items"]
        assert [each["created_at"] for each in listed] == [told["created_at"]]

        declared = await desk.ask("GET", "/llm/models/up~open")
        assert declared.data["created_by"] == "config"
        began = declared.data["created_at"]
        await desk.heart.core.store.catalog.replace("config", desk.heart.core.settings.declared)
        await desk.heart.core.snapshots.refresh()
        again = await desk.ask("GET", "/llm/models/up~open")
        assert (again.data["created_at"], again.data["updated_at"]) == (began, began)
        assert (declared.data["plugin_ids"], told.get("plugin_ids")) == ([], None)


PLUGINS = """
plugins:
  entries:
    - {name: everywhere, plugin: pii, config: {action: mask}}
    - {name: reds, plugin: pii, config: {action: mask}, conditions: {models: ["*~red"]}}
    - {name: tools, plugin: pii, config: {action: mask}, conditions: {kinds: [tool]}}
"""


async def test_a_record_tells_which_plugins_may_judge_it(tmp_path: Path) -> None:
    """A fallback of a model is what may answer for it; plugins are told to who may read them."""
    async with open_desk(tmp_path, PLUGINS) as desk:
        for path, names in (
            ("/llm/models/up~open", ["everywhere", "reds"]),
            ("/llm/models/up~blue", ["everywhere"]),
            ("/llm/providers/up", ["everywhere", "reds"]),
        ):
            assert (await desk.ask("GET", path)).data["plugin_ids"] == names, path

        desk.tokens["dev"] = await desk.heart.token(role="developer")
        seen = await desk.ask("GET", "/llm/models/up~open", by="dev")
        assert (seen.status, seen.data["plugin_ids"]) == (200, None)
