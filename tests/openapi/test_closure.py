"""The document and the route inventory name the same, and the document can be used by tools."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from spindle_spi.ingress import PUBLIC
from tests.openapi.areas import labels
from tests.openapi.inventory import document, obj, operations, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spindle_spi.types import Json, JsonObject

AREAS = ("people", "catalog", "administration", "surfaces")


def plain(path: str) -> str:
    """Return a route's path as OpenAPI writes it."""
    return path.replace(":path}", "}")


def test_the_document_is_the_route_inventory() -> None:
    """The same methods and paths as `spindle modules routes`, exactly."""
    command = [sys.executable, "-m", "spindle", "modules", "routes", "--json"]
    listed = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    inventory = [f"{route['method']} {plain(route['path'])}" for route in listed["routes"]]
    assert len(set(inventory)) == len(inventory)
    assert set(operations()) == set(inventory)


def test_every_operation_says_what_the_inventory_says() -> None:
    """Its permission, its owner, and the parameters of its path."""
    shown = operations()

    for mount in table().mounts:
        operation = shown[f"{mount.method} {plain(mount.path)}"]
        permission = mount.route.permission
        said = permission if isinstance(permission, str) else permission.value
        assert operation["x-spindle-permission"] == said
        assert operation["x-spindle-owner"] == mount.owner
        assert [p["name"] for p in parameters(operation) if p["in"] == "path"] == [*mount.names]
        assert (operation.get("security") == []) is (permission is PUBLIC)


def parameters(operation: JsonObject) -> list[JsonObject]:
    found = operation["parameters"]
    assert isinstance(found, list)
    return [obj(each) for each in found]


def test_every_operation_of_ours_is_described() -> None:
    """With words of its own, what it answers, and an id nobody else has."""
    ids: list[Json] = []

    for label, operation in operations().items():
        assert operation["summary"] not in ("", label), label
        assert "2XX" not in obj(operation["responses"]), label
        assert any(status < "400" for status in obj(operation["responses"])), label
        assert any(status >= "400" for status in obj(operation["responses"])), label
        ids.append(operation["operationId"])

    assert len(set(map(str, ids))) == len(ids)


def test_ids_follow_from_method_and_path() -> None:
    """So they stay what they are when other routes come and go."""
    for label, operation in operations().items():
        method, _, path = label.partition(" ")
        words = re.sub(r"[^a-z0-9]+", "_", path.replace("{", "by_").lower()).strip("_")
        assert operation["operationId"] == f"{method.lower()}_{words}"


def test_every_area_has_its_cases() -> None:
    """No operation is left out of the files that ask it."""
    found = [label for area in AREAS for label in labels(area)]
    assert sorted(found) == sorted(operations())


def references(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            if key == "$ref":
                assert isinstance(member, str)
                yield member

            yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def test_every_reference_leads_somewhere() -> None:
    """And every part that others may refer to is referred to."""
    found = set(references(document()))
    components = obj(document()["components"])
    there = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses")
        for name in obj(components[kind])
    }
    assert found == there


@pytest.mark.parametrize("name", sorted(obj(obj(document()["components"])["schemas"])))
def test_every_schema_is_json_schema(name: str) -> None:
    """Draft 2020-12, as OpenAPI 3.1 has it."""
    schema = obj(obj(obj(document()["components"])["schemas"])[name])
    Draft202012Validator.check_schema(schema)
