"""Gateways that are programs (`transport: stdio`): their keys, and which of them may be made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field

from spindle.config.faults import Fault, Path, describe_type
from spindle.config.sections import Count, Section, Text, Url, refuse
from spindle_spi.records import GatewaySpec, ProcessLimits
from spindle_spi.secret import SecretRef
from spindle_spi.types import Json, JsonObject

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_WORDS = frozenset(
    {
        *("APIKEY", "AUTHORIZATION", "CREDENTIAL", "CREDENTIALS", "PASSPHRASE", "PASSWD"),
        *("PASSWORD", "PAT", "SECRET", "TOKEN"),
    }
)
_SECRET_KEYS = frozenset({"ACCESS", "API", "PRIVATE"})
"""What a KEY is a secret of."""


PROGRAM_KEYS = frozenset({"command", "args", "env", "cwd", "limits"})
"""What only a gateway that is a program says."""


STORED = "mcp.env."
"""Begins the names of stored secrets that gateways made outside of the configuration may use."""


def _is_whole(value: object) -> bool:
    return isinstance(value, dict | BaseModel)


def _spelt_out(key: str, expected: str) -> BeforeValidator:
    def spell(value: object) -> object:
        if isinstance(value, str):
            return {key: value}

        if not _is_whole(value):
            raise refuse(describe_type(value), expected)

        return value

    return BeforeValidator(spell)


class Variable(Section):
    """One variable of a program's environment; a text alone is its value."""

    value: str | None = None
    env_var: Text | None = None
    """A variable of the gateway itself that holds a secret."""
    file: Text | None = None
    """A file that holds a secret."""
    secret: Text | None = None
    """Name of a secret that is stored."""

    @property
    def is_secret(self) -> bool:
        """Whether it only says where its value is."""
        return self.value is None


Variables = dict[str, Annotated[Variable, _spelt_out("value", "a string, or a mapping")]]


class ProgramLimits(Section):
    """What a program may use at most; see `ProcessLimits`."""

    memory_mb: Count | None = None
    cpu_seconds: Count | None = None
    open_files: Count | None = None
    processes: Count | None = None


class GatewayKeys(Section):
    """Which upstream a gateway is and how to speak to it."""

    transport: Literal["streamable_http", "sse", "stdio", "builtin"] = "streamable_http"
    url: Url | None = None
    era: Literal["auto", "modern", "legacy"] = "auto"
    command: Text | None = None
    args: tuple[str, ...] = ()
    env: Variables = {}
    cwd: Text | None = None
    limits: ProgramLimits = ProgramLimits()


class AllowedProgram(Section):
    """One of `mcp.stdio.allow`: a command, by the words it has to begin with; a text is that."""

    command: Text
    env: tuple[Text, ...] = Field(default=(), strict=False)
    """Variables it may be given."""
    cwd: tuple[Text, ...] = Field(default=(), strict=False)
    """Working folders it may be given."""


Spelled = Annotated[AllowedProgram, _spelt_out("command", "a string, or a mapping")]


class StdioSettings(Section):
    """`mcp.stdio`: programs that may be made gateways outside of the configuration."""

    allow: tuple[
        Annotated[AllowedProgram, _spelt_out("command", "a string, or a mapping")], ...
    ] = ()


def transport_faults(path: Path, gateway: GatewayKeys) -> Iterator[Fault]:
    """Return what is wrong between a gateway's transport and its other keys."""
    transport = gateway.transport

    if transport == "stdio":
        yield from _program_faults(path, gateway)
        return

    for key in sorted(PROGRAM_KEYS):
        if getattr(gateway, key) != GatewayKeys.model_fields[key].default:
            yield Fault(
                path=(*path, key),
                problem=f"a {transport} gateway is no program",
                expected="transport: stdio beside it",
            )

    if transport == "builtin":
        if gateway.url is not None:
            yield Fault(path=(*path, "url"), problem="a built-in gateway has no address")
    elif gateway.url is None:
        yield Fault(
            path=(*path, "url"), problem="is missing", expected=f"the URL of a {transport} server"
        )

    if transport == "sse" and gateway.era == "modern":
        problem = "sse is older than the current protocol"
        yield Fault(path=(*path, "era"), problem=problem, expected="auto or legacy")


def _program_faults(path: Path, gateway: GatewayKeys) -> Iterator[Fault]:
    if gateway.url is not None:
        yield Fault(path=(*path, "url"), problem="a program has no address")

    if gateway.command is None:
        yield Fault(path=(*path, "command"), problem="is missing", expected="a program to start")
    elif not _is_argument(gateway.command):
        yield Fault(path=(*path, "command"), problem="has a zero character in it")

    for index, argument in enumerate(gateway.args):
        if not _is_argument(argument):
            yield Fault(path=(*path, "args", index), problem="has a zero character in it")

    if gateway.cwd is not None and not (gateway.cwd.startswith("/") and _is_argument(gateway.cwd)):
        yield Fault(path=(*path, "cwd"), problem="is no absolute path", expected="/…")

    for name, variable in gateway.env.items():
        yield from _variable_faults((*path, "env", name), name, variable)


def _variable_faults(path: Path, name: str, variable: Variable) -> Iterator[Fault]:
    if not _NAME.fullmatch(name):
        yield Fault(path=path, problem="is not the name of an environment variable")

    said = [variable.value, variable.env_var, variable.file, variable.secret]

    if sum(each is not None for each in said) != 1:
        expected = "a text, or exactly one of env_var, file and secret"
        yield Fault(path=path, problem="has not exactly one value", expected=expected)
    elif variable.value is not None and not _is_argument(variable.value):
        yield Fault(path=path, problem="has a zero character in it")
    elif variable.value and _names_secret(name):
        # Whoever may read the record, or this file, would read it.
        expected = "where it is: {env_var: …}, {file: …} or {secret: …}"
        yield Fault(path=path, problem="by its name this is a secret", expected=expected)

    if variable.env_var is not None and not _NAME.fullmatch(variable.env_var):
        # It may well be the secret itself: do not show it.
        problem = "is not the name of an environment variable"
        yield Fault(path=(*path, "env_var"), problem=problem)


def stored_faults(path: Path, gateway: GatewayKeys) -> Iterator[Fault]:
    """Return what a gateway says that only the configuration may say."""
    for name, variable in gateway.env.items():
        for key in ("env_var", "file"):
            if getattr(variable, key) is not None:
                yield Fault(
                    path=(*path, "env", name, key),
                    problem="only the configuration may say this",
                    expected="secret: the name of a stored one",
                )

        if variable.secret is not None and not variable.secret.startswith(STORED):
            # Other secrets were given for something else, and a program can tell what it is given.
            yield Fault(
                path=(*path, "env", name, "secret"),
                problem="is no secret for programs",
                expected=f"a name that begins with {STORED}",
            )


def program_spec(spec: GatewaySpec, gateway: GatewayKeys, secret_name: str) -> GatewaySpec:
    """Return a gateway's spec with its program; `secret_name` begins names of secrets."""
    if gateway.command is None:
        return spec

    return replace(
        spec,
        command=(gateway.command, *gateway.args),
        environment={
            name: variable.value
            for name, variable in gateway.env.items()
            if variable.value is not None
        },
        environment_secrets={
            name: SecretRef(name=variable.secret or f"{secret_name}{name}")
            for name, variable in gateway.env.items()
            if variable.is_secret
        },
        directory=gateway.cwd,
        limits=ProcessLimits(**gateway.limits.model_dump()),
    )


def program_keys(spec: GatewaySpec) -> JsonObject:
    """Return the keys that say a spec's program; empty when it has none."""
    if not spec.command:
        return {}

    limits = spec.limits
    bounds: Mapping[str, int | None] = {
        "memory_mb": limits.memory_mb,
        "cpu_seconds": limits.cpu_seconds,
        "open_files": limits.open_files,
        "processes": limits.processes,
    }
    env: JsonObject = {
        **spec.environment,
        **{name: {"secret": ref.name} for name, ref in spec.environment_secrets.items()},
    }
    keys: dict[str, Json] = {
        "command": spec.command[0],
        "args": list(spec.command[1:]),
        "env": env,
        "limits": {name: bound for name, bound in bounds.items() if bound is not None},
    }
    return keys if spec.directory is None else {**keys, "cwd": spec.directory}


def _is_argument(text: str) -> bool:
    return "\0" not in text


def _names_secret(name: str) -> bool:
    words = name.upper().split("_")
    pairs = zip(words, words[1:], strict=False)
    return not _SECRET_WORDS.isdisjoint(words) or any(
        second == "KEY" and first in _SECRET_KEYS for first, second in pairs
    )
