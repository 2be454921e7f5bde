"""One phase of one call: each plugin in order over the segments it handles, failing closed."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from spindle.plugins.edge import plugin_edge
from spindle.plugins.scanner import Scanner
from spindle.plugins.tally import Tally
from spindle_spi.errors import ContractViolation, Internal, Origin, PluginDenied
from spindle_spi.plugin import REQUEST_PHASES, PluginInput, Segment, SegmentKind

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from spindle.plugins.active import ActivePlugin
    from spindle.plugins.registry import PluginRegistry


async def run_phase(
    registry: PluginRegistry, names: tuple[str, ...], call: PluginInput, segments: Sequence[Segment]
) -> tuple[Segment, ...]:
    """Run the plugins `names` over lifted segments; returns them in order, replaced where asked.

    Raises:
        PluginDenied: A plugin, or the rule about unhandled kinds, refuses the content.
        Internal: A plugin failed or broke its contract; the content must not be released.
    """
    return await PhaseRun(registry, names, call).run(segments)


class PhaseRun:
    """The plugins of one phase at work on one call; `run_phase` and `Guard` both judge with it."""

    def __init__(self, registry: PluginRegistry, names: tuple[str, ...], call: PluginInput) -> None:
        self.call = call
        self.tally = Tally(call, registry.meter, logs=registry.logs)
        self.plugins = self._usable(registry.resolve(names))
        self._budget_seconds = registry.budget_seconds
        self._held_limit = registry.held_limit
        self._held: dict[str, int] = {}
        self._handled: frozenset[SegmentKind] | None = None
        enforced = [active for active in self.plugins if active.is_enforced]

        if registry.refuses_unhandled and enforced:
            self._handled = frozenset[SegmentKind]().union(
                *(active.plugin.kinds for active in enforced)
            )

    def _usable(self, plugins: Sequence[ActivePlugin]) -> tuple[ActivePlugin, ...]:
        usable: list[ActivePlugin] = []

        for active in plugins:
            if not active.is_unusable:
                usable.append(active)
                continue

            with self.verdict(active):
                raise Internal(
                    f"The plugin {active.name} cannot be used: an administrator has to mend it.",
                    code="plugin.unusable",
                    origin=Origin.PLUGIN,
                )

        return tuple(usable)

    async def run(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        """Judge whole segments.

        Raises:
            PluginDenied: The content is refused.
            Internal: A plugin failed.
        """
        for segment in segments:
            self.require_handled(segment.kind)

        current = list(segments)

        for active in self.plugins:
            chosen = [
                index
                for index, segment in enumerate(current)
                if segment.kind in active.plugin.kinds
            ]

            if not chosen:
                continue

            judged = await self._judge(active, tuple(current[index] for index in chosen))

            for index, segment in zip(chosen, judged, strict=True):
                current[index] = segment

        return tuple(current)

    def require_handled(self, kind: SegmentKind) -> None:
        """Refuse a kind that no enforcing plugin of this phase handles, where that is the rule.

        Raises:
            PluginDenied: Nobody handles it, and `plugins.unhandled` is `deny`.
        """
        if kind is SegmentKind.DOCUMENT:
            return  # its pieces are judged

        if self._handled is not None and kind not in self._handled:
            raise PluginDenied(
                f"No plugin here judges content of the kind {kind.value}, so it is refused.",
                code="plugin.unhandled",
            )

    def hold(self, active: ActivePlugin, length: int) -> None:
        """Count text of an answer that is held whole for a plugin.

        Raises:
            PluginDenied: That is more than may be held.
        """
        held = self._held.get(active.name, 0) + length
        self._held[active.name] = held

        if held > self._held_limit:
            self.tally.add(active, "held_too_long", "denied")
            raise PluginDenied(
                f"The answer is too long for the plugin {active.plugin.name} to judge whole.",
                code="plugin.held_too_long",
            )

    @contextmanager
    def verdict(self, active: ActivePlugin) -> Generator[None]:
        """Record how a plugin ends a call.

        What a permissive plugin raises ends here, and so does a failure of one that fails open.
        """
        try:
            yield
        except Internal as error:
            self.tally.failed(active, error.code)

            if active.is_enforced and not active.fails_open:
                raise
        except PluginDenied:
            if active.is_enforced:
                self.tally.denied(active)
                raise

    async def inspect(
        self, active: ActivePlugin, segments: tuple[Segment, ...]
    ) -> tuple[Segment, ...]:
        """Have a plugin without a span look at whole segments, within the time budget.

        Raises:
            PluginDenied: The content is refused.
            Internal: The plugin failed, took too long or broke its contract.
        """
        judged = await self._inspect_in_time(active, segments)

        if not _corresponds(segments, judged):
            raise ContractViolation(
                f"The plugin {active.plugin.name} did not return the segments it was given.",
                origin=Origin.PLUGIN,
            )

        if judged != segments:
            self.tally.add(active, "inspect", "replaced")

        return judged

    async def _judge(
        self, active: ActivePlugin, segments: tuple[Segment, ...]
    ) -> tuple[Segment, ...]:
        judged = segments

        with self._timed(active):
            if active.is_scanning:
                judged = tuple(self._scan(active, segment) for segment in segments)
            else:
                with self.verdict(active):
                    if self.call.phase not in REQUEST_PHASES:
                        self.hold(active, sum(len(segment.text) for segment in segments))

                    judged = await self.inspect(active, segments)

        return judged if active.is_enforced else segments

    @contextmanager
    def _timed(self, active: ActivePlugin) -> Generator[None]:
        started = time.perf_counter()

        try:
            yield
        finally:
            self.tally.judged(active, time.perf_counter() - started)

    def _scan(self, active: ActivePlugin, segment: Segment) -> Segment:
        text = segment.text

        # Each by itself: what fails on one text has judged the others.
        with self.verdict(active):
            scanner = Scanner(active, self.tally)
            text = scanner.push(segment.text) + scanner.close()

        return segment if text == segment.text else replace(segment, text=text)

    async def _inspect_in_time(
        self, active: ActivePlugin, segments: tuple[Segment, ...]
    ) -> tuple[Segment, ...]:
        name = active.plugin.name
        judged: tuple[Segment, ...] | None = None
        denied: PluginDenied | None = None
        budget = active.budget_seconds or self._budget_seconds

        with anyio.move_on_after(budget) as scope, plugin_edge(name):
            try:
                judged = tuple(await active.plugin.inspect(self.call, segments))
            except PluginDenied as refusal:
                denied = refusal
            except TimeoutError:
                judged = None

        if denied is not None:
            self.tally.add(active, denied.code, "denied")
            raise denied

        if judged is None or scope.cancel_called:
            raise Internal(
                f"The plugin {name} did not decide within {budget:g} seconds.",
                code="plugin.timed_out",
                origin=Origin.PLUGIN,
            )

        return judged


def _corresponds(before: Sequence[Segment], after: Sequence[object]) -> bool:
    if len(before) != len(after):
        return False

    return all(
        isinstance(new, Segment) and (new.pointer, new.kind) == (old.pointer, old.kind)
        for old, new in zip(before, after, strict=True)
    )
