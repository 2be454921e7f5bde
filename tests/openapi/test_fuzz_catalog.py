"""Cases for every operation of the area catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.openapi.areas import labels
from tests.openapi.fuzzing import LEAST, Schema, fuzz
from tests.plugins.openapi_cases import PROPERTY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.openapi.gateway import Fuzzed


pytestmark = pytest.mark.timeout(240)  # dozens of cases a test, on a machine others use too


@pytest.mark.parametrize("label", labels("catalog"))
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
