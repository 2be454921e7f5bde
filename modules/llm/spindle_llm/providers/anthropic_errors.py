"""What clients are told of Anthropic's refusals, where they differ from everybody's.

A spent quota comes as a wrong request there: only the words tell it from the rest. A wrong request
names the parameter in its words, and so does a model that is missing.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spindle_llm.providers.refusal_words import Subject, told_in
from spindle_llm.providers.refusals import classified, retry_after
from spindle_spi.errors import GatewayError, Origin, PayloadTooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spindle_spi.secret import Secret

_PARAM: Final = re.compile(r"([a-z][a-z0-9_.]*): ")
_MISSING: Final = "model_not_found"


def anthropic_refusal(
    status: int, headers: Mapping[str, str], body: bytes, key: Secret | None
) -> GatewayError:
    """Return the error for a refusal."""
    told = told_in(body)
    match = _PARAM.match(told.message)

    if status == 413:
        return PayloadTooLarge("The upstream takes no request this big.", origin=Origin.UPSTREAM)

    if match is not None:
        is_missing = status == 404 and match[1] == "model"
        told = replace(told, param=match[1], code=_MISSING if is_missing else told.code)

    if status == 400 and told.subject is Subject.QUOTA:
        status = 402

    return classified(status, told, retry_after(headers), key)
