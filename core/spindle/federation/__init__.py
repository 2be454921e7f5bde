"""Callers whom somebody else vouches for: tokens of other issuers, and the login of people."""

from __future__ import annotations
