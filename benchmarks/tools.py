"""The tools of every row that asks for them: a hundred, of which `echo` is called."""

from __future__ import annotations

from typing import Final

_SCHEMA: Final[dict[str, object]] = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
}
COUNT: Final = 100
TOOLS: Final[list[dict[str, object]]] = [
    {"name": name, "description": f"The tool {name} says the text again.", "inputSchema": _SCHEMA}
    for name in ("echo", *(f"tool_{number}" for number in range(1, COUNT)))
]
"""As the protocol lists them."""
