"""OpenAI's Responses surface: items in, items out, kept so that a later one can go on from them."""

from __future__ import annotations
