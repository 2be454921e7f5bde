"""Writes docs/reference/commands.md from the commands: `python scripts/commands_page.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main

from spindle.cli.app import app
from spindle.cli.commands import SpindleGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs/reference/commands.md"

_HEAD = """\
# Commands

Every command of `spindle`, with its arguments and options; `--help` says the same.
This page is written by `python scripts/commands_page.py`.

Commands work on the store of `--home` directly: no gateway needs to run, and one that runs
sees a change within a second.
Those over `tool`, `resource`, `template` and `prompt` ask a running gateway.
With `--json` the output is JSON.
What cannot be done is said on standard error, with exit status 1.

`--config FILE` (also `SPINDLE_CONFIG`) and `--home DIRECTORY` (also `SPINDLE_HOME`) are left out
below where a command has both.
Commands of installed modules are on the pages of the modules: [`spindle mcp`](../clients/index.md).

`spindle --install-completion` completes commands and options in the shell at hand;
`spindle completion bash`, `zsh` or `fish` prints what it would install.
"""

_EVERYWHERE = {"--config", "--home"}


def page() -> str:
    """Return the whole page."""
    group = typer.main.get_command(app)
    parts = [_HEAD]

    for name, command in _sorted(group):
        parts.append(f"\n## `spindle {name}`\n")
        inner = list(_sorted(command))

        if not inner:
            parts += _described(f"spindle {name}", command)
            continue

        parts.append(f"\n{command.help}\n")

        for inner_name, each in inner:
            parts.append(f"\n### `spindle {name} {inner_name}`\n")
            parts += _described(f"spindle {name} {inner_name}", each)

    return "".join(parts)


def _sorted(group: Any) -> Iterator[tuple[str, Any]]:
    # Of the core's own commands: what modules bring is not this page's.
    if isinstance(group, SpindleGroup):
        yield from sorted(group.own_commands().items())
    else:
        yield from sorted(getattr(group, "commands", {}).items())


def _described(usage: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    both = {name for option in options for name in option.opts} >= _EVERYWHERE
    shown = [p for p in options if not (both and set(p.opts) & _EVERYWHERE) and not p.hidden]
    words = " ".join(_argument(parameter) for parameter in arguments)
    yield f"\n`{' '.join(filter(None, (usage, words)))}`\n\n"
    yield f"{_text(command.help)}\n"

    if shown or arguments:
        yield "\n| | |\n|---|---|\n"

    for parameter in arguments:
        yield f"| `{_argument(parameter)}` | {_cell(parameter.help)} |\n"

    for option in shown:
        if "--help" not in option.opts:
            names = ", ".join((*option.opts, *option.secondary_opts))
            yield f"| `{names}` | {_cell(option.help)} |\n"


def _argument(parameter: Any) -> str:
    name = str(parameter.metavar or parameter.name.upper())
    return name if parameter.required else f"[{name}]"


def _text(said: str | None) -> str:
    return (said or "").strip().replace("\n    ", "\n")


def _cell(said: str | None) -> str:
    return " ".join((said or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
