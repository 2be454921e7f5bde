"""`spindle tool | resource | template | prompt …`: over a gateway that runs.

It alone knows what upstreams publish.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import anyio
import httpx2

from spindle.cli.access import GatewayAccess
from spindle.cli.failures import Failure, reported
from spindle.cli.tables import print_table
from spindle.home import find_running

if TYPE_CHECKING:
    from spindle.home import Sources
    from spindle_spi.types import Json, JsonObject

_SECONDS = 30.0
_PAGE = 500


def list_all(sources: Sources, path: str, *, as_json: bool) -> None:
    """List the records of a collection."""
    with reported():
        records = ask_pages(sources, path)

    if as_json:
        print(json.dumps(records))
        return

    print_table(
        ("NAME", "VISIBILITY", "TEAM", "ENABLED", "FROM", "DESCRIPTION"),
        [
            (
                str(record["name"]),
                str(record["visibility"]),
                str(record["team"] or "-"),
                "yes" if record["enabled"] else "no",
                str(record["origin"]),
                str(record["description"] or "-").partition("\n")[0],
            )
            for record in records
        ],
    )


def change(sources: Sources, path: str, name: str, changes: JsonObject, *, as_json: bool) -> None:
    """Change what is wanted of one record."""
    with reported():
        if not changes:
            raise Failure("Nothing to change was said; --help lists the options.")

        record = ask(sources, "PATCH", f"{path}/{quote(name, safe='')}", changes)

    print(json.dumps(record) if as_json else f"{record['name']} is changed.")


def ask_pages(sources: Sources, path: str, query: str = "") -> list[JsonObject]:
    """Return every item of a list.

    Raises:
        Failure: There is no gateway that runs, or it refused.
    """
    return ask_version(sources, path, query)[0]


def ask_version(
    sources: Sources, path: str, query: str = ""
) -> tuple[list[JsonObject], str | None]:
    """Return every item of a list and the list's version, where it has one.

    Raises:
        Failure: There is no gateway that runs, it refused, or the list changed while it was read.
    """
    found: list[JsonObject] = []
    versions: set[str | None] = set()
    beside = f"limit={_PAGE}" if not query else f"{query}&limit={_PAGE}"
    cursor: Json = ""

    while cursor is not None:
        one = f"{path}?{beside}" + (f"&cursor={cursor}" if cursor else "")
        page, version = _asked(sources, "GET", one, None, None)
        versions.add(version)
        items = page["items"]
        found += (
            [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        )
        cursor = page["next_cursor"]

    if len(versions) > 1:
        raise Failure("The list changed while it was read: read it again.")

    return found, versions.pop()


def ask(
    sources: Sources, method: str, path: str, body: Json = None, *, version: str | None = None
) -> JsonObject:
    """Ask the control plane of the gateway that runs; a change may be meant for one version.

    Raises:
        Failure: There is none, or it refused.
    """
    return _asked(sources, method, path, body, version)[0]


def _asked(
    sources: Sources, method: str, path: str, body: Json, version: str | None
) -> tuple[JsonObject, str | None]:
    if not sources.environ.get("SPINDLE_URL") and find_running(sources.home) is None:
        raise Failure(
            "What upstreams publish is known to a gateway that runs: start one with "
            "`spindle serve`, or name one by SPINDLE_URL and SPINDLE_TOKEN."
        )

    match = {} if version is None else {"if-match": f'"{version}"'}

    async def ask() -> httpx2.Response:
        async with (
            GatewayAccess(sources).open() as gateway,
            httpx2.AsyncClient(timeout=_SECONDS) as client,
        ):
            return await client.request(
                method,
                f"{gateway.url}/admin/api/v1/{path}",
                headers={"authorization": f"Bearer {gateway.token.reveal()}", **match},
                json=body,
            )

    try:
        response = anyio.run(ask)
        answer: Json = response.json()
    except (httpx2.HTTPError, ValueError) as exc:
        raise Failure(f"The gateway gave no answer: {type(exc).__name__}.") from exc

    if not isinstance(answer, dict):
        raise Failure("The gateway's answer cannot be read.")

    if response.is_error:
        error = answer.get("error")
        said = error.get("message") if isinstance(error, dict) else None
        raise Failure(str(said or f"The gateway refused: {response.status_code}."))

    etag = response.headers.get("etag")
    return answer, None if etag is None else etag.strip('"')
