"""What runs a model, and where the options of its runtime go."""

from __future__ import annotations

import pytest

from spindle_llm.providers.runtimes import (
    RUNTIME_OPTIONS,
    RUNTIMES,
    Place,
    place_of,
    runtime_of,
)

pytestmark = pytest.mark.requirement("001-runtime")


@pytest.mark.parametrize(
    ("kind", "weights", "engine", "name"),
    [
        ("ollama", "gguf", None, "llama.cpp"),
        ("ollama", None, None, "llama.cpp"),
        ("ollama", None, "remote", "remote"),
        ("lm_studio", "gguf", None, "llama.cpp"),
        ("lm_studio", "mlx", None, "MLX"),
        ("lm_studio", None, None, None),
        ("jan", None, "mlx", "MLX"),
        ("jan", None, "llama.cpp", "llama.cpp"),
        ("localai", None, "llama-cpp", "llama.cpp"),
        ("localai", None, "cuda12-vllm", "vLLM"),
        ("localai", None, "whisper", "whisper.cpp"),
        ("localai", None, "transformers", "Transformers"),
        ("cortexso", None, "onnxruntime", "ONNX"),
        ("cortexso", None, "tensorrt-llm", "TensorRT-LLM"),
        ("openai_compatible", "onnx", None, "ONNX"),
        ("openai_compatible", None, "something new", None),
        ("openai", None, None, "remote"),
    ],
)
def test_a_runtime_is_identified(
    kind: str, weights: str | None, engine: str | None, name: str | None
) -> None:
    """By what the server says, by the form of the weights, by the type of the server."""
    found = runtime_of(kind, weights=weights, engine=engine)
    assert (None if found is None else found.name) == name


@pytest.mark.parametrize(
    ("kind", "option", "place"),
    [
        ("ollama", "num_ctx", (Place.OPTIONS, "num_ctx")),
        ("ollama", "num_gpu", (Place.OPTIONS, "num_gpu")),
        ("ollama", "keep_alive", (Place.REQUEST, "keep_alive")),
        ("ollama", "flash_attention", None),
        ("lm_studio", "flash_attention", (Place.LOAD, "flash_attention")),
        ("lm_studio", "num_ctx", (Place.LOAD, "context_length")),
        ("lm_studio", "ttl", (Place.REQUEST, "ttl")),
        ("cortexso", "num_gpu", (Place.LOAD, "ngl")),
        ("gpt4all", "top_k", None),
        ("openai_compatible", "guided_json", (Place.REQUEST, "guided_json")),
    ],
)
def test_an_option_has_its_place(kind: str, option: str, place: tuple[Place, str] | None) -> None:
    """Under the name the server has for it; or nowhere."""
    assert place_of(kind, option) == place


def test_options_of_loading_are_told_apart() -> None:
    """What a request takes is none of them."""
    wanted = {"num_ctx": 4096, "flash_attention": True, "top_k": 3, "unheard_of": 1}
    loading = RUNTIME_OPTIONS["lm_studio"].of_load(wanted)
    assert loading == {"context_length": 4096, "flash_attention": True}
    assert RUNTIME_OPTIONS["ollama"].of_load(wanted) == {}


def test_every_runtime_has_a_name_of_its_own() -> None:
    """And llama.cpp knows the size of its context."""
    names = [runtime.name for runtime in RUNTIMES]
    assert len(set(names)) == len(names)
    assert {"llama.cpp", "MLX", "ONNX", "vLLM"} <= set(names)
    assert "num_ctx" in RUNTIMES[0].options
