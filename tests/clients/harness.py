"""What every MCP client in Python is asked to do, written once: the standard library alone.

A script says how its client connects and gives it the shape of `Session`; `register` makes the
named checks of each way to connect out of the functions below. The twin is harness.mjs.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeGuard

from tests.support.named_checks import check, raises_async, run, same

__all__ = [
    "BRIDGE",
    "KIT_TOOLS",
    "LEGACY",
    "MODERN",
    "Hear",
    "Outcome",
    "Refused",
    "Session",
    "Way",
    "check",
    "documented",
    "gateway",
    "register",
    "run",
    "run_documented",
    "same",
]

KIT_TOOLS = ["kit__fail", "kit__go", "kit__refuse", "kit__say", "kit__slow", "kit__weigh"]
"""What the upstream offers behind the gateway."""
BRIDGE: list[str] = json.loads(os.environ.get("SPINDLE_BRIDGE", "[]"))
"""The command `spindle mcp`."""
MODERN, LEGACY = "2026-07-28", "2025-11-25"


@dataclass(frozen=True)
class Gateway:
    """The gateway as the environment tells of it."""

    url: str = os.environ.get("SPINDLE_URL", "")
    token: str = os.environ.get("SPINDLE_TOKEN", "")

    def endpoint(self, server: str | None) -> str:
        """Return the address of everything, or of a virtual server."""
        return f"{self.url}/mcp" if server is None else f"{self.url}/servers/{server}/mcp"


gateway = Gateway()


class Refused(Exception):
    """A request was answered with an error of the protocol."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Outcome:
    """What a tool gave back."""

    text: str
    structured: Any = None
    is_error: bool = False


class Hear(Protocol):
    """Is told of each step of a call."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        """Take notice of a step."""
        ...


class Session(Protocol):
    """A connected client, whatever its methods are called by themselves."""

    @property
    def version(self) -> str:
        """Return the revision of the protocol that is spoken."""
        ...

    @property
    def server(self) -> str:
        """Return the name by which the other side introduced itself."""
        ...

    async def tools(self) -> list[str]:
        """Return the names of the tools."""
        ...

    async def call(self, name: str, arguments: dict[str, Any], hear: Hear | None = None) -> Outcome:
        """Call a tool; raise `Refused` when the answer is an error of the protocol."""
        ...


Connect = Callable[[str, str | None], AbstractAsyncContextManager[Session]]
"""From a token, and the slug of a virtual server."""


@dataclass
class Way:
    """One way a client connects; what is asked in a session is asked in a single one."""

    name: str
    version: str
    connect: Connect
    server: str = "spindle"
    """As the other side introduces itself, which not every way asks for."""
    _findings: dict[str, Exception | None] = field(default_factory=dict[str, "Exception | None"])

    async def hold(self, name: str) -> None:
        """Fail with what was found when this was asked; the first asks everything."""
        if not self._findings:
            async with self.connect(gateway.token, None) as session:
                for each, ask in _in_session.items():
                    self._findings[each] = await _finding(ask(self, session))

        finding = self._findings[name]

        if finding is not None:
            raise finding


InSession = Callable[[Way, Session], Awaitable[None]]
OnItsOwn = Callable[[Way], Awaitable[None]]

_documented: dict[str, str] = json.loads(os.environ.get("SPINDLE_DOCUMENTED", "{}"))
_in_session: dict[str, InSession] = {}
_on_its_own: dict[str, OnItsOwn] = {}


def in_session(name: str) -> Callable[[InSession], InSession]:
    """Add what is asked in the one session of a way."""

    def add(ask: InSession) -> InSession:
        _in_session[name] = ask
        return ask

    return add


def on_its_own(name: str) -> Callable[[OnItsOwn], OnItsOwn]:
    """Add what is asked with a connection of its own."""

    def add(ask: OnItsOwn) -> OnItsOwn:
        _on_its_own[name] = ask
        return ask

    return add


def register(*ways: Way) -> None:
    """Make the named checks of some ways: each is `<way>.<name>`."""
    for way in ways:
        for name in _in_session:
            check(f"{way.name}.{name}")(partial(way.hold, name))

        for name, ask in _on_its_own.items():
            check(f"{way.name}.{name}")(partial(ask, way))


def documented(name: str) -> str:
    """Return a snippet of the pages, `<client>.<form>`, for the gateway at hand."""
    return _documented[name]


def run_documented(name: str) -> None:
    """Run a documented program, which lists the tools, with this Python."""
    command = (sys.executable, "-W", "error", "-c", documented(name))
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert finished.returncode == 0, finished.stderr
    same([name for name in finished.stdout.split() if name.startswith("kit__")], KIT_TOOLS)


@in_session("connect")
async def _connect(way: Way, session: Session) -> None:
    same((session.version, session.server), (way.version, way.server))


@in_session("list")
async def _list(way: Way, session: Session) -> None:
    tools = await session.tools()
    same(tools, sorted(tools))
    same([name for name in tools if name.startswith("kit__")], KIT_TOOLS)
    assert "demo__echo" in tools, tools


@in_session("call.text")
async def _text(way: Way, session: Session) -> None:
    for name in ("kit__say", "demo__echo"):
        said = await session.call(name, {"text": "Grüße 🦊"})
        same((said.text, said.is_error), ("Grüße 🦊", False))


@in_session("call.structured")
async def _structured(way: Way, session: Session) -> None:
    weighed = await session.call("kit__weigh", {"left": 2, "right": 3.5})
    same(weighed.structured, {"total": 5.5, "parts": [2, 3.5]})


@in_session("call.tool_error")
async def _tool_error(way: Way, session: Session) -> None:
    failed = await session.call("kit__fail", {})
    same((failed.is_error, failed.text), (True, "The scales are broken."))


@in_session("call.refused")
async def _refused(way: Way, session: Session) -> None:
    # What an upstream says of itself stays there; `raises_async` looks for its secret.
    refused = await raises_async(Refused, session.call("kit__refuse", {}))
    same(refused.code, -32013)


@in_session("call.progress")
async def _progress(way: Way, session: Session) -> None:
    heard: asyncio.Queue[tuple[float, float | None, str | None]] = asyncio.Queue()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.put_nowait((progress, total, message))

    mine = f"{os.getpid()} {way.name}"
    call = asyncio.create_task(session.call("kit__slow", {"name": mine, "steps": 3}, hear))

    # The tool goes on when it is told to: each step is heard of while the call runs.
    for step in (1, 2, 3):
        news = asyncio.create_task(heard.get())
        await asyncio.wait({news, call}, return_when=asyncio.FIRST_COMPLETED)
        assert news.done(), f"nothing was heard of step {step}"
        same(await news, (step, 3, f"step {step}"))
        await session.call("kit__go", {"name": mine})

    same((await call).text, "done")
    assert heard.empty()


@in_session("call.unknown")
async def _unknown(way: Way, session: Session) -> None:
    refused = await raises_async(Refused, session.call("kit__nothing", {}))
    same(refused.code, -32602)
    assert "kit__nothing" in str(refused), refused


@on_its_own("token.wrong")
async def _wrong_token(way: Way) -> None:
    said = await _failure(way.connect("spn_wrong", None))
    assert "401" in said or "token is not valid" in said or "Unauthorized" in said, said


@on_its_own("server.part")
async def _virtual_server(way: Way) -> None:
    async with way.connect(gateway.token, "desk") as session:
        same(await session.tools(), KIT_TOOLS)
        same((await session.call("kit__say", {"text": "x"})).text, "x")
        refused = await raises_async(Refused, session.call("demo__echo", {"text": "x"}))
        same(refused.code, -32602)


async def _finding(asked: Awaitable[None]) -> Exception | None:
    # The others are asked all the same; whoever owns the name raises it.
    try:
        await asked
    except Exception as exc:  # noqa: BLE001
        return exc

    return None


async def _failure(connecting: AbstractAsyncContextManager[Session]) -> str:
    """Return all that is said when connecting, or the first request, fails."""
    try:
        async with connecting as session:
            found = await session.tools()
    except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001
        return _told(exc)

    raise AssertionError(f"somebody without a token was shown {found}")


def _told(exc: BaseException) -> str:
    """Return an error's words, and those of what it came of."""
    waiting, seen = [exc], list[BaseException]()

    while waiting:
        each = waiting.pop(0)

        # Some clients raise an error again while handling it.
        if each not in seen:
            seen.append(each)
            waiting += each.exceptions if _is_group(each) else ()
            waiting += [found for found in (each.__cause__, each.__context__) if found is not None]

    return "\n".join(map(repr, seen))


def _is_group(exc: BaseException) -> TypeGuard[BaseExceptionGroup[BaseException]]:
    return isinstance(exc, BaseExceptionGroup)
