"""What operators do: plugins, secrets, the configuration, the audit log; and how the process is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle.api.config import RollbackBody
from spindle.api.documentation.shapes import (
    FLAG,
    IF_MATCH,
    MAYBE_MOMENT,
    MAYBE_OBJECT,
    MAYBE_TEXT,
    MOMENT,
    NUMBER,
    OBJECT,
    PAGE,
    TEXT,
    TEXTS,
    WHOLE,
    body_of,
    choice,
    described,
    filters,
    flag,
    many,
    one_of,
    page_of,
    read,
    record,
    removal,
    write,
)
from spindle.api.plugins import InstalledTrial, NewPlugin, PluginChanges, Trial
from spindle.api.secrets import STATES, SecretValue
from spindle.bundles.document import PUBLISHED, PUBLISHED_SECTIONS, READ_ONLY, SECTIONS, VERSION
from spindle_spi.module import HealthState
from spindle_spi.operation import JSON_CONTENT, OperationDoc, ResponseDoc, json_response

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_spi.types import JsonObject

_BASE: Final = "/admin/api/v1"
_YAML: Final = "application/yaml"
_ENTRY: Final = (
    "plugin",
    "mode",
    "priority",
    "phases",
    "conditions",
    "budget_seconds",
    "on_error",
    "config",
)
PLUGIN: Final = record(
    "InstalledPlugin",
    optional=_ENTRY,
    name=TEXT,
    plugin=TEXT,
    mode=TEXT,
    priority=WHOLE,
    phases={"type": ["array", "null"], "items": {"type": "string"}},
    conditions=OBJECT,
    budget_seconds={"type": ["number", "null"]},
    on_error=TEXT,
    config=OBJECT,
    origin=TEXT,
    state=one_of("active", "disabled", "unusable", "overridden"),
    faults=TEXTS,
    is_scanning={"type": ["boolean", "null"]},
    updated_at=MAYBE_MOMENT,
    updated_by=MAYBE_TEXT,
    epoch=WHOLE,
)
_OFFER: Final = record(
    "PluginOffer",
    plugin=TEXT,
    source=TEXT,
    kinds=TEXTS,
    phases=TEXTS,
    config_schema=MAYBE_OBJECT,
    faults=TEXTS,
)
VERDICT: Final = record(
    "Verdict",
    verdict=one_of("allow", "replace", "deny", "error"),
    code=MAYBE_TEXT,
    message=MAYBE_TEXT,
    segments=many(record("ShownSegment", pointer=TEXT, kind=TEXT, role=MAYBE_TEXT, text=TEXT)),
    findings=many(OBJECT),
    milliseconds=NUMBER,
)
SECRET: Final = record(
    "ShownSecret",
    name=TEXT,
    state=one_of(*STATES),
    found_in=MAYBE_TEXT,
    places=many(record("SecretPlace", kind=TEXT, where=TEXT, has_value=FLAG)),
    used_by=many(record("SecretUser", kind=TEXT, name=TEXT)),
    key_id=MAYBE_TEXT,
    updated_at=MAYBE_MOMENT,
    updated_by=MAYBE_TEXT,
)
_PLAN: Final[dict[str, JsonObject]] = {
    "changes": many(
        record(
            "PlannedChange",
            action=one_of("create", "update", "delete"),
            kind=TEXT,
            name=TEXT,
            before=MAYBE_OBJECT,
            after=MAYBE_OBJECT,
        )
    ),
    "unchanged": WHOLE,
    "faults": TEXTS,
    "notes": TEXTS,
}
PLAN: Final = record("Plan", **_PLAN, revision=TEXT)
APPLIED: Final = record("Applied", **_PLAN, version={"type": ["integer", "null"]})
_VERSION: Final[dict[str, JsonObject]] = {
    "id": WHOLE,
    "at": NUMBER,
    "actor": TEXT,
    "action": TEXT,
    "note": TEXT,
    "records": WHOLE,
}
ENTRY: Final = record(
    "AuditEntry",
    id=TEXT,
    at=MOMENT,
    actor=MAYBE_TEXT,
    token_id=MAYBE_TEXT,
    action=TEXT,
    target_kind=MAYBE_TEXT,
    target=MAYBE_TEXT,
    decision=one_of("allowed", "denied", "failed"),
    reason=MAYBE_TEXT,
    request_id=MAYBE_TEXT,
    client_ip=MAYBE_TEXT,
    before={},
    after={},
)


def operations() -> dict[str, OperationDoc]:
    """Return the operations of this area, by route."""
    return {**_plugins(), **_secrets(), **_configuration(), **_audit(), **process()}


def process() -> dict[str, OperationDoc]:
    """Return what is said of the routes that show the process itself."""
    states = one_of(*(state.value for state in HealthState))
    ready = record(
        "Readiness",
        status=one_of("ready", "not_ready"),
        modules={"type": "object", "additionalProperties": states},
        store=one_of("ready", "unavailable"),
    )
    return {
        "GET /health": read(
            "Ask whether the process answers", record("Liveness", status={"const": "ok"})
        ),
        "GET /ready": OperationDoc(
            summary="Ask whether the process can serve",
            responses={
                "200": json_response("It can.", ready),
                "503": json_response("It cannot, or is shutting down.", {"type": "object"}),
            },
        ),
        "GET /metrics": OperationDoc(
            summary="Read every measure in Prometheus' text form",
            responses={
                "200": ResponseDoc(
                    description="The measures.", content={"text/plain": {"type": "string"}}
                )
            },
        ),
    }


def _plugins() -> dict[str, OperationDoc]:
    path = f"{_BASE}/plugins"
    one = f"{path}/{{name}}"
    return {
        f"GET {path}": read(
            "List the plugin entries, and what else can be configured",
            page_of(PLUGIN, available=many(_OFFER)),
            query=PAGE,
        ),
        f"POST {path}": write("Make a plugin entry", PLUGIN, body_of(NewPlugin), status=201),
        f"GET {one}": read("Show a plugin entry", PLUGIN),
        f"PATCH {one}": write(
            "Change a plugin entry", PLUGIN, body_of(PluginChanges), parameters=(IF_MATCH,)
        ),
        f"DELETE {one}": removal("Delete a plugin entry"),
        f"POST {path}/try": write(
            "Show a sample to an entry that is not there", VERDICT, body_of(Trial), refusals=()
        ),
        f"POST {one}/try": write(
            "Show a sample to an entry", VERDICT, body_of(InstalledTrial), refusals=(409,)
        ),
    }


def _secrets() -> dict[str, OperationDoc]:
    path = f"{_BASE}/secrets"
    one = f"{path}/{{name:path}}"
    stored = write("Store a value under a name", SECRET, body_of(SecretValue))
    put = OperationDoc(
        summary=stored.summary,
        parameters=(IF_MATCH,),
        request=stored.request,
        responses={**stored.responses, "201": json_response("It was made.", SECRET)},
        refusals=(404, 409, 412),
    )
    return {
        f"GET {path}": read(
            "List the secrets one may know of, never their values",
            page_of(SECRET),
            query=(choice("state", *STATES), *PAGE),
        ),
        f"GET {one}": read("Show where a secret is found and used", SECRET),
        f"PUT {one}": put,
        f"DELETE {one}": removal("Forget a stored secret that nothing refers to"),
        f"POST {path}/rotate": write(
            "Encrypt every stored secret with the first of the keys",
            record("Rotated", rotated=WHOLE),
            refusals=(409,),
        ),
    }


def bundle(sections: Iterable[str] = SECTIONS) -> JsonObject:
    """Return the schema of a bundle: records by name, by kind."""
    records: JsonObject = {
        "type": ["object", "null"],
        "additionalProperties": {"type": ["object", "null"]},
    }
    published: JsonObject = {
        "type": ["object", "null"],
        "properties": dict.fromkeys(PUBLISHED_SECTIONS, records),
        "additionalProperties": False,
    }
    return {
        "title": "Bundle",
        "type": "object",
        "properties": {
            "bundle": {"const": VERSION},
            **dict.fromkeys(sections, records),
            PUBLISHED: published,
            READ_ONLY: {},
        },
        "required": ["bundle"],
        "additionalProperties": False,
    }


def _configuration() -> dict[str, OperationDoc]:
    path = f"{_BASE}/config"
    one = f"{path}/versions/{{id}}"
    version = record("Version", **_VERSION)
    whole = record("WholeVersion", **_VERSION, before=OBJECT, after=OBJECT)
    reloaded = record("Reloaded", applied=TEXTS, needs_restart=TEXTS)
    prune = flag("prune", "Delete what the bundle does not name.")
    return {
        f"GET {path}/export": OperationDoc(
            summary="Export the catalog as a bundle",
            parameters=(flag("all", "With what one may only read, too."),),
            responses={
                "200": ResponseDoc(
                    description="YAML, or JSON where the client accepts that.",
                    content={_YAML: {}, JSON_CONTENT: bundle()},
                )
            },
        ),
        f"POST {path}/plan": OperationDoc(
            summary="Ask what a bundle would change",
            description="What is wrong with it is in the answer, under `faults`.",
            parameters=(prune,),
            request={_YAML: OBJECT, JSON_CONTENT: OBJECT},
            responses={"200": json_response("What would change; nothing has.", PLAN)},
        ),
        f"POST {path}/apply": OperationDoc(
            summary="Carry a bundle out as a whole, or not at all",
            parameters=(prune, *filters("note"), IF_MATCH),
            request={_YAML: bundle(), JSON_CONTENT: bundle()},
            responses={"200": json_response("What has changed.", APPLIED)},
            refusals=(404, 409, 412),
        ),
        f"GET {path}/versions": read(
            "List what bundles changed, the newest first", page_of(version), query=PAGE
        ),
        f"GET {one}": read("Show a version with the records before and after", whole),
        f"POST {one}/rollback": OperationDoc(
            summary="Go back to what was before a version",
            request={JSON_CONTENT: body_of(RollbackBody)},
            request_required=False,
            responses={"200": json_response("What has changed.", APPLIED)},
            refusals=(404, 409, 412),
        ),
        f"POST {_BASE}/reload": described(
            write(
                "Read the configuration again",
                reloaded,
                refusals=(409,),
            ),
            "A faulty one changes nothing and is explained.",
        ),
    }


def _audit() -> dict[str, OperationDoc]:
    path = f"{_BASE}/audit"
    query = (
        *filters("actor", "action", "target"),
        choice("decision", "allowed", "denied", "failed"),
        *filters("request_id", "since", "until"),
    )
    return {
        f"GET {path}": read(
            "List audit entries, the newest first", page_of(ENTRY), query=(*query, *PAGE)
        ),
        f"GET {path}/export": OperationDoc(
            summary="Export audit entries as lines of JSON",
            parameters=query,
            responses={
                "200": ResponseDoc(
                    description="One entry a line.",
                    content={"application/x-ndjson": {"type": "string"}},
                )
            },
        ),
    }
