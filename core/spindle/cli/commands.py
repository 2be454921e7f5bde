"""Commands that modules bring (entry-point group `spindle.commands`), loaded when called.

A command is a Typer application or a plain function. Its `ctx.obj` is a function of a home and a
configuration file (both may be left out) that gives a `GatewayAccess` of `spindle.cli.access`:
how to reach a gateway.
"""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from spindle.cli.failures import fail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GROUP: Final = "spindle.commands"


class SpindleGroup(TyperGroup):
    """The core's commands, and after them those of the installed modules."""

    groups: ClassVar[Mapping[str, str]] = {}
    """Groups of the core by their names, as `module:application`; made when they are asked for."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return every command's name."""
        own = dict.fromkeys((*self.groups, *super().list_commands(ctx)))
        return [*own, *sorted(name for name in _installed() if name not in own)]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """Return a command; a module's is a stand-in until it is called."""
        if cmd_name not in self.commands and cmd_name in self.groups:
            self._make(cmd_name)

        own = super().get_command(ctx, cmd_name)
        entry = None if own is not None else _installed().get(cmd_name)
        return own if entry is None else _Deferred(entry)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Find the command that is called; what is close to a wrong name is sought among all."""
        if args and args[0] not in self.list_commands(ctx):
            self.own_commands()

        return super().resolve_command(ctx, args)

    def own_commands(self) -> Mapping[str, Any]:
        """Return every command of the core by its name."""
        for name in self.groups:
            if name not in self.commands:
                self._make(name)

        return self.commands

    def _make(self, name: str) -> None:
        module, _, application = self.groups[name].partition(":")
        group = get_group(getattr(import_module(module), application))
        group.name = name
        self.commands[name] = group


class _Deferred(TyperCommand):
    """Stands in for a module's command: listing it imports nothing of the module."""

    def __init__(self, entry: EntryPoint) -> None:
        super().__init__(name=entry.name, callback=None, help=_summary_of(entry), params=[])
        self._entry = entry

    def make_context(
        self, info_name: str | None, args: Sequence[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Hand over to the real command; from here on it is the one that runs."""
        try:
            found = self._entry.load()
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - the edge to a module's code
            fail(f"The command {self.name} cannot be loaded: {type(exc).__name__}: {exc}")

        if not isinstance(found, typer.Typer):
            wrapped = typer.Typer(add_completion=False)
            wrapped.command(self.name)(found)
            found = wrapped

        return get_command(found).make_context(info_name, list(args), parent=parent, **extra)


def _summary_of(entry: EntryPoint) -> str:
    """Return the first line of the command's file, read without running it."""
    package = entry.module.partition(".")[0]

    try:
        spec = find_spec(entry.module)
        source = "" if spec is None or spec.origin is None else Path(spec.origin).read_text("utf-8")
        said = ast.get_docstring(ast.parse(source)) or ""
    except (ImportError, OSError, SyntaxError, ValueError):
        said = ""

    return said.partition("\n")[0] or f"Command of {package}."


def _installed() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
