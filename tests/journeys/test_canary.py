"""Forty seeded secrets in a running gateway: none of them comes out of it, anywhere.

They are given by environment, file, database and configuration, and sent by clients; upstreams
throw them back. Searched: answers, logs, console, metrics, spans, audit, usage, exports, commands,
and the bytes of the database.
"""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from spindle.master_key import MasterKeys, new_key
from spindle.store import Store
from spindle.vault import Vault
from spindle_spi.secret import Secret
from tests.core.cli.runner import run
from tests.core.store.opened import url_of
from tests.support.canaries import Canaries, Sinks
from tests.support.http_server import Answered, Asked, serve_http
from tests.support.otlp_collector import running_collector
from tests.support.spindle_process import SpindleProcess, running_spindle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from pathlib import Path

    import httpx2

GIVEN = frozenset({"spindle.yaml", "admin-token"})
"""Files of the home that hold secrets because they are made for that."""
API = "/admin/api/v1"
PLACES = ("env1", "env2", "file1", "file2", "vault1", "vault2", "inline1", "inline2")
FAULTS = ("ok", "echo-400", "echo-401", "echo-429", "echo-500", "echo-html", "echo-stream")


async def thrown_back(asked: Asked) -> Answered:
    """Answer with everything that was sent, as careless upstreams do in their errors."""
    try:
        model = str(json.loads(asked.body)["model"])
    except (ValueError, KeyError, TypeError):
        model = "echo-401"

    seen = json.dumps({"headers": asked.headers, "target": asked.target})
    told = f"Incorrect API key provided: {asked.headers.get('authorization')}. Request: {seen}"

    if model == "ok":
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = {"id": "c", "object": "chat.completion", "created": 1, "model": "ok"}
        choices = [{**choice, "message": {"role": "assistant", "content": "fine"}}]
        return Answered(body=json.dumps({**body, "choices": choices, "usage": usage}).encode())

    if model == "echo-html":
        return Answered(502, f"<html>{told}</html>".encode(), {"content-type": "text/html"})

    error = json.dumps({"error": {"message": told, "type": "x", "code": told, "param": told}})

    if model == "echo-stream":
        event = f"data: {error}\n\n".encode()
        return Answered(body=event, headers={"content-type": "text/event-stream"})

    return Answered(int(model.removeprefix("echo-")), error.encode(), {"x-echo": told})


def configuration(upstream: str, collector: str, canaries: Canaries) -> dict[str, object]:
    """Return a configuration that names a secret wherever one may be named."""
    services: dict[str, object] = {}

    for place in PLACES:
        service: dict[str, object] = {
            "provider_type": "openai",
            "urls": [f"{upstream}/v1"],
            "models": [{"name": name} for name in FAULTS],
        }

        if place.startswith("inline"):
            service["api_key"] = canaries.seed(f"provider {place}", "sk-")
        elif place.startswith("file"):
            service["api_key_file"] = f"keys/{place}"
        else:
            service["api_key_env_var"] = f"KEY_{place.upper()}"

        services[place] = service

    gateway = {"transport": "streamable_http", "url": f"{upstream}/mcp", "timeout": 2}
    return {
        "llm": {"services": services},
        "mcp": {
            "gateways": {
                "one": {**gateway, "credential_env_var": "GATEWAY_ONE"},
                "two": {**gateway, "credential_file": "keys/gateway"},
            }
        },
        "logging": {
            "main": {"file": "logs/main.log", "console_level": "debug", "file_level": "debug"}
        },
        "telemetry": {
            "otlp_endpoint": collector,
            "otlp_headers_env_var": "OTLP_HEADERS",
            "sample_ratio": 1.0,
            "export_seconds": 0.2,
        },
        "auth": {
            "jwt": [
                {
                    "issuer": "https://issuer.example",
                    "audiences": ["spindle"],
                    "algorithms": ["HS256"],
                    "key_env_var": "JWT_KEY",
                }
            ],
            "oidc": {
                "issuer": "http://127.0.0.1:9",
                "client_id": "spindle",
                "client_secret_env_var": "CLIENT_SECRET",
                "redirect_url": "http://127.0.0.1:8080/auth/callback",
            },
        },
        "usage": {"flush_seconds": 0},
    }


def environment(canaries: Canaries, master: Secret) -> dict[str, str]:
    """Return the variables of the gateway."""
    other = canaries.know("old master key", new_key().reveal())
    return {
        "SPINDLE_SECRET_KEY": f"{canaries.know('master key', master.reveal())} {other}",
        "KEY_ENV1": canaries.seed("provider env1", "sk-proj-"),
        "KEY_ENV2": canaries.seed("provider env2"),
        "GATEWAY_ONE": canaries.seed("gateway environment"),
        "OTLP_HEADERS": f"x-collector-key={canaries.seed('collector header')}",
        "JWT_KEY": canaries.seed("JWT key"),
        "CLIENT_SECRET": canaries.seed("client secret"),
    }


async def fill(home: Path, canaries: Canaries, master: Secret) -> None:
    """Put secrets into files and into the database."""
    keys = home / "keys"
    keys.mkdir(parents=True)

    for name in ("file1", "file2"):
        (keys / name).write_text(canaries.seed(f"provider {name}"))

    (keys / "gateway").write_text(canaries.seed("gateway file"))
    store = await Store.open(url_of(home))
    vault = Vault(store, MasterKeys(given=master, file=None, home=home, is_production=True))

    for name in ("vault1", "vault2"):
        value = Secret(canaries.seed(f"provider {name}", "sk-ant-"))
        await vault.put(f"llm.services.{name}.api_key", value)

    await vault.put("webhooks/main", Secret(canaries.seed("webhook secret")))
    await store.close()


def jwt(canaries: Canaries, name: str) -> str:
    """Return a token in the form of a JWT that nobody here signed."""
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
    claims = base64.urlsafe_b64encode(f'{{"sub":"{name}"}}'.encode()).rstrip(b"=").decode()
    return f"{head}.{claims}.{canaries.seed(name)}"


def shown(sinks: Sinks, name: str, response: httpx2.Response) -> httpx2.Response:
    """Keep an answer as a sink: status line, headers and body."""
    sinks.add(f"answers to {name}", f"{response.status_code} {response.headers} {response.text}")
    return response


async def call_models(
    process: SpindleProcess, sinks: Sinks, token: str, canaries: Canaries
) -> None:
    """Call every model of every provider: their errors come back with what was sent."""
    messages = [{"role": "user", "content": "hello"}]

    async with process.client(token) as client:
        for place in PLACES:
            for fault in FAULTS:
                body = {"model": f"{place}~{fault}", "messages": messages}
                streaming = {**body, "stream": True}
                await_all = [
                    ("/v1/chat/completions", body),
                    ("/v1/chat/completions", streaming),
                ]

                for path, sent in await_all if fault != "ok" else await_all[:1]:
                    response = shown(sinks, "models", await client.post(path, json=sent))
                    assert fault != "ok" or response.status_code == 200, response.text

        misplaced = {
            "api_key": canaries.seed("api_key in a chat", "sk-"),
            "extra_headers": {"Authorization": f"Bearer {canaries.seed('header in a chat')}"},
            "metadata": {"password": canaries.seed("password in a chat")},
        }

        for sent in (
            {"model": "env1~echo-400", "messages": "none", **misplaced},
            {"model": canaries.seed("key as a model", "sk-"), "messages": messages},
            {**misplaced, "messages": messages},
            [misplaced],
        ):
            # A model of a wrong name is named in the answer to who named it, and nowhere else.
            response = await client.post("/v1/chat/completions", json=sent)

            if "model" not in sent or sent["model"] == "env1~echo-400":  # type: ignore[call-overload]
                shown(sinks, "misplaced secrets", response)

        await client.post("/v1/chat/completions", content=f'{{"k": "{misplaced["api_key"]}",')


async def knock(process: SpindleProcess, sinks: Sinks, canaries: Canaries) -> None:
    """Send credentials that are none, in every header somebody might put them in."""
    wrong: dict[str, Mapping[str, str]] = {
        "token": {"authorization": f"Bearer {canaries.seed('bearer', 'spn_')}"},
        "jwt": {"authorization": f"Bearer {jwt(canaries, 'jwt one')}"},
        "jwt as a key": {"x-api-key": jwt(canaries, "jwt two")},
        "basic": {"authorization": f"Basic {canaries.seed('basic')}"},
        "x-api-key": {"x-api-key": canaries.seed("x-api-key", "sk-ant-")},
        "api-key": {"api-key": canaries.seed("api-key")},
        "x-goog-api-key": {"x-goog-api-key": canaries.seed("google", "AIza")},
        "cookie": {"cookie": f"session={canaries.seed('cookie')}"},
        "proxy": {"proxy-authorization": f"Basic {canaries.seed('proxy')}"},
        "context": {"x-spindle-context": canaries.seed("forged context")},
    }

    async with process.client("") as client:
        for headers in wrong.values():
            for path in ("/v1/models", f"{API}/secrets", "/mcp"):
                shown(sinks, "strangers", await client.get(path, headers=headers))

        query = {"api_key": canaries.seed("query key"), "token": canaries.seed("query token")}
        shown(sinks, "strangers", await client.get("/v1/models", params=query))
        shown(sinks, "strangers", await client.get("/health", params=query))


async def administer(process: SpindleProcess, sinks: Sinks, canaries: Canaries) -> None:
    """Put secrets in by the control plane, rightly and wrongly, and read all that it shows."""
    right = {"value": canaries.seed("put secret")}
    wrong: list[dict[str, object]] = [
        {"value": [canaries.seed("secret in a list")]},
        {"values": canaries.seed("secret under a wrong key")},
    ]

    async with process.client() as client:
        put = await client.put(f"{API}/secrets/put", json=right)
        assert put.status_code == 201, put.text
        shown(sinks, "administration", put)

        for body in wrong:
            refused = await client.put(f"{API}/secrets/wrong", json=body)
            assert refused.status_code == 400
            shown(sinks, "administration", refused)

        provider = {
            "name": "made",
            "urls": [f"http://me:{canaries.seed('password in a URL')}@127.0.0.1:9/v1"],
            "api_key": canaries.seed("key of a refused provider", "sk-"),
        }
        refused = await client.post(f"{API}/providers", json=provider)
        assert refused.status_code == 400, refused.text
        shown(sinks, "administration", refused)

        for path in (
            *("audit", "audit/export", "secrets", "providers", "models", "gateways", "tokens"),
            *("plugins", "config/export", "config/versions", "me", "users"),
        ):
            shown(sinks, "administration", await client.get(f"{API}/{path}"))

        for path in ("/metrics", "/usage", "/usage/records", "/openapi.json", "/health", "/ready"):
            shown(sinks, "administration", await client.get(path))

        shown(sinks, "administration", await client.post(f"{API}/secrets/rotate"))


async def mint(process: SpindleProcess, canaries: Canaries, name: str) -> str:
    """Make a token; only this answer may show it."""
    body: dict[str, object] = {"name": name, "role": "developer", "teams": list[str]()}

    async with process.client() as client:
        made = await client.post(f"{API}/tokens", json=body)

    assert made.status_code == 201, made.text
    return canaries.know(f"API token {name}", str(made.json()["token"]))


def commands(home: Path, sinks: Sinks, environ: Mapping[str, str], canaries: Canaries) -> None:
    """Run the commands that show what there is, and one that fails on a database's URL."""
    place = ("--home", str(home), "--config", str(home / "spindle.yaml"))

    for words in (
        ("config", "show"),
        ("config", "show", "--json"),
        ("config", "check"),
        ("secrets", "list", "--json"),
        ("secrets", "where", "llm.services.vault1.api_key"),
        ("audit", "export"),
        ("token", "list", "--json"),
    ):
        ran = run(*words, *place, env=environ)
        assert ran.code == 0, ran.stderr
        sinks.add(f"spindle {' '.join(words)}", ran.stdout + ran.stderr)

    password = canaries.seed("database password")
    url = f"postgresql+asyncpg://spindle:{password}@127.0.0.1:9/none"
    ran = run("token", "list", *place, env={**environ, "SPINDLE__STORE__URL": url})
    assert ran.code == 1
    sinks.add("a failing command", ran.stdout + ran.stderr)


@asynccontextmanager
async def walked(home: Path, canaries: Canaries) -> AsyncGenerator[Sinks]:
    """Run a gateway through everything above and give what came out of it."""
    sinks, master = Sinks(), new_key()
    environ = environment(canaries, master)
    await fill(home, canaries, master)

    with running_collector() as collector:
        async with serve_http(thrown_back) as upstream:
            settings = configuration(upstream, collector.url, canaries)

            async with running_spindle(settings, home=home, env=environ) as process:
                canaries.know("administrator's token", process.admin_token)
                tokens = [await mint(process, canaries, name) for name in ("one", "two")]
                await call_models(process, sinks, tokens[0], canaries)
                await knock(process, sinks, canaries)
                await administer(process, sinks, canaries)

        for body in collector.bodies:
            sinks.add("spans and measures", body)

        for span in collector.spans:
            sinks.add("spans", str(span))

    assert collector.spans
    sinks.add_files(home, but=GIVEN | {"file1", "file2", "gateway"})
    await anyio.to_thread.run_sync(commands, home, sinks, environ, canaries)
    yield sinks


@pytest.mark.requirement("002-10-logging")
@pytest.mark.requirement("000-core-secrets")
async def test_no_secret_comes_out_of_a_gateway(tmp_path: Path) -> None:
    """Forty are seeded, every sink is searched, none is found; then one is leaked, and it is."""
    canaries = Canaries()

    async with walked(tmp_path, canaries) as sinks:
        assert len(canaries.values) >= 40, len(canaries.values)
        must = {
            "file spindle.db",
            "file logs/main.log",
            "file stderr.txt",
            "spans",
            "answers to models",
        }
        assert must <= sinks.contents.keys()
        assert len(sinks.contents["file logs/main.log"]) > 1000
        assert sinks.leaks(canaries) == []
        value = canaries.values["provider vault1"]
        sinks.contents["file logs/main.log"] += f'{{"error": "refused {value}"}}\n'.encode()
        assert sinks.leaks(canaries)[0] == "provider vault1 in file logs/main.log (plain)"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PLANTED: dict[str, Callable[[str], str]] = {
    "plain": str,
    "cut off": lambda value: value[:30],
    "in JSON": lambda value: json.dumps({"a": f"x{value}"}),
    "behind a user": lambda value: _base64(f"user:{value}"),
    "behind a name": lambda value: _base64(f"name2:{value}"),
    "behind two names": lambda value: _base64(f"names22:{value}").replace("+", "-"),
    "hexadecimal": lambda value: value.encode().hex(),
}


@pytest.mark.parametrize("form", PLANTED)
def test_a_planted_leak_is_found_in_whatever_form(form: str) -> None:
    """The search itself: plain, cut off, quoted, encoded; and nothing where nothing is."""
    canaries, sinks = Canaries(), Sinks()
    value = canaries.seed("planted", "sk-ä/")
    canaries.seed("another")
    sinks.add("log", "an ordinary line")
    assert sinks.leaks(canaries) == []
    sinks.add("log", f"before {PLANTED[form](value)} after")
    found = sinks.leaks(canaries)
    assert found
    assert all(line.startswith("planted in log") for line in found)
