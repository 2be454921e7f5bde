"""`llm.routing`: how failing providers are met, and which model answers which kind of task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spindle_llm.routing.breaker import BreakerRules
from spindle_llm.routing.policy import RoutingPolicy, RoutingRule

if TYPE_CHECKING:
    from spindle_spi.types import Json, JsonObject

_SECONDS: JsonObject = {"type": "number", "exclusiveMinimum": 0, "maximum": 3600}
_NAME: JsonObject = {"type": "string", "minLength": 1, "maxLength": 500}

ROUTING_SCHEMA: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "backoff_seconds": {
            **_SECONDS,
            "description": "First wait before a provider is asked again; doubled each time.",
        },
        "longest_wait_seconds": {
            **_SECONDS,
            "description": "A wait longer than this is not waited: the next fallback is asked.",
        },
        "health_ttl_seconds": {
            **_SECONDS,
            "description": "How old the figures of a provider's health may be.",
        },
        "records": {
            "type": "integer",
            "minimum": 0,
            "maximum": 100_000,
            "description": "Route records that are kept; the oldest goes first.",
        },
        "record_seconds": {**_SECONDS, "maximum": 604_800, "description": "How long one is kept."},
        "breaker": {
            "type": "object",
            "additionalProperties": False,
            "description": "When a provider that fails is left alone.",
            "properties": {
                "failures": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "Failures one after the other.",
                },
                "ratio": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "maximum": 1,
                    "description": "Part of the last minute's calls that failed.",
                },
                "ratio_calls": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "Calls that are needed before the ratio counts.",
                },
                "cooldown_seconds": {
                    **_SECONDS,
                    "description": "How long it is left alone at first.",
                },
            },
        },
        "rules": {
            "type": "array",
            "maxItems": 200,
            "description": "Which model answers which kind of task; the first that holds.",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["task_type", "model"],
                "properties": {
                    "task_type": {**_NAME, "description": "What requests call the task."},
                    "model": {**_NAME, "description": "Model that answers."},
                    "max_cost_per_1k": {
                        "type": "number",
                        "minimum": 0,
                        "description": "US dollars for 1,000 tokens that it may cost at most.",
                    },
                    "fallback": {**_NAME, "description": "Model that answers above that cost."},
                },
            },
        },
        "default": {**_NAME, "description": "Model of tasks that no rule is for."},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingSettings:
    """What the operator set for routing."""

    backoff_seconds: float = 0.25
    longest_wait_seconds: float = 5.0
    health_ttl_seconds: float = 1.0
    records: int = 1000
    record_seconds: float = 3600.0
    breaker: BreakerRules = BreakerRules()
    policy: RoutingPolicy = field(default_factory=RoutingPolicy)

    @classmethod
    def of(cls, section: JsonObject) -> RoutingSettings:
        """Return the settings of a section that holds to `ROUTING_SCHEMA`."""
        usual = cls()
        breaker = section.get("breaker")
        return cls(
            backoff_seconds=_number(section, "backoff_seconds", usual.backoff_seconds),
            longest_wait_seconds=_number(
                section, "longest_wait_seconds", usual.longest_wait_seconds
            ),
            health_ttl_seconds=_number(section, "health_ttl_seconds", usual.health_ttl_seconds),
            records=_whole(section, "records", usual.records),
            record_seconds=_number(section, "record_seconds", usual.record_seconds),
            breaker=_breaker(breaker if isinstance(breaker, dict) else {}),
            policy=_policy(section),
        )


def _breaker(section: JsonObject) -> BreakerRules:
    usual = BreakerRules()
    return BreakerRules(
        failures=_whole(section, "failures", usual.failures),
        ratio=_number(section, "ratio", usual.ratio),
        ratio_calls=_whole(section, "ratio_calls", usual.ratio_calls),
        cooldown=_number(section, "cooldown_seconds", usual.cooldown),
    )


def _policy(section: JsonObject) -> RoutingPolicy:
    rules = section.get("rules")
    return RoutingPolicy(
        rules=tuple(
            RoutingRule(
                task_type=str(rule["task_type"]),
                model=str(rule["model"]),
                max_cost_per_1k=_cost(rule.get("max_cost_per_1k")),
                fallback=_text(rule.get("fallback")),
            )
            for rule in (rules if isinstance(rules, list) else ())
            if isinstance(rule, dict)
        ),
        default=_text(section.get("default")),
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _cost(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _number(section: JsonObject, key: str, usual: float) -> float:
    value = section.get(key)
    return float(value) if isinstance(value, int | float) else usual


def _whole(section: JsonObject, key: str, usual: int) -> int:
    value = section.get(key)
    return value if isinstance(value, int) else usual
