"""Responses that are answered after their client has gone: detached, renewed, cancellable."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

from spindle_llm.relay.journal import Journal
from spindle_llm.surfaces.admission import admitted
from spindle_llm.surfaces.responses.store import ALIVE_SECONDS
from spindle_llm.turn import complete_hooked, error_code_of, status_of
from spindle_spi.admission import Status
from spindle_spi.errors import GatewayError, Internal, Unavailable
from spindle_spi.observability import Level

if TYPE_CHECKING:
    from spindle_llm.runtime import Runtime
    from spindle_llm.surfaces.responses.form import ResponseForm
    from spindle_llm.surfaces.responses.request import ResponseRequest
    from spindle_llm.surfaces.responses.store import ResponseStore
    from spindle_spi.admission import Permit
    from spindle_spi.ingress import Call
    from spindle_spi.session_event import Session

MAX_RUNNING = 256
"""Responses in the background at once."""
MAX_SECONDS = 3600.0
"""How long one may take."""
_CLOSING_SECONDS = 5.0
_LEASE_SECONDS = 3 * ALIVE_SECONDS


class Background:
    """The responses that are being answered in this process."""

    def __init__(self) -> None:
        self._running: dict[str, anyio.CancelScope] = {}

    def cancel(self, response_id: str) -> bool:
        """Stop one that runs here; False when it does not."""
        scope = self._running.get(response_id)

        if scope is not None:
            scope.cancel()

        return scope is not None

    async def start(
        self,
        runtime: Runtime,
        call: Call,
        request: ResponseRequest,
        form: ResponseForm,
        store: ResponseStore,
    ) -> None:
        """Admit and keep a response, and begin to answer it.

        Raises:
            GatewayError: As an admission does.
            Unavailable: Too many are running.
        """
        if len(self._running) >= MAX_RUNNING:
            raise Unavailable(
                "Too many responses are answered in the background.",
                code="llm.response.too_many",
                retry_after=ALIVE_SECONDS,
            )

        catalog = runtime.services.catalog
        messages = request.messages()
        request.parsed()
        lease = await catalog.open_lease(call.context, _LEASE_SECONDS)

        try:
            permit = await admitted(
                runtime,
                call,
                request.model,
                request.estimate,
                lease_id=lease.id,
                headers=request.headers,
            )
            session = await store.keep(call.context, request, form, messages)
        except BaseException:
            await catalog.close_lease(lease.id)
            raise

        scope = self._running[form.id] = anyio.CancelScope()
        job = _Job(runtime, call, request, form, store, permit, session, lease.id)

        async def work() -> None:
            try:
                with scope:
                    await job.run(scope)
            finally:
                self._running.pop(form.id, None)

        runtime.spawn(f"llm.response {form.id}", work)


class _Job:
    """One response being answered."""

    def __init__(  # noqa: PLR0913 - the parts of one response, put together in one place
        self,
        runtime: Runtime,
        call: Call,
        request: ResponseRequest,
        form: ResponseForm,
        store: ResponseStore,
        permit: Permit,
        session: Session,
        lease_id: str,
    ) -> None:
        self._runtime = runtime
        self._context = call.context
        self._request = request
        self._form = form
        self._store = store
        self._permit = permit
        self._session = session
        self._lease_id = lease_id

    async def run(self, scope: anyio.CancelScope) -> None:
        """Answer it, write down what became of it, and settle."""
        catalog = self._runtime.services.catalog

        async with anyio.create_task_group() as group:
            group.start_soon(self._stay_alive, scope)

            try:
                await self._answer()
            finally:
                group.cancel_scope.cancel()

                with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
                    await self._write_end()
                    await catalog.close_lease(self._lease_id)

    async def _answer(self) -> None:
        form, journal, catalog = self._form, Journal(), self._runtime.services.catalog
        status = Status.OK

        try:
            completion = await complete_hooked(
                self._runtime,
                self._context,
                self._permit,
                self._request.parsed(),
                deadline=time.monotonic() + MAX_SECONDS,
                journal=journal,
            )
            form.take_answer(completion.answer)
        except GatewayError as exc:
            journal.error_code, status = error_code_of(exc), status_of(exc)
            form.fail(exc)
        except anyio.get_cancelled_exc_class() as exc:
            journal.error_code, status = error_code_of(exc), status_of(exc)
            form.cancel()
            raise
        finally:
            with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
                try:
                    await catalog.settle(self._permit.id, journal.outcome(status))
                except GatewayError as exc:
                    # An answer that the core refuses is nobody's to read.
                    form.fail(exc)

    async def _write_end(self) -> None:
        try:
            await self._store.end(self._context, self._session, self._form)
        except GatewayError as exc:
            self._log("llm.response.unwritten", exc)

    async def _stay_alive(self, scope: anyio.CancelScope) -> None:
        while True:
            await anyio.sleep(ALIVE_SECONDS)

            try:
                await self._runtime.services.catalog.renew_lease(self._lease_id, _LEASE_SECONDS)
                is_wanted = await self._store.live(self._context, self._session)
            except GatewayError as exc:
                self._log("llm.response.unrenewed", exc)
                is_wanted = not isinstance(exc, Internal)

            if not is_wanted:
                scope.cancel()
                return

    def _log(self, event: str, exc: GatewayError) -> None:
        fields = {"response": self._form.id, "code": exc.code}
        self._runtime.services.observability.log(Level.WARNING, event, {**fields})
