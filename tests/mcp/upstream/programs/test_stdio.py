from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from spindle_mcp.upstream.connections.base import Endpoint
from spindle_mcp.upstream.connections.connect import open_own, open_upstream
from spindle_mcp.upstream.faults import ProgramEnded
from spindle_mcp.upstream.programs.program import Program
from spindle_spi.errors import GatewayError, UpstreamError, UpstreamTimeout
from spindle_spi.records import GatewaySpec
from spindle_spi.secret import Secret
from tests.mcp.support.program import TOOLS
from tests.mcp.support.programs import SCRIPT, command, is_alive, until
from tests.mcp.support.requests import tool_call
from tests.mcp.support.told import Told

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from spindle_mcp.upstream.connections.base import Upstream
    from spindle_spi.observability import Level
    from spindle_spi.types import JsonObject

pytestmark = pytest.mark.anyio

both = pytest.mark.parametrize("era", ["modern", "legacy"])


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, JsonObject]] = []

    def __call__(self, level: Level, event: str, fields: JsonObject) -> None:
        del level
        self.lines.append((event, fields))

    def said(self) -> list[object]:
        return [fields["line"] for event, fields in self.lines if event == "mcp.gateway.stderr"]


@contextlib.asynccontextmanager
async def started(
    era: str, *, asked: str = "auto", log: Log | None = None, **fields: Any
) -> AsyncGenerator[Upstream]:
    program = Program(command=command(era), **fields.pop("program", {}))
    endpoint = Endpoint(
        gateway="up",
        url="",
        version="1",
        program=program,
        tell=log or Log(),
        connect_seconds=10,
        **fields,
    )

    async with open_upstream(GatewaySpec(transport="stdio", era=asked), endpoint) as upstream:
        yield upstream


def text(result: Any) -> str:
    return str(result["content"][0]["text"])


@pytest.mark.parametrize(
    ("speaks", "found"), [("modern", "modern"), ("legacy", "legacy"), ("abrupt", "legacy")]
)
async def test_the_first_question_finds_out_the_era(speaks: str, found: str) -> None:
    """A program that ends at a question it does not know is started once more."""
    async with started(speaks) as upstream:
        assert upstream.era == found
        tools = await upstream.list_all("tools/list", "tools")
        assert [tool["name"] for tool in tools] == list(TOOLS)
        assert text(await upstream.request(tool_call("echo", {"text": "hi"}, silence=5))) == "hi"


@both
async def test_a_given_era_is_not_asked_for(era: str) -> None:
    """What speaks the other one is a failure."""
    async with started(era, asked=era) as upstream:
        assert upstream.era == era

    with pytest.raises((GatewayError, ExceptionGroup)):
        async with started(era, asked="legacy" if era == "modern" else "modern"):
            pass


async def test_a_client_can_have_a_program_of_its_own() -> None:
    """Greeted in the older way, with what the client can do; it ends with the client's session."""
    program = Program(command=command("legacy"))
    endpoint = Endpoint(gateway="up", url="", version="1", connect_seconds=10, program=program)
    spec = GatewaySpec(transport="stdio")

    async with (
        open_own(spec, endpoint, {"sampling": {}}) as first,
        open_own(spec, endpoint, {"sampling": {}}) as second,
    ):
        where = [
            json.loads(text(await own.request(tool_call("where", silence=5))))
            for own in (first, second)
        ]

    assert where[0][1] != where[1][1]
    await until(lambda: not any(is_alive(pid) for _, *pids in where for pid in pids))


@both
async def test_many_requests_share_a_pipe(era: str) -> None:
    """Each gets its own answer."""
    async with started(era) as upstream, anyio.create_task_group() as group:

        async def ask(number: int) -> None:
            request = tool_call("echo", {"text": f"{number}" * 5000}, silence=10)
            assert text(await upstream.request(request)) == f"{number}" * 5000

        for number in range(50):
            group.start_soon(ask, number)


@both
async def test_a_program_learns_a_few_variables_and_what_it_is_given(
    era: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else of the gateway's own environment."""
    monkeypatch.setenv("SPINDLE_SECRET_KEY", "the master key")
    given: dict[str, Any] = {
        "environment": {"COLOUR": "blue"},
        "secrets": {"THE_TOKEN": Secret("s3cret")},
    }

    async with started(era, program=given) as upstream:
        seen = json.loads(text(await upstream.request(tool_call("env", silence=5))))

    assert (seen["COLOUR"], seen["THE_TOKEN"], seen["PATH"]) == (
        "blue",
        "s3cret",
        os.environ["PATH"],
    )
    inherited = {"HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"}
    # The interpreter sets this one itself.
    assert seen.keys() <= inherited | {"COLOUR", "THE_TOKEN", "LC_CTYPE"}


@both
async def test_a_program_has_its_bounds_and_its_folder(era: str, tmp_path: Path) -> None:
    """Set before the program is executed."""
    bounds = {"RLIMIT_NOFILE": 77, "RLIMIT_CORE": 0, "RLIMIT_AS": 3_000_000_000}
    given = {"limits": bounds, "directory": str(tmp_path)}

    async with started(era, program=given) as upstream:
        seen = json.loads(text(await upstream.request(tool_call("limits", silence=5))))
        where = json.loads(text(await upstream.request(tool_call("where", silence=5))))

    assert seen == list(bounds.values())
    assert where[0] == str(tmp_path)


@both
async def test_a_program_ends_with_all_it_started(era: str) -> None:
    """When its gateway is closed."""
    async with started(era) as upstream:
        where = json.loads(text(await upstream.request(tool_call("where", silence=5))))
        assert is_alive(where[1])
        assert is_alive(where[2])

    await until(lambda: not is_alive(where[1]) and not is_alive(where[2]))


async def test_a_program_that_does_not_want_to_end_is_killed() -> None:
    """It ignores the end of its input and being told."""
    stubborn = (
        "import os, signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "sys.stderr.write(f'{os.getpid()}\\n'); sys.stderr.flush()\n"
        "while True: time.sleep(1)"
    )
    log = Log()
    program = Program(command=(sys.executable, "-I", "-S", "-c", stubborn))
    endpoint = Endpoint(
        gateway="up", url="", version="1", connect_seconds=0.5, program=program, tell=log
    )

    with pytest.raises(ExceptionGroup), anyio.fail_after(30):
        async with open_upstream(GatewaySpec(transport="stdio", era="legacy"), endpoint):
            pass

    (pid,) = log.said()
    assert not is_alive(int(str(pid)))


async def test_a_program_ends_when_the_gateway_is_killed(tmp_path: Path) -> None:
    """Nobody closes anything then."""
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import anyio, sys\n"
        "from spindle_mcp.upstream.programs.program import Program, start\n"
        "async def main():\n"
        "    process = await start(Program(command=('sleep', '1000')))\n"
        "    print(process.pid, flush=True)\n"
        "    await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )

    async with await anyio.open_process([sys.executable, str(parent)]) as running:
        assert running.stdout is not None
        pid = int(await running.stdout.receive())
        await until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
        running.kill()
        await until(lambda: not is_alive(pid))


@both
async def test_the_end_of_a_program_is_told_to_whoever_waits(era: str) -> None:
    """By the name of its gateway, and at once; and the block that relied on it ends."""
    told: list[Exception] = []

    async def rely() -> None:
        async with started(era) as upstream:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as group:
                    group.start_soon(ask, upstream, "hang")
                    group.start_soon(ask, upstream, "die")

            await anyio.sleep(30)

    async def ask(upstream: Upstream, name: str) -> None:
        try:
            await upstream.request(tool_call(name, silence=30))
        except UpstreamError as exc:
            told.append(exc)

    with pytest.raises(ExceptionGroup) as raised:
        await rely()

    assert [type(error) for error in told] == [ProgramEnded, ProgramEnded]
    assert all("'up'" in str(error) for error in told)
    assert raised.group_contains(ProgramEnded, match="has ended with status 3")


async def test_a_program_that_is_not_there_is_a_clear_failure() -> None:
    """It is not tried twice, and its error output says why."""
    log = Log()
    endpoint = Endpoint(
        gateway="up", url="", version="1", program=Program(command=("/no/such", "x")), tell=log
    )

    with pytest.raises(ExceptionGroup) as raised:
        async with open_upstream(GatewaySpec(transport="stdio"), endpoint):
            pass

    assert raised.group_contains(ProgramEnded, match="'up' cannot be started")
    assert len(log.said()) == 1
    assert "'/no/such' cannot be started" in str(log.said()[0])


@both
async def test_progress_extends_the_patience(era: str) -> None:
    """Each step takes most of it, all of them more than it."""
    async with started(era) as upstream:
        request, peer = tool_call("steps", {"delay": 0.6}, silence=1.0), Told()
        asked = replace(request, peer=peer, wants_progress=True)
        assert text(await upstream.request(asked)) == "steps"

        with pytest.raises(UpstreamTimeout):
            await upstream.request(tool_call("steps", {"delay": 0.6}, silence=1.0))

    assert peer.steps == [1.0, 2.0]


@both
async def test_giving_up_is_told_to_the_program(era: str) -> None:
    """In time, and by cancelling; what is asked next is answered."""
    log = Log()

    async with started(era, log=log) as upstream:
        with pytest.raises(UpstreamTimeout):
            await upstream.request(tool_call("hang", silence=0.2))

        await until(lambda: sum(str(line).startswith("cancelled") for line in log.said()) == 1)

        async with anyio.create_task_group() as group:
            group.start_soon(upstream.request, tool_call("hang", silence=30))
            await until(lambda: log.said().count("hanging") == 2)
            group.cancel_scope.cancel()

        await until(lambda: sum(str(line).startswith("cancelled") for line in log.said()) == 2)
        assert text(await upstream.request(tool_call("echo", {"text": "on"}, silence=5))) == "on"


@both
async def test_garbage_is_skipped_and_told_of_once(era: str) -> None:
    """Without it ending anything, unless there is nothing else."""
    log = Log()

    async with started(era, log=log) as upstream:
        for _ in range(2):
            request = tool_call("garbage", {"lines": 900}, silence=10)
            assert text(await upstream.request(request)) == "garbage"

        assert [event for event, _ in log.lines].count("mcp.gateway.garbage") == 1


@both
async def test_nothing_but_garbage_fails_its_gateway(era: str) -> None:
    """A program that speaks something else is not listened to for ever."""

    async def rely() -> None:
        async with started(era) as upstream:
            with pytest.raises(UpstreamError) as raised, anyio.CancelScope(shield=True):
                await upstream.request(tool_call("garbage", {"lines": 2000}, silence=10))

            assert raised.value.code == "mcp.upstream.invalid_answer"
            await anyio.sleep(30)

    with pytest.raises(ExceptionGroup) as ended:
        await rely()

    assert ended.group_contains(UpstreamError, match="no MCP message")


@both
async def test_a_message_beyond_the_bound_fails_its_gateway(era: str) -> None:
    """Whoever waits hears why."""

    async def rely() -> None:
        async with started(era, max_result_bytes=100_000) as upstream:
            with pytest.raises(UpstreamError) as raised, anyio.CancelScope(shield=True):
                await upstream.request(tool_call("flood", {"size": 300_000}, silence=10))

            assert raised.value.code == "mcp.upstream.invalid_answer"
            assert "'up'" in raised.value.message
            await anyio.sleep(30)

    with pytest.raises(ExceptionGroup) as ended:
        await rely()

    assert ended.group_contains(UpstreamError, match="more than is taken")


@both
async def test_what_a_program_does_not_read_is_not_kept(era: str, tmp_path: Path) -> None:
    """Who gives up has written nothing that waits, however many there are."""
    awake, seen = tmp_path / "awake", tmp_path / "seen"
    deaf = (
        f"import json, os, sys, time\nsys.path.insert(0, {str(Path(SCRIPT).parent)!r})\n"
        "import program\n"
        "for line in sys.stdin.buffer:\n"
        "    message = json.loads(line)\n"
        "    if message['method'] == 'tools/call':\n"
        f"        while not os.path.exists({str(awake)!r}): time.sleep(0.01)\n"
        f"        open({str(seen)!r}, 'w').write(str(len(sys.stdin.buffer.read())))\n"
        f"    elif 'id' in message: program.answer({era!r}, message)\n"
    )
    program = Program(command=(sys.executable, "-I", "-S", "-c", deaf))
    endpoint = Endpoint(gateway="up", url="", version="1", connect_seconds=10, program=program)
    gave_up: list[int] = []

    async with open_upstream(GatewaySpec(transport="stdio"), endpoint) as upstream:

        async def ask(number: int) -> None:
            with pytest.raises(UpstreamTimeout):
                await upstream.request(tool_call("echo", {"text": "x" * 2**20}, silence=0.3))

            gave_up.append(number)

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(ask, number)

        awake.touch()

    assert len(gave_up) == 6
    await until(seen.exists)
    assert int(seen.read_text()) < 2 * 2**20


async def test_the_servers_of_the_sdk_are_used() -> None:
    """In the era that is asked for; the current one when nobody says."""
    serve = (
        "import anyio\nfrom mcp.server import Server\nfrom mcp.server.stdio import stdio_server\n"
        "from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool\n"
        "async def tools(context, params):\n"
        "    return ListToolsResult(tools=[Tool(name='echo', input_schema={'type': 'object'})])\n"
        "async def call(context, params):\n"
        "    return CallToolResult(content=[TextContent(text=params.arguments['text'])])\n"
        "server = Server('sdk', on_list_tools=tools, on_call_tool=call)\n"
        "async def main():\n"
        "    async with stdio_server() as (incoming, outgoing):\n"
        "        options = server.create_initialization_options()\n"
        "        await server.run(incoming, outgoing, options)\n"
        "anyio.run(main)\n"
    )
    program = Program(command=(sys.executable, "-c", serve))
    endpoint = Endpoint(gateway="up", url="", version="1", connect_seconds=50, program=program)

    for asked, found in (("auto", "modern"), ("legacy", "legacy")):
        spec = GatewaySpec(transport="stdio", era=asked)

        async with open_upstream(spec, endpoint) as upstream:
            assert upstream.era == found
            assert len(await upstream.list_all("tools/list", "tools")) == 1
            request = tool_call("echo", {"text": "hi"}, silence=10)
            assert text(await upstream.request(request)) == "hi"
