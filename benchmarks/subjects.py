"""What is measured: nginx as a proxy, the bare relay, and Spindle with everything on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.dialects import MODEL
from benchmarks.processes import Running, free_port, running

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

SAMPLED = 0.01
"""Share of the requests that are traced."""

FEATURES = (
    "token and role",
    "hidden and team-owned records",
    "limits of requests and tokens for the token and its team",
    "two hard budgets in dollars and tokens, the team's and the token's",
    "usage rows in SQLite",
    "Prometheus measures",
    f"one request in {1 / SAMPLED:.0f} traced, spans and measures exported by OTLP",
    "audit log of refusals",
)
"""What is on in Spindle while it is measured."""

_NGINX = """
daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_buffer_size 1m; client_body_temp_path {home}; proxy_temp_path {home};
  fastcgi_temp_path {home}; uwsgi_temp_path {home}; scgi_temp_path {home};
  keepalive_requests 1000000;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


@contextmanager
def upstream() -> Generator[Running]:
    """Run the upstream."""
    port = free_port()

    with running("upstream", [sys.executable, "-m", "benchmarks.upstream", str(port)], port) as it:
        yield it


@contextmanager
def collector() -> Generator[Running]:
    """Run the collector of traces and measures."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.collector", str(port)]

    with running("collector", command, port) as it:
        yield it


@contextmanager
def nginx(home: Path, upstream_port: int) -> Generator[Running]:
    """Run nginx as a proxy to the upstream, one worker."""
    port = free_port()
    home.mkdir(parents=True)
    configuration = home / "nginx.conf"
    configuration.write_text(_NGINX.format(home=home, port=port, upstream=upstream_port))

    with running("nginx", ["nginx", "-c", str(configuration), "-p", str(home)], port) as it:
        yield it


@contextmanager
def bare_relay(upstream_url: str) -> Generator[Running]:
    """Run the bare relay on uvicorn, uvloop and httptools."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "benchmarks.relay:app", "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"),
    ]

    with running("bare relay", command, port, environment={"BENCH_UPSTREAM": upstream_url}) as it:
        yield it


@contextmanager
def sdk_server() -> Generator[Running]:
    """Run the MCP SDK's own server on uvicorn, uvloop and httptools."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "benchmarks.sdk_server:app", "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"),
    ]

    with running("sdk server", command, port) as it:
        yield it


@contextmanager
def spindle(home: Path, upstream_url: str, collector_url: str) -> Generator[Running]:
    """Run Spindle with a hidden model, a model and a gateway on the upstream.

    With limits that are counted and never reached, the audit log, and one request in a hundred
    traced.
    """
    port = free_port()
    home.mkdir(parents=True)
    configuration = home / "spindle.yaml"
    configuration.write_text(json.dumps(_configuration(upstream_url, collector_url)))
    command = [
        *(sys.executable, "-m", "spindle", "serve", "--port", str(port)),
        *("--home", str(home), "--config", str(configuration)),
    ]

    with running("spindle", command, port) as it:
        await_ready(it.url)
        yield it


def await_ready(url: str, seconds: float = 30) -> None:
    """Wait until `/ready` answers 200."""
    deadline = time.monotonic() + seconds

    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.02)

    raise RuntimeError(f"{url} does not get ready")


def mint(home: Path, *arguments: str) -> dict[str, object]:
    """Create a token by the command line."""
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "spindle", "token", "create", "--json"),
            *("--home", str(home), *arguments),
        ],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    created: dict[str, object] = json.loads(finished.stdout)
    return created


def bound(home: Path, *arguments: str) -> None:
    """Make a budget by the command line that is never used up."""
    subprocess.run(
        [
            *(sys.executable, "-m", "spindle", "budget", "create", "--home", str(home)),
            *("--period", "month", "--usd", "1000000", "--tokens", str(10**12), *arguments),
        ],
        capture_output=True,
        check=True,
    )


def revoke(home: Path, token_id: str) -> None:
    """Revoke a token by the command line, from another process than the server."""
    subprocess.run(
        [sys.executable, "-m", "spindle", "token", "revoke", token_id, "--home", str(home)],
        capture_output=True,
        check=True,
    )


def _configuration(upstream_url: str, collector_url: str) -> dict[str, object]:
    rate = {"requests_per_minute": 10**9, "tokens_per_minute": 10**12}
    price = {"input_price": 1.0, "output_price": 2.0}
    return {
        "limits": {**rate, "each_team": rate},
        "audit": {"denied": True},
        "telemetry": {"otlp_endpoint": collector_url, "sample_ratio": SAMPLED},
        "llm": {
            "services": {
                "bench": {
                    "provider_type": "openai",
                    "urls": [upstream_url],
                    "visibility": "team",
                    "team": "bench",
                    "models": [
                        {"name": MODEL, **price},
                        {"name": "hidden", "visibility": "team", "team": "others"},
                    ],
                },
                "claude": {
                    "provider_type": "anthropic",
                    "urls": [upstream_url],
                    "visibility": "team",
                    "team": "bench",
                    "models": [{"name": MODEL, **price}],
                },
            }
        },
        "mcp": {
            "gateways": {
                "bench": {
                    "url": f"{upstream_url}/mcp",
                    "era": "modern",
                    "visibility": "team",
                    "team": "bench",
                }
            }
        },
    }
