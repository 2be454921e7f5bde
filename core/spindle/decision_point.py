"""Asks a decision point outside about every call: AuthZEN over HTTP, cached, and fail-closed.

It narrows and never widens: our own two layers decided before it is asked.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import anyio
import httpx2
import msgspec
import structlog

from spindle.breaker import Breaker
from spindle.config.federation import DECISION_POINT_TOKEN
from spindle_spi.errors import ConfigError, FailedPrecondition, PermissionDenied, Unavailable
from spindle_spi.policy import permission_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from spindle.config.policy import DecisionPointSettings
    from spindle.secrets import SecretStore
    from spindle.telemetry.metrics import Metrics
    from spindle_spi.context import AuthenticatedContext, Subject, VisibilityScope
    from spindle_spi.policy import Action
    from spindle_spi.records import CatalogRecord
    from spindle_spi.secret import Secret
    from spindle_spi.types import Json, JsonObject

_LOG = structlog.get_logger("spindle.decision_point")

DECISIONS = "spindle_decision_point_decisions_total"
SECONDS = "spindle_decision_point_seconds"
OPEN = "spindle_decision_point_open"

_PATH = "/access/v1/evaluation"
_MAX_BYTES = 65_536
_CONNECTIONS = 50
_RETRY_SECONDS = 1.0

_Key: TypeAlias = "tuple[Subject, VisibilityScope, str, int, Action]"


class _Unanswered(Exception):
    """The decision point gave no decision; the reason is for the log."""


@dataclass(slots=True)
class _Question:
    """A question in flight, for everybody who has the same one."""

    done: anyio.Event
    answer: bool | None = None
    """None when whoever asked got no answer."""
    is_abandoned: bool = False


class DecisionPoint:
    """A gate before admission."""

    def __init__(
        self,
        settings: DecisionPointSettings,
        *,
        token: Secret | None,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._token = token
        self._metrics = metrics
        self._clock = clock
        self._url = settings.url.rstrip("/") + _PATH
        self._actions = None if settings.actions is None else frozenset(settings.actions)
        self._kinds = None if settings.kinds is None else frozenset(settings.kinds)
        self._answers: OrderedDict[_Key, tuple[float, bool]] = OrderedDict()
        self._asked: dict[_Key, _Question] = {}
        self._breaker = Breaker(
            failures=settings.breaker_failures, seconds=settings.breaker_seconds, clock=clock
        )
        limits = httpx2.Limits(max_connections=_CONNECTIONS)
        self._client = httpx2.AsyncClient(
            limits=limits,
            timeout=settings.timeout_seconds,
            trust_env=False,
            follow_redirects=False,
        )
        metrics.watch(OPEN, lambda: float(self._breaker.is_open))

    async def check(
        self, context: AuthenticatedContext, record: CatalogRecord, action: Action
    ) -> None:
        """Let the call pass.

        Raises:
            PermissionDenied: The decision is no.
            Unavailable: There is no decision.
        """
        if self._actions is not None and action not in self._actions:
            return

        if self._kinds is not None and record.kind not in self._kinds:
            return

        # All that the question tells is in here, and the token's epoch with the subject.
        scope = context.visibility_scope
        key = (context.subject, scope, record.id, record.epoch, action)
        answer = self._cached(key)

        if answer is None:
            answer = await self._shared(key, context, record, action)

        if not answer:
            raise PermissionDenied(
                f"The policy of this gateway does not allow this {action.value} on the "
                f"{record.kind.value} {record.name!r}.",
                code="core.policy.denied",
            )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    def cached(self) -> int:
        """Return how many answers are kept."""
        return len(self._answers)

    def _cached(self, key: _Key) -> bool | None:
        kept = self._answers.get(key)

        if kept is None:
            return None

        if kept[0] <= self._clock():
            del self._answers[key]
            return None

        self._answers.move_to_end(key)
        return kept[1]

    async def _shared(
        self, key: _Key, context: AuthenticatedContext, record: CatalogRecord, action: Action
    ) -> bool:
        """Ask once for everybody who asks the same at the same time."""
        while (asked := self._asked.get(key)) is not None:
            await asked.done.wait()

            if not asked.is_abandoned:
                if asked.answer is None:
                    raise _no_decision(_RETRY_SECONDS)

                return asked.answer

        question = self._asked[key] = _Question(anyio.Event(), is_abandoned=True)

        try:
            question.answer = await self._judged(context, record, action)
            question.is_abandoned = False
            self._keep(key, question.answer)
            return question.answer
        except Unavailable:
            question.is_abandoned = False
            raise
        finally:
            # A cancelled caller leaves the question to the next one who waits for it.
            del self._asked[key]
            question.done.set()

    def _keep(self, key: _Key, answer: bool) -> None:
        if self._settings.cache_seconds == 0:
            return

        while len(self._answers) >= self._settings.cache_size:
            self._answers.popitem(last=False)

        self._answers[key] = (self._clock() + self._settings.cache_seconds, answer)

    async def _judged(
        self, context: AuthenticatedContext, record: CatalogRecord, action: Action
    ) -> bool:
        wait = self._breaker.wait_seconds()

        if wait:
            self._count("refused")
            raise _no_decision(wait)

        started = time.perf_counter()
        is_over = False

        try:
            answer = await self._ask(context, record, action)
            is_over = True
            self._breaker.succeed()
        except _Unanswered as exc:
            is_over = True
            self._breaker.fail()
            self._count("error")
            _LOG.error("no decision", reason=str(exc), request_id=context.trace.request_id)
            raise _no_decision(_RETRY_SECONDS) from exc
        finally:
            if not is_over:
                self._breaker.forget()

        self._metrics.observe(SECONDS, time.perf_counter() - started)
        self._count("allow" if answer else "deny")
        return answer

    async def _ask(
        self, context: AuthenticatedContext, record: CatalogRecord, action: Action
    ) -> bool:
        headers = {"x-request-id": context.trace.request_id, "accept": "application/json"}

        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token.reveal()}"

        try:
            with anyio.fail_after(self._settings.timeout_seconds):
                return await self._post(headers, question(context, record, action))
        except TimeoutError as exc:
            raise _Unanswered("no answer in time") from exc
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as exc:
            raise _Unanswered(type(exc).__name__) from exc

    async def _post(self, headers: dict[str, str], body: JsonObject) -> bool:
        async with self._client.stream("POST", self._url, json=body, headers=headers) as response:
            if response.status_code != 200:
                raise _Unanswered(f"status {response.status_code}")

            text = bytearray()

            async for chunk in response.aiter_bytes():
                text += chunk

                if len(text) > _MAX_BYTES:
                    raise _Unanswered("the answer is too long")

        return _decision_in(bytes(text))

    def _count(self, decision: str) -> None:
        self._metrics.count(DECISIONS, 1.0, {"decision": decision})


def question(context: AuthenticatedContext, record: CatalogRecord, action: Action) -> JsonObject:
    """Return the AuthZEN evaluation request for a call.

    Nothing in it changes from one request to the next, so that an answer may be kept.
    """
    subject, scope = context.subject, context.visibility_scope

    if subject.user_email is not None:
        kind, identity = "user", subject.user_email
    elif subject.token_id is not None:
        kind, identity = "token", subject.token_id
    else:
        kind, identity = "anonymous", "anonymous"

    teams = subject.token_teams
    return {
        "subject": {
            "type": kind,
            "id": identity,
            "properties": {
                "is_admin": subject.is_admin,
                "teams": None if teams is None else list(teams),
                "token_id": subject.token_id,
            },
        },
        "action": {
            "name": action.value,
            "properties": {"permission": permission_for(record.kind, action)},
        },
        "resource": {
            "type": record.kind.value,
            "id": record.id,
            "properties": {
                "name": record.name,
                "team": record.team,
                "owner": record.owner,
                "visibility": record.visibility.value,
                "tags": list(record.tags),
            },
        },
        "context": {"server_id": scope.server_id},
    }


def _decision_in(text: bytes) -> bool:
    try:
        answer: Json = msgspec.json.decode(text)
    except (ValueError, RecursionError) as exc:
        raise _Unanswered("the answer is not JSON") from exc

    decision = answer.get("decision") if isinstance(answer, dict) else None

    if not isinstance(decision, bool):
        raise _Unanswered("the answer has no decision")

    return decision


def _no_decision(retry_after: float) -> Unavailable:
    return Unavailable(
        "The policy decision point gives no answer at the moment.",
        code="core.policy.unavailable",
        retry_after=retry_after,
    )


def build_decision_point(
    settings: DecisionPointSettings, secrets: SecretStore, metrics: Metrics
) -> DecisionPoint:
    """Build the gate that is configured.

    Raises:
        ConfigError: Its token has no value.
    """
    token: Secret | None = None

    if settings.token_env_var is not None or settings.token_file is not None:
        try:
            token = secrets.resolve(DECISION_POINT_TOKEN)
        except FailedPrecondition as exc:
            raise ConfigError([f"policy.decision_point: {exc.message}"]) from exc

    return DecisionPoint(settings, token=token, metrics=metrics)
