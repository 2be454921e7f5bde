"""What the SDKs' scripts have in common, beside the named checks: the standard library alone."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.support.named_checks import check, raises, raises_async, run, same

__all__ = [
    "PLAIN",
    "REASONING",
    "REFUSAL",
    "Requests",
    "check",
    "gateway",
    "get",
    "raises",
    "raises_async",
    "run",
    "same",
    "upstream_requests",
]

PLAIN = "Grüße! The quick brown fox (狐) jumps over the lazy dog 🦊 and says “hello”."
"""What the model `plain` says."""
REASONING = "First I think, then I answer."
REFUSAL = "I cannot help with that."


@dataclass(frozen=True)
class Gateway:
    """The gateway as the environment tells of it."""

    url: str = os.environ.get("SPINDLE_URL", "")
    token: str = os.environ.get("SPINDLE_TOKEN", "")
    """A developer's."""
    poor_token: str = os.environ.get("SPINDLE_POOR_TOKEN", "")
    """Of somebody whose budget is spent."""
    bare_token: str = os.environ.get("SPINDLE_BARE_TOKEN", "")
    """Of somebody who may list models and ask none."""
    admin_token: str = os.environ.get("SPINDLE_ADMIN_TOKEN", "")
    upstream: str = os.environ.get("SPINDLE_UPSTREAM", "")
    """Where the upstream keeps its log."""

    @property
    def base(self) -> str:
        """The address OpenAI's SDKs are given."""
        return f"{self.url}/v1"


gateway = Gateway()


class Requests:
    """Counts what the gateway was asked on a route, by its own measures."""

    def __init__(self, route: str) -> None:
        self._route = route
        self._before = _answered(route)

    def expect(self, count: int) -> None:
        """Fail unless it was asked exactly so often: counted when an answer is out."""
        deadline = time.monotonic() + 5

        while (found := _answered(self._route) - self._before) < count:
            assert time.monotonic() < deadline, f"the gateway saw {found} requests, not {count}"
            time.sleep(0.02)

        assert found == count, f"the gateway saw {found} requests, not {count}"


def upstream_requests() -> list[dict[str, Any]]:
    """Return what the upstream was asked."""
    return list(_fetch(f"{gateway.upstream}/_log", None)["requests"])


def get(path: str) -> Any:
    """Return what the gateway answers to a plain GET of the developer."""
    return _fetch(f"{gateway.url}{path}", gateway.token)


def _answered(route: str) -> int:
    request = urllib.request.Request(
        f"{gateway.url}/metrics", headers={"authorization": f"Bearer {gateway.admin_token}"}
    )

    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()

    pattern = (
        rf'^spindle_http_requests_total\{{[^}}]*route="{re.escape(route)}"[^}}]*\}} ([0-9.e+]+)$'
    )
    return int(sum(float(number) for number in re.findall(pattern, text, re.MULTILINE)))


def _fetch(url: str, token: str | None) -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}

    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return json.load(answer)
