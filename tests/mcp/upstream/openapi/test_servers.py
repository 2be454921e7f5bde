"""Where calls go: what the record says, else where the document is, and never elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from spindle_mcp.upstream.openapi.servers import base_url
from tests.mcp.support.rest import openapi

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject


def servers(*urls: str, **variables: Any) -> JsonObject:
    return openapi({}, servers=[{"url": url, "variables": variables} for url in urls])


@pytest.mark.parametrize(
    ("said", "document", "document_url", "base"),
    [
        ("http://a.test/v1/", servers("http://b.test"), "http://c.test/d", "http://a.test/v1"),
        (None, servers("http://b.test/v2", "http://c.test"), None, "http://b.test/v2"),
        (None, servers("http://b.test/v2"), "http://b.test/openapi.json", "http://b.test/v2"),
        (None, servers("http://b.test:80/v2"), "http://b.test/d", "http://b.test:80/v2"),
        (None, servers("/v2"), "https://b.test/docs/openapi.json", "https://b.test/v2"),
        (None, servers("v2"), "https://b.test/docs/openapi.json", "https://b.test/docs/v2"),
        (None, openapi({}), "https://b.test/docs/openapi.json", "https://b.test"),
        (
            None,
            servers("https://{at}.test/{v}", at={"default": "b"}, v={"default": "v3"}),
            None,
            "https://b.test/v3",
        ),
    ],
)
def test_an_api_is_where_the_record_says_or_where_its_document_is(
    said: str | None, document: JsonObject, document_url: str | None, base: str
) -> None:
    """Relative addresses start at the document."""
    assert base_url(said, document, document_url) == base


@pytest.mark.parametrize(
    ("said", "document", "document_url"),
    [
        (None, servers("http://b.test"), "http://a.test/openapi.json"),
        (None, servers("http://a.test:81"), "http://a.test/openapi.json"),
        (None, servers("https://a.test"), "http://a.test/openapi.json"),
        (None, servers("//b.test"), "http://a.test/openapi.json"),
        (None, servers("/v1"), None),
        (None, openapi({}), None),
        (None, servers("file:///etc/passwd"), None),
        (None, servers("http://user:pw@b.test"), None),
        (None, servers("http://b.test/a/../b"), None),
        (None, servers("http://b.test?x=1"), None),
        (None, servers("http://b.test\\@a.test"), None),
        (None, servers("http://b.test/ü"), None),
        ("ftp://b.test", openapi({}), None),
    ],
)
def test_a_document_from_the_network_does_not_choose_another_host(
    said: str | None, document: JsonObject, document_url: str | None
) -> None:
    """Whoever changes it would be sent the credential."""
    with pytest.raises(ValueError, match=r"names (a|no) server|gateway has no url"):
        base_url(said, document, document_url)
