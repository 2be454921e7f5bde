"""A gateway in its own process: sockets, signals, bad clients and bad modules."""

from __future__ import annotations

import json
import signal
import socket
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.server import PortTaken, Stop, bind, run_host
from tests.core.host_rig import rig
from tests.support.sample_modules import (
    Blocking,
    NeverReady,
    Quiet,
    Sample,
    SlowDrainer,
    Stayer,
    Unyielding,
    install,
)
from tests.support.spindle_process import (
    START_SECONDS,
    SpindleProcess,
    running_spindle,
    spindle_command,
    start_spindle,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from anyio.abc import SocketStream

    from spindle_spi.module import Module

MB = 1024 * 1024
ACTIVE = "spindle_http_requests_active"


def only(*names: str, **server: float) -> dict[str, object]:
    """Return a configuration in which only these modules run."""
    return {"modules": {"enabled": list(names)}, "server": server}


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[SpindleProcess]:
    """Run one gateway with the sample module for most of this file."""
    env = install(tmp_path_factory.mktemp("modules"), sample=Sample)
    config = {**only("sample"), "sample": {"word": "hello"}}

    async with running_spindle(config, home=tmp_path_factory.mktemp("home"), env=env) as running:
        yield running


async def connect(server: SpindleProcess) -> SocketStream:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return await anyio.connect_tcp(host, int(port))


def head(server: SpindleProcess, line: str, *headers: str, token: str | None = None) -> bytes:
    """Return a request's head as bytes."""
    host = server.url.removeprefix("http://")
    shown = f"Authorization: Bearer {token or server.admin_token}"
    return "\r\n".join([f"{line} HTTP/1.1", f"Host: {host}", shown, *headers, "", ""]).encode()


async def read_until(stream: SocketStream, end: bytes) -> bytes:
    """Read until some bytes have come; the end of the connection is an error."""
    read = b""

    with anyio.fail_after(20):
        while end not in read:
            read += await stream.receive()

    return read


async def read_rest(stream: SocketStream) -> bytes:
    """Read to the end of the connection."""
    read = b""

    with anyio.fail_after(20):
        try:
            while True:
                read += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return read


async def test_a_gateway_says_where_it_is_when_it_is_ready(server: SpindleProcess) -> None:
    """The first line is the address, and by then everything answers."""
    assert server.stdout[0].startswith("Spindle is listening on http://127.0.0.1:")

    async with server.client("") as client:
        ready = await client.get("/ready")
        word = await client.get("/sample/word")

    assert ready.json() == {
        "status": "ready",
        "modules": {"sample": "ready"},
        "store": "ready",
    }
    assert word.text == "hello"
    assert "server" not in word.headers


async def test_a_body_of_20_mb_is_refused_and_the_connection_lives_on(
    server: SpindleProcess,
) -> None:
    """Announced or in pieces, in the route's shape; the next request is answered."""

    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(20):
            yield b"x" * MB

    async with server.client() as client:
        announced = await client.post("/sample/length", content=b"x" * (20 * MB))
        pieced = await client.post("/sample/length", content=pieces())
        fine = await client.post("/sample/length", content=b"x" * (9 * MB))

    for refused in (announced, pieced):
        assert refused.status_code == 413
        assert refused.json()["error"]["code"] == "request_too_large"

    assert (fine.status_code, fine.text) == (200, str(9 * MB))


async def test_a_defect_of_a_module_shows_nothing_to_the_client(server: SpindleProcess) -> None:
    """The client gets the request's id; what happened is in the log under it."""
    async with server.client("") as client:
        failed = await client.get("/sample/fail")

    assert failed.status_code == 500
    assert "secret" not in failed.text
    request_id = failed.headers["x-request-id"]
    await until(lambda: request_id in server.stderr)
    (line,) = [line for line in server.stderr.splitlines() if request_id in line]
    assert "the secret of the handler" in json.loads(line)["exception"]
    # This process is expected to show a traceback: take it out of what the fixture looks at.
    path = server.home / "stderr.txt"
    path.write_text(path.read_text().replace("Traceback", "(traceback)"))


async def test_bytes_that_are_no_http_get_a_plain_400(server: SpindleProcess) -> None:
    """And nobody else is disturbed."""
    async with await connect(server) as stream:
        await stream.send(b"\x16\x03\x01 hello\r\n\r\n")
        assert (await read_rest(stream)).startswith(b"HTTP/1.1 400 ")

    async with server.client("") as client:
        assert (await client.get("/health")).status_code == 200


async def test_a_revoked_token_is_cut_in_the_middle_of_its_stream(
    server: SpindleProcess,
) -> None:
    """Within a second or so, without an end of the answer, and it works nowhere any more."""
    home = str(server.home)
    created = await spindle_command("token", "create", "--json", "--home", home)
    token = json.loads(created.stdout)
    metrics = await server.metrics()

    # A running gateway learns of a new token at its next look into the store.
    async with server.client(token["token"]) as client:
        with anyio.fail_after(5):
            while (await client.get("/metrics")).status_code == 401:
                await anyio.sleep(0.05)

    async with await connect(server) as stream:
        await stream.send(head(server, "GET /sample/stream", token=token["token"]))
        assert (await read_until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await read_until(stream, b"tick")
        revoked = await spindle_command("token", "revoke", token["id"], "--home", home)
        assert revoked.returncode == 0, revoked.stderr
        rest = await read_rest(stream)

    assert not rest.endswith(b"0\r\n\r\n")

    async with server.client(token["token"]) as client:
        assert (await client.get("/sample/stream")).status_code == 401

    assert (await server.metrics())[ACTIVE] == metrics[ACTIVE]


async def test_a_client_that_leaves_ends_its_request(server: SpindleProcess) -> None:
    """Before its body is whole, and in the middle of an answer."""
    before = (await server.metrics())[ACTIVE]

    async with await connect(server) as stream:
        await stream.send(head(server, "POST /sample/length", "Content-Length: 100") + b"half")
        while (await server.metrics())[ACTIVE] == before:
            pass

    async with await connect(server) as stream:
        await stream.send(head(server, "GET /sample/stream"))
        await read_until(stream, b"tick")

    with anyio.fail_after(10):
        while (await server.metrics())[ACTIVE] > before:
            pass


async def test_a_module_that_breaks_comes_back(server: SpindleProcess) -> None:
    """Its routes answer 503 meanwhile, and the server stays up."""
    async with server.client() as client:
        assert (await client.post("/sample/break")).text == "breaking"

        with anyio.fail_after(20):
            while (await client.get("/ready")).status_code == 200:
                pass

            down = await client.get("/sample/word")
            assert down.status_code == 503
            assert down.json()["error"]["type"] == "server_error"
            assert int(down.headers["retry-after"]) >= 1

            while (await client.get("/ready")).status_code == 503:
                pass

        assert (await client.get("/sample/word")).text == "hello"

    path = server.home / "stderr.txt"
    assert "broken on request" in path.read_text()
    path.write_text(path.read_text().replace("Traceback", "(traceback)"))


async def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    """It says what to do, and nothing of Python."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = await spindle_command("serve", "--port", port, "--home", str(tmp_path),
                                      env=quiet(tmp_path))  # fmt: skip

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        f"Port {port} on 127.0.0.1 cannot be used: address already in use. "
        "Stop what uses it, or choose another with --port (0 picks a free one).\n"
    )


async def test_an_address_that_is_not_ours_is_one_clear_line(tmp_path: Path) -> None:
    """A name nobody knows, and an address of somebody else."""
    for host, words in (("no.such.invalid", "cannot be resolved"), ("192.0.2.1", "cannot be used")):
        ended = await spindle_command("serve", "--host", host, "--port", "0", "--home",
                                      str(tmp_path), env=quiet(tmp_path / host))  # fmt: skip
        assert ended.returncode == 1
        assert words in ended.stderr
        assert ended.stderr.count("\n") == 1


def quiet(folder: Path) -> dict[str, str]:
    """Return an environment in which only a harmless module runs."""
    env = install(folder / "modules", quiet=Quiet)
    return {**env, "SPINDLE__MODULES__ENABLED": '["quiet"]'}


@pytest.mark.parametrize("kind", [NeverReady, Unyielding, Blocking])
async def test_a_module_that_hangs_in_its_start_fails_it(
    tmp_path: Path, kind: type[Module]
) -> None:
    """Waiting, resisting, or blocking the whole process: named with its phase, in bounded time."""
    env = install(tmp_path / "modules", quiet=kind)
    server = start_spindle(only("quiet", start_seconds=0.5), home=tmp_path / "home", env=env)
    assert await server.ended() == 1
    assert (
        "module quiet (samples 1.2): did not become ready within 0.5 seconds (phase initialize)"
        in server.stderr
    )
    assert "Traceback" not in server.stderr
    assert server.stdout == []


async def test_a_module_that_never_finishes_draining_delays_the_end_no_longer_than_allowed(
    tmp_path: Path,
) -> None:
    """The end is orderly for everybody else."""
    env = install(tmp_path / "modules", quiet=SlowDrainer)

    async with running_spindle(
        only("quiet", drain_seconds=0.5), home=tmp_path / "home", env=env
    ) as server:
        assert await server.stop() == 0
        assert "drain not finished in time" in server.stderr


async def test_a_module_that_does_not_shut_down_is_named_and_left_behind(tmp_path: Path) -> None:
    """The process ends all the same; its exit code tells."""
    env = install(tmp_path / "modules", quiet=Stayer)

    async with running_spindle(
        only("quiet", drain_seconds=0.5), home=tmp_path / "home", env=env
    ) as server:
        assert await server.stop() == 1
        assert "module quiet (samples 1.2): did not shut down within" in server.stderr
        assert "(phase shutdown)" in server.stderr


async def test_a_request_in_flight_is_finished_before_the_end(tmp_path: Path) -> None:
    """SIGTERM in the middle of its body: it is answered, and nobody new is let in."""
    env = install(tmp_path / "modules", sample=Sample)

    async with running_spindle(only("sample"), home=tmp_path / "home", env=env) as server:
        async with await connect(server) as stream:
            await stream.send(head(server, "POST /sample/length", "Content-Length: 10") + b"half ")
            await in_flight(server)
            server.process.send_signal(signal.SIGTERM)
            await refused(server)
            await stream.send(b"whole")
            answer = await read_rest(stream)

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\n10")
        assert b"connection: close" in answer
        assert await server.ended() == 0


async def test_an_answer_without_end_is_cut_at_the_deadline_of_the_drain(tmp_path: Path) -> None:
    """The end comes in bounded time, and it is no defect."""
    env = install(tmp_path / "modules", sample=Sample)

    async with running_spindle(
        only("sample", drain_seconds=1), home=tmp_path / "home", env=env
    ) as server:
        async with await connect(server) as stream:
            await stream.send(head(server, "GET /sample/stream"))
            await read_until(stream, b"tick")
            server.process.send_signal(signal.SIGTERM)
            assert not (await read_rest(stream)).endswith(b"0\r\n\r\n")

        assert await server.ended() == 0


async def test_a_second_signal_makes_it_quick(tmp_path: Path) -> None:
    """What is in flight is cut; the exit code says that it was."""
    env = install(tmp_path / "modules", sample=Sample)

    async with (
        running_spindle(
            only("sample", drain_seconds=600), home=tmp_path / "home", env=env
        ) as server,
        await connect(server) as stream,
    ):
        await stream.send(head(server, "GET /sample/stream"))
        await read_until(stream, b"tick")
        server.process.send_signal(signal.SIGINT)
        await refused(server)
        assert await server.stop(signal.SIGINT) == 1
        await read_rest(stream)


async def test_a_signal_during_the_start_gives_it_up(tmp_path: Path) -> None:
    """Nobody has to wait for a module that will not come."""
    env = install(tmp_path / "modules", quiet=NeverReady)
    server = start_spindle(only("quiet", start_seconds=500), home=tmp_path / "home", env=env)

    try:
        await until(lambda: (server.home / "admin-token").exists(), START_SECONDS)
        assert await server.stop() == 0
        assert server.stdout == []
        assert "Traceback" not in server.stderr
    finally:
        server.process.kill()
        server.process.wait()


async def in_flight(server: SpindleProcess) -> None:
    """Wait until a request beside the one that asks is being answered."""
    with anyio.fail_after(10):
        while (await server.metrics())[ACTIVE] < 2:
            pass


async def refused(server: SpindleProcess) -> None:
    """Wait until new connections are refused."""
    with anyio.fail_after(10):
        while True:
            try:
                async with await connect(server):
                    pass
            except OSError:
                return


async def test_an_address_that_is_taken_at_the_last_moment_is_one_clear_line(
    tmp_path: Path,
) -> None:
    """Two may bind an address; only one of them may listen."""
    first = bind("127.0.0.1", 0)
    second = bind("127.0.0.1", first.port)
    first.socket.listen()

    async with rig(tmp_path, Quiet) as it:
        with pytest.RaisesGroup(PortTaken, flatten_subgroups=True):
            await run_host(it.host, second, Stop(), unreached)

    first.close()
    second.close()


def test_an_address_is_shown_as_a_client_writes_it() -> None:
    """An IPv6 address stands in brackets."""
    listener = bind("::1", 0)
    assert listener.url == f"http://[::1]:{listener.port}"
    listener.close()


def unreached() -> None:
    raise NotImplementedError
