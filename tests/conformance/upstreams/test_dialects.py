"""Every dialect says the same answer whole and in pieces, and refuses in its vendor's form."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.upstreams.answers import Answer, Capability, Finish, Text, needs
from spindle_conformance.upstreams.dialects.anthropic import ANTHROPIC
from spindle_conformance.upstreams.dialects.azure_openai import AZURE_OPENAI
from spindle_conformance.upstreams.dialects.catalog import DIALECTS
from spindle_conformance.upstreams.dialects.gpt4all import GPT4ALL
from spindle_conformance.upstreams.dialects.ollama import OLLAMA
from spindle_conformance.upstreams.dialects.openai import OPENAI
from spindle_conformance.upstreams.dialects.openrouter import OPENROUTER
from spindle_conformance.upstreams.faults import OWN_WORDS, Failure, Fault, How, Problem
from spindle_conformance.upstreams.framing import (
    BARE_FRAMING,
    COMMENT_FRAMING,
    CRLF_FRAMING,
    PLAIN_FRAMING,
)
from spindle_conformance.upstreams.repertoire import SEALED, SIGNATURE, act_for, act_names
from spindle_conformance.upstreams.requests import Asked
from spindle_conformance.upstreams.server import Ending
from tests.conformance.upstreams.folding import events_of, said, told

if TYPE_CHECKING:
    from spindle_conformance.upstreams.dialects.base import Dialect

FRAMINGS = (PLAIN_FRAMING, CRLF_FRAMING, BARE_FRAMING, COMMENT_FRAMING)
MANNERS_THAT_LIE = ("sloppy", "sloppy-tools")


def _answer(name: str) -> Answer:
    act = act_for(Asked(model=name))
    assert act is not None
    return act.answer


def _well_said() -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []

    for dialect in DIALECTS.values():
        for name in act_names():
            act = act_for(Asked(model=name))
            assert act is not None
            answer = dialect.fitted(act.answer)
            is_well_said = answer.fault is None and name not in MANNERS_THAT_LIE

            if is_well_said and dialect.expresses(answer) and not name.startswith("big"):
                found.append((dialect.name, name))

    return found


@pytest.mark.parametrize(("dialect_name", "name"), _well_said())
def test_a_stream_put_together_is_the_whole_answer(dialect_name: str, name: str) -> None:
    """In every framing: content, reasoning, calls, log probabilities, finish and usage."""
    act = act_for(Asked(model=name))
    assert act is not None
    dialect = DIALECTS[dialect_name].in_manner(act.manner)
    answer = dialect.fitted(act.answer)

    if dialect is GPT4ALL:
        with pytest.raises(ValueError, match="does not stream"):
            dialect.stream(answer)
        return

    for framing in FRAMINGS:
        assert told(dialect, answer, framing) == said(dialect, answer)


def test_every_dialect_says_what_all_can_say() -> None:
    """A text that stops, or is too long, with two counts."""
    plain = replace(_answer("plain"), usage=replace(_usage(_answer("plain")), cached=0))

    for dialect in DIALECTS.values():
        assert dialect.expresses(plain)
        assert dialect.expresses(replace(plain, choices=_answer("length").choices))


def _usage(answer: Answer) -> Any:
    assert answer.usage is not None
    return answer.usage


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("choices", Capability.CHOICES),
        ("reasoning", Capability.REASONING),
        ("signed-reasoning", Capability.SIGNATURES),
        ("signed-reasoning", Capability.REDACTED),
        ("refusal", Capability.REFUSAL),
        ("logprobs", Capability.LOGPROBS),
        ("citations", Capability.CITATIONS),
        ("tools", Capability.CALLS),
        ("bad-arguments", Capability.BROKEN_ARGUMENTS),
        ("usage-cached", Capability.CACHED_TOKENS),
        ("usage-cached", Capability.CACHE_WRITE_TOKENS),
        ("reasoning", Capability.REASONING_TOKENS),
        ("usage-less", Capability.NO_USAGE),
    ],
)
def test_what_an_answer_needs_is_told(name: str, capability: Capability) -> None:
    """A dialect without the capability does not express the answer, one with it does not mind."""
    answer = _answer(name)
    without = replace(OPENAI, capabilities=frozenset(Capability) - {capability})

    assert capability in needs(answer)
    assert not without.expresses(answer)
    assert replace(OPENAI, capabilities=frozenset(Capability)).expresses(answer)


def test_parts_out_of_order_are_for_who_keeps_it() -> None:
    """Two texts, or a text before the reasoning, only Anthropic tells apart."""
    answer = _answer("reasoning")
    (choice,) = answer.choices
    turned = replace(answer, choices=(replace(choice, parts=choice.parts[::-1]),))
    doubled = replace(answer, choices=(replace(choice, parts=(Text(), Text())),))

    for odd in (turned, doubled):
        assert Capability.ORDER in needs(odd)
        assert ANTHROPIC.expresses(odd)
        assert not OPENAI.expresses(odd)
        assert told(ANTHROPIC, odd) == said(ANTHROPIC, odd)


def test_a_finish_is_part_of_what_is_expressed() -> None:
    """Only Anthropic pauses; Ollama says by the calls alone that it called."""
    paused = _answer("paused")
    stopped = replace(_answer("tools"), choices=(replace(_answer("tools").choices[0]),))
    (choice,) = stopped.choices
    stopped = replace(stopped, choices=(replace(choice, finish=Finish.STOP),))

    assert ANTHROPIC.expresses(paused)
    assert not OPENAI.expresses(paused)
    assert not OLLAMA.expresses(OLLAMA.fitted(stopped))


@pytest.mark.parametrize("dialect", list(DIALECTS.values()), ids=list(DIALECTS))
@pytest.mark.parametrize("failure", list(Failure))
def test_a_refusal_has_a_status_and_holds_the_key_it_is_about(
    dialect: Dialect, failure: Failure
) -> None:
    """Every failure is an error status everywhere, and 401 is careless with the credential."""
    play = dialect.refuse(Problem(failure=failure, key="sk-careless"))

    assert 400 <= play.status < 600
    assert b"{" not in play.body or json.loads(play.body)

    if failure is Failure.UNAUTHORIZED and dialect.name not in ("jan", "gpt4all"):
        assert b"sk-careless" in play.body


@pytest.mark.parametrize("dialect", [d for d in DIALECTS.values() if d is not GPT4ALL])
def test_an_error_in_a_stream_comes_after_its_events_and_ends_it(dialect: Dialect) -> None:
    """So many events, then the error, and no end."""
    answer = dialect.fitted(_answer("plain"))
    whole = events_of(dialect.stream(answer))
    failed = replace(answer, fault=Fault(how=How.ERROR, after=4))
    events = events_of(dialect.stream(failed))

    assert events[:-1] == whole[:4]
    assert OWN_WORDS in json.dumps(events[-1])
    assert b"[DONE]" not in dialect.stream(failed)
    assert dialect.play(failed, stream=True).ending is Ending.COMPLETE


@pytest.mark.parametrize(
    ("how", "ending"), [(How.CUT, Ending.CUT), (How.HANG, Ending.HANG), (How.END, Ending.COMPLETE)]
)
def test_a_stream_that_stops_has_the_events_that_came_before(how: How, ending: Ending) -> None:
    """With none but the head, or not even that."""
    answer = _answer("plain")

    for after in (0, 2):
        play = OPENAI.play(replace(answer, fault=Fault(how=how, after=after)), stream=True)

        assert play.ending is ending
        assert len(events_of(play.body)) == after

    silent = OPENAI.play(replace(answer, fault=Fault(how=how)), stream=True)

    assert silent.silent
    assert OPENAI.stream(replace(answer, fault=Fault(how=how))) == b""
    assert OPENAI.unary(replace(answer, fault=Fault(how=how))) == b""


def test_signatures_are_written_byte_for_byte() -> None:
    """Both dialects that sign keep signature and sealed reasoning as they are."""
    answer = _answer("signed-reasoning")

    for dialect in (ANTHROPIC, OPENROUTER):
        for body in (dialect.unary(answer), dialect.stream(answer)):
            assert SIGNATURE.encode() in body
            assert SEALED.encode() in body


def test_anthropic_names_its_events_and_pings() -> None:
    """Each event has a name that is its type; there is a ping, and no `[DONE]`."""
    text = ANTHROPIC.stream(_answer("plain")).decode()
    blocks = [block.split("\n") for block in text.split("\n\n")[:-1]]

    assert "[DONE]" not in text
    assert "event: ping" in text
    assert b"event:ping\r\ndata:" in ANTHROPIC.stream(_answer("plain"), CRLF_FRAMING)
    assert all(
        name.removeprefix("event: ") == json.loads(data.removeprefix("data: "))["type"]
        for name, data in blocks
    )


def test_openrouter_keeps_the_line_open_and_says_error_in_a_choice() -> None:
    """A comment comes first, and a failed stream ends in a chunk whose choice says `error`."""
    failed = replace(_answer("plain"), fault=Fault(how=How.ERROR, after=2))
    body = OPENROUTER.stream(failed)
    last = events_of(body)[-1]

    assert body.startswith(b": OPENROUTER PROCESSING\n\n")
    assert last["error"]["message"] == OWN_WORDS
    assert last["choices"][0]["finish_reason"] == "error"


def test_azure_begins_with_what_its_filter_found() -> None:
    """The first chunk has no choices; a prompt that is filtered is refused in its own words."""
    first = events_of(AZURE_OPENAI.stream(_answer("plain")))[0]
    told_of = json.loads(AZURE_OPENAI.refusal(Problem(failure=Failure.FILTERED)))["error"]

    assert first["choices"] == []
    assert first["prompt_filter_results"]
    assert told_of["innererror"]["code"] == "ResponsibleAIPolicyViolation"


def test_ollama_leaves_out_what_is_zero_and_numbers_calls_if_it_is_new() -> None:
    """Metrics of zero are missing; an old server says that every call is number 0."""
    body = json.loads(OLLAMA.unary(_answer("usage-zero")))
    calls = OLLAMA.fitted(_answer("parallel-tools"))
    numbers = [
        [
            call["function"]["index"]
            for call in json.loads(dialect.unary(calls))["message"]["tool_calls"]
        ]
        for dialect in (OLLAMA, OLLAMA.in_manner("no-index"))
    ]

    assert "prompt_eval_count" not in body
    assert numbers == [[0, 1], [0, 0]]


def test_usage_stands_where_the_manner_puts_it() -> None:
    """In the last chunk that has choices, in every chunk, or nowhere unless it is asked for."""
    answer = _answer("plain")
    filled = events_of(OPENAI.in_manner("usage-filled").stream(answer))
    every = events_of(OPENAI.in_manner("usage-every").stream(answer))
    never = events_of(OPENAI.asked_for_usage(False).stream(answer))

    assert all(chunk["choices"] for chunk in filled + every + never)
    assert [bool(chunk["usage"]) for chunk in filled] == [False] * (len(filled) - 1) + [True]
    assert all(chunk["usage"] for chunk in every)
    assert not any("usage" in chunk for chunk in never)


@pytest.mark.parametrize("dialect", [ANTHROPIC, OLLAMA])
def test_what_a_dialect_has_no_form_for_is_an_error(dialect: Dialect) -> None:
    """Rather than a stream that lacks something."""
    with pytest.raises(ValueError, match="Refusal"):
        dialect.stream(_answer("refusal"))


def test_a_whole_answer_may_be_an_error_under_a_good_status() -> None:
    """Where a stream would have begun before it failed."""
    failed = replace(_answer("plain"), fault=Fault(how=How.ERROR, after=2))
    play = OPENAI.play(failed, stream=False)

    assert (play.status, play.body) == (200, OPENAI.refusal(Problem(message=OWN_WORDS)))


def test_tokens_are_counted_as_the_vendor_counts_them() -> None:
    """What was cached is part of OpenAI's prompt, and beside Anthropic's input."""
    answer = _answer("usage-cached")
    openai, anthropic = (json.loads(one.unary(answer))["usage"] for one in (OPENAI, ANTHROPIC))
    details = {"cached_tokens": 700, "cache_write_tokens": 200}

    assert (openai["prompt_tokens"], openai["prompt_tokens_details"]) == (1000, details)
    assert openai["total_tokens"] == 1020
    assert anthropic == {
        "input_tokens": 100,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 700,
        "output_tokens": 20,
    }
