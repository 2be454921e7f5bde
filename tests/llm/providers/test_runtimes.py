"""What runs a model, and where the options of its runtime go."""

from __future__ import annotations

import pytest

from spindle_llm.providers.runtimes import OLLAMA_OPTIONS, RUNTIMES, Place, runtime_of

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
    ("option", "place"),
    [
        ("num_ctx", Place.OPTIONS),
        ("num_gpu", Place.OPTIONS),
        ("keep_alive", Place.REQUEST),
        ("flash_attention", None),
    ],
)
def test_an_option_of_ollama_has_its_place(option: str, place: Place | None) -> None:
    """In the request, in its `options`, or nowhere."""
    assert OLLAMA_OPTIONS.place(option) is place


def test_every_runtime_has_a_name_of_its_own() -> None:
    """And llama.cpp knows the size of its context."""
    names = [runtime.name for runtime in RUNTIMES]
    assert len(set(names)) == len(names)
    assert {"llama.cpp", "MLX", "ONNX", "vLLM"} <= set(names)
    assert "num_ctx" in RUNTIMES[0].options
