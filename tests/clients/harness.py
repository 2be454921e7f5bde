"""What every MCP client in Python is asked to do, written once: the standard library alone.

A script says how its client connects and gives it the shape of `Session`; `register` makes the
named checks of each way to connect out of the functions below. The twin is harness.mjs.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, TypeGuard

from tests.clients.session import (
    BRIDGE,
    KIT_TOOLS,
    LEGACY,
    MODERN,
    NAME,
    ROOT,
    SAMPLE,
    Hear,
    News,
    Outcome,
    Refused,
    Session,
    Way,
    content_of,
    documented,
    gateway,
    in_session,
    on_its_own,
    register,
    run_documented,
)
from tests.support.named_checks import check, raises_async, run, same

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

__all__ = [
    "BRIDGE",
    "KIT_TOOLS",
    "LEGACY",
    "MODERN",
    "NAME",
    "ROOT",
    "SAMPLE",
    "Hear",
    "News",
    "Outcome",
    "Refused",
    "Session",
    "Way",
    "check",
    "content_of",
    "documented",
    "gateway",
    "register",
    "run",
    "run_documented",
    "same",
]

README = "spindle://library/file:///README.md"
PICTURE = "spindle://library/test://picture"
GREETINGS = "spindle://demo/demo://greetings/{language}"
NOTES = "spindle://library/note://{shelf}/{name}"


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


@in_session("call.left")
async def _left(way: Way, session: Session) -> None:
    name = f"{os.getpid()} {way.name} left"
    call = asyncio.create_task(session.call("kit__hang", {"name": name}))
    same((await session.call("kit__await", {"name": name, "what": "began"})).text, "began")
    call.cancel()
    same((await session.call("kit__await", {"name": name, "what": "left"})).text, "left")


@in_session("resources.list")
async def _resources(way: Way, session: Session) -> None:
    assert {README, PICTURE, "ui://library/clock/main.html"} <= set(await session.resources())


@in_session("resources.templates")
async def _templates(way: Way, session: Session) -> None:
    same(await session.templates(), [GREETINGS, NOTES])


@in_session("resources.read")
async def _read(way: Way, session: Session) -> None:
    note = "spindle://library/note://attic/hat"
    same(await session.read(README), [(README, "text of file:///README.md")])
    same(await session.read(PICTURE), [(PICTURE, "aGk=")])
    same(await session.read(note), [(note, "text of note://attic/hat")])


@in_session("resources.unknown")
async def _unknown_resource(way: Way, session: Session) -> None:
    refused = await raises_async(Refused, session.read("spindle://library/file:///nothing"))
    same(refused.code, -32602 if way.version == MODERN else -32002)


@in_session("prompts.list")
async def _prompts(way: Way, session: Session) -> None:
    assert {"library__summary", "library__broken"} <= set(await session.prompts())


@in_session("prompts.get")
async def _prompt(way: Way, session: Session) -> None:
    said = await session.prompt("library__summary", {"topic": "owls"})
    same(said, ["Sum up owls.", "inside"])


@in_session("complete")
async def _complete(way: Way, session: Session) -> None:
    same(await session.complete("library__summary", "topic", "ow"), ["ow0", "ow1", "ow2"])


@in_session("asked.form")
async def _form(way: Way, session: Session) -> None:
    await _asks(session, "elicit", NAME)


@in_session("asked.sample")
async def _sample(way: Way, session: Session) -> None:
    await _asks(session, "sample", SAMPLE)


@in_session("asked.roots")
async def _roots(way: Way, session: Session) -> None:
    await _asks(session, "roots", ROOT)


async def _asks(session: Session, tool: str, answer: str) -> None:
    heard = await session.call(f"asking__{tool}", {})
    assert heard.text.startswith("heard"), heard
    assert answer in heard.text, heard


@in_session("news.updated")
async def _updated(way: Way, session: Session) -> None:
    async with session.following(README):
        await session.call("kit__write", {"uri": "file:///README.md"})
        await session.news.until(README)


@in_session("news.lists")
async def _lists(way: Way, session: Session) -> None:
    name = f"{way.name}{os.getpid()}"

    async with session.following(README):
        await session.call("kit__acquire", {"name": name})
        await session.news.until("tools", "prompts", "resources")

    assert f"library__{name}" in await session.tools()
    assert f"library__{name}" in await session.prompts()
    assert f"spindle://library/file:///{name}" in await session.resources()


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
