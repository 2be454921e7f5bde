"""The committed locks belong to the dependency lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts import lock

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_committed_locks_are_up_to_date() -> None:
    """What is installed is what the lists ask for, from no particular registry."""
    assert lock.find_faults() == []


def test_a_changed_list_makes_the_lock_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more dependency in one of the three files is enough."""
    for name in lock.PROJECTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((lock.ROOT / name).read_text())

    monkeypatch.setattr(lock, "ROOT", tmp_path)
    assert lock.find_faults() == []
    changed = tmp_path / "spi/pyproject.toml"
    changed.write_text(
        changed.read_text().replace("\ndependencies = [", '\ndependencies = ["attrs",')
    )
    assert "older than the dependency lists" in lock.find_faults()[0]


def test_an_address_in_the_lock_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock made behind a mirror must not send others there."""
    stained = tmp_path / "requirements.lock"
    stained.write_text(lock.LOCK.read_text() + "\n--index-url https://mirror.example/simple\n")
    monkeypatch.setattr(lock, "LOCK", stained)
    assert "holds an address" in lock.find_faults()[0]


def test_an_extra_of_its_own_lock_makes_no_other_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer LiteLLM is no reason to resolve what everybody installs."""
    for name in lock.PROJECTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((lock.ROOT / name).read_text())

    monkeypatch.setattr(lock, "ROOT", tmp_path)
    changed = tmp_path / "pyproject.toml"
    changed.write_text(changed.read_text().replace('["litellm>=', '["litellm>1,>='))
    (fault,) = lock.find_faults()
    assert fault.startswith("requirements-litellm.lock is older")


def test_no_package_of_the_extra_is_in_the_lock_of_everybody() -> None:
    """LiteLLM is in its own lock alone, and what both hold is of one version."""
    common, own = (_versions(path) for path in (lock.LOCK, lock.EXTRA_LOCK))
    assert lock.EXTRA in own
    assert lock.EXTRA not in common
    assert {name: own[name] for name in own if name in common} == {
        name: common[name] for name in own if name in common
    }


def _versions(path: Path) -> dict[str, str]:
    pinned = [line.split(" ")[0].split("==") for line in path.read_text().splitlines()]
    return {pin[0]: pin[1] for pin in pinned if len(pin) == 2}
