"""Ranking by words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from spindle_mcp.surface.finding.ranking import Ranking, fused, words_of, words_of_tool

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

TOOLS = {
    "github__create_issue": "Open a new issue in a repository.",
    "github__list_issues": "List the issues of a repository.",
    "calendar__create_event": "Put an event into a calendar.",
    "mail__send": "Send a message to somebody. May create an issue when the server is down.",
}


def best(question: str) -> list[str]:
    names = list(TOOLS)
    documents = [words_of_tool(name, {"description": text}) for name, text in TOOLS.items()]
    return [names[number] for number in Ranking(documents).ranked(question)]


def test_the_words_of_a_name_weigh_more_than_those_of_a_description() -> None:
    """And a rare word more than a frequent one."""
    assert best("create an issue")[0] == "github__create_issue"
    assert best("list issues")[0] == "github__list_issues"
    assert best("calendar")[0] == "calendar__create_event"
    assert best("send mail") == ["mail__send"]
    assert best("nothing of the kind") == []


def test_identifiers_are_taken_apart() -> None:
    """However they are written; a plural is its word."""
    assert words_of("readHTTPFiles_from-2 boxes") == ["read", "http", "file", "2", "boxe"]
    assert words_of("Straße ÉCOLE class") == ["strasse", "école", "class"]
    schema: JsonObject = {"properties": {"repositoryName": {"description": "Whose."}, "odd": True}}
    assert words_of_tool("x", {"inputSchema": schema, "title": "T"})[3:] == [
        *("t", "t", "repository", "name", "whose", "odd")
    ]


def test_a_place_in_any_ranking_counts() -> None:
    """What both name is before what one names."""
    assert fused([1, 2], [2, 3]) == [2, 1, 3]
    assert fused([], [3, 1]) == [3, 1]


@given(
    st.lists(st.lists(st.text("abc ", max_size=5), max_size=6), max_size=8), st.text(max_size=20)
)
def test_every_question_has_an_answer(documents: list[list[str]], question: str) -> None:
    """Also an empty one, over nothing."""
    found = Ranking(documents).ranked(question)
    assert len(found) == len(set(found))
    assert set(found) <= set(range(len(documents)))


def test_ten_thousand_tools_are_searched_quickly() -> None:
    """The index once, a question in moments."""
    names = [f"gateway{n % 40}__tool_{n}_of_many" for n in range(10_000)]
    documents = [words_of_tool(name, {"description": "Does something. " * 10}) for name in names]
    ranking = Ranking(documents)
    started = time.monotonic()
    assert ranking.ranked("tool 4711 of gateway31")[0] == 4711
    assert time.monotonic() - started < 2
