"""The gateway that the tests of a file ask, and its document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.openapi.fuzzing import Schema, load
from tests.openapi.gateway import Fuzzed, running

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[Fuzzed]:
    with running(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture(scope="module")
def schema(gateway: Fuzzed) -> Schema:
    return load(gateway)
