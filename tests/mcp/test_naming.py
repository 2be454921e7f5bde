from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from spindle_mcp.naming import MAX_LENGTH, unified_name

FIT = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def test_a_fit_name_is_prefix_and_name() -> None:
    """What people see is what they expect."""
    assert unified_name("files", "read_file") == "files__read_file"


@given(gateway=st.text(min_size=1, max_size=40), tool=st.text(min_size=1, max_size=200))
def test_every_name_is_one_that_clients_take(gateway: str, tool: str) -> None:
    """Whatever an upstream calls its tools."""
    name = unified_name(gateway, tool)
    assert FIT.fullmatch(name)
    assert name == unified_name(gateway, tool)


def test_names_that_differ_only_where_they_are_made_fit_stay_apart() -> None:
    """By a piece of their hash, also when they are cut."""
    assert unified_name("g", "a b") != unified_name("g", "a/b")
    long = "x" * 200
    assert unified_name("g", long) != unified_name("g", long + "y")
    assert len(unified_name("g", long)) == MAX_LENGTH
