"""The public names of the contract are frozen: whoever changes one changes this list as well."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

import spindle_spi
from tests.spi.derived import modules_of_the_contract

NAMES = {
    "admission": (
        "Attempt Embedded Estimate Grant Lease Limits Outcome Permit Settlement Status "
        "TokenUsage is_unhooked limits_of"
    ),
    "annotations": (
        "Annotation entries_of fields_of is_dataclass is_enum is_json is_optional no_wire_form "
        "options_of origin_of split_union"
    ),
    "auth": "AuthPolicyService Decision ResolveCallerRequest",
    "catalog": "CatalogService ChangeKind RecordChange RecordPage",
    "codec": "decode encode",
    "config_secrets": "ConfigSecretsService Deployment KeptName KeptSecret LEASE_SECONDS",
    "context": "AuthenticatedContext Subject TeamGrant TimeWindow TraceContext VisibilityScope",
    "context_header": "CONTEXT_HEADER SealedCall seal unseal",
    "descriptor": "CAPABILITIES FallbackStrategy ModuleDescriptor PluginParity",
    "errors": (
        "Category ConfigError Conflict ContractViolation ErrorDetail ErrorEnvelope "
        "FailedPrecondition GatewayError Internal InvalidArgument MethodNotAllowed NotFound "
        "Origin PayloadTooLarge PermissionDenied PluginDenied RateLimited Unauthenticated "
        "Unavailable Unsupported UpstreamError UpstreamTimeout base_of from_envelope shortened"
    ),
    "gateway_auth": (
        "AUTHORIZATION_CODE CLIENT_CREDENTIALS GatewayAuth HEADERS TOKEN_EXCHANGE "
        "is_settable_header"
    ),
    "ingress": (
        "ANY_CALLER AnyCaller CALL_SCOPE_KEY Call Challenge Documentation Handler IngressPrefix "
        "IngressRoute PUBLIC Public documentation_of"
    ),
    "invocation": (
        "Closable Complete InputRequired Invocation MAX_DEPTH Progress ProgressSink Result "
        "StreamEvent Streaming close_iterator"
    ),
    "loopback": "CallCounter invoke_module loopback transferred",
    "module": "ActionSpec Health HealthState Module ModuleContext Spawn Started",
    "noop": (
        "NoOpAuthPolicy NoOpCatalog NoOpConfigSecrets NoOpGuard NoOpObservability NoOpPlugin "
        "NoOpSessionEvent noop_services"
    ),
    "observability": "AuditEvent Level ObservabilityService",
    "operation": "JSON_CONTENT OperationDoc ParameterDoc ResponseDoc json_response",
    "payloads": (
        "lift_arguments lift_chat_answer lift_chat_request lift_contents lift_document "
        "lift_embedded_json lift_embeddings_request lift_model_request lift_tool_result "
        "write_back"
    ),
    "plugin": (
        "Finding HookPhase HookPlan Lane Plugin PluginHost PluginInput PluginMode PluginService "
        "REQUEST_PHASES Segment SegmentKind StreamGuard apply_findings phases_of refusal"
    ),
    "policy": (
        "Action ROLES absent allow fetch_permission granted holds holds_in is_same_caller narrow "
        "narrow_grants permission_for permitted restrictions_hold session_owner usable_backend "
        "visible"
    ),
    "proto": "NUMBERS Numbered Numbers SERVICES generate main",
    "records": (
        "CatalogRecord ExtensionSpec GatewaySpec Kind LeftOut ModelFacts ModelSpec ProcessLimits "
        "PromptSpec ProviderSpec PublishedRecord RecordSpec ResourceSpec ResourceTemplateSpec "
        "SPEC_OF ServerSpec Target ToolSpec ToolsetSpec Visibility backend_name fallbacks_of "
        "is_shown_by other_names secret_of secrets_of with_toolsets"
    ),
    "secret": "Secret SecretLease SecretRef",
    "services": "Services",
    "session_event": "Session SessionEvent SessionEventService SessionSpec",
    "shapes": (
        "ANTHROPIC ENVELOPE ErrorCase ErrorShape JSON_RPC OPENAI OPENAI_CODES RenderedError"
    ),
    "types": "ASGIApp Json JsonObject Message Receive Scope Send",
    "verification": "faults_in",
    "versions": "SPI_VERSIONS negotiate",
}
ROOT = "AuthenticatedContext Call GatewayError IngressPrefix IngressRoute Module ModuleContext \
ModuleDescriptor PUBLIC Plugin SPI_VERSIONS Services"


def defined_in(path: Path) -> set[str]:
    """Return the public names a module defines itself, those for type-checkers included."""
    names: set[str] = set()

    for node in ast.parse(path.read_text("utf-8")).body:
        for statement in [*node.body, *node.orelse] if isinstance(node, ast.If) else [node]:
            names |= names_of(statement)

    return {name for name in names if not name.startswith("_")}


def names_of(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}

    if isinstance(statement, ast.Assign):
        return {target.id for target in statement.targets if isinstance(target, ast.Name)}

    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return {statement.target.id}

    return set()


def test_every_submodule_defines_the_frozen_names() -> None:
    """No more, no fewer, in no other place."""
    folder = Path(spindle_spi.__file__).parent
    # What begins with an underscore is nobody's but the package's own.
    defined = {path.stem: defined_in(path) for path in folder.glob("[!_]*.py")}
    assert defined == {module: set(names.split()) for module, names in NAMES.items()}


def test_the_root_offers_what_every_module_needs() -> None:
    """Each name is there."""
    assert set(spindle_spi.__all__) == set(ROOT.split())
    assert all(hasattr(spindle_spi, name) for name in spindle_spi.__all__)


@pytest.mark.parametrize("module", modules_of_the_contract(), ids=lambda module: module.__name__)
def test_every_annotation_can_be_read_at_run_time(module: object) -> None:
    """By anybody's tools, without knowing where a name comes from."""
    classes = [kind for _, kind in inspect.getmembers(module, inspect.isclass)]
    functions = [function for _, function in inspect.getmembers(module, inspect.isfunction)]
    methods = [
        method for kind in classes for _, method in inspect.getmembers(kind, inspect.isfunction)
    ]

    for documented in (*classes, *functions, *methods):
        if documented.__module__.startswith("spindle_spi"):
            get_type_hints(documented)


def test_the_contract_needs_nothing_but_the_standard_library() -> None:
    """A module author installs one distribution."""
    names = [module.__name__ for module in modules_of_the_contract()]
    program = f"import sys, importlib; [importlib.import_module(name) for name in {names!r}]; \
print(*{{name.partition('.')[0] for name in sys.modules}})"
    folder = str(Path(spindle_spi.__file__).parent.parent)
    run = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": folder},
        check=True,
        capture_output=True,
        text=True,
    )
    foreign = set(run.stdout.split()) - set(sys.stdlib_module_names)
    assert foreign == {"spindle_spi", "__main__"}
