"""The page of the commands names every command with its options, as the commands are."""

from __future__ import annotations

from scripts import commands_page


def test_the_page_is_what_the_commands_say() -> None:
    """Written again by `python scripts/commands_page.py` when a command changes."""
    assert commands_page.PAGE.read_text() == commands_page.page()


def test_the_page_names_commands_arguments_and_options() -> None:
    """A sample of each, so that an empty page is no match for an empty inventory."""
    page = commands_page.page()

    for part in (
        "`spindle provider add NAME`",
        "| `--api-key-stdin` |",
        "`spindle config rollback VERSION`",
        "`spindle config show [KEY]`",
    ):
        assert part in page
