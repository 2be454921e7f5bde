"""The loopback transport: the SPI over bytes, inside one process.

Every argument and every result of every call is turned into bytes and back by the codec, calls are
counted, and what does not serialise is refused: proof that nothing depends on object identity.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, get_args, get_type_hints

from spindle_spi.annotations import Annotation, options_of, origin_of
from spindle_spi.auth import AuthPolicyService
from spindle_spi.catalog import CatalogService
from spindle_spi.codec import decode, encode
from spindle_spi.config_secrets import ConfigSecretsService
from spindle_spi.context import AuthenticatedContext
from spindle_spi.errors import ContractViolation, ErrorEnvelope, GatewayError, from_envelope
from spindle_spi.invocation import (
    Invocation,
    Progress,
    ProgressSink,
    Result,
    StreamEvent,
    Streaming,
    close_iterator,
)
from spindle_spi.module import Module
from spindle_spi.observability import ObservabilityService
from spindle_spi.plugin import Lane, PluginService, Segment, StreamGuard
from spindle_spi.services import Services
from spindle_spi.session_event import SessionEventService

_T = TypeVar("_T")
_S = TypeVar("_S")


class CallCounter:
    """How often each operation went over the transport: `("catalog", "admit") -> n`."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()

    def add(self, service: str, operation: str) -> None:
        """Count one call."""
        self.calls[service, operation] += 1


def loopback(services: Services, counter: CallCounter) -> Services:
    """Return the same services, reached over bytes."""
    return Services(
        auth=_client(AuthPolicyService, services.auth, "auth", counter),
        catalog=_client(CatalogService, services.catalog, "catalog", counter),
        plugin=_client(PluginService, services.plugin, "plugin", counter),
        session_event=_client(
            SessionEventService, services.session_event, "session_event", counter
        ),
        config_secrets=_client(
            ConfigSecretsService, services.config_secrets, "config_secrets", counter
        ),
        observability=_client(
            ObservabilityService, services.observability, "observability", counter
        ),
    )


def transferred(value: _T, kind: Annotation) -> _T:
    """Return a value as its receiver gets it: encoded, decoded.

    Raises:
        ContractViolation: It does not serialise.
    """
    try:
        result: _T = decode(encode(value, kind), kind)
    except TypeError as exc:
        raise ContractViolation(f"does not serialise: {exc}", code="spi.loopback") from exc

    return result


async def invoke_module(
    module: Module,
    context: AuthenticatedContext,
    invocation: Invocation,
    progress: ProgressSink | None,
    counter: CallCounter,
) -> Result:
    """Call `Module.invoke`, the host's direction of the contract, over bytes."""
    counter.add("module", "invoke")

    with _transferred_errors():
        result = await module.invoke(
            transferred(context, AuthenticatedContext),
            transferred(invocation, Invocation),
            _progress_over_bytes(progress),
        )

    return _result_over_bytes(result)


@contextmanager
def _transferred_errors() -> Generator[None]:
    """Turn an error that leaves the block into the error its receiver sees."""
    try:
        yield
    except GatewayError as exc:
        raise from_envelope(transferred(exc.envelope(), ErrorEnvelope)) from exc


def _client(contract: type[object], service: _S, name: str, counter: CallCounter) -> _S:
    operations = [
        operation
        for operation, _ in inspect.getmembers(contract, inspect.isfunction)
        if not operation.startswith("_")
    ]
    members = {
        operation: _forward(
            getattr(service, operation), getattr(contract, operation), (name, operation), counter
        )
        for operation in operations
    }
    client_class: Any = type(f"Loopback{contract.__name__}", (contract,), members)
    client: _S = client_class()
    return client


def _forward(
    target: Callable[..., Any],
    declared: Callable[..., Any],
    name: tuple[str, str],
    counter: CallCounter,
) -> Callable[..., Any]:
    signature = inspect.signature(declared)
    hints = get_type_hints(declared)

    def received(arguments: tuple[Any, ...], options: dict[str, Any]) -> inspect.BoundArguments:
        counter.add(*name)
        bound = signature.bind(*arguments, **options)

        for parameter, value in list(bound.arguments.items())[1:]:
            bound.arguments[parameter] = _argument(value, hints[parameter])

        return bound

    async def call(*arguments: Any, **options: Any) -> Any:
        bound = received(arguments, options)

        with _transferred_errors():
            result = await target(*bound.args[1:], **bound.kwargs)

        return _returned(result, hints["return"])

    def call_now(*arguments: Any, **options: Any) -> Any:
        bound = received(arguments, options)

        with _transferred_errors():
            result = target(*bound.args[1:], **bound.kwargs)

        return _returned(result, hints["return"])

    return call if inspect.iscoroutinefunction(declared) else call_now


def _argument(value: Any, kind: Annotation) -> Any:
    if ProgressSink in options_of(kind):
        return _progress_over_bytes(value)

    return transferred(value, kind)


def _returned(value: Any, kind: Annotation) -> Any:
    if kind is StreamGuard:
        return _LoopbackGuard(value)

    if kind == Result:
        return _result_over_bytes(value)

    if origin_of(kind) is AsyncIterator:
        return _Items(value, get_args(kind)[0])

    return transferred(value, kind)


def _result_over_bytes(result: Result) -> Result:
    if isinstance(result, Streaming):
        return Streaming(_Items(result.events, StreamEvent))

    return transferred(result, type(result))


class _Items(AsyncIterator[_T]):
    """A stream over bytes; closing it closes the stream behind it."""

    def __init__(self, items: AsyncIterator[_T], kind: Annotation) -> None:
        self._items = items
        self._kind = kind

    async def __anext__(self) -> _T:
        with _transferred_errors():
            item = await anext(self._items)

        return transferred(item, self._kind)

    async def aclose(self) -> None:
        await close_iterator(self._items)


def _progress_over_bytes(progress: ProgressSink | None) -> ProgressSink | None:
    if progress is None:
        return None

    async def report(update: Progress) -> None:
        await progress(transferred(update, Progress))

    return report


class _LoopbackGuard(StreamGuard):
    """A stream guard over bytes: one bidirectional stream per answer."""

    def __init__(self, guard: StreamGuard) -> None:
        self._guard = guard

    async def push(self, lane: Lane, text: str) -> str:
        lane, text = transferred(lane, Lane), transferred(text, str)

        with _transferred_errors():
            return transferred(await self._guard.push(lane, text), str)

    async def close(self, lane: Lane) -> str:
        lane = transferred(lane, Lane)

        with _transferred_errors():
            return transferred(await self._guard.close(lane), str)

    async def judge(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        segments = transferred(segments, Sequence[Segment])

        with _transferred_errors():
            return transferred(await self._guard.judge(segments), tuple[Segment, ...])

    async def finish(self) -> None:
        with _transferred_errors():
            await self._guard.finish()
