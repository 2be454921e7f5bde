"""`spindle provider | model | gateway | server | tool …`, on the store directly."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from spindle.administrator import local_context
from spindle.catalog.editing import CatalogEditor, open_editor
from spindle.catalog.shown import shown
from spindle.cli.failures import Failure, reported
from spindle.cli.stores import on_store
from spindle.cli.tables import print_table
from spindle.config.yaml_source import read_value
from spindle_spi.records import (
    CatalogRecord,
    GatewaySpec,
    Kind,
    ProviderSpec,
    ServerSpec,
    Visibility,
    backend_name,
)
from spindle_spi.types import Json, JsonObject

if TYPE_CHECKING:
    from spindle.config import Settings
    from spindle.home import Sources
    from spindle.store import Store

T = TypeVar("T")

_MAX_SECRET = 65_536
_MAX_AUTH = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the options say of a record; what is not said is not in it."""

    data: JsonObject
    settings: Sequence[str] = ()
    """`KEY=VALUE`, the value as YAML; `options.KEY=VALUE` sets one key of a mapping."""
    secret: str | None = None
    """Key of the body that holds its secret."""
    from_input: bool = False
    from_variable: str | None = None
    auth_from_input: bool = False
    """Standard input is the body's `auth`, as JSON."""

    def body(self) -> JsonObject:
        """Return everything said, the secret among it.

        Raises:
            Failure: A setting cannot be read, or the secret cannot be had.
        """
        body = dict(self.data)

        for setting in self.settings:
            _put(body, setting)

        if self.auth_from_input:
            body["auth"] = self._auth()

        value = self._secret()

        if value is not None and self.secret is not None:
            body[self.secret] = value

        return body

    def _auth(self) -> JsonObject:
        if self.from_input:
            raise Failure("Standard input is the credential or `auth`, not both.")

        try:
            value: Json = json.loads(sys.stdin.read(_MAX_AUTH + 1))
        except ValueError as exc:
            # What is wrong may be said by quoting a secret.
            raise Failure("Standard input is no JSON object for `auth`.") from exc

        if not isinstance(value, dict):
            raise Failure("Standard input is no JSON object for `auth`.")

        return value

    def _secret(self) -> str | None:
        if self.from_input and self.from_variable is not None:
            raise Failure("A secret comes from standard input or from a variable, not from both.")

        if self.from_variable is not None:
            value = os.environ.get(self.from_variable)

            if not value:
                raise Failure(f"The environment variable {self.from_variable} is not set.")

            return value

        if not self.from_input:
            return None

        value = (
            getpass.getpass(f"{self.secret}: ")
            if sys.stdin.isatty()
            else sys.stdin.read(_MAX_SECRET + 1).strip()
        )

        if not value:
            raise Failure("There is nothing on standard input to take as the secret.")

        return value


def list_all(sources: Sources, kind: Kind, *, as_json: bool) -> None:
    """List the stored records of a kind."""

    async def work(editor: CatalogEditor) -> list[CatalogRecord]:
        return editor.records(local_context(), kind)

    with reported():
        records = _edited(sources, work)

    if as_json:
        print(json.dumps([shown(record, epoch=record.epoch) for record in records]))
        return

    print_table(
        ("NAME", "VISIBILITY", "TEAM", "ENABLED", "FROM", "WHERE", "DESCRIPTION"),
        [
            (
                record.name,
                record.visibility.value,
                record.team or "-",
                "yes" if record.enabled else "no",
                record.origin,
                _where(record),
                record.description or "-",
            )
            for record in records
        ],
    )


def show(sources: Sources, kind: Kind, name: str, *, as_json: bool) -> None:
    """Show one record, never its secret."""

    async def work(editor: CatalogEditor) -> CatalogRecord:
        return editor.get(local_context(), kind, name)

    with reported():
        record = _edited(sources, work)

    _print_record(record, as_json=as_json)


def add(sources: Sources, kind: Kind, wish: Wish, *, as_json: bool) -> None:
    """Make a record."""

    async def work(editor: CatalogEditor) -> CatalogRecord:
        return await editor.create(local_context(), kind, wish.body())

    with reported():
        record = _edited(sources, work)

    if as_json:
        _print_record(record, as_json=True)
        return

    print(
        f"The {kind.value} {record.name} is made, for {_audience(record)}; "
        "a running gateway has it within a second."
    )


def update(sources: Sources, kind: Kind, name: str, wish: Wish, *, as_json: bool) -> None:
    """Change what the options say of a record."""
    with reported():
        body = wish.body()

        if not body:
            raise Failure("Nothing to change was said; --help lists the options.")

        async def work(editor: CatalogEditor) -> CatalogRecord:
            return await editor.update(local_context(), kind, name, body)

        record = _edited(sources, work)

    if as_json:
        _print_record(record, as_json=True)
        return

    print(f"The {kind.value} {record.name} is changed; a running gateway has it within a second.")


def remove(sources: Sources, kind: Kind, name: str) -> None:
    """Delete a record that no other needs."""

    async def work(editor: CatalogEditor) -> CatalogRecord:
        return await editor.delete(local_context(), kind, name)

    with reported():
        record = _edited(sources, work)

    print(f"The {kind.value} {record.name} is deleted.")


def _edited(sources: Sources, work: Callable[[CatalogEditor], Awaitable[T]]) -> T:
    async def on_editor(store: Store, settings: Settings) -> T:
        async with open_editor(store, settings) as editor:
            return await work(editor)

    return on_store(sources, on_editor)


def _print_record(record: CatalogRecord, *, as_json: bool) -> None:
    said = shown(record, epoch=record.epoch, whole=True)

    if as_json:
        print(json.dumps(said))
        return

    print_table(
        ("KEY", "VALUE"),
        [
            (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for key, value in said.items()
            if value not in (None, "", [], {})
        ],
    )


def _audience(record: CatalogRecord) -> str:
    """Return who sees a record beside administrators."""
    match record.visibility:
        case Visibility.PUBLIC:
            return "everybody"
        case Visibility.TEAM:
            return f"the team {record.team}"
        case Visibility.PRIVATE:
            return f"{record.owner} alone" if record.owner else "administrators alone"


def _where(record: CatalogRecord) -> str:
    backend = backend_name(record.spec)

    match record.spec:
        case ServerSpec(slug=slug):
            return f"/servers/{slug}/mcp"
        case ProviderSpec(urls=urls):
            return ", ".join(urls) or "-"
        case GatewaySpec(url=url):
            return url or "-"
        case _:
            return "-" if backend is None else backend[1]


def _put(body: JsonObject, setting: str) -> None:
    key, separator, text = setting.partition("=")

    if not separator or not key:
        raise Failure(f"{setting!r} is no setting: write KEY=VALUE.")

    try:
        value: Json = read_value(text)
    except ValueError as exc:
        raise Failure(f"{key}: {exc}.") from exc

    first, *rest = key.split(".")

    if not rest:
        body[first] = value
        return

    level = body.setdefault(first, {})

    for part in rest[:-1]:
        level = level.setdefault(part, {}) if isinstance(level, dict) else None

    if not isinstance(level, dict):
        raise Failure(f"{key}: {first} is not a mapping.")

    level[rest[-1]] = value
