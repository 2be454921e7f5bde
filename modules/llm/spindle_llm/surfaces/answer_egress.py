"""A whole answer of an OpenAI-form upstream, on its way to the client under the unified name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from spindle_llm.providers.openai_chat import check_answer
from spindle_llm.relay.answers import UsualAnswer, UsualUsage, mend_answer
from spindle_llm.relay.usage import estimated_usage, told_usage
from spindle_llm.relay.wire_json import UNREADABLE, encode, read_object
from spindle_llm.surfaces.renaming import rename_model
from spindle_spi.admission import TokenUsage

if TYPE_CHECKING:
    from spindle_llm.relay.journal import Journal

_ANSWER = msgspec.json.Decoder(UsualAnswer)


def outgoing_answer(data: bytes, *, model: str, journal: Journal, sent_bytes: int) -> bytes:
    """Return the answer as the client gets it; usage and finish reasons go into the journal.

    Raises:
        UpstreamError: It is no chat answer.
    """
    try:
        usual = _ANSWER.decode(data)
    except UNREADABLE:
        return _mended(data, model, journal, sent_bytes)

    renamed = rename_model(data, model) if usual.keeps_rules() else None

    if renamed is None:
        return _mended(data, model, journal, sent_bytes)

    journal.usage = (
        estimated_usage(request_bytes=sent_bytes, output_bytes=len(data))
        if usual.usage is None
        else _told(usual.usage)
    )
    journal.response_id = usual.id
    journal.finish_reasons = tuple(
        choice.finish_reason for choice in usual.choices if choice.finish_reason is not None
    )
    return renamed


def _mended(data: bytes, model: str, journal: Journal, sent_bytes: int) -> bytes:
    answer, _ = read_object(data)
    check_answer(answer)
    mend_answer(answer)
    answer["model"] = model
    journal.usage = told_usage(answer.get("usage")) or estimated_usage(
        request_bytes=sent_bytes, output_bytes=len(data)
    )
    journal.note_answer(answer)
    return encode(answer)


def _told(usage: UsualUsage) -> TokenUsage:
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return TokenUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=(prompt and prompt.cached_tokens) or 0,
        cache_write_tokens=(prompt and prompt.cache_write_tokens) or 0,
        reasoning_tokens=(completion and completion.reasoning_tokens) or 0,
    )
