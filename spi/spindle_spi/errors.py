"""The one error tree. Every failure that crosses a boundary is one of these.

GatewayError
├── InvalidArgument        the caller's request cannot be understood      400
│   └── PayloadTooLarge    it is bigger than the route takes              413
├── Unauthenticated        no caller, or a credential that does not hold  401
├── PermissionDenied       the caller sees the record but may not         403
│   └── PluginDenied       a plugin refused the content                   403
├── NotFound               absent, or hidden: nobody can tell which       404
├── Conflict               somebody else's state is in the way            409
├── FailedPrecondition     the state needed for this is not there         400
├── RateLimited            too much, too fast, or out of budget           429
├── Unsupported            this surface or record does not do that        400
│   └── MethodNotAllowed   the path exists, the method does not           405
├── Unavailable            cannot be done now                             503
├── UpstreamError          the upstream failed                            502
│   └── UpstreamTimeout    the upstream did not answer in time            504
└── Internal               a defect of ours                               500
    └── ContractViolation  a module or plugin broke the SPI's rules       500
ConfigError                the operator's configuration is wrong (start-up only)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, TypedDict, Unpack

_MAX_MESSAGE: Final = 8_000
"""Characters of a message."""


class Category(StrEnum):
    """Canonical categories; each surface maps them once, in one table."""

    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    RATE_LIMITED = "RATE_LIMITED"
    UNSUPPORTED = "UNSUPPORTED"
    UNAVAILABLE = "UNAVAILABLE"
    UPSTREAM_ERROR = "UPSTREAM_ERROR"
    INTERNAL = "INTERNAL"


class Origin(StrEnum):
    """Who made the failure; told to the client in the body and in `x-spindle-origin`."""

    CLIENT = "client"
    CORE = "core"
    POLICY = "policy"
    PLUGIN = "plugin"
    MODULE = "module"
    UPSTREAM = "upstream"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEnvelope:
    """A `GatewayError` as data, the form in which it crosses a transport."""

    category: Category
    code: str
    message: str
    origin: Origin
    retryable: bool
    http_status: int
    param: str | None = None
    retry_after: float | None = None
    """Seconds the caller should wait, when somebody knows."""
    kind: str = ""
    """The default code of the error's class: which member of its category it is."""


class ErrorDetail(TypedDict, total=False):
    """What may be said of an error beside its message; its class says the rest."""

    code: str | None
    origin: Origin | None
    retryable: bool | None
    http_status: int | None
    param: str | None
    retry_after: float | None


class GatewayError(Exception):
    """Base of the tree: a category, a stable code, and a message safe to show to a client."""

    category: ClassVar[Category] = Category.INTERNAL
    default_status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal"
    default_origin: ClassVar[Origin] = Origin.CORE
    default_retryable: ClassVar[bool] = False

    def __init__(self, message: str, **detail: Unpack[ErrorDetail]) -> None:
        # Messages quote what was sent, and that may be as long as a body.
        shown = message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]}…"
        super().__init__(shown)
        retryable = detail.get("retryable")
        self.message = shown
        self.code = detail.get("code") or self.default_code
        self.origin = detail.get("origin") or self.default_origin
        self.retryable = self.default_retryable if retryable is None else retryable
        self.http_status = detail.get("http_status") or self.default_status
        self.param = detail.get("param")
        self.retry_after = detail.get("retry_after")

    def envelope(self) -> ErrorEnvelope:
        """Return this error as data."""
        return ErrorEnvelope(
            category=self.category,
            code=self.code,
            message=self.message,
            origin=self.origin,
            retryable=self.retryable,
            http_status=self.http_status,
            param=self.param,
            retry_after=self.retry_after,
            kind=_kind_of(type(self)),
        )


class InvalidArgument(GatewayError):
    """The caller's request cannot be understood or breaks a stated rule."""

    category = Category.INVALID_ARGUMENT
    default_status = 400
    default_code = "invalid_argument"
    default_origin = Origin.CLIENT


class PayloadTooLarge(InvalidArgument):
    """The request body is bigger than the route takes."""

    default_status = 413
    default_code = "request_too_large"


class Unauthenticated(GatewayError):
    """No credential, or one that does not hold."""

    category = Category.UNAUTHENTICATED
    default_status = 401
    default_code = "unauthenticated"
    default_origin = Origin.CLIENT


class PermissionDenied(GatewayError):
    """The caller sees the record but may not do this with it."""

    category = Category.PERMISSION_DENIED
    default_status = 403
    default_code = "permission_denied"
    default_origin = Origin.POLICY


class PluginDenied(PermissionDenied):
    """A plugin refused the content; nothing of it was released."""

    default_code = "plugin.denied"
    default_origin = Origin.PLUGIN


class NotFound(GatewayError):
    """Absent or hidden; the two are indistinguishable by design."""

    category = Category.NOT_FOUND
    default_status = 404
    default_code = "not_found"
    default_origin = Origin.CLIENT


class Conflict(GatewayError):
    """Somebody else's state is in the way."""

    category = Category.CONFLICT
    default_status = 409
    default_code = "conflict"
    default_origin = Origin.CLIENT


class FailedPrecondition(GatewayError):
    """What this needs to hold beforehand does not hold."""

    category = Category.FAILED_PRECONDITION
    default_status = 400
    default_code = "failed_precondition"
    default_origin = Origin.CLIENT


class RateLimited(GatewayError):
    """Too fast, too much, or out of budget; `retryable=False` means waiting does not help."""

    category = Category.RATE_LIMITED
    default_status = 429
    default_code = "rate_limit_exceeded"
    default_origin = Origin.POLICY
    default_retryable = True


class Unsupported(GatewayError):
    """This surface or this record does not do that."""

    category = Category.UNSUPPORTED
    default_status = 400
    default_code = "unsupported"
    default_origin = Origin.CLIENT


class MethodNotAllowed(Unsupported):
    """The path exists; the method does not."""

    default_status = 405
    default_code = "method_not_allowed"


class Unavailable(GatewayError):
    """Cannot be done now; later may work."""

    category = Category.UNAVAILABLE
    default_status = 503
    default_code = "unavailable"
    default_retryable = True


class UpstreamError(GatewayError):
    """The upstream failed; what it said stays with us."""

    category = Category.UPSTREAM_ERROR
    default_status = 502
    default_code = "upstream_error"
    default_origin = Origin.UPSTREAM
    default_retryable = True


class UpstreamTimeout(UpstreamError):
    """The upstream did not answer in time."""

    default_status = 504
    default_code = "upstream_timeout"


class Internal(GatewayError):
    """A defect of ours; the details are in the log, under the trace id."""


class ContractViolation(Internal):
    """A module or plugin broke the rules of the SPI."""

    default_code = "contract_violation"
    default_origin = Origin.MODULE


class ConfigError(Exception):
    """The operator's configuration is wrong; carries every fault, each with its path."""

    def __init__(self, faults: list[str] | tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


_BASES: tuple[type[GatewayError], ...] = (
    InvalidArgument,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    Conflict,
    FailedPrecondition,
    RateLimited,
    Unsupported,
    Unavailable,
    UpstreamError,
    Internal,
)
_VARIANTS: tuple[type[GatewayError], ...] = (
    PayloadTooLarge,
    PluginDenied,
    MethodNotAllowed,
    UpstreamTimeout,
    ContractViolation,
)
_BY_CATEGORY = {kind.category: kind for kind in _BASES}
_BY_KIND = {kind.default_code: kind for kind in (*_BASES, *_VARIANTS)}


def base_of(category: Category) -> type[GatewayError]:
    """Return the class every error of a category derives from."""
    return _BY_CATEGORY[category]


def from_envelope(envelope: ErrorEnvelope) -> GatewayError:
    """Rebuild the exception an envelope describes; the receiving end of a transport."""
    base = base_of(envelope.category)
    kind = _BY_KIND.get(envelope.kind, base)

    if not issubclass(kind, base):
        kind = base

    return kind(
        envelope.message,
        code=envelope.code,
        origin=envelope.origin,
        retryable=envelope.retryable,
        http_status=envelope.http_status,
        param=envelope.param,
        retry_after=envelope.retry_after,
    )


def _kind_of(kind: type[GatewayError]) -> str:
    # A subclass of somebody else's crosses as the nearest class of this tree.
    lineage = [base for base in kind.__mro__ if issubclass(base, GatewayError)]
    return next(base.default_code for base in lineage if base.default_code in _BY_KIND)


_MAX_SHOWN = 200
"""Characters of a caller's word that an error repeats."""


def shortened(word: str) -> str:
    """Return a name as an error may repeat it: a caller can send one of any length."""
    return word if len(word) <= _MAX_SHOWN else f"{word[:_MAX_SHOWN]}…"
