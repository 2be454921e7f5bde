"""What each model name of the simulated OpenAI upstream does, given the body of a request.

The names and what they do are those of `repertoire`, which is the same for every dialect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle_conformance.upstreams.faults import OWN_WORDS, SECRET_TEXT, Problem
from spindle_conformance.upstreams.openai import OpenAISimulator
from spindle_conformance.upstreams.repertoire import (
    BIG_TEXT,
    HTML,
    PII_TEXT,
    PLAIN_TEXT,
    act_for,
)
from spindle_conformance.upstreams.requests import asked_in_openai
from spindle_conformance.upstreams.scripts import Script

if TYPE_CHECKING:
    from spindle_conformance.upstreams.server import Play
    from spindle_spi.types import Json, JsonObject

__all__ = [
    "BIG_TEXT",
    "HTML",
    "PII_TEXT",
    "PLAIN_TEXT",
    "SECRET_TEXT",
    "UPSTREAM_ERROR",
    "model_names",
    "play_for",
    "script_for",
]

_SIMULATOR = OpenAISimulator()
UPSTREAM_ERROR: Json = _SIMULATOR.dialect.told(Problem(message=OWN_WORDS))


def play_for(body: JsonObject) -> Play:
    """Return what happens to a chat request."""
    return _SIMULATOR.played(asked_in_openai(body))


def script_for(body: JsonObject) -> Script:
    """Return the script of a request whose model answers by one.

    Raises:
        KeyError: The model does something else than answering well, or says what no script says.
    """
    asked = asked_in_openai(body)
    act = act_for(asked)
    script = None if act is None or act.manner else Script.of(act.answer, act.framing)

    if act is None or script is None or script.said != act.answer:
        raise KeyError(asked.model)

    return script


def model_names() -> tuple[str, ...]:
    """Return every model the simulator lists."""
    return _SIMULATOR.names()
