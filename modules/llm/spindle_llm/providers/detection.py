"""What a model can do, from what its provider says of it and, for the rest, from its name.

What a provider says holds; a name is only asked where the provider is silent. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from spindle_llm.providers.families import architecture_of, does_call_tools, does_see
from spindle_llm.providers.runtimes import runtime_of
from spindle_spi.records import Kind, ModelFacts, ModelSpec, PublishedRecord

_PARAMETERS: Final = re.compile(
    r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bmt])(?![a-z0-9])", re.IGNORECASE
)
_SCALE: Final = {"m": 1e6, "b": 1e9, "t": 1e12}
_QUANTIZATION: Final = re.compile(
    r"(?<![a-z0-9])("
    r"(?:iq|tq|q)\d(?:_[a-z0-9]+)*|bf16|fp16|fp32|f16|f32|fp8|int[48]|[2-8]-?bit"
    r"|awq|gptq|mxfp4|nvfp4|nf4)(?![a-z0-9])",
    re.IGNORECASE,
)
_CODING: Final = re.compile(
    r"(?<![a-z])(?:code|coder|coding|codex|codestral|codegemma|codellama|codeqwen)(?![a-z])"
    r"|starcoder|wizardcoder|sqlcoder|opencoder|devstral|-coder"
)
_INSTRUCTED: Final = re.compile(
    r"(?<![a-z])(?:instruct(?:ed)?|it|chat|assistant|sft|dpo|rlhf|hermes|tulu|zephyr|vicuna)"
    r"(?![a-z])"
)
_BASE: Final = re.compile(r"(?<![a-z])(?:base|pt|pretrain(?:ed)?|text)(?![a-z])")
_EMBEDDING: Final = re.compile(
    r"embed|(?<![a-z])(?:bge|gte|e5|minilm|jina-emb\w*|mxbai|arctic-embed|paraphrase|sentence)"
    r"(?![a-z])"
)
_PICTURES: Final = re.compile(
    r"(?<![a-z])(?:clip|siglip|sdxl|flux|dall-e|gpt-image|stable-diffusion|imagen)(?![a-z])"
)
_NO_CHAT: Final = re.compile(r"(?<![a-z])(?:rerank\w*|whisper|tts|piper|kokoro|moderation)")

_KINDS: Final = {
    "llm": "llm",
    "chat": "llm",
    "vlm": "vlm",
    "embedding": "embeddings",
    "embeddings": "embeddings",
    "vision": "vision",
}
_ABILITIES: Final = {
    "completion": "chat",
    "chat": "chat",
    "tools": "function_calling",
    "tool_use": "function_calling",
    "function_calling": "function_calling",
    "vision": "vision",
    "embedding": "embedding",
    "embeddings": "embedding",
}
"""Words of servers for what the catalog calls otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What a provider says of a model; None: it does not say."""

    kind: str | None = None
    """llm, vlm, embedding, …"""
    capabilities: frozenset[str] | None = None
    """In the server's words; what is missing here is missing."""
    can_call_tools: bool | None = None
    can_see: bool | None = None
    publisher: str | None = None
    architecture: str | None = None
    quantization: str | None = None
    parameters: int | str | None = None
    """A number, or "7B"."""
    size: int | None = None
    weights: str | None = None
    """gguf, mlx, safetensors, onnx, …"""
    engine: str | None = None
    """What runs it, in the server's words."""
    context_window: int | None = None
    max_output_tokens: int | None = None
    dimensions: int | None = None
    file_path: str | None = None
    created: int | None = None
    modified_at: int | None = None
    state: str = "unknown"
    input_price: float | None = None
    """US dollars per million tokens, as the other prices."""
    output_price: float | None = None
    cache_read_price: float | None = None
    cache_write_price: float | None = None


def described(
    provider: str, provider_type: str, name: str, said: Metadata | None = None
) -> PublishedRecord:
    """Return the record of a model with all that is known of it."""
    known = Metadata() if said is None else said
    kind = model_type_of(name, known)
    supports = supports_of(name, kind, known)
    return PublishedRecord(
        kind=Kind.MODEL,
        name=f"{provider}~{name}",
        spec=ModelSpec(
            provider=provider,
            upstream_name=name,
            model_type=kind,
            context_window=known.context_window,
            max_output_tokens=known.max_output_tokens,
            dimensions=known.dimensions,
            supports=supports,
            input_price=known.input_price,
            output_price=known.output_price,
            cache_read_price=known.cache_read_price,
            cache_write_price=known.cache_write_price,
            created=known.created or known.modified_at or 0,
            state=known.state,
            facts=facts_of(provider_type, name, kind, supports, known),
        ),
    )


def model_type_of(name: str, said: Metadata) -> str:
    """Return `llm`, `vlm`, `embeddings`, `vision` or `unknown`."""
    kind = _KINDS.get((said.kind or "").lower())
    able = _abilities(said)

    if kind == "llm" and (said.can_see or "vision" in able):
        return "vlm"

    if kind is not None:
        return kind

    if able:
        return _type_by(able)

    word = name.lower()

    for found, pattern in (
        ("embeddings", _EMBEDDING),
        ("unknown", _NO_CHAT),
        ("vision", _PICTURES),
    ):
        if pattern.search(word):
            return found

    sees = does_see(word) if said.can_see is None else said.can_see
    return "vlm" if sees else "llm"


def supports_of(name: str, kind: str, said: Metadata) -> tuple[str, ...]:
    """Return what a model of a type supports, in the catalog's words."""
    if kind == "embeddings":
        return ("embedding",)

    able = _abilities(said)
    calls = said.can_call_tools

    if calls is None:
        calls = "function_calling" in able if able else does_call_tools(name.lower())

    found = {"chat": kind in ("llm", "vlm"), "function_calling": calls, "vision": kind == "vlm"}
    found["streaming"] = found["chat"]
    found["function_calling"] = calls and found["chat"]
    found["embedding"] = "embedding" in able
    order = ("chat", "streaming", "function_calling", "vision", "embedding")
    return tuple(ability for ability in order if found[ability])


def facts_of(
    provider_type: str, name: str, kind: str, supports: tuple[str, ...], said: Metadata
) -> ModelFacts:
    """Return what is known of a model's weights and of what runs it."""
    word = name.lower()
    weights = said.weights or weights_of(word)
    runtime = runtime_of(provider_type, weights=weights, engine=said.engine)
    parameters = said.parameters

    if isinstance(parameters, str) or parameters is None:
        parameters = parameters_of(parameters or "") or parameters_of(name)

    quantization = said.quantization or quantization_of(name)
    return ModelFacts(
        publisher=said.publisher or publisher_of(name),
        architecture=said.architecture or architecture_of(word),
        quantization=quantization if quantization not in ("unknown", "") else None,
        size=said.size,
        parameters=parameters,
        runtime=None if runtime is None else runtime.name,
        file_path=said.file_path,
        modified_at=said.modified_at,
        instructed=is_instructed(word, kind, supports),
        coding=_CODING.search(word) is not None,
        is_mlx=weights == "mlx",
        is_gguf=weights == "gguf",
    )


def parameters_of(text: str) -> int | None:
    """Return the number of parameters a name or a size tells: `7B`, `8x7b`, `270M`."""
    match = _PARAMETERS.search(text)

    if match is None:
        return None

    experts, number, unit = match.groups()
    return round(float(number) * _SCALE[unit.lower()]) * int(experts or 1)


def quantization_of(name: str) -> str | None:
    """Return the quantization a name tells, written as names do: `Q4_K_M`, `4bit`, `AWQ`."""
    match = _QUANTIZATION.search(name)

    if match is None:
        return None

    found = match[1]
    return found.lower() if "bit" in found.lower() else found.upper()


def publisher_of(name: str) -> str | None:
    """Return who made a model, where its name says so: `org/model`, `host/org/model`."""
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 and parts[-2] else None


def weights_of(word: str) -> str | None:
    """Return the form of the weights that a name in lower case tells."""
    for form in ("gguf", "mlx", "onnx", "safetensors"):
        if re.search(rf"(?<![a-z]){form}(?![a-z])", word):
            return form

    return None


def is_instructed(word: str, kind: str, supports: tuple[str, ...]) -> bool:
    """Tell whether a model follows instructions: its name says so, or what it can do needs it."""
    if kind not in ("llm", "vlm"):
        return False

    if "function_calling" in supports or _INSTRUCTED.search(word):
        return True

    return _BASE.search(word) is None and does_call_tools(word)


def _abilities(said: Metadata) -> frozenset[str]:
    words = said.capabilities or frozenset()
    return frozenset(_ABILITIES[word.lower()] for word in words if word.lower() in _ABILITIES)


def _type_by(able: frozenset[str]) -> str:
    if "chat" not in able and "embedding" in able:
        return "embeddings"

    if "vision" in able:
        return "vlm" if "chat" in able or "function_calling" in able else "vision"

    return "llm"
