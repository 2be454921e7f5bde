"""Names: total, deterministic, within the limits of clients, and apart from each other."""

from __future__ import annotations

import re

from hypothesis import assume, example, given
from hypothesis import strategies as st

from spindle_mcp.naming import MAX_LENGTH, MIN_LENGTH, SEPARATOR, bare_name, unified_name

FIT = re.compile(r"[A-Za-z0-9_-]+")
LIMITS = st.integers(MIN_LENGTH, MAX_LENGTH)
WORDS = st.text(max_size=90) | st.text("ab_-.", max_size=90)
PAIRS = st.tuples(WORDS, WORDS)


def test_a_fit_name_is_prefix_and_name() -> None:
    """What people see is what they expect."""
    assert unified_name("files", "read_file") == "files__read_file"
    assert unified_name("my-files_2", "_read__file_") == "my-files_2___read__file_"
    assert bare_name("read_file") == "read_file"


def test_a_short_form_is_the_same_for_good() -> None:
    """Who wrote it into a configuration must find it there after any upgrade."""
    assert unified_name("files", "read.file") == "files__read_file_3uzm35iod5"
    assert unified_name("files.v2", "read") == "files-v2-4z4viaqu4s__read"
    assert unified_name("g", "x" * 100) == f"g__{'x' * 50}_bhwln26ixt"
    assert unified_name("g", "x" * 100, 60) == f"g__{'x' * 46}_bhwln26ixt"


@given(prefix=WORDS, name=WORDS, limit=LIMITS)
@example(prefix="", name="", limit=MIN_LENGTH)
@example(prefix="\ud800", name="\udfff", limit=MIN_LENGTH)
def test_every_pair_has_a_name_that_clients_take(prefix: str, name: str, limit: int) -> None:
    """Whatever an upstream calls its tools, and whatever its gateway is called."""
    unified = unified_name(prefix, name, limit)
    assert FIT.fullmatch(unified)
    assert len(unified) <= limit
    assert unified == unified_name(prefix, name, limit)
    assert FIT.fullmatch(bare_name(name, limit))
    assert len(bare_name(name, limit)) <= limit


@given(one=PAIRS, other=PAIRS, limit=LIMITS)
@example(one=("a", "b__c"), other=("a__b", "c"), limit=MAX_LENGTH)
@example(one=("a", "_b"), other=("a_", "b"), limit=MAX_LENGTH)
@example(one=("a.b", "c"), other=("a-b", "c"), limit=MAX_LENGTH)
@example(one=("a", "b c"), other=("a", "b/c"), limit=MAX_LENGTH)
@example(one=("a", "x" * 90), other=("a", "x" * 89), limit=MAX_LENGTH)
@example(one=("p" * 63, "c"), other=("p" * 62, "c"), limit=MAX_LENGTH)
def test_two_pairs_never_share_a_name(
    one: tuple[str, str], other: tuple[str, str], limit: int
) -> None:
    """Up to the hash of what had to be made fit."""
    assume(one != other)
    assert unified_name(*one, limit) != unified_name(*other, limit)


@given(prefix=WORDS, names=st.lists(WORDS, min_size=2, max_size=5, unique=True), limit=LIMITS)
def test_the_first_separator_ends_the_prefix(prefix: str, names: list[str], limit: int) -> None:
    """All names of a gateway begin alike, and no other gateway's do."""
    begun = {unified_name(prefix, name, limit).partition(SEPARATOR)[0] for name in names}
    assert len(begun) == 1
    assert len(begun.pop()) <= limit // 2
