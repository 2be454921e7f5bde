"""FastMCP's proxy in front of an MCP server; run by the Python of an environment that has it."""

from __future__ import annotations

import sys


def main() -> None:
    """Serve `/mcp` on a port: `fastmcp_proxy.py PORT UPSTREAM`."""
    # Of that environment alone: nothing else here knows the package.
    from fastmcp.server import create_proxy  # type: ignore[import-not-found,unused-ignore]

    port, upstream = sys.argv[1:]
    proxy = create_proxy(upstream, name="bench")  # pyright: ignore[reportUnknownVariableType]
    proxy.run(  # pyright: ignore[reportUnknownMemberType]
        transport="http", host="127.0.0.1", port=int(port), show_banner=False, log_level="ERROR"
    )


if __name__ == "__main__":
    main()
