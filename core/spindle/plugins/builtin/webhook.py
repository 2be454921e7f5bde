"""The plugin `webhook`: an external service judges. Whatever it does wrong denies."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import time
from dataclasses import replace
from typing import TYPE_CHECKING, TypeGuard
from urllib.parse import urlsplit, urlunsplit

import anyio
import httpx2

from spindle.breaker import Breaker
from spindle_spi.plugin import HookPhase, Plugin, PluginHost, Segment, SegmentKind, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spindle_spi.plugin import PluginInput
    from spindle_spi.types import Json, JsonObject

TIMESTAMP = "x-spindle-timestamp"
SIGNATURE = "x-spindle-signature"

_KINDS = frozenset(SegmentKind) - {SegmentKind.DOCUMENT}
"""Whole documents are shown as their pieces, which can be replaced."""
_MAX_ANSWER = 4 * 1024 * 1024
_MAX_RULE = 64
_SHARE = 0.9
"""Of the time budget: what is late is then a failure of the service, not of the caller."""


class Unreachable(Exception):
    """The service did not answer with a 200, or not in time."""


class BadAnswer(Exception):
    """The service answered something else than a verdict."""


class CircuitOpen(Exception):
    """The service failed too often and is not asked for a while."""


class Webhook(Plugin):
    """Sends segments to a service and does what it says."""

    name = "webhook"
    phases = frozenset(HookPhase)
    kinds = _KINDS
    config_schema: Mapping[str, Json] = {
        "type": "object",
        "properties": {
            "url": {"type": "string", "pattern": "^https?://", "maxLength": 2000},
            "signing_key": {
                "type": "string",
                "pattern": "^(env|file|vault):.+$",
                "description": "Reference to the key of the signature: env:, file: or vault:.",
            },
            "kinds": {
                "type": "array",
                "items": {"enum": [*sorted(kind.value for kind in _KINDS)]},
                "minItems": 1,
                "uniqueItems": True,
            },
            "breaker": {
                "type": "object",
                "properties": {
                    "failures": {"type": "integer", "minimum": 1, "maximum": 1000},
                    "seconds": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
                },
                "additionalProperties": False,
            },
        },
        "required": ["url", "signing_key"],
        "additionalProperties": False,
    }

    def __init__(
        self, config: JsonObject | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(config)
        kinds = self.config.get("kinds")
        breaker = self.config.get("breaker")
        bounds = {"failures": 5, "seconds": 30} | (breaker if isinstance(breaker, dict) else {})

        if isinstance(kinds, list):
            self.kinds = frozenset(SegmentKind(str(kind)) for kind in kinds)

        self._url = str(self.config["url"])
        self._key = str(self.config["signing_key"])
        self._breaker = Breaker(
            failures=int(_number(bounds["failures"])),
            seconds=_number(bounds["seconds"]),
            clock=clock,
        )
        self._tls: ssl.SSLContext | None = None

    async def inspect(self, call: PluginInput, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """Ask the service about the segments."""
        host = self.host

        if host is None:
            raise Unreachable

        body = _body(call, segments)

        if self._breaker.wait_seconds():
            raise CircuitOpen

        try:
            with anyio.fail_after(host.budget_seconds * _SHARE):
                answer = await self._ask(host, body)

            judged = _judged(segments, answer)
        except anyio.get_cancelled_exc_class():
            # Somebody else gave up, which says nothing about the service.
            self._breaker.forget()
            raise
        except BaseException:
            self._breaker.fail()
            raise

        self._breaker.succeed()

        if judged is None:
            raise refusal(self.name, _rule(answer))

        return judged

    async def _ask(self, host: PluginHost, body: bytes) -> JsonObject:
        address = await host.address_of(self._url)
        stamp = str(int(time.time()))
        key = host.secret(self._key).reveal().encode()
        headers = {
            "host": urlsplit(self._url).netloc,
            "content-type": "application/json",
            "accept-encoding": "identity",
            TIMESTAMP: stamp,
            SIGNATURE: sign(key, stamp, body),
        }
        request = httpx2.Request(
            "POST",
            _pinned(self._url, address),
            headers=headers,
            content=body,
            extensions={"sni_hostname": urlsplit(self._url).hostname},
        )

        # A redirect leads elsewhere, and the environment may name a proxy: neither was checked.
        async with httpx2.AsyncClient(
            verify=self._verify(), follow_redirects=False, trust_env=False, timeout=None
        ) as client:
            try:
                answer = await client.send(request, stream=True)

                if answer.status_code != 200 or "content-encoding" in answer.headers:
                    raise Unreachable

                return _parsed(await _read(answer))
            except httpx2.HTTPError as exc:
                raise Unreachable from exc

    def _verify(self) -> ssl.SSLContext:
        if self._tls is None:
            # Reading the certificates takes longer than most calls.
            self._tls = ssl.create_default_context()

        return self._tls


def sign(key: bytes, stamp: str, body: bytes) -> str:
    """Return the signature of a body sent at a moment, as the header has it."""
    digest = hmac.new(key, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"sha256={digest}"


def _body(call: PluginInput, segments: Sequence[Segment]) -> bytes:
    return json.dumps(
        {
            "version": 1,
            "phase": call.phase.value,
            "target": {"kind": call.target_kind.value, "name": call.target_name},
            "request_id": call.context.trace.request_id,
            "segments": [
                {
                    "id": index,
                    "pointer": segment.pointer,
                    "kind": segment.kind.value,
                    "role": segment.role,
                    "text": segment.text,
                }
                for index, segment in enumerate(segments)
            ],
        }
    ).encode()


async def _read(answer: httpx2.Response) -> bytes:
    parts: list[bytes] = []
    size = 0

    async for part in answer.aiter_raw():
        size += len(part)

        if size > _MAX_ANSWER:
            raise BadAnswer

        parts.append(part)

    return b"".join(parts)


def _parsed(data: bytes) -> JsonObject:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise BadAnswer from exc

    if not _is_object(answer):
        raise BadAnswer

    return answer


def _judged(segments: Sequence[Segment], answer: JsonObject) -> tuple[Segment, ...] | None:
    """Return what goes on; None when nothing does."""
    match answer.get("verdict"):
        case "allow":
            return tuple(segments)
        case "deny":
            return None
        case "replace":
            return _replaced(segments, answer.get("segments"))
        case _:
            raise BadAnswer


def _replaced(segments: Sequence[Segment], changes: Json) -> tuple[Segment, ...]:
    judged = list(segments)
    seen: set[int] = set()

    if not isinstance(changes, list):
        raise BadAnswer

    for change in changes:
        if not isinstance(change, dict):
            raise BadAnswer

        index, text = change.get("id"), change.get("text")

        if type(index) is not int or not isinstance(text, str):
            raise BadAnswer

        if not 0 <= index < len(judged) or index in seen:
            raise BadAnswer

        seen.add(index)
        judged[index] = replace(judged[index], text=text)

    return tuple(judged)


def _rule(answer: JsonObject) -> str:
    """Return the service's word for why; it becomes part of a code and of labels."""
    rule = answer.get("rule")
    is_word = isinstance(rule, str) and rule.isascii() and rule.replace("_", "").isalnum()
    return str(rule) if is_word and len(str(rule)) <= _MAX_RULE else "denied"


def _pinned(url: str, address: str) -> str:
    parts = urlsplit(url)
    host = f"[{address}]" if ":" in address else address
    netloc = host if parts.port is None else f"{host}:{parts.port}"
    return urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))


def _number(value: Json) -> float:
    return value if isinstance(value, int | float) else 0.0


def _is_object(value: object) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)
