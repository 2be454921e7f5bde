"""Schemathesis over one operation: cases that hold to the document, and cases that break it.

Nothing is left out: neither an operation nor a check. The one thing no case does is to name the
token it comes with, which would end the run and prove nothing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup

from tests.openapi.gateway import SECONDS
from tests.openapi.inventory import obj, operations

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject
    from tests.openapi.gateway import Fuzzed

Schema: TypeAlias = Any
Operation: TypeAlias = Any
"""What Schemathesis makes of a document; its own annotations leave much unsaid."""

_GENERAL: Any = import_module("schemathesis.checks")
_OPENAPI: Any = import_module("schemathesis.specs.openapi.checks")

EVERY_CHECK: Final[list[Any]] = [*HealthCheck]
"""Cases of a large schema take their time, and most of them fail some rule of ours."""

VALID, THERE, INVALID = 10, 10, 10
"""Cases an operation: valid ones, valid ones of what is there, and ones that break the document."""
LEAST: Final = 20
EVENTS: Final = 50
"""What is read of a stream that does not end."""

CHECKS: Final[list[Any]] = [
    _GENERAL.not_a_server_error,
    _OPENAPI.status_code_conformance,
    _OPENAPI.content_type_conformance,
    _OPENAPI.response_headers_conformance,
    _OPENAPI.response_schema_conformance,
    _OPENAPI.negative_data_rejection,
]
REFUSED: Final = (
    "400",
    "401",
    "403",
    "404",
    "405",
    "406",
    "409",
    "412",
    "413",
    "415",
    "422",
    "429",
)
"""Any of these refuses. Another record's state, or its absence, may be found out first."""


@dataclass(slots=True)
class Run:
    """What became of the cases of one operation."""

    statuses: Counter[int] = field(default_factory=Counter[int])
    failures: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def cases(self) -> int:
        return sum(self.statuses.values())

    def row(self, label: str) -> tuple[str, int, str]:
        """The operation, its cases, and how they were answered."""
        answers = ", ".join(f"{status}: {n}" for status, n in sorted(self.statuses.items()))
        return label, self.cases, answers


def load(gateway: Fuzzed) -> Schema:
    """Return the gateway's document as Schemathesis reads it."""
    _GENERAL.load_all_checks()
    loader: Any = import_module("schemathesis.openapi")
    schema = loader.from_dict(gateway.document)
    schema.config.generation.update(with_security_parameters=False, deterministic=True)
    schema.config.checks.negative_data_rejection.expected_statuses = [*REFUSED]
    schema.config.max_stream_events = EVENTS
    return schema


def fuzz(gateway: Fuzzed, schema: Schema, label: str) -> Run:
    """Ask one operation again and again, and collect everything that is wrong."""
    operation = schema.find_operation_by_label(label)
    assert operation is not None, label
    run = Run()
    there = gateway.existing(operation.path)
    can_be_wrong = _can_be_wrong(operations(gateway.document)[label])
    valid = VALID if there is not None or can_be_wrong else LEAST
    _try(gateway, operation, run, GenerationMode.POSITIVE, valid)

    if there is not None:
        _try(gateway, operation, run, GenerationMode.POSITIVE, THERE, there)

    if can_be_wrong:
        _try(gateway, operation, run, GenerationMode.NEGATIVE, INVALID, there)

    if run.cases < LEAST:
        # It takes nothing, or nothing that could be wrong.
        _repeat(gateway, operation, run, LEAST - run.cases)

    return run


def _can_be_wrong(said: JsonObject) -> bool:
    """Tell whether a request could break the document: a text in a query or a path cannot."""
    parameters = said["parameters"]
    assert isinstance(parameters, list)
    schemas = [obj(obj(each)["schema"]) for each in parameters if obj(each)["in"] != "path"]
    return "requestBody" in said or any(
        schema.get("type") != "string" or "enum" in schema for schema in schemas
    )


def _try(
    gateway: Fuzzed,
    operation: Operation,
    run: Run,
    mode: GenerationMode,
    most: int,
    there: dict[str, str] | None = None,
) -> None:
    @settings(
        max_examples=most,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=EVERY_CHECK,
    )
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=there))
    def ask(case: Any) -> None:
        _ask(gateway, case, run)

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, operation.label


def _repeat(
    gateway: Fuzzed,
    operation: Operation,
    run: Run,
    times: int,
) -> None:
    for number in range(times):
        there = gateway.existing(operation.path) or {
            parameter.name: f"unknown-{number}" for parameter in operation.path_parameters
        }
        _ask(gateway, operation.Case(path_parameters=there), run)


def _ask(gateway: Fuzzed, case: Any, run: Run) -> None:
    accept = "application/json, text/event-stream" if case.path.endswith("/mcp") else "*/*"
    response = case.call(
        base_url=gateway.url,
        session=gateway.session,
        headers={"accept": accept},
        timeout=SECONDS,
    )
    run.statuses[response.status_code] += 1

    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as group:
        # One of each kind is enough to read.
        kind = "; ".join(sorted({failure.title for failure in group.exceptions}))
        run.failures.setdefault(f"{kind} ({response.status_code})", str(group))
