"""Gateways of the configuration that are REST APIs."""

from __future__ import annotations

from pathlib import Path

import pytest

from spindle.config import load_settings
from spindle_spi.records import GatewaySpec, Kind
from tests.core.config.written import faults, load

URL = "http://api.test/v1"


def gateway(text: str) -> str:
    return f"mcp: {{gateways: {{api: {{transport: openapi, {text}}}}}}}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("url: 'http://x'", ["mcp.gateways.api.options.document: is missing; expected the URL"]),
        (
            "options: {document: 'http://x', file: a.json}",
            ["mcp.gateways.api.options.file: there is a document as well"],
        ),
        (
            "options: {document: 'http://x', includ: {}}",
            ["mcp.gateways.api.options.includ: unknown key, did you mean 'include'?"],
        ),
        (
            "options: {document: 'http://x', include: {tags: pets, methods: [fetch]}}",
            [
                "mcp.gateways.api.options.include.tags: is a string; expected a list",
                "mcp.gateways.api.options.include.methods[0]: ",
            ],
        ),
        (
            "options: {document: 'http://x', max_operations: 20000}",
            ["mcp.gateways.api.options.max_operations: 20000 is not allowed; expected at most"],
        ),
        (
            "url: 'https://x', options: {document: 'http://x/d', document_auth: bearer}",
            ["mcp.gateways.api.options.document_auth: the document is on another host"],
        ),
        (
            "options: {document: {}, document_auth: bearer}",
            ["mcp.gateways.api.options.document_auth: the document is on another host"],
        ),
        (
            "options: {document: 'http://user:pw@x/d'}",
            ["mcp.gateways.api.options.document: has credentials in it"],
        ),
    ],
)
def test_bad_keys_are_named_by_their_paths(text: str, expected: list[str]) -> None:
    """All of them at once."""
    found = faults(gateway(text))
    assert len(found) == len(expected)

    for line, words in zip(found, expected, strict=True):
        assert line.startswith(words)


def test_a_long_document_has_to_be_named_by_its_url() -> None:
    """It is part of every copy of the record."""
    (fault,) = faults(gateway(f"options: {{document: {{a: {'x' * 1_050_000}}}}}"))
    assert "options.document: is longer than" in fault


@pytest.mark.parametrize(
    "options",
    [
        "document: 'http://api.test/openapi.json', document_auth: bearer",
        "document: {openapi: 3.1.0, paths: {}}",
        "file: api.yaml, include: {methods: [get]}, exclude: {tags: [admin]}, max_operations: 5",
        "document: 'https://d.test/x', security_scheme: key, encoded_slashes: true",
        "document: 'https://d.test/x', output_schemas: false, include: null",
    ],
)
def test_what_is_right_is_taken(options: str) -> None:
    """An address may be left to the document."""
    load(gateway(f"options: {{{options}}}"))
    load(gateway(f"url: 'http://api.test', options: {{{options}}}"))


def test_a_file_starts_at_the_file_that_names_it(tmp_path: Path) -> None:
    """And not where the gateway was started."""
    path = tmp_path / "spindle.yaml"
    path.write_text(gateway("options: {file: docs/api.yaml}"))
    settings = load_settings(path, home=Path("/elsewhere"), environ={})
    (record,) = [record for record in settings.declared if record.kind is Kind.GATEWAY]
    assert isinstance(record.spec, GatewaySpec)
    assert record.spec.options == {"file": str(tmp_path / "docs" / "api.yaml")}
