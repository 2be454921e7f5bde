"""Lifters: turn a neutral payload into segments, and write replaced segments back.

One payload form per kind of record (see `Invocation`); surfaces and the core use the same lifters,
and nobody else parses content. A segment's pointer is a JSON pointer into the payload; what stands
after `#` points into the JSON text found there (tool arguments inside a chat message).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from spindle_spi.errors import ContractViolation, Origin
from spindle_spi.plugin import HookPlan, Segment, SegmentKind
from spindle_spi.types import Json, JsonObject

_MIN_NUMBER_DIGITS = 8
"""Shorter numbers are counts and sizes; longer ones may be card or account numbers."""


def lift_arguments(arguments: JsonObject) -> tuple[Segment, ...]:
    """Lift a tool's JSON arguments: every string and every long number is one segment."""
    return tuple(_leaves(arguments, "", SegmentKind.TOOL_ARGUMENTS))


def lift_tool_result(result: JsonObject) -> tuple[Segment, ...]:
    """Lift `{"content": [part…], "structuredContent"?: any}`."""
    return (
        *_content(result.get("content"), "/content", SegmentKind.TOOL_RESULT),
        *_leaves(result.get("structuredContent"), "/structuredContent", SegmentKind.TOOL_RESULT),
    )


def lift_document(plan: HookPlan, payload: JsonObject, role: str) -> tuple[Segment, ...]:
    """Lift a call's whole JSON, where its plan asks for documents; `role` says what it is of.

    Roles: `arguments` (of a tool) and `result` (its structured content; none, no document).
    """
    if not plan.documents:
        return ()

    value = payload if role == "arguments" else payload.get("structuredContent")

    if value is None:
        return ()

    return (Segment(pointer="", kind=SegmentKind.DOCUMENT, role=role, text=json.dumps(value)),)


def lift_contents(payload: JsonObject) -> tuple[Segment, ...]:
    """Lift a resource's `{"contents": […]}` or a prompt's `{"messages": […]}`."""
    return (
        *_content(payload.get("contents"), "/contents", SegmentKind.TEXT),
        *_messages(payload.get("messages"), "/messages"),
    )


def lift_chat_request(body: JsonObject) -> tuple[Segment, ...]:
    """Lift a chat request in OpenAI's form: every message's texts, parts and tool arguments."""
    segments = list(_messages(body.get("messages"), "/messages"))
    prediction = body.get("prediction")

    if isinstance(prediction, dict):
        segments += _content(
            prediction.get("content"), "/prediction/content", SegmentKind.TEXT, "assistant"
        )

    return tuple(segments)


def lift_embeddings_request(body: JsonObject) -> tuple[Segment, ...]:
    """Lift a request for embeddings in OpenAI's form: its texts; lists of tokens are opaque."""
    value = body.get("input")

    if not isinstance(value, list) or (value and _is_number(value[0])):
        return tuple(_part(value, "/input", SegmentKind.TEXT, "user"))

    return tuple(
        segment
        for index, entry in enumerate(value)
        for segment in _part(entry, f"/input/{index}", SegmentKind.TEXT, "user")
    )


def lift_model_request(body: JsonObject) -> tuple[Segment, ...]:
    """Lift a request to a model: a chat, or one for embeddings, which has an input instead."""
    if "input" in body and "messages" not in body:
        return lift_embeddings_request(body)

    return lift_chat_request(body)


def lift_chat_answer(body: JsonObject) -> tuple[Segment, ...]:
    """Lift a chat answer in OpenAI's form; its `logprobs` repeat the text, so they are opaque."""
    segments: list[Segment] = []

    for index, choice in _objects(body.get("choices")):
        message = choice.get("message")

        if isinstance(message, dict):
            segments += _message(message, f"/choices/{index}/message")

        if choice.get("logprobs") is not None:
            pointer = f"/choices/{index}/logprobs"
            segments.append(Segment(pointer=pointer, kind=SegmentKind.OPAQUE, role="assistant"))

    return tuple(segments)


def lift_embedded_json(text: str, pointer: str) -> tuple[Segment, ...]:
    """Lift JSON text (a call's arguments as a string).

    Text that is no JSON, or whose objects name a key twice, is one segment: readers differ in
    what they make of it.
    """
    try:
        value: Json = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return (Segment(pointer=pointer, kind=SegmentKind.TOOL_ARGUMENTS, text=text),)

    return tuple(_leaves(value, f"{pointer}#", SegmentKind.TOOL_ARGUMENTS))


def write_back(
    payload: JsonObject, before: Sequence[Segment], after: Sequence[Segment]
) -> JsonObject:
    """Return the payload with every changed segment in its place; unchanged, the same object.

    The payload itself is never changed. What was not text (an image, an opaque part) becomes a
    text part where it stood in a list of parts, and null elsewhere.

    Raises:
        ContractViolation: `after` has not as many segments as `before`, or another document.
    """
    if len(before) != len(after):
        raise ContractViolation(
            f"{len(before)} segments went in, {len(after)} came out.", origin=Origin.PLUGIN
        )

    # The place is the lifter's word, never a plugin's.
    changed = [
        (old, new.text) for old, new in zip(before, after, strict=True) if old.text != new.text
    ]

    if not changed:
        return payload

    if any(segment.kind is SegmentKind.DOCUMENT for segment, _ in changed):
        raise ContractViolation("A whole document cannot be replaced.", origin=Origin.PLUGIN)

    return _object(_edited(payload, _edits(payload, changed)))


def _edits(
    payload: JsonObject, changed: Sequence[tuple[Segment, str]]
) -> Iterator[tuple[str, Json]]:
    embedded: dict[str, list[tuple[str, Json]]] = {}

    for segment, text in changed:
        outer, hash_sign, inner = segment.pointer.partition("#")

        if hash_sign:
            embedded.setdefault(outer, []).append((inner, text))
        elif segment.kind not in _MEDIA:
            yield outer, text
        else:
            yield outer, None if outer.endswith(_REPETITIONS) else {"type": "text", "text": text}

    for outer, edits in embedded.items():
        value: Json = json.loads(_string(_at(payload, outer)))
        yield outer, json.dumps(_edited(value, edits))


# Lifting

_MESSAGE_TEXTS = ("content", "refusal", "reasoning_content", "reasoning", "reasoning_details")
_PART_TEXTS = ("text", "refusal", "summary")
_TEXT_TYPES = ("", "text", "refusal", "resource", "reasoning.text", "reasoning.summary")
_PART_KINDS = {
    "image": SegmentKind.IMAGE,
    "image_url": SegmentKind.IMAGE,
    "audio": SegmentKind.AUDIO,
    "input_audio": SegmentKind.AUDIO,
}
_MEDIA = (SegmentKind.IMAGE, SegmentKind.AUDIO, SegmentKind.OPAQUE)
_REPETITIONS = ("/audio", "/logprobs")
"""Members that repeat a text in another form, and may go when they are refused."""


def _messages(value: Json, base: str) -> Iterator[Segment]:
    for index, entry in enumerate(value if isinstance(value, list) else []):
        pointer = f"{base}/{index}"

        if isinstance(entry, dict):
            yield from _message(entry, pointer)
        else:
            yield from _part(entry, pointer, SegmentKind.TEXT, "")


def _message(message: JsonObject, base: str) -> Iterator[Segment]:
    role = _string(message.get("role"))
    kind = SegmentKind.TOOL_RESULT if role in ("tool", "function") else SegmentKind.TEXT

    for name in _MESSAGE_TEXTS:
        yield from _content(message.get(name), f"{base}/{name}", kind, role)

    if message.get("audio") is not None:
        yield Segment(pointer=f"{base}/audio", kind=SegmentKind.AUDIO, role=role)

    for index, call in _objects(message.get("tool_calls")):
        pointer = f"{base}/tool_calls/{index}"
        yield from _arguments(call.get("function"), "arguments", f"{pointer}/function")
        yield from _arguments(call.get("custom"), "input", f"{pointer}/custom")

    yield from _arguments(message.get("function_call"), "arguments", f"{base}/function_call")


def _arguments(call: Json, name: str, base: str) -> Iterator[Segment]:
    arguments = call.get(name) if isinstance(call, dict) else None

    if isinstance(arguments, str):
        yield from lift_embedded_json(arguments, f"{base}/{name}")
    else:
        yield from _leaves(arguments, f"{base}/{name}", SegmentKind.TOOL_ARGUMENTS)


def _content(value: Json, base: str, kind: SegmentKind, role: str = "") -> Iterator[Segment]:
    if isinstance(value, list):
        for index, part in enumerate(value):
            yield from _part(part, f"{base}/{index}", kind, role)
    elif value not in (None, ""):
        yield from _part(value, base, kind, role)


def _part(part: Json, pointer: str, kind: SegmentKind, role: str) -> Iterator[Segment]:
    if isinstance(part, str):
        yield Segment(pointer=pointer, kind=kind, role=role, text=part)
        return

    fields = part if isinstance(part, dict) else {}
    resource = fields.get("resource")
    inner = resource if isinstance(resource, dict) else {}
    texts = [*_texts(fields, pointer), *_texts(inner, f"{pointer}/resource")]

    for place, text in texts:
        yield Segment(pointer=place, kind=kind, role=role, text=text)

    named = _string(fields.get("type"))

    # A part may carry a text beside what it really is; then a plugin has to see both.
    if not texts or named not in _TEXT_TYPES or "blob" in fields or "blob" in inner:
        media = _PART_KINDS.get(named, SegmentKind.OPAQUE)
        yield Segment(pointer=pointer, kind=media, role=role)


def _texts(fields: JsonObject, base: str) -> Iterator[tuple[str, str]]:
    for name in _PART_TEXTS:
        text = fields.get(name)

        if isinstance(text, str):
            yield f"{base}/{name}", text


def _leaves(value: Json, pointer: str, kind: SegmentKind) -> Iterator[Segment]:
    # A loop, not a recursion: arguments may be nested deeper than the stack is high.
    waiting: list[tuple[str, Json]] = [(pointer, value)]

    while waiting:
        place, entry = waiting.pop()

        if isinstance(entry, dict):
            children = [(f"{place}/{_escape(key)}", child) for key, child in entry.items()]
            waiting += reversed(children)
        elif isinstance(entry, list):
            waiting += reversed([(f"{place}/{index}", child) for index, child in enumerate(entry)])
        elif isinstance(entry, str):
            yield Segment(pointer=place, kind=kind, text=entry)
        elif _is_long_number(entry):
            yield Segment(pointer=place, kind=kind, text=str(entry))


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_long_number(value: Json) -> bool:
    return _is_number(value) and len(str(value)) >= _MIN_NUMBER_DIGITS


def _objects(value: Json) -> Iterator[tuple[int, JsonObject]]:
    for index, entry in enumerate(value if isinstance(value, list) else []):
        if isinstance(entry, dict):
            yield index, entry


def _string(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _unique(pairs: list[tuple[str, Json]]) -> JsonObject:
    entries = dict(pairs)

    if len(entries) != len(pairs):
        raise ValueError("a key stands twice")

    return entries


# Pointers


def _escape(key: str) -> str:
    # "#" separates the pointer from the one into embedded JSON, so it is escaped like "~" and "/".
    return key.replace("~", "~0").replace("/", "~1").replace("#", "~2")


def _unescape(token: str) -> str:
    return token.replace("~2", "#").replace("~1", "/").replace("~0", "~")


def _tokens(pointer: str) -> list[str]:
    return [_unescape(token) for token in pointer.split("/")[1:]]


def _at(value: Json, pointer: str) -> Json:
    for token in _tokens(pointer):
        value = _child(value, token)

    return value


def _edited(root: Json, edits: Iterable[tuple[str, Json]]) -> Json:
    """Return `root` with other values at some pointers; what lies off their way is shared."""
    holder: list[Json] = [root]
    copies = {id(holder)}

    for pointer, replacement in edits:
        *way, last = "0", *_tokens(pointer)
        place: Json = holder

        for token in way:
            child = _child(place, token)

            if isinstance(child, dict | list) and id(child) not in copies:
                child = child.copy()
                copies.add(id(child))
                _put(place, token, child)

            place = child

        _put(place, last, replacement)

    return holder[0]


def _child(container: Json, token: str) -> Json:
    if isinstance(container, list):
        return container[int(token)]

    if isinstance(container, dict):
        return container[token]

    raise KeyError(token)


def _put(container: Json, token: str, value: Json) -> None:
    if isinstance(container, list):
        container[int(token)] = value
    elif isinstance(container, dict):
        container[token] = value
    else:
        raise KeyError(token)
