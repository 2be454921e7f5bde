"""The short way and the long way through a real gateway: routes, callers and plugin tables.

With no plugin the bytes of an upstream of the same form are passed on; with one that looks they are
parsed, judged and written again. Whoever asks must not be able to tell: same decision, same status,
same meaning, same settlement. Cuts that Hypothesis draws are in `tests/llm/faults`.
"""

from __future__ import annotations

import json
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import anyio
import pytest

from spindle_conformance.parity import READERS, Said
from spindle_conformance.upstreams.repertoire import PLAIN_TEXT
from spindle_conformance.upstreams.simulators import serving, simulator
from tests.support.spindle_process import SpindleProcess, running_spindle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx2

    from spindle_spi.types import Json, JsonObject

CHUNK = 5
"""Bytes of an upstream's write: no word comes in one piece."""
KINDS: Final = {"openai": "v1", "anthropic": "v1"}
MODELS: Final = ("plain", "echo", "tools", "signed-reasoning", "in-stream-error", "error-429")
ROUTES: Final[dict[str, tuple[str, JsonObject]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    "messages": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 100},
    ),
    "responses": ("/v1/responses", {"input": "hi", "store": False}),
}
CALLERS: Final = {
    "admin": MODELS,
    "red": ("plain", "echo"),
    "blue": ("plain", "echo"),
    "limited": ("plain",),
    "revoked": ("plain",),
}
"""Who asks for what: `echo` is the team red's, the limited may read alone."""
WHOLE: Final = (False, True)


def _rule(word: str, action: str, **more: Json) -> JsonObject:
    rule: JsonObject = {"name": "word", "pattern": word, "action": action}
    return {"config": {"rules": [{**rule, **more}]}}


TABLES: Final[dict[str, JsonObject | None]] = {
    "none": None,
    "off": {"mode": "disabled", **_rule("fox", "deny")},
    "elsewhere": {"conditions": {"models": ["elsewhere~other"]}, **_rule("fox", "deny")},
    "permissive": {"mode": "permissive", **_rule("fox", "deny")},
    "requests": {"phases": ["pre_invoke"], **_rule("nowhere", "deny")},
    "answers": {"phases": ["post_invoke"], **_rule("nowhere", "deny")},
    "both": _rule("nowhere", "mask"),
    "denies": _rule("lazy", "deny"),
    "masks": _rule("lazy", "mask", replacement="[?]"),
    "arguments": _rule("Z.rich", "mask", replacement="Geneva"),
    "refuses": {"phases": ["pre_invoke"], **_rule("hi", "deny")},
}
"""Plugin tables: each is in force for the services of its name."""
HARMLESS: Final = ("off", "elsewhere", "permissive", "requests", "answers", "both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request."""

    caller: str
    route: str
    kind: str
    table: str
    model: str
    stream: bool

    @property
    def name(self) -> str:
        """The unified name of the model."""
        return f"{self.kind}-{self.table}~{self.model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of it."""

    status: int
    said: Said | None = None
    """What a good answer says, or a stream before it broke."""
    broke: bool = False
    """The stream ended in an error."""
    refusal: tuple[str, str] | None = None
    """Whose fault an error is, and what it says."""
    settled: tuple[str | int | bool | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """A gateway, and the tokens of its callers."""

    process: SpindleProcess
    tokens: dict[str, str]
    revoked: str

    async def ask(self, *questions: Question) -> list[Told]:
        """Ask, and wait until all of it is settled and written down."""
        answers: dict[int, httpx2.Response] = {}

        async with self.process.client("") as client:
            for number, question in enumerate(questions):
                path, said = ROUTES[question.route]
                body: JsonObject = {"model": question.name, **said, "stream": question.stream}

                if question.stream and question.route == "chat":
                    body["stream_options"] = {"include_usage": True}

                token = self.tokens.get(question.caller, self.revoked)
                answers[number] = await client.post(
                    path, json=body, headers={"authorization": f"Bearer {token}"}
                )

        rows = await self._rows([_id_of(answers[number]) for number in answers])
        return [
            replace(_told(question, answers[number]), settled=rows.get(_id_of(answers[number]), ()))
            for number, question in enumerate(questions)
        ]

    async def _rows(self, ids: list[str]) -> dict[str, Settled]:
        """Return how calls were settled, by their requests, once no permit is open."""
        with anyio.fail_after(10):
            while (await self.process.metrics())["spindle_permits_open"]:
                await anyio.sleep(0.02)

            await anyio.sleep(_FLUSH * 3)

        found: dict[str, Settled] = {}
        cursor = ""

        async with self.process.client() as client:
            while True:
                page = (await client.get(f"/usage/records?limit=200{cursor}")).json()

                for row in page["items"]:
                    found[row["request_id"]] = tuple(row[name] for name in _SETTLED)

                if not page["next_cursor"] or set(ids) <= found.keys():
                    return found

                cursor = f"&cursor={page['next_cursor']}"


_FLUSH = 0.05
Settled = tuple[str | int | bool | None, ...]
_SETTLED = ("status", "error_code", "stream", "input_tokens", "output_tokens", "action")
_MADE_UP = re.compile(r"req_[0-9a-zA-Z]+|(?:resp|msg)_[0-9a-zA-Z]+")


def _id_of(answer: httpx2.Response) -> str:
    return answer.headers.get("request-id") or answer.headers["x-request-id"]


def _told(question: Question, answer: httpx2.Response) -> Told:
    """Return what a client makes of an answer, whatever the table is called."""
    reader = READERS[question.route]
    status = answer.status_code

    if status != 200:
        text = _MADE_UP.sub("ID", answer.text).replace(question.name, "MODEL")
        return Told(status=status, refusal=(answer.headers["x-spindle-origin"], text))

    if not question.stream:
        return Told(status=status, said=_plain(reader.whole(answer.content)))

    streamed = reader.stream(answer.content)
    return Told(status=status, said=_plain(streamed.said), broke=streamed.failed)


def _plain(said: Said) -> Said:
    """Leave out the name, and log probabilities, which nobody judges."""
    choices = tuple(replace(choice, tokens=()) for choice in said.choices)
    return replace(said, model="", choices=choices)


def _configuration(urls: dict[str, str]) -> JsonObject:
    services: JsonObject = {}
    entries: list[Json] = []

    for table, entry in TABLES.items():
        for kind, url in urls.items():
            models: list[Json] = [
                {"name": name, **({"visibility": "team", "team": "red"} if name == "echo" else {})}
                for name in MODELS
            ]
            services[f"{kind}-{table}"] = {
                "provider_type": kind,
                "urls": [f"{url}/{KINDS[kind]}"],
                "models": models,
            }

        if entry is not None:
            conditions: JsonObject = {"models": [f"{kind}-{table}~*" for kind in urls]}
            entries.append({"name": table, "plugin": "regex", "conditions": conditions, **entry})

    return {
        "llm": {"services": services, "discover_local": False},
        "plugins": {"entries": entries},
        "usage": {"flush_seconds": _FLUSH},
    }


@pytest.fixture(scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Gate]:
    async with AsyncExitStack() as stack:
        urls = {
            kind: await stack.enter_async_context(serving(simulator(kind, chunk=CHUNK)))
            for kind in KINDS
        }
        process = await stack.enter_async_context(
            running_spindle(_configuration(urls), home=tmp_path_factory.mktemp("home"))
        )
        tokens = {"admin": process.admin_token}
        ids: dict[str, str] = {}

        async with process.client() as client:
            for name, more in {
                "red": {"teams": ["red"]},
                "blue": {"teams": ["blue"]},
                "limited": {"teams": ["red"], "permissions": ["llm.read"]},
                "revoked": {"teams": ["red"]},
            }.items():
                wanted = {"name": name, "role": "developer", **more}
                made = await client.post("/admin/api/v1/tokens", json=wanted)
                assert made.status_code == 201, made.text
                tokens[name], ids[name] = made.json()["token"], made.json()["id"]

            gone = await client.delete(f"/admin/api/v1/tokens/{ids['revoked']}")
            assert gone.status_code in (200, 204), gone.text

        yield Gate(process, tokens, tokens.pop("revoked"))


def _questions(table: str, kind: str, route: str) -> list[Question]:
    return [
        Question(caller=caller, route=route, kind=kind, table=table, model=model, stream=stream)
        for caller, models in CALLERS.items()
        for model in models
        for stream in WHOLE
    ]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", KINDS)
async def test_nobody_can_tell_which_way_was_taken(gate: Gate, kind: str, route: str) -> None:
    """A table that changes nothing answers each caller as no table does, and books the same."""
    asked = _questions("none", kind, route)
    usual = await gate.ask(*asked)
    statuses = {
        (question.caller, question.model): told.status
        for question, told in zip(asked, usual, strict=True)
    }
    assert statuses["red", "echo"] == statuses["admin", "plain"] == 200
    assert statuses["blue", "echo"] == 404
    assert statuses["limited", "plain"] == 403
    assert statuses["revoked", "plain"] == 401
    wrong: list[str] = []

    for table in HARMLESS:
        for question, expected, told in zip(
            asked, usual, await gate.ask(*_questions(table, kind, route)), strict=True
        ):
            if expected.broke:
                # What a guard held back when the upstream failed stays where it is.
                expected, told = _begun(expected), _begun(told)

            if told != expected:
                wrong.append(f"{table}, {question}:\n  {told}\n  is not\n  {expected}")

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("route", ROUTES)
async def test_a_verdict_is_one_whoever_asks_and_however(gate: Gate, route: str) -> None:
    """Refused and masked alike whole and streamed, over either upstream, for whoever may ask."""

    async def ask(table: str, model: str, *, stream: bool) -> list[Told]:
        return await gate.ask(
            *(
                Question(
                    caller=caller,
                    route=route,
                    kind=kind,
                    table=table,
                    model=model,
                    stream=stream,
                )
                for caller in ("admin", "red", "blue")
                for kind in KINDS
            )
        )

    for stream in WHOLE:
        for told in await ask("refuses", "plain", stream=stream):
            assert (told.status, _settlement(told)) == (403, ("denied", "plugin.regex.word"))

    for told in await ask("denies", "plain", stream=False):
        assert (told.status, _settlement(told)) == (403, ("denied", "plugin.regex.word"))

    for told in await ask("denies", "plain", stream=True):
        assert _settlement(told) == ("denied", "plugin.regex.word")
        assert told.broke
        assert PLAIN_TEXT.partition("lazy")[0].startswith(_text(told))

    for table, model, was, now in (
        ("masks", "plain", "lazy", "[?]"),
        ("arguments", "tools", "Zürich", "Geneva"),
    ):
        whole = [told.said for told in await ask(table, model, stream=False)]
        streamed = await ask(table, model, stream=True)
        assert [told.said for told in streamed] == whole
        assert not any(told.broke for told in streamed)
        assert all(now in repr(said) and was not in repr(said) for said in whole)


def _begun(told: Told) -> Told:
    """Return what a stream that broke came to, without how far it got."""
    assert PLAIN_TEXT.startswith(_text(told))
    return replace(told, said=None, settled=_settlement(told))


def _text(told: Told) -> str:
    assert told.said is not None
    return "".join(choice.text for choice in told.said.choices)


def _settlement(told: Told) -> Settled:
    return told.settled[:2]


def test_every_table_is_asked() -> None:
    """None is configured and forgotten."""
    assert {"none", *HARMLESS, "denies", "masks", "arguments", "refuses"} == set(TABLES)
    assert json.dumps(_configuration(dict.fromkeys(KINDS, "http://x")))
