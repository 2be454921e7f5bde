"""What each simulated vendor serves beside chats, and how it behaves when it behaves badly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from spindle_conformance.upstreams.embeddings import vector
from spindle_conformance.upstreams.repertoire import HTML, LINE_TEXT
from spindle_conformance.upstreams.server import Ending, Play, Seen
from spindle_conformance.upstreams.simulator import ODD_NAMES, Quirk
from spindle_conformance.upstreams.simulators import SIMULATORS

if TYPE_CHECKING:
    from spindle_spi.types import JsonObject

KEY = "sk-upstream-key-0123456789"
SAID: list[Any] = [{"role": "user", "content": "hi"}]
CHATS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "ollama": "/api/chat",
    "lm_studio": "/v1/chat/completions",
    "jan": "/v1/chat/completions",
    "gpt4all": "/v1/chat/completions",
    "localai": "/v1/chat/completions",
    "cortexso": "/v1/chat/completions",
    "openrouter": "/api/v1/chat/completions",
    "azure_openai": "/openai/v1/chat/completions",
}
LISTS = {
    **dict.fromkeys(SIMULATORS, "/v1/models"),
    "anthropic": "/v1/models?limit=1000",
    "ollama": "/api/tags",
    "lm_studio": "/api/v1/models",
    "openrouter": "/api/v1/models",
    "azure_openai": "/openai/v1/models",
}
NO_KEYS = ("gpt4all", "cortexso")


def _ask(
    dialect: str,
    path: str,
    body: JsonObject | None = None,
    *quirks: Quirk,
    method: str = "",
    key: str | None = None,
    headers: dict[str, str] | None = None,
) -> Play:
    made = SIMULATORS[dialect](key=key, quirks=set(quirks))
    given = {"host": "127.0.0.1:1337", "anthropic-version": "2023-06-01", **(headers or {})}
    data = b"" if body is None else json.dumps(body).encode()
    method = method or ("GET" if body is None else "POST")
    return made.answer(Seen(method=method, path=path, headers=given, body=data))


def _told(play: Play) -> Any:
    assert play.status == 200, play.body
    return json.loads(play.body)


def _chat(dialect: str, model: str, **more: Any) -> Play:
    body: JsonObject = {"model": model, "messages": SAID, **more}

    if dialect == "anthropic":
        body["max_tokens"] = 100

    return _ask(dialect, CHATS[dialect], body)


EVERYBODY = pytest.mark.parametrize("dialect", list(SIMULATORS))


@EVERYBODY
def test_everybody_answers_and_lists(dialect: str) -> None:
    """A chat is answered, a list has the model that answered, and another path has nothing."""
    listed = _ask(dialect, LISTS[dialect]).body

    assert _told(_chat(dialect, "plain", stream=False))
    assert b'"plain"' in listed
    assert 400 <= _ask(dialect, "/nowhere").status < 500


@EVERYBODY
@pytest.mark.parametrize("model", ["error-429", "error-500", "error-503"])
def test_everybody_refuses_by_status(dialect: str, model: str) -> None:
    """The status is in the name, in every dialect; 429 says when to come again."""
    play = _chat(dialect, model)

    assert play.status == int(model[-3:])
    assert ("retry-after" in dict(play.headers)) is (model == "error-429")


@EVERYBODY
@pytest.mark.parametrize(
    ("model", "ending", "silent"),
    [
        ("cut", Ending.CUT, False),
        ("cut-before", Ending.CUT, True),
        ("cut-head", Ending.CUT, False),
        ("cut-clean", Ending.COMPLETE, False),
        ("hang", Ending.HANG, True),
        ("hang-after-first", Ending.HANG, False),
    ],
)
def test_everybody_stops_half_way(dialect: str, model: str, ending: Ending, silent: bool) -> None:
    """Before the head, after it, or in the middle."""
    play = _chat(dialect, model)

    assert (play.ending, play.silent) == (ending, silent)


@EVERYBODY
def test_everybody_sends_pages_and_texts_of_proxies(dialect: str) -> None:
    """A page with a good status or a bad one, a plain text, and nothing at all."""
    plays = [_chat(dialect, name) for name in ("html", "html-502", "text-503", "no-body-500")]

    assert [play.status for play in plays] == [200, 502, 503, 500]
    assert [play.body for play in plays] == [HTML, HTML, b"upstream connect error", b""]


@pytest.mark.parametrize("dialect", [name for name in SIMULATORS if name != "gpt4all"])
def test_an_error_in_a_stream_comes_after_some_text(dialect: str) -> None:
    """Two pieces of text, then the error, under a good status."""
    play = _chat(dialect, "in-stream-error", stream=True)

    assert play.status == 200
    assert "Grüß".encode() in play.body
    assert b"own words" in play.body


@EVERYBODY
def test_a_line_may_be_long(dialect: str) -> None:
    """A mebibyte in one piece."""
    if dialect != "gpt4all":
        assert LINE_TEXT.encode() in _chat(dialect, "big-line", stream=True).body


@EVERYBODY
def test_a_first_token_may_be_late(dialect: str) -> None:
    """`slow-first` is `plain`, later."""
    assert _chat(dialect, "slow-first").delay > 0
    assert _chat(dialect, "plain").delay == 0


@EVERYBODY
def test_an_unknown_model_is_refused(dialect: str) -> None:
    """Unless nobody looks at the name: GPT4All answers with what it has."""
    assert (_chat(dialect, "nonsense").status == 200) is (dialect == "gpt4all")


@EVERYBODY
def test_a_list_may_hang_and_have_odd_names(dialect: str) -> None:
    """Names have slashes, spaces and characters from everywhere."""
    silent = _ask(dialect, LISTS[dialect], None, Quirk.LIST_HANGS)
    listed = json.dumps(_told(_ask(dialect, LISTS[dialect], None, Quirk.ODD_NAMES)))

    assert (silent.silent, silent.ending) == (True, Ending.HANG)
    assert all(json.dumps(name) in listed for name in ODD_NAMES)


@EVERYBODY
def test_a_server_may_be_disabled(dialect: str) -> None:
    """Every route answers 401 with nothing in it."""
    play = _ask(dialect, LISTS[dialect], None, Quirk.DISABLED)

    assert (play.status, play.body) == (401, b"")


@pytest.mark.parametrize(
    ("dialect", "header"),
    [
        ("openai", "authorization"),
        ("anthropic", "x-api-key"),
        ("anthropic", "authorization"),
        ("ollama", "authorization"),
        ("lm_studio", "authorization"),
        ("jan", "authorization"),
        ("jan", "x-api-key"),
        ("localai", "authorization"),
        ("localai", "x-api-key"),
        ("localai", "xi-api-key"),
        ("openrouter", "authorization"),
        ("azure_openai", "api-key"),
    ],
)
def test_who_has_a_key_insists_on_it(dialect: str, header: str) -> None:
    """In the headers of that vendor; a wrong one is refused in words that repeat it."""
    prefix = "Bearer " if header == "authorization" else ""
    body: JsonObject = {"model": "plain", "messages": SAID}
    body |= {"max_tokens": 9} if dialect == "anthropic" else {}

    def ask(key: str) -> Play:
        headers = {header: prefix + key} if key else {}
        return _ask(dialect, CHATS[dialect], body, key=KEY, headers=headers)

    assert ask(KEY).status == 200
    assert ask("").status == 401
    assert ask("sk-wrong").status == 401
    assert dialect == "jan" or b"sk-wrong" in ask("sk-wrong").body


def test_a_key_elsewhere_is_none() -> None:
    """OpenAI does not look at `x-api-key`, and Azure not at a query."""
    assert _ask("openai", "/v1/models", key=KEY, headers={"x-api-key": KEY}).status == 401
    assert _ask("azure_openai", f"/openai/v1/models?api-key={KEY}", key=KEY).status == 401


def test_anthropic_insists_on_a_version_and_on_its_form() -> None:
    """No version, no JSON, no limit: 400 in its form, with limits in the headers."""
    body: JsonObject = {"model": "plain", "messages": SAID}
    refused = _ask("anthropic", "/v1/messages", body)
    old = SIMULATORS["anthropic"](key=None, quirks=set())
    plays = [
        refused,
        old.answer(Seen(method="POST", path="/v1/messages", headers={}, body=b"{}")),
        _ask("anthropic", "/v1/messages/count_tokens", {"model": "plain"}),
    ]

    assert [play.status for play in plays] == [400, 400, 400]
    assert json.loads(refused.body)["error"]["type"] == "invalid_request_error"
    assert "anthropic-ratelimit-requests-remaining" in dict(refused.headers)


def test_anthropic_pages_both_ways() -> None:
    """`after_id` and `before_id` meet; a limit out of range is refused."""
    first = _told(_ask("anthropic", "/v1/models?limit=2"))
    second = _told(_ask("anthropic", f"/v1/models?limit=2&after_id={first['last_id']}"))
    back = _told(_ask("anthropic", f"/v1/models?limit=2&before_id={second['first_id']}"))
    none = _told(_ask("anthropic", "/v1/models?after_id=unknown"))

    assert first["has_more"]
    assert back["data"] == first["data"]
    assert (none["data"], none["has_more"], none["first_id"]) == ([], False, None)
    assert _ask("anthropic", "/v1/models?limit=0").status == 400
    assert _ask("anthropic", "/v1/models/nonsense").status == 404


def test_ollama_streams_unless_told_otherwise() -> None:
    """Lines by default, one object with `stream: false`, and no string for arguments."""
    lines = _chat("ollama", "plain")
    calls: list[Any] = [{"function": {"name": "f", "arguments": "{}"}}]
    message: JsonObject = {"role": "assistant", "content": "", "tool_calls": calls}
    refused = _ask("ollama", "/api/chat", {"model": "plain", "messages": [message]})

    assert lines.content_type == "application/x-ndjson"
    assert lines.body.count(b"\n") > 3
    assert _told(_chat("ollama", "plain", stream=False))["done"]
    assert refused.status == 400
    assert _ask("ollama", "/api/chat", method="POST").status == 400


def test_ollama_tells_of_its_models() -> None:
    """Tags, what runs, one model in full; an old one says less in the list."""
    tags = _told(_ask("ollama", "/api/tags"))["models"]
    old = _told(_ask("ollama", "/api/tags", None, Quirk.OLD))["models"]
    running = _told(_ask("ollama", "/api/ps"))["models"]
    shown = _told(_ask("ollama", "/api/show", {"model": "plain"}))
    architecture = shown["model_info"]["general.architecture"]

    assert all("capabilities" in entry for entry in tags)
    assert not any("capabilities" in entry for entry in old)
    assert [entry["name"] for entry in running] == ["plain", "echo"]
    assert sorted(running, key=lambda entry: entry["expires_at"], reverse=True) == running
    assert shown["model_info"][f"{architecture}.context_length"] == 8192
    assert _told(_ask("ollama", "/api/ps", None, Quirk.NOTHING_RUNNING))["models"] == []
    assert _ask("ollama", "/api/show", {"model": "nonsense"}).status == 404
    assert _ask("ollama", "/", method="HEAD").status == 200
    assert _ask("ollama", "/api/tags", {}).status == 405


def test_ollama_loads_and_unloads() -> None:
    """Without a prompt or a message; with `keep_alive: 0` the model goes."""
    load = _told(_ask("ollama", "/api/generate", {"model": "plain"}))
    unload = _told(_ask("ollama", "/api/chat", {"model": "plain", "keep_alive": 0}))

    assert (load["done_reason"], unload["done_reason"]) == ("load", "unload")
    assert _ask("ollama", "/api/generate", {"model": "nonsense"}).status == 404
    assert _ask("ollama", "/api/generate", {"model": "plain", "prompt": "x"}).status == 400


def test_ollama_embeds_in_two_forms() -> None:
    """Many inputs at once, or one by the old path; an empty one gives nothing."""
    body: JsonObject = {"model": "embed", "input": ["a", "b"]}
    many = _told(_ask("ollama", "/api/embed", body))
    one = _told(_ask("ollama", "/api/embeddings", {"model": "embed", "prompt": "a"}))
    none = _told(_ask("ollama", "/api/embed", {"model": "embed", "input": ""}))

    assert many["embeddings"] == [vector("a"), vector("b")]
    assert many["prompt_eval_count"] == 2
    assert one["embedding"] == vector("a")
    assert none["embeddings"] == []
    assert _ask("ollama", "/api/embed", {"model": "nonsense", "input": "a"}).status == 404
    assert _ask("ollama", "/api/embeddings", {"model": "embed", "prompt": ""}).status == 404
    assert _ask("ollama", "/api/embed", {"model": "error-500", "input": "a"}).status == 500


def test_gpt4all_is_strict_and_short() -> None:
    """Sixteen tokens unless it is told; nothing it does not know; no stream."""
    short = _told(_chat("gpt4all", "plain"))
    long = _told(_chat("gpt4all", "plain", max_tokens=100))

    assert short["id"] == "placeholder"
    assert short["choices"][0]["finish_reason"] == "length"
    assert short["usage"]["completion_tokens"] == 16
    assert long["choices"][0]["finish_reason"] == "stop"
    assert _chat("gpt4all", "plain", stream=True).status == 400
    assert _chat("gpt4all", "error-context").body == b""
    assert _told(_ask("gpt4all", "/v1/models/nonsense")) == {}
    assert _told(_ask("gpt4all", "/v1/models/plain"))["owned_by"] == "humanity"
    assert _ask("gpt4all", "/v1/chat/completions").status == 405


def test_lm_studio_has_three_ages() -> None:
    """API v1 with what is loaded, v0 beside it, and an old one without v1."""
    models = _told(_ask("lm_studio", "/api/v1/models"))["models"]
    loaded = [entry["key"] for entry in models if entry["loaded_instances"]]
    old = _told(_ask("lm_studio", "/api/v0/models", None, Quirk.OLD))["data"]

    assert set(loaded) == {"plain", "echo"}
    assert {entry["type"] for entry in models} == {"llm", "embedding"}
    assert {entry["id"] for entry in old if entry["state"] == "loaded"} == set(loaded)
    assert _ask("lm_studio", "/api/v1/models", None, Quirk.OLD).status == 404
    assert _told(_ask("lm_studio", "/api/v0/models/plain"))["id"] == "plain"
    assert _ask("lm_studio", "/api/v0/models/nonsense").status == 404


def test_lm_studio_loads_and_speaks_anthropics_form() -> None:
    """Load and unload answer at once; `x-api-key` counts where Anthropic's clients come."""
    body: JsonObject = {"model": "plain", "max_tokens": 9, "messages": SAID}
    headers = {"x-api-key": KEY}
    message = _ask("lm_studio", "/v1/messages", body, key=KEY, headers=headers)
    other = _ask("lm_studio", "/v1/models", key=KEY, headers=headers)

    assert _told(_ask("lm_studio", "/api/v1/models/load", {"model": "plain"}))["type"] == "llm"
    assert _told(_ask("lm_studio", "/api/v1/models/unload", {"instance_id": "plain"}))
    assert _ask("lm_studio", "/api/v1/models/load", {"model": "nonsense"}).status == 404
    assert _told(message)["type"] == "message"
    assert other.status == 401
    assert isinstance(json.loads(_chat("lm_studio", "error-context").body)["error"], str)


def test_lm_studio_embeds_in_floats_and_counts_nothing() -> None:
    """Even when base64 was asked for."""
    body: JsonObject = {"model": "embed", "input": "a", "encoding_format": "base64"}
    told = _told(_ask("lm_studio", "/v1/embeddings", body))

    assert told["data"][0]["embedding"] == vector("a")
    assert told["usage"]["prompt_tokens"] == 0


def test_jan_speaks_in_texts() -> None:
    """Its refusals are no JSON, and each has its status."""
    path = "/v1/chat/completions"
    body: JsonObject = {"model": "plain", "messages": SAID}
    plays = {
        403: _ask("jan", path, body, headers={"host": "evil.example"}),
        401: _ask("jan", path, body, key=KEY),
        503: _ask("jan", path, body, Quirk.NOTHING_RUNNING),
        404: _ask("jan", path, {**body, "model": "nonsense"}),
        400: _ask("jan", path, {"messages": SAID}),
    }

    assert [play.status for play in plays.values()] == list(plays)
    assert all(play.content_type.startswith("text/plain") for play in plays.values())
    assert plays[503].body == b"No models are available"
    assert _ask("jan", path, body, headers={"host": ""}).status == 400
    assert _ask("jan", path, method="POST").body == b"Invalid JSON body"
    assert _told(_ask("jan", "/v1/models", None, Quirk.NOTHING_RUNNING))["data"] == []


def test_localai_is_probed_and_lists_little() -> None:
    """Two probes that need no key, what is loaded, and entries without time and owner."""
    listed = _told(_ask("localai", "/v1/models"))["data"]
    able = _told(_ask("localai", "/v1/models/capabilities"))["data"]

    assert set(listed[0]) == {"id", "object"}
    assert {one for entry in able for one in entry["capabilities"]} >= {"chat", "embeddings"}
    assert _ask("localai", "/healthz", key=KEY).status == 200
    assert _ask("localai", "/readyz", key=KEY).status == 200
    assert _ask("localai", "/readyz", None, Quirk.NOT_READY).status == 503
    assert _told(_ask("localai", "/system"))["loaded_models"][0]["id"] == "plain"
    assert _told(_ask("localai", "/system", None, Quirk.NOTHING_RUNNING))["loaded_models"] == []
    assert json.loads(_chat("localai", "nonsense").body)["error"]["code"] == 404


def test_localai_loads() -> None:
    """A model it has not got is a bad request."""
    assert _told(_ask("localai", "/backend/load", {"model": "plain"}))["loaded"] == ["plain"]
    assert _ask("localai", "/backend/load", {"model": "nonsense"}).status == 400
    assert _told(_ask("localai", "/backend/shutdown", {"model": "plain"}))
    assert _told(_ask("localai", "/version"))
    assert _told(_ask("localai", "/.well-known/localai.json"))


def test_cortex_lists_what_it_has_not_got() -> None:
    """By status; what runs is asked model by model, and refusals are messages."""
    listed = _told(_ask("cortexso", "/v1/models"))["data"]
    running = _ask("cortexso", "/v1/models/status/plain")

    assert {entry["status"] for entry in listed} == {"downloaded", "downloadable"}
    assert running.status == 200
    assert _ask("cortexso", "/v1/models/status/plain", None, Quirk.NOTHING_RUNNING).status == 400
    assert _ask("cortexso", "/v1/models/status/nonsense").status == 400
    assert _ask("cortexso", "/healthz").body == b"cortex-cpp is alive!!!"
    assert set(json.loads(_chat("cortexso", "nonsense").body)) == {"message"}
    assert _chat("cortexso", "nonsense").status == 400
    assert _told(_ask("cortexso", "/v1/models/start", {"model": "plain"}))
    assert _told(_ask("cortexso", "/v1/models/stop", {"model": "plain"}))
    assert _ask("cortexso", "/v1/models/start", {"model": "nonsense"}).status == 400


def test_openrouter_lists_prices_to_everybody() -> None:
    """The list needs no key; prices are texts, and parameters are named."""
    entry = _told(_ask("openrouter", "/api/v1/models", key=KEY))["data"][0]

    assert isinstance(entry["pricing"]["prompt"], str)
    assert entry["context_length"] > 0
    assert "tools" in entry["supported_parameters"]
    assert _chat("openrouter", "error-quota").status == 402


def test_azure_wants_a_version_with_a_deployment() -> None:
    """The deployment is the model, whatever the body says."""
    path = "/openai/deployments/length/chat/completions"
    body: JsonObject = {"model": "plain", "messages": SAID}
    told = _told(_ask("azure_openai", path + "?api-version=2026-01-01", body))

    assert told["choices"][0]["finish_reason"] == "length"
    assert told["prompt_filter_results"]
    assert _ask("azure_openai", path, body).status == 404
    assert _ask("azure_openai", "/openai/deployments/x/nothing?api-version=1", body).status == 404
    assert json.loads(_chat("azure_openai", "nonsense").body)["error"]["code"] == (
        "DeploymentNotFound"
    )


@pytest.mark.parametrize(
    "dialect", ["openai", "jan", "localai", "cortexso", "openrouter", "azure_openai"]
)
def test_openais_form_embeds(dialect: str) -> None:
    """Vectors follow from the input; faults are those of the model's name."""
    path = CHATS[dialect].replace("chat/completions", "embeddings")
    told = _told(_ask(dialect, path, {"model": "embed", "input": ["a", "b"]}))

    assert [entry["embedding"] for entry in told["data"]] == [vector("a"), vector("b")]
    assert _ask(dialect, path, {"model": "error-503", "input": "a"}).status == 503
    assert _ask(dialect, path, {"model": "cut", "input": "a"}).ending is Ending.CUT
    assert _ask(dialect, path, {"model": "hang", "input": "a"}).ending is Ending.HANG
    assert _ask(dialect, path, {"model": "embed", "input": ""}).status == 400
    assert _ask(dialect, path, {"model": "nonsense", "input": "a"}).status in (400, 404)


@pytest.mark.parametrize("dialect", ["openai", "localai", "openrouter", "azure_openai"])
def test_one_model_is_found_by_its_path(dialect: str) -> None:
    """Whatever is in its name; another is not there."""
    odd = ODD_NAMES[0].replace("/", "%2F")
    path = LISTS[dialect]

    assert _told(_ask(dialect, f"{path}/{odd}", None, Quirk.ODD_NAMES))["id"] == ODD_NAMES[0]
    assert _ask(dialect, f"{path}/nonsense").status in (400, 404)


def test_openai_wants_a_model_and_messages() -> None:
    """What is missing is named."""
    bodies: list[tuple[JsonObject, bytes]] = [
        ({"messages": SAID}, b"'model'"),
        ({"model": "plain"}, b"'messages'"),
    ]

    for body, name in bodies:
        play = _ask("openai", "/v1/chat/completions", body)

        assert play.status == 400
        assert name in play.body


def test_what_a_dialect_cannot_say_it_does_not_list() -> None:
    """Ollama neither lists a refusal nor plays it; Anthropic counts no tokens for an error."""
    listed = _ask("ollama", "/api/tags").body
    body: JsonObject = {"model": "error-529", "messages": SAID}

    assert b'"refusal"' not in listed
    assert _chat("ollama", "refusal").status == 404
    assert _ask("anthropic", "/v1/messages/count_tokens", body).status == 529
