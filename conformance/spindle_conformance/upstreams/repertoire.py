"""What each model name does, in every dialect that can say it.

A name may end in `@n`: the body is then written `n` bytes at a time, whatever the server's setting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from spindle_conformance.upstreams.answers import (
    Answer,
    Call,
    Finish,
    Redacted,
    Refusal,
    Text,
    Thought,
    Usage,
    answer_of,
    text_of,
)
from spindle_conformance.upstreams.faults import (
    OWN_WORDS,
    RETRY_BOTH,
    Failure,
    Fault,
    How,
    Problem,
)
from spindle_conformance.upstreams.framing import (
    BARE_FRAMING,
    COMMENT_FRAMING,
    CRLF_FRAMING,
    PLAIN_FRAMING,
    Framing,
    split_text,
)
from spindle_conformance.upstreams.requests import Asked, is_object_text

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

PLAIN_TEXT = "Grüße! The quick brown fox (狐) jumps over the lazy dog 🦊 and says “hello”."
PII_TEXT = "Write to ada.lovelace@example.org or pay with 4111 1111 1111 1111 before noon."
BIG_TEXT = "0123456789abcdef" * 16_384
LINE_TEXT = "0123456789abcdef" * 65_536
"""A mebibyte, said in one piece."""
SIGNATURE = "EqQBCkYICBgCKkDx+signature/of+thought=="
SEALED = "EmwKAhgBEgy3+sealed/thought=="
HTML = b"<!DOCTYPE html><html><head><title>502</title></head><body>Bad gateway</body></html>"

_CITATION: JsonObject = {
    "type": "char_location",
    "cited_text": "The fox",
    "document_index": 0,
    "document_title": "Fables",
    "start_char_index": 0,
    "end_char_index": 7,
    "file_id": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What happens for one model name."""

    answer: Answer
    framing: Framing = PLAIN_FRAMING
    manner: str = ""
    """The less careful way in which it is said; see `Dialect.in_manner`."""
    after_pieces: int | None = None
    """How many pieces of the text come before the fault, where that is what counts."""
    chunk: int | None = None
    pause: float = 0.0
    delay: float = 0.0
    """Seconds before anything is sent."""


Maker: TypeAlias = Callable[[Asked], Act]


def act_for(asked: Asked) -> Act | None:
    """Return what happens to a chat; None where the model's name stands for nothing."""
    name, _, size = asked.model.partition("@")
    act: Act | None = None

    if name in _ANSWERS:
        act = Act(answer=_ANSWERS[name](asked))
    elif name in _ACTS:
        act = _ACTS[name](asked)
    elif name.startswith("error-") and name[6:].isdigit():
        act = _refused(asked, error_of(int(name[6:])))

    if act is None or not size.isdigit():
        return act

    return replace(act, chunk=int(size))


def act_names() -> tuple[str, ...]:
    """Return every name that stands for something, and a few of the refusals."""
    refusals = {f"error-{status}" for status in (400, 401, 429, 500)}
    return tuple(sorted({*_ANSWERS, *_ACTS, *refusals}))


def error_of(status: int) -> Problem:
    """Return a refusal with some status, whose words hold a secret."""
    headers = RETRY_BOTH if status == 429 else ()
    return Problem(status=status, message=OWN_WORDS, headers=headers)


def _plain(asked: Asked) -> Answer:
    return answer_of(asked.model, text_of(PLAIN_TEXT))


def _ended(asked: Asked, finish: Finish) -> Answer:
    return answer_of(asked.model, text_of(PLAIN_TEXT), finish=finish)


def _reasoning(asked: Asked) -> Answer:
    thought = Thought(pieces=split_text("First I think, then I answer.", 6))
    return answer_of(asked.model, thought, text_of("The answer is 42."))


def _signed(asked: Asked) -> Answer:
    thought = Thought(pieces=split_text("First I think.", 6), signature=SIGNATURE)
    return answer_of(asked.model, thought, Redacted(data=SEALED), text_of("The answer is 42."))


def _signed_tools(asked: Asked) -> Answer:
    thought = Thought(pieces=split_text("I need a tool.", 6), signature=SIGNATURE)
    calls = _wanted(asked)[:1]
    return _told(asked) or answer_of(asked.model, thought, *calls, finish=Finish.TOOL_CALLS)


def _text_and_tools(asked: Asked) -> Answer:
    text, calls = text_of("Let me look."), _wanted(asked)
    return _told(asked) or answer_of(asked.model, text, *calls, finish=Finish.TOOL_CALLS)


def _called(asked: Asked, *calls: Call) -> Answer:
    return answer_of(asked.model, *calls, finish=Finish.TOOL_CALLS)


def _tools(asked: Asked) -> Answer:
    """Call the first tool that is offered, then tell what it said."""
    return _told(asked) or _called(asked, *_wanted(asked)[:1])


def _parallel_tools(asked: Asked) -> Answer:
    """Call every tool that is offered at once, then tell what they said."""
    return _told(asked) or _called(asked, *_wanted(asked))


def _pieced_tools(asked: Asked, size: int) -> Answer:
    calls = [replace(call, pieces=split_text(call.arguments, size)) for call in _wanted(asked)]
    return _told(asked) or _called(asked, *calls)


def _unknown_tool(asked: Asked) -> Answer:
    return _told(asked) or _called(asked, Call(name="never_offered", pieces=("{}",)))


def _bad_arguments(asked: Asked) -> Answer:
    call = replace(_wanted(asked)[0], pieces=split_text('{"city": "Par', 5))
    return _told(asked) or _called(asked, call)


def _told(asked: Asked) -> Answer | None:
    """Return the answer that follows tool results; None when none came yet."""
    if not asked.has_result_last:
        return None

    said = "The tools said: " + " | ".join(asked.results)
    return answer_of(asked.model, text_of(said, 7))


def _wanted(asked: Asked) -> tuple[Call, ...]:
    """Return a call of each offered tool; arguments are the last user message, if it is JSON."""
    arguments = asked.said if is_object_text(asked.said) else '{"city":"Zürich","days":2}'
    return tuple(
        Call(id=f"call_{number}", name=name, pieces=split_text(arguments, 5))
        for number, name in enumerate(asked.tools or ("get_weather", "get_time"), start=1)
    )


def _counted(asked: Asked, usage: Usage | None) -> Answer:
    return replace(_plain(asked), usage=usage)


def _stopped(asked: Asked) -> Answer:
    return replace(_ended(asked, Finish.STOP_SEQUENCE), stop_sequence="END")


_ANSWERS: dict[str, Callable[[Asked], Answer]] = {
    "plain": _plain,
    "echo": lambda asked: answer_of(asked.model, text_of(asked.said)),
    "empty": lambda asked: answer_of(asked.model, Text()),
    "pii": lambda asked: answer_of(asked.model, text_of(PII_TEXT, 3)),
    "big": lambda asked: answer_of(asked.model, text_of(BIG_TEXT, 256)),
    "big-line": lambda asked: answer_of(asked.model, Text(pieces=(LINE_TEXT,))),
    "choices": lambda asked: answer_of(asked.model, text_of(PLAIN_TEXT), choices=2),
    "length": lambda asked: _ended(asked, Finish.LENGTH),
    "filtered": lambda asked: _ended(asked, Finish.CONTENT_FILTER),
    "paused": lambda asked: _ended(asked, Finish.PAUSE),
    "window-full": lambda asked: _ended(asked, Finish.CONTEXT_WINDOW),
    "stop-sequence": _stopped,
    "no-finish": lambda asked: _ended(asked, Finish.NONE),
    "reasoning": _reasoning,
    "signed-reasoning": _signed,
    "signed-tools": _signed_tools,
    "signature-alone": lambda asked: answer_of(
        asked.model, Thought(signature=SIGNATURE), text_of("The answer is 42.")
    ),
    "refusal": lambda asked: answer_of(
        asked.model, Refusal(pieces=split_text("I cannot help with that.", 5))
    ),
    "logprobs": lambda asked: replace(_plain(asked), logprobs=True),
    "citations": lambda asked: answer_of(
        asked.model, replace(text_of("As the fable says."), citations=(dict(_CITATION),))
    ),
    "tools": _tools,
    "parallel-tools": _parallel_tools,
    "text-and-tools": _text_and_tools,
    "split-tools": lambda asked: _pieced_tools(asked, 1),
    "whole-tools": lambda asked: _pieced_tools(asked, 1_000_000),
    "endless-tools": lambda asked: _called(asked, *_wanted(asked)[:1]),
    "unknown-tool": _unknown_tool,
    "bad-arguments": _bad_arguments,
    "usage-less": lambda asked: _counted(asked, None),
    "usage-cached": lambda asked: _counted(
        asked, Usage(prompt=1000, completion=20, cached=700, cache_write=200)
    ),
    "usage-zero": lambda asked: _counted(asked, Usage(prompt=0, completion=0)),
}
"""The models that answer well."""


def _broken(asked: Asked, how: How, *, pieces: int | None = None, after: int = 0) -> Act:
    answer = replace(_plain(asked), fault=Fault(how=how, after=after))
    return Act(answer=answer, after_pieces=pieces)


def _silent(asked: Asked, how: How) -> Act:
    return Act(answer=replace(_plain(asked), fault=Fault(how=how)))


def _refused(asked: Asked, problem: Problem) -> Act:
    return Act(answer=replace(_plain(asked), fault=Fault(how=How.ERROR, problem=problem)))


def _failed(asked: Asked, failure: Failure) -> Act:
    headers = RETRY_BOTH if failure is Failure.RATE_LIMIT else ()
    return _refused(asked, Problem(failure=failure, key=asked.key, headers=headers))


def _page(asked: Asked, status: int) -> Act:
    return _refused(asked, Problem(status=status, body=HTML, content_type="text/html"))


def _limited(asked: Asked, *headers: tuple[str, str]) -> Act:
    return _refused(asked, Problem(failure=Failure.RATE_LIMIT, headers=headers))


def _mannered(maker: Callable[[Asked], Answer], manner: str) -> Maker:
    return lambda asked: Act(answer=maker(asked), manner=manner)


def _framed(framing: Framing) -> Maker:
    return lambda asked: Act(answer=_plain(asked), framing=framing)


_ACTS: dict[str, Maker] = {
    "slow": lambda asked: Act(answer=_plain(asked), chunk=192, pause=0.02),
    "slow-first": lambda asked: Act(answer=_plain(asked), delay=1.0),
    "crlf": _framed(CRLF_FRAMING),
    "comments": _framed(COMMENT_FRAMING),
    "no-done": _framed(BARE_FRAMING),
    "usage-filled": _mannered(_plain, "usage-filled"),
    "usage-every": _mannered(_plain, "usage-every"),
    "finish-with-last": _mannered(_plain, "finish-with-last"),
    "no-index": _mannered(_parallel_tools, "no-index"),
    "reasoning-plain": _mannered(_reasoning, "reasoning-plain"),
    "reasoning-content": _mannered(_reasoning, "reasoning-content"),
    "reasoning-thinking": _mannered(_reasoning, "reasoning-thinking"),
    "reasoning-details": _mannered(_reasoning, "reasoning-details"),
    "sloppy": _mannered(lambda asked: _counted(asked, None), "sloppy"),
    "sloppy-tools": _mannered(
        lambda asked: answer_of(asked.model, *_wanted(asked)), "sloppy-tools"
    ),
    "html": lambda asked: _page(asked, 200),
    "html-502": lambda asked: _page(asked, 502),
    "text-503": lambda asked: _refused(
        asked,
        Problem(status=503, body=b"upstream connect error", content_type="text/plain"),
    ),
    "no-body-500": lambda asked: _refused(asked, Problem(status=500, body=b"")),
    "cut": lambda asked: _broken(asked, How.CUT, pieces=3),
    "cut-before": lambda asked: _silent(asked, How.CUT),
    "cut-head": lambda asked: _broken(asked, How.CUT),
    "cut-clean": lambda asked: _broken(asked, How.END, pieces=3),
    "hang": lambda asked: _silent(asked, How.HANG),
    "hang-after-first": lambda asked: _broken(asked, How.HANG, after=1),
    "in-stream-error": lambda asked: _broken(asked, How.ERROR, pieces=2),
    "error-first": lambda asked: _broken(asked, How.ERROR),
    "error-key": lambda asked: _failed(asked, Failure.UNAUTHORIZED),
    "error-context": lambda asked: _failed(asked, Failure.CONTEXT_LENGTH),
    "error-quota": lambda asked: _failed(asked, Failure.QUOTA),
    "error-overloaded": lambda asked: _failed(asked, Failure.OVERLOADED),
    "error-filtered": lambda asked: _failed(asked, Failure.FILTERED),
    "error-rate": lambda asked: _failed(asked, Failure.RATE_LIMIT),
    "error-rate-seconds": lambda asked: _limited(asked, ("retry-after", "2")),
    "error-rate-ms": lambda asked: _limited(asked, ("retry-after-ms", "1500")),
    "error-rate-long": lambda asked: _limited(asked, ("retry-after", "3600")),
    "error-rate-date": lambda asked: _limited(
        asked, ("retry-after", "Wed, 21 Oct 2037 07:28:00 GMT")
    ),
}
"""The models that do something else, or do it carelessly."""
