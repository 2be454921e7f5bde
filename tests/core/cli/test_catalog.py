"""`spindle provider | model | gateway | server`, and bundles from the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from spindle.cli.app import app
from tests.core.cli.runner import Ran, run

if TYPE_CHECKING:
    from pathlib import Path


def at(home: Path, *words: str, env: dict[str, str] | None = None) -> Ran:
    """Run a command in a home directory."""
    return run(*words, "--home", str(home), env=env)


def good(home: Path, *words: str, env: dict[str, str] | None = None) -> str:
    """What a command that has to work prints."""
    ran = at(home, *words, env=env)
    assert ran.code == 0, ran.stderr
    return ran.stdout


def shown(home: Path, kind: str, name: str) -> dict[str, object]:
    """A record as JSON."""
    value: dict[str, object] = json.loads(good(home, kind, "show", name, "--json"))
    return value


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a provider and a model."""
    return furnished(tmp_path)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, for tests that change nothing."""
    return furnished(tmp_path_factory.mktemp("kept"))


def furnished(home: Path) -> Path:
    """Make a provider and a model."""
    url = ("--url", "http://127.0.0.1:9/v1")
    good(home, "provider", "add", "box", "--type", "openai", *url, "--description", "A box.")
    good(home, "model", "add", "box~m", "--alias", "default", "--set", "input_price=2.5")
    return home


@pytest.mark.parametrize(
    ("options", "audience"),
    [
        (("--team", "red"), "everybody"),
        (("--visibility", "team", "--team", "red"), "the team red"),
        (("--visibility", "private", "--owner", "ada@example.org"), "ada@example.org alone"),
        (("--visibility", "private"), "administrators alone"),
    ],
)
def test_who_sees_a_new_record_is_said(home: Path, options: tuple[str, ...], audience: str) -> None:
    """A team alone hides nothing: an operator who thought so reads it here."""
    made = good(home, "model", "add", "box~n", *options)
    assert made.startswith(f"The model box~n is made, for {audience}; ")


def test_records_are_made_shown_changed_and_removed(home: Path) -> None:
    """Of every kind; what others need is kept."""
    good(home, "gateway", "add", "far", "--url", "http://127.0.0.1:9/mcp", "--tag", "x")
    made = good(home, "server", "add", "lab", "--gateway", "far", "--model", "box~m")
    assert made.startswith("The server lab is made, for everybody; ")
    good(home, "gateway", "update", "far", "--set", "timeout=5")
    good(home, "server", "update", "lab", "--model", "default", "--set", "prefix_free=true")
    good(home, "model", "update", "box~m", "--set", "defaults.temperature=0.5")
    good(home, "provider", "update", "box", "--set", "options.max_connections=3")
    needed = at(home, "provider", "remove", "box")
    good(home, "server", "disable", "lab")

    assert shown(home, "gateway", "far")["timeout"] == 5
    assert shown(home, "server", "lab")["models"] == ["box~m"]
    assert shown(home, "server", "lab")["enabled"] is False
    assert shown(home, "model", "box~m")["defaults"] == {"temperature": 0.5}
    assert shown(home, "model", "default")["input_price"] == 2.5
    assert shown(home, "provider", "box")["options"] == {"max_connections": 3}
    assert needed.code == 1
    assert "is still needed by" in needed.stderr

    good(home, "server", "enable", "lab")
    assert "/servers/lab/mcp" in good(home, "server", "list")

    for kind, name in (("server", "lab"), ("model", "box~m"), ("provider", "box")):
        assert "is deleted" in good(home, kind, "remove", name)

    gone = at(home, "model", "show", "box~m")
    assert (gone.code, gone.stdout) == (1, "")


def test_a_model_is_hidden_and_shown_again(home: Path) -> None:
    """Or shown to one team."""
    good(home, "model", "hide", "default")
    assert shown(home, "model", "box~m")["visibility"] == "private"
    good(home, "model", "unhide", "box~m")
    assert shown(home, "model", "box~m")["visibility"] == "public"
    good(home, "model", "update", "box~m", "--visibility", "team", "--team", "red")
    assert (shown(home, "model", "box~m")["team"]) == "red"


def test_a_key_comes_from_standard_input_or_a_variable_and_is_never_shown(home: Path) -> None:
    """It is stored encrypted; no file of the home holds it."""
    words = ("provider", "update", "box", "--home", str(home))
    typed = CliRunner().invoke(app, [*words, "--api-key-stdin"], input="sk-canary-one\n")
    assert typed.exit_code == 0, typed.output
    first = shown(home, "provider", "box")
    env = {"BOX_KEY": "sk-canary-two"}
    said = good(home, "provider", "update", "box", "--api-key-env", "BOX_KEY", "--json", env=env)
    second = shown(home, "provider", "box")
    table = good(home, "provider", "show", "box")
    stored = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())

    assert first["api_key_set"] is True
    assert second["api_key_ref"] != first["api_key_ref"]
    assert "canary" not in said + table + json.dumps(second)
    assert b"canary" not in stored


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("provider", "add", "x"), "urls"),
        (("provider", "add", "box", "--url", "http://127.0.0.1:9"), "is not free"),
        (("provider", "add", "x", "--url", "ftp://x"), "is not an http(s) URL"),
        (("provider", "update", "box"), "Nothing to change was said"),
        (("provider", "update", "box", "--api-key-env", "NOT_SET"), "NOT_SET is not set"),
        (("provider", "update", "box", "--api-key-stdin"), "nothing on standard input"),
        (
            ("provider", "update", "box", "--api-key-stdin", "--api-key-env", "PATH"),
            "not from both",
        ),
        (("provider", "update", "box", "--set", "nothing"), "write KEY=VALUE"),
        (("provider", "update", "box", "--set", "urls=[a"), "urls: is not a YAML list"),
        (
            ("provider", "update", "box", "--set", "options=1", "--set", "options.a.b=2"),
            "options is not a mapping",
        ),
        (("model", "add", "m"), "write PROVIDER~MODEL"),
        (("model", "add", "none~m"), "There is no provider 'none'"),
        (("model", "show", "none"), "none"),
        (("tool", "list"), "spindle serve"),
        (("resource", "update", "x", "--team", "a"), "spindle serve"),
        (("tool", "update", "x"), "Nothing to change was said"),
        (("config", "plan", "/not/there.yaml"), "No such file"),
        (("config", "rollback", "77"), "There is no version 77"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_do(
    kept: Path, words: tuple[str, ...], message: str
) -> None:
    """On standard error, with exit status 1."""
    ran = at(kept, *words)

    assert (ran.code, ran.stdout) == (1, "")
    assert message in ran.stderr


def test_what_the_configuration_declares_is_changed_there(tmp_path: Path) -> None:
    """The message says where."""
    path = tmp_path / "spindle.yaml"
    path.write_text("llm: {services: {one: {urls: ['http://127.0.0.1:9'], models: [{name: m}]}}}")
    home = tmp_path / "home"
    assert "nothing" not in good(home, "model", "list", "--config", str(path), "--json")


def test_the_catalog_is_exported_planned_applied_and_rolled_back(home: Path) -> None:
    """The whole round from the command line."""
    document = home / "catalog.yaml"
    document.write_text(good(home, "config", "export"))
    assert "Nothing changes." in good(home, "config", "plan", str(document))
    document.write_text(
        document.read_text().replace("A box.", "The box.") + "toolsets:\n  kit: {tools: []}\n"
    )
    planned = good(home, "config", "plan", str(document))
    assert "~ provider box" in planned
    assert 'description: "A box." -> "The box."' in planned
    assert "+ toolset kit" in planned
    revision = json.loads(good(home, "config", "plan", str(document), "--json"))["revision"]
    applied = good(home, "config", "apply", str(document), "--note", "why", "--revision", revision)
    assert "Applied as version" in applied
    late = at(home, "config", "apply", str(document), "--revision", revision)
    assert late.code == 1
    assert "plan again" in late.stderr
    (version,) = json.loads(good(home, "config", "versions", "--json"))
    assert (version["note"], version["records"]) == ("why", 2)
    assert "why" in good(home, "config", "versions")
    back = json.loads(good(home, "config", "rollback", str(version["id"]), "--json"))
    assert [change["name"] for change in back["changes"]] == ["box", "kit"]
    assert shown(home, "provider", "box")["description"] == "A box."
    pruned = good(home, "config", "apply", str(document), "--prune")
    assert "- " not in pruned
    as_json = home / "catalog.json"
    as_json.write_text(good(home, "config", "export", "--json", "--all"))
    assert "Nothing changes." in good(home, "config", "plan", str(as_json))


def test_the_faults_of_a_document_are_lines_with_their_place(home: Path) -> None:
    """From a file or standard input."""
    text = "bundle: 1\nmodels:\n  no~m: {}\n  box~x: {context_window: 0}\n"
    words = ["config", "plan", "-", "--home", str(home)]
    ran = CliRunner().invoke(app, words, input=text)
    assert ran.exit_code == 1
    assert "There is no provider 'no' (standard input, line 3)" in ran.stderr
    assert "(standard input, line 4)" in ran.stderr
    applied = CliRunner().invoke(app, ["config", "apply", *words[2:]], input=text)
    assert applied.exit_code == 1
    assert "Nothing was changed" in applied.stderr


def test_a_toolset_is_made_shown_switched_and_removed(home: Path) -> None:
    """As every other record; the tools it names are those that were said."""
    good(home, "gateway", "add", "files", "--url", "http://127.0.0.1:9/mcp")
    good(home, "toolset", "add", "reading", "--tool", "files__read", "--description", "Reads.")
    assert shown(home, "toolset", "reading")["tools"] == ["files__read"]
    listed = json.loads(good(home, "toolset", "list", "--json"))
    assert [each["name"] for each in listed] == ["reading"]
    good(home, "toolset", "disable", "reading")
    assert shown(home, "toolset", "reading")["enabled"] is False
    good(home, "toolset", "remove", "reading")
    assert json.loads(good(home, "toolset", "list", "--json")) == []


def test_a_gateway_that_is_a_program_is_made_when_the_configuration_allows_it(home: Path) -> None:
    """Its arguments and variables are options; a stored secret is named with an @."""
    words = ("--transport", "stdio", "--command", "/opt/tool", "--arg", "-v", "--arg", "a b")
    refused = at(home, "gateway", "add", "tool", *words)
    assert refused.code == 1
    assert "mcp.stdio.allow" in refused.stderr
    (home / "spindle.yaml").write_text(
        "mcp: {stdio: {allow: [{command: /opt/tool, env: [LEVEL, KEY], cwd: [/srv]}]}}"
    )
    more = ("--env", "LEVEL=info=1", "--env", "KEY=@mcp.env.key", "--cwd", "/srv")
    config = ("--config", str(home / "spindle.yaml"))
    good(home, "gateway", "add", "tool", *words, *more, *config)
    made = shown(home, "gateway", "tool")
    assert (made["command"], made["args"], made["cwd"]) == ("/opt/tool", ["-v", "a b"], "/srv")
    assert made["env"] == {"LEVEL": "info=1", "KEY": {"secret": "mcp.env.key"}}
    assert at(home, "gateway", "update", "tool", "--env", "LEVEL", *config).code == 1
