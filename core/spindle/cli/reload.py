"""`spindle reload`: tell the gateway that runs to read its configuration again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import httpx2

from spindle.cli.access import GatewayAccess
from spindle.cli.failures import Failure, reported
from spindle.home import find_running
from spindle.reload import Reloaded

if TYPE_CHECKING:
    from spindle.home import Sources

_SECONDS = 60.0


def reload(sources: Sources, *, as_json: bool) -> None:
    """Reload, and say what is in force and what waits for a restart."""
    with reported():
        done = anyio.run(_reload, sources)

    if as_json:
        print(json.dumps({"applied": done.applied, "needs_restart": done.needs_restart}))
        return

    print(f"In force: {', '.join(done.applied) or 'nothing had changed'}.")

    if done.needs_restart:
        print(f"Restart the gateway for: {', '.join(done.needs_restart)}.")


async def _reload(sources: Sources) -> Reloaded:
    if not sources.environ.get("SPINDLE_URL") and find_running(sources.home) is None:
        raise Failure(
            f"No gateway runs for {sources.home}: start one with `spindle serve`, or name one "
            "with SPINDLE_URL."
        )

    async with GatewayAccess(sources).open() as gateway:
        headers = {"authorization": f"Bearer {gateway.token.reveal()}"}

        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=_SECONDS) as client:
                answer = await client.post(f"{gateway.url}/admin/api/v1/reload", headers=headers)
        except httpx2.HTTPError as exc:
            raise Failure(f"The gateway at {gateway.url} does not answer: {exc}.") from exc

    found = answer.json()

    if answer.is_error:
        raise Failure(str(found["error"]["message"]))

    return Reloaded(applied=tuple(found["applied"]), needs_restart=tuple(found["needs_restart"]))
