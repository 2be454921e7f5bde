"""What the simulated upstreams of all vendors share: credentials, routes, and playing an act."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from spindle_conformance.upstreams.dialects.base import Dialect
from spindle_conformance.upstreams.embeddings import MODELS as EMBEDDING_MODELS
from spindle_conformance.upstreams.embeddings import openai_embeddings, wanted_in
from spindle_conformance.upstreams.faults import Failure, How, Problem
from spindle_conformance.upstreams.framing import dump
from spindle_conformance.upstreams.repertoire import Act, act_for, act_names
from spindle_conformance.upstreams.requests import Asked, Request, request_of, string
from spindle_conformance.upstreams.server import Ending, Play, Seen

if TYPE_CHECKING:
    from spindle_conformance.upstreams.answers import Answer
    from spindle_spi.types import Json

Route: TypeAlias = Callable[[Request], Play]
Routes: TypeAlias = Mapping[tuple[str, str], Route]
"""By method and path; a path that ends in `*` stands for all that begin so."""


class SimulatorMaker(Protocol):
    """Makes the simulated upstream of one vendor."""

    def __call__(self, *, key: str | None, quirks: set[Quirk]) -> Simulator:
        """Make it."""
        ...


ODD_NAMES = ("org/model:7b-q4_K_M", "hf.co/Größe/模型🦊:Q8_0", "a b~c@d%2F")


class Quirk(StrEnum):
    """What a server does in general; what it does in a chat is in the model's name."""

    LIST_HANGS = "list-hangs"
    """The list of models never comes."""
    ODD_NAMES = "odd-names"
    """The list has names with slashes, spaces and characters beyond ASCII."""
    DISABLED = "disabled"
    """Every route answers 401, with no body."""
    OLD = "old"
    """An older version, which lacks what came later."""
    NOT_READY = "not-ready"
    """It has started, and is not ready."""
    NOTHING_RUNNING = "nothing-running"
    """No model is loaded."""


@dataclass(slots=True, kw_only=True)
class Simulator(ABC):
    """A simulated upstream; its quirks may change while it runs."""

    dialect: Dialect
    key: str | None = None
    """The credential it insists on; None: anybody may come."""
    quirks: set[Quirk] = field(default_factory=set[Quirk])

    key_headers: ClassVar[tuple[str, ...]] = ("authorization",)
    """Where a credential may stand."""
    open_paths: ClassVar[frozenset[str]] = frozenset()
    """What needs no credential."""

    @abstractmethod
    def routes(self) -> Routes:
        """Return what is served."""

    def answer(self, seen: Seen) -> Play:
        """Return what happens to one request."""
        request = request_of(seen)

        if Quirk.DISABLED in self.quirks:
            return Play(status=401)

        if not self.is_known(request):
            return self.refuse(Failure.UNAUTHORIZED, key=request.key)

        routes = self.routes()
        found = [(method, route) for (method, path), route in routes.items() if _is(path, request)]

        for method, route in found:
            if method == seen.method:
                return route(request)

            if (method, seen.method) == ("GET", "HEAD"):
                return replace(route(request), body=b"")

        return self.wrong_method(request) if found else self.refuse(Failure.NO_ROUTE)

    def wrong_method(self, request: Request) -> Play:
        """Return what happens to a request whose path is served, by another method."""
        del request
        return self.refuse(Failure.NO_ROUTE)

    def refuse(
        self,
        failure: Failure,
        message: str = "",
        *,
        key: str = "",
        model: str = "",
        status: int | None = None,
    ) -> Play:
        """Return a refusal in the vendor's form."""
        problem = Problem(failure=failure, message=message, key=key, model=model, status=status)
        return self.dialect.refuse(problem)

    def played(self, asked: Asked, adjust: Callable[[Answer], Answer] | None = None) -> Play:
        """Return what happens to a chat that is well-formed; `adjust` may change its answer."""
        speaks = self.dialect
        act = act_for(asked)

        if act is None:
            return speaks.refuse(Problem(failure=Failure.NO_MODEL, model=asked.model))

        speaks = speaks.asked_for_usage(asked.wants_usage).in_manner(act.manner)
        act = _timed(act, speaks)
        answer = speaks.fitted(act.answer)
        answer = answer if adjust is None else adjust(answer)

        if answer.fault is None and not speaks.expresses(answer):
            return speaks.refuse(Problem(failure=Failure.NO_MODEL, model=asked.model))

        play = speaks.play(answer, act.framing, stream=asked.stream)
        return replace(play, chunk=act.chunk, pause=act.pause, delay=act.delay)

    def names(self) -> tuple[str, ...]:
        """Return the names of the models there are: those that this dialect can play."""
        odd = ODD_NAMES if Quirk.ODD_NAMES in self.quirks else ()
        return (*odd, *(name for name in act_names() if self.plays(name)))

    def all_names(self) -> tuple[str, ...]:
        """Return the names of the models there are, those for embeddings among them."""
        return (*self.names(), *EMBEDDING_MODELS)

    def listed(self, body: Json) -> Play:
        """Return a list of models, or the silence instead of one."""
        if Quirk.LIST_HANGS in self.quirks:
            return Play(silent=True, ending=Ending.HANG)

        return self.told(body)

    def told(self, body: Json) -> Play:
        """Return a good answer."""
        return Play(body=dump(body), headers=self.dialect.headers)

    def embedded(
        self, request: Request, *, float_only: bool = False, counts_tokens: bool = True
    ) -> Play:
        """Return what happens to an embedding request in OpenAI's form."""
        wanted = wanted_in(request.body)

        if wanted is None:
            return self.refuse(Failure.INVALID, "'input' must be a non-empty text or list.")

        if (play := self.failed(request)) is not None:
            return play

        if wanted.model not in EMBEDDING_MODELS:
            return self.refuse(Failure.NO_MODEL, model=wanted.model)

        return self.told(
            openai_embeddings(wanted, float_only=float_only, counts_tokens=counts_tokens)
        )

    def failed(self, request: Request) -> Play | None:
        """Return what happens where the model's name says that it goes wrong."""
        asked = Asked(model=string(request.body.get("model")), key=request.key)
        act = act_for(asked)
        fault = None if act is None else act.answer.fault

        if act is None or fault is None:
            return None

        if fault.how is How.ERROR:
            return self.dialect.refuse(fault.problem)

        return self.dialect.play(act.answer, stream=False)

    def plays(self, name: str) -> bool:
        """Tell whether a name stands for something that this dialect can say."""
        act = act_for(Asked(model=name))

        if act is None:
            return False

        speaks = self.dialect.in_manner(act.manner)
        is_same = bool(act.manner) and speaks is self.dialect
        answer = act.answer
        return not is_same and (answer.fault is not None or speaks.expresses(speaks.fitted(answer)))

    def is_known(self, request: Request) -> bool:
        """Tell whether the credential is good."""
        if self.key is None or request.path in self.open_paths:
            return True

        headers = request.seen.headers
        given = {headers.get(name, "").removeprefix("Bearer ") for name in self.key_headers}
        return self.key in given


def _is(path: str, request: Request) -> bool:
    if path.endswith("*"):
        return request.path.startswith(path[:-1])

    return request.path == path


def _timed(act: Act, dialect: Dialect) -> Act:
    """Return the act with the moment of its fault counted in events."""
    fault = act.answer.fault

    if fault is None or act.after_pieces is None:
        return act

    fault = replace(fault, after=dialect.opening + act.after_pieces)
    return replace(act, answer=replace(act.answer, fault=fault))
