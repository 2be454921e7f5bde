"""Operations as tools: names, schemas, hints, and what is left out."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from spindle_mcp.naming import MAX_LENGTH, unified_name
from spindle_mcp.upstream.openapi.faults import BadDocument
from spindle_mcp.upstream.openapi.names import MAX_NAME, tool_names
from tests.mcp.support.rest import STRING, json_answer, json_body, openapi, parameter
from tests.mcp.upstream.openapi.support import api_of, definition, fits, input_of

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

OK: JsonObject = {"200": {"description": ""}}
THING: JsonObject = {"type": "object", "properties": {"name": STRING}}


def one(method: str = "get", path: str = "/op", **said: Any) -> JsonObject:
    """Return a document of one operation."""
    return openapi({path: {method: {"operationId": "op", "responses": OK, **said}}})


def test_names_are_fit_unique_and_the_same_in_any_order() -> None:
    """Who is called exactly so keeps the name; who shares it is told apart by the place."""
    wanted = [
        ("listPets", "GET /pets"),
        ("pets.list", "GET /a"),
        ("pets_list", "GET /b"),
        ("pets/list", "GET /c"),
        ("twice", "GET /d"),
        ("twice", "GET /e"),
        ("größe", "GET /f"),
        ("!!", "GET /g"),
        ("x" * 300, "GET /h"),
        ("get_pets/id", "GET /i"),
    ]
    names = dict(zip(wanted, tool_names(wanted), strict=True))
    assert names["listPets", "GET /pets"] == "listPets"
    assert names["pets_list", "GET /b"] == "pets_list"
    assert names["get_pets/id", "GET /i"] == "get_pets_id"
    assert len(set(names.values())) == len(wanted)

    for name in names.values():
        assert len(name) <= MAX_NAME
        assert name.isascii()
        assert name.replace("_", "").replace("-", "").isalnum()
        unified = unified_name("api", name)
        assert len(unified) <= MAX_LENGTH
        assert unified == f"api__{name}" or len(f"api__{name}") > MAX_LENGTH

    for seed in range(5):
        mixed = wanted.copy()
        random.Random(seed).shuffle(mixed)
        assert dict(zip(mixed, tool_names(mixed), strict=True)) == names


def test_an_operation_without_an_id_is_called_by_method_and_path() -> None:
    """As the filters call it."""
    document = openapi({"/pets/{id}": {"get": {"parameters": [parameter("id", "path")]}}})
    assert list(api_of(document).tools) == ["get_pets_id"]


def test_arguments_come_from_every_place_under_names_clients_take() -> None:
    """Those of the path before those of the operation, which may say them anew."""
    document = openapi(
        {
            "/x/{id}": {
                "parameters": [parameter("id", "path"), parameter("q", description="general")],
                "get": {
                    "operationId": "op",
                    "parameters": [
                        parameter("q", description="own", required=True),
                        parameter("filter[name]"),
                        parameter("id", "header"),
                        parameter("id", "cookie", schema={"type": "integer"}),
                        parameter("Authorization", "header"),
                        parameter("Host", "header"),
                        parameter("X-HTTP-Method-Override", "header"),
                    ],
                },
            }
        }
    )
    found = input_of(document)
    assert found == {
        "type": "object",
        "properties": {
            "id": STRING,
            "q": {"type": "string", "description": "own"},
            "filter_name": STRING,
            "header_id": STRING,
            "cookie_id": {"type": "integer"},
        },
        "required": ["id", "q"],
        "additionalProperties": False,
    }


def test_a_body_of_plain_properties_is_merged_with_the_parameters() -> None:
    """What else may be in it is told as the document tells it."""
    closed: JsonObject = {**THING, "required": ["name"], "additionalProperties": False}
    document = one("post", parameters=[parameter("q")], requestBody=json_body(closed))
    assert input_of(document) == {
        "type": "object",
        "properties": {"q": STRING, "name": STRING},
        "required": ["name"],
        "additionalProperties": False,
    }
    assert "additionalProperties" not in input_of(one("post", requestBody=json_body(THING)))


@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        (json_body(THING), [parameter("name")]),
        (json_body({"type": "array", "items": STRING}), []),
        (json_body({"oneOf": [THING, {"type": "null"}]}), []),
        (json_body({**THING, "required": ["name"]}, required=False), []),
        (json_body({"type": "object", "properties": {"a b": STRING}}), []),
        (json_body({"type": "object", "additionalProperties": STRING}), []),
        (json_body({**THING, "minProperties": 1}), []),
    ],
)
def test_any_other_body_is_an_argument_of_its_own(body: JsonObject, parameters: Any) -> None:
    """So that nothing of what the document says of it is lost."""
    found = input_of(one("put", parameters=parameters, requestBody=body))
    content: Any = body["content"]
    assert found["properties"]["body"] == content["application/json"]["schema"]
    assert ("body" in found.get("required", [])) == body["required"]
    assert found["additionalProperties"] is False


def test_an_argument_called_body_does_not_hide_the_body() -> None:
    """The body gives way."""
    body = json_body({"type": "array"})
    found = input_of(one("post", parameters=[parameter("body")], requestBody=body))
    assert found["properties"] == {"body": STRING, "request_body": {"type": "array"}}


def test_definitions_of_parameters_and_body_are_the_tools() -> None:
    """One of each name where they are the same; references lead where they are."""
    tree: JsonObject = {"type": "object", "properties": {"up": {"$ref": "#/components/schemas/T"}}}
    other: JsonObject = {"type": "array", "items": {"$ref": "#/other/T"}}
    document = one(
        "post",
        parameters=[
            parameter("a", schema={"$ref": "#/components/schemas/T"}),
            parameter("b", schema={"$ref": "#/other/T"}),
        ],
        requestBody=json_body({"$ref": "#/components/schemas/T"}),
    )
    document |= {"components": {"schemas": {"T": tree}}, "other": {"T": other}}
    found = input_of(document)
    assert set(found["$defs"]) == {"T", "T_2"}
    assert fits(found, {"a": {"up": {"up": {}}}, "b": [[[]]], "up": {}})
    assert not fits(found, {"a": {"up": 1}})
    assert not fits(found, {"b": [{}]})
    assert not fits(found, {"up": []})


def test_a_body_whose_schema_is_too_long_is_taken_as_it_is_given() -> None:
    """The tool is there, and says so."""
    wide: JsonObject = {
        "type": "object",
        "properties": {f"p{n}": {**STRING, "title": "x" * 90} for n in range(800)},
    }
    found = input_of(one("post", requestBody=json_body(wide)))
    assert "too long" in found["properties"]["body"]["description"]
    assert found["required"] == ["body"]


def test_an_answer_that_is_one_object_has_a_schema() -> None:
    """Whatever else a success may be, there is none."""
    assert definition(one(responses=json_answer(THING)), "op")["outputSchema"] == THING
    composed: JsonObject = {"allOf": [THING, {"required": ["name"]}]}
    found = definition(one(responses=json_answer(composed)), "op")["outputSchema"]
    assert found == {"type": "object", **composed}


@pytest.mark.parametrize(
    "responses",
    [
        OK,
        json_answer({"type": "array"}),
        json_answer({"type": ["object", "null"]}),
        json_answer({}),
        {**json_answer(THING), "204": {"description": "Nothing."}},
        {**json_answer(THING), "201": json_answer({"type": "object", "title": "x"})["200"]},
        {"200": {"description": "", "content": {"text/csv": {}, "application/json": {}}}},
        {"default": json_answer(THING)["200"]},
        {"200": {"$ref": "#/nowhere"}},
        [],
    ],
)
def test_an_answer_that_may_be_something_else_has_none(responses: Any) -> None:
    """Clients refuse what breaks a schema that a tool has."""
    assert "outputSchema" not in definition(one(responses=responses), "op")


def test_schemas_of_answers_can_be_switched_off() -> None:
    """For APIs whose documents promise too much."""
    document = one(responses=json_answer(THING))
    assert "outputSchema" not in definition(document, "op", output_schemas=False)


@pytest.mark.parametrize(
    ("method", "hints"),
    [
        ("get", {"readOnlyHint": True}),
        ("head", {"readOnlyHint": True}),
        ("put", {"readOnlyHint": False, "idempotentHint": True}),
        ("delete", {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True}),
        ("post", {"readOnlyHint": False}),
        ("patch", {"readOnlyHint": False}),
    ],
)
def test_hints_come_from_the_method(method: str, hints: JsonObject) -> None:
    """The world behind an API is open."""
    found = definition(one(method), "op")["annotations"]
    assert found == {**hints, "openWorldHint": True}


def test_the_description_is_what_the_document_says() -> None:
    """Summary and description, once each; else method and path."""
    told = definition(one(summary="List.", description="List all.", deprecated=True), "op")
    assert told["title"] == "List."
    assert told["description"] == "Deprecated.\n\nList.\n\nList all."
    assert definition(one(summary="Same", description="Same"), "op")["description"] == "Same"
    assert definition(one(), "op")["description"] == "GET /op"


def _tagged() -> JsonObject:
    def said(name: str, *tags: str) -> JsonObject:
        return {"operationId": name, "tags": list(tags)}

    return openapi(
        {
            "/a": {"get": said("a.get", "read"), "post": said("a.post", "write")},
            "/b": {"get": said("b.get", "read", "admin"), "delete": said("b.delete", "admin")},
        }
    )


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["a_get", "a_post", "b_get", "b_delete"]),
        ({"include": {"methods": ["get"]}}, ["a_get", "b_get"]),
        ({"include": {"tags": ["write"], "operations": ["b.get"]}}, ["a_post", "b_get"]),
        ({"exclude": {"tags": ["admin"]}}, ["a_get", "a_post"]),
        ({"include": {"tags": ["read"]}, "exclude": {"operations": ["a.get"]}}, ["b_get"]),
        ({"include": {"tags": ["none"]}}, []),
    ],
)
def test_what_is_not_wanted_is_not_there(options: Any, names: list[str]) -> None:
    """By name, tag or method; what is excluded is excluded."""
    assert sorted(api_of(_tagged(), **options).tools) == sorted(names)


def test_operations_beyond_the_bound_are_left_out_and_counted() -> None:
    """In one line, however many."""
    api = api_of(_tagged(), max_operations=3)
    assert len(api.tools) == 3
    assert api.left_out == (("1 operations", "more than max_operations, which is 3"),)


LEFT_OUT: list[tuple[str, Any, str]] = [
    ("/a/{id}", {}, "its path names a parameter that is not described"),
    ("/a/../b", {}, "its path is no plain path"),
    ("/a/%2e%2e/b", {}, "its path is no plain path"),
    ("/a?b=c", {}, "its path is no plain path"),
    ("a", {}, "its path is no plain path"),
    ("/a", {"parameters": [{"$ref": "#/nowhere"}]}, "cannot be resolved"),
    ("/a", {"parameters": [{"$ref": "http://x.test/p"}]}, "cannot be resolved"),
    ("/a", {"parameters": [{"name": "x"}]}, "a place nobody knows"),
    ("/a", {"parameters": [parameter("x", style="spiral")]}, "a style that is not supported"),
    ("/a", {"parameters": [parameter("x y", "header")]}, "no name of a header"),
    (
        "/a",
        {"parameters": [{"name": "x", "in": "query", "content": {"text/xml": {}}}]},
        "of a type that is not supported",
    ),
    (
        "/a",
        {"requestBody": {"required": True, "content": {"application/xml": {}}}},
        "its body is of a type that is not supported",
    ),
    ("/a", {"requestBody": {"$ref": "#/nowhere"}}, "its body cannot be resolved"),
    ("/a", {"servers": [{"url": "http://other.test"}]}, "it is served by another host"),
    ("/a", {"security": [{"digest": []}]}, "a kind of credential that is not supported"),
    ("/a", {"security": [{"key": [], "token": []}]}, "a kind of credential"),
]


@pytest.mark.parametrize(("path", "said", "reason"), LEFT_OUT)
def test_an_operation_that_cannot_be_called_hurts_no_other(
    path: str, said: Any, reason: str
) -> None:
    """It is left out, with the reason."""
    document = openapi(
        {path: {"post": {"operationId": "bad", **said}}, "/good": {"get": {"operationId": "good"}}},
        components={
            "securitySchemes": {
                "digest": {"type": "http", "scheme": "digest"},
                "key": {"type": "apiKey", "in": "header", "name": "x-key"},
                "token": {"type": "http", "scheme": "bearer"},
            }
        },
    )
    api = api_of(document)
    assert list(api.tools) == ["good"]
    ((name, told),) = api.left_out
    assert name == "bad"
    assert reason in told


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({}, "is not OpenAPI 3.0 or 3.1"),
        ({"swagger": "2.0", "paths": {}}, "says '2.0'"),
        ({"openapi": "4.0.0", "paths": {}}, "is not OpenAPI 3.0 or 3.1"),
        ({"openapi": 3.1, "paths": {}}, "is not OpenAPI 3.0 or 3.1"),
        ({"openapi": "3.1.0"}, "has no paths"),
        ({"openapi": "3.1.0", "paths": []}, "has no paths"),
    ],
)
def test_a_document_that_is_none_is_refused(document: JsonObject, problem: str) -> None:
    """And says what it is."""
    with pytest.raises(BadDocument, match=problem):
        api_of(document)


@pytest.mark.parametrize(
    "paths",
    [
        {"/a": 5, "/b": None, "/c": [], "/d": {"get": "x"}, "/e": {"$ref": "#/nowhere"}},
        {"/a": {"get": {"operationId": 5, "tags": 5, "parameters": "x", "responses": 5}}},
        {"/a": {"get": {"tags": [5], "summary": 3, "security": 3, "servers": "x"}}},
        {"/a": {"parameters": [5], "get": {}}},
        {"/a": {"post": {"requestBody": {"content": {"application/json": 5}}}}},
    ],
)
def test_garbage_in_a_document_breaks_nothing(paths: Any) -> None:
    """What can be read of it is."""
    api_of(openapi(paths))


def test_a_scheme_that_is_not_there_cannot_be_chosen() -> None:
    """Or is of a kind nobody speaks."""
    with pytest.raises(BadDocument, match="no security scheme 'x'"):
        api_of(one(), security_scheme="x")
