"""A connected client as its checks see it, and the ways it connects: the standard library alone."""

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
from typing import Any, Protocol

from tests.support.named_checks import check, same

KIT_TOOLS = [
    "kit__acquire",
    "kit__await",
    "kit__fail",
    "kit__go",
    "kit__hang",
    "kit__refuse",
    "kit__say",
    "kit__slow",
    "kit__weigh",
    "kit__write",
]
"""What the first upstream offers behind the gateway."""
BRIDGE: list[str] = json.loads(os.environ.get("SPINDLE_BRIDGE", "[]"))
"""The command `spindle mcp`."""
MODERN, LEGACY = "2026-07-28", "2025-11-25"
NAME, SAMPLE, ROOT = "Ada", "Forty-two", "file:///work"
"""What a client answers an upstream that asks: a form, for a message, for roots."""
_NEWS_SECONDS = 20.0


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


def content_of(part: Any) -> str:
    """Return the text of an SDK's part, or its bytes in base64; or that of the resource inside."""
    part = getattr(part, "resource", part)
    return str(getattr(part, "text", None) or part.blob)


class Hear(Protocol):
    """Is told of each step of a call."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        """Take notice of a step."""
        ...


class News:
    """What a client hears of: `tools`, `prompts`, `resources` for lists, URIs of resources."""

    def __init__(self) -> None:
        self._heard = set[str]()
        self._more = asyncio.Event()

    def hear(self, what: str) -> None:
        """Take notice."""
        self._heard.add(what)
        self._more.set()

    async def until(self, *wanted: str) -> None:
        """Return when all of it was heard of, since the last time this was asked."""
        try:
            async with asyncio.timeout(_NEWS_SECONDS):
                while not self._heard.issuperset(wanted):
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"heard of {self._heard}, not of all of {wanted}") from None

        self._heard.clear()


class Session(Protocol):
    """A connected client, whatever its methods are called by themselves."""

    news: News

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

    async def resources(self) -> list[str]:
        """Return the URIs of the resources."""
        ...

    async def templates(self) -> list[str]:
        """Return the templates of URIs."""
        ...

    async def read(self, uri: str) -> list[tuple[str, str]]:
        """Return URI and content of each part, bytes in base64; raise `Refused` as `call` does."""
        ...

    async def prompts(self) -> list[str]:
        """Return the names of the prompts."""
        ...

    async def prompt(self, name: str, arguments: dict[str, str]) -> list[str]:
        """Return what each message of a prompt says."""
        ...

    async def complete(self, prompt: str, argument: str, begun: str) -> list[str]:
        """Return how an argument of a prompt could go on."""
        ...

    def following(self, uri: str) -> AbstractAsyncContextManager[None]:
        """Hear of a resource, and of each list, in `news`."""
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
    without: tuple[str, ...] = ()
    """Checks of what the client cannot do; expected.py says why."""
    _findings: dict[str, Exception | None] = field(default_factory=dict[str, "Exception | None"])

    async def hold(self, name: str) -> None:
        """Fail with what was found when this was asked; the first asks everything."""
        if not self._findings:
            async with self.connect(gateway.token, None) as session:
                for each, ask in self.wanted():
                    self._findings[each] = await _finding(ask(self, session))

        finding = self._findings[name]

        if finding is not None:
            raise finding

    def wanted(self) -> list[tuple[str, InSession]]:
        """Return what is asked in a session of this way."""
        return [(name, ask) for name, ask in _in_session.items() if name not in self.without]


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
        for name, _ in way.wanted():
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


async def _finding(asked: Awaitable[None]) -> Exception | None:
    # The others are asked all the same; whoever owns the name raises it.
    try:
        await asked
    except Exception as exc:  # noqa: BLE001
        return exc

    return None
