"""What is in force: every key, its value, where it comes from, and no secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spindle.config.effective import DEFAULT, MASK, effective_keys
from tests.core.cli.runner import run

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.types import Json

BASE = """\
environment: production
server:
  port: 1
  allowed_hosts: [a, b]
llm:
  temperature: 0.5
  services:
    one:
      urls: ["http://a/v1"]
      api_key: sk-canary-1
      options: {headers: {Authorization: canary-2}, nested: [{api_key: canary-3}], plain: 1}
      models:
        - name: m
          max_output_tokens: 5
  embeddings_cache: {url: "redis://:canary-7@cache:6379/0"}
store: {url: "postgresql+asyncpg://me:canary-4@db/spindle?password=canary-5"}
plugins: {entries: [{plugin: pii, config: {secret: canary-6, kinds: [email]}}]}
"""


def shown(tmp_path: Path, *texts: str, **environ: str) -> dict[str, tuple[Json, str]]:
    """Value and origin by key."""
    paths = [tmp_path / f"{number}.yaml" for number in range(len(texts))]

    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)

    keys = effective_keys(paths, environ=environ, overrides={"server": {"start_seconds": 3.0}})
    return {key.key: (key.value, key.origin) for key in keys}


def test_every_key_says_its_value_and_its_origin(tmp_path: Path) -> None:
    """Files with lines, variables, the command line, and defaults."""
    found = shown(tmp_path, BASE, "\nserver: {port: 2}", SPINDLE__SERVER__HOST="0.0.0.0")

    assert found["server.port"] == (2, "1.yaml, line 2")
    assert found["server.host"] == ("0.0.0.0", "SPINDLE__SERVER__HOST")
    assert found["server.start_seconds"] == (3.0, "command line")
    assert found["server.allowed_hosts"] == (["a", "b"], "0.yaml, line 4")
    assert found["server.drain_seconds"] == (10.0, DEFAULT)
    assert found["llm.services.one.models[0].max_output_tokens"] == (5, "0.yaml, line 14")
    assert found["llm.services.one.models[0].enabled"] == (True, DEFAULT)
    assert found["llm.temperature"] == (0.5, "0.yaml, line 6")
    assert found["plugins.unhandled"] == ("deny", "default in production")
    assert found["features"] == ({}, DEFAULT)


def test_what_a_variable_says_of_a_whole_mapping_is_its_own(tmp_path: Path) -> None:
    """Of each key in it."""
    found = shown(tmp_path, SPINDLE__FEATURES="{one: true, two: false}")

    assert found["features.one"] == (True, "SPINDLE__FEATURES")
    assert found["features.two"] == (False, "SPINDLE__FEATURES")


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Neither the core's own, nor what looks like one in the settings of others."""
    found = shown(tmp_path, BASE)

    assert "canary" not in json.dumps(found)
    assert found["llm.services.one.api_key"] == (MASK, "0.yaml, line 10")
    assert found["llm.services.one.options.headers.Authorization"][0] == MASK
    assert found["llm.services.one.options.plain"][0] == 1
    assert found["store.url"][0] == f"postgresql+asyncpg://me:{MASK}@db/spindle?{MASK}"
    assert found["plugins.entries[0].config.kinds"][0] == ["email"]


def test_a_store_without_a_password_is_shown_as_it_is(tmp_path: Path) -> None:
    """There is nothing to mask."""
    found = shown(tmp_path, "store: {url: sqlite+aiosqlite:///a.db}")

    assert found["store.url"][0] == "sqlite+aiosqlite:///a.db"


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_shows_a_part_or_what_is_set(tmp_path: Path, as_json: bool) -> None:
    """As a table, or as JSON."""
    path = tmp_path / "spindle.yaml"
    path.write_text("server: {port: 5}\nmcp: {refresh_seconds: 7}")
    where = ("--config", str(path), "--home", str(tmp_path), *(["--json"] if as_json else []))
    part = run("config", "show", "server", *where)
    chosen = run("config", "show", "--set", *where)

    assert (part.code, chosen.code) == (0, 0), part.stderr
    assert "server.host" in part.stdout
    assert "logging" not in part.stdout

    if as_json:
        assert json.loads(chosen.stdout) == [
            {"key": "mcp.refresh_seconds", "value": 7, "from": "spindle.yaml, line 2"},
            {"key": "server.port", "value": 5, "from": "spindle.yaml, line 1"},
        ]
    else:
        assert chosen.stdout.splitlines()[0].split() == ["KEY", "VALUE", "FROM"]
        assert len(chosen.stdout.splitlines()) == 3


def test_a_faulty_configuration_is_not_shown(tmp_path: Path) -> None:
    """Its faults are."""
    path = tmp_path / "spindle.yaml"
    path.write_text("server: {port: x}")
    ran = run("config", "show", "--config", str(path), "--home", str(tmp_path))

    assert (ran.code, ran.stdout) == (1, "")
    assert "server.port: is a string" in ran.stderr
