"""`spindle gateway inspect | changes | approve | reject`: over a gateway that runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from spindle.cli.failures import reported
from spindle.cli.published import ask, ask_pages, ask_version
from spindle.cli.tables import print_table

if TYPE_CHECKING:
    from spindle.home import Sources
    from spindle_spi.types import Json, JsonObject


def inspect(sources: Sources, name: str, *, as_json: bool) -> None:
    """Show what a gateway offers: how much is served, and what is not, with the reasons."""
    path = _path(name)

    with reported():
        gateway = ask(sources, "GET", path)
        left_out = ask_pages(sources, f"{path}/quarantine")
        changes = ask_pages(sources, f"{path}/changes")
        tools = ask_pages(sources, "tools", f"gateway={quote(str(gateway['name']), safe='')}")

    if as_json:
        said: Json = {
            "gateway": gateway,
            "tools": [tool["name"] for tool in tools],
            "quarantine": [*left_out],
            "changes": [*changes],
        }
        print(json.dumps(said))
        return

    held = sum(1 for change in changes if change["is_held"])
    print(f"{gateway['name']}: {len(tools)} tools served, {held} held, {len(left_out)} left out")

    if left_out:
        print_table(
            ("KIND", "NAME", "LEFT OUT", "BECAUSE"),
            [
                (
                    str(each["kind"]),
                    str(each["name"]) or "-",
                    "in part" if each["is_partial"] else "yes",
                    str(each["reason"]),
                )
                for each in left_out
            ],
        )

    if changes:
        print(f"Changed definitions: spindle gateway changes {gateway['name']}")


def changes(sources: Sources, name: str, *, as_json: bool) -> None:
    """Show the definitions that changed since they were approved, and the version of all this."""
    with reported():
        found, version = ask_version(sources, f"{_path(name)}/changes")

    if as_json:
        print(json.dumps({"items": found, "version": version}))
        return

    if not found:
        print(f"{name}: every definition is the one that was approved.")

    for change in found:
        word = "held" if change["is_held"] else "served"
        print(f"{change['kind']} {change['name']} ({change['state']}, {word})")
        print(f"{change['diff']}\n")

    if found:
        print(f"To approve what is shown: spindle gateway approve {name} --all --version {version}")


def decide(
    sources: Sources,
    name: str,
    decision: str,
    names: Sequence[str],
    *,
    version: str | None,
    as_json: bool,
) -> None:
    """Approve or reject changes: those of some names, or every one there is.

    What is offered may have changed since it was looked at: then the version is another, and
    nothing is decided.
    """
    body: JsonObject = {"decision": decision, "names": [*names] or None}

    with reported():
        answer = ask(sources, "POST", f"{_path(name)}/changes", body, version=version)

    if as_json:
        print(json.dumps(answer))
        return

    items = answer["items"]
    decided = (
        [str(each["name"]) for each in items if isinstance(each, dict)]
        if isinstance(items, list)
        else []
    )
    done = "approved" if decision == "approve" else "rejected"
    print(f"{done}: {', '.join(decided) or 'nothing, there is no change'}")


def _path(name: str) -> str:
    return f"gateways/{quote(name, safe='')}"
