from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindle_mcp.upstream.http.sse import EventReader, EventTooLong

STREAM = (
    b": ping\r\n\r\nevent: message\r\nid: 1\r\ndata: one\r\n\r\ndata: two\ndata: lines\n\n"
    b"event: other\ndata: unheard\n\ndata:three\r\rdata:\n\n\nretry: 5\n\ndata: unfinished\n"
)


@given(cuts=st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=12))
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    """Also between a carriage return and its line feed."""
    reader, found = EventReader(1000), list[bytes]()

    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(STREAM)], strict=True):
        if start != end:
            found += reader.feed(STREAM[start:end])

    assert found == [b"one", b"two\nlines", b"three"]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_an_event_longer_than_the_limit_is_refused(size: int) -> None:
    """Whether it comes at once or in drops, finished or not."""
    reader = EventReader(20)
    data = b"data: " + b"x" * 30 + b"\n\n"

    chunks = [data[start : start + size] for start in range(0, len(data), size)]

    with pytest.raises(EventTooLong):
        [reader.feed(chunk) for chunk in chunks]


def test_the_limit_is_for_one_event_not_for_the_stream() -> None:
    """A long stream of short events is no fault."""
    reader = EventReader(40)

    for _ in range(100):
        assert reader.feed(b"data: short\n\n") == [b"short"]
