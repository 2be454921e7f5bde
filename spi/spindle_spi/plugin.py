"""PluginService: content policy. What plugins see, what they say, how streams are guarded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import ContractViolation, Origin, PluginDenied
from spindle_spi.records import Kind
from spindle_spi.secret import Secret
from spindle_spi.types import Json, JsonObject


class SegmentKind(StrEnum):
    """What a piece of payload is."""

    TEXT = "text"
    TOOL_ARGUMENTS = "tool_arguments"
    TOOL_RESULT = "tool_result"
    IMAGE = "image"
    AUDIO = "audio"
    OPAQUE = "opaque"
    DOCUMENT = "document"
    """A whole JSON document as text, beside its pieces: to be judged, never replaced."""


class HookPhase(StrEnum):
    """Where in a call a hook runs."""

    PRE_FETCH = "pre_fetch"
    POST_FETCH = "post_fetch"
    PRE_INVOKE = "pre_invoke"
    POST_INVOKE = "post_invoke"


REQUEST_PHASES = frozenset({HookPhase.PRE_FETCH, HookPhase.PRE_INVOKE})
"""Phases that look at a request; the others look at its answer."""

_FETCH = (HookPhase.PRE_FETCH, HookPhase.POST_FETCH)
_INVOKE = (HookPhase.PRE_INVOKE, HookPhase.POST_INVOKE)
_PHASES = {
    Kind.MODEL: _INVOKE,
    Kind.TOOL: _INVOKE,
    Kind.AGENT: _INVOKE,
    Kind.RESOURCE: _FETCH,
    Kind.RESOURCE_TEMPLATE: _FETCH,
    Kind.PROMPT: _FETCH,
}


def phases_of(kind: Kind) -> tuple[HookPhase, HookPhase] | None:
    """Return the phases of a request for a record of `kind` and of its answer, if it has them."""
    return _PHASES.get(kind)


class PluginMode(StrEnum):
    """What a plugin's verdict does."""

    ENFORCE = "enforce"
    PERMISSIVE = "permissive"
    """Verdicts are recorded, nothing is changed."""
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One piece of a payload a plugin may look at and replace."""

    pointer: str
    """JSON pointer into the payload; after `#`, into the JSON text found there."""
    kind: SegmentKind
    role: str = ""
    """Chat role the text belongs to, when there is one."""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookPlan:
    """Which hooks the core wants run on one call. Empty: nothing is lifted, nothing parsed."""

    request: tuple[str, ...] = ()
    """Names of the plugins that look at the request, in order."""
    answer: tuple[str, ...] = ()
    """Names of the plugins that look at the answer, in order."""

    documents: bool = False
    """Some of them want whole documents beside the pieces: see `payloads.lift_document`."""

    def __bool__(self) -> bool:
        return bool(self.request or self.answer)

    def names_in(self, phase: HookPhase) -> tuple[str, ...]:
        """Return the names of the plugins that run in a phase of the call, in order."""
        return self.request if phase in REQUEST_PHASES else self.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One text inside a streamed answer: a choice and a channel (content, reasoning, refusal)."""

    choice: int = 0
    channel: str = "content"


class StreamGuard(ABC):
    """Judges one streamed answer. What it releases equals what unary would have shown.

    Denied text has never been released, whatever the chunking. The module owns framing.
    """

    @abstractmethod
    async def push(self, lane: Lane, text: str) -> str:
        """Take the next text of a lane; return what may go out now, possibly "".

        Raises:
            PluginDenied: The answer is refused; send nothing more.
        """

    @abstractmethod
    async def close(self, lane: Lane) -> str:
        """End a lane; return the rest of its text.

        Raises:
            PluginDenied: The answer is refused; send nothing more.
        """

    @abstractmethod
    async def judge(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """Judge pieces that are looked at whole (tool arguments, after JSON decoding).

        Returns the segments in the same order, replaced where a plugin replaced them.

        Raises:
            PluginDenied: The answer is refused; send nothing more.
        """

    @abstractmethod
    async def finish(self) -> None:
        """The answer is complete: leaves the receipt without which settling refuses."""


class PluginService(ABC):
    """Runs the plugins a permit's hook plan names; the module never meets a plugin."""

    @abstractmethod
    async def execute_hook(
        self,
        context: AuthenticatedContext,
        permit_id: str,
        phase: HookPhase,
        segments: Sequence[Segment],
    ) -> tuple[Segment, ...]:
        """Run one phase over lifted segments; returns them in order, replaced where asked.

        Leaves the receipt for that phase on the permit.

        Raises:
            PluginDenied: Refused; the call must end without the content being released.
            NotFound: No such permit, or not this caller's.
        """

    @abstractmethod
    async def open_guard(self, context: AuthenticatedContext, permit_id: str) -> StreamGuard:
        """Open the guard of one streamed answer.

        Raises:
            NotFound: No such permit, or not this caller's.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A place in a text where a plugin wants something else to stand, or nothing to pass."""

    start: int
    end: int
    rule: str
    replacement: str | None = None
    """None refuses the whole answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInput:
    """What a plugin knows of the call it looks at."""

    context: AuthenticatedContext
    target_kind: Kind
    target_name: str
    phase: HookPhase


class PluginHost(ABC):
    """What the gateway offers to one plugin; `Plugin.bind` gets it when the plugin is built."""

    @property
    @abstractmethod
    def budget_seconds(self) -> float:
        """How long `inspect` may take; what is slower counts as failed."""

    @abstractmethod
    async def invoke(self, call: PluginInput, model: str, request: JsonObject) -> JsonObject:
        """Call a model of the catalog while judging `call`; returns the whole answer.

        Request and answer are chats in OpenAI's form. The call is the plugin's own: it has a
        usage row of its own, and the plugin does not judge it.

        Raises:
            GatewayError: The model is not there, or its call failed.
        """

    @abstractmethod
    def secret(self, reference: str) -> Secret:
        """Return the value behind `env:NAME`, `file:PATH` or `vault:NAME`; do not keep it.

        Raises:
            InvalidArgument: It is no such reference.
            FailedPrecondition: There is no value.
        """

    @abstractmethod
    async def address_of(self, url: str) -> str:
        """Return the one address to connect to for an http(s) URL.

        Raises:
            InvalidArgument: No such URL, or the operator does not allow that host.
        """


class Plugin(ABC):
    """A content plugin; third parties subclass it (entry-point group `spindle.plugins`).

    Implement `scan` when a verdict depends on a bounded stretch of text (then streams flow with
    a hold-back of `span` characters); implement `inspect` when it needs the whole text.
    """

    name: str
    kinds: frozenset[SegmentKind] = frozenset({SegmentKind.TEXT})
    phases: frozenset[HookPhase] = frozenset({HookPhase.PRE_INVOKE, HookPhase.POST_INVOKE})
    span: int | None = None
    """Longest text a finding depends on, in characters; None holds an answer to its end."""
    lookbehind: int = 1
    """Characters before a finding it may depend on."""
    config_schema: Mapping[str, Json] = {"type": "object"}
    host: PluginHost | None = None
    """The gateway around it, once it is bound."""

    def __init__(self, config: JsonObject | None = None) -> None:
        self.config: JsonObject = config or {}
        """Its entry's `config`, valid under `config_schema`; the host calls the class with it."""

    def bind(self, host: PluginHost) -> None:
        """Take the gateway around it; called once, before the first content."""
        self.host = host

    def scan(self, text: str, start: int) -> Sequence[Finding]:
        """Return the findings at or after `start`, leftmost first, not overlapping.

        Pure: a finding at `i` depends only on `text[i - lookbehind : i + span]`.
        """
        del text, start
        return ()

    async def inspect(self, call: PluginInput, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """Look at whole segments; return them in order, replaced where needed.

        The default applies `scan` to each segment's text.

        Raises:
            PluginDenied: The content is refused.
        """
        del call
        return tuple(apply_findings(self, segment) for segment in segments)


def apply_findings(plugin: Plugin, segment: Segment) -> Segment:
    """Apply a scanning plugin to one whole segment.

    Raises:
        PluginDenied: A finding refuses the text.
        ContractViolation: The findings overlap, go backwards or leave the text.
    """
    pieces: list[str] = []
    position = 0

    for finding in plugin.scan(segment.text, 0):
        if not position <= finding.start <= finding.end <= len(segment.text):
            raise ContractViolation(
                f"The findings of the plugin {plugin.name} are out of order.",
                origin=Origin.PLUGIN,
            )

        if finding.replacement is None:
            raise refusal(plugin.name, finding.rule)

        pieces += (segment.text[position : finding.start], finding.replacement)
        position = finding.end

    if not pieces:
        return segment

    pieces.append(segment.text[position:])
    return replace(segment, text="".join(pieces))


def refusal(plugin: str, rule: str) -> PluginDenied:
    """Return the error with which a plugin's rule refuses content."""
    return PluginDenied(
        f"The content was refused by the plugin {plugin} (rule {rule}).",
        code=f"plugin.{plugin}.{rule}",
    )
