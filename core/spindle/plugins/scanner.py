"""The engine of scanning plugins: one plugin over one text that arrives in pieces.

Unary text goes through it in one piece, streamed text in many; the output is the same, because a
position is decided only when the whole window its verdict may depend on has arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.plugins.edge import plugin_edge
from spindle_spi.errors import ContractViolation, Origin
from spindle_spi.plugin import Finding, refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spindle.plugins.active import ActivePlugin
    from spindle.plugins.tally import Tally

_BATCHES_PER_SPAN = 8
"""Text is looked at again when it grew by span / 8: one-character chunks cost linear time."""


class Scanner:
    """Holds back at most span + span / 8 characters and releases what is decided."""

    __slots__ = ("_active", "_batch", "_buffer", "_lookbehind", "_position", "_span", "_tally")

    def __init__(self, active: ActivePlugin, tally: Tally) -> None:
        span = active.plugin.span

        if span is None:
            raise ValueError(f"The plugin {active.name} has no span.")

        self._active = active
        self._tally = tally
        self._span = span
        self._lookbehind = active.plugin.lookbehind
        self._batch = span // _BATCHES_PER_SPAN
        # Context of the first undecided character, then the undecided text.
        self._buffer = ""
        self._position = 0

    def push(self, text: str) -> str:
        """Take the next text; return what is decided.

        Raises:
            PluginDenied: A finding refuses the text.
            Internal: The plugin failed.
        """
        self._buffer += text
        undecided = len(self._buffer) - self._position

        if undecided < self._span + self._batch:
            return ""

        # The window of every position below the frontier lies inside the text so far.
        return self._advance(len(self._buffer) - self._span + 1)

    def close(self) -> str:
        """End the text; return the rest of it.

        Raises:
            PluginDenied: A finding refuses the text.
            Internal: The plugin failed.
        """
        return self._advance(len(self._buffer))

    def pending(self) -> str:
        """Return the text that is not decided, as it came."""
        return self._buffer[self._position :]

    def _advance(self, frontier: int) -> str:
        text = self._buffer
        pieces: list[str] = []
        copied = self._position

        for finding in self._scan():
            if finding.start >= frontier:
                break

            self._judge(finding)
            pieces += (text[copied : finding.start], finding.replacement or "")
            copied = finding.end

        decided = max(copied, frontier)
        pieces.append(text[copied:decided])
        kept = max(0, decided - self._lookbehind)
        self._buffer = text[kept:]
        self._position = decided - kept
        return "".join(pieces)

    def _scan(self) -> Sequence[Finding]:
        # An empty text can hold no finding.
        if self._position == len(self._buffer):
            return ()

        plugin = self._active.plugin

        with plugin_edge(plugin.name):
            findings = list(plugin.scan(self._buffer, self._position))
            is_sound = self._is_sound(findings)

        if not is_sound:
            raise ContractViolation(
                f"The plugin {plugin.name} reported a finding outside its bounds.",
                origin=Origin.PLUGIN,
            )

        return findings

    def _is_sound(self, findings: Sequence[object]) -> bool:
        earliest = self._position

        for finding in findings:
            if not isinstance(finding, Finding) or not _is_text_or_none(finding.replacement):
                return False

            start, end = finding.start, finding.end

            if not earliest <= start < end <= min(start + self._span, len(self._buffer)):
                return False

            earliest = end

        return True

    def _judge(self, finding: Finding) -> None:
        is_refused = finding.replacement is None
        self._tally.add(self._active, finding.rule, "denied" if is_refused else "replaced")

        if is_refused and self._active.is_enforced:
            raise refusal(self._active.plugin.name, finding.rule)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)
