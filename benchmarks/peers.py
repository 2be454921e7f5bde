"""Other gateways to measure beside: LiteLLM, Portkey, FastMCP's proxy, each in an own environment.

Pinned versions, installed once under `.cache/peers`; no database, no telemetry. What they are asked
is what Spindle is asked; of policy they have one key (LiteLLM) or nothing (Portkey).
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.dialects import MODEL
from benchmarks.processes import Running, free_port, running
from benchmarks.requests import Names

if TYPE_CHECKING:
    from collections.abc import Generator

LITELLM: Final = "1.108.7"
PORTKEY: Final = "1.15.2"
FASTMCP: Final = "4.2.3"

_KEY = "sk-bench"
_OPENAI = {"x-portkey-provider": "openai", "authorization": f"Bearer {_KEY}"}
_ANTHROPIC = {"x-portkey-provider": "anthropic", "authorization": f"Bearer {_KEY}"}


@contextmanager
def litellm(
    cache: Path, home: Path, upstream_url: str, uv: str
) -> Generator[tuple[Running, Names]]:
    """Run LiteLLM's proxy with one worker and a master key."""
    environment = _environment(cache / f"litellm-{LITELLM}", f"litellm[proxy]=={LITELLM}", uv)
    configuration = home / "litellm.yaml"
    configuration.write_text(json.dumps(_litellm_configuration(upstream_url)))
    port = free_port()
    command = [
        *(str(environment / "bin" / "litellm"), "--config", str(configuration)),
        *("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"),
        *("--telemetry", "False"),
    ]
    alone = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    names = Names(translated="claude", headers={"authorization": f"Bearer {_KEY}"})

    with running("litellm", command, port, environment=alone, seconds=120) as it:
        yield it, names


@contextmanager
def portkey(cache: Path, upstream_url: str) -> Generator[tuple[Running, Names]]:
    """Run Portkey's gateway, which is told of its upstream by headers."""
    folder = cache / f"portkey-{PORTKEY}"

    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = f"@portkey-ai/gateway@{PORTKEY}"
        _install(["npm", "install", "--silent", "--no-fund", "--prefix", str(folder), wanted])
        (folder / "installed").touch()

    port = free_port()
    script = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    there = {"x-portkey-custom-host": f"{upstream_url}/v1"}
    names = Names(
        translated=MODEL,
        headers={**_OPENAI, **there},
        translated_headers={**_ANTHROPIC, **there},
    )
    # It refuses loopback addresses unless they are named.
    trusted = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"}

    with running(
        "portkey", ["node", str(script), f"--port={port}", "--headless"], port, environment=trusted
    ) as it:
        yield it, names


@contextmanager
def fastmcp_proxy(cache: Path, upstream_url: str, uv: str) -> Generator[tuple[Running, Names]]:
    """Run FastMCP's proxy in front of an MCP server that speaks both eras."""
    environment = _environment(cache / f"fastmcp-{FASTMCP}", f"fastmcp=={FASTMCP}", uv)
    port = free_port()
    script = Path(__file__).with_name("fastmcp_proxy.py")
    command = [str(environment / "bin" / "python"), str(script), str(port), upstream_url]
    # It must not ask anybody whether there is a newer one.
    alone = {"FASTMCP_CHECK_FOR_UPDATES": "off"}

    with running("fastmcp proxy", command, port, environment=alone, seconds=60) as it:
        yield it, Names(model=None, tool="echo", speaks_mcp=True, headers={})


def _environment(folder: Path, wanted: str, uv: str) -> Path:
    """Return an environment that holds a package, made once."""
    environment = folder.absolute()

    if not (environment / "installed").exists():
        _install([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)])
        python = str(environment / "bin" / "python")
        _install([uv, "pip", "install", "--quiet", "--python", python, wanted])
        (environment / "installed").touch()

    return environment


def _litellm_configuration(upstream_url: str) -> dict[str, object]:
    def entry(name: str, model: str, base: str) -> dict[str, object]:
        return {
            "model_name": name,
            "litellm_params": {"model": model, "api_base": base, "api_key": "none"},
        }

    return {
        "model_list": [
            entry(MODEL, f"openai/{MODEL}", f"{upstream_url}/v1"),
            entry("claude", f"anthropic/{MODEL}", upstream_url),
        ],
        "litellm_settings": {"telemetry": False, "drop_params": True},
        "general_settings": {"master_key": _KEY},
    }


def _install(command: list[str]) -> None:
    sys.stderr.write(f"{' '.join(command[:3])} …\n")
    subprocess.run(command, check=True)
