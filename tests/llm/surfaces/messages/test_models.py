"""Models in Anthropic's form, for a client that names a version of its API."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.upstreams.openai import answer
from spindle_spi.records import ModelSpec, Visibility
from tests.llm.support.gateway import gateway
from tests.llm.support.records import model

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

VERSION = {"anthropic-version": "2023-06-01"}
SHOWN: JsonObject = {
    "type": "model",
    "id": "up~m",
    "display_name": "up~m",
    "created_at": "2023-11-14T22:13:20Z",
    "lifecycle": "active",
    "max_input_tokens": None,
    "max_tokens": None,
}


async def test_the_list_is_one_page() -> None:
    """Of what the caller sees; a client without the header gets OpenAI's form as before."""
    hidden = model("h", visibility=Visibility.TEAM, team="blue")

    async with gateway(answer, model("m"), hidden) as up:
        listed = await up.ask(path="/v1/models", method="GET", headers=VERSION)
        other = await up.ask(path="/v1/models", method="GET")
        again = await up.ask(path="/v1/models", method="GET", headers=VERSION)

    page: JsonObject = {"data": [SHOWN], "has_more": False, "first_id": "up~m", "last_id": "up~m"}
    assert listed.json == again.json == page
    assert listed.headers["request-id"] == "req-1"
    assert other.json["object"] == "list"


async def test_an_empty_list_has_no_ends() -> None:
    """Nobody is first, nobody last."""
    hidden = model("h", visibility=Visibility.TEAM, team="blue")

    async with gateway(answer, hidden) as up:
        listed = await up.ask(path="/v1/models", method="GET", headers=VERSION)

    assert listed.json == {"data": [], "has_more": False, "first_id": None, "last_id": None}


async def test_one_model_is_shown_with_what_it_takes() -> None:
    """Its name for people, its window, and whether it is to be taken up."""
    record = model("m")
    assert isinstance(record.spec, ModelSpec)
    spec = replace(record.spec, context_window=9, max_output_tokens=5, deprecated=True)

    async with gateway(answer, replace(record, spec=spec, description="The M")) as up:
        shown = await up.ask(path="/v1/models/up~m", method="GET", headers=VERSION)

    assert shown.json == {
        **SHOWN,
        "display_name": "The M",
        "lifecycle": "deprecated",
        "max_input_tokens": 9,
        "max_tokens": 5,
    }


async def test_an_unknown_model_is_not_found_in_this_form() -> None:
    """Absent and hidden look the same."""
    async with gateway(answer, model("m")) as up:
        shown = await up.ask(path="/v1/models/up~x", method="GET", headers=VERSION)

    assert shown.status == 404
    told: Any = shown.json
    assert told["type"] == "error"
    assert told["error"]["type"] == "not_found_error"
