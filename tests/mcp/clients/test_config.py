"""`spindle mcp config`, against a served module and against what may answer in its place."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from anyio.abc import SocketAttribute
from typer.testing import CliRunner

from spindle_conformance.fakes import FakeHost, caller
from spindle_mcp.cli import mcp
from spindle_mcp.clients.snippets import clients
from tests.mcp.support.records import gateway, server
from tests.mcp.support.serving import serving
from tests.support.client_pages import parsed
from tests.support.http_server import Answered, serve_http

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from anyio.abc import SocketStream

    from tests.mcp.support.serving import Served
    from tests.support.http_server import Asked

FORMS = [(name, form.id) for name, client in clients().items() for form in client.forms]
TOKEN = "spn_0123456789"
BAD_TOKENS = ("spn_abc", TOKEN.upper() + "-x", "$(id)")


class Access:
    """Stands in for the way the command line reaches a gateway."""

    def __init__(self, found: str | None = None, token: str | None = TOKEN) -> None:
        self.environ = {} if token is None else {"SPINDLE_TOKEN": token}
        self._found = found

    def find(self) -> str | None:
        return self._found


def config(*options: str, found: str | None = None, token: str | None = TOKEN) -> Any:
    """Run the command; `found` is the gateway that runs here."""

    def reach(home: Path | None = None) -> Access:
        del home
        return Access(found, token)

    env = {"SPINDLE_HOME": "", "SPINDLE_TOKEN": token or ""}
    return CliRunner().invoke(mcp, ["config", *options], obj=reach, env=env)


async def asking(*options: str, **rest: Any) -> Any:
    """Run it beside a server of this process."""
    return await anyio.to_thread.run_sync(partial(config, *options, **rest))


@asynccontextmanager
async def served(token: str = TOKEN) -> AsyncGenerator[Served]:
    host = FakeHost()
    host.records.add(gateway("demo", transport="builtin"), server("desk", gateways=("demo",)))

    async with serving(host, {token: caller("a")}) as running:
        yield running


@pytest.mark.parametrize(("name", "form"), FORMS)
@pytest.mark.parametrize("part", [None, "desk"])
def test_each_form_is_whole_and_alone_on_standard_output(
    name: str, form: str, part: str | None
) -> None:
    """It can be redirected into a file; it names the endpoint and the variable, and no token."""
    options = ["--client", name, "--form", form, "--url", "https://gateway.example", "--no-check"]
    found = config(*options, *([] if part is None else ["--server", part]))
    assert found.exit_code == 0, found.stderr
    wanted = clients()[name].form(form)
    assert wanted is not None
    assert parsed(wanted.language, found.stdout)
    assert found.stdout.endswith("\n")
    assert "{{" not in found.stdout + found.stderr
    assert wanted.what in found.stderr.splitlines()
    assert TOKEN not in found.stdout + found.stderr

    if "spindle" in found.stdout and form == "bridge":
        assert '"https://gateway.example"' in found.stdout
        assert ("--server" in found.stdout) is (part is not None)
    else:
        path = "/mcp" if part is None else "/servers/desk/mcp"
        assert f"https://gateway.example{path}" in found.stdout


def test_the_first_form_is_printed_when_none_is_named() -> None:
    """And the others are named on standard error."""
    said = ["--url", "https://gateway.example", "--no-check"]
    found = config("--client", "claude-code", *said)
    assert found.stdout == config("--client", "claude-code", "--form", "file", *said).stdout
    assert "There is also --form command" in found.stderr


def test_names_and_variables_are_those_that_are_said() -> None:
    """The client's name for the gateway is the slug unless it is said."""
    options = ["--client", "claude-code", "--url", "https://gateway.example/ai/", "--no-check"]
    (entry,) = json.loads(config(*options, "--server", "desk").stdout)["mcpServers"].items()
    assert entry[0] == "desk"
    assert entry[1]["url"] == "https://gateway.example/ai/servers/desk/mcp"
    found = config(*options, "--name", "tools", "--token-env", "TOOLS_TOKEN")
    (entry,) = json.loads(found.stdout)["mcpServers"].items()
    assert entry[0] == "tools"
    assert entry[1]["headers"] == {"Authorization": "Bearer ${TOOLS_TOKEN}"}


@pytest.mark.parametrize("path", ['a "quoted" file', "C:\\tokens\\mine"])
def test_a_file_may_have_any_name(path: str) -> None:
    """JSON stays JSON."""
    options = ["--client", "claude-desktop", "--url", "https://gateway.example", "--no-check"]
    found = json.loads(config(*options, "--token-file", path).stdout)
    assert found["mcpServers"]["spindle"]["args"][-2:] == ["--token-file", path]


@pytest.mark.parametrize(
    ("url", "flag"),
    [
        ("http://10.0.0.1:8080", ["--allow-http"]),
        ("http://localhost:8080", []),
        ("https://gateway.example", []),
    ],
)
def test_plain_http_to_other_machines_is_allowed_where_it_has_to_be(
    url: str, flag: list[str]
) -> None:
    """Without the flag mcp-remote would refuse the address."""
    found = config("--client", "mcp-remote", "--url", url, "--no-check")
    arguments = json.loads(found.stdout)["mcpServers"]["spindle"]["args"]
    assert [word for word in arguments if word == "--allow-http"] == flag


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "Say whom to tell, --client NAME; there is one of: chatgpt, claude-code, "),
        (["--client", "clod"], "There is no client 'clod'; there is one of: chatgpt, "),
        (["--client", "vscode", "--form", "x"], "vscode has no form 'x'; it has: file."),
        (["--client", "vscode", "--server", "a/../b"], "--server is a slug"),
        (["--client", "vscode", "--name", 'a"b'], "--name is made of letters"),
        (["--client", "vscode", "--url", "gateway.example"], "--url is the gateway's address"),
        (["--client", "vscode", "--url", "https://x.example/mcp"], "--url is the gateway's own"),
        (["--client", "vscode", "--url", "https://a:b@x.example"], "--url is the gateway's addr"),
        (["--client", "vscode", "--url", "https://x.example/'$(id)'"], "--url is the gateway's"),
    ],
)
def test_what_is_said_wrongly_is_refused(options: list[str], sentence: str) -> None:
    """With what would be right, and nothing on standard output."""
    found = config(*options)
    assert found.exit_code == 1
    assert found.stdout == ""
    assert found.stderr.startswith(f"spindle mcp config: {sentence}")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("value", BAD_TOKENS)
def test_a_token_in_place_of_its_variable_is_not_shown(value: str) -> None:
    """Somebody mistook the option."""
    found = config("--client", "cursor", "--url", "https://x.example", "--token-env", value)
    assert found.exit_code == 1
    assert value not in found.stdout + found.stderr


def test_the_clients_are_listed_and_in_the_help() -> None:
    """One a line, with its forms."""
    listed = config("--list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == list(clients())
    assert any("Claude Desktop (--form bridge, mcp-remote)" in line for line in listed)
    shown = "".join(config("--help").stdout.split())
    assert "typescript-sdk" in shown.replace("│", "")


@pytest.mark.anyio
async def test_an_endpoint_that_is_there_is_named() -> None:
    """The gateway that runs here, everything and a part of it."""
    async with served() as running:
        for part, path in (([], "/mcp"), (["--server", "desk"], "/servers/desk/mcp")):
            found = await asking("--client", "cursor", *part, found=running.url)
            assert found.exit_code == 0
            assert f"The endpoint is there: {running.url}{path}\n" in found.stderr
            (entry,) = json.loads(found.stdout)["mcpServers"].values()
            assert entry["url"] == f"{running.url}{path}"
            assert "OAuth" not in found.stderr


@pytest.mark.anyio
async def test_a_part_that_is_not_there_is_refused() -> None:
    """Nothing is printed that could not work."""
    async with served() as running:
        found = await asking("--client", "cursor", "--url", running.url, "--server", "none")

    assert found.exit_code == 1
    assert found.stdout == ""
    assert f"nothing at {running.url}/servers/none/mcp for this token" in found.stderr
    assert "spindle server list" in found.stderr


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("client", "token", "sentence"),
    [
        ("cursor", "spn_wrong", "The gateway refuses the token in SPINDLE_TOKEN"),
        ("cursor", None, "to have the endpoint checked, set SPINDLE_TOKEN."),
        ("chatgpt", TOKEN, "/mcp wants a token, and ChatGPT sends none."),
    ],
)
async def test_a_token_that_does_not_do_is_said(
    client: str, token: str | None, sentence: str
) -> None:
    """The snippet is printed all the same: the client may have another."""
    async with served() as running:
        found = await asking("--client", client, "--url", running.url, token=token)

    assert found.exit_code == 0
    assert f"{running.url}/mcp" in found.stdout
    assert sentence in found.stderr


def test_where_no_gateway_runs_it_is_said_what_to_do() -> None:
    """A guessed address is asked nothing; one that was said is."""
    found = config("--client", "cursor")
    assert found.exit_code == 0
    assert "http://127.0.0.1:8080/mcp" in found.stdout
    assert "No gateway runs here: start one with `spindle serve`" in found.stderr
    found = config("--client", "cursor", "--url", "http://127.0.0.1:1")
    assert found.exit_code == 0
    assert "No gateway answers at http://127.0.0.1:1" in found.stderr


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answered", "sentence"),
    [
        (Answered(body=b"<html>"), "does not speak MCP"),
        (Answered(status=404, body=b'{"error": "x"}'), "does not speak MCP"),
        (Answered(status=500, body=b'{"jsonrpc": "2.0"}'), "does not speak MCP"),
        (Answered(status=403, body=b'{"jsonrpc": "2.0"}'), "its role needs servers.use"),
    ],
)
async def test_what_answers_as_no_endpoint_is_said(answered: Answered, sentence: str) -> None:
    """The snippet is printed all the same."""

    async def answer(_: Asked) -> Answered:
        return answered

    async with serve_http(answer) as url:
        found = await asking("--client", "cursor", "--url", url)

    assert found.exit_code == 0
    assert sentence in found.stderr


@pytest.mark.anyio
async def test_of_a_stranger_no_more_is_read_than_is_worth_reading() -> None:
    """Whoever talks without an end is left."""
    left: list[bool] = []

    async def talk(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError):
                await stream.receive()
                await stream.send(b"HTTP/1.1 200 X\r\n\r\n")

                for _ in range(1000):
                    await stream.send(b" " * 100_000)

                left.append(False)
                return

            left.append(True)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port: int = listener.extra(SocketAttribute.local_port)

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, talk)
        found = await asking("--client", "cursor", "--url", f"http://127.0.0.1:{port}")
        assert "does not speak MCP" in found.stderr

        with anyio.fail_after(20):
            while len(left) < 2:
                await anyio.sleep(0.01)

        group.cancel_scope.cancel()

    assert left == [True, True]


@pytest.mark.anyio
async def test_an_endpoint_with_oauth_is_said_to_those_it_matters_to() -> None:
    """Cursor takes no header there; who asks for the discovery shows no token."""
    asked: list[Asked] = []

    async def answer(request: Asked) -> Answered:
        asked.append(request)
        is_mcp = request.target == "/servers/desk/mcp"
        return Answered(body=b'{"jsonrpc": "2.0"}' if is_mcp else b'{"resource": "x"}')

    async with serve_http(answer) as url:
        found = await asking("--client", "cursor", "--url", url, "--server", "desk")

    assert "then Cursor ignores the header" in found.stderr
    first, second = asked
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    assert second.target == "/.well-known/oauth-protected-resource/servers/desk/mcp"
    assert "authorization" not in second.headers
