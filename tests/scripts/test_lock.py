"""The committed lock belongs to the dependency lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts import lock

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_committed_lock_is_up_to_date() -> None:
    """What `make install` installs is what the lists ask for, from no particular registry."""
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
