from __future__ import annotations

import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters
from typer.testing import CliRunner

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.cli import mcp
from spindle_spi.admission import Status
from spindle_spi.secret import Secret
from tests.mcp.support.clients import ERAS, error_of, names, text_of
from tests.mcp.support.records import gateway, server
from tests.mcp.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

eras = pytest.mark.parametrize("era", ERAS)


def command(url: str, *options: str, token: str = "a") -> StdioServerParameters:
    return StdioServerParameters(
        command=sys.executable,
        args=["-m", "spindle", "mcp", "--url", url, *options],
        env={"SPINDLE_TOKEN": token},
    )


@pytest.mark.requirement("card-mcp-server")
@pytest.mark.anyio
@eras
async def test_a_client_that_starts_a_program_lists_calls_and_cancels(era: str) -> None:
    """The program carries both eras to the gateway it is told."""
    host, heard = FakeHost(), list[float]()
    host.records.add(gateway("demo", transport="builtin"), server("one", tools=("demo__echo",)))
    mode = "auto" if era == "2026-07-28" else era

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with serving(host, {"a": caller("a")}, wait_for=4) as served:
        async with Client(command(served.url), mode=mode) as client:
            assert "demo__echo" in await names(client)
            assert await text_of(client, "demo__echo", {"text": "hi"}) == "hi"
            assert (await error_of(client, "none", {})).code == -32602
            arguments = {"steps": 2, "delay": 0.01}
            await client.call_tool("demo__slow", arguments, progress_callback=hear)

            async with anyio.create_task_group() as group:

                async def wait_long() -> None:
                    await client.call_tool("demo__slow", {"steps": 9, "delay": 20})

                group.start_soon(wait_long)

                with anyio.fail_after(10):
                    while not host.open_permits:
                        await anyio.sleep(0.005)

                group.cancel_scope.cancel()

            with anyio.fail_after(10):
                while host.open_permits:
                    await anyio.sleep(0.005)

        async with Client(command(served.url, "--server", "one"), mode=mode) as client:
            assert await names(client) == ["demo__echo"]

    assert heard == [1.0, 2.0]
    assert Status.CANCELLED in [settled.outcome.status for settled in host.journal.settled]


@pytest.mark.anyio
async def test_the_program_ends_when_it_is_told_to() -> None:
    """Although its client keeps standard input open."""
    host = FakeHost()

    async with (
        serving(host, {"a": caller("a")}) as served,
        await anyio.open_process(
            [sys.executable, "-m", "spindle", "mcp", "--url", served.url],
            stderr=None,
            env={"SPINDLE_TOKEN": "a"},
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None

        with anyio.fail_after(20):
            await process.stdin.send(b"{\n")
            assert b"-32700" in await process.stdout.receive()
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0


class Gateway:
    """Stands in for the way the command line reaches a gateway."""

    def __init__(self, url: str = "", failure: Exception | None = None) -> None:
        self.url = url
        self.token = Secret("from-home")
        self.environ: dict[str, str] = {}
        self._failure = failure

    def find(self) -> str | None:
        return self.url or None

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Gateway]:
        if self._failure is not None:
            raise self._failure

        yield self


class Faulty(Exception):
    faults = ("llm.x: unknown key", "mcp.y: unknown key")


def at(gateway: Gateway) -> Callable[..., Gateway]:
    def reach(home: Path | None = None) -> Gateway:
        del home
        return gateway

    return reach


def run(reach: Callable[..., Gateway], *options: str, stdin: bytes = b"") -> Any:
    return CliRunner().invoke(mcp, list(options), obj=reach, input=stdin, env={"SPINDLE_HOME": ""})


def test_the_running_gateway_is_used_with_its_own_token() -> None:
    """What the command line found is what is asked; nothing but messages is printed."""
    found = run(
        at(Gateway("http://127.0.0.1:1")),
        stdin=b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n',
    )
    assert found.exit_code == 0
    assert found.stdout.count("\n") == 1
    assert "The gateway did not answer" in found.stdout
    assert "spindle mcp: ping:" in found.stderr


def test_a_home_is_handed_on(tmp_path: Path) -> None:
    """To whoever finds the gateway."""
    homes: list[Any] = []

    def reach(home: Path | None = None) -> Gateway:
        homes.append(home)
        return Gateway("http://127.0.0.1:1")

    assert run(reach, "--home", str(tmp_path)).exit_code == 0
    assert homes == [tmp_path]


@pytest.mark.parametrize(
    ("failure", "lines"),
    [
        (Faulty(), ["llm.x: unknown key", "mcp.y: unknown key"]),
        (ExceptionGroup("x", [ValueError("no token")]), ["no token"]),
        (RuntimeError(), ["RuntimeError"]),
    ],
)
def test_a_gateway_that_cannot_start_is_said_on_standard_error(
    failure: Exception, lines: list[str]
) -> None:
    """Each fault on a line of its own, and nothing on standard output."""
    found = run(at(Gateway(failure=failure)))
    assert found.exit_code == 1
    assert found.stdout == ""
    assert found.stderr.splitlines() == [f"spindle mcp: {line}" for line in lines]


@pytest.mark.anyio
@pytest.mark.parametrize("is_elsewhere", [True, False])
async def test_a_token_comes_from_a_file(tmp_path: Path, is_elsewhere: bool) -> None:
    """Clients that hand programs no variables name the file; it goes before every other token."""
    host, path = FakeHost(), tmp_path / "token"
    host.records.add(gateway("demo", transport="builtin"))
    path.write_text("a\n")

    async with serving(host, {"a": caller("a")}, wait_for=4) as served:
        where = ["--url", served.url] if is_elsewhere else []
        parameters = StdioServerParameters(
            command=sys.executable,
            args=["-m", "spindle", "mcp", *where, "--token-file", str(path)],
            env={"SPINDLE_TOKEN": "wrong", "SPINDLE_URL": served.url},
        )

        async with Client(parameters) as client:
            assert "demo__echo" in await names(client)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "The token cannot be read from {path}: No such file or directory."),
        (b"", "There is no token in {path}: it has to hold a token, and nothing else."),
        (b"a b", "There is no token in {path}: it has to hold a token, and nothing else."),
        (b"a\nb\n", "There is no token in {path}: it has to hold a token, and nothing else."),
        (b"\xff", "There is no token in {path}: it is no text."),
    ],
)
def test_a_file_without_a_token_is_said(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    """And nobody is asked anything; what the file holds is not shown."""
    path = tmp_path / "token"

    if content is not None:
        path.write_bytes(content)

    found = run(at(Gateway("http://127.0.0.1:1")), "--token-file", str(path), stdin=b"{}\n")
    assert found.exit_code == 1
    assert found.stdout == ""
    assert found.stderr == f"spindle mcp: {sentence.format(path=path)}\n"


def test_an_option_that_stands_before_the_command_is_refused() -> None:
    """It would do nothing there, and look as if it did."""
    found = run(at(Gateway()), "--url", "http://x.example", "config", "--client", "cursor")
    assert found.exit_code == 2
    assert found.stdout == ""
    assert found.stderr == "spindle mcp: --url: say it after config.\n"
