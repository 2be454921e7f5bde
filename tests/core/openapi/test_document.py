"""The document of routes of any kind: documented or not, public or not, in any error shape."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from spindle.ingress.routes import RouteSource, RouteTable
from spindle.openapi.document import document_of
from spindle.openapi.page import page_of
from spindle.openapi.refusals import schema_of
from spindle_spi.errors import (
    Conflict,
    FailedPrecondition,
    GatewayError,
    Internal,
    InvalidArgument,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
    Unavailable,
    UpstreamTimeout,
)
from spindle_spi.ingress import ANY_CALLER, PUBLIC, IngressRoute
from spindle_spi.operation import OperationDoc, ParameterDoc, ResponseDoc, json_response
from spindle_spi.shapes import ANTHROPIC, ENVELOPE, JSON_RPC, OPENAI

if TYPE_CHECKING:
    from spindle_spi.ingress import Call, Documentation
    from spindle_spi.shapes import ErrorShape
    from spindle_spi.types import Json, JsonObject, Receive, Scope, Send

SHAPES = (OPENAI, ANTHROPIC, JSON_RPC, ENVELOPE)
ERRORS = (
    *(Conflict, FailedPrecondition, Internal, InvalidArgument, NotFound, PayloadTooLarge),
    *(PermissionDenied, RateLimited, Unauthenticated, Unavailable, UpstreamTimeout),
)
SAID = OperationDoc(
    summary="Rename a thing",
    description="Names are <b>escaped</b>.",
    tag="things",
    parameters=(
        ParameterDoc(name="id", place="path", schema={"type": "string"}, description="Which."),
        ParameterDoc(name="dry", schema={"type": "boolean"}, description="Only look."),
        ParameterDoc(name="if-match", place="header", schema={"type": "string"}, required=True),
    ),
    request={"application/json": {"title": "Wish", "type": "object"}},
    request_required=False,
    responses={
        "200": json_response("Renamed.", {"title": "Thing", "type": "object"}),
        "409": ResponseDoc(description="Taken; said without a body."),
    },
    refusals=(409, 412, 499),
    stream=True,
)


async def never(scope: Scope, receive: Receive, send: Send, call: Call) -> None:
    raise NotImplementedError


def route(
    spelled: str,
    operation: Documentation | None = None,
    *,
    is_public: bool = False,
    errors: ErrorShape = ENVELOPE,
) -> IngressRoute:
    method, _, path = spelled.partition(" ")
    return IngressRoute(
        method=method,
        path=path,
        permission=PUBLIC if is_public else ANY_CALLER,
        handler=never,
        errors=errors,
        operation=operation,
    )


def documented(*routes: IngressRoute) -> JsonObject:
    source = RouteSource(owner="acme", routes=routes)
    return document_of(RouteTable([source]).mounts, version="7")


def at(document: JsonObject, *path: str) -> Json:
    found: Json = document

    for key in path:
        assert isinstance(found, dict), path
        found = found[key]

    return found


def test_a_documented_route_is_shown_as_it_says() -> None:
    """Its words, parameters, body and answers, and the errors that follow from what it is."""
    found = documented(route("PATCH /things/{id:path}", lambda: SAID))
    shown = at(found, "paths", "/things/{id}", "patch")
    assert isinstance(shown, dict)
    responses = shown.pop("responses")
    assert shown == {
        "operationId": "patch_things_by_id",
        "summary": "Rename a thing",
        "description": "Names are <b>escaped</b>.",
        "tags": ["things"],
        "parameters": [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "description": "Which. It may have slashes in it.",
            },
            {
                "name": "dry",
                "in": "query",
                "required": False,
                "schema": {"type": "boolean"},
                "description": "Only look.",
            },
            {"name": "if-match", "in": "header", "required": True, "schema": {"type": "string"}},
        ],
        "requestBody": {
            "required": False,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Wish"}}},
        },
        "x-spindle-permission": "ANY_CALLER",
        "x-spindle-owner": "acme",
        "x-spindle-stream": True,
    }
    assert isinstance(responses, dict)
    assert responses["409"] == {"description": "Taken; said without a body."}
    assert responses["404"] == {"$ref": "#/components/responses/EnvelopeError404"}
    assert {*responses} == {
        *("200", "400", "401", "403", "404", "408", "409", "412", "413", "421", "429", "499"),
        *("500", "503"),
    }
    assert at(found, "info", "version") == "7"


def test_a_route_that_says_nothing_is_there_all_the_same() -> None:
    """With its parameters, its permission, and its errors in its own shape."""
    found = documented(route("GET /things/{id}", errors=ANTHROPIC), route("GET /", lambda: None))
    shown = at(found, "paths", "/things/{id}", "get")
    assert isinstance(shown, dict)
    assert shown["summary"] == "GET /things/{id}"
    assert shown["tags"] == ["acme"]
    responses = shown["responses"]
    assert isinstance(responses, dict)
    assert {*responses} == {
        *("2XX", "default", "400", "401", "403", "404", "421", "429", "500", "503"),
    }
    assert responses["default"] == {"$ref": "#/components/responses/AnthropicErrorDefault"}
    assert at(found, "paths", "/", "get", "operationId") == "get_"


def test_where_no_caller_is_needed_none_is_asked_for() -> None:
    """And none is refused."""
    found = documented(route("GET /open", is_public=True))
    assert at(found, "paths", "/open", "get", "security") == []
    responses = at(found, "paths", "/open", "get", "responses")
    assert isinstance(responses, dict)
    assert not {"401", "429"} & {*responses}


def test_one_segment_and_the_rest_are_one_path() -> None:
    """Their parameter has one name there; two of one method stay apart."""
    found = documented(
        route("GET /a/{name}"), route("PATCH /a/{id:path}"), route("GET /a/{more:path}")
    )
    paths = at(found, "paths")
    assert isinstance(paths, dict)
    kept = [f"{method} {path}" for path, item in paths.items() for method in dict(item)]  # type: ignore[arg-type]
    assert sorted(kept) == ["get /a/{id_rest}", "get /a/{id}", "patch /a/{id}"]


def test_ids_that_would_be_the_same_get_a_number() -> None:
    """There is no telling them apart otherwise."""
    found = documented(route("GET /a/b"), route("GET /a_b"))
    ids = [at(found, "paths", path, "get", "operationId") for path in ("/a/b", "/a_b")]
    assert ids == ["get_a_b", "get_a_b_2"]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_of_a_shape_holds_to_its_schema(
    shape: ErrorShape, kind: type[GatewayError]
) -> None:
    """Which is read off the shape's own table, a third party's too."""
    schema = schema_of(shape)
    Draft202012Validator.check_schema(schema)
    validator: Any = Draft202012Validator(schema)
    assert validator.is_valid(json.loads(shape.render(kind("No."), "req_1").body))
    assert not validator.is_valid({"error": "No."})


def test_the_page_shows_everything_and_runs_nothing() -> None:
    """Texts are escaped, answers are looked up, nothing is loaded."""
    page = page_of(documented(route("PATCH /things/{id:path}", SAID), route("GET /plain")))
    assert "Names are &lt;b&gt;escaped&lt;/b&gt;." in page
    assert "<b>" not in page
    assert "It was changed since it was read." in page
    assert '<a href="#schema-Wish">Wish</a>' in page
    assert 'id="schema-EnvelopeError"' in page
    assert "What it answers is not said." in page
    assert not any(word in page for word in ("<script", "http://", "https://", " src=", "@import"))
