"""The YAML file: what it means, and what is wrong with it, by line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from spindle.config import load_settings
from spindle_spi.errors import ConfigError
from tests.core.config.written import HOME, faults, load

if TYPE_CHECKING:
    from pathlib import Path


def section(text: str) -> object:
    """What a module's section means, unchecked."""
    return load(text, schemas={"other": {}}).section("other")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("server: [1\n", r"is not YAML at line 2, column 1: "),
        ("server: {port: 1}}\n", r"is not YAML at line 1, column 18: "),
        ("a: b: c\n", r"is not YAML at line 1, column 5: mapping values are not allowed"),
        ("a: *b\n", r"is not YAML at line 1, column 4: found undefined alias"),
        ("a: 1\n---\nb: 2\n", r"is not YAML at line 2, column 1: but found another document"),
        ("a: \x00\n", r"is not YAML: "),
        ("- a\n", r"is not a mapping of sections; expected `section: {key: value}`"),
        ("text", r"is not a mapping of sections"),
        (b"a: \xff\n", r"is not UTF-8 \(byte 3\)"),
    ],
)
def test_what_is_no_yaml_is_named_with_line_and_column(text: str | bytes, fault: str) -> None:
    """One fault, about the file itself."""
    (found,) = faults(text)

    assert found.startswith("configuration: ")
    assert "spindle.yaml is not" in found
    assert re.search(fault, found)


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    """Named by the operator, so it must be there; so must it be a file of sane size."""
    big = tmp_path / "big.yaml"
    big.write_bytes(b"#" * (4 * 1024 * 1024 + 1))

    for path, words in (
        (tmp_path / "absent.yaml", "cannot be read: No such file"),
        (big, "is longer than"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            load_settings(path, home=HOME, environ={})

        assert str(path) in str(caught.value)


def test_a_key_given_twice_is_a_fault_that_names_both_lines() -> None:
    """At any depth; everything else of the file is judged as well."""
    found = faults(
        "server:\n  port: 1\n  port: 2\nllm: {services: {a: {urls: [], urls: []}}}\nx: 1"
    )

    assert found[0] == ("server.port: stands here again, first at line 2 (spindle.yaml, line 3)")
    assert found[1] == (
        "llm.services.a.urls: stands here again, first at line 4 (spindle.yaml, line 4)"
    )
    assert any(fault.startswith("x: ") for fault in found)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1", 1),
        ("-1", -1),
        ("1_000", 1000),
        ("0x10", 16),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("off", False),
        ("Yes", True),
        ("~", None),
        ("", None),
        ("null", None),
        ("'1'", "1"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("010", "010"),
        (".inf", ".inf"),
        ("1.2.3", "1.2.3"),
        ("!!str 5", "5"),
        ("[1, {a: b}]", [1, {"a": "b"}]),
    ],
)
def test_plain_words_mean_what_they_look_like(written: str, meant: object) -> None:
    """No base-60 numbers, no dates, no octals, no infinities: those are texts."""
    assert section(f"other: {{key: {written}}}") == {"key": meant}


def test_merged_mappings_and_anchors_work() -> None:
    """A key of one's own beats the merged one; one anchor may be used many times."""
    text = "other:\n  a: &a {x: 1, y: 2}\n  b: {<<: *a, y: 3}\n  c: {<<: *a}\n  d: [*a, *a]\n"
    one = {"x": 1, "y": 2}

    assert section(text) == {"a": one, "b": {"x": 1, "y": 3}, "c": one, "d": [one, one]}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("other: {a: !tag x}", "other.a: 'x' is no !tag; expected a plain value without a tag"),
        ("other: {a: !!int x}", "other.a: 'x' is no int"),
        ("other: {a: !!binary x}", "other.a: 'x' is no binary"),
        ("other: {a: !!set {b}}", "other.a: has the tag tag:yaml.org,2002:set"),
        ("other: {a: &a [*a]}", "other.a[0]: repeats itself without end"),
        ("other: {<<: 1}", "other: merges something that is not a mapping"),
        ("other: {1: a}", "other.1: is not a text; expected a key in quotes"),
        ("other: {on: a}", "other.on: is not a text; expected a key in quotes"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_place(text: str, fault: str) -> None:
    """Tags, endless structures and odd keys, each with its line."""
    (found,) = faults(text.replace(": {", ":\n  {", 1), schemas={"other": {}})

    assert found.startswith(fault)
    assert found.endswith("(spindle.yaml, line 2)") or "line 1" in found


def test_a_bomb_of_aliases_is_refused() -> None:
    """A few lines that unfold into millions of values are stopped early."""
    lines = ["other:", "  a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]

    (found,) = faults("\n".join(lines), schemas={"other": {}})
    assert "far too big" in found


def test_a_bomb_of_merges_is_harmless() -> None:
    """Each mapping is unfolded once, however often it is merged; ten keys stay ten keys."""
    lines = ["other:", f"  a0: &a0 {{{', '.join(f'k{n}: x' for n in range(10))}}}"]
    lines += [f"  a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 30)]
    found = section("\n".join(lines))

    assert isinstance(found, dict)
    assert found["a29"] == found["a0"] == {f"k{n}": "x" for n in range(10)}


def test_merges_of_many_large_mappings_are_stopped() -> None:
    """What is merged counts, also where it changes nothing."""
    large = f"  big: &big {{{', '.join(f'k{n}: x' for n in range(1000))}}}"
    text = f"other:\n{large}\n  all: {{<<: [{', '.join(['*big'] * 300)}]}}"
    (found,) = faults(text, schemas={"other": {}})

    assert "far too big" in found


@pytest.mark.parametrize(
    "text", ["&a {<<: *a, b: 1}", "&a {b: {<<: *a}}", "&a {<<: [{<<: *a}], b: 1}"]
)
def test_a_mapping_that_merges_itself_is_refused(text: str) -> None:
    """Directly, or over another."""
    (found,) = faults(f"other: {text}", schemas={"other": {}})

    assert "repeats itself without end" in found


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 70, "[" * 65 + "]" * 65])
def test_deep_nesting_is_refused_before_it_is_read(text: str) -> None:
    """A tree is made on the C stack: deep enough, it would end the process."""
    (found,) = faults(f"other: {text}")

    assert "is nested more than 64 levels deep" in found
    assert faults(environ={"SPINDLE__SERVER__PORT": text})
