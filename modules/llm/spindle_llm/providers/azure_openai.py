"""The adapter of Azure OpenAI, by its API v1 and by deployments."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import quote, urlsplit

from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.detection import Metadata
from spindle_llm.providers.inquiry import require_success
from spindle_llm.providers.ledger import Ledger
from spindle_llm.providers.local_models import recorded, require_list
from spindle_llm.providers.openai import MAX_LISTED_MODELS, OpenAiAdapter, common_headers
from spindle_llm.providers.openai_chat import OpenAiChat
from spindle_llm.providers.openai_embeddings import OpenAiEmbeddings
from spindle_llm.providers.parameters import CHAT_PARAMETERS
from spindle_llm.providers.readings import object_in, objects_in, whole_in

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from spindle_llm.providers.dialect import ChatDialect, EmbeddingsDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.records import ModelSpec, ProviderSpec, PublishedRecord
    from spindle_spi.secret import Secret
    from spindle_spi.types import JsonObject

_DATED: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:-[a-z]+)?")
"""A version of the API that is a date: those that know deployments only."""
_LEDGER: Final = Ledger(passed=CHAT_PARAMETERS, dropped=frozenset({"top_k"}))


class AzureOpenAiAdapter(OpenAiAdapter):
    """Azure OpenAI.

    A model's upstream name is the name of its deployment. A provider with a dated `api_version` is
    asked by deployments, any other by API v1. The option `auth: bearer` sends the key as a token
    of Entra instead of `api-key`.
    """

    provider_type: ClassVar[str] = "azure_openai"
    title: ClassVar[str] = "Azure OpenAI"
    telemetry_name: ClassVar[str] = "azure.ai.openai"
    default_base: ClassVar[str | None] = None
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities(embedding=True)

    def chat(self, provider: ProviderSpec, model: ModelSpec, given: Container[str]) -> ChatDialect:
        """Return the dialect of a version of the API."""
        del model, given
        return _chat(provider.api_version)

    def embeddings(self, provider: ProviderSpec) -> EmbeddingsDialect | None:
        """Return the dialect of a version of the API."""
        return _embeddings(provider.api_version)

    def headers(self, spec: ProviderSpec, key: Secret | None) -> dict[str, str]:
        """Return the headers of every request."""
        headers = common_headers()

        if key and spec.options.get("auth") == "bearer":
            headers["Authorization"] = f"Bearer {key.reveal()}"
        elif key:
            headers["api-key"] = key.reveal()

        return headers

    def health_url(self, base: str) -> str | None:
        """Return the list of models by API v1, which every resource has."""
        return azure_url(base, "/models", None)

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models of the resource that may be asked.

        What is deployed under which name is not told to the holder of a key.
        """
        reply = await inquiry.get(azure_url(inquiry.base, "/models", None))
        listing = require_success(reply, "its list of models")
        require_list(listing, "data")
        entries = [
            entry
            for entry in objects_in(listing, "data")[:MAX_LISTED_MODELS]
            if object_in(entry, "capabilities").get("inference", True)
        ]
        return recorded(inquiry.provider, self.provider_type, entries, _metadata)


class _AzureChat(OpenAiChat):
    def __init__(self, version: str | None) -> None:
        super().__init__(_LEDGER)
        self._version = version

    def url(self, base: str, model: str) -> str:
        """Return where chats are asked of a deployment."""
        return deployed_url(base, "/chat/completions", model, self._version)


class _AzureEmbeddings(OpenAiEmbeddings):
    def __init__(self, version: str | None) -> None:
        super().__init__()
        self._version = version

    def url(self, base: str, model: str) -> str:
        """Return where embeddings are asked of a deployment."""
        return deployed_url(base, "/embeddings", model, self._version)


@lru_cache(maxsize=64)
def _chat(version: str | None) -> _AzureChat:
    return _AzureChat(version)


@lru_cache(maxsize=64)
def _embeddings(version: str | None) -> _AzureEmbeddings:
    return _AzureEmbeddings(version)


def deployed_url(base: str, path: str, model: str, version: str | None) -> str:
    """Return the URL of an operation: of a deployment for a dated version, else of API v1."""
    if version is None or _DATED.fullmatch(version) is None:
        return azure_url(base, path, version)

    root = _resource(base)
    return f"{root}/openai/deployments/{quote(model, safe='')}{path}?api-version={version}"


def azure_url(base: str, path: str, version: str | None) -> str:
    """Return a URL of API v1, whatever of it the base says already."""
    query = "" if version in (None, "v1") else f"?api-version={version}"
    return f"{_resource(base)}/openai/v1{path}{query}"


def _resource(base: str) -> str:
    """Return the address of the resource itself: what stands before `/openai`."""
    parts = urlsplit(base)
    path = parts.path.partition("/openai")[0].rstrip("/").removesuffix("/v1")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _metadata(entry: JsonObject) -> Metadata:
    capabilities = object_in(entry, "capabilities")
    is_embedding = capabilities.get("embeddings") is True
    return Metadata(
        kind="embedding" if is_embedding and not capabilities.get("chat_completion") else None,
        created=whole_in(entry, "created") or whole_in(entry, "created_at"),
        state="loaded",
    )
