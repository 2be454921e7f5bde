"""A chat request of the lingua franca as one of Anthropic's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spindle_llm.providers.anthropic_ledger import LEDGER
from spindle_llm.providers.anthropic_parts import cached
from spindle_llm.providers.anthropic_turns import conversation
from spindle_llm.providers.extensions import ANTHROPIC
from spindle_llm.providers.ledger import unsupported
from spindle_spi.errors import InvalidArgument

if TYPE_CHECKING:
    from spindle_spi.records import ModelSpec
    from spindle_spi.types import Json, JsonObject

DEFAULT_MAX_TOKENS: Final = 4096
"""Anthropic insists on a limit; this one holds where neither request nor model gives any."""

_NATIVE: Final = frozenset(
    {
        *("thinking", "output_config", "metadata", "service_tier", "cache_control"),
        *("container", "context_management", "inference_geo", "speed"),
    }
)
"""What the member `anthropic` of a request may set."""
_EFFORTS: Final = {"minimal": "low"}
_BUDGETS: Final = {"low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 65536}
_LEAST_BUDGET: Final = 1024
_TIERS: Final = {"auto": "auto", "priority": "auto", "default": "standard_only"}
_CHOICES: Final = {"none": "none", "auto": "auto", "required": "any"}
_THINKS: Final = frozenset({"enabled", "adaptive"})
_NO_PARAMETERS: Final[JsonObject] = {"type": "object", "properties": {}}


class Translation:
    """One request on its way: what it becomes, and what of it is lost."""

    def __init__(self, request: JsonObject, spec: ModelSpec, *, budgeted: bool) -> None:
        """Translate; `budgeted` asks for thoughts by a number of tokens, as older models need.

        Raises:
            InvalidArgument: It cannot be understood.
            Unsupported: It asks for what Anthropic cannot do.
        """
        kept, dropped = LEDGER.judge(request)
        self.body: JsonObject = {
            name: value for name, value in kept.items() if name in LEDGER.passed
        }
        self.betas: tuple[str, ...] = ()
        self._lost = dict.fromkeys(dropped)
        self._request = kept
        self._budgeted = budgeted
        self._limit(spec)
        self._messages()
        self._tools()
        self._format()
        self._effort()
        self._rest()
        self._natives(kept.get(ANTHROPIC))
        self._temperature()

    @property
    def dropped(self) -> tuple[str, ...]:
        """Names of what was left out."""
        return tuple(self._lost)

    def _limit(self, spec: ModelSpec) -> None:
        for name in ("max_completion_tokens", "max_tokens"):
            if self._request.get(name) is not None:
                self.body["max_tokens"] = self._request[name]
                return

        self.body["max_tokens"] = spec.max_output_tokens or DEFAULT_MAX_TOKENS

    def _messages(self) -> None:
        lost: set[str] = set()
        system, turns = conversation(self._request.get("messages"), lost)
        self.body["messages"] = turns

        if system:
            self.body["system"] = [*system]

        for name in sorted(lost):
            self._lost[name] = None

    def _tools(self) -> None:
        tools = self._request.get("tools")

        if not isinstance(tools, list) or not tools:
            return

        choice, names = _choice(self._request.get("tool_choice"))
        made = [_tool(tool) for tool in tools]
        self.body["tools"] = [tool for tool in made if names is None or tool["name"] in names]

        if self._request.get("parallel_tool_calls") is False and choice.get("type") != "none":
            choice = {"type": "auto", **choice, "disable_parallel_tool_use": True}

        if choice:
            self.body["tool_choice"] = choice

    def _format(self) -> None:
        wanted = self._request.get("response_format")

        if wanted is None:
            return

        kind = wanted.get("type") if isinstance(wanted, dict) else None
        inner = wanted.get("json_schema") if isinstance(wanted, dict) else None

        if kind == "json_schema" and isinstance(inner, dict) and "schema" in inner:
            self._output(format={"type": "json_schema", "schema": inner["schema"]})
        elif kind == "json_object":
            self._lost["response_format"] = None
        elif kind != "text":
            raise InvalidArgument(
                "response_format cannot be understood.",
                code="llm.response_format.invalid",
                param="response_format",
            )

    def _effort(self) -> None:
        said = self._request.get("reasoning_effort")

        if said is None or "thinking" in self.body or self._says_itself():
            return

        effort = _EFFORTS.get(str(said), str(said))

        if effort == "none":
            self.body["thinking"] = {"type": "disabled"}
            return

        if effort not in _BUDGETS:
            raise unsupported("reasoning_effort", f"There is no reasoning_effort {said!r}.")

        if self._budgeted:
            most = self.body["max_tokens"]
            budget = min(_BUDGETS[effort], most - 1 if isinstance(most, int) else _LEAST_BUDGET)

            if budget < _LEAST_BUDGET:
                self._lost["reasoning_effort"] = None
                return

            self.body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        else:
            self.body["thinking"] = {"type": "adaptive"}
            self._output(effort=effort)

    def _temperature(self) -> None:
        """Leave out what a model that thinks does not take: a temperature but its own."""
        thinking = self.body.get("thinking")

        if not isinstance(thinking, dict) or thinking.get("type") not in _THINKS:
            return

        for name in ("temperature", "top_k"):
            if self.body.pop(name, None) not in (None, 1):
                self._lost[name] = None

    def _rest(self) -> None:
        request = self._request
        stop, tier = request.get("stop"), request.get("service_tier")
        user = request.get("safety_identifier") or request.get("user")

        if stop:
            self.body["stop_sequences"] = [stop] if isinstance(stop, str) else stop

        if user:
            self.body["metadata"] = {"user_id": user}

        if isinstance(tier, str) and tier in _TIERS:
            self.body["service_tier"] = _TIERS[tier]
        elif tier is not None:
            self._lost["service_tier"] = None

        self.body["stream"] = request.get("stream") is True

    def _says_itself(self) -> bool:
        """Tell whether the request says in Anthropic's own words how much is to be thought."""
        natives = self._request.get(ANTHROPIC)

        if not isinstance(natives, dict):
            return False

        output = natives.get("output_config")
        return "thinking" in natives or (isinstance(output, dict) and "effort" in output)

    def _natives(self, natives: Json) -> None:
        if not isinstance(natives, dict):
            return

        for name, value in natives.items():
            if name in _NATIVE:
                self.body[name] = value

        betas = natives.get("betas")

        if isinstance(betas, list):
            self.betas = tuple(beta for beta in betas if isinstance(beta, str))

    def _output(self, **members: Json) -> None:
        known = self.body.get("output_config")
        self.body["output_config"] = {**members, **(known if isinstance(known, dict) else {})}


def _tool(tool: Json) -> JsonObject:
    function = tool.get("function") if isinstance(tool, dict) else None

    if not isinstance(tool, dict) or not isinstance(function, dict):
        raise unsupported("tools", "The provider of this model knows tools of type 'function'.")

    made: JsonObject = {
        "name": function.get("name"),
        "input_schema": function.get("parameters") or dict(_NO_PARAMETERS),
    }

    if function.get("description"):
        made["description"] = function["description"]

    if function.get("strict") is True:
        made["strict"] = True

    return cached(made, tool)


def _choice(said: Json) -> tuple[JsonObject, frozenset[str] | None]:
    """Return the choice of tools, and the names of those it leaves; None when it leaves all."""
    if said is None:
        return {}, None

    if isinstance(said, str) and said in _CHOICES:
        return {"type": _CHOICES[said]}, None

    fields = said if isinstance(said, dict) else {}
    function, allowed = fields.get("function"), fields.get("allowed_tools")

    if isinstance(function, dict):
        return {"type": "tool", "name": function.get("name")}, None

    if isinstance(allowed, dict):
        choice, _ = _choice(allowed.get("mode", "auto"))
        return choice, frozenset(_names(allowed.get("tools")))

    raise unsupported("tool_choice", "The provider of this model knows no such tool_choice.")


def _names(tools: Json) -> list[str]:
    functions = [
        tool.get("function")
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, dict)
    ]
    return [str(function.get("name")) for function in functions if isinstance(function, dict)]
