"""POST /v1/embeddings: what is judged, what is asked, what is answered."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle_conformance.upstreams.embeddings import vector, wanted_in
from spindle_conformance.upstreams.server import Ending, Play
from spindle_llm.embeddings.query import MAX_INPUTS
from spindle_spi.admission import Limits, Status
from spindle_spi.plugin import HookPhase, SegmentKind
from spindle_spi.records import ProviderSpec
from tests.llm.embeddings.upstream import PATH, body, embedder, embeds, vectors_in
from tests.llm.support.gateway import Client, gateway, until
from tests.llm.support.records import ANSWER, REQUEST, Word, provider

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject


@pytest.mark.requirement("001-api-embeddings")
@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
@pytest.mark.parametrize("encoding", [None, "float", "base64"])
async def test_texts_become_vectors_in_their_order(path: str, encoding: str | None) -> None:
    """Both encodings are made here: the upstream is asked for numbers, whatever a client wants."""
    async with gateway(embeds, embedder()) as spindle:
        said = body("one", "two")

        if encoding is not None:
            said["encoding_format"] = encoding

        client = await spindle.ask(said, path=path)

        assert vectors_in(client) == [vector("one"), vector("two")]
        assert {**client.json, "data": None} == {
            "object": "list",
            "data": None,
            "model": "up~embed",
            "usage": {"prompt_tokens": 6, "total_tokens": 6},
        }
        assert spindle.received == {
            "model": "embed",
            "input": ["one", "two"],
            "encoding_format": "float",
        }
        assert [outcome.status for outcome in spindle.outcomes] == [Status.OK]


@pytest.mark.parametrize(
    ("given", "asked"),
    [("one", ["one"]), ([1, 2], [[1, 2]]), ([[1, 2], [3]], [[1, 2], [3]]), (["a"], ["a"])],
)
async def test_every_form_of_input_is_taken(given: Json, asked: Json) -> None:
    """A text, texts, the tokens of a text, and lists of tokens; each is one vector."""
    async with gateway(embeds, embedder()) as spindle:
        client = await spindle.ask({"model": "up~embed", "input": given}, path=PATH)

        assert isinstance(asked, list)
        assert len(vectors_in(client)) == len(asked)
        assert spindle.received["input"] == asked


@pytest.mark.requirement("003-embed-validate")
@pytest.mark.parametrize("empty", ["", [], [""], ["a", ""], [[]], [[1], []]])
async def test_an_empty_input_is_refused_by_policy(empty: Json) -> None:
    """An empty text, list or entry never reaches an upstream (POL-LLM-004)."""
    async with gateway(embeds, embedder()) as spindle:
        client = await spindle.ask({"model": "up~embed", "input": empty}, path=PATH)

        assert client.status == 400
        assert client.error["param"] == "input"
        assert "POL-LLM-004" in str(client.error["message"])
        assert spindle.upstream.seen == []


@pytest.mark.parametrize(
    ("said", "param"),
    [
        (b'{"model": "up~embed"}', "input"),
        (b'{"model": "up~embed", "input": 1}', "input"),
        (b'{"model": "up~embed", "input": {"a": 1}}', "input"),
        (b'{"model": "up~embed", "input": ["a", 1]}', "input"),
        (b'{"model": "up~embed", "input": [1, "a"]}', "input"),
        (b'{"model": "up~embed", "input": [1, -2]}', "input"),
        (b'{"model": "up~embed", "input": [1.5]}', "input"),
        (b'{"model": "up~embed", "input": [[1], "a"]}', "input"),
        (b'{"model": "up~embed", "input": [true]}', "input"),
        (b'{"model": "up~embed", "input": [null]}', "input"),
        (b'{"model": "up~embed", "input": "a", "dimensions": 0}', "dimensions"),
        (b'{"model": "up~embed", "input": "a", "encoding_format": "hex"}', "encoding_format"),
        (b'{"model": 7, "input": "a"}', "model"),
        (b'{"input": "a"}', "model"),
        (b'{"model": "up~embed", "input": "a", "input": "b"}', "input"),
        (b'{"model": "up~embed", "input": "a", "Input": "b"}', "Input"),
        (b'{"model": "up~embed", "input": "\xff"}', None),
        (b'["input"]', None),
    ],
)
async def test_what_cannot_be_meant_is_refused(said: bytes, param: str | None) -> None:
    """The top level is judged as that of a chat is: nothing an upstream could read otherwise."""
    async with gateway(embeds, embedder()) as spindle:
        client = await spindle.ask(said, path=PATH)

        assert (client.status, client.error["param"]) == (400, param)
        assert spindle.upstream.seen == []


async def test_more_inputs_than_one_request_may_have_are_refused() -> None:
    """The number of inputs is bounded, whatever the body's size."""
    async with gateway(embeds, embedder()) as spindle:
        client = await spindle.ask(body(*["a"] * (MAX_INPUTS + 1)), path=PATH)
        assert (client.status, client.error["param"]) == (400, "input")


async def test_a_provider_without_embeddings_says_so() -> None:
    """It is the request that cannot be: 400, and nobody is asked."""
    spec = ProviderSpec(provider_type="anthropic")

    async with gateway(embeds, embedder(), spec=spec) as spindle:
        client = await spindle.ask(body("a"), path=PATH)
        assert (client.status, client.error["code"]) == (400, "llm.embeddings.unsupported")
        assert spindle.upstream.seen == []


async def test_an_unknown_model_is_not_found() -> None:
    """The answer is that of a chat, word for word."""
    async with gateway(embeds, embedder()) as spindle:
        client = await spindle.ask(body("a", model="up~gone"), path=PATH)
        chat = await spindle.chat("up~gone")
        assert (client.status, client.content) == (404, chat.content)


async def test_parameters_and_defaults_reach_the_upstream() -> None:
    """What the request gives goes on, and what the operator set for the model where it does not."""
    async with gateway(embeds, embedder(dimensions=8, truncate="END", user="op")) as spindle:
        client = await spindle.ask(body("a", dimensions=4, user="ada"), path=PATH)

        assert vectors_in(client) == [vector("a", 4)]
        assert {key: spindle.received[key] for key in ("dimensions", "truncate", "user")} == {
            "dimensions": 4,
            "truncate": "END",
            "user": "ada",
        }


@pytest.mark.requirement("003-embed-dimensions")
@pytest.mark.parametrize(
    ("name", "declared", "asked"),
    [("embed", 9, None), ("embed", 7, None), ("embed-wrong-dimension", None, 4)],
)
async def test_vectors_of_another_length_are_an_error(
    name: str, declared: int | None, asked: int | None
) -> None:
    """The record's dimensions or the request's must be those of every vector; nothing is kept."""
    async with gateway(embeds, embedder(name, dimensions=declared)) as spindle:
        said = body("a", model=f"up~{name}")
        said |= {} if asked is None else {"dimensions": asked}

        for _ in range(2):
            client = await spindle.ask(said, path=PATH)
            assert (client.status, client.error["code"]) == (502, "upstream_dimensions")

        assert len(spindle.upstream.seen) == 2
        assert {outcome.status for outcome in spindle.outcomes} == {Status.ERROR}


@pytest.mark.requirement("003-embed-dimensions")
async def test_more_dimensions_than_the_model_has_are_refused() -> None:
    """Nobody is asked for what the record says cannot be."""
    async with gateway(embeds, embedder(dimensions=8)) as spindle:
        client = await spindle.ask(body("a", dimensions=9), path=PATH)
        assert (client.status, client.error["param"]) == (400, "dimensions")
        assert spindle.upstream.seen == []


@pytest.mark.parametrize("name", ["embed-fewer", "embed-float", "embed-shuffled"])
async def test_what_upstreams_do_with_vectors_is_put_right_or_refused(name: str) -> None:
    """One too few is an error; any order and either encoding come out as they were asked for."""
    async with gateway(embeds, embedder(name)) as spindle:
        client = await spindle.ask(body("a", "b", model=f"up~{name}"), path=PATH)

        if name == "embed-fewer":
            assert (client.status, client.error["code"]) == (502, "upstream_garbage")
        else:
            assert vectors_in(client) == [vector("a"), vector("b")]


@pytest.mark.parametrize("answer", [[], [1e300], ["x"], "!", None])
async def test_what_is_no_vector_is_an_error(answer: Json) -> None:
    """An empty vector, a number beyond 32 bits, something else: 502."""
    data: JsonObject = {"data": [{"index": 0, "embedding": answer}]}

    async with gateway(Play(body=json.dumps(data).encode()), embedder()) as spindle:
        client = await spindle.ask(body("a"), path=PATH)
        assert (client.status, client.error["code"]) == (502, "upstream_garbage")


@pytest.mark.parametrize("name", ["embed-usage-zero", "embed-usage-less"])
async def test_tokens_nobody_told_are_estimated(name: str) -> None:
    """The ledger gets an estimate that says so."""
    async with gateway(embeds, embedder(name)) as spindle:
        client = await spindle.ask(body("a" * 40, model=f"up~{name}"), path=PATH)

        assert client.json["usage"] == {"prompt_tokens": 10, "total_tokens": 10}
        usage = spindle.host.outcome.usage
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (10, 0, True)


async def test_plugins_see_the_texts_and_change_them() -> None:
    """The upstream gets what they leave; both phases have their receipt."""
    async with gateway(embeds, embedder()) as spindle:
        spindle.host.plugins.append(Word("secret", "******", REQUEST, ANSWER))
        client = await spindle.ask(body("a secret", "b"), path=PATH)

        assert vectors_in(client) == [vector("a ******"), vector("b")]
        assert spindle.received["input"] == ["a ******", "b"]
        phases = [run.phase for run in spindle.host.journal.hooks]
        assert phases == [HookPhase.PRE_INVOKE, HookPhase.POST_INVOKE]
        assert spindle.host.outcome.status is Status.OK


async def test_tokens_are_opaque_to_plugins() -> None:
    """Nobody can read them, so a plugin is told that they are there."""
    async with gateway(embeds, embedder()) as spindle:
        spindle.host.plugins.append(Word("secret", "******", REQUEST))
        await spindle.ask({"model": "up~embed", "input": [[1, 2], [3]]}, path=PATH)

        segments = spindle.host.journal.hooks[0].segments
        assert [(entry.pointer, entry.kind) for entry in segments] == [
            ("/input/0", SegmentKind.OPAQUE),
            ("/input/1", SegmentKind.OPAQUE),
        ]


async def test_a_plugin_that_refuses_ends_the_call() -> None:
    """Nothing goes to the upstream, and the call is settled as denied."""
    async with gateway(embeds, embedder()) as spindle:
        spindle.host.plugins.append(Word("secret", None, REQUEST))
        client = await spindle.ask(body("a secret"), path=PATH)

        assert client.status == 403
        assert spindle.upstream.seen == []
        assert spindle.host.outcome.status is Status.DENIED


@pytest.mark.requirement("003-embed-batch")
async def test_more_inputs_than_the_upstream_takes_are_asked_in_batches() -> None:
    """2,048 at once; joined in the order of the inputs, tokens added up."""
    texts = [f"text {number}" for number in range(4100)]

    async with gateway(embeds, embedder()) as spindle:
        client = await spindle.ask(body(*texts, encoding_format="base64"), path=PATH)

        assert vectors_in(client) == [vector(text) for text in texts]
        wanted = [wanted_in(json.loads(seen.body)) for seen in spindle.upstream.seen]
        assert sorted(len(entry.inputs) for entry in wanted if entry) == [4, 2048, 2048]
        tokens = sum(map(len, texts))
        assert client.json["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
        outcome = spindle.host.outcome
        assert len(outcome.attempts) == 3
        assert outcome.embedded is not None
        assert (outcome.embedded.count, outcome.embedded.dimension) == (4100, 8)


@pytest.mark.requirement("003-embed-batch")
async def test_a_failed_batch_fails_the_request_once() -> None:
    """The client gets the one error, and the call is settled once."""
    texts = [f"text {number}" for number in range(4100)]
    refusal = Play(status=400, body=b'{"error": {"message": "too long", "type": "x"}}')

    async with gateway(refusal, embedder()) as spindle:
        client = await spindle.ask(body(*texts), path=PATH)

        assert client.status == 400
        assert [outcome.status for outcome in spindle.outcomes] == [Status.ERROR]


async def test_a_client_that_leaves_ends_every_batch() -> None:
    """The upstream sees its clients leave, and the call is settled once, as cancelled."""
    texts = [f"text {number}" for number in range(4100)]
    client = Client(json.dumps(body(*texts)).encode())

    async with gateway(Play(silent=True, ending=Ending.HANG), embedder()) as spindle:
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                await spindle.ask(path=PATH, client=client)

            group.start_soon(ask)
            await until(lambda: len(spindle.upstream.seen) == 3)
            client.leaves.set()

        await until(lambda: all(seen.client_left for seen in spindle.upstream.seen))
        assert [outcome.status for outcome in spindle.outcomes] == [Status.CANCELLED]


async def test_only_the_same_model_elsewhere_is_a_fallback() -> None:
    """Vectors of another model cannot be compared, so it is not asked."""
    async with gateway(Play(status=503), embedder(fallbacks=("up~other",))) as spindle:
        spindle.host.records.add(embedder("other"))
        spindle.host.limits = Limits(max_attempts=3)
        client = await spindle.ask(body("a"), path=PATH)

        assert client.status == 503
        assert [attempt.target for attempt in spindle.host.outcome.attempts] == ["up~embed"]


async def test_the_same_model_elsewhere_answers_instead() -> None:
    """An alternative with the same upstream name takes over, and the outcome says so."""
    async with gateway(embeds, embedder(of="away", fallbacks=("up~embed",))) as spindle:
        spindle.host.records.add(provider("away", "http://127.0.0.1:9/v1"))
        spindle.host.records.add(embedder())
        spindle.host.limits = Limits(max_attempts=3)
        client = await spindle.ask(body("a", model="away~embed"), path=PATH)

        assert vectors_in(client) == [vector("a")]
        assert client.json["model"] == "away~embed"
        assert spindle.host.outcome.served_by == "up~embed"


async def test_the_outcome_says_what_was_made() -> None:
    """Count, dimension and a hash of the input; never the input."""
    async with gateway(embeds, embedder()) as spindle:
        await spindle.ask(body("one", "two"), path=PATH)
        outcome = spindle.host.outcome

        assert outcome.embedded is not None
        assert (outcome.embedded.count, outcome.embedded.dimension) == (2, 8)
        assert outcome.embedded.input_hash == hashlib.sha256(b'["one","two"]').hexdigest()
        assert outcome.idempotency_key is not None
        assert not outcome.cache_hit
