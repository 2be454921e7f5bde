"""A host in memory, for the tests of modules: the six services, deciding as the core decides.

Not a mock: nothing is scripted call by call. It holds records, judges callers by the pure policy
functions of `spindle_spi`, keeps what happened in a journal, and refuses what the core refuses.
It has no store, no network and no clock of its own, and nothing in it is made to be fast.
"""

from __future__ import annotations

from spindle_conformance.fakes.callers import FakeCallers, caller
from spindle_conformance.fakes.host import FakeHost
from spindle_conformance.fakes.journal import (
    Admitted,
    Audited,
    HookRun,
    Journal,
    Logged,
    Measured,
    Published,
    Settled,
)
from spindle_conformance.fakes.outside import FakeOutside
from spindle_conformance.fakes.plugins import FakeGuard
from spindle_conformance.fakes.records import FakeRecords
from spindle_conformance.fakes.sessions import FakeSessions

__all__ = [
    "Admitted",
    "Audited",
    "FakeCallers",
    "FakeGuard",
    "FakeHost",
    "FakeOutside",
    "FakeRecords",
    "FakeSessions",
    "HookRun",
    "Journal",
    "Logged",
    "Measured",
    "Published",
    "Settled",
    "caller",
]
