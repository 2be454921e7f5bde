"""The chat request at the top level: what is refused, what is read, what is changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from spindle_llm.surfaces.body import parse_chat
from spindle_llm.surfaces.judging import ClientGone, read_body
from spindle_spi.errors import InvalidArgument, Origin
from spindle_spi.shapes import OPENAI
from tests.llm.support.gateway import Client

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject, Message

pytestmark = pytest.mark.anyio

MESSAGES = b'"messages":[{"role":"user","content":"hi"}]'

BAD = {
    "nothing": (b"", "invalid_json", None),
    "half an object": (b'{"messages":', "invalid_json", None),
    "a list": (b"[]", "invalid_json", None),
    "text after it": (b"{%s}x" % MESSAGES, "invalid_json", None),
    "a trailing comma": (b"{%s,}" % MESSAGES, "invalid_json", None),
    "not a number": (b'{%s,"x":NaN}' % MESSAGES, "invalid_json", None),
    "bytes that are no text": (b'{"messages":["\xff"]}', "invalid_json", None),
    "an overlong form": (b'{"messages":["\xc0\xaf"]}', "invalid_json", None),
    "half a surrogate pair": (b'{"messages":["\\ud800 x"]}', "invalid_json", None),
    "a pair the wrong way round": (b'{"messages":["\\udc00\\ud800"]}', "invalid_json", None),
    "half a pair in a key": (b'{"\\ud800":1,%s}' % MESSAGES, "invalid_json", None),
    "10,000 deep": (b'{"messages":%s}' % (b"[" * 10_000 + b"]" * 10_000), "invalid_json", None),
    "10,000 deep, cut": (b'{"messages":' + b"[" * 10_000, "invalid_json", None),
    "10,000 deep, twice": (
        b'{"a":1,"a":%s}' % (b"[" * 10_000 + b"]" * 10_000),
        "invalid_json",
        None,
    ),
    "model twice": (
        b'{"model":"a",%s,"model":"b"}' % MESSAGES,
        "llm.request.duplicate_key",
        "model",
    ),
    "the same model twice": (
        b'{"model":"a","model":"a",%s}' % MESSAGES,
        "llm.request.duplicate_key",
        "model",
    ),
    "model once more, escaped": (
        b'{"model":"a","\\u006dodel":"b",%s}' % MESSAGES,
        "llm.request.duplicate_key",
        "model",
    ),
    "stream twice": (
        b'{"stream":false,"stream":true,%s}' % MESSAGES,
        "llm.request.duplicate_key",
        "stream",
    ),
    "any key twice": (b'{"x":1,%s,"x":2}' % MESSAGES, "llm.request.duplicate_key", "x"),
    "model escaped": (b'{"\\u006dodel":"a",%s}' % MESSAGES, "llm.request.ambiguous_key", "model"),
    "stream escaped": (
        b'{"str\\u0065am":true,%s}' % MESSAGES,
        "llm.request.ambiguous_key",
        "stream",
    ),
    "Model": (b'{"Model":"a",%s}' % MESSAGES, "llm.request.ambiguous_key", "Model"),
    "MODEL beside model": (
        b'{"model":"a","MODEL":"b",%s}' % MESSAGES,
        "llm.request.ambiguous_key",
        "MODEL",
    ),
    "stream with a long s": (
        '{"\u017ftream":true,'.encode() + MESSAGES + b"}",
        "llm.request.ambiguous_key",
        "\u017ftream",
    ),
    "Stream_Options": (
        b'{"Stream_Options":{},%s}' % MESSAGES,
        "llm.request.ambiguous_key",
        "Stream_Options",
    ),
    "max_To\u212aens": (
        '{"max_to\u212aens":1,'.encode() + MESSAGES + b"}",
        "llm.request.ambiguous_key",
        "max_to\u212aens",
    ),
    "model a number": (b'{"model":1,%s}' % MESSAGES, "llm.model.invalid", "model"),
    "model empty": (b'{"model":"",%s}' % MESSAGES, "llm.model.invalid", "model"),
    "stream a number": (b'{"stream":1,%s}' % MESSAGES, "llm.stream.invalid", "stream"),
    "stream a text": (b'{"stream":"true",%s}' % MESSAGES, "llm.stream.invalid", "stream"),
    "stream_options a list": (
        b'{"stream_options":[],%s}' % MESSAGES,
        "llm.stream_options.invalid",
        "stream_options",
    ),
    "include_usage a number": (
        b'{"stream":true,"stream_options":{"include_usage":1},%s}' % MESSAGES,
        "llm.stream_options.invalid",
        "stream_options.include_usage",
    ),
    "no messages": (b'{"model":"a"}', "llm.messages.missing", "messages"),
    "messages an object": (b'{"messages":{}}', "llm.messages.invalid", "messages"),
    "messages null": (b'{"messages":null}', "llm.messages.invalid", "messages"),
    "messages empty": (b'{"messages":[ \n]}', "llm.messages.empty", "messages"),
    "n zero": (b'{"n":0,%s}' % MESSAGES, "llm.n.invalid", "n"),
    "n true": (b'{"n":true,%s}' % MESSAGES, "llm.n.invalid", "n"),
    "n half": (b'{"n":1.5,%s}' % MESSAGES, "llm.n.invalid", "n"),
    "n too many": (b'{"n":129,%s}' % MESSAGES, "llm.n.invalid", "n"),
    "n beyond numbers": (b'{"n":1e999,%s}' % MESSAGES, "llm.n.invalid", "n"),
    "max_tokens negative": (
        b'{"max_tokens":-1,%s}' % MESSAGES,
        "llm.max_tokens.invalid",
        "max_tokens",
    ),
    "max_completion_tokens a text": (
        b'{"max_completion_tokens":"9",%s}' % MESSAGES,
        "llm.max_completion_tokens.invalid",
        "max_completion_tokens",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_and_says_what_is_wrong(name: str) -> None:
    """The error is the client's, has status 400, a code and the parameter, in OpenAI's shape."""
    body, code, param = BAD[name]

    with pytest.raises(InvalidArgument) as caught:
        parse_chat(body)

    rendered = OPENAI.render(caught.value, "req-1")
    error = json.loads(rendered.body)["error"]
    assert rendered.status == 400
    assert caught.value.origin is Origin.CLIENT
    assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error")
    assert len(error["message"]) < 200


@pytest.mark.requirement("003-chat-validate")
@pytest.mark.parametrize("messages", [b"[]", b"[ ]", b"[\n\t]"])
def test_messages_are_not_empty(messages: bytes) -> None:
    """MessagesNonEmpty: POL-LLM-003."""
    with pytest.raises(InvalidArgument, match="POL-LLM-003"):
        parse_chat(b'{"model": "m", "messages": %s}' % messages)


GOOD = {
    "escapes that are no surrogates": b'{"messages":["\\\\ud800 \\u00e9 \\ud83d\\ude00"]}',
    "an escaped key nobody guards": b'{"met\\u0061":1,%s}' % MESSAGES,
    "nested keys said twice": b'{"x":{"model":1,"model":2},%s}' % MESSAGES,
    "nulls": b'{"model":null,"stream":null,"stream_options":null,"n":null,"max_tokens":null,%s}'
    % MESSAGES,
    "an empty key": b'{"":1,%s}' % MESSAGES,
    "space everywhere": b' {\n"messages" : [ {"role":"user"} ] , "n" : 2 } ',
    "900 deep": b'{"messages":[1],"x":%s}' % (b"[" * 400 + b"]" * 400),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_unusual_but_clear_passes_unchanged(name: str) -> None:
    """Every byte but the model's name stays, and reads the same."""
    request = parse_chat(GOOD[name])
    sent = request.encoded("m", {})
    before, after = msgspec.json.decode(GOOD[name]), msgspec.json.decode(sent)
    assert after.pop("model") == "m"
    before.pop("model", None)
    assert after == before


def test_the_upstreams_name_is_spliced_and_every_other_byte_kept() -> None:
    """Spacing, order, numbers and unknown keys go out as they came."""
    body = b'{ "x":1.10,"model" : "up~\\u00e9", "y":{"model":"z"}, %s }' % MESSAGES
    request = parse_chat(body)
    assert request.model == "up~é"
    assert request.encoded("é", {}) == body.replace(b'"up~\\u00e9"', '"é"'.encode())


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (b"", {"include_usage": True}),
        (b',"stream_options":null', {"include_usage": True}),
        (b',"stream_options":{"include_usage":false}', {"include_usage": True}),
        (b',"stream_options":{"x":1}', {"x": 1, "include_usage": True}),
    ],
)
def test_a_streams_usage_is_always_asked_for(options: bytes, sent: JsonObject) -> None:
    """The ledger needs it; whether the client wanted it is remembered."""
    request = parse_chat(b'{"stream":true,"model":"a",%s%s}' % (MESSAGES, options))
    assert json.loads(request.encoded("m", {}))["stream_options"] == sent
    assert not request.wants_usage


def test_a_client_that_wants_usage_is_known() -> None:
    """The flag counts for streams only."""
    asked = b'"stream_options":{"include_usage":true}'
    assert parse_chat(b'{"stream":true,%s,%s}' % (asked, MESSAGES)).wants_usage
    assert not parse_chat(b"{%s,%s}" % (asked, MESSAGES)).wants_usage


def test_defaults_fill_what_is_missing_and_nothing_else() -> None:
    """A value the client gave stays, and so does the other name of the same parameter."""
    request = parse_chat(b'{"temperature":0,"max_completion_tokens":5,%s}' % MESSAGES)
    sent = json.loads(request.encoded("m", {"temperature": 1, "max_tokens": 9, "top_p": 0.5}))
    assert (sent["temperature"], sent["top_p"]) == (0, 0.5)
    assert "max_tokens" not in sent


def test_the_estimate_takes_the_larger_limit_and_counts_images() -> None:
    """Both names of the output limit may be given; an upstream may follow either."""
    image = b'{"type":"image_url","image_url":{"url":"data:"}}'
    content = b'{"role":"user","content":[%s,%s,{"type":"text","text":"\\"image_url\\""}]}'
    body = b'{"messages":[%s],"max_tokens":9,"max_completion_tokens":7,"n":3}' % (
        content % (image, image)
    )
    estimate = parse_chat(body).estimate
    assert (estimate.max_output_tokens, estimate.choices, estimate.images) == (9, 3, 2)
    assert estimate.input_bytes == len(body)


def test_a_number_only_the_hooked_path_reads_is_refused_there() -> None:
    """The raw path passes it on unread; plain data cannot hold it."""
    request = parse_chat(b'{"x":1e999,%s}' % MESSAGES)

    with pytest.raises(InvalidArgument, match="number"):
        request.parsed()


async def test_a_body_in_pieces_is_read_whole() -> None:
    """The server may hand it over in any number of messages."""
    assert await read_body(Client(b"0123456789", pieces=3).receive) == b"0123456789"


async def test_a_client_that_leaves_while_it_sends_is_noticed() -> None:
    """Nobody is left to be told."""
    messages: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b"x", "more_body": True},
    ]

    async def receive() -> Message:
        return messages.pop()

    with pytest.raises(ClientGone):
        await read_body(receive)
