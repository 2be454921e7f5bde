from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_mcp.links import scoped_meta, scoped_result

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject


def test_every_way_of_naming_a_user_interface_is_scoped() -> None:
    """Nested or flat; other members, and what is no interface, stay."""
    meta: JsonObject = {
        "ui": {"resourceUri": "ui://a", "csp": {}},
        "ui/resourceUri": "ui://a",
        "openai/outputTemplate": "ui://b",
        "other": "ui://a",
    }
    assert scoped_meta("up", meta) == {
        "ui": {"resourceUri": "ui://up/a", "csp": {}},
        "ui/resourceUri": "ui://up/a",
        "openai/outputTemplate": "ui://up/b",
        "other": "ui://a",
    }
    plain: JsonObject = {"ui": {"resourceUri": "https://x"}, "ui/resourceUri": 7}
    assert scoped_meta("up", plain) is plain
    assert scoped_meta("up", None) is None


def test_a_result_without_references_is_the_same_object() -> None:
    """Most are, and nothing is copied for them."""
    result: JsonObject = {"content": [{"type": "text", "text": "file:///a"}], "_meta": {"a": 1}}
    assert scoped_result("up", result) is result


def test_links_of_the_web_stay_unless_they_are_known_here() -> None:
    """What the upstream does not serve as a resource, a client can only fetch from the web."""
    link: JsonObject = {"type": "resource_link", "uri": "https://x/y", "name": "y"}
    result: JsonObject = {"content": [link, {"type": "resource_link"}, "odd"]}
    assert scoped_result("up", result) == result
    known = scoped_result("up", {"content": [link]}, {"spindle://up/https://x/y"}.__contains__)
    assert known == {"content": [{**link, "uri": "spindle://up/https://x/y"}]}


def test_what_is_embedded_or_read_is_scoped_and_what_is_odd_stays() -> None:
    """In messages and contents, too."""
    inside: JsonObject = {"uri": "file:///a", "text": "t"}
    part: JsonObject = {"type": "resource", "resource": inside}
    scoped: JsonObject = {**inside, "uri": "spindle://up/file:///a"}
    result: JsonObject = {
        "content": [part, {"type": "resource", "resource": 7}],
        "messages": [{"role": "user", "content": part}, 7, {"role": "user", "content": 8}],
        "contents": [inside, 9],
        "_meta": {"ui": {"resourceUri": "ui://a"}},
    }
    assert scoped_result("up", result) == {
        "content": [{**part, "resource": scoped}, {"type": "resource", "resource": 7}],
        "messages": [
            {"role": "user", "content": {**part, "resource": scoped}},
            7,
            {"role": "user", "content": 8},
        ],
        "contents": [scoped, 9],
        "_meta": {"ui": {"resourceUri": "ui://up/a"}},
    }
