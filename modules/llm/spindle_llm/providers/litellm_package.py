"""The optional package LiteLLM: imported when it is first needed, and made to keep to itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, Final

import anyio.to_thread

from spindle_spi.errors import FailedPrecondition, Origin

_SETTINGS: Final = {
    "LITELLM_OFFLINE_MODE": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
}
"""No list of prices and no other catalog is fetched, and no `.env` file is read."""
_LOGGERS: Final = ("LiteLLM", "LiteLLM Proxy", "LiteLLM Router")
_CALLBACKS: Final = (
    *("callbacks", "input_callback", "success_callback", "failure_callback", "service_callback"),
    *("_async_input_callback", "_async_success_callback", "_async_failure_callback"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What is used of LiteLLM and of the packages it brings."""

    acompletion: Callable[..., Awaitable[Any]]
    aembedding: Callable[..., Awaitable[Any]]
    provider_of: Callable[..., object]
    """Tells what a model's name means to it."""
    close_clients: Callable[[], Awaitable[None]]
    """Closes its connections, which belong to no call and no provider."""
    errors: tuple[type[Exception], ...]
    """All that it raises by design."""
    unsupported: type[Exception]
    unreached: tuple[type[Exception], ...]
    """Causes that mean that there is no connection."""
    broken: tuple[type[Exception], ...]
    """Causes that mean that a connection broke."""
    users: set[object] = field(default_factory=set[object])
    """Who has to be done before connections are closed."""


async def package() -> Package:
    """Return the package; the first call imports it, which takes seconds, in a thread.

    Raises:
        FailedPrecondition: It is not installed.
    """
    return await anyio.to_thread.run_sync(_imported, abandon_on_cancel=True)


@cache
def _imported() -> Package:
    # It reads these on import, and takes them from nowhere else.
    os.environ.update(_SETTINGS)  # noqa: TID251

    try:
        litellm: Any = import_module("litellm")
    except ModuleNotFoundError as exc:
        if exc.name != "litellm":
            raise

        raise FailedPrecondition(
            "Providers of the type 'litellm' need an extra: pip install 'spindle[litellm]'.",
            code="llm.provider.extra_missing",
            origin=Origin.MODULE,
        ) from exc

    _quiet(litellm)
    openai: Any = import_module("openai")
    httpx: Any = import_module("httpx")
    cleanup: Any = import_module("litellm.llms.custom_httpx.async_client_cleanup")

    async def close_clients() -> None:
        await cleanup.close_litellm_async_clients()
        # It would go on with the closed ones.
        litellm.in_memory_llm_clients_cache.flush_cache()

    return Package(
        acompletion=litellm.acompletion,
        aembedding=litellm.aembedding,
        provider_of=litellm.get_llm_provider,
        close_clients=close_clients,
        errors=(openai.OpenAIError, litellm.BudgetExceededError, httpx.HTTPError),
        unsupported=litellm.UnsupportedParamsError,
        unreached=(httpx.ConnectError, httpx.ConnectTimeout),
        broken=(httpx.TransportError,),
    )


def _quiet(litellm: Any) -> None:
    """Switch off what it does beside the calls: telemetry, callbacks, logs, and second guesses."""
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.turn_off_message_logging = True
    litellm.disable_hf_tokenizer_download = True
    litellm.user_url_validation = True
    litellm.drop_params = False
    litellm.modify_params = False
    litellm.num_retries = None
    litellm.cache = None

    for name in _CALLBACKS:
        getattr(litellm, name, []).clear()

    # Its lines may hold what was asked, and whose key it was.
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
