"""Families of models, as far as their names tell what they are. Data, and three questions to it."""

from __future__ import annotations

import re
from typing import Final

_ARCHITECTURES: Final = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"gpt-?oss", "gpt-oss"),
        (r"deepseek", "deepseek"),
        (r"qwen-?3|qwq", "qwen3"),
        (r"qwen", "qwen2"),
        (r"llama-?4", "llama4"),
        (r"code-?llama|llama|vicuna|hermes|tulu", "llama"),
        (r"gemma", "gemma"),
        (r"mixtral", "mixtral"),
        (r"mistral|ministral|devstral|codestral|magistral|pixtral|zephyr", "mistral"),
        (r"(?<![a-z])phi", "phi"),
        (r"granite", "granite"),
        (r"command-?(?:r|a)|(?<![a-z])aya", "command-r"),
        (r"falcon", "falcon"),
        (r"smollm", "smollm"),
        (r"kimi", "kimi"),
        (r"(?<![a-z])glm|chatglm", "glm"),
        (r"nemotron", "nemotron"),
        (r"starcoder", "starcoder"),
        (r"(?<![a-z])claude", "claude"),
        (r"gemini", "gemini"),
        (r"(?<![a-z])(?:gpt|chatgpt|o[1-9](?![a-z0-9])|davinci|babbage)", "gpt"),
        (r"nomic-embed|(?<![a-z])(?:bge|gte|e5|minilm|mxbai)|bert", "bert"),
        (r"(?<![a-z])clip(?![a-z])", "clip"),
    )
)
_SEEING: Final = re.compile(
    r"(?<![a-z])(?:vl|vision|vlm|multimodal|omni)(?![a-z])|llava|moondream|pixtral|minicpm-v"
    r"|internvl|qwen[0-9.]*-?vl|gemma-?3(?!n?[:-](?:1b|270m))|llama-?4|gpt-4o|gpt-4\.1|gpt-4-turbo"
    r"|gpt-5|(?<![a-z])o[134](?![a-z0-9-]|-mini-)|claude-(?:3|[a-z]+-[4-9])|gemini|smolvlm"
    r"|mistral-small-?3\.[12]"
)
_CALLING: Final = re.compile(
    r"llama-?(?:3\.[1-9]|4)|qwen-?(?:2\.5|3)|qwen3|qwq|mistral-?(?:nemo|small|medium|large)"
    r"|mistral-7b-instruct-v0\.3|ministral|mixtral|magistral|devstral|codestral-2"
    r"|command-?(?:r|a)|firefunction|hermes-?[234]|gpt-?oss|gpt-3\.5-turbo|gpt-4|gpt-5"
    r"|(?<![a-z])o[134](?![a-z0-9])|claude|gemini|granite-?(?:3|4)|phi-?4-mini|smollm-?[23]"
    r"|deepseek-(?:v3|chat|r1-0528)|kimi-k|(?<![a-z])glm-?4|nemotron|functionary|cogito|athene"
)


def architecture_of(word: str) -> str | None:
    """Return the architecture a name in lower case tells."""
    return next((name for pattern, name in _ARCHITECTURES if pattern.search(word)), None)


def does_see(word: str) -> bool:
    """Tell whether models of such a name, in lower case, take pictures beside text."""
    return _SEEING.search(word) is not None


def does_call_tools(word: str) -> bool:
    """Tell whether models of such a name, in lower case, were trained to call tools."""
    return _CALLING.search(word) is not None
