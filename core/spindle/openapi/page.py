"""The document as one page of HTML: no script, nothing fetched, every text escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from spindle_spi.types import Json, JsonObject

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{font:13px/1.45 ui-monospace,monospace}pre{overflow:auto;padding:.6rem;"
    "border:1px solid #8884;border-radius:4px}"
    "details{border-bottom:1px solid #8884;padding:.3rem 0}summary{cursor:pointer}"
    ".method{display:inline-block;width:4.5rem;font-weight:600}.path{margin-right:1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .8rem .2rem 0;"
    "vertical-align:top}nav a{margin-right:1rem}"
)
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'"
"""What the page may do: have this style."""

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title} <small>{version}</small></h1>
<p>{description}</p>
<nav>{links}<a href="#schemas">schemas</a></nav>
{sections}
<h2 id="schemas">schemas</h2>
{schemas}
</body>
</html>
"""
_SHARED: Final = "#/components/schemas/"


def page_of(document: JsonObject) -> str:
    """Return the page of a document."""
    info = _object(document["info"])
    groups: dict[str, list[str]] = {}

    for path, item in _object(document["paths"]).items():
        for method, operation in _object(item).items():
            shown = _resolved(_object(operation), document)
            tag = str(_list(shown.get("tags"))[0])
            groups.setdefault(tag, []).append(_operation(method.upper(), path, shown))

    sections = (
        f'<h2 id="tag-{escape(tag)}">{escape(tag)}</h2>\n{"".join(operations)}'
        for tag, operations in sorted(groups.items())
    )
    links = (f'<a href="#tag-{escape(tag)}">{escape(tag)}</a>' for tag in sorted(groups))
    schemas = (
        f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        f"{_pretty(schema)}</details>\n"
        for name, schema in _object(_object(document["components"])["schemas"]).items()
    )
    return _PAGE.format(
        title=escape(str(info["title"])),
        version=escape(str(info["version"])),
        description=escape(str(info["description"])),
        style=_STYLE,
        links="".join(links),
        sections="\n".join(sections),
        schemas="".join(schemas),
    )


def _operation(method: str, path: str, shown: JsonObject) -> str:
    return (
        f'<details id="{escape(str(shown["operationId"]))}"><summary>'
        f'<span class="method">{escape(method)}</span><code class="path">{escape(path)}</code>'
        f"{escape(str(shown['summary']))}</summary>"
        f"{''.join(_parts(shown))}</details>\n"
    )


def _resolved(shown: JsonObject, document: JsonObject) -> JsonObject:
    """Return an operation with the answers it refers to."""
    shared = _object(_object(document["components"]).get("responses"))
    answers: JsonObject = {}

    for status, answer in _object(shown["responses"]).items():
        reference = _object(answer).get("$ref")
        answers[status] = (
            shared[reference.rpartition("/")[2]] if isinstance(reference, str) else answer
        )

    return {**shown, "responses": answers}


def _parts(shown: JsonObject) -> Iterator[str]:
    yield f"<p>Permission: <code>{escape(str(shown['x-spindle-permission']))}</code></p>"

    if "description" in shown:
        yield f"<p>{escape(str(shown['description']))}</p>"

    rows = [_parameter(_object(each)) for each in _list(shown.get("parameters"))]

    if rows:
        yield f"<table><tr><th>parameter<th>in<th>schema<th></tr>{''.join(rows)}</table>"

    if "requestBody" in shown:
        yield "<p>Body</p>"
        yield _content(_object(shown["requestBody"]))

    yield "<p>Answers</p><table>"

    for status, answer in _object(shown["responses"]).items():
        said = _object(answer)
        yield (
            f"<tr><th>{escape(status)}<td>{escape(str(said['description']))}"
            f"<td>{_content(said)}</tr>"
        )

    yield "</table>"


def _parameter(shown: JsonObject) -> str:
    needed = " (needed)" if shown.get("required") else ""
    return (
        f"<tr><td><code>{escape(str(shown['name']))}</code>{needed}"
        f"<td>{escape(str(shown['in']))}<td>{_schema(shown['schema'])}"
        f"<td>{escape(str(shown.get('description', '')))}</tr>"
    )


def _content(shown: Mapping[str, Json]) -> str:
    return "".join(
        f"<code>{escape(kind)}</code> {_schema(_object(media).get('schema'))} "
        for kind, media in _object(shown.get("content")).items()
    )


def _schema(schema: Json) -> str:
    reference = _object(schema).get("$ref")

    if isinstance(reference, str):
        name = escape(reference.removeprefix(_SHARED))
        return f'<a href="#schema-{name}">{name}</a>'

    words = json.dumps(schema)
    return f"<code>{escape(words)}</code>" if len(words) < 80 else _pretty(schema)


def _pretty(schema: Json) -> str:
    return f"<pre>{escape(json.dumps(schema, indent=1))}</pre>"


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
