"""The reference page names everything there is, and its example is a module that may start."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import anyio
import pytest

from spindle_spi import errors, shapes
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import GatewayError
from spindle_spi.ingress import Call
from spindle_spi.module import Module, ModuleContext
from spindle_spi.noop import noop_services
from spindle_spi.services import Services
from spindle_spi.shapes import ErrorShape
from spindle_spi.verification import faults_in
from tests.spi.derived import sample_of

PAGE = (Path(__file__).parents[2] / "docs/reference/spi.md").read_text("utf-8")


@pytest.mark.parametrize("service", [field.name for field in dataclasses.fields(Services)])
def test_the_page_names_every_operation(service: str) -> None:
    """In the row of its service, and no other."""
    implementation = getattr(noop_services(), service)
    operations = {name for name, _ in inspect.getmembers(implementation, inspect.ismethod)}
    contract = type(implementation).__mro__[1].__name__
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{service}` {contract} |"))
    assert set(re.findall(r"`(\w+)`", row)) == {service, *operations}


def test_the_page_names_every_error_with_its_category_and_status() -> None:
    """As the classes have them."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in PAGE.partition("## Errors")[2].partition("## ")[0].splitlines()
        if line.startswith("| `")
    ]
    said = {
        name: (category, int(status))
        for names, category, statuses in rows
        for name, status in zip(re.findall(r"`(\w+)`", names), statuses.split(", "), strict=True)
    }
    assert said == {
        name: (kind.category.value, kind.default_status)
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, GatewayError) and kind is not GatewayError
    }


def test_the_page_names_every_shape() -> None:
    """The four that are built in."""
    built_in = [name for name, value in vars(shapes).items() if isinstance(value, ErrorShape)]
    assert f"Four are built in: {', '.join(f'`{name}`' for name in built_in)}." in PAGE


def sample_context() -> ModuleContext:
    return ModuleContext(
        services=noop_services(), config={}, spi_version="1.0", spawn=lambda name, work: None
    )


async def test_the_example_of_the_page_is_a_module_that_may_start() -> None:
    """It has no faults, and it answers."""
    code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(compile(code, "spi.md", "exec"), names)
    module = names["HelloModule"]()
    assert isinstance(module, Module)
    assert faults_in(module) == []
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise NotImplementedError

    (route,) = module.routes
    await route.handler({}, receive, send, Call(sample_of(AuthenticatedContext)))
    assert sent[1]["body"] == b"hello text"

    with anyio.move_on_after(0):
        await module.run(sample_context(), sent.clear)

    assert sent == []
