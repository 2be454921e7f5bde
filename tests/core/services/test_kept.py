"""Secrets of persons, deployment and judged addresses: the core and the fake decide alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from spindle.administrator import local_context
from spindle.catalog.editing import open_editor
from spindle.core import Core
from spindle.master_key import MasterKeys
from spindle.store.rows import UserRow
from spindle.vault import Vault
from spindle_conformance.fakes import FakeHost
from spindle_spi.config_secrets import Deployment
from spindle_spi.errors import Conflict, FailedPrecondition, InvalidArgument
from spindle_spi.records import Kind
from spindle_spi.secret import Secret
from tests.core.heart import open_heart

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from spindle_spi.config_secrets import ConfigSecretsService
    from spindle_spi.types import JsonObject

VALUE = Secret("canary-of-a-person")
ADA, BOB = "Ada@example.org", "bob@example.org"


@pytest.fixture(params=["core", "fake"])
async def config(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncGenerator[ConfigSecretsService]:
    if request.param == "fake":
        yield FakeHost().services_for("mcp").config_secrets
        return

    async with open_heart(tmp_path, "") as heart:
        yield heart.core.services_for("mcp").config_secrets


async def test_what_is_kept_is_its_persons_and_its_names(config: ConfigSecretsService) -> None:
    """Under the address whatever its case; nobody else's, and gone when it is forgotten."""
    assert await config.keep(ADA, "grant:1", VALUE) == 1
    found = await config.kept(ADA.lower(), "grant:1")
    assert found is not None
    assert (found.owner, found.name, found.version) == (ADA.lower(), "grant:1", 1)
    assert found.secret == VALUE
    assert await config.kept(BOB, "grant:1") is None
    assert await config.kept(ADA, "grant:2") is None
    assert [name.name for name in await config.names_kept(ADA)] == ["grant:1"]
    assert await config.names_kept(BOB) == ()
    assert await config.forget(ADA, "grant:1")
    assert not await config.forget(ADA, "grant:1")
    assert await config.kept(ADA, "grant:1") is None


async def test_a_value_replaces_the_version_it_was_made_of(config: ConfigSecretsService) -> None:
    """Who comes too late is told so, and what is there stays."""
    assert await config.keep(ADA, "g", VALUE, version=0) == 1
    assert await config.keep(ADA, "g", Secret("second-value-of-a-person"), version=1) == 2

    for stale in (0, 1, 3):
        with pytest.raises(Conflict):
            await config.keep(ADA, "g", Secret("third-value-of-a-person"), version=stale)

    assert await config.keep(ADA, "g", Secret("fourth-value-of-a-person")) == 3
    await config.forget(ADA, "g")

    with pytest.raises(Conflict):
        await config.keep(ADA, "g", Secret("fifth-value-of-a-person"), version=3)


async def test_the_newest_of_a_name_is_found(config: ConfigSecretsService) -> None:
    """Whoever's it is."""
    assert await config.newest_kept("g") is None
    await config.keep(ADA, "g", VALUE)
    await config.keep(BOB, "g", VALUE)
    await config.keep(ADA, "g2", VALUE)
    newest = await config.newest_kept("g")
    assert newest is not None
    assert (newest.owner, newest.name) == (BOB, "g")


async def test_a_private_address_is_refused(config: ConfigSecretsService) -> None:
    """By whoever it is named."""
    with pytest.raises(InvalidArgument) as caught:
        await config.address_for("http://169.254.169.254/", "demo")

    assert caught.value.code == "core.egress.refused"


GATEWAY = """
  gateways:
    up:
      url: http://127.0.0.1:9/mcp
      auth: {type: client_credentials, client_id: me, client_secret_env_var: S,
             issuer: "http://localhost:9"}
    other: {url: "https://192.0.2.1/mcp"}
server: {public_url: "https://gw.example"}
auth:
  resource_scopes: [tools]
  jwt:
    - {issuer: "https://as.example", audiences: [x], algorithms: [ES256],
       jwks_url: "https://as.example/jwks"}
    - {issuer: plain, audiences: [x], algorithms: [HS256], key_env_var: K}
"""


async def test_what_the_configuration_says_of_a_gateway_may_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For that gateway alone; and modules know how the host is known outside."""
    from spindle.config import load_settings

    monkeypatch.setenv("K", "k" * 40)
    path = tmp_path / "spindle.yaml"
    path.write_text(f"mcp:{GATEWAY}")
    core = await Core.open(load_settings(path, home=tmp_path, environ={}, overrides={}, schemas={}))

    try:
        config = core.services_for("mcp").config_secrets
        assert await config.address_for("http://127.0.0.1:1/x", "up") == "127.0.0.1"
        assert await config.address_for("http://localhost:1/x", "up") in ("127.0.0.1", "::1")

        for url, gateway in (
            ("http://127.0.0.1:1/x", "other"),
            ("http://127.0.0.1:1/x", "absent"),
            ("http://10.0.0.1/x", "up"),
        ):
            with pytest.raises(InvalidArgument):
                await config.address_for(url, gateway)

        async with open_editor(core.store, core.settings) as editor:
            made: JsonObject = {"name": "made", "url": "http://127.0.0.1:9/mcp"}
            await editor.create(local_context(), Kind.GATEWAY, made)

        await core.snapshots.refresh()

        # What the API, or a command, has put there is not the configuration's word.
        with pytest.raises(InvalidArgument):
            await config.address_for("http://127.0.0.1:1/x", "made")

        with pytest.raises(InvalidArgument):
            await core.services_for("llm").config_secrets.address_for("http://127.0.0.1/", "up")

        assert await config.deployment() == Deployment(
            public_url="https://gw.example",
            identity_providers=("https://as.example",),
            scopes=("tools",),
        )
    finally:
        await core.close()


async def test_what_is_kept_is_sealed_apart_from_other_secrets(tmp_path: Path) -> None:
    """Encrypted, in no inventory, not to be put by hand; another module has its own."""
    async with open_heart(tmp_path, "") as heart:
        core = heart.core
        config = core.services_for("mcp").config_secrets
        before = await core.store.revision()
        await config.keep(ADA, "g", VALUE)
        (row,) = await core.store.secrets.all()
        assert VALUE.reveal() not in f"{row}"
        assert ADA.lower() not in row.name
        assert await core.store.secrets.shared() == ()
        # Nobody's picture of the catalog depends on it.
        assert await core.store.revision() == before
        assert await core.services_for("llm").config_secrets.kept(ADA, "g") is None

        with pytest.raises(InvalidArgument):
            await core.vault.put(row.name, Secret("a-value-of-mine"))


async def test_a_rotation_takes_what_is_kept_with_it(tmp_path: Path) -> None:
    """The old key may go afterwards."""
    old, new = (Secret(Fernet.generate_key().decode()) for _ in range(2))

    def keys(*given: Secret) -> MasterKeys:
        said = Secret(", ".join(key.reveal() for key in given))
        return MasterKeys(given=said, file=None, home=tmp_path, is_production=False)

    async with open_heart(tmp_path, "") as heart:
        core = heart.core
        sealed, key_id = await Vault(core.store, keys(old)).seal("kept/mcp/g/x", VALUE)
        await core.store.kept_secrets.put(
            "kept/mcp/g/x", sealed, key_id=key_id, owner=BOB, version=None
        )
        assert await Vault(core.store, keys(new, old)).rotate() == 1
        row = await core.store.kept_secrets.get("kept/mcp/g/x")
        assert row is not None
        assert Vault(core.store, keys(new)).unseal(row) == VALUE

        with pytest.raises(FailedPrecondition):
            Vault(core.store, keys(old)).unseal(row)


async def test_who_is_deleted_leaves_nothing_kept(tmp_path: Path) -> None:
    """Whoever gets the address one day is somebody else."""
    async with open_heart(tmp_path, "") as heart:
        core = heart.core
        config = core.services_for("mcp").config_secrets
        await core.store.users.create(UserRow(email=BOB))
        await config.keep(ADA, "g", VALUE)
        await config.keep(BOB, "g", VALUE)
        assert await core.store.users.delete(BOB)
        assert await config.kept(BOB, "g") is None
        assert await config.kept(ADA, "g") is not None
