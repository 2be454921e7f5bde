"""`spindle doctor` finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.administrator import ensure_administrator
from spindle.cli import doctor as module
from spindle.home import RUNNING_FILE
from spindle.store import Store
from tests.core.cli.runner import Ran, run
from tests.support.databases import sqlite_url

if TYPE_CHECKING:
    from pathlib import Path


def examine(home: Path, *arguments: str, **sections: object) -> tuple[Ran, dict[str, list[str]]]:
    """Run it; return `state: what was said` by check."""
    server = {"port": 0, **sections.pop("server", {})}  # type: ignore[dict-item]
    path = home.parent / "spindle.yaml"
    path.write_text(json.dumps({"server": server, **sections}))
    ran = run("doctor", "--json", "--home", str(home), "--config", str(path), *arguments)
    found: dict[str, list[str]] = {}

    for each in json.loads(ran.stdout)["findings"]:
        found.setdefault(each["check"], []).append(f"{each['state']}: {each['said']}")

    assert json.loads(ran.stdout)["ok"] is (ran.code == 0)
    return ran, found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    return made


def prepare(home: Path) -> None:
    """Make what a first start makes."""

    async def make() -> None:
        store = await Store.open(sqlite_url(home))
        await ensure_administrator(store, home)
        await store.close()

    anyio.run(make)


def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(tmp_path: Path) -> None:
    """It only looks."""
    ran, found = examine(tmp_path / "home")
    assert ran.code == 0, ran.stdout
    assert found["home"][0].startswith("note:")
    assert found["store"] == ["note: there is no database yet; the first start makes it"]
    assert not (tmp_path / "home").exists()


def test_a_good_set_up_is_good(home: Path) -> None:
    """Every look is told, for people as well."""
    prepare(home)
    ran, found = examine(home)
    assert ran.code == 0, ran.stdout
    assert {"home", "disk", "clock", "configuration", "modules", "key", "port"} <= set(found)
    assert found["store"][0].startswith("ok: sqlite, schema")
    assert found["administrator"][0].endswith("holds")
    assert "CHECK" in run("doctor", "--home", str(home)).stdout


def test_a_faulty_configuration_is_told_whole(home: Path) -> None:
    """Each fault a line."""
    ran, found = examine(home, srever={}, server={"prot": 1})
    assert ran.code == 1
    assert len(found["configuration"]) == 2


def test_what_others_may_read_is_told(home: Path, tmp_path: Path) -> None:
    """The home is a note, the administrator's token a fault; a token that fails, and no room."""
    prepare(home)
    home.chmod(0o755)
    (home / "admin-token").write_text("spn_other")
    (home / "admin-token").chmod(0o644)
    ran, found = examine(home)
    assert ran.code == 1
    assert "chmod 700" in found["home"][0]
    assert [said.partition(":")[0] for said in found["administrator"]] == ["fault", "note"]
    (home / "admin-token").unlink()
    assert "first start" in examine(home)[1]["administrator"][0]


def never(path: Path) -> bool:
    del path
    return False


def test_a_machine_without_room_or_time_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounds are put where the machine is beyond them."""
    monkeypatch.setattr(module, "_LEAST_BYTES", 1 << 62)
    monkeypatch.setattr(module, "_FIRST_YEAR", 1 << 40)
    monkeypatch.setattr(module, "_is_usable", never)
    _, found = examine(home)
    assert all(found[check][0].startswith("fault:") for check in ("disk", "clock", "home"))


def test_a_store_that_cannot_be_used_is_told_without_its_password(home: Path) -> None:
    """Not there, not ours, older."""
    url = "postgresql+asyncpg://me:canary@127.0.0.1:1/x"
    ran, found = examine(home, store={"url": url})
    assert ran.code == 1
    assert found["store"][0].startswith("fault: postgresql+asyncpg://me:***@127.0.0.1:1/x")
    assert "canary" not in ran.stdout
    (home / "spindle.db").touch()
    assert "no schema yet" in examine(home)[1]["store"][0]
    (home / "spindle.db").write_text("no database at all, but long enough to look like one" * 20)
    assert examine(home)[1]["store"][0].startswith("fault:")


def test_a_key_that_may_not_be_used_is_told(home: Path) -> None:
    """As the gateway would tell it."""
    ran, found = examine(home, secrets={"key_file": str(home / "nowhere")})
    assert ran.code == 1
    assert any(
        said.startswith("fault:") for said in (*found.get("key", ()), *found["configuration"])
    )


def test_what_is_configured_beside_is_connected_to(home: Path) -> None:
    """Redis, NATS, providers on this machine; others only when that is asked for."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        service = {"provider_type": "openai"}
        ran, found = examine(
            home,
            limits={"backend": "redis", "redis_url": f"redis://127.0.0.1:{port}/0"},
            events={"backend": "nats", "nats_url": "nats://127.0.0.1:1"},
            llm={
                "services": {
                    "near": {**service, "urls": [f"http://127.0.0.1:{port}/v1"]},
                    "far": {**service, "urls": ["http://192.0.2.1/v1"]},
                }
            },
        )

    assert ran.code == 1
    assert found["redis"] == [f"ok: 127.0.0.1:{port} answers"]
    assert found["nats"][0].startswith("fault: 127.0.0.1:1 cannot be reached")
    assert found["provider near"][0].startswith("ok:")
    assert found["provider far"][0].startswith("note:")
    with_socket = examine(home, limits={"backend": "redis", "redis_url": "unix:///tmp/r"})[1]
    assert with_socket["redis"][0].startswith("note:")


def test_a_port_that_is_taken_and_a_gateway_that_hangs_are_told(home: Path) -> None:
    """What runs is asked; where nothing runs, the port is tried."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        _, found = examine(home, server={"port": port})
        assert found["port"][0].startswith("fault:")

    said = json.dumps({"url": f"http://127.0.0.1:{port}", "pid": os.getpid()})
    (home / RUNNING_FILE).write_text(said)
    ran, found = examine(home)
    assert ran.code == 1
    assert "does not answer" in found["gateway"][0]
