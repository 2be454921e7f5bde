"""Addresses under a provider's base URL."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_VERSION = re.compile(r"v\d+[a-z0-9]*")


def join_url(base: str, path: str) -> str:
    """Return the URL of a path under a base, with `/v1` between when the base has no version.

    A base whose path has a version segment (`https://host/v1`, `https://host/openai/v1`,
    `https://host/v1beta/openai`) is taken as it is.
    """
    segments = urlsplit(base).path.split("/")
    has_version = any(_VERSION.fullmatch(segment) for segment in segments)
    return base.rstrip("/") + ("" if has_version else "/v1") + path


def root_url(base: str, path: str) -> str:
    """Return the URL of a path beside the version: a trailing version segment is left out."""
    head, _, last = base.rstrip("/").rpartition("/")
    return (head if _VERSION.fullmatch(last) else base.rstrip("/")) + path
