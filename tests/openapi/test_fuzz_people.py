"""Cases for every operation of the area people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.openapi.areas import labels
from tests.openapi.fuzzing import LEAST, Schema, fuzz, load
from tests.openapi.gateway import Fuzzed, running
from tests.plugins.openapi_cases import PROPERTY

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


pytestmark = pytest.mark.timeout(240)  # dozens of cases a test, on a machine others use too


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[Fuzzed]:
    with running(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture(scope="module")
def schema(gateway: Fuzzed) -> Schema:
    return load(gateway)


@pytest.mark.parametrize("label", labels("people"))
def test_an_operation_holds_to_the_document(
    gateway: Fuzzed,
    schema: Schema,
    label: str,
    record_property: Callable[[str, object], None],
) -> None:
    """No 5xx, every answer as the document says, nothing accepted that the document forbids."""
    run = fuzz(gateway, schema, label)
    record_property(PROPERTY, run.row(label))
    assert run.failures == {}, "\n\n".join(run.failures.values())
    assert run.cases >= LEAST
