"""What would lock everybody out is refused before it is in force."""

from __future__ import annotations

from tests.core.config.written import faults, load


def test_a_server_that_no_host_may_name_is_a_fault() -> None:
    """At a start and at a reload, which both load the settings."""
    (found,) = faults("server:\n  allowed_hosts: []\n")

    assert found.startswith("server.allowed_hosts: is empty, so every request would be refused")
    assert found.endswith("(spindle.yaml, line 2)")


def test_a_server_behind_a_proxy_may_leave_its_own_names_out() -> None:
    """The proxy says the name that clients say."""
    settings = load("server: {allowed_hosts: [gateway.example.org]}")

    assert settings.server.allowed_hosts == ("gateway.example.org",)
