"""What a model can do: from what its provider says, and from its name where that is silent."""

from __future__ import annotations

import pytest

from spindle_llm.providers.detection import (
    Metadata,
    described,
    parameters_of,
    publisher_of,
    quantization_of,
)
from spindle_spi.records import ModelSpec

pytestmark = pytest.mark.requirement("001-capability-detection")


def _spec(name: str, said: Metadata | None = None, kind: str = "openai_compatible") -> ModelSpec:
    spec = described("up", kind, name, said).spec
    assert isinstance(spec, ModelSpec)
    return spec


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("llama3.2:3b", "llm"),
        ("gpt-4.1-mini", "vlm"),
        ("gpt-3.5-turbo", "llm"),
        ("o3-mini", "llm"),
        ("llava:7b", "vlm"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "vlm"),
        ("gemma-3-27b-it", "vlm"),
        ("gemma3:1b", "llm"),
        ("claude-3-5-sonnet", "vlm"),
        ("claude-sonnet-4", "vlm"),
        ("mistralai/Pixtral-12B", "vlm"),
        ("nomic-embed-text:latest", "embeddings"),
        ("text-embedding-3-small", "embeddings"),
        ("BAAI/bge-m3", "embeddings"),
        ("all-minilm", "embeddings"),
        ("dall-e-3", "vision"),
        ("stable-diffusion-3.5", "vision"),
        ("whisper-1", "unknown"),
        ("tts-1-hd", "unknown"),
        ("bge-reranker-v2-m3", "embeddings"),
        ("deepseek-coder-v2:16b", "llm"),
    ],
)
def test_a_name_tells_the_type(name: str, kind: str) -> None:
    """Where nobody says it."""
    assert _spec(name).model_type == kind


@pytest.mark.parametrize(
    ("said", "kind", "supports"),
    [
        (Metadata(kind="embedding"), "embeddings", ("embedding",)),
        (Metadata(kind="embeddings"), "embeddings", ("embedding",)),
        (Metadata(kind="llm"), "llm", ("chat", "streaming")),
        (Metadata(kind="llm", can_see=True), "vlm", ("chat", "streaming", "vision")),
        (Metadata(kind="vlm"), "vlm", ("chat", "streaming", "vision")),
        (
            Metadata(capabilities=frozenset({"completion", "tools", "insert"})),
            "llm",
            ("chat", "streaming", "function_calling"),
        ),
        (
            Metadata(capabilities=frozenset({"completion", "vision"})),
            "vlm",
            ("chat", "streaming", "vision"),
        ),
        (Metadata(capabilities=frozenset({"embedding"})), "embeddings", ("embedding",)),
        (Metadata(capabilities=frozenset({"vision"})), "vision", ()),
        (Metadata(can_call_tools=True), "llm", ("chat", "streaming", "function_calling")),
        (Metadata(can_see=True), "vlm", ("chat", "streaming", "vision")),
    ],
)
def test_what_a_provider_says_holds(said: Metadata, kind: str, supports: tuple[str, ...]) -> None:
    """Whatever the name would tell."""
    spec = _spec("something", said)
    assert (spec.model_type, spec.supports) == (kind, supports)


def test_what_a_provider_denies_is_denied() -> None:
    """A family that calls tools may be served without them."""
    said = Metadata(can_call_tools=False, can_see=False)
    assert _spec("qwen2.5-vl:7b", said).supports == ("chat", "streaming")
    chat = Metadata(capabilities=frozenset({"chat"}))
    assert _spec("llama3.1", chat).supports == ("chat", "streaming")


@pytest.mark.parametrize(
    ("name", "calls"),
    [
        ("llama3.1:8b", True),
        ("llama3:8b", False),
        ("qwen2.5-coder:7b", True),
        ("Qwen3-30B-A3B", True),
        ("mistral-nemo", True),
        ("gpt-4o", True),
        ("gpt-oss:20b", True),
        ("phi3:mini", False),
        ("tinyllama", False),
    ],
)
def test_a_family_tells_whether_tools_are_called(name: str, calls: bool) -> None:
    """As it was trained."""
    assert ("function_calling" in _spec(name).supports) is calls


@pytest.mark.parametrize(
    ("name", "instructed", "coding"),
    [
        ("llama3.1:8b-instruct-q4_0", True, False),
        ("gemma-2-9b-it", True, False),
        ("zephyr-7b-beta", True, False),
        ("llama-2-7b-chat", True, False),
        ("llama-2-7b", False, False),
        ("mixtral-8x7b-base", True, False),
        ("qwen2.5-coder:7b-base", True, True),
        ("codellama:7b", False, True),
        ("starcoder2:3b", False, True),
        ("granite-code:8b", False, True),
        ("encoder-7b", False, False),
        ("nomic-embed-text-instruct", False, False),
    ],
)
def test_a_name_tells_what_a_model_was_made_for(name: str, instructed: bool, coding: bool) -> None:
    """Following instructions, writing programs."""
    facts = _spec(name).facts
    assert (facts.instructed, facts.coding) == (instructed, coding)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("llama3.2:3b", 3_000_000_000),
        ("7B", 7_000_000_000),
        ("7.6B", 7_600_000_000),
        ("mixtral-8x7b", 56_000_000_000),
        ("smollm2:135m", 135_000_000),
        ("Qwen3-30B-A3B", 30_000_000_000),
        ("kimi-k2-1t", 1_000_000_000_000),
        ("gpt-4", None),
        ("v2b", None),
        ("", None),
    ],
)
def test_a_number_of_parameters_is_read(name: str, count: int | None) -> None:
    """Of a size, and of a name."""
    assert parameters_of(name) == count


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("llama3.1:8b-instruct-q4_K_M", "Q4_K_M"),
        ("model.IQ3_XXS.gguf", "IQ3_XXS"),
        ("mlx-community/Qwen3-4bit", "4bit"),
        ("TheBloke/Llama-AWQ", "AWQ"),
        ("gpt-oss-mxfp4", "MXFP4"),
        ("model-fp16", "FP16"),
        ("qwen3", None),
    ],
)
def test_a_quantization_is_read(name: str, quantization: str | None) -> None:
    """As names write it."""
    assert quantization_of(name) == quantization


def test_a_publisher_stands_before_the_name() -> None:
    """Whatever host stands before it."""
    assert publisher_of("hf.co/org/repo:Q8_0") == "org"
    assert publisher_of("org/repo") == "org"
    assert publisher_of("repo") is None


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("qwen2.5:7b", "qwen2"),
        ("qwen3:8b", "qwen3"),
        ("deepseek-r1-distill-llama", "deepseek"),
        ("codellama", "llama"),
        ("gpt-oss:20b", "gpt-oss"),
        ("gpt-4o", "gpt"),
        ("o3", "gpt"),
        ("phi4", "phi"),
        ("nobody-knows", None),
    ],
)
def test_an_architecture_is_read(name: str, architecture: str | None) -> None:
    """From the family of the name."""
    assert _spec(name).facts.architecture == architecture


def test_the_form_of_the_weights_is_known() -> None:
    """From what is said, or from the name; and with it, what runs them."""
    gguf, mlx = _spec("a.Q4_0.gguf").facts, _spec("mlx-community/b").facts
    assert (gguf.is_gguf, gguf.is_mlx, gguf.runtime) == (True, False, "llama.cpp")
    assert (mlx.is_gguf, mlx.is_mlx, mlx.runtime) == (False, True, "MLX")
    said = _spec("c", Metadata(weights="mlx"), "lm_studio").facts
    assert (said.is_mlx, said.runtime) == (True, "MLX")


def test_a_context_window_and_prices_are_taken_over() -> None:
    """They are nothing a name tells."""
    said = Metadata(context_window=9, max_output_tokens=8, input_price=1.5, dimensions=3)
    spec = _spec("m", said)
    assert (spec.context_window, spec.max_output_tokens) == (9, 8)
    assert (spec.input_price, spec.dimensions) == (1.5, 3)
