"""The sections of the core itself, as pydantic models: their keys, types, bounds and defaults.

A null anywhere means the default. `docs/reference/configuration.md` names every key.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Level = Literal["debug", "info", "warning", "error"]
Seconds = Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)]
"""At most a year: databases and timers have an end."""
Count = Annotated[int, Field(ge=1, le=2**53 - 1)]
"""What every reader of JSON, and every database, takes as it is."""
Text = Annotated[str, Field(min_length=1)]

STORE_SCHEMES = ("sqlite+aiosqlite", "postgresql+asyncpg")


def refuse(problem: str, expected: str) -> PydanticCustomError:
    """Return the error a validator raises; `faults` puts it into words with the path."""
    return PydanticCustomError("fault", "{problem}", {"problem": problem, "expected": expected})


def check_url(value: str) -> str:
    """Accept an http or https URL without credentials.

    Raises:
        PydanticCustomError: It is none.
    """
    expected = "http://HOST[:PORT][/PATH] or https://…"

    try:
        parts = urlsplit(value)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        raise refuse("is not a URL", expected) from None

    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        raise refuse("is not an http(s) URL", expected)

    if any(character.isspace() for character in value):
        raise refuse("has a space in it", expected)

    if parts.username is not None or parts.password is not None:
        raise refuse("has credentials in it", f"{expected}, the secret in a key of its own")

    return value


def check_host(value: str) -> str:
    """Accept a host without scheme and path.

    Raises:
        PydanticCustomError: It is none.
    """
    if "/" in value or any(character.isspace() for character in value):
        raise refuse(f"{value!r} is not a host name", "a host without scheme, or *")

    return value


def _check_origin(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    host = rest.strip("[]") if separator and "/" not in rest else ""

    if value != "*" and (scheme not in ("http", "https") or not host):
        raise refuse(f"{value!r} is not an origin", "http(s)://HOST[:PORT] without a path, or *")

    return value


def _check_public(value: str) -> str:
    parts = urlsplit(check_url(value))

    if parts.query or parts.fragment or value.endswith("/"):
        raise refuse("is more than where paths begin", "https://HOST[:PORT], no slash at the end")

    return value


def _check_store(value: str) -> str:
    scheme, separator, rest = value.partition("://")

    if not separator or scheme not in STORE_SCHEMES or rest in ("", "/", "/:memory:"):
        raise refuse("is not a database URL", " or ".join(f"{s}://…" for s in STORE_SCHEMES))

    return value


def _check_range(value: str) -> str:
    try:
        ip_network(value, strict=False)
    except ValueError:
        raise refuse(f"{value!r} is not a range of addresses", "10.0.0.0/8 or 192.0.2.7") from None

    return value


Url = Annotated[str, AfterValidator(check_url)]


class Section(BaseModel):
    """Base of every part of the configuration: no unknown keys, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    policies: ClassVar[Mapping[str, str]] = {}
    """By key: the policy rule that a value which is refused breaks."""


def _local_hosts(data: dict[str, object]) -> tuple[str, ...]:
    host = data.get("host", "127.0.0.1")
    shown = f"[{host}]" if ":" in str(host) else str(host)
    return tuple(dict.fromkeys(("localhost", "127.0.0.1", "[::1]", shown)))


class ServerSettings(Section):
    """`server`: the HTTP server."""

    host: Text = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: Annotated[str, AfterValidator(_check_public)] | None = None
    """What clients and browsers put before a path of ours."""
    body_limit_bytes: Count = 10_485_760
    allowed_hosts: tuple[Annotated[Text, AfterValidator(check_host)], ...] = Field(
        default_factory=_local_hosts
    )
    allowed_origins: tuple[Annotated[Text, AfterValidator(_check_origin)], ...] = ()
    drain_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    start_seconds: Seconds = 20.0
    metrics_on_loopback: bool = False
    max_request_line_bytes: Count = 16_384
    max_header_bytes: Count = 65_536
    max_headers: Count = 128
    header_timeout_seconds: Seconds = 10.0
    body_timeout_seconds: Seconds = 30.0
    """In which a body makes progress."""
    keep_alive_seconds: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 75.0
    max_connections: Count = 2000
    max_connections_per_address: Count | None = None
    trusted_proxies: tuple[Annotated[Text, AfterValidator(_check_range)], ...] = ()
    proxy_header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"


class StoreSettings(Section):
    """`store`: the database."""

    url: Annotated[str, AfterValidator(_check_store)] | None = Field(default=None, repr=False)
    """As written; `Settings.store_url` is the one to open."""
    revision_poll_seconds: Seconds = 0.5


class UsageSettings(Section):
    """`usage`: how usage rows reach the database."""

    flush_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    max_pending: Count = 100_000


class SpiSettings(Section):
    """`spi`: how modules are reached."""

    transport: Literal["direct", "loopback"] = "direct"


class ModuleSettings(Section):
    """`modules`: which modules run."""

    enabled: tuple[Text, ...] | None = None
    """None means every installed one."""
    disabled: tuple[Text, ...] = ()


class LoggerSettings(Section):
    """`logging.main`: where log lines go."""

    console_level: Level = "info"
    file_level: Level = "debug"
    file: Text | None = None
    max_size_mb: Count = 1000
    max_backups: Annotated[int, Field(ge=0)] = 3
    max_age_days: Count = 28


class LoggingSettings(Section):
    """`logging`."""

    main: LoggerSettings = LoggerSettings()
