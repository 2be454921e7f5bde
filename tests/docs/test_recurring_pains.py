"""What the page of recurring pains names exists: a page that points nowhere shows nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/recurring-pains.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:tests|benchmarks)/[^`]+)`", PAGE)))


@pytest.mark.parametrize("named", NAMED)
def test_what_the_page_names_exists(named: str) -> None:
    """The file, and the test in it where one is named."""
    path, _, test = named.partition("::")
    file = ROOT / path
    assert file.is_file()
    assert not test or re.search(rf"^(?:async )?def {test}\(", file.read_text(), re.MULTILINE)


def test_every_row_names_something() -> None:
    """A pain without a test is one that may well be ours."""
    rows = [line for line in PAGE.splitlines() if re.match(r"\| (?!pain \|)", line)]
    assert len(rows) == 45
    assert all("`tests/" in row or "`benchmarks/" in row for row in rows)
