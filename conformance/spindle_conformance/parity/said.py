"""What was said, in no dialect: by a script, or as a reader of any surface understood it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from spindle_conformance.upstreams.answers import Capability, Finish, Redacted, Thought

if TYPE_CHECKING:
    from spindle_conformance.upstreams.answers import Answer, Choice
    from spindle_conformance.upstreams.dialects.base import Dialect
    from spindle_spi.types import Json


class Broken(AssertionError):
    """A rule of a surface does not hold; the message says which, and where."""


def require(holds: object, rule: str, where: object = "") -> None:
    """Hold a rule.

    Raises:
        Broken: It does not hold.
    """
    if not holds:
        raise Broken(f"{rule}{f': {where!s:.300}' if where != '' else ''}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidCall:
    """A tool call; arguments that are JSON are compared by what they mean."""

    name: str
    arguments: str
    id: str = ""
    """Empty where a reader had to make one up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidChoice:
    """One choice."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[SaidCall, ...] = ()
    finish: str = "stop"
    signatures: tuple[str, ...] = ()
    redacted: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    """Of the log probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidUsage:
    """Tokens as OpenAI counts them."""

    prompt: int
    completion: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer as it was understood."""

    model: str
    choices: tuple[SaidChoice, ...]
    usage: SaidUsage | None = None


def meant(arguments: str) -> str:
    """Return arguments in one spelling; what is no JSON stays as it is, nothing is `{}`."""
    try:
        value: Json = json.loads(arguments or "{}")
    except ValueError:
        return arguments

    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def said_by(answer: Answer, dialect: Dialect, model: str) -> Said:
    """Return what a script says in a dialect, under the name its readers know the model by."""
    usage = dialect.fitted(answer).usage
    return Said(
        model=model,
        choices=tuple(_choice(choice, answer, dialect) for choice in answer.choices),
        usage=None
        if usage is None
        else SaidUsage(
            prompt=usage.prompt,
            completion=usage.completion,
            cached=usage.cached,
            cache_write=usage.cache_write,
            reasoning=usage.reasoning,
        ),
    )


def without_ids(said: Said) -> Said:
    """Return the same without the ids of calls, for dialects that have none."""
    return replace(
        said,
        choices=tuple(
            replace(choice, calls=tuple(replace(call, id="") for call in choice.calls))
            for choice in said.choices
        ),
    )


def without_tokens(said: Said) -> Said:
    """Return the same without log probabilities, which no script writes down by itself."""
    return replace(said, choices=tuple(replace(choice, tokens=()) for choice in said.choices))


_FINISH = {
    Finish.LENGTH: "length",
    Finish.CONTEXT_WINDOW: "length",
    Finish.TOOL_CALLS: "tool_calls",
    Finish.CONTENT_FILTER: "content_filter",
}


def _choice(choice: Choice, answer: Answer, dialect: Dialect) -> SaidChoice:
    finish = _FINISH.get(choice.finish, "stop")

    if finish == "stop" and choice.calls:
        # Some upstreams say `stop` when they call; clients look for the calls by the reason.
        finish = "tool_calls"

    calls = tuple(
        SaidCall(
            name=call.name,
            arguments=meant(call.arguments),
            id=call.id if Capability.CALL_IDS in dialect.capabilities else "",
        )
        for call in choice.calls
    )
    thoughts = choice.of(Thought)
    return SaidChoice(
        text=choice.text,
        reasoning=choice.reasoning,
        refusal=choice.refusal,
        calls=calls,
        finish=finish,
        signatures=tuple(part.signature for part in thoughts if part.signature),
        redacted=tuple(part.data for part in choice.of(Redacted)),
    )
