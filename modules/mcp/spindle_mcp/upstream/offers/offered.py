"""What a gateway published, by what a URI of its upstream stands for; whoever may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from spindle_mcp.matching import TemplateMatch, same_place
from spindle_spi.records import ResourceSpec, ResourceTemplateSpec, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spindle_spi.records import PublishedRecord


class Offered:
    """The resources and templates of one publication."""

    def __init__(self, records: Iterable[PublishedRecord] = ()) -> None:
        self._resources: dict[str, list[Target]] = {}
        self._templates: list[tuple[TemplateMatch, Target]] = []

        for record in records:
            target = Target(kind=record.kind, name=record.name)

            match record.spec:
                case ResourceSpec() as spec:
                    self._resources.setdefault(same_place(spec.uri), []).append(target)
                case ResourceTemplateSpec() as spec:
                    self._templates.append((TemplateMatch(spec.uri_template), target))
                case _:
                    continue

    def standing_for(self, uri: str) -> tuple[Target, ...]:
        """Return every record that lets somebody read what a URI names, however it is spelt."""
        plain = unquote(uri)
        templates = (
            target
            for template, target in self._templates
            if template.takes(uri) or template.takes(plain)
        )
        return (*self._resources.get(same_place(uri), ()), *templates)
