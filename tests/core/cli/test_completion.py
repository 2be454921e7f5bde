"""Completion in shells: the scripts, and what they ask the command for."""

from __future__ import annotations

import pytest

from tests.core.cli.runner import run

BASH = {"_SPINDLE_COMPLETE": "complete_bash"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    """It calls `spindle` back."""
    ran = run("completion", shell)

    assert ran.code == 0
    assert f"complete_{shell}" in ran.stdout


def test_an_unknown_shell_is_told_which_there_are() -> None:
    """On stderr, with exit status 1."""
    ran = run("completion", "tcsh")

    assert (ran.code, ran.stdout) == (1, "")
    assert "bash, zsh, fish" in ran.stderr


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("spindle conf", {"config"}),
        ("spindle config ", {"check", "show"}),
        ("spindle config show --s", {"--set"}),
    ],
)
def test_commands_and_options_are_completed(words: str, completions: set[str]) -> None:
    """As the shell's script asks for it."""
    asked = {**BASH, "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    ran = run(env=asked)

    assert completions <= set(ran.stdout.split())


def test_completion_installs_itself() -> None:
    """Typer's own options are there."""
    assert "--install-completion" in run("--help").stdout
