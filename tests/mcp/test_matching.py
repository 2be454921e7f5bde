from __future__ import annotations

import pytest

from spindle_mcp.matching import MAX_URI, TemplateMatch, same_place


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        ("note://{name}", "note://a"),
        ("note://{name}", "note://a%20b"),
        ("note://{shelf}/{name}.md", "note://s/a.md"),
        ("file:///{+path}", "file:///a/b/c.md"),
        ("file:///docs{/path*}", "file:///docs/a/b"),
        ("log://{service}{?since,level}", "log://api"),
        ("log://{service}{?since,level}", "log://api?level=error&since=5m"),
        ("plain://all", "plain://all"),
    ],
)
def test_what_a_template_expands_to_is_taken(template: str, uri: str) -> None:
    """In the forms of RFC 6570 that can be read backwards."""
    assert TemplateMatch(template).takes(uri)


@pytest.mark.parametrize(
    ("template", "uri"),
    [
        ("note://{name}", "note://a/b"),
        ("note://{name}", "other://a"),
        ("note://{name}", "note://a?x=1"),
        ("note://{name}", "note://a#x"),
        ("note://{name}", "note://.."),
        ("note://{name}", "note://..%2Fa"),
        ("note://{name}", "note://%2e%2e"),
        ("note://{name}", "note://a%5C..%5Cb"),
        ("file:///docs/{+path}", "file:///docs/../secret"),
        ("file:///docs/{+path}", "file:///docs/a/./b"),
        ("file:///docs{/path*}", "file:///docs/a/../b"),
        ("log://{service}{?since}", "log://api?until=1"),
        ("log://{service}{?since}", "log://api?since=1&since=2"),
        ("log://{service}{?since}", "log://api#since"),
        ("note://{name}", "note://" + "a" * MAX_URI),
        ("plain://all", "plain://all/more"),
    ],
)
def test_nothing_beyond_a_template_is_taken(template: str, uri: str) -> None:
    """Neither what the template does not name, nor what climbs out of its place."""
    assert not TemplateMatch(template).takes(uri)


@pytest.mark.parametrize(
    "template",
    ["note://{", "note://{}", "note://{a:3}", "note://{+a}{+b}", "x://" + "{a}/" * 400],
)
def test_a_template_that_cannot_be_read_backwards_is_said_to_be_none(template: str) -> None:
    """Whoever publishes it is told, not whoever reads."""
    with pytest.raises(ValueError, match=r".+"):
        TemplateMatch(template)


def test_spellings_of_one_place_are_one() -> None:
    """As far as an upstream is likely to take them so."""
    assert same_place("file:///a/b") == same_place("file:///a/%62") == same_place("file:////a//b")
    assert same_place("file:///a") != same_place("file:///b")
