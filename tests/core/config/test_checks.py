"""Checks between the parts of a configuration."""

from __future__ import annotations

import pytest

from tests.core.config.written import faults, load

MODELS = "llm: {services: {a: {urls: ['http://x'], models: ["


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            MODELS + "{name: m}, {name: m}]}}}",
            ["llm.services.a.models[1].name: a second model 'm'"],
        ),
        (
            MODELS + "{name: m, aliases: [x]}, {name: n, aliases: [x]}]}}}",
            ["llm.services.a.models[1].aliases[0]: 'x' is already an alias of 'a~m'"],
        ),
        (
            MODELS + "{name: m, aliases: ['a~n']}]}}}",
            ["llm.services.a.models[0].aliases[0]: 'a~n' looks like a unified name"],
        ),
        (
            MODELS + "{name: m, fallbacks: [a~m]}]}}}",
            ["llm.services.a.models[0].fallbacks[0]: the model itself; expected another model"],
        ),
        (
            "llm: {services: {a: {urls: [http://x], fallbacks: [a, b]}}}",
            [
                "llm.services.a.fallbacks[0]: the service itself; expected another service",
                "llm.services.a.fallbacks[1]: unknown service 'b'; expected one of a",
            ],
        ),
        (
            MODELS + "{name: m, fallbacks: [b~m, other]}]}}}",
            [
                "llm.services.a.models[0].fallbacks[0]: unknown provider 'b'; expected one of a",
                "llm.services.a.models[0].fallbacks[1]: unknown model 'other'; expected",
            ],
        ),
        (
            MODELS + "{name: m, visibility: team}]}}}",
            ["llm.services.a.models[0].visibility: 'team', but there is no team"],
        ),
        (
            "llm: {services: {'a~b': {urls: ['http://x']}}}",
            ["llm.services.\"a~b\": 'a~b' is not a name"],
        ),
        (
            "mcp: {gateways: {a: {}}}",
            ["mcp.gateways.a.url: is missing; expected the URL of a streamable_http server"],
        ),
        (
            "mcp: {gateways: {a: {transport: builtin, url: 'http://x'}}}",
            ["mcp.gateways.a.url: a built-in gateway has no address"],
        ),
        (
            "mcp: {gateways: {a: {url: 'http://x', credential_env_var: 'a b'}}}",
            ["mcp.gateways.a.credential_env_var: is not the name of an environment variable"],
        ),
        (
            "mcp: {gateways: {a: {url: 'http://x', tools: {t: {visibility: team}}}}}",
            ["mcp.gateways.a.tools.t.visibility: 'team', but there is no team"],
        ),
        (
            "servers: {dev: {gateways: [dmeo]}}",
            ["servers.dev.gateways[0]: unknown gateway 'dmeo', did you mean 'demo'?"],
        ),
        (
            "mcp: {gateways: {}}\nservers: {dev: {gateways: [demo]}}",
            ["servers.dev.gateways[0]: unknown gateway 'demo'; expected one of none"],
        ),
        (
            "servers: {dev: {tools: [nope]}}",
            ["servers.dev.tools[0]: unknown tool 'nope'; expected one of demo__…"],
        ),
        (
            "mcp: {gateways: {a: {transport: builtin, prefix: b}, b: {transport: builtin}}}",
            [
                "mcp.gateways.a.prefix: 'b' is already what names of the gateway 'b' begin with; "
                "expected a prefix that is no other gateway's prefix or name"
            ],
        ),
        (
            "mcp: {gateways: {a: {transport: builtin, prefix: x}, "
            "b: {transport: builtin, prefix: x}}}",
            ["mcp.gateways.b.prefix: 'x' is already what names of the gateway 'a' begin with"],
        ),
        (
            "mcp: {gateways: {a: {transport: builtin, prefix: a__b}}}",
            ["mcp.gateways.a.prefix: 'a__b' is not a name; expected letters and digits with"],
        ),
        (
            "servers: {dev: {toolsets: [nope]}}",
            ["servers.dev.toolsets[0]: unknown toolset 'nope'; expected one of none"],
        ),
        ("servers: {dev: {models: [x~y]}}", ["servers.dev.models[0]: unknown provider 'x'"]),
        ("servers: {Dev: {}}", ["servers.Dev: 'Dev' is not a name; expected lower-case letters"]),
        (
            "servers: {a: {name: b}, b: {}}",
            ["servers.a.name: the server 'b' has this name; expected one record per name"],
        ),
        (
            "servers: {a: {prefix_free: true}}",
            ["servers.a.prefix_free: needs names of one upstream, this server has 0 gateways"],
        ),
        (
            "mcp: {gateways: {a: {url: 'http://x'}, b: {url: 'http://y'}}}\n"
            "servers: {a: {prefix_free: true, gateways: [a, b]}}",
            ["servers.a.prefix_free: needs names of one upstream, this server has 2 gateways"],
        ),
        (
            "servers: {a: {visibility: team}}",
            ["servers.a.visibility: 'team', but there is no team"],
        ),
        (
            "model_tools: {'a b': {model: mock~echo}}",
            ["model_tools.\"a b\": 'a b' is not a name; expected letters"],
        ),
        ("model_tools: {a: {model: echo}}", ["model_tools.a.model: unknown model 'echo'"]),
        (
            "plugins: {entries: [{plugin: pii}, {plugin: x, name: pii}]}",
            ["plugins.entries[1].name: a second plugin 'pii', the first is entries[0]"],
        ),
        (
            "modules: {enabled: [llm, mcp], disabled: [mcp]}",
            ["modules: 'mcp' is both enabled and disabled"],
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_faults(text: str, expected: list[str]) -> None:
    """Each is named at the place where it can be put right."""
    found = faults(text)

    assert len(found) == len(expected)

    for fault, start in zip(found, expected, strict=True):
        assert fault.startswith(start)


def test_parts_that_fit_together_are_none() -> None:
    """Names by gateway prefix, aliases, models as tools, fallbacks, teams inherited."""
    settings = load(
        "llm:\n  services:\n    a:\n      urls: ['http://x']\n      team: red\n      models:\n"
        "      - {name: m, aliases: [quick], visibility: team, fallbacks: [a~discovered, quick2]}\n"
        "      - {name: n, aliases: [quick2]}\n"
        "mcp: {gateways: {files: {url: 'http://f', team: red, tools: {rm: {visibility: team}}}}}\n"
        "model_tools: {ask: {model: quick}}\n"
        "servers:\n"
        "  one: {gateways: [files], prefix_free: true, tools: [ask], models: [quick, a~n]}\n"
        "  two: {name: The second, tools: [files__read, ask]}\n"
    )

    assert len(settings.declared) == 7


def test_what_is_allowed_but_risky_is_warned_of() -> None:
    """Keys in the file, anonymous servers in production, anonymity without effect."""
    settings = load(
        "environment: production\n"
        "llm: {services: {mock: {api_key: canary-key}}}\n"
        "servers:\n"
        "  open: {anonymous: true}\n"
        "  closed: {anonymous: true, visibility: private}\n"
    )

    assert [warning.partition(":")[0] for warning in settings.warnings] == [
        "llm.services.mock.api_key",
        "servers.open.anonymous",
        "servers.closed.anonymous",
        "servers.closed.anonymous",
    ]
    assert "canary" not in "".join(settings.warnings)
    assert load("servers: {open: {anonymous: true}}").warnings == ()
