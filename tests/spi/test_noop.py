"""The services of a host that has nothing: empty answers and clean refusals."""

from __future__ import annotations

import dataclasses
import inspect
from typing import get_type_hints

import pytest

from spindle_spi.annotations import options_of
from spindle_spi.auth import Decision
from spindle_spi.catalog import RecordPage
from spindle_spi.config_secrets import Deployment
from spindle_spi.context import AuthenticatedContext, TraceContext
from spindle_spi.errors import GatewayError, NotFound, Unauthenticated, Unsupported
from spindle_spi.invocation import ProgressSink
from spindle_spi.noop import noop_services
from spindle_spi.plugin import Lane, Segment
from spindle_spi.services import Services
from tests.spi.derived import sample_of, settled

SERVICES = noop_services()

REFUSED: dict[str, type[GatewayError]] = {
    "auth.resolve_caller": Unauthenticated,
    "auth.check_catalog_access": NotFound,
    "catalog.fetch": NotFound,
    "catalog.admit": NotFound,
    "catalog.settle": NotFound,
    "catalog.settle_many": NotFound,
    "catalog.grant": Unsupported,
    "catalog.revocations": Unsupported,
    "catalog.invoke": NotFound,
    "catalog.open_gateway": Unsupported,
    "catalog.open_lease": Unsupported,
    "catalog.renew_lease": NotFound,
    "session_event.create_session": Unsupported,
    "session_event.get_session": NotFound,
    "session_event.append_event": NotFound,
    "session_event.replay_events": NotFound,
    "config_secrets.secret": NotFound,
    "config_secrets.lease": NotFound,
    "config_secrets.address_for": Unsupported,
    "config_secrets.keep": Unsupported,
}
ANSWERED: dict[str, object] = {
    "auth.check_permission": Decision(allowed=False, reason="no host"),
    "auth.validate_session_binding": Decision(allowed=False, reason="no host"),
    "catalog.list": RecordPage(records=()),
    "catalog.view_key": "",
    "catalog.catch_up": None,
    "catalog.owned": (),
    "catalog.subscribe": [],
    "catalog.publish": None,
    "catalog.close_lease": None,
    "plugin.execute_hook": (sample_of(Segment),),
    "session_event.find_session": None,
    "session_event.validate_session_owner": False,
    "session_event.delete_session": False,
    "config_secrets.section": {},
    "config_secrets.feature_enabled": False,
    "config_secrets.deployment": Deployment(),
    "config_secrets.kept": None,
    "config_secrets.forget": False,
    "config_secrets.names_kept": (),
    "config_secrets.newest_kept": None,
    "config_secrets.derived_keys": (),
    "observability.log": None,
    "observability.count": None,
    "observability.observe": None,
    "observability.trace": sample_of(TraceContext),
    "observability.audit": None,
}


async def called(operation: str) -> object:
    """Call an operation with a sample of each argument and return what it gives in the end."""
    service, _, name = operation.partition(".")
    method = getattr(getattr(SERVICES, service), name)
    hints = get_type_hints(method)
    sent = {
        name: sample_of(kind)
        for name, kind in hints.items()
        if name != "return" and ProgressSink not in options_of(kind)
    }
    return await settled(method(**sent))


@pytest.mark.parametrize("operation", REFUSED)
async def test_what_needs_a_host_is_refused(operation: str) -> None:
    """With the error a host gives for what it does not have."""
    with pytest.raises(GatewayError) as caught:
        await called(operation)

    assert type(caught.value) is REFUSED[operation]


@pytest.mark.parametrize("operation", ANSWERED)
async def test_what_can_be_answered_is_answered_emptily(operation: str) -> None:
    """Nothing is permitted, nothing is there, content passes, measures go nowhere."""
    assert await called(operation) == ANSWERED[operation]


def test_every_operation_is_one_or_the_other() -> None:
    """A new one is refused or answered on purpose."""
    operations = {
        f"{field.name}.{name}"
        for field in dataclasses.fields(Services)
        for name, _ in inspect.getmembers(getattr(SERVICES, field.name), inspect.ismethod)
    }
    assert operations == {*REFUSED, *ANSWERED, "plugin.open_guard"}


async def test_an_answer_passes_its_guard_as_it_comes() -> None:
    """Nothing is held back, nothing is changed."""
    guard = await SERVICES.plugin.open_guard(sample_of(AuthenticatedContext), "permit")
    segment = sample_of(Segment)
    assert await guard.push(Lane(), "text") == "text"
    assert await guard.judge([segment]) == (segment,)
    assert await guard.close(Lane()) == ""
    await guard.finish()
