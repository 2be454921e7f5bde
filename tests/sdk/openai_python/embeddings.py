"""Embeddings through the OpenAI SDK for Python, which asks for base64 unless told otherwise."""

# pyright: basic

from __future__ import annotations

from typing import Any

import openai

from tests.sdk.harness import check, gateway, raises, same

client: Any = openai.OpenAI(base_url=gateway.base, api_key=gateway.token, max_retries=0)


@check("embeddings.default_is_base64")
def default_is_base64() -> None:
    vectors = client.embeddings.create(model="up~embed", input="one").data[0].embedding
    floats = client.embeddings.create(model="up~embed", input="one", encoding_format="float")
    same((len(vectors), vectors), (8, floats.data[0].embedding))
    raw = client.embeddings.with_raw_response.create(
        model="up~embed", input="one", encoding_format="base64"
    )
    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)


@check("embeddings.float")
def as_floats() -> None:
    answer = client.embeddings.create(
        model="up~embed", input=["one", "two"], encoding_format="float"
    )
    same((answer.object, answer.model), ("list", "up~embed"))
    same([(each.object, each.index) for each in answer.data], [("embedding", 0), ("embedding", 1)])
    assert answer.data[0].embedding != answer.data[1].embedding
    assert answer.usage.prompt_tokens
    same(answer.usage.total_tokens, answer.usage.prompt_tokens)


@check("embeddings.of_an_upstream_without_base64")
def of_an_upstream_without_base64() -> None:
    expected = client.embeddings.create(model="up~embed", input=["one", "two"])
    found = client.embeddings.create(model="up~embed-float", input=["one", "two"])
    same([each.embedding for each in found.data], [each.embedding for each in expected.data])
    raw = client.embeddings.with_raw_response.create(
        model="up~embed-float", input="one", encoding_format="base64"
    )
    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)


@check("embeddings.order")
def order() -> None:
    texts = [f"text {number}" for number in range(20)]
    whole = [
        each.embedding for each in client.embeddings.create(model="up~embed", input=texts).data
    ]
    single = client.embeddings.create(model="up~embed", input=texts[13]).data[0].embedding
    same(whole[13], single)


@check("embeddings.dimensions")
def dimensions() -> None:
    answer = client.embeddings.create(model="up~embed", input="one", dimensions=4)
    same(len(answer.data[0].embedding), 4)


@check("embeddings.tokens")
def tokens() -> None:
    answer = client.embeddings.create(model="up~embed", input=[[1, 2, 3], [4, 5]])
    same(len(answer.data), 2)


@check("embeddings.errors")
def errors() -> None:
    create = client.embeddings.create
    raises(openai.NotFoundError, lambda: create(model="up~absent", input="one"))
    raises(openai.BadRequestError, lambda: create(model="up~embed", input=[]))
    raises(openai.BadRequestError, lambda: create(model="up~embed", input=""))
    stranger = client.with_options(api_key="spn_nobody")
    raises(
        openai.AuthenticationError,
        lambda: stranger.embeddings.create(model="up~embed", input="one"),
    )
