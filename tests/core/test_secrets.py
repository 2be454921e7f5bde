"""Secrets: environment, then file, then the configuration, then a failure that says where."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from spindle.redaction import MASK, Redactor
from spindle.secrets import SecretSource, SecretStore
from spindle_spi.errors import FailedPrecondition
from spindle_spi.secret import Secret, SecretRef

if TYPE_CHECKING:
    from pathlib import Path

REF = SecretRef(name="llm.services.openai.api_key")


def store(source: SecretSource, environ: dict[str, str] | None = None) -> SecretStore:
    return SecretStore({REF.name: source}, environ or {}, Redactor())


def test_environment_beats_file_beats_configuration(tmp_path: Path) -> None:
    """Each place is asked only when the one before has nothing."""
    file = tmp_path / "key"
    file.write_text("  from-file\n")
    source = SecretSource(env_var="KEY", file=file, inline=Secret("from-configuration"))

    assert store(source, {"KEY": "from-environment"}).resolve(REF).reveal() == "from-environment"
    assert store(source, {"KEY": ""}).resolve(REF).reveal() == "from-file"
    file.unlink()
    assert store(source).resolve(REF).reveal() == "from-configuration"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_missing_secret_says_where_it_was_looked_for(
    tmp_path: Path, content: bytes | None
) -> None:
    """Names of places, never values."""
    file = tmp_path / "key"

    if content is not None:
        file.write_bytes(content)

    with pytest.raises(FailedPrecondition) as caught:
        store(SecretSource(env_var="KEY", file=file)).resolve(REF)

    assert "environment variable KEY is not set" in caught.value.message
    assert str(file) in caught.value.message
    assert REF.name in caught.value.message


def test_a_reference_nobody_configured_fails_clearly() -> None:
    """A reference is worthless without a source."""
    with pytest.raises(FailedPrecondition, match="no place to look"):
        store(SecretSource()).resolve(SecretRef(name="other"))


def test_a_rotated_file_is_read_again(tmp_path: Path) -> None:
    """A new key in the file is used without a restart."""
    file = tmp_path / "key"
    file.write_text("old-key")
    secrets = store(SecretSource(file=file))
    assert secrets.resolve(REF).reveal() == "old-key"
    assert secrets.resolve(REF) is secrets.resolve(REF)

    file.write_text("new-key")
    os.utime(file, ns=(1, 1))

    assert secrets.resolve(REF).reveal() == "new-key"


def test_whatever_is_resolved_is_masked_in_logs(tmp_path: Path) -> None:
    """Values of the environment and the configuration from the start, those of files when read."""
    file = tmp_path / "key"
    file.write_text("file-canary")
    redactor = Redactor()
    sources = {
        "one": SecretSource(env_var="KEY"),
        "two": SecretSource(inline=Secret("inline-canary")),
        "three": SecretSource(file=file),
    }
    secrets = SecretStore(sources, {"KEY": "env-canary"}, redactor)
    assert redactor.text("env-canary inline-canary") == f"{MASK} {MASK}"

    secrets.resolve(SecretRef(name="three"))

    assert redactor.text("file-canary") == MASK


def test_the_process_environment_is_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one way to the environment of the process."""
    monkeypatch.setenv("SPINDLE_TEST_KEY", "from-the-process")
    secrets = SecretStore.from_environment({REF.name: SecretSource(env_var="SPINDLE_TEST_KEY")})

    assert secrets.resolve(REF).reveal() == "from-the-process"


def test_a_held_secret_is_gone_when_dropped() -> None:
    """A caller's secret lives as long as what it was given for."""
    redactor = Redactor()
    secrets = SecretStore({}, {}, redactor)
    ref = secrets.hold("own-1", Secret("held-canary"))
    assert secrets.resolve(ref).reveal() == "held-canary"
    assert redactor.text("held-canary") == MASK

    secrets.drop("own-1")
    secrets.drop("own-1")

    with pytest.raises(FailedPrecondition):
        secrets.resolve(ref)


@pytest.mark.requirement("002-8-secrets")
def test_the_database_comes_last(tmp_path: Path) -> None:
    """What a deployment pins is not overridden by what is stored; `places` says the same."""
    file = tmp_path / "key"
    file.write_text("from-file")
    source = SecretSource(env_var="KEY", file=file, inline=Secret("from-configuration"))
    environ = {"KEY": "from-environment"}
    secrets = SecretStore(
        {REF.name: source}, environ, Redactor(), vault=lambda name: Secret(f"stored {name}")
    )
    order = ("from-environment", "from-file", "from-configuration")

    for value in order:
        assert secrets.resolve(REF).reveal() == value
        assert [place.has_value for place in secrets.places(REF.name)].count(True) > 0

        if value == "from-environment":
            environ.clear()
        elif value == "from-file":
            file.unlink()

    assert [place.has_value for place in secrets.places(REF.name)] == [False, False, True]
    assert secrets.names() == (REF.name,)
    assert secrets.places("other") == ()
    assert secrets.resolve(SecretRef(name="other")).reveal() == "stored other"
