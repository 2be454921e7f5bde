"""What runs a model's weights, and the options of its own that requests may give it.

`LLMRuntime` of the requirement: identified from the provider's type, the form of the weights and
what the server says of itself. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Place(StrEnum):
    """Where an option of a runtime goes."""

    REQUEST = "request"
    """Beside the other parameters of a request."""
    OPTIONS = "options"
    """Into the member `options` of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMRuntime:
    """An execution environment of models."""

    name: str
    """llama.cpp, MLX, ONNX, …: the `runtime` of a model's facts."""
    formats: frozenset[str] = frozenset()
    """Forms of weights that it alone runs."""
    words: tuple[str, ...] = ()
    """What servers call it, or an engine made of it, in lower case."""
    options: frozenset[str] = frozenset()
    """Options of its own, by the names its command or its API gives them."""


_SAMPLING: Final = frozenset(
    {
        *("top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n", "mirostat"),
        *("mirostat_tau", "mirostat_eta", "penalize_newline", "tfs_z"),
    }
)

LLAMA_CPP: Final = LLMRuntime(
    name="llama.cpp",
    formats=frozenset({"gguf", "ggml"}),
    words=("llama.cpp", "llama-cpp", "llamacpp", "llama-server", "ggml"),
    options=_SAMPLING
    | {
        *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "use_mmap"),
        *("use_mlock", "numa", "low_vram", "f16_kv", "vocab_only", "flash_attention"),
        *("cache_type", "n_parallel", "eval_batch_size", "offload_kv_cache_to_gpu"),
    },
)
MLX: Final = LLMRuntime(
    name="MLX",
    formats=frozenset({"mlx"}),
    words=("mlx",),
    options=frozenset({"top_k", "min_p", "repeat_penalty", "num_ctx"}),
)
ONNX: Final = LLMRuntime(
    name="ONNX",
    formats=frozenset({"onnx"}),
    words=("onnx",),
    options=frozenset({"top_k", "repeat_penalty"}),
)
VLLM: Final = LLMRuntime(
    name="vLLM",
    words=("vllm",),
    options=frozenset(
        {
            *("top_k", "min_p", "repetition_penalty", "min_tokens", "ignore_eos"),
            *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "priority"),
        }
    ),
)
TRANSFORMERS: Final = LLMRuntime(
    name="Transformers",
    words=("transformers", "diffusers"),
    options=frozenset({"top_k", "repetition_penalty"}),
)
TENSORRT: Final = LLMRuntime(name="TensorRT-LLM", words=("tensorrt",))
WHISPER_CPP: Final = LLMRuntime(name="whisper.cpp", words=("whisper",))
REMOTE: Final = LLMRuntime(name="remote", words=("remote",))
"""Somebody else's machines: what runs there is theirs to know."""

RUNTIMES: Final = (LLAMA_CPP, MLX, ONNX, VLLM, TRANSFORMERS, TENSORRT, WHISPER_CPP, REMOTE)

_OF_TYPE: Final[Mapping[str, LLMRuntime]] = {
    "ollama": LLAMA_CPP,
    "jan": LLAMA_CPP,
    "gpt4all": LLAMA_CPP,
    "cortexso": LLAMA_CPP,
    "llamacpp_router": LLAMA_CPP,
    "openai": REMOTE,
    "azure_openai": REMOTE,
    "anthropic": REMOTE,
    "openrouter": REMOTE,
}
"""What a server runs where neither it nor the weights say so."""


def runtime_of(
    provider_type: str, *, weights: str | None = None, engine: str | None = None
) -> LLMRuntime | None:
    """Return what runs a model; None when nothing tells.

    `engine` is what the server calls it, `weights` the form of the weights; both may be missing.
    """
    if engine:
        word = engine.lower()

        for runtime in RUNTIMES:
            if any(known in word for known in runtime.words):
                return runtime

    if weights:
        for runtime in RUNTIMES:
            if weights.lower() in runtime.formats:
                return runtime

    return _OF_TYPE.get(provider_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """Where a provider type takes the options of its runtimes, by their names there."""

    request: frozenset[str]
    options: frozenset[str]

    def place(self, name: str) -> Place | None:
        """Return where an option goes; None when it has no place."""
        if name in self.request:
            return Place.REQUEST

        return Place.OPTIONS if name in self.options else None


OLLAMA_OPTIONS: Final = RuntimeOptions(
    request=frozenset({"keep_alive", "think", "truncate", "shift"}),
    options=_SAMPLING
    | {
        *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "use_mmap"),
        *("use_mlock", "numa", "low_vram", "f16_kv", "vocab_only", "num_predict"),
    },
)
