"""The ASGI application of the process: every request passes here, and nowhere else.

Resolve the caller, check the route's permission, call the handler, account for the answer. What a
request may see or do beyond that is decided by the core when the handler asks for it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeGuard

import anyio
import structlog

from spindle.authority import need
from spindle.federation.waiting import KeysNeeded, resolved
from spindle.ingress.challenges import Advertised, challenge_header
from spindle.ingress.cookies import session_of
from spindle.ingress.exchange import (
    CLOSE,
    SECURITY,
    SECURITY_TLS,
    ConnectionCut,
    Exchange,
    too_large,
)
from spindle.ingress.measures import RequestMeasures
from spindle.ingress.requests import (
    Perimeter,
    check_repeated,
    client_ip_of,
    credential_of,
    new_request_id,
    read_headers,
    trace_of,
)
from spindle.ingress.routes import CORE
from spindle.ingress.traced import begin_trace, end_trace
from spindle.refusals import Refusal, unheard
from spindle_spi.context import AuthenticatedContext, Subject, VisibilityScope
from spindle_spi.errors import (
    GatewayError,
    Internal,
    InvalidArgument,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from spindle_spi.ingress import CALL_SCOPE_KEY, Call

if TYPE_CHECKING:
    from spindle.ingress.measures import Meter
    from spindle.ingress.ports import Callers, OpenLeases
    from spindle.ingress.requests import Headers
    from spindle.ingress.routes import Mount, RouteTable
    from spindle.refusals import Refusals
    from spindle.telemetry.spans import Tracing
    from spindle_spi.types import Receive, Scope, Send

_LOG = structlog.get_logger("spindle.ingress")
_LOGGER = logging.getLogger("spindle.ingress")
"""Asked whether anybody listens, which costs less than a line that nobody reads."""
_NOBODY = Subject()
_NOTHING = VisibilityScope()
_REFUSED = (401, 403)
_RETRY_SECONDS = 2.0
_LAST_WORD_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressSettings:
    """What the operator decides about ingress."""

    body_limit: int
    allowed_hosts: tuple[str, ...]
    allowed_origins: tuple[str, ...] = ()
    session_cookie: str | None = None
    """Name of the cookie of login sessions; None where nobody logs in."""
    advertised: Advertised | None = None
    """What refused clients are told; None where no identity provider vouches for them."""


class Ingress:
    """The application. One instance serves the process; `table` may be asked for its inventory."""

    def __init__(
        self,
        *,
        table: RouteTable,
        callers: Callers,
        leases: OpenLeases,
        meter: Meter,
        settings: IngressSettings,
        tracing: Tracing | None = None,
    ) -> None:
        self.table = table
        self._callers = callers
        self._leases = leases
        self._measures = RequestMeasures(meter)
        self._tracing = tracing
        self._body_limit = settings.body_limit
        self._session_cookie = settings.session_cookie
        self._advertised = settings.advertised
        self._perimeter = Perimeter(hosts=settings.allowed_hosts, origins=settings.allowed_origins)
        self.refusals: Refusals = unheard
        """Told of requests that are refused for who asks."""
        self._active = 0
        self._is_draining = False
        self._idle = anyio.Event()

    @property
    def active(self) -> int:
        """How many requests are being answered."""
        return self._active

    def configure(self, settings: IngressSettings) -> None:
        """Take other limits, hosts and origins, from the next request on."""
        self._body_limit = settings.body_limit
        self._perimeter = Perimeter(hosts=settings.allowed_hosts, origins=settings.allowed_origins)

    async def drain(self) -> None:
        """Answer 503 from now on, and return when the last request before that has ended."""
        self._is_draining = True

        if self._active:
            await self._idle.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ConnectionCut(f"no {scope['type']} here")

        started = time.perf_counter()
        headers = read_headers(scope)
        method, path = scope["method"], scope["path"]
        found = self.table.match(method, path, scope.get("raw_path") or b"")
        mount = None if found is None else found[0]
        exchange = Exchange(
            receive,
            send,
            request_id=new_request_id(),
            errors=self.table.shape_at(path) if mount is None else mount.errors,
            is_head=method == "HEAD",
        )
        self._active += 1

        if mount is None or mount.owner == CORE:
            exchange.added = SECURITY_TLS if scope.get("scheme") == "https" else SECURITY

        try:
            if found is None:
                await self._refuse_unknown(scope, headers, exchange)
            else:
                scope["path_params"] = found[1]
                call = await self._admitted(scope, headers, exchange, found[0])
                scope[CALL_SCOPE_KEY] = call
                await found[0].handler(scope, exchange.receive, exchange.send, call)

            if not exchange.is_complete:
                await self._conclude(exchange, None)
        except GatewayError as error:
            if mount is not None and error.http_status in _REFUSED:
                self._tell(scope, exchange, mount, error)
                exchange.challenge = self._challenge(scope, headers, mount, error)

            await self._conclude(exchange, error)
        except Exception as error:  # noqa: BLE001 - the request boundary
            await self._report(exchange, error, mount)
        except anyio.get_cancelled_exc_class():
            await self._give_up(exchange)
            raise
        finally:
            if self._leases.has_open(exchange.request_id):
                with anyio.CancelScope(shield=True):
                    await self._leases.end(exchange.request_id)

            self._account(exchange, mount, method, time.perf_counter() - started)

    def authorise(self, scope: Scope, call: Call, permission: str) -> None:
        """Check a permission on a public route, for handlers that need it only sometimes.

        Raises:
            Unauthenticated: No caller.
            PermissionDenied: The caller lacks the permission.
        """
        context = self._callers.resolve(
            credential=self._credential_of(scope, read_headers(scope)),
            client_ip=client_ip_of(scope),
            trace=call.context.trace,
            path=scope["path"],
        )
        # What is public but for this is no team's.
        need(context, permission)

    async def _admitted(
        self, scope: Scope, headers: Headers, exchange: Exchange, mount: Mount
    ) -> Call:
        try:
            return self._admit(scope, headers, exchange, mount)
        except KeysNeeded as missing:
            return await resolved(partial(self._admit, scope, headers, exchange, mount), missing)

    def _admit(self, scope: Scope, headers: Headers, exchange: Exchange, mount: Mount) -> Call:
        """Decide whether this request reaches its handler, in the order of cost."""
        trace = trace_of(headers, exchange.request_id)

        if self._tracing is not None:
            trace = begin_trace(self._tracing, trace, exchange)

        self._perimeter.check(headers)

        if b"*" in headers:
            check_repeated(headers)

        if self._is_draining or not mount.is_serving:
            raise self._unavailable(mount)

        slug = None if mount.server_param is None else scope["path_params"][mount.server_param]

        if mount.is_public:
            context = AuthenticatedContext(subject=_NOBODY, visibility_scope=_NOTHING, trace=trace)
            call = Call(context, server_slug=slug)
        else:
            context = self._callers.resolve(
                credential=self._credential_of(scope, headers),
                client_ip=client_ip_of(scope),
                trace=trace,
                server_slug=slug,
                path=scope["path"],
            )

            exchange.subject = context.subject

            if mount.permission:
                self._check_permission(context, mount.permission)

            call = Call(context, view_key=self._callers.view_key(context), server_slug=slug)

            if context.subject.token_id is not None:
                exchange.watch(context.subject, self._callers.is_current)

        exchange.body_limit = limit = mount.body_limit or self._body_limit

        if b"content-length" in headers:
            _check_length(headers[b"content-length"], limit)

        return call

    def _tell(self, scope: Scope, exchange: Exchange, mount: Mount, error: GatewayError) -> None:
        self.refusals(
            Refusal(
                action=mount.permission or "request",
                target=f"{scope['method']} {mount.path}",
                target_kind="route",
                error=error,
                request_id=exchange.request_id,
                subject=exchange.subject,
                client_ip=client_ip_of(scope),
            )
        )

    def _challenge(
        self, scope: Scope, headers: Headers, mount: Mount, error: GatewayError
    ) -> bytes | None:
        if self._advertised is None or mount.route.challenge is None:
            return None

        return challenge_header(self._advertised, mount.route.challenge, error, scope, headers)

    def _credential_of(self, scope: Scope, headers: Headers) -> str | None:
        credential = credential_of(headers)

        if credential is None and self._session_cookie is not None and b"cookie" in headers:
            return session_of(headers, self._session_cookie, scope["method"], self._perimeter)

        return credential

    def _check_permission(self, context: AuthenticatedContext, permission: str) -> None:
        if not self._callers.permitted(context, permission):
            raise PermissionDenied(f"This token lacks the permission {permission}.")

    def _unavailable(self, mount: Mount) -> Unavailable:
        if self._is_draining:
            return _shutting_down()

        return Unavailable(
            f"The module {mount.owner} is not running at the moment.",
            code="core.module_unavailable",
            retry_after=_RETRY_SECONDS,
        )

    async def _refuse_unknown(self, scope: Scope, headers: Headers, exchange: Exchange) -> None:
        self._perimeter.check(headers)
        method, path = scope["method"], scope["path"]
        methods, exchange.errors = self.table.methods_at(path, scope.get("raw_path") or b"")

        if not methods:
            raise NotFound(f"There is nothing at {path}.", code="core.path_unknown")

        error = MethodNotAllowed(f"{path} has no {method}.")
        await exchange.fail(error, [(b"allow", ", ".join(methods).encode())])

    async def _conclude(self, exchange: Exchange, error: GatewayError | None) -> None:
        """Bring an exchange without a complete answer to its end."""
        error = error or exchange.refusal

        if exchange.is_complete or exchange.is_gone:
            return

        if exchange.is_started:
            reason = "the handler did not finish its answer" if error is None else error.code
            _LOG.warning("answer cut", request_id=exchange.request_id, reason=reason)
            raise ConnectionCut(reason)

        if error is None:
            _LOG.error("no answer", request_id=exchange.request_id)
            error = Internal("Something went wrong here.")

        await exchange.fail(error, [CLOSE] if self._is_draining else [])

    async def _give_up(self, exchange: Exchange) -> None:
        """Say so to the client of a cancelled request, as long as nothing else was said."""
        if not exchange.is_started and not exchange.is_gone:
            with anyio.move_on_after(_LAST_WORD_SECONDS, shield=True):
                await exchange.fail(_shutting_down(), [CLOSE])

    async def _report(self, exchange: Exchange, error: Exception, mount: Mount | None) -> None:
        """Log a defect under the request's id; the client is told that id and nothing else."""
        if isinstance(error, ConnectionCut):
            raise error

        # A handler's task group wraps what the exchange itself refused: that is no defect of it.
        if _is_group(error) and _holds_only(error, exchange.refusal):
            await self._conclude(exchange, exchange.refusal)
            return

        if exchange.is_gone:
            _LOG.debug("handler failed after its client left", request_id=exchange.request_id)
            return

        _LOG.error(
            "request failed",
            request_id=exchange.request_id,
            owner=None if mount is None else mount.owner,
            exc_info=error,
        )
        await self._conclude(exchange, Internal("Something went wrong here."))

    def _account(
        self, exchange: Exchange, mount: Mount | None, method: str, seconds: float
    ) -> None:
        self._active -= 1

        if self._is_draining and not self._active:
            self._idle.set()

        labels = self._measures.add(exchange, mount, method, seconds)

        if self._tracing is not None and exchange.trace is not None:
            end_trace(self._tracing, exchange.trace, exchange, labels, seconds)

        if _LOGGER.isEnabledFor(logging.DEBUG):
            _LOG.debug(
                "request",
                **labels,
                duration_ms=round(seconds * 1000, 3),
                response_bytes=exchange.sent,
                request_id=exchange.request_id,
            )


def _shutting_down() -> Unavailable:
    return Unavailable(
        "The server is shutting down.", code="core.draining", retry_after=_RETRY_SECONDS
    )


def _check_length(value: bytes, limit: int) -> None:
    if not value.isdigit():
        raise InvalidArgument("The header content-length is not a number.")

    if int(value) > limit:
        raise too_large(limit)


def _is_group(error: Exception) -> TypeGuard[ExceptionGroup[Exception]]:
    return isinstance(error, ExceptionGroup)


def _holds_only(group: ExceptionGroup[Exception], error: Exception | None) -> bool:
    return group.split(lambda member: member is error)[1] is None
