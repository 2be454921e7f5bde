"""The codec of the contract: annotation-driven JSON for every type of it. No pickle.

Shapes: a dataclass is an object of its fields; an enum its value; a tuple or sequence an array;
bytes a base64 string; one of several dataclasses an object with `$type`; a `Json` value itself.
A `Secret` is written in the clear: this is for trusted channels, never for logs.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias, TypeGuard, TypeVar, get_args

from spindle_spi.annotations import (
    Annotation,
    entries_of,
    fields_of,
    is_dataclass,
    is_enum,
    is_json,
    is_optional,
    no_wire_form,
    options_of,
    origin_of,
    split_union,
)
from spindle_spi.errors import InvalidArgument
from spindle_spi.secret import Secret

_T = TypeVar("_T")
_Converter: TypeAlias = Callable[[Any], Any]

_SCALARS: dict[Annotation, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (float, int),
    str: (str,),
    type(None): (type(None),),
}


def encode(value: object, kind: Annotation) -> bytes:
    """Return `value`, which is of the annotated type `kind`, as JSON bytes.

    Raises:
        TypeError: The value is not of that type, or one of the two has no wire form.
    """
    try:
        plain = _encoder(kind)(value)
        return json.dumps(plain, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError) as exc:
        raise TypeError(f"no JSON: {exc}") from exc


def decode(data: bytes, kind: type[_T]) -> _T:
    """Return the value of type `kind` that `data` stands for.

    Raises:
        InvalidArgument: The bytes are not JSON, or not of that type; names the place.
        TypeError: The type has no wire form.
    """
    annotation: Annotation = kind
    convert = _decoder(annotation)

    try:
        plain = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise InvalidArgument(f"not JSON: {exc}", code="spi.codec.json") from exc

    value: _T = convert(plain)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _is_array(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_object(value: object) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


# Encoding


@lru_cache(maxsize=1024)
def _encoder(kind: Annotation) -> _Converter:
    if is_json(kind):
        return _plain

    if kind in _SCALARS:
        return _checked_scalar(kind)

    if len(options_of(kind)) > 1:
        return _union_encoder(kind)

    origin = origin_of(kind)

    if origin is tuple and get_args(kind)[-1] is not Ellipsis:
        return _pair_encoder(get_args(kind))

    if origin in (tuple, Sequence):
        return _array_encoder(origin, _encoder(get_args(kind)[0]))

    if origin in (dict, Mapping):
        return _object_encoder(origin, kind)

    return _class_encoder(kind)


def _class_encoder(kind: Annotation) -> _Converter:
    if kind is bytes:
        return lambda value: base64.b64encode(_of(bytes, value)).decode()

    if kind is Secret:
        return lambda value: _of(Secret, value).reveal()

    if is_enum(kind):
        return lambda value: _of(kind, value).value

    if is_dataclass(kind):
        return _dataclass_encoder(kind)

    raise no_wire_form(kind)


def _dataclass_encoder(kind: Annotation) -> _Converter:
    members = [(name, _encoder(annotation)) for name, annotation in fields_of(kind)]

    def convert(value: Any) -> Any:
        # A subclass would lose its own fields on the way.
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")

        return {name: encoder(getattr(value, name)) for name, encoder in members}

    return convert


def _union_encoder(kind: Annotation) -> _Converter:
    tagged, other = split_union(kind)
    classes = {option: (name, _encoder(option)) for name, option in tagged.items()}
    fallback = None if other is None else _encoder(other)

    def convert(value: Any) -> Any:
        if value is None and is_optional(kind):
            return None

        if type(value) in classes:
            name, encoder = classes[type(value)]
            return {"$type": name, **encoder(value)}

        if fallback is None:
            raise TypeError(f"{type(value).__name__} is none of {', '.join(tagged)}")

        return fallback(value)

    return convert


def _array_encoder(origin: Annotation, inner: _Converter) -> _Converter:
    def convert(value: Any) -> Any:
        if isinstance(value, str | bytes):
            raise TypeError("expected an array, got text")

        return [inner(entry) for entry in _of(origin, value)]

    return convert


def _pair_encoder(kinds: tuple[Annotation, ...]) -> _Converter:
    inner = [_encoder(kind) for kind in kinds]

    def convert(value: Any) -> Any:
        entries = _of(tuple[Any, ...], value)

        if len(entries) != len(inner):
            raise TypeError(f"expected {len(inner)} entries, got {len(entries)}")

        return [encoder(entry) for encoder, entry in zip(inner, entries, strict=True)]

    return convert


def _object_encoder(origin: Annotation, kind: Annotation) -> _Converter:
    key, inner = map(_encoder, entries_of(kind))
    return lambda value: {key(name): inner(entry) for name, entry in _of(origin, value).items()}


def _checked_scalar(kind: Annotation) -> _Converter:
    allowed = _SCALARS[kind]

    def convert(value: Any) -> Any:
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")

        return value

    return convert


def _plain(value: Any) -> Any:
    """Check that a value is JSON as plain data, all the way down."""
    if value is None or isinstance(value, str | bool | int | float):
        return value

    if _is_object(value):
        return {_of(str, key): _plain(entry) for key, entry in value.items()}

    if _is_array(value):
        return [_plain(entry) for entry in value]

    raise TypeError(f"{type(value).__name__} is not JSON data")


def _of(kind: Annotation, value: Any) -> Any:
    if not isinstance(value, origin_of(kind) or kind):
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")

    return value


# Decoding


@lru_cache(maxsize=1024)
def _decoder(kind: Annotation) -> _Converter:
    if is_json(kind):
        return _unchanged

    if kind in _SCALARS:
        return _scalar_decoder(kind)

    if len(options_of(kind)) > 1:
        return _union_decoder(kind)

    origin = origin_of(kind)

    if origin is tuple and get_args(kind)[-1] is not Ellipsis:
        return _pair_decoder(get_args(kind))

    if origin in (tuple, Sequence):
        inner = _decoder(get_args(kind)[0])
        return lambda value: tuple(inner(entry) for entry in _array(value))

    if origin in (dict, Mapping):
        key, entry_of = map(_decoder, entries_of(kind))
        return lambda value: {
            key(name): entry_of(entry) for name, entry in _object(value, "an object").items()
        }

    return _class_decoder(kind)


def _class_decoder(kind: Annotation) -> _Converter:
    if kind is bytes:
        return _bytes

    if kind is Secret:
        return lambda value: Secret(_text(value))

    if is_enum(kind):
        return _enum_decoder(kind)

    if is_dataclass(kind):
        return _dataclass_decoder(kind)

    raise no_wire_form(kind)


def _unchanged(value: Any) -> Any:
    return value


def _scalar_decoder(kind: Annotation) -> _Converter:
    check = _checked_scalar(kind)

    def convert(value: Any) -> Any:
        try:
            checked = check(value)
        except TypeError as exc:
            raise InvalidArgument(str(exc), code="spi.codec.type") from exc

        return float(checked) if kind is float else checked

    return convert


def _enum_decoder(kind: type[Enum]) -> _Converter:
    def convert(value: Any) -> Any:
        try:
            return kind(value)
        except ValueError as exc:
            raise InvalidArgument(str(exc), code="spi.codec.enum") from exc

    return convert


def _dataclass_decoder(kind: Annotation) -> _Converter:
    members = {name: _decoder(annotation) for name, annotation in fields_of(kind)}

    def convert(value: Any) -> Any:
        plain = _object(value, f"an object ({kind.__name__})")
        arguments: dict[str, Any] = {}

        # Unknown fields are skipped: a newer peer may send what we do not know yet.
        for name in members.keys() & plain.keys():
            try:
                arguments[name] = members[name](plain[name])
            except InvalidArgument as exc:
                place = f"{kind.__name__}.{name}: {exc.message}"
                raise InvalidArgument(place, code=exc.code) from exc

        try:
            return kind(**arguments)
        except TypeError as exc:
            raise InvalidArgument(f"{kind.__name__}: {exc}", code="spi.codec.missing") from exc

    return convert


def _union_decoder(kind: Annotation) -> _Converter:
    tagged, other = split_union(kind)
    classes = {name: _decoder(option) for name, option in tagged.items()}
    fallback = None if other is None else _decoder(other)

    def convert(value: Any) -> Any:
        if value is None and is_optional(kind):
            return None

        decoder = fallback

        if _is_object(value):
            decoder = classes.get(str(value.get("$type")), fallback)

        if decoder is None:
            raise InvalidArgument(f"$type is none of {', '.join(tagged)}", code="spi.codec.union")

        return decoder(value)

    return convert


def _pair_decoder(kinds: tuple[Annotation, ...]) -> _Converter:
    inner = [_decoder(kind) for kind in kinds]

    def convert(value: Any) -> Any:
        entries = _array(value)

        if len(entries) != len(inner):
            raise InvalidArgument(f"expected {len(inner)} entries", code="spi.codec.type")

        return tuple(decoder(entry) for decoder, entry in zip(inner, entries, strict=True))

    return convert


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as exc:
        raise InvalidArgument(f"not base64: {exc}", code="spi.codec.bytes") from exc


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidArgument("expected a string", code="spi.codec.type")

    return value


def _array(value: Any) -> list[Any]:
    if not _is_array(value):
        raise InvalidArgument("expected an array", code="spi.codec.type")

    return value


def _object(value: Any, wanted: str) -> dict[str, Any]:
    if not _is_object(value):
        raise InvalidArgument(f"expected {wanted}", code="spi.codec.type")

    return value
