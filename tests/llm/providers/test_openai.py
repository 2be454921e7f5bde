"""The OpenAI adapter: URLs, headers, lists of models, answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spindle_llm.providers.openai import OpenAiAdapter, join_url
from spindle_llm.relay.sse import SseEvent
from spindle_spi.errors import UpstreamError
from spindle_spi.records import ModelSpec, ProviderSpec
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

ADAPTER = OpenAiAdapter()


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1/chat/completions"),
        ("https://api.openai.com/", "https://api.openai.com/v1/chat/completions"),
        ("http://host:1/v1", "http://host:1/v1/chat/completions"),
        ("http://host:1/v1/", "http://host:1/v1/chat/completions"),
        ("https://host/openai/v1", "https://host/openai/v1/chat/completions"),
        ("https://host/v1beta/openai", "https://host/v1beta/openai/chat/completions"),
        ("https://host/api", "https://host/api/v1/chat/completions"),
        ("https://v1.host", "https://v1.host/v1/chat/completions"),
    ],
)
def test_a_base_url_needs_no_version_and_may_have_one(base: str, url: str) -> None:
    """`/v1` is added where no part of the path is a version."""
    assert ADAPTER.chat_url(base) == url
    assert join_url(base, "/models") == ADAPTER.models_url(base)


def test_the_key_and_the_account_go_into_the_headers() -> None:
    """From the provider's record, never from a client."""
    spec = ProviderSpec(
        provider_type="openai", options={"organization": "o", "project": "p", "other": "x"}
    )
    headers = ADAPTER.headers(spec, Secret("k"))
    assert headers["Authorization"] == "Bearer k"
    assert (headers["OpenAI-Organization"], headers["OpenAI-Project"]) == ("o", "p")
    assert "Authorization" not in ADAPTER.headers(spec, None)


def test_a_request_is_written_as_it_is() -> None:
    """With the usage of a stream asked for."""
    body: JsonObject = {"model": "m", "stream": True, "x": "ü"}
    assert json.loads(ADAPTER.encode(dict(body), stream=False)) == {**body, "stream": False}
    sent = json.loads(ADAPTER.encode({**body, "stream_options": {"a": 1}}, stream=True))
    assert sent["stream_options"] == {"a": 1, "include_usage": True}


def test_listed_models_become_records() -> None:
    """Under the provider's name; what has no name is left out."""
    listing = b'{"data":[{"id":"a/b:c","created":7},{"id":"d"},{"id":""}],"object":"list"}'
    records = ADAPTER.listed_models("up", listing)
    assert [record.name for record in records] == ["up~a/b:c", "up~d"]
    assert records[0].spec == ModelSpec(provider="up", upstream_name="a/b:c", created=7)


@pytest.mark.parametrize("listing", [b"", b"<html>", b"[]", b'{"data":1}', b'{"data":[{}]}'])
def test_what_is_no_list_of_models_is_refused(listing: bytes) -> None:
    """A page of HTML, another form."""
    with pytest.raises(UpstreamError):
        ADAPTER.listed_models("up", listing)


def test_the_end_of_a_stream_is_known() -> None:
    """What follows it does not count."""
    decoder = ADAPTER.decoder()
    assert decoder.take(SseEvent("", b'{"choices":[]}')) == ({"choices": []},)
    assert decoder.take(SseEvent("ping", b"")) == ()
    assert decoder.take(SseEvent("error", b'{"detail":1}')) == ({"error": {"detail": 1}},)
    assert decoder.take(SseEvent("", b"[DONE]")) == ()
    assert decoder.is_done
    assert decoder.take(SseEvent("", b"garbage")) == ()
