"""`spindle serve` as a person meets it: what it prints, and that it works when pasted."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from tests.support.spindle_process import (
    SpindleProcess,
    clean_environment,
    running_spindle,
    spindle_command,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

START_SECONDS = 40.0


async def paste(command: str) -> str:
    """Run a line the way a person does who pastes it into a shell; return what it printed."""
    shell = shutil.which("bash")
    assert shell is not None

    def run() -> str:
        finished = subprocess.run(
            [shell, "-c", command], capture_output=True, text=True, check=False, timeout=30
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return await anyio.to_thread.run_sync(run)


def commands_in(lines: Iterable[str]) -> list[str]:
    return [line.strip() for line in lines if line.startswith("  curl ")]


def assert_answers(chat: str, call: str) -> None:
    """Both printed commands got a real answer."""
    answer = json.loads(chat)
    assert answer["choices"][0]["message"]["content"]
    result = json.loads(call.rpartition("data: ")[2] if "data: " in call else call)
    assert "Hello!" in json.dumps(result["result"]["content"])


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[SpindleProcess]:
    """Run a first start with nothing configured, in a home whose name needs quoting."""
    async with running_spindle(home=tmp_path_factory.mktemp("a home") / "it's") as running:
        await until(lambda: len(commands_in(running.stdout)) == 2)
        yield running


async def test_both_printed_commands_work_without_a_terminal(server: SpindleProcess) -> None:
    """They read the token from its file; the token itself is nowhere in the output."""
    assert server.admin_token not in "\n".join(server.stdout)
    assert server.admin_token not in server.stderr
    chat, call = commands_in(server.stdout)
    assert "$(cat " in chat
    assert_answers(await paste(chat), await paste(call))


async def test_the_first_start_mints_a_token_only_its_owner_can_read(
    server: SpindleProcess,
) -> None:
    """Mode 0600, in a home of mode 0700."""
    path = server.home / "admin-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(r"spn_[A-Za-z0-9_-]{43}\n", path.read_text())


async def test_a_later_start_keeps_the_token(tmp_path: Path) -> None:
    """Under a new database too; a revoked one is replaced."""
    async with running_spindle(home=tmp_path) as first:
        token = first.admin_token

    (tmp_path / "spindle.db").unlink()

    async with running_spindle(home=tmp_path) as second:
        assert second.admin_token == token
        await second.metrics()

    listed = await spindle_command("token", "list", "--json", "--home", str(tmp_path))
    (row,) = json.loads(listed.stdout)
    revoked = await spindle_command("token", "revoke", row["id"], "--home", str(tmp_path))
    assert revoked.returncode == 0

    async with running_spindle(home=tmp_path) as third:
        assert third.admin_token != token
        await third.metrics()


@asynccontextmanager
async def on_a_terminal(home: Path) -> AsyncGenerator[list[str]]:
    """Run a gateway whose standard output is a terminal; give its lines once they are whole."""
    ours, theirs = pty.openpty()
    log = (home.parent / "stderr.txt").open("wb")
    process = subprocess.Popen(  # noqa: ASYNC220 - starting it does not block
        [sys.executable, "-m", "spindle", "serve", "--port", "0", "--home", str(home)],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=log,
        env=clean_environment(),
    )
    os.close(theirs)
    text = b""

    try:
        with anyio.fail_after(START_SECONDS):
            while text.count(b"curl ") < 2 or not text.endswith(b"\n"):
                text += await anyio.to_thread.run_sync(os.read, ours, 4096)

        yield text.decode().splitlines()
        process.send_signal(signal.SIGTERM)
        await until(lambda: process.poll() is not None, START_SECONDS)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        log.close()


async def test_both_printed_commands_work_on_a_terminal(tmp_path: Path) -> None:
    """There the first start shows the token, in commands that work as they stand; never again."""
    home = tmp_path / "home"

    async with on_a_terminal(home) as lines:
        token = (home / "admin-token").read_text().strip()
        assert lines[0].startswith("Spindle is listening on http://")
        chat, call = commands_in(lines)
        assert token in chat
        assert token in call
        assert_answers(await paste(chat), await paste(call))

    async with on_a_terminal(home) as lines:
        assert token not in "\n".join(lines)
        chat, call = commands_in(lines)
        assert_answers(await paste(chat), await paste(call))


async def test_options_beat_the_environment_and_the_file(tmp_path: Path) -> None:
    """The command line is what somebody said last."""
    async with running_spindle(
        {"server": {"port": 1, "host": "192.0.2.1"}},
        home=tmp_path,
        env={"SPINDLE__SERVER__PORT": "2"},
        arguments=("--host", "127.0.0.1", "--port", "0"),
    ) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert not server.url.endswith((":1", ":2"))


async def test_every_unknown_key_is_named_and_nothing_starts(tmp_path: Path) -> None:
    """All faults at once, one a line, exit code 1."""
    path = tmp_path / "spindle.yaml"
    path.write_text("sever: {}\nserver: {prot: 1}\nllm: {nonsense: true}\n")
    ended = await spindle_command("serve", "--config", str(path), "--home", str(tmp_path / "home"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Traceback" not in ended.stderr

    for key in ("sever", "server.prot", "llm.nonsense"):
        assert key in ended.stderr


async def test_a_model_without_its_provider_is_a_usage_error(tmp_path: Path) -> None:
    """Exit code 2, as for every wrong use."""
    ended = await spindle_command("serve", "--model", "m", "--home", str(tmp_path))
    assert ended.returncode == 2
    assert "--provider" in ended.stderr


async def test_a_provider_can_be_chosen_on_the_command_line(tmp_path: Path) -> None:
    """With a model, as in the requirement's own command line."""
    async with (
        running_spindle(
            home=tmp_path, arguments=("--provider", "mock", "--model", "plain")
        ) as server,
        server.client() as client,
    ):
        listed = (await client.get("/v1/models")).json()

    assert "mock~plain" in [model["id"] for model in listed["data"]]


async def test_a_home_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    """It names the path."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    ended = await spindle_command("serve", "--home", str(blocked / "home"))
    assert ended.returncode == 1
    assert str(blocked) in ended.stderr
    assert ended.stderr.count("\n") == 1


async def test_a_database_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    """It names the file and what is wrong with it, and leaves it alone."""
    database = tmp_path / "spindle.db"
    database.write_bytes(b"no database " * 1000)
    ended = await spindle_command("serve", "--port", "0", "--home", str(tmp_path))
    assert ended.returncode == 1
    assert str(database) in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert database.read_bytes() == b"no database " * 1000
