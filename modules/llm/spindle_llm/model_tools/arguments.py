"""Arguments of models as tools: what they are, and the requests they become."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from spindle_llm.embeddings.query import inputs_of
from spindle_spi.errors import FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from spindle_spi.types import Json, JsonObject

_CHAT = frozenset(
    {"prompt", "messages", "system", "max_tokens", "temperature", "top_p", "stop", "seed"}
)
_EMBEDDINGS = frozenset({"input", "dimensions"})
_ROLES = ("system", "user", "assistant")
_MAX_MESSAGES = 1_000
_MAX_STOPS = 16
_LONGEST_REASON = 300


def chat_request(arguments: JsonObject) -> JsonObject:
    """Return the chat request, in OpenAI's form, that a tool's arguments stand for.

    Raises:
        InvalidArgument: They stand for none; names the argument.
    """
    _refuse_unknown(arguments, _CHAT)
    messages: list[Json] = []
    system, prompt, given = (arguments.get(name) for name in ("system", "prompt", "messages"))

    if system is not None:
        messages.append({"role": "system", "content": _text("system", system)})

    if given is not None:
        messages += _messages(given)

    if prompt is not None or given is None:
        messages.append({"role": "user", "content": _text("prompt", prompt)})

    body: JsonObject = {"messages": messages}

    for name, (least, most) in {"temperature": (0, 2), "top_p": (0, 1)}.items():
        if (value := arguments.get(name)) is not None:
            body[name] = _number(name, value, least, most)

    if (limit := arguments.get("max_tokens")) is not None:
        body["max_tokens"] = _count("max_tokens", limit, 1)

    if (seed := arguments.get("seed")) is not None:
        body["seed"] = _count("seed", seed, None)

    if (stop := arguments.get("stop")) is not None:
        body["stop"] = _stops(stop)

    return body


def embeddings_request(arguments: JsonObject) -> JsonObject:
    """Return the request for embeddings, in OpenAI's form, that a tool's arguments stand for.

    Raises:
        InvalidArgument: It is nothing; names the argument.
    """
    _refuse_unknown(arguments, _EMBEDDINGS)
    given, dimensions = arguments.get("input"), arguments.get("dimensions")

    for entry in given if isinstance(given, list) else [given]:
        _text("input", entry)

    inputs_of(given)
    request: JsonObject = {"input": given}

    if dimensions is not None:
        request["dimensions"] = _count("dimensions", dimensions, 1)

    return request


def check_arguments(schema: JsonObject, arguments: JsonObject) -> None:
    """Hold arguments to a tool's own schema, whoever brings them.

    Raises:
        InvalidArgument: They break it.
    """
    fault = fault_in(schema, arguments)

    if fault is not None:
        raise InvalidArgument(f"Invalid arguments: {fault}", param="arguments")


def fault_in(schema: JsonObject, value: Json) -> str | None:
    """Return how a value breaks a schema; None when it does not.

    Raises:
        FailedPrecondition: The schema is none.
    """
    try:
        error = next(iter(_validator(schema).iter_errors(value)), None)
    except (SchemaError, Unresolvable, RecursionError) as exc:
        raise FailedPrecondition(
            "The tool's schema cannot be used.", code="llm.model_tool.schema"
        ) from exc

    if error is None:
        return None

    place = "/".join(str(part) for part in error.absolute_path)
    reason = error.message[:_LONGEST_REASON]
    return f"{place}: {reason}" if place else reason


def _validator(schema: JsonObject) -> Validator:
    # An empty registry of its own: the library's default one fetches over the network.
    return Draft202012Validator(schema, registry=Registry())


def _refuse_unknown(arguments: JsonObject, known: frozenset[str]) -> None:
    unknown = sorted(arguments.keys() - known)

    if unknown:
        raise InvalidArgument(f"Unknown argument {unknown[0]!r}.", param=unknown[0])


def _messages(value: Json) -> list[Json]:
    if not isinstance(value, list) or not 0 < len(value) <= _MAX_MESSAGES:
        raise InvalidArgument(
            f"messages must be a list of 1 to {_MAX_MESSAGES} messages.", param="messages"
        )

    return [_message(entry) for entry in value]


def _message(value: Json) -> JsonObject:
    if not isinstance(value, dict) or value.keys() != {"role", "content"}:
        raise InvalidArgument("A message has a role and a content.", param="messages")

    if value["role"] not in _ROLES:
        raise InvalidArgument(f"A role is one of {', '.join(_ROLES)}.", param="messages")

    return {"role": value["role"], "content": _text("messages", value["content"])}


def _stops(value: Json) -> Json:
    stops = value if isinstance(value, list) else [value]

    if not 0 < len(stops) <= _MAX_STOPS:
        raise InvalidArgument(f"stop has 1 to {_MAX_STOPS} texts.", param="stop")

    texts: list[Json] = [_text("stop", entry, is_shown=False) for entry in stops]
    return texts


def _number(name: str, value: Json, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InvalidArgument(f"{name} must be from {least} to {most}.", param=name)

    return value


def _count(name: str, value: Json, least: int | None) -> int:
    is_whole = isinstance(value, int) and not isinstance(value, bool)

    if not is_whole or not isinstance(value, int) or (least is not None and value < least):
        kind = "an integer" if least is None else "a positive integer"
        raise InvalidArgument(f"{name} must be {kind}.", param=name)

    return value


def _text(name: str, value: Json, *, is_shown: bool = True) -> str:
    if not isinstance(value, str) or not (value.strip() if is_shown else value):
        raise InvalidArgument(f"{name} must be a text that is not empty.", param=name)

    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise InvalidArgument(f"{name} has half of a surrogate pair in it.", param=name) from exc

    return value
