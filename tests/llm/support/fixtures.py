"""A vendor's wire as a file: what is asked and sent, told and understood, listed and refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from spindle_conformance.upstreams.scripts import dump
from spindle_llm.providers.inquiry import Reply
from spindle_llm.providers.parameters import CHAT_PARAMETERS
from spindle_llm.providers.readings import object_in, objects_in
from spindle_llm.relay.folding import Fold
from spindle_spi.errors import Unsupported
from spindle_spi.records import ModelSpec, ProviderSpec
from spindle_spi.secret import Secret
from spindle_spi.types import JsonObject
from tests.llm.support.vendors import MODEL, chunks_of, sent

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_llm.providers.base import Adapter
    from spindle_llm.providers.dialect import ChatDialect
    from spindle_spi.types import Json

KEY = Secret("the-key")


@dataclass(slots=True)
class Listed:
    """`Inquiry` that answers from a file."""

    base: str
    lists: JsonObject
    provider: str = "up"

    async def get(self, url: str) -> Reply:
        """Answer with what the file has for a URL."""
        if url not in self.lists:
            return Reply(status=404, headers={}, body=b"{}")

        return Reply(status=200, headers={}, body=_bytes(self.lists[url]))

    async def post(self, url: str, body: JsonObject) -> Reply:
        """Answer as to GET."""
        del body
        return await self.get(url)


def read(path: Path) -> JsonObject:
    """Return what a file says."""
    said: JsonObject = json.loads(path.read_text())
    return said


async def prove(adapter: Adapter, said: JsonObject) -> None:
    """Check an adapter against all that the file of its vendor says."""
    base = str(said["base"])
    spec = ProviderSpec(provider_type=adapter.provider_type, options=object_in(said, "options"))
    chat = adapter.chat(spec, MODEL, {})
    assert adapter.provider_type == said["provider_type"]
    assert chat.url(base, "m") == said["chat_url"]
    assert adapter.health_url(base) == said["health_url"]
    assert adapter.headers(spec, KEY).items() >= object_in(said, "headers").items()
    assert {"Authorization", "the-key"}.isdisjoint(adapter.headers(spec, None))
    _ledger(chat)
    _requests(chat, said)
    _answers(chat, said)
    _refusals(adapter, said)
    await _models(adapter, said, base)


def _ledger(chat: ChatDialect) -> None:
    ledger = chat.ledger
    listed = {*ledger.translated, *ledger.dropped, *ledger.rejected, *ledger.passed}
    assert listed >= CHAT_PARAMETERS


def _requests(chat: ChatDialect, said: JsonObject) -> None:
    for case in objects_in(said, "requests"):
        encoded = chat.encode(object_in(case, "asked"), stream=False, spec=MODEL)
        assert sent(encoded.body) == case["sent"]
        assert list(encoded.dropped) == case["dropped"]

    for case in objects_in(said, "refused"):
        with pytest.raises(Unsupported) as caught:
            chat.encode(object_in(case, "asked"), stream=False, spec=MODEL)

        assert caught.value.param == case["param"]


def _answers(chat: ChatDialect, said: JsonObject) -> None:
    for case in objects_in(said, "answers"):
        _understood(chat.decode(_bytes(case["told"])), case)
        pieces = case["stream"]
        assert isinstance(pieces, list)
        data = "".join(map(str, pieces)).encode()

        for size in (0, 1, 7):
            decoder, fold = chat.decoder(), Fold()

            for chunk in chunks_of(decoder, data, size):
                fold.add(chunk)

            assert decoder.is_done
            _understood(fold.answer(), case)


def _understood(answer: JsonObject, case: JsonObject) -> None:
    (choice,) = objects_in(answer, "choices")
    assert object_in(choice, "message")["content"] == case["content"]
    assert choice["finish_reason"] == case["finish_reason"]
    assert object_in(answer, "usage")["total_tokens"] == case["total_tokens"]


def _refusals(adapter: Adapter, said: JsonObject) -> None:
    for case in objects_in(said, "refusals"):
        status = case["status"]
        assert isinstance(status, int)
        error = adapter.refusal(status, {}, _bytes(case["told"]), KEY)
        assert (error.code, error.http_status) == (case["code"], case["http_status"])
        assert "the-key" not in error.message


async def _models(adapter: Adapter, said: JsonObject, base: str) -> None:
    records = await adapter.models(Listed(base, object_in(said, "lists")))
    wanted = object_in(said, "models")
    assert [record.name for record in records] == [f"up~{name}" for name in wanted]

    for record in records:
        spec = record.spec
        assert isinstance(spec, ModelSpec)

        for name, value in object_in(wanted, spec.upstream_name).items():
            # As JSON, in which a tuple is a list.
            assert json.loads(json.dumps(getattr(spec, name))) == value


def _bytes(told: Json) -> bytes:
    return told.encode() if isinstance(told, str) else dump(told)
