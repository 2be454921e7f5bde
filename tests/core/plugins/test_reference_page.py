"""The reference page of plugins: what it shows works as it says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from spindle.api.plugins import ROUTES
from spindle.config import load_settings
from spindle.plugins import PluginRegistry
from spindle.plugins.builtin.pii import Pii
from spindle.plugins.loading import ENTRY_POINT_GROUP
from spindle.plugins.tally import CALLS, DENIALS, FAILURES, FINDINGS, HELD, SECONDS
from spindle_spi.plugin import HookPhase, Lane, Plugin, PluginMode, apply_findings
from tests.core.plugins.samples import (
    Entry,
    Offer,
    Section,
    briefly,
    cut,
    make_registry,
    open_guard,
    places,
    stream,
    text_segment,
)

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[3] / "docs/reference/plugins.md"


def page() -> str:
    return PAGE.read_text("utf-8")


def block_of(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", page(), re.DOTALL)
    assert found is not None
    return found.group(1)


def load_example() -> type[Plugin]:
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(block_of("python"), "example.py", "exec"), names)
    found = names["Codenames"]
    assert isinstance(found, type)
    assert issubclass(found, Plugin)
    return found


def test_the_configuration_on_the_page_loads() -> None:
    """Its entries become active plugins in the order and modes it says."""
    section = yaml.safe_load(block_of("yaml"))["plugins"]
    entries = tuple(Entry(**entry) for entry in section["entries"])
    registry = PluginRegistry.load(Section(entries=entries, unhandled=section["unhandled"]))
    first, second = registry.active
    assert (first.name, first.mode) == ("personal-data", PluginMode.ENFORCE)
    assert (second.name, second.mode) == ("trial", PluginMode.PERMISSIVE)
    assert second.phases == {HookPhase.POST_INVOKE}
    assert registry.refuses_unhandled


def test_the_example_plugin_loads_under_the_group_the_page_names() -> None:
    """The class passes the checks of loading, with its own settings."""
    assert list(tomllib.loads(block_of("toml"))["project"]["entry-points"]) == [ENTRY_POINT_GROUP]
    offer = Offer("codenames", load_example())
    entry = Entry(plugin="codenames", config={"mask": "[X]"})
    registry = PluginRegistry.load(Section(entries=(entry,)), lambda: [offer])
    judged = apply_findings(registry.active[0].plugin, text_segment("on project-zebra."))
    assert judged.text == "on [X]."


FRAGMENTS = ["project-", "proj", "ect-", "zebra", "a" * 11, "abc", "-", " ", "x", "."]


@briefly
@given(text=st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join), at=places)
async def test_the_example_plugin_keeps_the_rules_of_scan(text: str, at: list[int]) -> None:
    """A stream through it equals the whole text."""
    plugin = load_example()()
    streamed = await stream(open_guard(make_registry(plugin)), cut(text, at))
    assert streamed.released == apply_findings(plugin, text_segment(text)).text


@pytest.mark.parametrize("kinds", [["email", "card"], ["card"]])
async def test_the_page_says_how_far_streams_with_pii_run_behind(kinds: list[str]) -> None:
    """The most that is held of a text without findings."""
    guard = open_guard(make_registry(Pii({"kinds": [*kinds]})))
    released = most = 0

    for pushed in range(1, 1000):
        released += len(await guard.push(Lane(), "-"))
        most = max(most, pushed - released)

    said = re.search(r"up to (\d+) characters behind; with `kinds: \[card\]`, (\d+)", page())
    assert said is not None
    assert most == int(said.group(1 if len(kinds) > 1 else 2))


def test_the_conditions_on_the_page_load(tmp_path: Path) -> None:
    """As a configuration of their own."""
    found = re.search(r"### Conditions\n+```yaml\n(.*?)```", page(), re.DOTALL)
    assert found is not None
    path = tmp_path / "spindle.yaml"
    path.write_text(found.group(1))
    (active,) = PluginRegistry.load(load_settings(path, home=tmp_path, environ={}).plugins).active
    assert active.conditions.models == ("openai~*",)


def test_the_page_names_every_metric_and_route() -> None:
    """What is counted and what is served."""
    names = (CALLS, FINDINGS, DENIALS, FAILURES, SECONDS, HELD)
    assert set(names) <= set(re.findall(r"`(spindle_plugin_\w+)`", page()))

    for route in ROUTES:
        path = route.path.removeprefix("/admin/api/v1")
        assert f"| `{route.method} {path}` | `{route.permission}` |" in page()
