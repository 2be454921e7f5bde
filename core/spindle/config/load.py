"""Reads the configuration: files, environment, command line; all faults at once or frozen settings.

Nothing else reads the environment or these files. The caller says where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spindle.config.checks import cross_faults, warnings_of
from spindle.config.document import Document
from spindle.config.faults import Fault, render_fault
from spindle.config.files import ConfigPath, as_paths
from spindle.config.modules import Schemas, module_faults
from spindle.config.parsing import module_sections, parse_document, section_faults
from spindle.config.records import declared_records, secret_sources, tool_overrides
from spindle.config.settings import Settings
from spindle.config.sources import Sources, merge_sources
from spindle.redaction import REDACTOR
from spindle_spi.errors import ConfigError
from spindle_spi.secret import Secret
from spindle_spi.types import Json, JsonObject

_IN_PRODUCTION: Final[JsonObject] = {"unhandled": "deny", "allow_fail_open": False}
_SQLITE = "sqlite+aiosqlite:///"


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A configuration without faults."""

    sources: Sources
    document: Document
    sections: Mapping[str, JsonObject]


def load_settings(
    path: ConfigPath,
    *,
    home: Path,
    environ: Mapping[str, str],
    overrides: Mapping[str, Json] | None = None,
    schemas: Schemas | None = None,
) -> Settings:
    """Return the settings of this process.

    A directory stands for its `*.yaml` in name order; of several files the later ones win.

    Raises:
        ConfigError: Something is wrong; carries every fault, with its path and what was expected.
    """
    understood = understand(path, environ=environ, overrides=overrides, schemas=schemas)
    sources, document = understood.sources, understood.document
    warnings = _render(warnings_of(document), sources)
    paths = as_paths(path)
    base = _base(paths, home)
    return Settings(
        home=home,
        path=paths[0] if paths else None,
        paths=paths,
        environment=document.environment,
        server=document.server,
        store=document.store,
        store_url=_store_url(document.store.url, home),
        usage=document.usage,
        limits=document.limits,
        budgets=document.budgets,
        events=document.events,
        spi=document.spi,
        features=document.features,
        modules=document.modules,
        logging=document.logging,
        plugins=document.plugins,
        auth=document.auth,
        policy=document.policy,
        telemetry=document.telemetry,
        audit=document.audit,
        egress=document.egress,
        retention=document.retention,
        secret_key=_secret_key(environ),
        secret_key_file=_under(
            sources.bases.get(("secrets", "key_file"), base), document.secrets.key_file
        ),
        declared=declared_records(document),
        programs=document.mcp.stdio.allow,
        tool_overrides=tool_overrides(document),
        secret_sources=secret_sources(document, lambda key: sources.bases.get(key, base)),
        warnings=warnings,
        notes=_render(sources.notes, sources),
        sections=understood.sections,
    )


def understand(
    path: ConfigPath,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, Json] | None = None,
    schemas: Schemas | None = None,
) -> Understood:
    """Return the configuration as it is written, checked as a whole.

    Raises:
        ConfigError: Something is wrong; carries every fault.
    """
    sources = merge_sources(path, environ, overrides or {})
    _default_by_environment(sources)
    document = parse_document(sources)
    sections = module_sections(sources.data)
    known = schemas or {}
    faults = [
        *sources.faults,
        *section_faults(sources.data, known),
        *module_faults(sections, known),
        *_new(cross_faults(document, sources.data), sources.faults),
    ]

    if faults:
        raise ConfigError(_render(faults, sources))

    return Understood(sources=sources, document=document, sections=sections)


def _base(paths: Sequence[Path], home: Path) -> Path:
    """Return where relative files start that are named outside the configuration files."""
    if not paths:
        return home

    return paths[0] if paths[0].is_dir() else paths[0].parent


def _default_by_environment(sources: Sources) -> None:
    plugins = sources.data.setdefault("plugins", {})

    if sources.data.get("environment") == "production" and isinstance(plugins, dict):
        for key, value in _IN_PRODUCTION.items():
            if key not in plugins:
                plugins[key] = value
                sources.places["plugins", key] = "default in production"


def _new(faults: Iterable[Fault], before: Iterable[Fault]) -> list[Fault]:
    """Return the faults that do not merely follow from others: what was faulty is missing now."""
    taken_out = {fault.path[:length] for fault in before for length in range(len(fault.path) + 1)}
    return [
        fault for fault in faults if fault.problem != "is missing" or fault.path not in taken_out
    ]


def _secret_key(environ: Mapping[str, str]) -> Secret | None:
    text = environ.get("SPINDLE_SECRET_KEY")
    return Secret(text) if text else None


def _under(base: Path, file: str | None) -> Path | None:
    return None if file is None else base / file


def _store_url(given: str | None, home: Path) -> str:
    url = given or f"{_SQLITE}spindle.db"

    if not url.startswith(_SQLITE):
        return url

    # An absolute path replaces the home in front of it.
    return f"{_SQLITE}{(home / url.removeprefix(_SQLITE)).absolute()}"


def _render(faults: Iterable[Fault], sources: Sources) -> tuple[str, ...]:
    lines = (REDACTOR.text(render_fault(fault, sources.places)) for fault in faults)
    return tuple(dict.fromkeys(lines))
