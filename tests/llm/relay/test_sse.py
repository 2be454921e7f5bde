"""Reading server-sent events, well and badly framed, at any cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_llm.relay.sse import SseEvent, SseParser
from spindle_spi.errors import UpstreamError

DATA = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), min_size=1, max_size=12
)
EVENTS = st.lists(
    st.tuples(st.sampled_from(["", "error", "ping"]), st.lists(DATA, min_size=1, max_size=3)),
    max_size=6,
)


def _parsed(body: bytes, *cuts: int) -> list[SseEvent]:
    parser = SseParser()
    edges = [0, *sorted(cuts), len(body)]
    events = [
        event
        for start, end in zip(edges, edges[1:], strict=False)
        for event in parser.feed(body[start:end])
    ]
    return events + parser.close()


@given(EVENTS, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans(), st.booleans(), st.data())
def test_events_are_the_same_at_any_cut_and_framing(
    events: list[tuple[str, list[str]]],
    newline: str,
    has_space: bool,
    has_extras: bool,
    data: st.DataObject,
) -> None:
    """Line ends, BOM, comments, unknown fields and cuts inside characters change nothing."""
    space = " " if has_space else ""
    lines: list[str] = []

    for name, parts in events:
        lines += [": comment", "id: 7", "retry"] if has_extras else []
        lines += [f"event:{space}{name}"] if name else []
        # One space after the colon belongs to the framing, so a leading one needs it.
        lines += [
            f"data: {part}" if part.startswith(" ") else f"data:{space}{part}" for part in parts
        ]
        lines += [""]

    text = ("\ufeff" if has_extras else "") + "".join(line + newline for line in lines)
    body = text.encode()
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=6))
    assert _parsed(body, *cuts) == [
        SseEvent(name, "\n".join(parts).encode()) for name, parts in events
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"event: ping\ndata: {}\n\n",
        b"event: a\ndata: 1\n\nevent: b\ndata: 2\n\n",
        b"event: a\ndata: 1\ndata: 2\n\n",
        b"event: a\ndata: 1\n\ndata: 2\n\n",
        b"event: a\ndata: \n\n",
        b"event: a\ndata: 1\n: comment\n\n",
        b"event: a\ndata:1\n\n",
        b"event: a\n\nevent: b\ndata: 2\n\n",
        b"event: a\ndata: 1\n\n\n\nevent: b\ndata: 2\n\n",
        b"event: \xff\ndata: 1\n\n",
        b"event: a\nevent: b\ndata: 1\n\n",
        b"event: a\ndata: 1\nevent: b\n\n",
        b"data: 1\n\nevent: b\ndata: 2\n\n",
    ],
)
def test_named_events_are_the_same_in_one_read_and_byte_by_byte(body: bytes) -> None:
    """The usual form is read at once, and means the same."""
    assert _parsed(body) == _parsed(body, *range(len(body)))


def test_one_byte_at_a_time_is_like_all_at_once() -> None:
    """The usual form has a quick way; it gives what the slow one gives."""
    body = b"data: one\n\ndata: two\n\n: hi\n\ndata: three\n\n"
    assert _parsed(body, *range(len(body))) == _parsed(body)
    assert [event.data for event in _parsed(body)] == [b"one", b"two", b"three"]


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r", b"\r\n"])
def test_a_last_event_needs_no_blank_line(ending: bytes) -> None:
    """What stands at the end of the body counts."""
    assert _parsed(b"data: one\n\ndata: last" + ending) == [
        SseEvent("", b"one"),
        SseEvent("", b"last"),
    ]


def test_an_event_without_data_is_none() -> None:
    """A name alone, or a comment alone, says nothing."""
    assert _parsed(b"event: ping\n\n: x\n\n\n\ndata: y\n\n") == [SseEvent("", b"y")]


def test_comments_are_counted() -> None:
    """They are signs of life."""
    parser = SseParser()
    parser.feed(b": a\n\n: b\n\n")
    assert parser.comments == 2


@pytest.mark.parametrize("piece", [b"x", b"data: y\n"])
def test_an_event_without_end_is_refused(piece: bytes) -> None:
    """Nothing grows without bound, be it one line or many."""
    parser = SseParser(limit=1000)

    def feed_on() -> None:
        for _ in range(2000):
            parser.feed(piece)

    with pytest.raises(UpstreamError, match="too large"):
        feed_on()
