"""The adapter of GPT4All's local server."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from spindle_llm.providers.capabilities import ServiceCapabilities
from spindle_llm.providers.detection import Metadata
from spindle_llm.providers.gpt4all_chat import GPT4AllChat
from spindle_llm.providers.local_models import entries_of, listed
from spindle_llm.providers.openai import OpenAiAdapter
from spindle_llm.providers.readings import text_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle_llm.providers.dialect import ChatDialect, EmbeddingsDialect
    from spindle_llm.providers.inquiry import Inquiry
    from spindle_spi.records import PublishedRecord


class GPT4AllAdapter(OpenAiAdapter):
    """GPT4All: one call at a time, no streams, no tools.

    An unknown model is answered by the server's default one, and nobody says so: ask only for
    models that it lists.
    """

    provider_type: ClassVar[str] = "gpt4all"
    title: ClassVar[str] = "GPT4All"
    is_local: ClassVar[bool] = True
    default_base: ClassVar[str | None] = "http://127.0.0.1:4891/v1"
    concurrency: ClassVar[int | None] = 1
    capabilities: ClassVar[ServiceCapabilities] = ServiceCapabilities(streaming=False)
    chat_dialect: ClassVar[ChatDialect] = GPT4AllChat()
    embeddings_dialect: ClassVar[EmbeddingsDialect | None] = None

    async def models(self, inquiry: Inquiry) -> Sequence[PublishedRecord]:
        """Return the models that are installed; what is loaded is not said."""
        return await listed(inquiry, self.provider_type, lambda _: Metadata(can_call_tools=False))

    async def is_here(self, inquiry: Inquiry) -> bool:
        """Tell whether it is this server that answers."""
        entries = await entries_of(inquiry)
        return any(text_in(entry, "owned_by") == "humanity" for entry in entries)
