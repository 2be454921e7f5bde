"""The OpenAI adapter: URLs, headers, lists of models, answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from spindle_llm.providers.ledger import Ledger
from spindle_llm.providers.openai import OpenAiAdapter, listed_models
from spindle_llm.providers.openai_chat import OpenAiChat
from spindle_llm.providers.urls import join_url, root_url
from spindle_spi.errors import Unsupported, UpstreamError
from spindle_spi.records import ModelSpec, ProviderSpec
from spindle_spi.secret import Secret

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

ADAPTER = OpenAiAdapter()
CHAT = OpenAiChat()
SPEC = ModelSpec(provider="up", upstream_name="m")


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
    assert CHAT.url(base, "m") == url
    assert join_url(base, "/models") == ADAPTER.health_url(base)


def test_what_stands_beside_the_version_is_found() -> None:
    """A trailing version is left out, whatever else the path has stays."""
    assert root_url("http://host:1/v1/", "/api/tags") == "http://host:1/api/tags"
    assert root_url("http://host:1", "/api/tags") == "http://host:1/api/tags"
    assert root_url("http://host/jan", "/x") == "http://host/jan/x"


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
    whole = CHAT.encode(dict(body), stream=False, spec=SPEC)
    assert json.loads(whole.body) == {**body, "stream": False}
    assert whole.dropped == ()
    asked: JsonObject = {**body, "stream_options": {"a": 1}}
    sent = json.loads(CHAT.encode(asked, stream=True, spec=SPEC).body)
    assert sent["stream_options"] == {"a": 1, "include_usage": True}


def test_listed_models_become_records() -> None:
    """Under the provider's name; what has no name is left out."""
    listing = b'{"data":[{"id":"a/b:c","created":7},{"id":"d"},{"id":""}],"object":"list"}'
    records = listed_models("up", listing)
    assert [record.name for record in records] == ["up~a/b:c", "up~d"]
    assert isinstance(records[0].spec, ModelSpec)
    assert (records[0].spec.upstream_name, records[0].spec.created) == ("a/b:c", 7)
    assert records[0].spec.facts.publisher == "a"


@pytest.mark.parametrize("listing", [b"", b"<html>", b"[]", b'{"data":1}', b'{"data":[{}]}'])
def test_what_is_no_list_of_models_is_refused(listing: bytes) -> None:
    """A page of HTML, another form."""
    with pytest.raises(UpstreamError):
        listed_models("up", listing)


def test_the_end_of_a_stream_is_known() -> None:
    """What follows it does not count, in the same read or a later one."""
    decoder = CHAT.decoder()
    assert list(decoder.feed(b'data: {"choices":[]}\n\nevent: ping\ndata:\n\n')) == [
        {"choices": []}
    ]
    assert list(decoder.feed(b'event: error\ndata: {"detail":1}\n\n')) == [{"error": {"detail": 1}}]
    assert list(decoder.feed(b"data: [DONE]\n\ndata: garbage\n\n")) == []
    assert decoder.is_done
    assert list(decoder.feed(b"data: garbage\n\n")) == []
    assert list(decoder.close()) == []


def test_what_came_before_a_failure_in_the_same_read_comes_first() -> None:
    """However the bytes were cut, the same chunks are seen."""
    chunks = CHAT.decoder().feed(b'data: {"choices":[]}\n\ndata: garbage\n\n')
    assert next(chunks) == {"choices": []}

    with pytest.raises(UpstreamError):
        next(chunks)


def test_a_variant_renames_leaves_out_and_refuses() -> None:
    """Each parameter by its ledger; what asks for nothing is no loss."""
    ledger = Ledger(dropped=frozenset({"user", "logit_bias"}), rejected=frozenset({"n"}))
    chat = OpenAiChat(ledger, renamed={"max_completion_tokens": "max_tokens"}, has_developer=False)
    request: JsonObject = {
        "model": "m",
        "messages": [{"role": "developer", "content": "a"}, {"role": "user", "content": "b"}],
        "max_completion_tokens": 5,
        "user": "u",
        "logit_bias": {},
        "n": 1,
        "seed": 1,
    }
    encoded = chat.encode(request, stream=False, spec=SPEC)
    assert encoded.dropped == ("user",)
    assert json.loads(encoded.body) == {
        "model": "m",
        "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}],
        "max_tokens": 5,
        "seed": 1,
        "stream": False,
    }

    with pytest.raises(Unsupported) as caught:
        chat.encode({**request, "n": 2}, stream=False, spec=SPEC)

    assert caught.value.param == "n"


def test_bytes_go_on_only_where_nothing_has_to_be_changed() -> None:
    """A renamed parameter and an unknown role take the parsed path."""
    chat = OpenAiChat(renamed={"max_completion_tokens": "max_tokens"}, has_developer=False)
    assert chat.takes({"model": (0, 1)}, b'{"role":"user"}')
    assert not chat.takes({"max_completion_tokens": (0, 1)}, b"{}")
    assert not chat.takes({}, b'{"role":"developer"}')
    assert CHAT.takes({"max_completion_tokens": (0, 1)}, b'{"role":"developer"}')
