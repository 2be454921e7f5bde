"""A person lets a gateway act for them, in a real process, and takes it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest

from tests.journeys.gateway import create_token, in_force, spindle
from tests.mcp.support.clients import connected, error_of, text_of
from tests.mcp.support.guarded import Guarded
from tests.mcp.support.serving import listening
from tests.mcp.support.upstream import Scripted
from tests.support.authorization_server import KnownClient, authorization_server
from tests.support.spindle_process import running_spindle

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

PUBLIC_URL = "https://gateway.example"
CALLBACK = f"{PUBLIC_URL}/mcp/callback"
SECRET = "client-secret-of-the-tests"
ADA = "ada@example.org"
HI: dict[str, object] = {"text": "hi"}


def stored(home: Path) -> list[bytes]:
    """Return the files of the database as they are."""
    return [path.read_bytes() for path in home.glob("spindle.db*")]


async def test_a_person_agrees_and_their_tools_work_until_they_take_it_back(tmp_path: Path) -> None:
    """No token and no secret is in the log, in an answer, or readable in the database."""
    async with authorization_server() as server:
        server.clients["spindle"] = KnownClient(secret=SECRET, redirects=(CALLBACK,))
        guard = Guarded(Scripted(), server)

        async with listening(guard) as upstream:
            auth = {
                "type": "authorization_code",
                "issuer": server.url,
                "client_id": "spindle",
                "client_secret_env_var": "UP_SECRET",
            }
            settings = {
                "server": {"public_url": PUBLIC_URL},
                "mcp": {"gateways": {"up": {"url": f"{upstream}/mcp", "auth": auth}}},
                "logging": {"main": {"console_level": "debug"}},
            }
            environ = {"UP_SECRET": SECRET}

            async with running_spindle(settings, home=tmp_path, env=environ) as process:
                await spindle(tmp_path, "user", "create", ADA, "--role", "developer")
                token = await create_token(tmp_path, "--user", ADA)
                await in_force(process, token)

                async with (
                    process.client(token) as client,
                    process.client("") as stranger,
                    process.client() as other,
                ):
                    begun = await client.get("/mcp/authorize/up")
                    assert begun.status_code == 302, begun.text
                    query = server.approve(begun.headers["location"], ADA)
                    back = f"/mcp/callback?{httpx2.QueryParams(query)}"
                    assert (await stranger.get(back)).status_code == 401
                    assert (await other.get(back)).status_code in (400, 403)
                    done = await client.get(back)
                    assert done.status_code == 200, done.text
                    listed = await client.get("/mcp/grants")
                    assert [one["gateway"] for one in listed.json()["data"]] == ["up"]

                    # What the upstream offers is read with the first grant there is.
                    with anyio.fail_after(20):
                        while "up__echo" not in (await client.get("/admin/api/v1/tools")).text:
                            await anyio.sleep(0.05)

                    async with connected(f"{process.url}/mcp", token=token) as tools:
                        assert await text_of(tools, "up__echo", HI) == "hi"
                        tokens = [*server.tokens, *server.refreshers]
                        server.end_all()
                        assert await text_of(tools, "up__echo", HI) == "hi"
                        tokens += [*server.tokens, *server.refreshers]
                        assert (await client.delete("/mcp/grants/up")).status_code == 204
                        error = await error_of(tools, "up__echo", HI)

                assert f"{PUBLIC_URL}/mcp/authorize/up" in error.message
                assert set(guard.subjects) == {ADA}
                assert not any(token in str(headers) for headers in guard.shown)
                said = f"{process.stderr}{process.stdout}{done.text}{listed.text}{error}"
                files = stored(tmp_path)

        assert len(tokens) >= 4
        assert not any(secret in said for secret in [*tokens, SECRET])
        assert not any(secret.encode() in data for data in files for secret in [*tokens, SECRET])
