"""The MCP servers behind the gateway here: the SDK's own, each at `/<name>/mcp`.

`kit` has tools for the clients' checks, `library` what is read, `asking` asks its client.
`python -m tests.clients.upstream` prints where they listen.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError

from tests.mcp.support.asking import Asking
from tests.mcp.support.library import Library
from tests.mcp.support.serving import listening

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from mcp.server import ServerRequestContext

    from spindle_spi.types import ASGIApp, JsonObject, Receive, Scope, Send


def _schema(**properties: JsonObject) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_TEXT: JsonObject = {"type": "string"}
_NUMBER: JsonObject = {"type": "number"}
TOOLS = [
    types.Tool(name="say", description="Say it again.", input_schema=_schema(text=_TEXT)),
    types.Tool(
        name="weigh",
        description="Weigh two things.",
        input_schema=_schema(left=_NUMBER, right=_NUMBER),
        output_schema=_schema(total=_NUMBER, parts={"type": "array", "items": _NUMBER}),
    ),
    types.Tool(name="fail", description="Fail.", input_schema=_schema()),
    types.Tool(name="refuse", description="Refuse.", input_schema=_schema()),
    types.Tool(
        name="slow",
        description="Take steps, tell of each, and wait after each until somebody says go.",
        input_schema=_schema(name=_TEXT, steps={"type": "integer"}),
    ),
    types.Tool(
        name="go", description="Let the slow one take its next step.", input_schema=_schema()
    ),
    types.Tool(name="hang", description="Never end.", input_schema=_schema(name=_TEXT)),
    types.Tool(
        name="await",
        description="Wait until the hanging one `began`, or was `left`.",
        input_schema=_schema(name=_TEXT, what=_TEXT),
    ),
    types.Tool(
        name="write", description="Say that a resource changed.", input_schema=_schema(uri=_TEXT)
    ),
    types.Tool(
        name="acquire",
        description="Put one more tool, prompt and resource of a name into the library.",
        input_schema=_schema(name=_TEXT),
    ),
]
_STEP_SECONDS = 40.0


async def _list(
    ctx: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    return types.ListToolsResult(tools=TOOLS)


class Kit:
    """The tools; what is slow waits for `go`, so that nothing here depends on how fast one is."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._goes = defaultdict[str, anyio.Semaphore](lambda: anyio.Semaphore(0))
        self._hanging = defaultdict[tuple[str, str], anyio.Event](anyio.Event)
        """By name and what is waited for."""

    @asynccontextmanager
    async def app(self) -> AsyncGenerator[ASGIApp]:
        """Serve on whatever path it is asked."""
        server: Server[Any] = Server(
            "kit", version="1", on_list_tools=_list, on_call_tool=self.call
        )
        manager = StreamableHTTPSessionManager(server)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await manager.handle_request(scope, receive, send)

        async with manager.run():
            yield app

    async def call(
        self, ctx: ServerRequestContext[Any], params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        arguments = params.arguments or {}

        match params.name:
            case "say":
                return _result(str(arguments["text"]))
            case "weigh":
                parts = [arguments["left"], arguments["right"]]
                return _result("weighed", structured={"total": sum(parts), "parts": parts})
            case "fail":
                return _result("The scales are broken.", is_error=True)
            case "slow":
                return await self._take_steps(ctx, arguments["name"], arguments["steps"])
            case "go":
                self._goes[arguments["name"]].release()
                return _result("gone")
            case "hang":
                return await self._hang(arguments["name"])
            case "await":
                with anyio.fail_after(_STEP_SECONDS):
                    await self._hanging[arguments["name"], arguments["what"]].wait()

                return _result(arguments["what"])
            case "write":
                await self._library.update(arguments["uri"])
                return _result("written")
            case "acquire":
                await self._acquire(arguments["name"])
                return _result("acquired")
            case _:
                raise MCPError(-32603, "sk-upstream-0123456789 was refused.")

    async def _take_steps(
        self, ctx: ServerRequestContext[Any], name: str, steps: int
    ) -> types.CallToolResult:
        for step in range(1, steps + 1):
            await ctx.session.report_progress(step, steps, f"step {step}")

            with anyio.fail_after(_STEP_SECONDS):
                await self._goes[name].acquire()

        return _result("done")

    async def _hang(self, name: str) -> types.CallToolResult:
        self._hanging[name, "began"].set()

        try:
            with anyio.fail_after(_STEP_SECONDS):
                await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            self._hanging[name, "left"].set()
            raise

        raise AssertionError("unreachable")

    async def _acquire(self, name: str) -> None:
        uri = f"file:///{name}"
        self._library.tools.append(name)
        self._library.prompts.append(name)
        self._library.resources[uri] = types.Resource(name=name, uri=uri)
        await self._library.change("tools", "prompts", "resources")


def _result(
    text: str, *, structured: dict[str, Any] | None = None, is_error: bool = False
) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(text=text)], structured_content=structured, is_error=is_error
    )


async def _serve(port: int) -> None:
    library = Library()
    asking = Asking(era="both")

    async with Kit(library).app() as kit, library.app() as books, asking.app() as questions:
        apps = {"kit": kit, "library": books, "asking": questions}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await apps[scope["path"].split("/")[1]](scope, receive, send)

        async with listening(app, port=port) as url:
            sys.stdout.write(f"listening on {url}\n")
            sys.stdout.flush()
            await anyio.sleep_forever()


def main() -> None:
    """Run until the process is ended."""
    parser = argparse.ArgumentParser(prog="tests.clients.upstream")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--chunk", type=int, default=0, help="for scripted upstreams; unused")
    options = parser.parse_args()
    anyio.run(partial(_serve, options.port))


if __name__ == "__main__":
    main()
