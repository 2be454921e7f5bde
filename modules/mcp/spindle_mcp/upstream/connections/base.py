"""What every kind of upstream connection offers to its actor, and what it is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import anyio

from spindle_mcp.upstream.credentials.source import HeaderSource
from spindle_mcp.upstream.programs.program import Program
from spindle_spi.context import AuthenticatedContext
from spindle_spi.secret import Secret
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle_spi.invocation import Progress
    from spindle_spi.observability import Level

CLIENT_NAME = "spindle"
LISTS: Final = frozenset({"tools", "prompts", "resources"})
"""What upstreams list, by the names of their capabilities."""

Tell: TypeAlias = "Callable[[Level, str, JsonObject], None]"


def _keep_silent(level: Level, event: str, fields: JsonObject) -> None:
    del level, event, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an upstream is and within which bounds it is used."""

    gateway: str
    url: str
    version: str
    """Our own version, as upstreams are told it."""
    credential: Secret | None = None
    headers: HeaderSource | None = None
    """Asked before every request for what else proves us."""
    caller: AuthenticatedContext | None = None
    """Whose session it is, where each person has their own; None is the gateway's."""
    address: str | None = None
    """The address to connect to when somebody has judged the host's; it is not resolved again."""
    connect_seconds: float = 10.0
    max_connections: int = 100
    max_result_bytes: int = 16 * 1024 * 1024
    program: Program | None = None
    """What to start and speak with in place of an address."""
    tell: Tell = _keep_silent
    """Writes to the log, with the gateway's name."""


class Peer(Protocol):
    """Whoever asked: what its side can take while a request of it runs."""

    @property
    def key(self) -> str:
        """Whose upstream sessions its requests may use, where it needs some of its own."""
        ...

    @property
    def is_session(self) -> bool:
        """Its requests belong together: all of them may use one upstream session at a time."""
        ...

    @property
    def can_be_asked(self) -> bool:
        """Whether `ask` reaches it while a request runs, if it declared what is asked."""
        ...

    @property
    def capabilities(self) -> JsonObject:
        """The client's declared capabilities, as the protocol has them."""
        ...

    @property
    def log_level(self) -> str | None:
        """The least level of log messages it wants; None: it wants none."""
        ...

    async def progress(self, update: Progress) -> None:
        """Say how far the request is."""
        ...

    async def log(self, params: JsonObject) -> None:
        """Pass on a log message: the parameters of `notifications/message`."""
        ...

    async def ask(self, method: str, params: JsonObject) -> JsonObject:
        """Ask the client: `elicitation/create`, `sampling/createMessage`, or `roots/list`.

        Raises:
            MCPError: The client refused, in the protocol's words; or it cannot be asked.
            GatewayError: It may not be asked this.
        """
        ...

    async def completed(self, link: str) -> None:
        """Say that what the client visited a page for is done, by the id of the link.

        Also after the request has ended; a client that has no session is not told.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to an upstream."""

    method: str
    params: JsonObject = field(default_factory=dict[str, Json])
    """As the protocol has them, without `_meta`; answers and state of an earlier round included."""
    meta: JsonObject = field(default_factory=dict[str, Json])
    """What of the caller's `_meta` goes on; the keys of one hop are never in it."""
    name: str | None = None
    """What the header `Mcp-Name` says."""
    silence: float
    """Seconds the upstream may go without an answer or a word on its progress."""
    deadline: float | None = None
    """On the monotonic clock."""
    peer: Peer | None = None
    """Who asks; None: there is nobody to tell or to ask."""
    wants_progress: bool = False
    traceparent: str | None = None
    """W3C trace context to hand on in `_meta`."""
    caller: AuthenticatedContext | None = None
    """For whom, where the upstream is shown that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an upstream says has changed."""

    lists: frozenset[str] = frozenset()
    """Some of `LISTS`."""
    resources: frozenset[str] = frozenset()
    """URIs of resources that were updated."""

    def __or__(self, other: Change) -> Change:
        return Change(lists=self.lists | other.lists, resources=self.resources | other.resources)

    def __bool__(self) -> bool:
        return bool(self.lists or self.resources)


EVERYTHING: Final = Change(lists=LISTS)
"""Nobody knows what changed."""

CHANGES: Final = {
    f"notifications/{name}/list_changed": Change(lists=frozenset({name})) for name in LISTS
}
RESOURCE_UPDATED: Final = "notifications/resources/updated"


def change_in(method: str, params: object) -> Change | None:
    """Return the change a notification tells of; None when it tells of something else."""
    if method == RESOURCE_UPDATED:
        uri = params.get("uri") if isinstance(params, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return Change(resources=frozenset({uri})) if isinstance(uri, str) else None

    return CHANGES.get(method)


class Upstream(ABC):
    """An open connection. Opened and closed in its actor's task, used from any other."""

    era: str
    capabilities: JsonObject
    """What it says it can do, as the protocol has it."""
    instructions: str | None = None

    @abstractmethod
    async def request(self, request: Request) -> JsonObject:
        """Carry out a request; returns the result as the upstream wrote it.

        A modern upstream's result may be an `input_required` one. Cancelling cancels it there.

        Raises:
            GatewayError: The upstream could not be reached, refused the request, or was too slow.
        """

    @abstractmethod
    async def list_all(self, method: str, key: str) -> list[JsonObject]:
        """Return every entry of a list, all pages; `key` is where a page's result has them.

        Raises:
            UpstreamError: It could not be asked, or answered badly.
        """

    def take_credential(self, credential: Secret) -> bool:
        """Use another credential from now on; False when that takes another connection."""
        del credential
        return False

    async def changed(self) -> Change:
        """Return when the upstream says that something is not what it was, and what.

        Raises:
            UpstreamError: The connection is gone.
        """
        await anyio.sleep_forever()
        return EVERYTHING

    async def watch(self, uris: frozenset[str]) -> None:
        """Be told when these resources are updated, and no others.

        Raises:
            UpstreamError: The upstream could not be told so.
        """
        del uris
