"""Modules' sections: checked by the schemas the modules give."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.core.config.written import faults, load

if TYPE_CHECKING:
    from spindle_spi.types import Json

SCHEMA: dict[str, Json] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "default_service": {"type": "string"},
        "temperature": {"type": ["number", "null"], "minimum": 0},
        "nested": {
            "type": "object",
            "additionalProperties": False,
            "required": ["must"],
            "properties": {"list": {"type": "array", "items": {"type": "integer"}}},
        },
    },
}


def test_a_module_gets_its_own_keys_and_nothing_of_the_cores() -> None:
    """Services are the core's; the rest of `llm` is the module's, nulls included."""
    settings = load(
        "llm: {default_service: a, temperature: ,\n"
        "  services: {a: {urls: ['http://x'], api_key: canary-1}}}\n"
        "mcp: {gateways: {}, page: 5}\nother: {deep: {list: [1, null]}}",
        schemas={"llm": SCHEMA, "mcp": {}, "other": {}},
    )

    assert settings.section("llm") == {"default_service": "a", "temperature": None}
    assert settings.section("mcp") == {"page": 5}
    assert settings.section("other") == {"deep": {"list": [1, None]}}
    assert settings.section("absent") == {}


def test_a_section_handed_out_is_a_copy() -> None:
    """What one module does to it nobody else sees."""
    settings = load("other: {list: [1]}", schemas={"other": {}})
    settings.section("other").clear()

    assert settings.section("other") == {"list": [1]}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{defalt_service: a}", "llm.defalt_service: unknown key, did you mean 'default_service'?"),
        ("{default_service: 5}", "llm.default_service: is an integer; expected string"),
        ("{temperature: hot}", "llm.temperature: is a string; expected number or null"),
        ("{temperature: -1}", "llm.temperature: the value is not allowed; expected minimum: 0"),
        ("{nested: {must: 1}}", "llm.nested.must: unknown key; expected one of list"),
        ("{nested: {}}", "llm.nested: 'must' is a required property"),
        ("{default_service: {api_key: x}}", "llm.default_service: is a mapping; expected string"),
    ],
)
def test_what_the_schema_refuses_is_a_fault_at_its_path(text: str, fault: str) -> None:
    """In the words the core uses for its own keys."""
    found = faults(f"llm: {text}", schemas={"llm": SCHEMA})

    assert found[0].startswith(fault)
    assert found[0].endswith("(spindle.yaml, line 1)")


def test_an_item_of_a_list_is_named_by_its_number() -> None:
    """The path reaches into lists."""
    schema: dict[str, Json] = {"properties": {"list": {"items": {"type": "integer"}}}}

    assert faults("other: {list: [1, a]}", schemas={"other": schema}) == (
        "other.list[1]: is a string; expected integer (spindle.yaml, line 1)",
    )


def test_a_required_key_is_missed_even_without_the_section() -> None:
    """A module that cannot do without a key says so at the start."""
    assert faults(schemas={"other": {"required": ["url"]}}) == (
        "other: 'url' is a required property",
    )


def test_a_section_that_is_no_mapping_is_a_fault() -> None:
    """A list or a number where a module expects keys; nothing at all is fine."""
    (found,) = faults("other: [1]", schemas={"other": {}})
    assert found.startswith("other: is not a section; expected a mapping")

    assert load("other:", schemas={"other": {}}).section("other") == {}


def test_a_section_without_a_running_module_is_unknown_but_for_those_of_the_catalog() -> None:
    """`llm` and `mcp` belong to the catalog: their modules may be switched off."""
    assert load("llm: {anything: 1}").section("llm") == {"anything": 1}
    assert faults("other: {}")[0].startswith("other: unknown section")


def test_a_module_may_not_claim_a_section_of_the_core() -> None:
    """Its schema would say what the core's own keys mean."""
    assert faults(schemas={"server": {}}) == (
        "server: a module claims this section, which is the core's",
    )


def test_a_modules_broken_schema_is_told_as_such() -> None:
    """The module's author reads whose fault it is."""
    (found,) = faults("other: {a: 1}", schemas={"other": {"type": "nonsense"}})

    assert found.startswith("other: the schema of the module is no JSON Schema")


def test_a_key_has_no_place_in_a_modules_section() -> None:
    """Sections are handed out and shown; keys are not."""
    found = faults("other: {list: [{api_key: canary-1}]}", schemas={"other": {}})

    assert found[0].startswith("other.list[0].api_key: a key in a module's section")
    assert "canary" not in found[0]


def test_nothing_heavy_is_imported_without_a_section_to_check() -> None:
    """Neither JSON Schema nor YAML nor the database on the way to the default settings."""
    script = (
        "import sys; from pathlib import Path; from spindle.config import load_settings\n"
        "load_settings(None, home=Path('/x'), environ={}, schemas={'llm': {'type': 'object'}})\n"
        "print([name for name in ('jsonschema', 'yaml', 'sqlalchemy') if name in sys.modules])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert finished.stdout == "[]\n"
