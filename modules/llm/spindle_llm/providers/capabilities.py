"""What a provider type can do: the feature matrix of the requirement, flag by flag."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCapabilities:
    """`LLMServiceCapabilities`: every flag named; what is not said is not there."""

    install_model: bool = False
    import_model: bool = False
    update_model: bool = False
    load_model: bool = False
    unload_model: bool = False
    delete_model: bool = False
    load_model_progress: bool = False
    load_model_cancel: bool = False
    load_model_timeout: bool = False
    huggingface_models_supported: bool = False
    ollama_models_supported: bool = False
    inference: bool = True
    streaming: bool = True
    embedding: bool = False

    def shown(self) -> JsonObject:
        """Return the flags as JSON, under the names above."""
        return asdict(self)
