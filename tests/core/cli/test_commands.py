"""Commands that modules bring, and how they reach a gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest

from spindle.cli.access import GatewayAccess
from spindle.cli.failures import Failure, reported
from spindle.home import RUNNING_FILE, Sources, find_running
from spindle_spi.errors import ConfigError
from tests.core.cli.runner import run
from tests.support.sample_modules import NeverReady, Sample, install
from tests.support.spindle_process import running_spindle

if TYPE_CHECKING:
    from pathlib import Path

    from spindle_spi.types import Json

COMMANDS = '''
import typer

grown = typer.Typer()

@grown.command()
def first(): print("the first")

@grown.command()
def second(ctx: typer.Context, number: int): print("number", number + 1, ctx.obj().home)

def plain(word: str = "nothing"):
    """Say a word."""
    print("the word is", word)
'''


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install two commands that work and one that cannot be loaded."""
    folder = tmp_path / "site"
    info = folder / "brought-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[spindle.commands]\ngrown = brought_commands:grown\nplain = brought_commands:plain\n"
        "gone = brought_commands:gone\n"
    )
    (folder / "brought_commands.py").write_text(COMMANDS)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.delitem(sys.modules, "brought_commands", raising=False)


@pytest.mark.usefixtures("commands")
def test_a_modules_command_is_listed_without_its_module() -> None:
    """Help must not wait for anybody's imports."""
    shown = run("--help")
    assert "grown" in shown.stdout
    assert "Command of brought_commands." in shown.stdout
    assert "brought_commands" not in sys.modules


@pytest.mark.usefixtures("commands")
def test_a_modules_command_runs_as_its_own(tmp_path: Path) -> None:
    """An application with commands of its own, or a function; with arguments, help and context."""
    assert run("plain", "--word", "hello").stdout == "the word is hello\n"
    assert run("grown", "first").stdout == "the first\n"
    home = {"SPINDLE_HOME": str(tmp_path)}
    assert run("grown", "second", "4", env=home).stdout == f"number 5 {tmp_path}\n"
    assert "Say a word." in run("plain", "--help").stdout
    assert run("plain", "--nonsense").code == 2


@pytest.mark.usefixtures("commands")
def test_a_command_that_cannot_be_loaded_is_one_clear_line() -> None:
    """Its module is named by what is wrong with it."""
    ended = run("gone")
    assert ended.code == 1
    assert ended.stderr.startswith("The command gone cannot be loaded: AttributeError: ")
    assert ended.stderr.count("\n") == 1


def access(home: Path, *, config: Path | None = None, **environ: str) -> GatewayAccess:
    overrides: dict[str, Json] = {"modules": {"enabled": ["sample"]}}
    return GatewayAccess(Sources(home=home, config=config, environ=environ, overrides=overrides))


async def test_a_command_is_sent_where_it_is_told(tmp_path: Path) -> None:
    """SPINDLE_URL and SPINDLE_TOKEN come before anything that runs here."""
    told = access(tmp_path, SPINDLE_URL="http://there.example/", SPINDLE_TOKEN="spn_x")

    async with told.open() as connection:
        assert connection.url == "http://there.example"
        assert connection.token.reveal() == "spn_x"


async def test_a_command_without_a_token_says_where_one_could_be(tmp_path: Path) -> None:
    """The variable, and the file that is not there."""
    with pytest.raises(Failure, match=r"set SPINDLE_TOKEN .*admin-token"):
        async with access(tmp_path, SPINDLE_URL="http://there.example").open():
            raise NotImplementedError


async def test_a_command_finds_the_gateway_that_holds_the_home(tmp_path: Path) -> None:
    """It uses that one, and its administrator's token; when it has gone, it is not found."""
    env = install(tmp_path / "modules", sample=Sample)
    config = {"modules": {"enabled": ["sample"]}}
    home = tmp_path / "home"

    async with running_spindle(config, home=home, env=env) as server:
        assert find_running(home) == server.url

        async with access(home).open() as connection:
            assert connection.url == server.url
            assert connection.token.reveal() == server.admin_token

    assert find_running(home) is None


@pytest.mark.parametrize("text", ["", "[]", '{"url": "u"}', '{"url": "u", "pid": "x"}'])
def test_what_a_crash_left_behind_is_no_gateway(tmp_path: Path, text: str) -> None:
    """A file nobody holds, or one that says nothing."""
    assert find_running(tmp_path) is None
    (tmp_path / RUNNING_FILE).write_text(text)
    assert find_running(tmp_path) is None
    (tmp_path / RUNNING_FILE).write_text(json.dumps({"url": "u", "pid": os.getpid()}))
    assert find_running(tmp_path) == "u"


async def test_a_command_brings_its_own_gateway_where_none_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs as long as the connection is held."""
    install(tmp_path / "modules", sample=Sample)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "modules"), *sys.path])

    with anyio.fail_after(30):
        async with access(tmp_path / "home").open() as connection:
            headers = {"authorization": f"Bearer {connection.token.reveal()}"}

            async with httpx2.AsyncClient(trust_env=False, headers=headers) as client:
                answer = await client.post(f"{connection.url}/sample/length", content=b"12345")

            assert answer.text == "5"
            assert find_running(tmp_path / "home") == connection.url

    assert find_running(tmp_path / "home") is None


async def test_a_gateway_of_its_own_that_cannot_start_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `serve` would report it."""
    install(tmp_path / "modules", quiet=NeverReady)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "modules"), *sys.path])
    overrides: dict[str, Json] = {
        "modules": {"enabled": ["quiet"]},
        "server": {"start_seconds": 0.1},
    }
    own = GatewayAccess(
        Sources(home=tmp_path / "home", config=None, environ={}, overrides=overrides)
    )

    with pytest.raises(BaseException) as ended, reported():  # noqa: PT011 - typer's own way out
        async with own.open():
            raise NotImplementedError

    assert type(ended.value).__name__ == "Exit"
    assert "did not become ready within" in capsys.readouterr().err


def test_everything_an_operator_can_mend_is_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each once, also out of groups; a defect goes through as it is."""
    with pytest.raises(BaseException), reported():  # noqa: PT011, B017 - typer's own way out
        raise ExceptionGroup(
            "g",
            [
                ConfigError(["a.b: wrong", "c: wrong"]),
                ExceptionGroup("h", [Failure("no token"), OSError(2, "No such file", "/x")]),
                ConfigError(["c: wrong"]),
                OSError("broken"),
            ],
        )

    assert capsys.readouterr().err.splitlines() == [
        "a.b: wrong",
        "c: wrong",
        "no token",
        "/x: No such file.",
        "broken",
    ]

    with pytest.raises(ZeroDivisionError), reported():
        raise ZeroDivisionError


def test_a_group_is_made_when_it_is_called() -> None:
    """A start of the gateway imports the commands of no group."""
    code = (
        "import sys; from typer.testing import CliRunner; from spindle.cli.app import app;"
        " said = CliRunner().invoke(app, ['serve', '--help']).output; assert 'gateway' in said;"
        " print([name for name in sys.modules if name.endswith('people_commands')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert "create" in run("team", "--help").stdout


def test_a_wrong_name_is_told_with_what_is_close_to_it() -> None:
    """Whether the right one was made before or not."""
    refused = run("tokn")
    assert refused.code == 2
    assert "Did you mean 'token'?" in refused.stderr


def test_who_talks_to_a_running_gateway_imports_none() -> None:
    """A client of stdio starts a bridge of its own each time, and waits for what it imports."""
    look = (
        "import sys, spindle.cli.access; print({'spindle.gateway', 'sqlalchemy'} & {*sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
