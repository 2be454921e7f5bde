"""A dry run: one plugin over a sample, without a call, a metric or a row."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from spindle.plugins.conditions import EVERYWHERE
from spindle.plugins.edge import plugin_edge
from spindle.plugins.loading import BUDGET_SECONDS
from spindle.plugins.pipeline import run_phase
from spindle.plugins.registry import PluginRegistry
from spindle_spi.errors import Internal, InvalidArgument, PluginDenied
from spindle_spi.payloads import lift_arguments, lift_chat_request
from spindle_spi.plugin import HookPhase, PluginInput, PluginMode, Segment, SegmentKind
from spindle_spi.records import Kind
from spindle_spi.types import JsonObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.plugins.active import ActivePlugin
    from spindle_spi.context import AuthenticatedContext
    from spindle_spi.types import Json

MAX_SECONDS = 10.0
_MAX_FINDINGS = 1000

Outcome: TypeAlias = Literal["allow", "replace", "deny", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a plugin is shown: a text, the arguments of a tool, or the messages of a chat."""

    segments: tuple[Segment, ...]
    kind: Kind
    phase: HookPhase = HookPhase.PRE_INVOKE


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a plugin made of a sample."""

    outcome: Outcome
    code: str | None
    message: str | None
    segments: tuple[Segment, ...]
    """As they would go on; as they came when they would not."""
    findings: tuple[JsonObject, ...]
    milliseconds: float


def make_sample(
    *,
    text: str | None = None,
    arguments: JsonObject | None = None,
    messages: Sequence[Json] | None = None,
    phase: HookPhase = HookPhase.PRE_INVOKE,
) -> Sample:
    """Return one sample.

    Raises:
        InvalidArgument: Not exactly one of them is given, or the messages are none.
    """
    if sum(part is not None for part in (text, arguments, messages)) != 1:
        raise InvalidArgument("sample: expected one of text, arguments and messages.")

    if arguments is not None:
        return Sample(segments=lift_arguments(arguments), kind=Kind.TOOL, phase=phase)

    if messages is not None:
        lifted = lift_chat_request({"messages": list(messages)})
        return Sample(segments=lifted, kind=Kind.MODEL, phase=phase)

    segment = Segment(pointer="/text", kind=SegmentKind.TEXT, role="user", text=text or "")
    return Sample(segments=(segment,), kind=Kind.MODEL, phase=phase)


async def dry_run(active: ActivePlugin, sample: Sample, context: AuthenticatedContext) -> Verdict:
    """Show a sample to a plugin, enforced, in any phase, and within `MAX_SECONDS` if it waits."""
    tried = replace(
        active,
        mode=PluginMode.ENFORCE,
        phases=frozenset(HookPhase),
        conditions=EVERYWHERE,
        fails_open=False,
        budget_seconds=min(active.budget_seconds or BUDGET_SECONDS, MAX_SECONDS),
    )
    call = PluginInput(
        context=context, target_kind=sample.kind, target_name="sample", phase=sample.phase
    )
    after = sample.segments
    outcome: Outcome = "allow"
    error: Internal | PluginDenied | None = None
    findings: tuple[JsonObject, ...] = ()
    started = time.perf_counter()

    try:
        findings = _find(tried, sample.segments)
        registry = PluginRegistry([tried], logs=False)
        after = await run_phase(registry, (tried.name,), call, sample.segments)
    except (PluginDenied, Internal) as exc:
        error = exc

    milliseconds = (time.perf_counter() - started) * 1000

    if error is not None:
        outcome = "deny" if isinstance(error, PluginDenied) else "error"
    elif after != sample.segments:
        outcome = "replace"

    return Verdict(
        outcome=outcome,
        code=None if error is None else error.code,
        message=None if error is None else error.message,
        segments=after,
        findings=findings,
        milliseconds=round(milliseconds, 3),
    )


def show_verdict(verdict: Verdict) -> JsonObject:
    """Return a verdict as JSON."""
    return {
        "verdict": verdict.outcome,
        "code": verdict.code,
        "message": verdict.message,
        "segments": [
            {
                "pointer": segment.pointer,
                "kind": segment.kind.value,
                "role": segment.role,
                "text": segment.text,
            }
            for segment in verdict.segments
        ],
        "findings": list(verdict.findings),
        "milliseconds": verdict.milliseconds,
    }


def _find(active: ActivePlugin, segments: Sequence[Segment]) -> tuple[JsonObject, ...]:
    if not active.is_scanning:
        return ()

    with plugin_edge(active.plugin.name):
        found: list[JsonObject] = [
            {
                "pointer": segment.pointer,
                "start": finding.start,
                "end": finding.end,
                "rule": finding.rule,
                "action": "deny" if finding.replacement is None else "replace",
                "replacement": finding.replacement,
            }
            for segment in segments
            if segment.kind in active.plugin.kinds
            for finding in active.plugin.scan(segment.text, 0)
        ]

    return tuple(found[:_MAX_FINDINGS])
