"""Wire models of the SDK's client: the one that keeps a result as it came."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from spindle_spi.types import JsonObject


class AnyResult(BaseModel):
    """A result whose fields nobody has looked at."""

    model_config = ConfigDict(extra="allow")

    def as_object(self) -> JsonObject:
        """Return the result."""
        return dict(self.model_extra or {})
