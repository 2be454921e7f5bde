"""Bodies of chat requests that do not hold."""

from __future__ import annotations

import pytest

from spindle_llm.chat.settings import CHAT_SCHEMA, ChatSettings
from spindle_llm.chat.wire import ChatRequest, ConnectRequest, parse
from spindle_spi.errors import InvalidArgument


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"user_id": "a", "llm": {"model": 3}}', "llm.model"),
        (b'{"user_id": "a", "llm": {"model": "m", "temperature": 3}}', "llm.temperature"),
        (b'{"user_id": "a", "llm": {"model": "m", "max_tokens": 0}}', "llm.max_tokens"),
        (b'{"user_id": "a", "llm": {"model": "m", "max_tokens": "9"}}', "llm.max_tokens"),
        (b'{"user_id": "a", "llm": {"model": "m", "provider": "x"}}', "llm.provider"),
        (b'{"user_id": "", "llm": {"model": "m"}}', "user_id"),
        (b'{"user_id": "a"}', "llm"),
        (b'{"user_id": "a", "llm": {}, "server": {}}', "server"),
        (b'{"user_id": "a", "llm": {}, "server": {"slug": "s", "url": "http://x"}}', "server"),
        (b'{"user_id": "a", "llm": {}, "server": {"slug": "s", "transport": "sse"}}', "server"),
        (b"[]", None),
    ],
)
def test_what_does_not_hold_is_named(body: bytes, param: str | None) -> None:
    """The error says which member is wrong."""
    with pytest.raises(InvalidArgument) as caught:
        parse(ConnectRequest, body)

    assert caught.value.param == param
    assert caught.value.http_status == 400


def test_a_whole_number_is_a_temperature() -> None:
    """JSON does not tell 1 from 1.0."""
    wanted = parse(ConnectRequest, b'{"user_id": "a", "llm": {"temperature": 1}}')

    assert wanted.llm.temperature == 1.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"user_id": "a", "message": "x"',
        b'{"user_id": "a", "message": "\xff"}',
        b'{"user_id": "a", "message": "\\ud800"}',
        b'{"user_id": "a", "message": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """Cut, wrongly encoded, half a surrogate pair, nested without end."""
    with pytest.raises(InvalidArgument) as caught:
        parse(ChatRequest, body)

    assert caught.value.http_status == 400


def test_an_error_never_quotes_what_was_sent() -> None:
    """The body may hold secrets; the error holds the place alone."""
    with pytest.raises(InvalidArgument) as caught:
        parse(ConnectRequest, b'{"user_id": ["sk-secret"], "llm": {}}')

    assert "sk-secret" not in caught.value.message


def test_settings_have_the_contract_as_their_default() -> None:
    """Fifty messages and one hour, unless the operator says otherwise."""
    settings = ChatSettings.of({})

    assert (settings.max_messages, settings.ttl_seconds) == (50, 3600.0)
    assert ChatSettings.of({"max_messages": 4, "ttl_seconds": 9}).max_messages == 4


def test_every_setting_has_a_schema() -> None:
    """The schema names exactly what can be set."""
    properties = CHAT_SCHEMA["properties"]
    assert isinstance(properties, dict)

    assert list(properties) == list(ChatSettings.__slots__)
