"""What other people wrote is shown, and does nothing to the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.cli.tables import print_table

if TYPE_CHECKING:
    import pytest


def test_a_name_cannot_speak_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("NAME",), [("\x1b]0;title\x07\x1b[31mred",), ("a\u202eb\x9b2J",), ("gr\u00fcn",)])
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "NAME",
        r"\x1b]0;title\x07\x1b[31mred",
        r"a\u202eb\x9b2J",
        "gr\u00fcn",
    ]
