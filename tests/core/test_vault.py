"""The vault: what is stored is encrypted, what no key opens says so, a rotation loses nothing."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
import structlog
from cryptography.fernet import Fernet

from spindle.config import load_settings
from spindle.core import Core
from spindle.master_key import FILE_NAME, MasterKeys, new_key
from spindle.redaction import MASK, Redactor
from spindle.store import Store
from spindle.store.secrets import SealedRow, Secrets
from spindle.vault import Vault
from spindle_spi.errors import FailedPrecondition, InvalidArgument, NotFound
from spindle_spi.secret import Secret, SecretRef
from tests.core.store.opened import opened, url_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

VALUE = "canary-provider-key-0123456789"
NAME = "providers.one.api_key"
pytestmark = pytest.mark.requirement("000-core-secrets")


def keys(
    home: Path,
    *given: Secret,
    file: Path | None = None,
    production: bool = False,
) -> MasterKeys:
    said = Secret(", ".join(key.reveal() for key in given)) if given else None
    return MasterKeys(given=said, file=file, home=home, is_production=production)


@asynccontextmanager
async def vault(home: Path, *given: Secret) -> AsyncGenerator[Vault]:
    """Give a vault that has read its store."""
    store = await Store.open(url_of(home))

    try:
        opened = Vault(store, keys(home, *given), Redactor())
        (await opened.read())()
        yield opened
    finally:
        await store.close()


def rows(home: Path, query: str = "SELECT name, ciphertext, key_id FROM secrets") -> list[object]:
    connection = sqlite3.connect(home / "spindle.db")

    try:
        return list(connection.execute(query))
    finally:
        connection.close()


def contents(home: Path) -> list[bytes]:
    return [path.read_bytes() for path in home.iterdir()]


def execute(home: Path, statement: str) -> None:
    connection = sqlite3.connect(home / "spindle.db")

    with connection:
        connection.execute(statement)

    connection.close()


async def test_a_stored_secret_comes_back_and_its_value_is_nowhere_on_disk(tmp_path: Path) -> None:
    """In this process at once, in another one after it has read."""
    key = new_key()

    async with vault(tmp_path, key) as one:
        assert one.reveal(NAME) is None
        assert await one.put(NAME, Secret(VALUE), by="ada") == SecretRef(name=NAME)
        assert one.reveal(NAME) == Secret(VALUE)

        async with vault(tmp_path, key) as other:
            assert other.reveal(NAME) == Secret(VALUE)
            await other.put(NAME, Secret("another-value"))
            (await one.read())()
            assert one.reveal(NAME) == Secret("another-value")
            await other.delete(NAME)
            assert (other.reveal(NAME), other.state(NAME)) == (None, None)
            await other.put(NAME, Secret(VALUE))

            with pytest.raises(NotFound):
                await other.delete("nobody")

    assert not any(VALUE.encode() in content for content in contents(tmp_path))


async def test_whoever_reads_or_puts_a_secret_has_it_masked(tmp_path: Path) -> None:
    """Both ways lead through the redactor."""
    key, writer, reader = new_key(), Redactor(), Redactor()
    store = await Store.open(url_of(tmp_path))
    await Vault(store, keys(tmp_path, key), writer).put(NAME, Secret(VALUE))
    (await Vault(store, keys(tmp_path, key), reader).read())()
    await store.close()

    assert writer.text(VALUE) == reader.text(VALUE) == MASK


async def test_a_wrong_key_makes_the_secret_unavailable_and_nothing_else(tmp_path: Path) -> None:
    """The process starts; who asks for the secret is told which one it is and what to do."""
    async with vault(tmp_path, new_key()) as one:
        await one.put(NAME, Secret(VALUE))

    with structlog.testing.capture_logs() as logs:
        async with vault(tmp_path, new_key()) as other:
            assert other.state(NAME) == "locked"

            with pytest.raises(FailedPrecondition) as caught:
                other.reveal(NAME)

            assert caught.value.code == "core.secret.locked"
            assert NAME in caught.value.message
            assert f"spindle secrets set {NAME}" in caught.value.message
            (await other.read())()
            await other.put("second", Secret("works"))
            assert other.reveal("second") == Secret("works")

    # Said once, not with every refresh.
    assert [entry["secret"] for entry in logs if entry["log_level"] == "error"] == [NAME]


async def test_without_any_key_stored_secrets_are_locked(tmp_path: Path) -> None:
    """Nor is a second key made beside the lost one; what makes no sense as a key says so."""
    async with vault(tmp_path, new_key()) as one:
        await one.put(NAME, Secret(VALUE))

    async with vault(tmp_path) as other:
        with pytest.raises(FailedPrecondition, match="there is no key here"):
            other.reveal(NAME)

        with pytest.raises(FailedPrecondition, match="is gone"):
            await other.put("second", Secret("value"))

    assert not (tmp_path / FILE_NAME).exists()

    async with vault(tmp_path, Secret("nonsense")) as third:
        with pytest.raises(FailedPrecondition, match="key 1 of 1 is none"):
            third.reveal(NAME)


async def test_a_ciphertext_moved_to_another_name_opens_nothing(tmp_path: Path) -> None:
    """Who can write rows must not make one record use another one's secret."""
    key = new_key()

    async with vault(tmp_path, key) as one:
        await one.put(NAME, Secret(VALUE))

    execute(tmp_path, "UPDATE secrets SET name = 'providers.mine.api_key'")

    async with vault(tmp_path, key) as other:
        with pytest.raises(FailedPrecondition, match="belongs to"):
            other.reveal("providers.mine.api_key")


async def test_a_development_gateway_makes_its_key_with_the_first_secret(tmp_path: Path) -> None:
    """Not before, private, with a warning, and only once."""
    async with vault(tmp_path) as one:
        assert not (tmp_path / FILE_NAME).exists()

        with structlog.testing.capture_logs() as logs:
            await one.put(NAME, Secret(VALUE))
            await one.put("second", Secret("value-two"))

    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert (tmp_path / FILE_NAME).read_text().strip() not in str(logs)

    async with vault(tmp_path) as other:
        assert other.reveal(NAME) == Secret(VALUE)


async def test_production_needs_a_key_from_outside_its_home(tmp_path: Path) -> None:
    """None is a failure when something needs it, and not before; a file inside is refused."""
    home = tmp_path / "home"
    home.mkdir()
    (home / FILE_NAME).write_text(new_key().reveal())
    assert keys(home, production=True).read() == ()

    with pytest.raises(FailedPrecondition, match="SPINDLE_SECRET_KEY is not set"):
        keys(home, production=True).read_or_make()

    with pytest.raises(FailedPrecondition, match="inside the home"):
        keys(home, file=home / "x/../" / FILE_NAME, production=True).read()

    outside = tmp_path / "keys"
    wanted = (new_key(), new_key())
    outside.write_text("\n".join(key.reveal() for key in wanted))
    outside.chmod(0o644)
    place = keys(home, file=outside, production=True)

    with structlog.testing.capture_logs() as logs:
        assert place.read() == place.read() == wanted

    assert [entry["log_level"] for entry in logs] == ["warning"]
    # The environment beats the file.
    assert keys(home, wanted[1], file=outside).read() == wanted[1:]


@pytest.mark.parametrize("content", [None, b"\xff", b" \n"])
def test_a_key_file_that_is_none_says_so(tmp_path: Path, content: bytes | None) -> None:
    """Missing, no text, empty."""
    file = tmp_path / "keys"

    if content is not None:
        file.write_bytes(content)

    with pytest.raises(FailedPrecondition, match=r"secrets\.key_file") as caught:
        keys(tmp_path / "home", file=file).read()

    assert str(file) in caught.value.message


async def test_a_rotation_encrypts_everything_with_the_first_key(tmp_path: Path) -> None:
    """Values stay, the old key is not needed any more, and who has only it goes on."""
    old, new = new_key(), new_key()

    async with vault(tmp_path, old) as running:
        assert await running.rotate() == 0
        await running.put(NAME, Secret(VALUE))
        await running.put("second", Secret("value-two"))

        async with vault(tmp_path, new, old) as rotating:
            assert await rotating.rotate() == 2

        (await running.read())()
        assert running.reveal(NAME) == Secret(VALUE)

    async with vault(tmp_path, new) as after:
        assert after.reveal(NAME) == Secret(VALUE)
        assert after.reveal("second") == Secret("value-two")

    async with vault(tmp_path, old) as late:
        assert late.state(NAME) == "locked"


async def test_a_rotation_changes_nothing_when_one_secret_is_locked(tmp_path: Path) -> None:
    """It names what no key opens."""
    old, new = new_key(), new_key()

    async with vault(tmp_path, old) as one:
        await one.put(NAME, Secret(VALUE))
        await one.put("another", Secret("value-one"))

    async with vault(tmp_path, new) as other:
        await other.put("second", Secret("value-two"))
        before = rows(tmp_path)

        with pytest.raises(FailedPrecondition, match=f"opens another, {NAME}"):
            await other.rotate()

    assert rows(tmp_path) == before


async def test_a_secret_that_is_written_during_a_rotation_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process wrote it with a key that is not here, after the check."""
    old, new = new_key(), new_key()

    async with vault(tmp_path, new) as one, vault(tmp_path, old) as other:
        await one.put(NAME, Secret(VALUE))

        async with opened(tmp_path) as store:
            seen = await store.secrets.all()

        await other.put("second", Secret("value-two"))
        before = rows(tmp_path)

        async def stale(secrets: Secrets) -> tuple[SealedRow, ...]:
            return seen

        monkeypatch.setattr(Secrets, "all", stale)

        with pytest.raises(FailedPrecondition, match="second"):
            await one.rotate()

    assert rows(tmp_path) == before


KILLED = """
import anyio, os, sys
from cryptography.fernet import MultiFernet
from pathlib import Path
from spindle.master_key import MasterKeys
from spindle.store import Store
from spindle.vault import Vault
from spindle_spi.secret import Secret

rotate, done = MultiFernet.rotate, 0

def stop_in_the_middle(self, *arguments):
    global done
    done += 1
    if done == 3:
        os.kill(os.getpid(), 9)
    return rotate(self, *arguments)

MultiFernet.rotate = stop_in_the_middle

async def main():
    store = await Store.open(sys.argv[1])
    keys = MasterKeys(given=Secret(sys.argv[2]), file=None, home=Path("/"), is_production=True)
    await Vault(store, keys).rotate()

anyio.run(main)
"""


async def test_a_kill_in_the_middle_of_a_rotation_loses_nothing(tmp_path: Path) -> None:
    """The process dies after two of five: the old key opens all of them, nothing is half done."""
    old, new = new_key(), new_key()
    names = [f"secret.{number}" for number in range(5)]

    async with vault(tmp_path, old) as one:
        for name in names:
            await one.put(name, Secret(f"value of {name}"))

    before = rows(tmp_path)
    both = f"{new.reveal()} {old.reveal()}"
    command = [sys.executable, "-c", KILLED, url_of(tmp_path), both]
    ended = await anyio.run_process(command, check=False)
    assert ended.returncode == -9

    async with vault(tmp_path, old) as other:
        assert [other.reveal(name) for name in names] == [Secret(f"value of {n}") for n in names]

    assert rows(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("", "x"), ("a b", "x"), ("a\n", "x"), ("x" * 201, "x"), ("a", ""), ("a", "x" * 65_537)],
)
async def test_what_cannot_be_kept_is_refused(tmp_path: Path, name: str, value: str) -> None:
    """Names without an end or with spaces, values empty or without an end."""
    async with vault(tmp_path, new_key()) as one:
        with pytest.raises(InvalidArgument):
            await one.put(name, Secret(value))


async def test_a_core_finds_what_is_stored_after_everything_else(tmp_path: Path) -> None:
    """The vault follows the snapshot: another process's secret is there with the next refresh."""
    key = new_key()
    environ = {"SPINDLE_SECRET_KEY": key.reveal()}
    core = await Core.open(load_settings(None, home=tmp_path, environ=environ))
    ref = SecretRef(name=NAME)

    with pytest.raises(FailedPrecondition, match="nothing is stored"):
        core.secrets.resolve(ref)

    async with vault(tmp_path, key) as other:
        await other.put(NAME, Secret(VALUE))

    assert core.snapshots.current.revision != await core.store.revision()
    await core.snapshots.refresh()
    assert core.secrets.resolve(ref) == Secret(VALUE)
    await core.close()


def test_a_gateway_without_stored_secrets_does_not_import_cryptography(tmp_path: Path) -> None:
    """It costs memory and time at every start."""
    script = (
        "import anyio, sys\n"
        "from pathlib import Path\n"
        "from spindle.config import load_settings\n"
        "from spindle.core import Core\n"
        "async def main():\n"
        "    settings = load_settings(None, home=Path(sys.argv[1]), environ={})\n"
        "    core = await Core.open(settings)\n"
        "    await core.close()\n"
        "    print('cryptography' in sys.modules)\n"
        "anyio.run(main)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    ran = subprocess.run(command, check=True, timeout=50, stdout=subprocess.PIPE, text=True)
    assert ran.stdout == "False\n"


def test_keys_are_fernet_keys() -> None:
    """What we make is what the library takes."""
    Fernet(new_key().reveal())


def test_the_second_process_keeps_the_key_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two gateways in development that both store their first secret."""
    first, second = keys(tmp_path), keys(tmp_path)
    real = os.link

    def late(source: Path, target: Path) -> None:
        monkeypatch.setattr("os.link", real)
        second.read_or_make()
        real(source, target)

    monkeypatch.setattr("os.link", late)
    assert first.read_or_make() == second.read_or_make()
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_key_that_is_no_base64_is_none(tmp_path: Path) -> None:
    """The message says which one, and nothing of it."""
    with pytest.raises(FailedPrecondition, match="key 2 of 2 is none") as caught:
        keys(tmp_path, new_key(), Secret("canary-é")).read()

    assert "canary" not in caught.value.message
