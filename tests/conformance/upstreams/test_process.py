"""Every simulated vendor runs as a process of its own, or in the process of a test."""

from __future__ import annotations

import subprocess
import sys

import anyio
import httpx2
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from spindle_conformance.upstreams.process import run
from spindle_conformance.upstreams.simulators import SIMULATORS, serving, simulator

pytestmark = pytest.mark.anyio


async def test_a_vendor_is_chosen_on_the_command_line() -> None:
    """With its key and its quirks; it says where it listens."""
    command = (
        *(sys.executable, "-m", "spindle_conformance.upstreams", "lm_studio"),
        *("--port", "0", "--key", "sk-k", "--chunk", "7", "--quirk", "old"),
    )

    async with await anyio.open_process(command, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None

        with anyio.fail_after(20):
            line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 4096)
            url = line.decode().removeprefix("listening on ")

            async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
                bare = await client.get("/v1/models")
                client.headers["authorization"] = "Bearer sk-k"
                statuses = [(await client.get(f"/api/v{n}/models")).status_code for n in (0, 1)]

        process.terminate()

    assert bare.status_code == 401
    assert statuses == [200, 404]


def test_an_unknown_vendor_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The command line names those there are."""
    with pytest.raises(SystemExit):
        run(SIMULATORS, ["nobody"])

    assert "anthropic" in capsys.readouterr().err


async def test_what_a_server_saw_can_be_looked_at() -> None:
    """In the process of a test: each request with its headers, its body, and what it got."""
    server = simulator("ollama", chunk=3)

    async with serving(server) as url, httpx2.AsyncClient(trust_env=False) as client:
        body = {"model": "plain", "messages": [{"role": "user", "content": "hi"}]}
        answered = await client.post(f"{url}/api/chat", json=body, headers={"x-mark": "m"})

    (seen,) = server.seen
    assert (seen.method, seen.path, seen.json) == ("POST", "/api/chat", body)
    assert seen.headers["x-mark"] == "m"
    assert seen.bytes_sent == len(answered.content)
    assert seen.ended
