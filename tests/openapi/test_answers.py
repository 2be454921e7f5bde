"""What is asked for rightly is answered as the document says; what nobody may ask is refused so."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import requests

from tests.openapi.fuzzing import CHECKS, Schema
from tests.openapi.gateway import ADMIN, MODEL, NEW, SECONDS, Fuzzed
from tests.openapi.inventory import obj, operations

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

HELLO: JsonObject = {"role": "user", "content": "Hello"}
INITIALIZE: JsonObject = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
GOOD: tuple[tuple[str, JsonObject], ...] = (
    ("POST /v1/chat/completions", {"model": MODEL, "messages": [HELLO]}),
    ("POST /v1/chat/completions", {"messages": [HELLO], "stream": True, "unknown": 1}),
    ("POST /chat/completions", {"messages": [HELLO], "max_tokens": 3}),
    ("POST /v1/responses", {"model": MODEL, "input": "Hello"}),
    ("POST /v1/responses", {"input": "Hello", "stream": True}),
    ("POST /v1/messages", {"model": MODEL, "max_tokens": 9, "messages": [HELLO]}),
    ("POST /v1/messages", {"max_tokens": 9, "messages": [HELLO], "stream": True}),
    ("POST /v1/messages/count_tokens", {"model": MODEL, "messages": [HELLO]}),
    ("POST /llmchat/connect", {"user_id": "OWN", "llm": {"model": MODEL}}),
    ("POST /llmchat/chat", {"user_id": "OWN", "message": "Hello"}),
    ("POST /llmchat/disconnect", {"user_id": "OWN"}),
    ("POST /mcp", INITIALIZE),
    ("POST /servers/{slug}/mcp", INITIALIZE),
    (f"POST {ADMIN}/plugins/try", {"entry": {"plugin": "pii"}, "sample": {"text": "a@b.example"}}),
    (f"POST {ADMIN}/plugins/{{name}}/try", {"sample": {"text": "a@b.example"}}),
)


def test_what_is_made_is_shown_as_the_document_says(gateway: Fuzzed, schema: Schema) -> None:
    """One of every kind that can be made."""
    assert {label for label, _ in gateway.made} > {f"POST {collection}" for collection, _, _ in NEW}

    for label, answer in gateway.made:
        operation = schema.find_operation_by_label(label)
        assert operation is not None
        operation.validate_response(answer)


@pytest.mark.parametrize(
    ("label", "body"), GOOD, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_good_request_is_answered_as_the_document_says(
    gateway: Fuzzed, schema: Schema, label: str, body: JsonObject
) -> None:
    """On every surface, whole and in a stream."""
    operation = schema.find_operation_by_label(label)
    assert operation is not None
    own = gateway.there["/llmchat/status/{user_id}"]["user_id"]
    sent = json.loads(json.dumps(body).replace("OWN", own))
    case = operation.Case(
        path_parameters=gateway.existing(operation.path) or {},
        body=sent,
        media_type="application/json",
    )
    response = case.call(
        base_url=gateway.url,
        session=gateway.session,
        headers={"accept": "application/json, text/event-stream"},
        timeout=SECONDS,
    )
    assert response.status_code == 200, response.text
    case.validate_response(response, checks=CHECKS)


def test_nobody_is_answered_without_a_credential(gateway: Fuzzed, schema: Schema) -> None:
    """401 in the shape of each route, but where the document says that none is needed."""
    for label, operation in operations(gateway.document).items():
        method, _, path = label.partition(" ")
        names = gateway.existing(path) or {}
        known = schema.find_operation_by_label(label)
        assert known is not None
        answer = requests.request(
            method, f"{gateway.url}{path.format_map(Names(names))}",
            timeout=SECONDS, allow_redirects=False,
        )  # fmt: skip

        if operation.get("security") == []:
            assert answer.status_code != 401, label
        else:
            assert answer.status_code == 401, label

        known.validate_response(answer)


class Names(dict[str, str]):
    """What a path names; anything is called `none` that is not there."""

    def __missing__(self, key: str) -> str:
        return "none"


def test_the_query_parameters_are_those_of_the_document(gateway: Fuzzed) -> None:
    """An unknown one is refused by the control plane, which names the known ones."""
    asked = 0

    for label, operation in operations(gateway.document).items():
        method, _, path = label.partition(" ")

        if (
            not path.startswith((ADMIN, "/usage", "/llm/"))
            or operation["x-spindle-owner"] != "core"
        ):
            continue

        url = f"{path.format_map(Names(gateway.existing(path) or {}))}?unheard=1"
        answer = gateway.ask(method, url, None if method in ("GET", "DELETE") else {})
        assert answer.status_code == 400, label
        message = str(obj(obj(answer.json())["error"])["message"])
        found = re.fullmatch(r"There is no query parameter 'unheard' here; known: (.*)\.", message)
        assert found is not None, (label, message)
        parameters = operation["parameters"]
        assert isinstance(parameters, list)
        said = sorted(str(obj(each)["name"]) for each in parameters if obj(each)["in"] == "query")
        assert [name for name in found[1].split(", ") if name] == said, label
        asked += 1

    assert asked > 90


def test_the_page_is_served_and_needs_nothing_else(gateway: Fuzzed) -> None:
    """HTML with a policy that lets it load nothing, for any caller."""
    page = gateway.ask("GET", "/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script" not in policy
    assert "/v1/chat/completions" in page.text
    assert "<script" not in page.text
