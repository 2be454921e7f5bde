"""A gateway to be fuzzed by its own document, in another process, with one of everything in it."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import requests

from spindle_spi.types import JsonObject
from tests.openapi.inventory import obj
from tests.support.spindle_process import START_SECONDS, STOP_SECONDS, start_spindle

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from spindle_spi.types import Json

SECONDS: Final = 10.0
"""No answer takes longer, and no stream is read for longer."""

ADMIN: Final = "/admin/api/v1"
MODEL: Final = "mock~echo"

CONFIGURATION: Final[JsonObject] = {
    "llm": {
        "services": {"mock": {"provider_type": "mock", "models": [{"name": "echo"}]}},
        "default_model": MODEL,
    },
    "mcp": {"gateways": {"demo": {"transport": "builtin"}}},
    "servers": {"desk": {"gateways": ["demo"], "visibility": "public"}},
}

PERSON: Final = "somebody@example.com"
NEW: Final[tuple[tuple[str, str, JsonObject], ...]] = (
    (f"{ADMIN}/users", "{email}", {"email": PERSON, "name": "Somebody"}),
    (f"{ADMIN}/service-accounts", "{email}", {"name": "robot"}),
    (f"{ADMIN}/teams", "{team}", {"name": "red"}),
    (f"{ADMIN}/invitations", "{invitation}", {"team": "red", "email": "guest@example.com"}),
    (f"{ADMIN}/roles", "{role}", {"name": "reader", "permissions": ["tools.read"]}),
    (f"{ADMIN}/tokens", "{token}", {"name": "other", "user": PERSON}),
    (f"{ADMIN}/budgets", "{id}", {"scope": "team", "name": "red", "period": "day",
                                  "limit_usd": 1.0, "mode": "soft"}),
    (f"{ADMIN}/limits", "{id}", {"scope": "team", "name": "red", "requests_per_minute": 9}),
    (f"{ADMIN}/plugins", "{name}", {"plugin": "pii", "name": "off", "mode": "disabled"}),
    (f"{ADMIN}/providers", "{id}", {"name": "second", "provider_type": "mock"}),
    (f"{ADMIN}/models", "{id}", {"provider": "second", "upstream_name": "echo"}),
    (f"{ADMIN}/gateways", "{id}", {"name": "more", "transport": "builtin"}),
    (f"{ADMIN}/servers", "{id}", {"name": "small", "tools": ["demo__echo"]}),
    (f"{ADMIN}/tools", "{id}", {"name": "ask_more", "model": MODEL}),
    (f"{ADMIN}/toolsets", "{id}", {"name": "few", "tools": ["demo__echo"]}),
    ("/llm/providers", "{id}", {"name": "third", "provider_type": "mock"}),
    ("/llm/models", "{id}", {"provider_id": "third", "model_id": "echo"}),
)  # fmt: skip
"""What is made first of each kind: its collection, how its path goes on, and its body."""

KEYS: Final = ("id", "email", "name")


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """A running gateway, who asks it, and what there is in it."""

    url: str
    session: requests.Session
    """Comes with the administrator's token, which no case names: it survives."""
    document: JsonObject
    there: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """By the beginning of a path: what its parameters are, so that a record is found."""
    made: list[tuple[str, requests.Response]] = field(
        default_factory=list[tuple[str, requests.Response]]
    )
    """The answers to what was made, by operation."""

    def ask(self, method: str, path: str, body: Json = None, **more: str) -> requests.Response:
        """Send one request."""
        return self.session.request(
            method, f"{self.url}{path}", json=body, headers=more, timeout=SECONDS
        )

    def existing(self, path: str) -> dict[str, str] | None:
        """Return parameters for a path with which something is found."""
        found = [prefix for prefix in self.there if path.startswith(prefix)]

        if not found:
            return None

        names = self.there[max(found, key=len)]
        return {name: value for name, value in names.items() if f"{{{name}}}" in path}


@contextmanager
def running(home: Path) -> Generator[Fuzzed]:
    """Run a gateway until the block is left; it must not have failed in any way."""
    server = start_spindle(CONFIGURATION, home=home)

    try:
        deadline = time.monotonic() + START_SECONDS

        while not (home / "stdout.txt").read_text().startswith("Spindle is listening on "):
            assert server.process.poll() is None, server.stderr
            assert time.monotonic() < deadline, server.stderr
            time.sleep(0.02)

        with requests.Session() as session:
            session.trust_env = False
            session.headers["authorization"] = f"Bearer {server.admin_token}"
            answer = session.get(f"{server.url}/openapi.json", timeout=SECONDS)
            gateway = Fuzzed(server.url, session, obj(answer.json()))
            _fill(gateway)
            yield gateway
            # Whatever became of other tokens: this one was left alone.
            assert gateway.ask("GET", f"{ADMIN}/me").status_code == 200
    finally:
        server.process.terminate()
        code = server.process.wait(STOP_SECONDS)

    assert code == 0, server.stderr
    assert "Traceback" not in server.stderr, server.stderr


def _fill(gateway: Fuzzed) -> None:
    """Make one of everything, and remember how its paths name it."""
    for collection, rest, body in NEW:
        answer = gateway.ask("POST", collection, body)
        assert answer.status_code == 201, (collection, answer.text)
        gateway.made.append((f"POST {collection}", answer))
        shown = obj(answer.json())
        key = next(key for key in KEYS if key in shown)
        gateway.there[f"{collection}/{rest}"] = {rest[1:-1]: str(shown[key])}

    team, secret = f"{ADMIN}/teams/{{team}}", f"{ADMIN}/secrets/{{name}}"
    member = f"{team}/members/{{email}}"
    _put(gateway, "PUT", member, {"team": "red", "email": PERSON}, {"role": "developer"})
    _put(gateway, "PUT", secret, {"name": "KEPT"}, {"value": "hush"})
    bundle: JsonObject = {"bundle": 1, "toolsets": {"bundled": {"tools": ["demo__echo"]}}}
    answer = gateway.ask("POST", f"{ADMIN}/config/apply", bundle)
    assert answer.status_code == 200, answer.text
    gateway.made.append((f"POST {ADMIN}/config/apply", answer))
    version = str(obj(answer.json())["version"])
    invited = next(a for label, a in gateway.made if label == f"POST {ADMIN}/invitations")
    own = str(obj(gateway.ask("GET", f"{ADMIN}/me").json())["token_id"])
    more = {
        f"{ADMIN}/config/versions/{{id}}": {"id": version},
        "/invitations/{secret}": {"secret": str(obj(invited.json())["secret"])},
        "/llmchat/status/{user_id}": {"user_id": own},
        "/llm/services/{service}": {"service": "mock", "model": "echo"},
        "/models/{id}": {"id": MODEL},
        "/v1/models/{id}": {"id": MODEL},
        "/servers/{slug}/mcp": {"slug": "desk"},
    }
    gateway.there.update(more)


def _put(gateway: Fuzzed, method: str, path: str, names: dict[str, str], body: JsonObject) -> None:
    answer = gateway.ask(method, path.format(**names), body)
    assert answer.status_code < 300, (path, answer.text)
    gateway.made.append((f"{method} {path}", answer))
    gateway.there[path] = names
